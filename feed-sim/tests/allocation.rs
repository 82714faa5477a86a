//! In steady state a tick costs no allocation, from the feed to the ring.

mod recorded;

use allocation_counter::measure;
use feed_sim::derive::Derived;
use feed_sim::market::{Market, MarketConfig};
use feed_sim::pulse::Pulse;
use feed_sim::replay::{Repeat, Replay};
use feed_sim::{Feed, Feeder, Next, shape};
use recorded::{BTC, recording};
use ring::Ring;
use wire::{Instrument, Tick};

/// A feed, its feeder and the batch between them.
struct Rig<F> {
    feed: F,
    feeder: Feeder,
    batch: Vec<Tick>,
    now_ns: u64,
}

impl<F: Feed> Rig<F> {
    fn new(feed: F) -> Self {
        // Small, so that images are written all the time.
        let shape = shape(feed.instruments(), 1 << 14, 4_000);
        let (publisher, _ring) = Ring::heap(shape, 7);
        let mut feeder = Feeder::new(publisher, shape);
        feeder.begin_epoch(feed.instruments(), 1).unwrap();
        Self { feed, feeder, batch: Vec::with_capacity(1 << 16), now_ns: 1 }
    }

    fn publish(&mut self, ticks: u64) {
        let end = self.feeder.counters().ticks + ticks;
        while self.feeder.counters().ticks < end {
            self.batch.clear();
            assert!(matches!(self.feed.next(&mut self.batch), Next::At(_)));
            self.now_ns += 1_000_000;
            self.feeder.publish(&self.batch, self.now_ns).unwrap();
        }
    }
}

/// Publishes and counts; `most` allows for books that become deeper than they ever were.
fn assert_few_allocations(name: &str, feed: impl Feed, warm_up: u64, ticks: u64, most: u64) {
    let mut rig = Rig::new(feed);
    rig.publish(warm_up);
    let images = rig.feeder.counters().images;
    let counted = measure(|| rig.publish(ticks));
    assert!(counted.count_total <= most, "{name}: {counted:?}");
    assert!(rig.feeder.counters().images > images, "{name}: images were part of it");
}

/// Ticks over and over.
struct Repeated(Vec<Instrument>, Vec<Vec<Tick>>, usize);

impl Feed for Repeated {
    fn instruments(&self) -> &[Instrument] {
        &self.0
    }

    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        out.extend_from_slice(&self.1[self.2]);
        self.2 = (self.2 + 1) % self.1.len();
        Next::At(0)
    }
}

fn recorded_ticks() -> Repeated {
    let mut replay = Replay::open(&[recording(BTC)], Repeat::Once).unwrap();
    let mut batches = Vec::new();
    loop {
        let mut batch = Vec::new();
        if !matches!(replay.next(&mut batch), Next::At(_)) {
            return Repeated(replay.instruments().to_vec(), batches, 0);
        }
        batches.push(batch);
    }
}

#[test]
fn a_tick_costs_no_allocation() {
    assert_few_allocations("pulse", Pulse::new(100, 1e6).unwrap(), 50_000, 200_000, 0);
    // Once through, so that the book has had its largest size.
    let recorded = recorded_ticks();
    let length: usize = recorded.1.iter().map(Vec::len).sum();
    assert_few_allocations("recorded", recorded, length as u64, length as u64, 0);
    let config = MarketConfig { instruments: 50, rate: 20_000, ..MarketConfig::default() };
    let market = Market::new(&config).unwrap();
    assert_few_allocations("market", market, 1_000_000, 400_000, 10);
}

#[test]
fn bars_and_tickers_allocate_only_as_days_grow_longer() {
    let config = MarketConfig { instruments: 50, rate: 20_000, ..MarketConfig::default() };
    let mut rig = Rig::new(Derived::new(Market::new(&config).unwrap()));
    rig.publish(1_000_000);
    // A bucket of the ticker's window each five minutes of the feed's time, in a deque that doubles.
    let counted = measure(|| rig.publish(1_000_000));
    assert!(counted.count_total <= 150, "{counted:?}");
}
