//! The outbox against a bus that loses, delays and forgets: whatever it does, readers get every tick once
//! and in order, or can tell how many they did not get, and never a wrong book.
//!
//! A run is a list of steps drawn by proptest: ticks pushed, time passing, requests delivered, lost before
//! or after they were done, done late; the connection lost; the bus emptied; entries of an earlier writer;
//! new epochs. Then everything is delivered, and a reader that has only the bus is compared with the feed.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use wire::{Book, Channel, Instrument, Kind, Level, Quote, Side, Trade, flags};

use super::*;

const OURS: u64 = 7;
const EARLIER: u64 = 3;
const INSTRUMENTS: u32 = 5;
const BUCKET: u32 = 2;

/// A bus with compare-and-append.
#[derive(Debug, Default)]
struct Bus {
    logs: BTreeMap<u32, Vec<(Offset, Batch)>>,
    catalog: Option<u64>,
    images: HashMap<u32, StoredImage>,
    pulses: usize,
}

impl Bus {
    fn tail(&self, bucket: u32) -> Option<Mark> {
        let (offset, batch) = self.logs.get(&bucket)?.last()?;
        Some(Mark { offset: *offset, writer: batch.writer, number: batch.number })
    }

    fn newest(&self, bucket: u32) -> Offset {
        self.tail(bucket).map_or(Offset::START, |mark| mark.offset)
    }

    fn append(&mut self, bucket: u32, batch: Batch) -> Offset {
        let offset = Offset(self.newest(bucket).0 + 1);
        self.logs.entry(bucket).or_default().push((offset, batch));
        offset
    }

    /// Does it, and answers.
    fn execute(&mut self, request: &Request) -> Option<Answer> {
        Some(match request {
            Request::Tail { bucket } => Answer::Tail { bucket: *bucket, tail: self.tail(*bucket) },
            Request::Append { bucket, expected, payload } => {
                let (bucket, actual) = (*bucket, self.newest(*bucket));
                if actual != *expected {
                    return Some(Answer::Conflict { bucket, actual });
                }
                let offset = self.append(bucket, Batch::decode(payload).unwrap());
                Answer::Appended { bucket, offset }
            }
            Request::PutCatalog(catalog) => {
                self.catalog = Some(catalog.epoch());
                Answer::CatalogPut { is_stored: true }
            }
            Request::PutImage(image) => {
                let instrument = image.image.definition.id;
                self.images.insert(instrument, (**image).clone());
                Answer::ImagePut { instrument, is_stored: true }
            }
            Request::Pulse(_) => {
                self.pulses += 1;
                return None;
            }
        })
    }
}

fn failure(request: &Request) -> Option<Answer> {
    Some(match request {
        Request::Tail { bucket } | Request::Append { bucket, .. } => {
            Answer::Doubt { bucket: *bucket }
        }
        Request::PutCatalog(_) => Answer::CatalogPut { is_stored: false },
        Request::PutImage(image) => {
            Answer::ImagePut { instrument: image.image.definition.id, is_stored: false }
        }
        Request::Pulse(_) => return None,
    })
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        instrument: u32,
        what: u8,
        value: i64,
    },
    Pass {
        ms: u64,
    },
    Deliver(usize),
    LoseRequest(usize),
    LoseAnswer(usize),
    /// Answered as unknown now, done later.
    Delay(usize),
    Arrive(usize),
    Reconnect,
    Straggle {
        bucket: u32,
    },
    Forget,
    NextEpoch,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..INSTRUMENTS, 0u8..4, 1i64..6)
            .prop_map(|(instrument, what, value)| Step::Push { instrument, what, value }),
        6 => (0u64..80).prop_map(|ms| Step::Pass { ms }),
        10 => any::<prop::sample::Index>().prop_map(|at| Step::Deliver(at.index(64))),
        2 => any::<prop::sample::Index>().prop_map(|at| Step::LoseRequest(at.index(64))),
        2 => any::<prop::sample::Index>().prop_map(|at| Step::LoseAnswer(at.index(64))),
        2 => any::<prop::sample::Index>().prop_map(|at| Step::Delay(at.index(64))),
        2 => any::<prop::sample::Index>().prop_map(|at| Step::Arrive(at.index(64))),
        1 => Just(Step::Reconnect),
        1 => (0..INSTRUMENTS.div_ceil(BUCKET)).prop_map(|bucket| Step::Straggle { bucket }),
    ]
}

/// What a feed has said, or a reader has understood.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    books: BTreeMap<u32, (u64, Book)>,
    last: BTreeMap<(u32, u8), Tick>,
}

impl State {
    fn apply(&mut self, group: &[Tick]) {
        let first = group[0];
        if first.kind() != Ok(Kind::Data(Channel::Depth)) {
            self.last.insert((first.instrument, first.kind), first);
            return;
        }
        let (seq, book) = self.books.entry(first.instrument).or_default();
        *seq = first.seq;
        if first.flags & flags::REPLACES_BOOK != 0 {
            book.clear();
        }
        group.iter().flat_map(Tick::depth_levels).for_each(|level| book.apply(&level));
    }

    fn seq(&self, tick: &Tick) -> u64 {
        match self.last.get(&(tick.instrument, tick.kind)) {
            Some(last) => last.seq,
            None if tick.kind() == Ok(Kind::Data(Channel::Depth)) => {
                self.books.get(&tick.instrument).map_or(0, |(seq, _)| *seq)
            }
            None => 0,
        }
    }
}

struct World {
    bus: Bus,
    outbox: Outbox,
    now_ns: u64,
    epoch: u64,
    wire: Vec<Request>,
    limbo: Vec<Request>,
    feed: State,
    /// Groups of this epoch, in order.
    pushed: Vec<Vec<Tick>>,
    /// The bus has lost what it had.
    has_forgotten: bool,
}

fn catalog(epoch: u64) -> Arc<Catalog> {
    let channels = Channel::Trade.bit() | Channel::Quote.bit() | Channel::Depth.bit();
    let instruments = (0..=INSTRUMENTS).map(|id| Instrument::numbered(id, channels)).collect();
    Arc::new(Catalog::new(epoch, BUCKET, instruments, INSTRUMENTS).unwrap())
}

impl World {
    fn new(held: usize) -> Self {
        let limits = Limits {
            batch: BatchLimits { bytes: 400, ticks: 8, age_ns: 5_000_000 },
            held,
            beat_ns: 100_000_000,
            image_age_ns: 300_000_000,
            image_bytes: 1 << 20,
            bucket_image_bytes: 2_000,
        };
        let mut outbox = Outbox::new(OURS, limits);
        outbox.set_connected(true);
        outbox.begin(catalog(1), Now { monotonic_ns: 0, realtime_ns: 1 });
        Self {
            bus: Bus::default(),
            outbox,
            now_ns: 0,
            epoch: 1,
            wire: Vec::new(),
            limbo: Vec::new(),
            feed: State::default(),
            pushed: Vec::new(),
            has_forgotten: false,
        }
    }

    fn push(&mut self, instrument: u32, what: u8, value: i64) {
        let mut group = Vec::new();
        match what {
            0 => {
                let trade = Trade {
                    price: value,
                    quantity: 1,
                    trade_id: 1,
                    ts_trade_ns: 1,
                    buyer_is_maker: false,
                };
                group.push(Tick::from_trade(instrument, self.now_ns, &trade));
            }
            1 => {
                let quote = Quote {
                    bid_price: value,
                    bid_quantity: 1,
                    ask_price: value + 1,
                    ask_quantity: 1,
                    update_id: 1,
                };
                group.push(Tick::from_quote(instrument, self.now_ns, &quote));
            }
            _ => {
                // Sometimes more levels than one tick has, sometimes a level that goes.
                let levels: Vec<Level> = (0..value)
                    .map(|i| Level {
                        side: if i % 2 == 0 { Side::Bid } else { Side::Ask },
                        price: if i % 2 == 0 { 100 - value - i } else { 200 + value + i },
                        quantity: if what == 2 { value } else { i % 2 },
                    })
                    .collect();
                let ids = self.now_ns..=self.now_ns;
                Tick::push_depth(&mut group, instrument, self.now_ns, ids, &levels);
            }
        }
        let seq = self.feed.seq(&group[0]) + 1;
        group.iter_mut().for_each(|tick| tick.seq = seq);
        self.feed.apply(&group);
        self.outbox.push(&group, self.now_ns);
        self.pushed.push(group);
        // What is in flight cannot be dropped: at most a batch of each bucket, of a group more than 8 ticks.
        let in_flight = 3 * 10;
        assert!(self.outbox.held() <= self.outbox.held_max() + in_flight, "{}", self.outbox.held());
    }

    const fn now(&self) -> Now {
        Now { monotonic_ns: self.now_ns, realtime_ns: self.now_ns + 1 }
    }

    fn poll(&mut self) {
        let now = self.now();
        let mut asked = 0;
        while let Some(request) = self.outbox.poll(now) {
            if let Request::Append { bucket, .. } = &request {
                let others = self.wire.iter().filter(
                    |other| matches!(other, Request::Append { bucket: b, .. } if b == bucket),
                );
                assert_eq!(others.count(), 0, "one append in flight per bucket");
            }
            self.wire.push(request);
            asked += 1;
            assert!(asked < 1_000, "it comes to rest");
        }
    }

    fn answer(&mut self, answer: Option<Answer>) {
        if let Some(answer) = answer {
            self.outbox.handle(answer, self.now_ns).expect("nobody else is there");
        }
        self.poll();
    }

    fn take(&mut self, at: usize) -> Option<Request> {
        (!self.wire.is_empty()).then(|| self.wire.remove(at % self.wire.len()))
    }

    fn execute(&mut self, request: &Request) -> Option<Answer> {
        if let Request::PutImage(stored) = request {
            // Nothing is in an image that is not in the log; unless the log began anew.
            let bucket = stored.image.definition.id / BUCKET;
            assert!(stored.offset <= self.bus.newest(bucket) || self.has_forgotten);
        }
        self.bus.execute(request)
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Push { instrument, what, value } => self.push(instrument, what, value),
            Step::Pass { ms } => self.now_ns += ms * 1_000_000,
            Step::Deliver(at) => {
                if let Some(request) = self.take(at) {
                    let answer = self.execute(&request);
                    self.answer(answer);
                }
            }
            Step::LoseRequest(at) => {
                if let Some(request) = self.take(at) {
                    self.answer(failure(&request));
                }
            }
            Step::LoseAnswer(at) => {
                if let Some(request) = self.take(at) {
                    self.execute(&request);
                    self.answer(failure(&request));
                }
            }
            Step::Delay(at) => {
                if let Some(request) = self.take(at) {
                    let answer = failure(&request);
                    // Values have no compare-and-append: the connection keeps their order.
                    if matches!(request, Request::Append { .. }) {
                        self.limbo.push(request);
                    }
                    self.answer(answer);
                }
            }
            Step::Arrive(at) => {
                if !self.limbo.is_empty() {
                    let request = self.limbo.remove(at % self.limbo.len());
                    self.execute(&request);
                }
            }
            Step::Reconnect => {
                self.outbox.set_connected(false);
                self.poll();
                self.outbox.set_connected(true);
            }
            // An earlier writer's append only fits where none of ours is yet.
            Step::Straggle { bucket }
                if self.bus.tail(bucket).is_none_or(|mark| mark.writer != OURS) =>
            {
                let ticks = Vec::new();
                let batch = Batch { writer: EARLIER, number: 9, epoch: 99, sent_ns: 0, ticks };
                self.bus.append(bucket, batch);
            }
            Step::Straggle { .. } => {}
            Step::Forget => {
                self.limbo.clear();
                self.has_forgotten = true;
                self.bus = Bus::default();
                // Its connections end with it.
                self.outbox.set_connected(false);
                for request in std::mem::take(&mut self.wire) {
                    self.answer(failure(&request));
                }
                self.outbox.set_connected(true);
            }
            Step::NextEpoch => {
                self.epoch += 1;
                self.feed = State::default();
                self.pushed.clear();
                let now = self.now();
                self.outbox.begin(catalog(self.epoch), now);
            }
        }
        self.poll();
    }

    /// Lets everything come to rest.
    fn settle(&mut self) {
        self.outbox.close();
        for _ in 0..10_000 {
            self.poll();
            if self.outbox.is_closed() {
                return;
            }
            match self.take(0) {
                Some(request) => {
                    let answer = self.execute(&request);
                    self.answer(answer);
                }
                None => {
                    let wake_at_ns = self.outbox.wake_at_ns().expect("it is not done");
                    self.now_ns = self.now_ns.max(wake_at_ns);
                }
            }
        }
        panic!("it does not come to rest: {:?}", self.outbox);
    }

    /// The groups of this epoch in the logs, by topic.
    fn logged(&self) -> BTreeMap<(u32, u8), Vec<Vec<Tick>>> {
        let mut topics: BTreeMap<_, Vec<Vec<Tick>>> = BTreeMap::new();
        let batches = self.bus.logs.iter().filter(|(bucket, _)| **bucket != THRONE_BUCKET);
        for (_, batch) in batches.flat_map(|(_, log)| log).filter(|(_, b)| b.epoch == self.epoch) {
            for group in batch.ticks.chunk_by(|tick, _| !tick.ends()) {
                topics
                    .entry((group[0].instrument, group[0].kind))
                    .or_default()
                    .push(group.to_vec());
            }
        }
        topics
    }

    /// What a reader makes of the bus: images, and what the logs have behind them.
    fn read(&self) -> State {
        let mut state = State::default();
        for stored in self.bus.images.values().filter(|stored| stored.image.epoch == self.epoch) {
            let image = &stored.image;
            if image.depth_seq > 0 {
                let mut book = Book::new();
                for (side, levels) in [(Side::Bid, &image.bids), (Side::Ask, &image.asks)] {
                    for &(price, quantity) in levels {
                        book.apply(&Level { side, price, quantity });
                    }
                }
                state.books.insert(image.definition.id, (image.depth_seq, book));
            }
            state.last.extend(image.last.iter().map(|tick| ((tick.instrument, tick.kind), *tick)));
        }
        for group in self.logged().into_values().flatten() {
            let tick = &group[0];
            let seq = state.seq(tick);
            if tick.seq > seq {
                let is_depth = tick.kind() == Ok(Kind::Data(Channel::Depth));
                let replaces = tick.flags & flags::REPLACES_BOOK != 0;
                assert!(!is_depth || replaces || tick.seq == seq + 1, "a book with a hole");
                state.apply(&group);
            }
        }
        state
    }

    fn check_order(&self) {
        for (topic, groups) in self.logged() {
            let rises = groups.windows(2).all(|two| two[0][0].seq < two[1][0].seq);
            assert!(rises, "once and in order: {topic:?}");
        }
    }

    fn check_all_there(&self) {
        let mut pushed: BTreeMap<_, Vec<Vec<Tick>>> = BTreeMap::new();
        for group in &self.pushed {
            pushed.entry((group[0].instrument, group[0].kind)).or_default().push(group.clone());
        }
        assert_eq!(self.logged(), pushed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_tick_is_appended_once_and_in_order(steps in prop::collection::vec(step(), 0..250)) {
        let mut world = World::new(100_000);
        steps.iter().for_each(|step| world.run(step));
        world.settle();
        world.check_order();
        world.check_all_there();
        assert_eq!(world.read(), world.feed);
        assert_eq!(world.outbox.counters.dropped, 0);
        assert_eq!(world.bus.tail(THRONE_BUCKET).unwrap().writer, super::super::throne::NOBODY);
    }

    /// Beyond the bound ticks are dropped: numbers jump, but what a reader has is true.
    #[test]
    fn what_is_dropped_can_be_told_and_no_book_is_wrong(
        steps in prop::collection::vec(step(), 0..400),
    ) {
        let mut world = World::new(1);
        assert!(world.outbox.held_max() < 60);
        steps.iter().for_each(|step| world.run(step));
        world.settle();
        world.check_order();
        assert_eq!(world.read(), world.feed);
        let counters = world.outbox.counters;
        if counters.dropped == 0 {
            world.check_all_there();
        }
    }

    /// A bus that loses all it has, and feeds that begin anew.
    #[test]
    fn a_bus_without_memory_and_new_epochs_leave_readers_with_the_truth(
        steps in prop::collection::vec(
            prop_oneof![30 => step(), 1 => Just(Step::Forget), 1 => Just(Step::NextEpoch)],
            0..300,
        ),
        held in prop_oneof![Just(1usize), Just(100_000)],
    ) {
        let mut world = World::new(held);
        steps.iter().for_each(|step| world.run(step));
        world.settle();
        world.check_order();
        assert_eq!(world.bus.catalog, Some(world.epoch));
        assert_eq!(world.read(), world.feed);
    }
}

/// Readers read the log from the oldest image of their bucket on, and all of it while one is missing.
#[test]
fn images_of_quiet_instruments_move_on_with_the_log() {
    let mut world = World::new(100_000);
    world.push(1, 1, 3);
    for _ in 0..200 {
        world.push(0, 1, 3);
        world.push(2, 0, 3);
        // Images are due after 300 ms.
        for step in [Step::Pass { ms: 10 }, Step::Deliver(0), Step::Deliver(0), Step::Deliver(0)] {
            world.run(&step);
        }
    }
    while !world.wire.is_empty() {
        world.run(&Step::Deliver(0));
    }
    let newest = world.bus.newest(0).0;
    assert!(newest > 150, "{newest}");
    for instrument in 0..2 {
        let image = &world.bus.images[&instrument];
        assert!(image.offset.0 > newest - 60, "{} of {newest}", image.offset);
    }
    let silent = &world.bus.images[&3];
    assert!(silent.offset.0 > 0 && silent.image.last.is_empty());
    assert!(!world.bus.images.contains_key(&4), "nothing was appended to its bucket");
}
