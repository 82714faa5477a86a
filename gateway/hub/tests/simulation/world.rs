//! One simulated world: a feed, a ring, a hub in a shell, and clients.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use tickcast_hub::{ConnId, Counters, Grant, Hub, Limits};
use wire::{Encoding, FeedState, Tick};

use crate::client::Client;
use crate::feed::Feed;
use crate::follower::Follower;
use crate::limits::limits;
use crate::random::Random;
use crate::ring::Ring;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Tiny,
    Roomy,
    Wide,
    Granted,
}

/// What happened in one world, or in many.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub counters: Counters,
    /// Topics of strict clients that were complete in the end.
    pub strict_topics: u64,
    pub revoked: u64,
    pub probed: u64,
    pub stream_events: u64,
    pub digest: u64,
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.counters.add(&other.counters);
        self.strict_topics += other.strict_topics;
        self.revoked += other.revoked;
        self.probed += other.probed;
        self.stream_events += other.stream_events;
    }
}

pub struct Seat {
    pub client: Client,
    pub conn: ConnId,
    is_blocked: bool,
    /// What might have made its next visit urgent, as of the last.
    urgent: u64,
}

pub struct World {
    pub family: Family,
    pub random: Random,
    limits: Limits,
    pub hub: Hub,
    pub feed: Feed,
    ring: Ring,
    pub seats: Vec<Seat>,
    pub followers: Vec<(ConnId, Follower)>,
    pub revoked: u64,
    pub probed: u64,
    /// Of followers that are gone.
    pub stream_events: u64,
    /// Clients that left, with what they knew.
    pub gone: Vec<Client>,
    pub now_ns: u64,
    pub out: Vec<u8>,
    digest: u64,
    last_visit: Option<(ConnId, tickcast_hub::Visit)>,
    /// When the next visit of a connection's slot is due, whoever has it: one that was left waits on.
    due_ns: HashMap<ConnId, u64>,
    /// Counts what the feed was said to be.
    news: u64,
}

/// A visit whose message was not given to anybody yet.
struct Gathered {
    conn: ConnId,
    visit: tickcast_hub::Visit,
    /// What [`World::urgent`] was.
    urgent: u64,
    message: Range<usize>,
}

impl World {
    pub fn new(family: Family, seed: u64) -> Self {
        let mut random = Random::new(seed.wrapping_mul(3).wrapping_add(family as u64));
        let limits = limits(family, &mut random);
        let instruments_max = if family == Family::Wide { 150 } else { random.range(1, 6) };
        let mut feed = Feed::new(random.next(), instruments_max, 60);
        let capacity = match family {
            Family::Tiny | Family::Granted => random.range(60, 500),
            Family::Roomy => 1 << 20,
            Family::Wide => 4096,
        };
        // A recovery area that has no slot for every instrument leaves some books unsound.
        let images_max = if random.chance(20) { random.range(1, 3) } else { u64::MAX };
        let mut ring = Ring::new(capacity as usize, images_max);
        let mut batch = Vec::new();
        feed.restart(&mut batch);
        ring.publish(&mut batch, &mut feed);
        let mut hub = Hub::new(limits);
        if family == Family::Granted {
            hub.use_default_grant(Arc::new(Grant::nothing()));
        }
        Self {
            family,
            random,
            limits,
            hub,
            feed,
            ring,
            seats: Vec::new(),
            followers: Vec::new(),
            revoked: 0,
            probed: 0,
            stream_events: 0,
            gone: Vec::new(),
            now_ns: 1_000_000,
            out: Vec::new(),
            digest: 0xCBF2_9CE4_8422_2325,
            last_visit: None,
            due_ns: HashMap::new(),
            news: 0,
        }
    }

    pub fn run(mut self) -> Outcome {
        let steps = if self.family == Family::Wide { 150 } else { 400 };
        // Often the shard starts late.
        if self.random.chance(30) {
            (0..self.random.below(40)).for_each(|_| self.feed());
        }
        for _ in 0..steps {
            self.step();
        }
        self.settle();
        let mut outcome = Outcome {
            counters: *self.hub.counters(),
            digest: self.digest,
            revoked: self.revoked,
            probed: self.probed,
            stream_events: self.stream_events
                + self.followers.iter().map(|(_, f)| f.events).sum::<u64>(),
            ..Outcome::default()
        };
        for seat in &mut self.seats {
            seat.client.laps_seen = outcome.counters.laps;
            let complete = seat.client.check_complete(&self.feed, self.ring.images_max());
            outcome.strict_topics += if seat.client.is_strict { complete } else { 0 };
        }
        outcome
    }

    fn step(&mut self) {
        if self.family == Family::Granted {
            match self.random.below(100) {
                0..6 => self.reconsider(),
                6..9 => self.follow(),
                9..15 => self.follow_more(),
                15..18 => self.probe(),
                18..20 => self.probe_wildcard(),
                _ => {}
            }
        }
        match self.random.below(100) {
            0..30 => self.feed(),
            30..55 => self.drain(),
            55..78 => (0..self.random.range(1, 12)).for_each(|_| _ = self.visit()),
            78..84 => self.subscribe(),
            84..86 => self.unsubscribe(),
            86..90 => self.connect(),
            90..91 => self.disconnect(),
            91..93 => self.writable(),
            93..97 => self.time(),
            97..98 => self.news(),
            98..99 => self.list(),
            _ => self.nonsense(),
        }
        self.closes();
    }

    /// Whether everything is to happen.
    fn has_edges(&self) -> bool {
        matches!(self.family, Family::Tiny | Family::Granted)
    }

    fn feed(&mut self) {
        let mut batch = Vec::new();
        // An epoch's end drops what was not delivered of it, so that strict worlds have only one.
        if self.family != Family::Roomy && self.random.chance(1) {
            self.feed.restart(&mut batch);
            self.ring.publish(&mut batch, &mut self.feed);
        } else if self.random.chance(2) {
            self.feed.list(&mut batch);
            self.ring.publish(&mut batch, &mut self.feed);
        }
        for _ in 0..self.random.range(1, if self.has_edges() { 25 } else { 60 }) {
            self.feed.event(&mut batch);
            if self.random.chance(50) {
                self.ring.publish(&mut batch, &mut self.feed);
            }
        }
        self.ring.publish(&mut batch, &mut self.feed);
    }

    fn drain(&mut self) {
        // Now and then the shard is too late.
        if self.has_edges() && self.random.chance(3) {
            (0..self.random.range(3, 30)).for_each(|_| self.feed());
        }
        let most = if self.random.chance(20) { u64::MAX } else { self.random.range(1, 80) };
        self.ring.drain(&mut self.hub, most, self.now_ns);
    }

    /// Visits of a group: messages gathered for some whose turn it is, then told what became of each.
    /// `false` if it is nobody's turn.
    fn visit(&mut self) -> bool {
        let group = if self.random.chance(50) { 1 } else { self.random.range(2, 6) };
        self.out.clear();
        let mut gathered: Vec<Gathered> = Vec::new();
        while gathered.len() < group as usize
            && let Some(conn) = self.hub.next_visit(self.now_ns)
        {
            assert!(gathered.iter().all(|other| other.conn != conn), "one visit at a time");
            let start = self.out.len();
            let visit = self.hub.collect(conn, self.now_ns, &mut self.out);
            self.last_visit = Some((conn, visit));
            assert_eq!(visit.bytes, self.out.len() - start);
            assert!(visit.examined as usize <= self.limits.visit_entries);
            let urgent = self.urgent();
            gathered.push(Gathered { conn, visit, urgent, message: start..self.out.len() });
        }
        let is_any = !gathered.is_empty();
        while !gathered.is_empty() {
            let which = self.random.below(gathered.len() as u64) as usize;
            let gathered = gathered.remove(which);
            self.tell(gathered);
        }
        is_any
    }

    /// Tells the hub what became of a visit's message, and the client what was in it.
    fn tell(&mut self, gathered: Gathered) {
        let Gathered { conn, visit, urgent, message } = gathered;
        if self.tell_follower(conn, message.clone()) {
            return;
        }
        let seat = self.seats.iter_mut().find(|seat| seat.conn == conn).expect("it is connected");
        assert!(!seat.is_blocked, "a blocked connection is not visited");
        let due_ns = self.due_ns.entry(conn).or_default();
        let is_early = self.now_ns < *due_ns;
        // Whose wait a filling log has cut is not known here, nor when they are due after it.
        let is_known = self.hub.counters().waits_cut == 0;
        assert!(
            !is_known || !is_early || seat.urgent != urgent,
            "a visit before its time: {conn:?} at {}, due at {due_ns}, {visit:?}, {:?}",
            self.now_ns,
            self.hub.counters(),
        );
        if message.is_empty() {
            self.hub.commit(conn);
            return;
        }
        if !seat.client.is_strict && self.random.chance(12) {
            self.hub.abandon(conn);
            self.hub.handle_blocked(conn, self.now_ns);
            seat.is_blocked = true;
            return;
        }
        self.hub.commit(conn);
        if visit.more {
            // The rest follows without a pause.
            seat.urgent = u64::MAX;
        } else {
            seat.urgent = urgent;
            if visit.entries > 0 && !is_early {
                *due_ns = self.now_ns + self.limits.visit_interval_ns;
            }
        }
        let message = &self.out[message];
        for byte in message {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        }
        seat.client.laps_seen = self.hub.counters().laps;
        seat.client.read(message, &self.feed, self.limits.visit_bytes);
        if !seat.client.is_strict && self.random.chance(6) {
            // A short write.
            self.hub.handle_blocked(conn, self.now_ns);
            seat.is_blocked = true;
        }
        let grant = Arc::clone(&seat.client.grant);
        self.check_position(conn, &grant);
        if visit.more {
            self.interrupt(conn);
        }
    }

    /// Changes with everything after which somebody may be visited before his time.
    fn urgent(&self) -> u64 {
        let c = self.hub.counters();
        let asked = c.subscribes + c.topics_refused + c.unsubscribes;
        let told = c.definitions + c.images + c.epochs + self.news;
        asked + told + c.waits_cut + c.entitlements
    }

    fn connect(&mut self) {
        let encoding = if self.random.chance(70) { Encoding::Sbe } else { Encoding::Json };
        let Ok(conn) = self.hub.connect(encoding, self.now_ns) else {
            let all = self.seats.len() + self.followers.len();
            assert_eq!(all, self.limits.connections_max as usize);
            return;
        };
        let mut client = Client::new(encoding, self.hub.epoch());
        client.is_strict = self.family == Family::Roomy && self.random.chance(50);
        let seat = Seat { client, conn, is_blocked: false, urgent: u64::MAX };
        self.seats.push(seat);
        self.begin_trust(self.seats.len() - 1);
        if !self.gone.is_empty() && self.random.chance(60) {
            self.resume();
        } else {
            self.subscribe_at(self.seats.len() - 1);
        }
    }

    fn disconnect(&mut self) {
        if !self.seats.is_empty() {
            let at = self.random.below(self.seats.len() as u64) as usize;
            let seat = self.seats.swap_remove(at);
            self.hub.disconnect(seat.conn);
            self.gone.push(seat.client);
        }
    }

    fn closes(&mut self) {
        while let Some((conn, code)) = self.hub.next_close() {
            if let Some(at) = self.followers.iter().position(|(other, _)| *other == conn) {
                self.leave(at);
                continue;
            }
            assert_eq!(code, wire::CloseCode::SlowConsumer);
            let at = self.seats.iter().position(|seat| seat.conn == conn).unwrap();
            assert!(self.seats[at].is_blocked, "only who does not read is closed");
            let seat = self.seats.swap_remove(at);
            self.hub.disconnect(conn);
            self.gone.push(seat.client);
        }
    }

    fn writable(&mut self) {
        for seat in &mut self.seats {
            if seat.is_blocked && self.random.chance(60) {
                self.hub.handle_writable(seat.conn, self.now_ns);
                seat.is_blocked = false;
            }
        }
    }

    fn time(&mut self) {
        self.now_ns += self.random.below(60_000_000);
        if self.random.chance(80) {
            self.hub.handle_timers(self.now_ns);
        }
    }

    fn news(&mut self) {
        let state = *self.random.pick(&[FeedState::Live, FeedState::Silent, FeedState::Stopped]);
        self.hub.handle_feed(state, self.now_ns);
        self.news += 1;
    }

    fn list(&mut self) {
        let mut batch = Vec::new();
        self.feed.list(&mut batch);
        self.ring.publish(&mut batch, &mut self.feed);
    }

    /// Records that no feed of ours would write. Not within a group: that would break it.
    fn nonsense(&mut self) {
        if self.ring.is_within_group() {
            return;
        }
        let mut tick = Tick::from_epoch(0, 0);
        tick.kind = self.random.below(256) as u8;
        tick.instrument = self.random.below(100) as u32 + 64;
        tick.seq = 0;
        tick.levels = self.random.below(256) as u8;
        tick.body = [self.random.next(); 11];
        if !matches!(tick.kind(), Ok(wire::Kind::Epoch | wire::Kind::Definition)) {
            self.hub.handle_record(&tick, self.now_ns);
        }
    }

    /// The feed is silent, everybody reads, time passes.
    fn settle(&mut self) {
        // Often it ends with a lap, so that what only images know is the newest.
        if self.has_edges() && self.random.chance(50) {
            (0..self.random.range(5, 60)).for_each(|_| self.feed());
        }
        self.ring.drain(&mut self.hub, u64::MAX, self.now_ns);
        assert_eq!(self.ring.backlog(), 0);
        let (mut quiet, mut visits) = (0, 0);
        while quiet < 5 {
            self.now_ns += 1_000_000;
            for seat in &mut self.seats {
                if std::mem::take(&mut seat.is_blocked) {
                    self.hub.handle_writable(seat.conn, self.now_ns);
                }
            }
            if quiet > 2 {
                self.now_ns += 1_000_000_000;
            }
            self.hub.handle_timers(self.now_ns);
            self.closes();
            let mut was_quiet = true;
            while self.visit() {
                was_quiet = false;
                visits += 1;
                assert!(visits < 100_000, "the hub does not come to rest: {:?}", self.last_visit);
            }
            quiet = if was_quiet { quiet + 1 } else { 0 };
        }
    }
}
