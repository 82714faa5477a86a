//! Clients of a node, served by the real feeder, ring and hub.
//!
//! Each client subscribes to trades and quotes of some instruments, reads every message that the hub has for it, and
//! holds the numbers against each other: none twice, none out of order, none left out without a gap event that
//! counts it. A conflated quote is such a gap.

use std::collections::BTreeMap;

use bus::Catalog;
use feed_sim::Feeder;
use hub::{ConnId, Hub, Limits};
use ring::{Reader, Ring, Start};
use wire::command::{Buffers, Command};
use wire::sbe::{self, Message};
use wire::{Encoding, InstrumentImage, Presence, Tick};

/// Records of a ring here: a node's hub reads it at once.
const RING_CAPACITY: usize = 1 << 12;

#[derive(Debug)]
struct Client {
    /// The next number of each topic, by instrument and channel.
    next: BTreeMap<(u32, u8), u64>,
}

/// What clients saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Ticks delivered one by one.
    pub(crate) delivered: u64,
    /// Ticks announced as skipped.
    pub(crate) skipped: u64,
}

/// See the module.
pub(crate) struct Clients {
    feeder: Feeder,
    ring: Ring,
    reader: Reader,
    hub: Hub,
    clients: BTreeMap<u32, (ConnId, Client)>,
    message: Vec<u8>,
    pub(crate) seen: Seen,
}

impl Clients {
    /// Clients that subscribe to these instruments each.
    pub(crate) fn new(catalog: &Catalog, topics: &[Vec<u32>], now_ns: u64) -> Self {
        let instruments = catalog.instruments();
        let shape = feed_sim::shape(instruments, RING_CAPACITY, 1);
        let (publisher, ring) = Ring::heap(shape, catalog.epoch());
        let mut feeder = Feeder::new(publisher, shape);
        feeder
            .begin_epoch_as(catalog.epoch(), instruments, Presence::Detached, now_ns)
            .expect("the ring has the shape of the instruments");
        let reader = ring.reader(Start::Oldest);
        let limits = Limits {
            connections_max: 64,
            log_entries: 1 << 12,
            log_ticks: 1 << 13,
            arena_bytes: [1 << 16, 1 << 16],
            lag_entries_max: 1 << 11,
            ..Limits::default()
        };
        let hub = Hub::new(limits);
        let (clients, message, seen) = (BTreeMap::new(), Vec::new(), Seen::default());
        let mut all = Self { feeder, ring, reader, hub, clients, message, seen };
        all.settle(now_ns);
        for (number, instruments) in (0..).zip(topics) {
            all.subscribe(number, instruments, now_ns);
        }
        all.settle(now_ns);
        all
    }

    fn subscribe(&mut self, number: u32, instruments: &[u32], now_ns: u64) {
        let conn = self.hub.connect(Encoding::Sbe, now_ns).expect("there is room");
        let names = instruments
            .iter()
            .flat_map(|id| ["trade", "quote"].map(|channel| format!("\"S{id}.{channel}\"")));
        let names: Vec<String> = names.collect();
        let text = format!(r#"{{"op":"subscribe","topics":[{}]}}"#, names.join(","));
        let (mut bytes, mut reply) = (text.into_bytes(), Vec::new());
        let mut buffers = Buffers::new();
        let command = Command::parse(&mut bytes, &mut buffers).expect("a well-formed command");
        self.hub.handle_command(conn, &command, now_ns, &mut reply);
        let reply = String::from_utf8(reply).expect("text");
        assert!(!reply.contains("\"ok\":false"), "{reply}");
        self.clients.insert(number, (conn, Client { next: BTreeMap::new() }));
    }

    pub(crate) fn learn(&mut self, image: &InstrumentImage) {
        self.feeder.learn(image);
    }

    pub(crate) fn relay(&mut self, ticks: &[Tick], now_ns: u64) {
        // No more than the ring has, so that nothing laps.
        for some in ticks.chunks(RING_CAPACITY / 4) {
            self.feeder.relay(some, now_ns);
            self.settle(now_ns);
        }
    }

    pub(crate) fn set_presence(
        &mut self,
        instruments: impl IntoIterator<Item = u32>,
        presence: Presence,
        now_ns: u64,
    ) {
        self.feeder.set_presence(instruments, presence, now_ns);
        self.settle(now_ns);
    }

    /// The last number that clients have of a topic, at least and at most: `None`, nobody subscribes to it.
    pub(crate) fn accounted_to(&self, topic: (u32, u8)) -> Option<(u64, u64)> {
        let numbers = self.clients.values().filter_map(|(_, client)| client.next.get(&topic));
        let (least, most) =
            numbers.fold((u64::MAX, 0), |(least, most), next| (least.min(*next), most.max(*next)));
        (most > 0).then(|| (least - 1, most - 1))
    }

    /// The hub reads the ring, and its clients read whatever there is for them.
    fn settle(&mut self, now_ns: u64) {
        let mut records = Vec::new();
        loop {
            let read = self.reader.read(&mut records, RING_CAPACITY);
            assert_eq!(read.lost, 0, "the ring is read at once");
            for record in &records {
                self.hub.handle_record(&Tick::from_words(*record), now_ns);
                if let Some(instrument) = self.hub.next_image() {
                    self.recover(instrument, now_ns);
                }
            }
            if read.records == 0 {
                break;
            }
        }
        self.hub.handle_recovered(now_ns);
        while let Some(conn) = self.hub.next_visit(now_ns) {
            self.message.clear();
            self.hub.collect(conn, now_ns, &mut self.message);
            self.hub.commit(conn);
            let found = self.clients.values_mut().find(|(of, _)| *of == conn);
            if let Some((_, client)) = found {
                client.read(&self.message, &mut self.seen);
            }
        }
    }

    fn recover(&mut self, instrument: u32, now_ns: u64) {
        let mut words = Vec::new();
        let slot = usize::try_from(instrument).expect("instruments are few");
        if self.ring.read_image(slot, &mut words).is_none() {
            return;
        }
        let image = InstrumentImage::decode(&words).expect("written by the feeder");
        self.hub.handle_image(&image, now_ns);
    }
}

impl Client {
    fn read(&mut self, message: &[u8], seen: &mut Seen) {
        for message in sbe::decode(message) {
            match message.expect("what the hub writes can be read") {
                Message::Gap(gap) => {
                    for gap in gap.entries.clone() {
                        let topic = (gap.instrument, gap.channel.code());
                        if let Some(next) = self.next.get_mut(&topic) {
                            assert_eq!(gap.first_seq, *next, "{topic:?}: a gap from elsewhere");
                            *next += gap.count;
                            seen.skipped += gap.count;
                        }
                    }
                }
                message => {
                    let (Some(head), Some(channel)) = (message.head(), message.channel()) else {
                        continue;
                    };
                    let topic = (head.instrument, channel.code());
                    let next = self.next.entry(topic).or_insert(head.seq);
                    assert_eq!(head.seq, *next, "{topic:?}: lost, doubled or reordered");
                    *next += 1;
                    seen.delivered += 1;
                }
            }
        }
    }
}
