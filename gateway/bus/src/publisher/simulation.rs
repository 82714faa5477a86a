//! Many sequencers at one log, with everything that can go wrong between them and it, from a seed.
//!
//! Each step does one thing at random: offer ticks, answer a request, lose an answer, lose a request, let a
//! request arrive long after its sender has stopped to wait for it, refuse one, kill a node and start another, drop
//! old entries of the log. In the end everything late arrives, nothing fails any more, and then: the numbers of each topic
//! are 1, 2, 3…; a tick that was acknowledged is in the log once, with its number; one that was certainly refused is
//! not in it; no tick is in it twice; and whatever was offered to a node that lives has been answered.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use proptest::prelude::*;
use wire::{Channel, Instrument, Symbol, Tick, Trade};

use super::sequencer::{Appended, Now, PublishError, Request, Sequencer, Terms};
use crate::batch::Batch;
use crate::entry::{Entry, Offset, Slice};
use crate::stored_image::StoredImage;

const EPOCH: u64 = 7;
const MS: u64 = 1_000_000;

/// Entries that the log keeps: more than the batches without an image that one appender may leave, and
/// one for each copy that arrives late.
const KEPT: usize = 24;

const TERMS: Terms = Terms {
    batch_ticks: 6,
    patience_ns: 400 * MS,
    attempts_max: 8,
    image_batches: 8,
    image_delay_ns: 300 * MS,
    pause_ns: 5 * MS,
};

/// SplitMix64: the world's only source of chance.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

fn instruments() -> Vec<Instrument> {
    let channels = Channel::Trade.bit();
    (0..3)
        .map(|id| Instrument {
            id,
            symbol: Symbol::new(&format!("C{id}")).unwrap(),
            base_len: 0,
            price_exponent: 0,
            quantity_exponent: 0,
            tick_size: 1,
            lot_size: 1,
            channels,
        })
        .collect()
}

/// A tick with a name of its own.
fn tick(id: u64, instrument: u32) -> Tick {
    let trade =
        Trade { price: 1, quantity: 1, trade_id: id, ts_trade_ns: 1, buyer_is_maker: false };
    Tick::from_trade(instrument, 1, &trade)
}

struct Node {
    sequencer: Sequencer,
    pending: Option<Request>,
}

struct World {
    chance: Chance,
    now: Now,
    /// What the bus keeps, and how much it has dropped.
    log: Vec<Entry>,
    /// Everything that was ever appended.
    history: Vec<Batch>,
    tail: Offset,
    images: HashMap<u32, Bytes>,
    nodes: Vec<Node>,
    late: Vec<(Offset, Bytes)>,
    writers: u64,
    last_tick: u64,
    last_ticket: u64,
    /// By ticket, the ids of its ticks.
    offered: HashMap<u64, Vec<u64>>,
    /// Tickets of nodes that died.
    orphaned: HashSet<u64>,
    settled: HashMap<u64, Result<Vec<u64>, PublishError>>,
    has_faults: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            chance: Chance(seed),
            now: Now { monotonic_ns: 0, unix_ns: 1 },
            log: Vec::new(),
            history: Vec::new(),
            tail: Offset::START,
            images: HashMap::new(),
            nodes: Vec::new(),
            late: Vec::new(),
            writers: 0,
            last_tick: 0,
            last_ticket: 0,
            offered: HashMap::new(),
            orphaned: HashSet::new(),
            settled: HashMap::new(),
            has_faults: true,
        };
        for _ in 0..3 {
            let node = world.start();
            world.nodes.push(node);
        }
        world
    }

    fn start(&mut self) -> Node {
        self.writers += 1;
        let sequencer = Sequencer::new(TERMS, self.writers, 1, EPOCH, instruments());
        Node { sequencer, pending: None }
    }

    fn append(&mut self, expected: Offset, payload: &Bytes) -> Appended {
        if expected != self.tail {
            return Appended::Conflict;
        }
        let offset = Offset(self.tail.0 + 1 + self.chance.next() % 3);
        self.log.push(Entry { offset, previous: self.tail, payload: payload.clone() });
        if self.log.len() > KEPT {
            self.log.remove(0);
        }
        self.history.push(Batch::decode(payload).unwrap());
        self.tail = offset;
        Appended::At(offset)
    }

    fn read(&mut self, after: Offset) -> Slice {
        let entries = self.log.iter().filter(|entry| entry.offset > after).cloned();
        // Sometimes it takes several pieces.
        let most = if self.chance.percent(30) { 1 } else { KEPT };
        Slice { entries: entries.take(most).collect(), tail: self.tail }
    }

    fn offer(&mut self, node: usize) {
        self.last_ticket += 1;
        let ids: Vec<u64> =
            (0..1 + self.chance.below(3) as u64).map(|i| self.last_tick + 1 + i).collect();
        self.last_tick += ids.len() as u64;
        let ticks = ids.iter().map(|&id| tick(id, u32::try_from(self.chance.below(3)).unwrap()));
        let ticks = ticks.collect();
        self.offered.insert(self.last_ticket, ids);
        self.nodes[node].sequencer.offer(self.last_ticket, ticks, self.now);
    }

    /// Takes what a node wants to ask, and what it has to say.
    fn poll(&mut self, at: usize) {
        let now = self.now;
        let node = &mut self.nodes[at];
        if let Some(request) = node.sequencer.poll(now) {
            assert!(node.pending.is_none(), "one request at a time");
            if let Request::Store { images } = request {
                // At once: a node that takes as long as others need for as many batches as the log keeps
                // could put an older image in the place of a newer one.
                self.images.extend(images);
                node.sequencer.handle_stored();
            } else {
                node.pending = Some(request);
            }
        }
        while let Some((ticket, numbers)) = self.nodes[at].sequencer.settled() {
            assert!(self.settled.insert(ticket, numbers).is_none(), "settled twice");
        }
    }

    fn answer(&mut self, at: usize) {
        let Some(request) = self.nodes[at].pending.take() else { return };
        let now = self.now;
        let fault = if self.has_faults { self.chance.below(10) } else { 9 };
        if let Request::Append { expected, payload } = request {
            let appended = match fault {
                0 => Appended::Unknown,
                1 => {
                    self.append(expected, &payload);
                    Appended::Unknown
                }
                2 => {
                    self.late.push((expected, payload));
                    Appended::Unknown
                }
                3 => Appended::Refused,
                _ => self.append(expected, &payload),
            };
            self.nodes[at].sequencer.handle_appended(appended, now);
            return;
        }
        if fault == 0 {
            return self.nodes[at].sequencer.handle_failed(now);
        }
        match request {
            Request::Images => {
                let images: Vec<StoredImage> =
                    self.images.values().map(|bytes| StoredImage::decode(bytes).unwrap()).collect();
                self.nodes[at].sequencer.handle_images(&images);
            }
            Request::Read { after } => {
                let slice = self.read(after);
                self.nodes[at].sequencer.handle_read(&slice, now);
            }
            Request::Append { .. } | Request::Store { .. } => unreachable!("answered above"),
        }
    }

    fn arrive_late(&mut self) {
        if !self.late.is_empty() {
            let at = self.chance.below(self.late.len());
            let (expected, payload) = self.late.swap_remove(at);
            self.append(expected, &payload);
        }
    }

    fn kill(&mut self, at: usize) {
        if let Some(Request::Append { expected, payload }) = self.nodes[at].pending.take() {
            self.late.push((expected, payload));
        }
        let unsettled = self.offered.keys().filter(|ticket| !self.settled.contains_key(ticket));
        // All that any node has not answered yet: those of the living are answered all the same.
        self.orphaned.extend(unsettled.copied().collect::<Vec<u64>>());
        self.nodes[at] = self.start();
    }

    fn step(&mut self) {
        let at = self.chance.below(self.nodes.len());
        match self.chance.below(100) {
            0..20 => self.offer(at),
            20..55 => self.poll(at),
            55..90 => self.answer(at),
            90..93 => self.arrive_late(),
            93 => self.kill(at),
            _ => {
                let ms = self.chance.next() % 40;
                self.now.monotonic_ns += ms * MS;
                self.now.unix_ns += ms * MS;
            }
        }
    }

    /// Ends all faults, and goes on until nothing is left to do.
    fn finish(&mut self) {
        self.has_faults = false;
        while !self.late.is_empty() {
            self.arrive_late();
        }
        for _ in 0..2_000 {
            for at in 0..self.nodes.len() {
                self.poll(at);
                self.answer(at);
            }
            self.now.monotonic_ns += 5 * MS;
        }
        assert!(self.nodes.iter().all(|node| node.pending.is_none()), "somebody asks for ever");
    }

    fn check(&self) {
        let mut seqs: HashMap<u32, u64> = HashMap::new();
        let mut numbers: HashMap<u64, u64> = HashMap::new();
        for tick in self.history.iter().flat_map(|batch| &batch.ticks) {
            let seq = seqs.entry(tick.instrument).or_default();
            *seq += 1;
            assert_eq!(tick.seq, *seq, "numbers of {} are dense", tick.instrument);
            let id = tick.trade().trade_id;
            assert!(numbers.insert(id, tick.seq).is_none(), "tick {id} is in the log twice");
        }
        for (ticket, ids) in &self.offered {
            let in_log: Vec<Option<u64>> = ids.iter().map(|id| numbers.get(id).copied()).collect();
            match self.settled.get(ticket) {
                Some(Ok(acked)) => {
                    let acked: Vec<Option<u64>> = acked.iter().copied().map(Some).collect();
                    assert_eq!(in_log, acked, "ticket {ticket}");
                }
                Some(Err(PublishError::Uncertain)) => {}
                Some(Err(_)) => assert!(in_log.iter().all(Option::is_none), "ticket {ticket}"),
                None => assert!(self.orphaned.contains(ticket), "ticket {ticket} has no answer"),
            }
        }
    }
}

fn simulate(seed: u64, steps: usize) -> World {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.finish();
    world.check();
    world
}

#[test]
fn most_ticks_are_published_and_every_fault_occurs() {
    let (mut acked, mut refused, mut uncertain, mut conflicts) = (0, 0, 0, 0);
    for seed in 0..40 {
        let mut world = simulate(seed, 4_000);
        for numbers in world.settled.values() {
            match numbers {
                Ok(_) => acked += 1,
                Err(PublishError::Uncertain) => uncertain += 1,
                Err(_) => refused += 1,
            }
        }
        let tallies = world.nodes.iter_mut().map(|node| node.sequencer.take_tally());
        conflicts += tallies.map(|tally| tally.conflicts).sum::<u64>();
    }
    assert!(acked > 4 * (refused + uncertain), "{acked} {refused} {uncertain}");
    assert!(refused > 0 && uncertain > 0 && conflicts > 0, "{refused} {uncertain} {conflicts}");
}

#[test]
fn two_publishers_of_one_topic_get_each_others_numbers() {
    let mut world = World::new(1);
    world.has_faults = false;
    for _ in 0..50 {
        for node in 0..2 {
            world.offer(node);
        }
        for _ in 0..12 {
            for node in 0..2 {
                world.poll(node);
                world.answer(node);
            }
        }
    }
    world.finish();
    world.check();
    assert_eq!(world.settled.len(), 100);
    assert!(world.settled.values().all(Result::is_ok));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn numbers_are_dense_and_answers_true(seed: u64, steps in 100usize..3_000) {
        simulate(seed, steps);
    }
}
