//! Simulates a bus that loses, delays and forgets around one assembly, and checks what it emits.
//!
//! How it works. A model bus has a log for each of three buckets; a writer appends batches of trades and
//! depth groups with contiguous numbers and stores images now and then. Steps drawn at random append,
//! deliver or drop what is on its way to the node, answer one of the open requests (what is answered is
//! looked up when the request arrives, and may be delivered much later, in any order), cut and make the
//! connection, forget the oldest entries, and begin the log or the epoch anew. A model of the
//! caller takes the events by the rules that `Event` states, and fails on any number that is doubled, out of
//! order, or left out without an announcement. At the end everything pending is delivered, and the caller
//! must have every number up to the log's end and the book of the last depth group.

use std::collections::{BTreeMap, VecDeque};

use bus::assembly::{Assembly, Request};
use bus::{Batch, Catalog, Entry, Event, Offset, Slice, StoredImage};
use bytes::Bytes;
use proptest::prelude::*;
use wire::{Channel, Instrument, InstrumentImage, Kind, Level, Presence, Side, Tick, Trade};

const BUCKETS: u32 = 3;
const BUCKET_SIZE: u32 = 2;

fn instrument(id: u32) -> Instrument {
    Instrument::numbered(id, Channel::Trade.bit() | Channel::Depth.bit())
}

fn catalog(epoch: u64) -> Catalog {
    let count = BUCKETS * BUCKET_SIZE;
    Catalog::new(epoch, BUCKET_SIZE, (0..count).map(instrument).collect(), count).unwrap()
}

/// The numbers of an instrument's last trade and depth group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    trade: u64,
    depth: u64,
}

fn trade(id: u32, seq: u64) -> Tick {
    let trade =
        Trade { price: 1, quantity: 1, trade_id: seq, ts_trade_ns: 1, buyer_is_maker: false };
    Tick { seq, ..Tick::from_trade(id, 1, &trade) }
}

fn depth(ticks: &mut Vec<Tick>, id: u32, seq: u64) {
    let begin = ticks.len();
    let level = Level { side: Side::Bid, price: 1, quantity: 1 };
    Tick::push_depth(ticks, id, 1, seq..=seq, &[level; 5]);
    ticks[begin..].iter_mut().for_each(|tick| tick.seq = seq);
}

/// The bus and its only writer.
struct Bus {
    epoch: u64,
    logs: Vec<VecDeque<Entry>>,
    newest: Vec<Offset>,
    images: BTreeMap<u32, Bytes>,
    /// Offsets count over all buckets, as at NATS.
    offset: u64,
    numbers: BTreeMap<u32, Numbers>,
}

impl Bus {
    fn new(epoch: u64) -> Self {
        let mut bus = Self {
            epoch,
            logs: vec![VecDeque::new(); BUCKETS as usize],
            newest: vec![Offset::START; BUCKETS as usize],
            images: BTreeMap::new(),
            offset: 0,
            numbers: BTreeMap::new(),
        };
        (0..BUCKETS * BUCKET_SIZE).for_each(|id| bus.store_image(id));
        bus
    }

    fn append(&mut self, bucket: u32, shape: u8) -> Entry {
        let mut ticks = Vec::new();
        for step in 0..1 + shape % 4 {
            let id = bucket * BUCKET_SIZE + u32::from(shape >> step & 1);
            let numbers = self.numbers.entry(id).or_default();
            if shape >> (step + 2) & 1 == 0 {
                numbers.trade += 1;
                ticks.push(trade(id, numbers.trade));
            } else {
                numbers.depth += 1;
                depth(&mut ticks, id, numbers.depth);
            }
        }
        self.offset += 1;
        let at = bucket as usize;
        let batch = Batch { writer: 1, number: self.offset, epoch: self.epoch, sent_ns: 1, ticks };
        let entry = Entry {
            offset: Offset(self.offset),
            previous: self.newest[at],
            payload: batch.encode(),
        };
        self.newest[at] = entry.offset;
        self.logs[at].push_back(entry.clone());
        entry
    }

    fn store_image(&mut self, id: u32) {
        let numbers = self.numbers.get(&id).copied().unwrap_or_default();
        let last = (numbers.trade > 0).then(|| trade(id, numbers.trade));
        let image = InstrumentImage {
            epoch: self.epoch,
            definition: instrument(id),
            presence: Presence::Attached,
            last: last.into_iter().collect(),
            depth_seq: numbers.depth,
            update_id: numbers.depth,
            ts_event_ns: 1,
            bids: vec![(1, 1)],
            asks: Vec::new(),
        };
        let offset = self.newest[(id / BUCKET_SIZE) as usize];
        self.images.insert(id, StoredImage { offset, image }.encode());
    }

    /// Keeps images within the log, as writers do.
    fn forget(&mut self, bucket: u32, keep: usize) {
        (0..BUCKET_SIZE).for_each(|i| self.store_image(bucket * BUCKET_SIZE + i));
        let log = &mut self.logs[bucket as usize];
        log.drain(..log.len().saturating_sub(keep));
    }

    fn read(&self, bucket: u32, after: Offset, entries_max: usize) -> Slice {
        let log = &self.logs[bucket as usize];
        let entries = log.iter().filter(|e| e.offset > after).take(entries_max).cloned().collect();
        Slice { entries, tail: self.newest[bucket as usize] }
    }
}

enum Answer {
    Catalog(Bytes),
    Images(Vec<Option<Bytes>>),
    Located(Offset),
    Slice(Slice),
}

/// The caller of a reader, by the rules of `Event`.
#[derive(Default)]
struct Caller {
    epoch: u64,
    /// The bus's: behind the back of a caller with another one, images are missing.
    bus_epoch: u64,
    /// Of each instrument: what was received of its trades and depth groups.
    received: BTreeMap<u32, Received>,
    attached: BTreeMap<u32, bool>,
    lost: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Received {
    trade: Option<u64>,
    depth: Option<u64>,
    /// Last value, from a tick or an image.
    last_trade: u64,
    /// The last group in the book; None: the book counts for nothing.
    book: Option<u64>,
}

impl Caller {
    fn take(&mut self, event: Event) {
        let ids = |bucket: u32| bucket * BUCKET_SIZE..(bucket + 1) * BUCKET_SIZE;
        match event {
            Event::Catalog(catalog) => {
                assert!(self.attached.is_empty(), "a catalog while something is wanted");
                self.epoch = catalog.epoch();
                self.received.clear();
            }
            Event::Image { bucket, image } => {
                assert_eq!(image.epoch, self.epoch);
                assert!(ids(bucket).contains(&image.definition.id));
                let received = self.received.entry(image.definition.id).or_default();
                for tick in &image.last {
                    let known = received.trade;
                    received.last_trade = received.last_trade.max(tick.seq);
                    assert!(known.is_none_or(|seq| seq >= tick.seq), "an image ahead of its ticks");
                }
                if received.book.is_none_or(|seq| image.depth_seq > seq) {
                    let ahead = received.depth.is_some_and(|seq| image.depth_seq > seq);
                    assert!(!ahead || !self.attached[&bucket], "a book ahead of its groups");
                    received.book = Some(image.depth_seq);
                }
            }
            Event::Ticks { bucket, ticks, .. } => {
                assert!(self.attached.contains_key(&bucket), "ticks of what is not wanted");
                ticks.iter().for_each(|tick| self.tick(bucket, tick));
            }
            Event::Attached { bucket } => {
                let before = self.attached.insert(bucket, true);
                assert_eq!(before, Some(false), "attached twice");
                for id in ids(bucket) {
                    let received = self.received.entry(id).or_default();
                    let is_outdated = self.epoch != self.bus_epoch;
                    assert!(received.book.is_some() || is_outdated, "attached without a book");
                }
            }
            Event::Lost { bucket } => {
                self.lost += 1;
                self.attached.insert(bucket, false);
                for id in ids(bucket) {
                    self.received.insert(id, Received::default());
                }
            }
            Event::Detached { bucket } => {
                assert!(self.attached.remove(&bucket).is_some());
                ids(bucket).for_each(|id| {
                    self.received.remove(&id);
                });
            }
            _ => {}
        }
    }

    fn tick(&mut self, bucket: u32, tick: &Tick) {
        assert_eq!(tick.instrument / BUCKET_SIZE, bucket);
        let received = self.received.entry(tick.instrument).or_default();
        if tick.kind() == Ok(Kind::Data(Channel::Trade)) {
            let follows = received.trade.is_none_or(|seq| tick.seq == seq + 1);
            assert!(follows, "trade {} after {:?}", tick.seq, received.trade);
            received.trade = Some(tick.seq);
            received.last_trade = tick.seq;
        } else if tick.begins() {
            let follows = received.depth.is_none_or(|seq| tick.seq == seq + 1);
            assert!(follows, "group {} after {:?}", tick.seq, received.depth);
            received.depth = Some(tick.seq);
            match received.book {
                Some(book) if tick.seq == book + 1 => received.book = Some(tick.seq),
                Some(book) => assert!(tick.seq <= book, "a book with a hole: {book}, {}", tick.seq),
                // Past groups before the image.
                None => assert!(!self.attached[&bucket] || self.epoch != self.bus_epoch),
            }
        }
    }
}

struct Simulation {
    bus: Bus,
    assembly: Assembly,
    caller: Caller,
    up: bool,
    subscribed: Vec<u32>,
    live: VecDeque<(u32, Entry)>,
    answers: Vec<(Request, Answer)>,
    /// How many entries before the newest history begins.
    history: u64,
}

impl Simulation {
    fn new(history: u64) -> Self {
        Self {
            bus: Bus::new(1),
            assembly: Assembly::new(3_000),
            caller: Caller::default(),
            up: false,
            subscribed: Vec::new(),
            live: VecDeque::new(),
            answers: Vec::new(),
            history,
        }
    }

    /// Takes what the assembly gives; requests arrive at the bus at once.
    fn settle(&mut self) {
        loop {
            while let Some(event) = self.assembly.poll_event() {
                let wants = matches!(event, Event::Catalog(_));
                self.caller.bus_epoch = self.bus.epoch;
                self.caller.take(event);
                if wants {
                    (0..BUCKETS).for_each(|bucket| self.want(bucket));
                }
            }
            let Some(request) = self.assembly.poll_request() else { return };
            self.ask(request);
        }
    }

    fn want(&mut self, bucket: u32) {
        self.caller.attached.insert(bucket, false);
        self.assembly.want(bucket);
    }

    fn ask(&mut self, request: Request) {
        let answer = match &request {
            Request::Catalog => Answer::Catalog(catalog(self.bus.epoch).encode().unwrap()),
            Request::Subscribe(bucket) => return self.subscribed.push(*bucket),
            Request::Unsubscribe(bucket) => return self.subscribed.retain(|b| b != bucket),
            Request::Images { instruments, .. } => {
                let image = |id| self.bus.images.get(&id).cloned();
                Answer::Images(instruments.clone().map(image).collect())
            }
            Request::Locate { .. } => {
                Answer::Located(Offset(self.bus.offset.saturating_sub(self.history)))
            }
            Request::Read { bucket, after, .. } => Answer::Slice(self.bus.read(*bucket, *after, 3)),
        };
        if self.up {
            self.answers.push((request, answer));
        }
    }

    fn answer(&mut self, at: usize) {
        let (request, answer) = self.answers.remove(at);
        match (request, answer) {
            (_, Answer::Catalog(bytes)) => self.assembly.catalog(Some(&bytes)),
            (Request::Images { bucket, ticket, .. }, Answer::Images(images)) => {
                self.assembly.images(bucket, ticket, &images);
            }
            (Request::Locate { bucket, ticket }, Answer::Located(offset)) => {
                self.assembly.located(bucket, ticket, offset);
            }
            (Request::Read { bucket, ticket, .. }, Answer::Slice(slice)) => {
                self.assembly.slice(bucket, ticket, &slice);
            }
            _ => unreachable!("an answer to something else"),
        }
        self.settle();
    }

    fn deliver(&mut self) {
        if let Some((bucket, entry)) = self.live.pop_front() {
            self.assembly.live(bucket, entry);
            self.settle();
        }
    }

    fn append(&mut self, bucket: u32, shape: u8) {
        let entry = self.bus.append(bucket, shape);
        if self.up && self.subscribed.contains(&bucket) {
            self.live.push_back((bucket, entry));
        }
    }

    fn cut(&mut self) {
        if self.up {
            self.up = false;
            self.answers.clear();
            self.assembly.disconnected("cut".to_owned());
            self.settle();
        }
    }

    fn connect(&mut self) {
        if !self.up {
            self.up = true;
            self.assembly.connected();
            self.settle();
        }
    }

    fn begin_epoch(&mut self) {
        let epoch = self.bus.epoch + 1;
        let old = std::mem::replace(&mut self.bus, Bus::new(epoch));
        // The logs go on; what they have is of the old epoch.
        self.bus.logs = old.logs;
        self.bus.newest = old.newest;
        self.bus.offset = old.offset;
        (0..BUCKETS * BUCKET_SIZE).for_each(|id| self.bus.store_image(id));
        if self.up {
            self.assembly.catalog_changed();
            self.settle();
        }
    }

    /// Everything on its way arrives, and the log's ends are told by one more entry each.
    fn finish(&mut self) {
        self.connect();
        for round in 0.. {
            while !self.live.is_empty() {
                self.deliver();
            }
            match self.answers.len() {
                0 => break,
                _ => self.answer(0),
            }
            assert!(round < 100_000, "it asks without end");
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(bucket, shape) => self.append(bucket % BUCKETS, shape),
            Step::Deliver => self.deliver(),
            Step::Drop(Told::No) => {
                self.live.pop_front();
            }
            Step::Drop(Told::Yes) => {
                if let Some((bucket, _)) = self.live.pop_front() {
                    self.assembly.missed(bucket);
                    self.settle();
                }
            }
            Step::Answer(at) if !self.answers.is_empty() => {
                self.answer(usize::from(at) % self.answers.len());
            }
            Step::Answer(_) => {}
            Step::Cut => self.cut(),
            Step::Connect => self.connect(),
            Step::Image(id) => self.bus.store_image(id % (BUCKETS * BUCKET_SIZE)),
            Step::Forget(bucket, keep) => self.bus.forget(bucket % BUCKETS, usize::from(keep)),
            Step::Leave(bucket) => {
                self.assembly.leave(bucket % BUCKETS);
                self.settle();
                if self.assembly.current_catalog().is_some() {
                    self.want(bucket % BUCKETS);
                    self.settle();
                }
            }
            Step::Epoch => self.begin_epoch(),
        }
    }

    /// What the caller must have, with nothing on its way any more.
    fn check(&mut self) {
        for bucket in 0..BUCKETS {
            assert_eq!(self.caller.attached.get(&bucket), Some(&true), "bucket {bucket}");
            for id in bucket * BUCKET_SIZE..(bucket + 1) * BUCKET_SIZE {
                let numbers = self.bus.numbers.get(&id).copied().unwrap_or_default();
                let received = self.caller.received[&id];
                assert_eq!(received.last_trade, numbers.trade, "trades of {id}");
                assert_eq!(received.book, Some(numbers.depth), "book of {id}");
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Told {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Append(u32, u8),
    Deliver,
    Drop(Told),
    Answer(u8),
    Cut,
    Connect,
    Image(u32),
    Forget(u32, u8),
    Leave(u32),
    Epoch,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (any::<u32>(), any::<u8>()).prop_map(|(bucket, shape)| Step::Append(bucket, shape)),
        10 => Just(Step::Deliver),
        1 => Just(Step::Drop(Told::No)),
        1 => Just(Step::Drop(Told::Yes)),
        10 => any::<u8>().prop_map(Step::Answer),
        1 => Just(Step::Cut),
        3 => Just(Step::Connect),
        2 => any::<u32>().prop_map(Step::Image),
        1 => (any::<u32>(), 0u8..6).prop_map(|(bucket, keep)| Step::Forget(bucket, keep)),
        1 => any::<u32>().prop_map(Step::Leave),
        1 => Just(Step::Epoch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_tick_once_in_order(
        steps in prop::collection::vec(step(), 0..300),
        history in 0u64..20,
    ) {
        let mut simulation = Simulation::new(history);
        simulation.connect();
        for step in steps {
            simulation.step(step);
        }
        // A live entry dropped without a word shows at the next one.
        simulation.finish();
        for bucket in 0..BUCKETS {
            simulation.append(bucket, 0);
        }
        simulation.finish();
        simulation.check();
    }

    #[test]
    fn nothing_is_lost_while_the_log_keeps_all(
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut simulation = Simulation::new(1_000);
        simulation.connect();
        for step in steps {
            if !matches!(step, Step::Forget(..)) {
                simulation.step(step);
            }
        }
        simulation.finish();
        for bucket in 0..BUCKETS {
            simulation.append(bucket, 0);
        }
        simulation.finish();
        simulation.check();
        prop_assert_eq!(simulation.caller.lost, 0);
        prop_assert_eq!(simulation.assembly.counters().resets, 0);
    }
}

#[test]
fn a_log_that_began_anew_is_announced() {
    let mut simulation = Simulation::new(5);
    simulation.connect();
    simulation.finish();
    for shape in 0..40 {
        simulation.append(0, shape);
    }
    simulation.finish();
    simulation.cut();
    // The bus was restarted and kept nothing; the writer goes on numbering.
    let numbers = std::mem::take(&mut simulation.bus.numbers);
    simulation.bus = Bus::new(1);
    simulation.bus.numbers = numbers;
    (0..BUCKETS * BUCKET_SIZE).for_each(|id| simulation.bus.store_image(id));
    simulation.append(0, 3);
    simulation.finish();
    assert_eq!(simulation.caller.lost, 1);
    assert_eq!(simulation.assembly.counters().resets, 1);
    simulation.check();
}
