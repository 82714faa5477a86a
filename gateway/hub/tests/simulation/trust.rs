//! Grants in a world: made up at random, given to clients at their beginning and in the middle, and held
//! against every byte that a client gets.
//!
//! Names of symbols end in a letter that is nowhere else in them, so that none is a part of another, and
//! are long enough that no number looks like one by chance.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::Value;
use tickcast_hub::{ConnId, Envelope, Grant, Hub, Rules};
use wire::command::{Command, Mode, Resume, SnapshotPolicy, Subscribe, Unsubscribe};
use wire::position::{Position, Reached};
use wire::{Channel, Encoding, Pattern, Symbol};

use crate::client::View;
use crate::feed::CHANNELS;
use crate::follower::Follower;
use crate::random::Random;
use crate::world::{Family, World};

/// The code of `not_entitled` in replies.
const NOT_ENTITLED: u64 = 7;

/// What a feed calls its instruments.
pub fn symbol(nth: u64) -> Symbol {
    Symbol::new(&format!("SYMBOL{nth}Z")).unwrap()
}

/// A grant of some kind, among so many symbols.
pub fn random_grant(random: &mut Random, symbols: u64) -> Arc<Grant> {
    if random.chance(12) {
        return Arc::new(Grant::everything());
    }
    let rules: Vec<String> = (0..random.range(0, 5))
        .map(|_| {
            let nth = random.below(symbols);
            let symbols = match random.below(6) {
                0 | 1 => "*".to_owned(),
                2 => format!("SYM*L{nth}*"),
                3 => format!("*{nth}Z"),
                _ => symbol(nth).to_string(),
            };
            let channels = match random.below(6) {
                0 | 1 => "*",
                2 => "depth*",
                3 => "bar_*",
                _ => random.pick(&CHANNELS).name(),
            };
            let deny = if random.chance(25) { "!" } else { "" };
            format!("{deny}{symbols}.{channels}")
        })
        .collect();
    let levels = [5, 10, 20];
    Arc::new(Grant {
        see: Rules::parse(rules).unwrap(),
        depth_levels: random.chance(15).then(|| *random.pick(&levels)),
        max_rate: if random.chance(15) { NonZeroU32::new(50) } else { None },
        mode: if random.chance(15) { Mode::Conflate } else { Mode::Every },
        ..Grant::nothing()
    })
}

/// The number of the newest value that the hub knows of a topic.
fn newest(hub: &Hub, instrument: u32, channel: Channel) -> u64 {
    let mut event = Vec::new();
    if !hub.snapshot(instrument, channel, Encoding::Json, &mut event) {
        return 0;
    }
    let event: Value = serde_json::from_slice(&event).unwrap();
    event["seq"].as_str().unwrap().parse().unwrap()
}

/// No name of an instrument that the grant does not let it know of is in these bytes, in whichever case.
pub fn assert_unnamed(bytes: &[u8], grant: &Grant, symbols: u64) {
    for symbol in (0..symbols).map(symbol).filter(|symbol| !grant.knows(symbol)) {
        for name in [symbol.to_string(), symbol.as_str().to_lowercase()] {
            let found = bytes.windows(name.len()).any(|window| window == name.as_bytes());
            assert!(!found, "{name}: {:?} {grant:?}", String::from_utf8_lossy(bytes));
        }
    }
}

impl World {
    /// How many symbols the feed may ever use.
    pub fn symbols(&self) -> u64 {
        self.feed.symbols()
    }

    /// A seat's client begins with a grant, given at once, or after a while with none.
    pub fn begin_trust(&mut self, at: usize) {
        if self.family != Family::Granted {
            return;
        }
        assert_eq!(*self.seats[at].client.grant, Grant::everything());
        self.seats[at].client.grant = Arc::new(Grant::nothing());
        if self.random.chance(10) {
            self.subscribe_at(at);
            assert!(self.seats[at].client.exact.is_empty());
        }
        self.entitle(at);
    }

    /// Gives some client another grant, whatever it is in the middle of.
    pub fn reconsider(&mut self) {
        if self.random.chance(40) && !self.followers.is_empty() {
            let at = self.random.below(self.followers.len() as u64) as usize;
            return self.entitle_follower(at);
        }
        if !self.seats.is_empty() {
            let at = self.random.below(self.seats.len() as u64) as usize;
            self.entitle(at);
        }
    }

    /// Gives a client another grant in the middle of what one visit did not take.
    pub fn interrupt(&mut self, conn: ConnId) {
        if self.family == Family::Granted
            && self.random.chance(8)
            && let Some(at) = self.seats.iter().position(|seat| seat.conn == conn)
        {
            self.entitle(at);
        }
    }

    /// Gives a client a grant: what is not allowed any more is named in the reply, nothing else is.
    fn entitle(&mut self, at: usize) {
        let grant = random_grant(&mut self.random, self.feed.symbols());
        let seat = &mut self.seats[at];
        let mut reply = Vec::new();
        self.hub.entitle(seat.conn, Arc::clone(&grant), self.now_ns, &mut reply);
        let client = &mut seat.client;
        let old = std::mem::replace(&mut client.grant, Arc::clone(&grant));

        let mut ended: Vec<String> = Vec::new();
        client.exact.retain(|(symbol, channel), _| {
            let stays = grant.allows(symbol, *channel);
            if !stays {
                ended.push(Pattern::One(*symbol, *channel).to_string());
            }
            stays
        });
        client.wildcards.retain(|channel, _| {
            let stays = grant.allows_some(*channel);
            if !stays {
                ended.push(Pattern::All(*channel).to_string());
            }
            stays
        });
        ended.sort();
        let said: Value = match reply.as_slice() {
            [] => Value::Null,
            text => serde_json::from_slice(text).unwrap(),
        };
        let texts = |key: &str| -> Vec<String> {
            let all = said[key].as_array().into_iter().flatten();
            let mut all: Vec<String> = all.map(|text| text.as_str().unwrap().to_owned()).collect();
            all.sort();
            all
        };
        assert_eq!(texts("topics"), ended, "{old:?} then {grant:?}");
        self.revoked += ended.len() as u64;

        // What it is not subscribed to any more has no view; what a wildcard reaches anew has a new one.
        let (exact, wildcards) = (&client.exact, &client.wildcards);
        let stays = |topic: &(Symbol, Channel)| {
            let under = wildcards.contains_key(&topic.1) && grant.allows(&topic.0, topic.1);
            (exact.contains_key(topic), under)
        };
        client.views.retain(|topic, _| {
            let (exact, under) = stays(topic);
            exact || under
        });
        client.shadows.retain(|topic, _| stays(topic) == (true, true));
        let epoch = self.hub.epoch();
        let mut narrowed: Vec<String> = Vec::new();
        for channel in client.wildcards.keys() {
            for instrument in self.hub.instruments().filter(|i| i.has(*channel)) {
                let topic = (instrument.symbol, *channel);
                let [had, has] = [&old, &grant].map(|grant| grant.allows(&topic.0, topic.1));
                if has && !had {
                    assert!(!client.exact.contains_key(&topic), "it was not allowed");
                    // It begins with the present state, whatever was while it was denied.
                    let newest = newest(&self.hub, instrument.id, *channel);
                    client.views.insert(topic, View::fresh(epoch, newest));
                }
                if had && !has {
                    narrowed.push(Pattern::All(*channel).to_string());
                }
            }
        }
        // Instruments of an earlier epoch may make one narrower too.
        narrowed.sort();
        narrowed.dedup();
        let told = texts("narrowed");
        assert!(narrowed.iter().all(|pattern| told.contains(pattern)), "{told:?} {narrowed:?}");
        let is_idle = self.hub.is_subscribed(seat.conn);
        assert_eq!(is_idle, !(client.exact.is_empty() && client.wildcards.is_empty()));
    }

    /// The result of a subscription is what the grant says, and says no more.
    pub fn check_answer(&mut self, at: usize, pattern: &Pattern, result: &Value) {
        let grant = Arc::clone(&self.seats[at].client.grant);
        let is_allowed = match pattern {
            Pattern::One(symbol, channel) => grant.allows(symbol, *channel),
            Pattern::All(channel) => grant.allows_some(*channel),
        };
        let is_denied = result["code"] == NOT_ENTITLED;
        assert_eq!(is_allowed, !is_denied, "{pattern} {result} {grant:?}");
    }

    /// Of what is denied, what exists and what does not are answered alike, also where an earlier connection
    /// is said to have seen it.
    pub fn probe(&mut self) {
        if self.seats.is_empty() {
            return;
        }
        let at = self.random.below(self.seats.len() as u64) as usize;
        let (conn, grant) = (self.seats[at].conn, Arc::clone(&self.seats[at].client.grant));
        let channel = *self.random.pick(&CHANNELS);
        let mut answers = Vec::new();
        let all: Vec<Symbol> = (0..self.symbols()).map(symbol).collect();
        for symbol in all.iter().filter(|symbol| !grant.allows(symbol, channel)) {
            let resume = Resume::new(self.hub.epoch(), vec![(*symbol, channel, 1 << 40)]).unwrap();
            let topics = vec![Ok(Pattern::One(*symbol, channel))];
            let subscribe = Subscribe {
                id: None,
                topics: topics.clone(),
                mode: Mode::Every,
                max_rate: None,
                snapshot: SnapshotPolicy::Send,
                resume: self.random.chance(50).then_some(resume),
            };
            let commands = [
                Command::Subscribe(subscribe),
                Command::Unsubscribe(Unsubscribe { id: None, topics }),
            ];
            for command in commands {
                let mut reply = Vec::new();
                self.hub.handle_command(conn, &command, self.now_ns, &mut reply);
                let reply = String::from_utf8(reply).unwrap();
                answers.push(reply.replace(symbol.as_str(), "?"));
            }
        }
        answers.dedup();
        assert!(answers.len() <= 1, "{answers:?}");
        self.probed += u64::from(!answers.is_empty());
    }

    /// A wildcard says nothing of what it does not reach, also if an earlier connection is said to have
    /// seen more of that than there is.
    pub fn probe_wildcard(&mut self) {
        let grant = random_grant(&mut self.random, self.feed.symbols());
        let Ok(conn) = self.hub.connect(Encoding::Json, self.now_ns) else { return };
        self.hub.entitle(conn, Arc::clone(&grant), self.now_ns, &mut Vec::new());
        let channel = *self.random.pick(&CHANNELS);
        let denied =
            (0..self.symbols()).map(symbol).filter(|symbol| !grant.allows(symbol, channel));
        let denied = denied.map(|symbol| (symbol, channel, 1 << 40)).collect();
        let subscribe = Subscribe {
            id: None,
            topics: vec![Ok(Pattern::All(channel))],
            mode: Mode::Every,
            max_rate: None,
            snapshot: SnapshotPolicy::Send,
            resume: Some(Resume::new(self.hub.epoch(), denied).unwrap()),
        };
        let mut reply = Vec::new();
        let command = Command::Subscribe(subscribe);
        self.hub.handle_command(conn, &command, self.now_ns, &mut reply);
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        let result = &reply["results"][0];
        let is_full = result["name"] == "unavailable";
        assert!(result["ok"] == grant.allows_some(channel) || is_full, "{result} {grant:?}");
        self.hub.disconnect(conn);
    }

    /// Where the connection is may be told to it, and names nothing that it may not see.
    pub fn check_position(&self, conn: ConnId, grant: &Grant) {
        let mut text = Vec::new();
        if !self.hub.write_position(conn, &mut text) {
            return;
        }
        let position = Position::parse(std::str::from_utf8(&text).unwrap()).unwrap();
        let named = match position.reached {
            Reached::Topics(topics) => topics,
            Reached::Entry { last, .. } => vec![last],
        };
        for (id, channel, _) in named {
            let symbol = self.hub.instruments().find(|i| i.id == id).expect("of this epoch").symbol;
            assert!(grant.allows(&symbol, channel), "{symbol}.{channel} {grant:?}");
        }
    }

    /// A client of the exchange's protocol comes, with a grant and some streams.
    pub fn follow(&mut self) {
        if self.followers.len() > 3 {
            let at = self.random.below(self.followers.len() as u64) as usize;
            self.leave(at);
        }
        let grant = random_grant(&mut self.random, self.feed.symbols());
        let follower = Follower::new(&mut self.random, grant);
        let Ok(conn) = self.hub.connect(follower.format, self.now_ns) else { return };
        self.hub.set_envelope(conn, follower.envelope);
        let mut reply = Vec::new();
        self.hub.entitle(conn, Arc::clone(&follower.grant), self.now_ns, &mut reply);
        assert!(reply.is_empty(), "nothing was revoked");
        self.followers.push((conn, follower));
        (0..6).for_each(|_| self.follow_more());
    }

    /// A follower goes.
    pub fn leave(&mut self, at: usize) {
        let (conn, follower) = self.followers.swap_remove(at);
        self.stream_events += follower.events;
        self.hub.disconnect(conn);
    }

    /// Some follower adds a stream, or ends one.
    pub fn follow_more(&mut self) {
        if self.followers.is_empty() {
            return;
        }
        let at = self.random.below(self.followers.len() as u64) as usize;
        let symbols = self.symbols();
        let (conn, follower) = &mut self.followers[at];
        let (name, stream) = follower.name(&mut self.random, symbols);
        if follower.names.contains(&name) && self.random.chance(50) {
            self.hub.remove_stream(*conn, &name);
            follower.names.remove(&name);
        } else {
            let added = self.hub.add_stream(*conn, &name, stream, 1024);
            let is_allowed = follower.grant.allows_stream(&stream);
            assert_eq!(added.is_ok(), is_allowed, "{name}: {:?}", follower.grant);
            if is_allowed {
                follower.names.insert(name);
            }
        }
        self.check_streams(at);
    }

    fn check_streams(&self, at: usize) {
        let (conn, follower) = &self.followers[at];
        let mut names = self.hub.streams(*conn);
        names.sort_unstable();
        assert!(names.into_iter().eq(follower.names.iter()), "{:?}", follower.names);
    }

    fn entitle_follower(&mut self, at: usize) {
        let grant = random_grant(&mut self.random, self.feed.symbols());
        let (conn, follower) = &mut self.followers[at];
        let mut reply = Vec::new();
        self.hub.entitle(*conn, Arc::clone(&grant), self.now_ns, &mut reply);
        follower.grant = grant;
        let mut ended: Vec<String> = Vec::new();
        for name in std::mem::take(&mut follower.names) {
            if follower.grant.allows_stream(&follower.stream(&name)) {
                follower.names.insert(name);
            } else {
                ended.push(name);
            }
        }
        if ended.is_empty() {
            assert!(reply.is_empty());
        } else {
            let mut said: Value = serde_json::from_slice(&reply).unwrap();
            if follower.envelope == Envelope::Combined {
                assert_eq!(said["stream"], "!streamsRevoked");
                said = said["data"].take();
            }
            let streams = said["streams"].as_array().unwrap().iter();
            let mut told: Vec<&str> = streams.map(|name| name.as_str().unwrap()).collect();
            told.sort_unstable();
            assert_eq!(told, ended);
            self.revoked += ended.len() as u64;
        }
        self.check_streams(at);
    }

    /// A visit of a follower, if the connection is one's.
    pub fn tell_follower(&mut self, conn: ConnId, message: std::ops::Range<usize>) -> bool {
        let symbols = self.symbols();
        let Some(at) = self.followers.iter().position(|(other, _)| *other == conn) else {
            return false;
        };
        let (_, follower) = &mut self.followers[at];
        if !message.is_empty() && self.random.chance(8) {
            self.hub.abandon(conn);
            self.hub.handle_blocked(conn, self.now_ns);
            self.hub.handle_writable(conn, self.now_ns);
            return true;
        }
        self.hub.commit(conn);
        follower.read(&self.out[message], symbols);
        true
    }
}
