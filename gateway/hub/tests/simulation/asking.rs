//! What the clients of a world ask for: topics and wildcards in all modes and rates, resumes, and what they
//! take themselves to have from then on.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::Value;
use wire::command::{Command, Mode, Resume, SnapshotPolicy, Subscribe, Unsubscribe};
use wire::{Channel, Instrument, Pattern, Symbol};

use crate::client::View;
use crate::feed::CHANNELS;
use crate::world::{Family, World};

impl World {
    pub fn send(&mut self, at: usize, subscribe: Subscribe) -> Vec<Value> {
        let mut reply = Vec::new();
        let command = Command::Subscribe(subscribe);
        self.hub.handle_command(self.seats[at].conn, &command, self.now_ns, &mut reply);
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        assert_eq!(reply["op"], "ack");
        reply["results"].as_array().unwrap().clone()
    }

    pub fn subscribe(&mut self) {
        if !self.seats.is_empty() {
            let at = self.random.below(self.seats.len() as u64) as usize;
            self.subscribe_at(at);
        }
    }

    pub fn channel(&mut self) -> Channel {
        let partial = [Channel::Depth5, Channel::Depth10, Channel::Depth20];
        if self.random.chance(20) {
            *self.random.pick(&partial)
        } else {
            *self.random.pick(&CHANNELS)
        }
    }

    pub fn subscribe_at(&mut self, at: usize) {
        let is_strict = self.seats[at].client.is_strict;
        let count = if is_strict { 2 } else { self.random.range(1, 5) };
        for _ in 0..count {
            let channel = self.channel();
            let symbols: Vec<Symbol> = self.hub.instruments().map(|i| i.symbol).collect();
            if symbols.is_empty() {
                return;
            }
            let symbol = *self.random.pick(&symbols);
            let all = self.random.chance(if self.family == Family::Wide { 60 } else { 25 });
            let pattern = if all { Pattern::All(channel) } else { Pattern::One(symbol, channel) };
            let conflates = !is_strict && self.random.chance(30);
            let rated = !is_strict && self.random.chance(15);
            let rate = self.random.range(1, 1000) as u32;
            let subscribe = Subscribe {
                id: None,
                topics: vec![Ok(pattern.clone())],
                mode: if conflates { Mode::Conflate } else { Mode::Every },
                max_rate: if rated { NonZeroU32::new(rate) } else { None },
                snapshot: if self.random.chance(75) {
                    SnapshotPolicy::Send
                } else {
                    SnapshotPolicy::Skip
                },
                resume: None,
            };
            self.subscribe_with(at, &pattern, subscribe);
        }
    }

    pub fn subscribe_with(&mut self, at: usize, pattern: &Pattern, subscribe: Subscribe) {
        let (snapshot, resume) = (subscribe.snapshot, subscribe.resume.clone());
        let mode = subscribe.mode;
        let results = self.send(at, subscribe);
        self.check_answer(at, pattern, &results[0]);
        let epoch = self.hub.epoch();
        let client = &mut self.seats[at].client;
        let ok = results[0]["ok"].as_bool().unwrap();
        let seq: u64 = results[0]["seq"].as_str().map_or(0, |seq| seq.parse().unwrap());
        if !ok {
            return;
        }
        let begins = |symbol: Symbol, channel: Channel, known: Option<u64>| {
            let resumed = resume.as_ref().and_then(|r| Some((r.epoch, r.seq(&symbol, channel)?)));
            match resumed {
                Some((of, seq)) if of == epoch => View::resumed(epoch, seq),
                Some(_) => View::foreign(epoch),
                None => match known {
                    Some(seq) if snapshot == SnapshotPolicy::Skip && channel != Channel::Depth => {
                        View::at(epoch, seq)
                    }
                    Some(seq) => View::fresh(epoch, seq),
                    None if snapshot == SnapshotPolicy::Skip && channel != Channel::Depth => {
                        View::unknown(epoch)
                    }
                    None => View::fresh(epoch, 0),
                },
            }
        };
        match pattern {
            Pattern::One(symbol, channel) => {
                let topic = (*symbol, *channel);
                let is_new = client.exact.insert(topic, mode).is_none();
                let old = client.views.insert(topic, begins(*symbol, *channel, Some(seq)));
                if is_new && client.wildcards.contains_key(channel) {
                    // A topic that the wildcard has not come to yet begins with its first number.
                    let shadow = old.unwrap_or_else(|| View::at(client.epoch, 0));
                    client.shadows.insert(topic, shadow);
                }
            }
            Pattern::All(channel) => {
                client.wildcards.insert(*channel, mode);
                let exact = &client.exact;
                client.views.retain(|topic, _| topic.1 != *channel || exact.contains_key(topic));
                client.shadows.retain(|topic, _| topic.1 != *channel);
                let grant = Arc::clone(&client.grant);
                let is_reached =
                    |i: &&Instrument| i.has(*channel) && grant.allows(&i.symbol, *channel);
                for instrument in self.hub.instruments().filter(is_reached) {
                    let topic = (instrument.symbol, *channel);
                    let view = begins(instrument.symbol, *channel, None);
                    if client.exact.contains_key(&topic) {
                        client.shadows.insert(topic, view);
                    } else {
                        client.views.insert(topic, view);
                    }
                }
                for topic in client.exact.keys().filter(|topic| topic.1 == *channel) {
                    client.shadows.entry(*topic).or_insert_with(|| View::at(epoch, 0));
                }
            }
        }
    }

    pub fn unsubscribe(&mut self) {
        if self.seats.is_empty() {
            return;
        }
        let at = self.random.below(self.seats.len() as u64) as usize;
        let client = &mut self.seats[at].client;
        let mut all: Vec<Pattern> =
            client.exact.keys().map(|(symbol, channel)| Pattern::One(*symbol, *channel)).collect();
        all.extend(client.wildcards.keys().map(|channel| Pattern::All(*channel)));
        all.sort_by_key(|pattern| pattern.to_string());
        if all.is_empty() {
            return;
        }
        let pattern = self.random.pick(&all).clone();
        match &pattern {
            Pattern::One(symbol, channel) => {
                let topic = (*symbol, *channel);
                client.exact.remove(&topic);
                let shadow = client.shadows.remove(&topic);
                match (client.views.get(&topic).is_some_and(View::is_bound), shadow) {
                    // The wildcard goes on where the exact subscription ended.
                    (true, Some(_)) => {}
                    (false, Some(shadow)) => {
                        client.views.insert(topic, shadow.without_reset());
                    }
                    (_, None) => {
                        client.views.remove(&topic);
                    }
                }
            }
            Pattern::All(channel) => {
                client.wildcards.remove(channel);
                let exact = &client.exact;
                client.views.retain(|topic, _| topic.1 != *channel || exact.contains_key(topic));
                client.shadows.retain(|topic, _| topic.1 != *channel);
            }
        }
        let unsubscribe = Unsubscribe { id: None, topics: vec![Ok(pattern)] };
        let mut reply = Vec::new();
        let command = Command::Unsubscribe(unsubscribe);
        self.hub.handle_command(self.seats[at].conn, &command, self.now_ns, &mut reply);
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        assert_eq!(reply["results"][0]["ok"], true, "{reply}");
    }

    /// The newest client comes back as one that left, and resumes.
    pub fn resume(&mut self) {
        let at = self.seats.len() - 1;
        let which = self.random.below(self.gone.len() as u64) as usize;
        let old = self.gone.swap_remove(which);
        let positions = old.positions();
        let resume = Resume::new(old.epoch, positions.clone()).unwrap();
        let is_present = old.epoch == self.hub.epoch();
        let mut patterns: Vec<Pattern> =
            old.exact.keys().map(|(symbol, channel)| Pattern::One(*symbol, *channel)).collect();
        patterns.extend(old.wildcards.keys().map(|channel| Pattern::All(*channel)));
        patterns.sort_by_key(|pattern| pattern.to_string());
        for pattern in patterns {
            let subscribe = Subscribe {
                id: None,
                topics: vec![Ok(pattern.clone())],
                mode: Mode::Every,
                max_rate: None,
                snapshot: SnapshotPolicy::Send,
                resume: Some(resume.clone()),
            };
            self.subscribe_with(at, &pattern, subscribe);
        }
        self.seats[at].client.take_books_from(&old);
        // What is not yet given out cannot be resumed.
        if let (true, Some((symbol, channel, seq))) = (is_present, positions.first()) {
            let ahead = Resume::new(old.epoch, vec![(*symbol, *channel, seq + 100_000)]).unwrap();
            let subscribe = Subscribe {
                id: None,
                topics: vec![Ok(Pattern::One(*symbol, *channel))],
                mode: Mode::Every,
                max_rate: None,
                snapshot: SnapshotPolicy::Send,
                resume: Some(ahead),
            };
            let results = self.send(at, subscribe);
            assert_eq!(results[0]["ok"], false, "a resume from the future");
        }
    }
}
