//! Feeder and run against a ring: what a reader finds, from the start, late, or after being lapped.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "numbers of a test are small"
)]

mod recorded;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use feed_sim::pulse::Pulse;
use feed_sim::replay::{Repeat, Replay};
use feed_sim::{
    Backpressure, Feed, Feeder, FeederError, Next, Outcome, Pacing, Speed, Start, Wait, run, shape,
};
use recorded::{BTC, ETH, recording};
use ring::{Ring, Shape, State};
use wire::{
    Book, Channel, GROUP_LEVELS_MAX, Instrument, InstrumentImage, Kind, Level, Quote, Side, Symbol,
    Tick, Trade, TradingStatus, flags,
};

fn instrument(id: u32, channels: &[Channel]) -> Instrument {
    Instrument {
        id,
        symbol: Symbol::new(&format!("X{id}")).unwrap(),
        base_len: 0,
        price_exponent: -2,
        quantity_exponent: -2,
        tick_size: 1,
        lot_size: 1,
        channels: channels.iter().fold(0, |set, channel| set | channel.bit()),
    }
}

fn quote(instrument: u32, n: i64) -> Tick {
    let quote =
        Quote { bid_price: n, bid_quantity: 1, ask_price: n + 1, ask_quantity: 1, update_id: 0 };
    Tick::from_quote(instrument, 5, &quote)
}

fn depth(instrument: u32, update_id: u64, levels: &[Level]) -> Vec<Tick> {
    let mut group = Vec::new();
    Tick::push_depth(&mut group, instrument, 5, update_id..=update_id, levels);
    group
}

fn drain(reader: &mut ring::Reader) -> Vec<Tick> {
    let (mut records, mut ticks) = (Vec::new(), Vec::new());
    loop {
        let read = reader.read(&mut records, 4096);
        assert_eq!(read.lost, 0);
        if read.records == 0 {
            return ticks;
        }
        ticks.extend(records.iter().copied().map(Tick::from_words));
    }
}

fn image(ring: &Ring, slot: usize) -> (u64, InstrumentImage) {
    let mut words = Vec::new();
    let position = ring.read_image(slot, &mut words).expect("every instrument has an image");
    (position, InstrumentImage::decode(&words).unwrap())
}

fn level(side: Side, price: i64, quantity: i64) -> Level {
    Level { side, price, quantity }
}

#[test]
fn a_stream_begins_with_its_epoch_and_numbers_every_topic_alone() {
    let instruments = [
        instrument(0, &[Channel::Quote, Channel::Trade, Channel::Depth, Channel::Depth5]),
        instrument(1, &[Channel::Quote, Channel::Status]),
    ];
    let shape = shape(&instruments, 1 << 10, 10);
    let (publisher, ring) = Ring::heap(shape, 77);
    let mut reader = ring.reader(ring::Start::Oldest);
    let mut feeder = Feeder::new(publisher, shape);
    assert_eq!(feeder.begin_epoch(&instruments, 1_000), Ok(77));

    let bids: Vec<Level> = (0..9).map(|n| level(Side::Bid, 10 - n, 1)).collect();
    let mut batch = vec![quote(0, 1), quote(1, 2)];
    batch.extend(depth(0, 40, &bids));
    batch.extend([quote(0, 3), Tick::from_status(1, 9, TradingStatus::Halted)]);
    batch.extend(depth(0, 41, &[]));
    feeder.publish(&batch, 2_000).unwrap();

    let ticks = drain(&mut reader);
    let control: Vec<_> = ticks[..3].iter().map(|t| t.kind().unwrap()).collect();
    assert_eq!(control, [Kind::Epoch, Kind::Definition, Kind::Definition]);
    assert!(ticks[..3].iter().all(|t| t.seq == 0 && t.ts_ring_ns == 1_000));
    assert_eq!(ticks[0].epoch(), 77);
    assert_eq!(ticks[2].definition(), Ok(instruments[1]));
    let seqs: Vec<u64> = ticks[3..].iter().map(|t| t.seq).collect();
    assert_eq!(seqs, [1, 1, 1, 1, 1, 2, 1, 2], "nine levels are three ticks of one number");
    assert!(ticks[3..].iter().all(|t| t.ts_ring_ns == 2_000));
    let unstamped = |t: &Tick| Tick { seq: 0, ts_ring_ns: 0, ..*t };
    assert!(ticks[3..].iter().map(unstamped).eq(batch), "nothing else is changed");

    // A new epoch forgets the numbers.
    let epoch = feeder.begin_epoch(&instruments[..1], 3_000).unwrap();
    assert!(epoch != 77 && epoch != 0);
    feeder.publish(&[quote(0, 1)], 4_000).unwrap();
    let ticks = drain(&mut reader);
    assert_eq!((ticks[0].epoch(), ticks.len(), ticks[2].seq), (epoch, 3, 1));
    let (_, image) = image(&ring, 0);
    assert_eq!((image.epoch, image.depth_seq, image.bids.len()), (epoch, 0, 0));
    assert_eq!(feeder.counters().epochs, 2);
}

#[test]
fn closing_leaves_complete_images() {
    let instruments =
        [instrument(0, &[Channel::Quote, Channel::Trade, Channel::Depth, Channel::Status])];
    let shape = shape(&instruments, 1 << 10, 10);
    let (publisher, ring) = Ring::heap(shape, 77);
    let mut feeder = Feeder::new(publisher, shape);
    feeder.begin_epoch(&instruments, 1).unwrap();
    let trade = Trade { price: 3, quantity: 4, trade_id: 5, ts_trade_ns: 6, buyer_is_maker: true };
    let mut batch = vec![quote(0, 1), quote(0, 2), Tick::from_trade(0, 9, &trade)];
    batch.extend(depth(0, 40, &[level(Side::Bid, 9, 1), level(Side::Ask, 12, 2)]));
    batch.extend(depth(0, 44, &[level(Side::Bid, 10, 7), level(Side::Ask, 12, 0)]));
    feeder.publish(&batch, 2).unwrap();
    let head = ring.head();
    assert_eq!(ring.state(), State::Live);
    assert_eq!(ring.heartbeat_ns(), 1, "not due again yet");
    feeder.close();
    assert_eq!(ring.state(), State::Closed);
    let (position, image) = image(&ring, 0);
    assert_eq!((position, image.epoch, image.definition), (head, 77, instruments[0]));
    assert_eq!((image.depth_seq, image.update_id, image.ts_event_ns), (2, 44, 5));
    assert_eq!((image.bids.as_slice(), image.asks.len()), (&[(10, 7), (9, 1)][..], 0));
    assert_eq!(image.last.len(), 2, "a status was never given");
    assert_eq!((image.last[0].trade(), image.last[0].seq), (trade, 1));
    assert_eq!((image.last[1].quote().bid_price, image.last[1].seq), (2, 2));
}

#[test]
fn batches_that_cannot_be_are_refused_after_what_precedes_them() {
    let instruments = [
        instrument(0, &[Channel::Quote, Channel::Depth, Channel::Depth5]),
        instrument(1, &[Channel::Quote, Channel::Depth]),
    ];
    let long = vec![level(Side::Bid, 1, 1); GROUP_LEVELS_MAX + 1];
    let unended = |mut group: Vec<Tick>| {
        group.last_mut().unwrap().flags &= !flags::END;
        group
    };
    let mut derived = quote(0, 1);
    derived.kind = Channel::Depth5.code();
    let mut unknown = quote(0, 1);
    unknown.kind = 200;
    let mut mixed = depth(0, 1, &long[..8]);
    mixed[1].instrument = 1;
    let cases = [
        (vec![quote(2, 1)], FeederError::Topic { instrument: 2, kind: 1 }),
        (
            vec![Tick::from_status(0, 1, TradingStatus::Trading)],
            FeederError::Topic { instrument: 0, kind: 7 },
        ),
        (vec![derived], FeederError::Topic { instrument: 0, kind: 3 }),
        (vec![unknown], FeederError::Topic { instrument: 0, kind: 200 }),
        (vec![Tick::from_epoch(9, 9)], FeederError::Topic { instrument: 0, kind: 0xF1 }),
        (unended(depth(0, 1, &long[..8])), FeederError::Framing(0)),
        (depth(0, 1, &long[..8])[1..].to_vec(), FeederError::Framing(0)),
        (mixed, FeederError::Framing(0)),
        (depth(0, 1, &long), FeederError::GroupTooLong { instrument: 0, ticks: 4097, most: 4096 }),
    ];
    for (mut batch, expected) in cases {
        let shape = shape(&instruments, 1 << 15, 10);
        let (publisher, ring) = Ring::heap(shape, 7);
        let mut feeder = Feeder::new(publisher, shape);
        feeder.begin_epoch(&instruments, 1).unwrap();
        batch.insert(0, quote(1, 1));
        assert_eq!(feeder.publish(&batch, 2), Err(expected));
        assert_eq!(ring.head(), 3 + 1, "{expected}");
    }
}

#[test]
fn instruments_that_do_not_suit_the_ring_are_refused() {
    let instruments = [instrument(0, &[Channel::Quote]), instrument(1, &[Channel::Quote])];
    let fitting = shape(&instruments, 16, 0);
    let refused = |instruments: &[Instrument], shape: Shape| {
        let (publisher, ring) = Ring::heap(shape, 7);
        let error = Feeder::new(publisher, shape).begin_epoch(instruments, 1).unwrap_err();
        assert_eq!(ring.head(), 0);
        error
    };
    let images = refused(&instruments, Shape { images: 1, ..fitting });
    assert_eq!(images, FeederError::Images { images: 1, instruments: 2 });
    let room = refused(&instruments, Shape { image_words: fitting.image_words - 1, ..fitting });
    assert!(matches!(room, FeederError::ImageRoom { .. }), "{room}");
    let order = refused(&[instruments[1], instruments[0]], fitting);
    assert_eq!(order, FeederError::Id { position: 0, id: 1 });
}

#[test]
fn a_book_that_is_too_deep_for_its_image_keeps_its_best_levels() {
    let instruments = [instrument(0, &[Channel::Depth])];
    let shape = shape(&instruments, 1 << 10, 6);
    let (publisher, ring) = Ring::heap(shape, 7);
    let mut feeder = Feeder::new(publisher, shape);
    feeder.begin_epoch(&instruments, 1).unwrap();
    let mut levels: Vec<Level> = (0..20).map(|n| level(Side::Bid, n, 1)).collect();
    levels.extend((0..2).map(|n| level(Side::Ask, 30 + n, 1)));
    feeder.publish(&depth(0, 1, &levels), 2).unwrap();
    feeder.close();
    let (_, image) = image(&ring, 0);
    assert_eq!(image.bids, [(19, 1), (18, 1), (17, 1), (16, 1)]);
    assert_eq!(image.asks, [(30, 1), (31, 1)]);
}

/// What is known of one instrument, from an image and the records behind it, or from all records.
#[derive(Debug, Default, PartialEq)]
struct View {
    book: Book,
    depth_seq: u64,
    trade: Option<Tick>,
    quote: Option<Tick>,
}

impl View {
    fn of(image: &InstrumentImage) -> Self {
        let mut view = Self { depth_seq: image.depth_seq, ..Self::default() };
        let levels = |side, levels: &[(i64, i64)]| {
            levels.iter().map(|&(p, q)| level(side, p, q)).collect::<Vec<_>>()
        };
        let bids = levels(Side::Bid, &image.bids);
        let asks = levels(Side::Ask, &image.asks);
        bids.iter().chain(&asks).for_each(|level| view.book.apply(level));
        image.last.iter().for_each(|tick| view.take(tick));
        view
    }

    fn take(&mut self, tick: &Tick) {
        match tick.kind().unwrap() {
            Kind::Data(Channel::Trade) => self.trade = Some(*tick),
            Kind::Data(Channel::Quote) => self.quote = Some(*tick),
            Kind::Data(Channel::Depth) => {
                if tick.begins() && tick.flags & flags::REPLACES_BOOK != 0 {
                    self.book.clear();
                }
                self.depth_seq = tick.seq;
                tick.depth_levels().for_each(|level| self.book.apply(&level));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn at_every_moment_image_and_ring_together_have_everything() {
    let mut replay = Replay::open(&[recording(BTC), recording(ETH)], Repeat::Once).unwrap();
    let instruments = replay.instruments().to_vec();
    // Small, so that images are often due and soon needed.
    let shape = shape(&instruments, 1 << 13, 8_000);
    let (publisher, ring) = Ring::heap(shape, 7);
    let mut reader = ring.reader(ring::Start::Oldest);
    let mut feeder = Feeder::new(publisher, shape);
    feeder.begin_epoch(&instruments, 1).unwrap();
    let mut truth = [View::default(), View::default()];
    let mut records: Vec<Tick> = Vec::new();
    let (mut batch, mut checks) = (Vec::new(), 0);
    for n in 0.. {
        batch.clear();
        let next = replay.next(&mut batch);
        feeder.publish(&batch, 2).unwrap();
        for tick in drain(&mut reader) {
            records.push(tick);
            if tick.seq > 0 {
                truth[tick.instrument as usize].take(&tick);
            }
        }
        if matches!(next, Next::End) {
            break;
        }
        if n % 997 != 0 {
            continue;
        }
        // Someone joins now: images first, then the ring from its oldest safe record.
        let oldest = ring.oldest();
        for (slot, truth) in truth.iter().enumerate() {
            let (position, image) = image(&ring, slot);
            assert!(
                position >= oldest || position + (1 << 13) / 4 >= ring.head() || {
                    // Nothing was lost since: a quiet instrument.
                    let since = &records[position as usize..oldest as usize];
                    since.iter().all(|t| t.seq == 0 || t.instrument as usize != slot)
                }
            );
            let mut view = View::of(&image);
            let behind = &records[position.max(oldest) as usize..];
            for tick in behind.iter().filter(|t| t.seq > 0 && t.instrument as usize == slot) {
                view.take(tick);
            }
            assert_eq!(&view, truth);
            checks += 1;
        }
    }
    assert!(checks > 100);
    assert_eq!(feeder.counters().levels_cut, 0);
    assert!(feeder.counters().images > 50, "{:?}", feeder.counters());
}

fn pulse_ring(pulse: &Pulse, capacity: usize) -> (Feeder, Ring) {
    let shape = shape(pulse.instruments(), capacity, 0);
    let (publisher, ring) = Ring::heap(shape, 7);
    (Feeder::new(publisher, shape), ring)
}

/// Runs a feed on a thread of its own until `done`.
fn run_until(
    mut feed: impl Feed + 'static,
    mut feeder: Feeder,
    pacing: Pacing,
    done: impl FnOnce(),
) -> (Outcome, Feeder) {
    let stop = Arc::new(AtomicBool::new(false));
    let thread = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || (run(&mut feed, &mut feeder, &pacing, &stop), feeder))
    };
    done();
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap()
}

/// A feed that ends after so many ticks.
struct Few<F>(F, usize);

impl<F: Feed> Feed for Few<F> {
    fn instruments(&self) -> &[Instrument] {
        self.0.instruments()
    }
    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        let before = out.len();
        let next = if self.1 == 0 { Next::End } else { self.0.next(out) };
        self.1 -= self.1.min(out.len() - before);
        next
    }
    fn start(&mut self, realtime_ns: u64) {
        self.0.start(realtime_ns);
    }
}

/// Runs a feed to its end: what is in the ring behind its epoch and its instruments.
fn run_out(mut feed: impl Feed, mut feeder: Feeder, ring: &Ring, pacing: &Pacing) -> Vec<Tick> {
    let outcome = run(&mut feed, &mut feeder, pacing, &AtomicBool::new(false));
    assert!(matches!(outcome, Outcome::Ended), "{outcome:?}");
    let ticks =
        drain(&mut ring.reader(ring::Start::Oldest)).split_off(1 + feed.instruments().len());
    assert_eq!(ticks.len() as u64, feeder.counters().ticks);
    ticks
}

#[test]
fn a_pulse_is_published_when_it_is_due_and_never_before() {
    for (rate, due) in [(50.0, 25), (20_000.0, 6_000), (500_000.0, 150_000)] {
        let pulse = Pulse::new(7, rate).unwrap();
        let (feeder, ring) = pulse_ring(&pulse, 1 << 18);
        let pacing = Pacing { wait: Wait::Sleep, ..Pacing::default() };
        let began = Instant::now();
        let ticks = run_out(Few(pulse, due), feeder, &ring, &pacing);
        assert_eq!(ticks.len(), due);
        assert!(began.elapsed().as_secs_f64() >= (due - 1) as f64 / rate, "not before it is due");
        assert!(ticks.iter().all(|t| t.ts_ring_ns >= t.ts_event_ns), "none before it was due");
        let span = ticks.last().unwrap().ts_event_ns - ticks[0].ts_event_ns;
        let expected = (ticks.len() - 1) as f64 * 1e9 / rate;
        assert!((span as f64 - expected).abs() < 2.0, "{span} ns for {expected}");
    }
}

#[test]
fn a_late_run_catches_up_and_loses_nothing() {
    struct Sleepy(Pulse, u32);
    impl Feed for Sleepy {
        fn instruments(&self) -> &[Instrument] {
            self.0.instruments()
        }
        fn next(&mut self, out: &mut Vec<Tick>) -> Next {
            self.1 += 1;
            if self.1 == 100 {
                thread::sleep(Duration::from_millis(100));
            }
            self.0.next(out)
        }
        fn start(&mut self, realtime_ns: u64) {
            self.0.start(realtime_ns);
        }
    }
    let pulse = Pulse::new(1, 10_000.0).unwrap();
    let (feeder, ring) = pulse_ring(&pulse, 1 << 16);
    let ticks = run_out(Few(Sleepy(pulse, 0), 2_500), feeder, &ring, &Pacing::default());
    assert!(ticks.windows(2).all(|pair| pair[1].ts_event_ns - pair[0].ts_event_ns <= 100_001));
    let late = ticks.iter().map(Tick::ring_delay_ns).max().unwrap();
    assert!(late >= 95_000_000, "the late ones say so: {late}");
    assert_eq!(ticks.len(), 2_500);
}

#[test]
fn a_quiet_feed_still_beats() {
    let pulse = Pulse::new(1, 0.01).unwrap();
    let (feeder, ring) = pulse_ring(&pulse, 16);
    run_until(pulse, feeder, Pacing::default(), || {
        let first = wait_for(|| Some(ring.heartbeat_ns()).filter(|beat| *beat > 0));
        let second = wait_for(|| Some(ring.heartbeat_ns()).filter(|beat| *beat > first));
        let third = wait_for(|| Some(ring.heartbeat_ns()).filter(|beat| *beat > second));
        assert!(third - second >= 100_000_000);
    });
}

#[test]
fn a_batch_longer_than_the_ring_still_leaves_images_that_reach_into_it() {
    let instruments: Vec<_> = (0..64).map(|id| instrument(id, &[Channel::Quote])).collect();
    let shape = shape(&instruments, 1 << 10, 0);
    let (publisher, ring) = Ring::heap(shape, 7);
    let mut feeder = Feeder::new(publisher, shape);
    feeder.begin_epoch(&instruments, 1).unwrap();
    // Each instrument once, then only the last one.
    let mut batch: Vec<Tick> = (0..64).map(|id| quote(id, i64::from(id))).collect();
    batch.extend((0..5_000).map(|n| quote(63, n)));
    feeder.publish(&batch, 2).unwrap();
    for slot in 0..64 {
        let (position, image) = image(&ring, slot);
        assert_eq!(image.last.len(), 1, "{slot}");
        assert!(slot < 63 || position + (1 << 10) / 4 >= ring.head(), "{position}");
    }
}

#[test]
fn a_start_on_the_wall_clock_waits_if_it_is_to_come_and_catches_up_if_it_is_past() {
    /// How late the first and the last of 250 ticks were.
    fn play(offset_ms: i64) -> (u64, u64) {
        let pulse = Pulse::new(1, 1_000.0).unwrap();
        let (feeder, ring) = pulse_ring(&pulse, 1 << 12);
        let start_ns = feed_sim::realtime_ns().strict_add_signed(offset_ms * 1_000_000);
        let pacing = Pacing { start: Start::At(start_ns), ..Pacing::default() };
        let ticks = run_out(Few(pulse, 250), feeder, &ring, &pacing);
        assert_eq!(ticks[0].ts_event_ns, start_ns);
        assert!(ticks.iter().all(|t| t.ts_ring_ns >= t.ts_event_ns));
        [0, 249].map(|nth| ticks[nth].ts_ring_ns - ticks[nth].ts_event_ns).into()
    }
    play(60);
    // A machine that pauses in the midst of it is late once more: then it is tried again.
    assert!((0..100).any(|_| {
        let (first, last) = play(-200);
        assert!(first >= 200_000_000, "{first}");
        last < first
    }));
}

#[test]
fn a_long_batch_is_published_in_pieces_when_readers_are_waited_for() {
    struct Once(Vec<Instrument>, Option<Vec<Tick>>);
    impl Feed for Once {
        fn instruments(&self) -> &[Instrument] {
            &self.0
        }
        fn next(&mut self, out: &mut Vec<Tick>) -> Next {
            let Some(batch) = self.1.take() else { return Next::End };
            out.extend(batch);
            Next::At(0)
        }
    }
    let instruments = vec![instrument(0, &[Channel::Quote, Channel::Depth])];
    let mut batch: Vec<Tick> = (0..3_000).map(|n| quote(0, n)).collect();
    // Longer than the window: waits until nobody is behind.
    let levels: Vec<Level> = (1..=400).map(|n| level(Side::Bid, n, 1)).collect();
    batch.extend(depth(0, 1, &levels));
    let shape = shape(&instruments, 1 << 10, 500);
    let (publisher, ring) = Ring::heap(shape, 7);
    let mut reader = ring.reader(ring::Start::Oldest);
    let position = Arc::new(AtomicU64::new(0));
    let slowest = Arc::clone(&position);
    let readers = Arc::new(move || Some(slowest.load(Ordering::Relaxed)));
    let speed = Speed::Max(Some(Backpressure { readers, window: 64 }));
    let pacing = Pacing { speed, ..Pacing::default() };
    let feeder = Feeder::new(publisher, shape);
    let mut ticks = Vec::new();
    run_until(Once(instruments, Some(batch)), feeder, pacing, || {
        let mut records = Vec::new();
        wait_for(|| {
            while reader.read(&mut records, 50).records > 0 {
                position.store(reader.position(), Ordering::Relaxed);
                ticks.extend(records.drain(..).map(Tick::from_words));
                assert!(reader.lag() <= 100, "a window, or a group when nobody is behind");
            }
            (ticks.len() == 2 + 3_000 + 100).then_some(())
        });
    });
}

fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "waited for too long");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn at_full_speed_a_run_waits_for_its_slowest_reader_and_loses_none() {
    let replay = Replay::open(&[recording(ETH)], Repeat::Once).unwrap();
    let shape = shape(replay.instruments(), 1 << 14, 8_000);
    let (publisher, ring) = Ring::heap(shape, 7);
    let mut reader = ring.reader(ring::Start::Oldest);
    let position = Arc::new(AtomicU64::new(0));
    let slowest = Arc::clone(&position);
    let readers = Arc::new(move || Some(slowest.load(Ordering::Relaxed)));
    let pacing = Pacing {
        speed: Speed::Max(Some(Backpressure { readers, window: 1 << 12 })),
        ..Pacing::default()
    };
    let feeder = Feeder::new(publisher, shape);
    let mut ticks = Vec::new();
    let (_, feeder) = run_until(replay, feeder, pacing, || {
        let mut records = Vec::new();
        wait_for(|| {
            assert_eq!(reader.read(&mut records, 1_000).lost, 0);
            assert!(reader.lag() <= 1 << 12);
            position.store(reader.position(), Ordering::Relaxed);
            ticks.extend(records.drain(..).map(Tick::from_words));
            let trades = ticks.iter().rev().find(|t| t.kind == Channel::Trade.code());
            trades.filter(|t| t.seq == 6_106).map(|_| ())
        });
    });
    let data = ticks.iter().filter(|t| t.seq > 0).count() as u64;
    assert!(feeder.counters().ticks - data < 200, "all but what followed the last trade");
}

#[test]
fn the_first_tick_waits_for_the_gate_and_instruments_do_not() {
    let pulse = Pulse::new(3, 50.0).unwrap();
    let (feeder, ring) = pulse_ring(&pulse, 1 << 12);
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let start = Start::WhenOpen(Arc::new(move || gate.load(Ordering::Relaxed)));
    let pacing = Pacing { start, ..Pacing::default() };
    let mut reader = ring.reader(ring::Start::Oldest);
    let mut opened_ns = 0;
    run_until(pulse, feeder, pacing, || {
        wait_for(|| (ring.head() == 4).then_some(()));
        thread::sleep(Duration::from_millis(30));
        assert_eq!(ring.head(), 4, "defined, and no more");
        opened_ns = feed_sim::realtime_ns();
        open.store(true, Ordering::Relaxed);
        wait_for(|| (ring.head() > 10).then_some(()));
    });
    assert!(drain(&mut reader)[4].ts_event_ns >= opened_ns, "time began when the gate opened");
}

#[test]
fn speed_scales_time_and_each_loop_is_a_new_epoch() {
    let file = {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (received_ns, frame) in &recorded::lines(BTC)[..40] {
            writeln!(file, "{received_ns} {frame}").unwrap();
        }
        file
    };
    let play = |speed, path: &Path| {
        let mut replay = Replay::open(&[path], Repeat::Times(3)).unwrap();
        let shape = shape(replay.instruments(), 1 << 12, 4_000);
        let (publisher, ring) = Ring::heap(shape, 7);
        let mut feeder = Feeder::new(publisher, shape);
        let started = Instant::now();
        let pacing = Pacing { speed, ..Pacing::default() };
        let outcome = run(&mut replay, &mut feeder, &pacing, &AtomicBool::new(false));
        assert!(matches!(outcome, Outcome::Ended), "{outcome:?}");
        assert_eq!(pacing.progress.epochs.load(Ordering::Relaxed), 3);
        (started.elapsed(), drain(&mut ring.reader(ring::Start::Oldest)))
    };
    let (_, fast) = play(Speed::Max(None), file.path());
    let epochs: Vec<u64> =
        fast.iter().filter(|t| t.kind() == Ok(Kind::Epoch)).map(Tick::epoch).collect();
    assert_eq!(epochs.len(), 3);
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2] && epochs[0] != epochs[2]);
    let third = fast.len() / 3;
    let data = |part: &[Tick]| -> Vec<Tick> {
        part[2..].iter().map(|t| Tick { ts_ring_ns: 0, ..*t }).collect()
    };
    assert_eq!(data(&fast[..third]), data(&fast[third..2 * third]), "numbers begin again");

    let lines = recorded::lines(BTC);
    let span_ns = lines[39].0 - lines[0].0;
    let (elapsed, slow) = play(Speed::Times(4.0), file.path());
    assert!(elapsed.as_nanos() as u64 >= 3 * span_ns / 4, "{elapsed:?} for {span_ns} ns");
    assert_eq!(data(&fast[..third]), data(&slow[..third]), "speed changes no tick");
}
