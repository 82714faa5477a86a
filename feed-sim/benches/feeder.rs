//! Ticks into a heap ring on one core, per source: the whole way of a tick on the feed's side.
//!
//! The ring has nobody parked and nobody reading, as the publisher never looks at readers. `replay`
//! feeds ticks parsed before, so that it is the feeder that is measured; `parse` is the parsing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use feed_sim::derive::Derived;
use feed_sim::market::{Market, MarketConfig};
use feed_sim::pulse::Pulse;
use feed_sim::replay::{Repeat, Replay};
use feed_sim::{Feed, Feeder, Next, realtime_ns, shape};
use ring::Ring;
use wire::{Instrument, Tick};

/// The gateway's default ring.
const CAPACITY: usize = 1 << 18;

/// As a run at full speed has them.
const BATCH_TICKS: usize = 256;

/// What a run does, without waiting: gather a batch, publish it.
struct Rig<F> {
    feed: F,
    feeder: Feeder,
    batch: Vec<Tick>,
}

impl<F: Feed> Rig<F> {
    fn new(mut feed: F) -> Self {
        let shape = shape(feed.instruments(), CAPACITY, 2_000);
        let (publisher, _ring) = Ring::heap(shape, 7);
        let mut feeder = Feeder::new(publisher, shape);
        feeder.begin_epoch(feed.instruments(), realtime_ns()).expect("the shape was made for it");
        feed.start(realtime_ns());
        let mut rig = Self { feed, feeder, batch: Vec::new() };
        // Until every slot of the ring has been touched.
        rig.publish(CAPACITY as u64);
        rig
    }

    fn publish(&mut self, ticks: u64) -> Duration {
        let end = self.feeder.counters().ticks + ticks;
        let started = Instant::now();
        while self.feeder.counters().ticks < end {
            while self.batch.len() < BATCH_TICKS {
                match self.feed.next(&mut self.batch) {
                    Next::At(_) => {}
                    other => panic!("the feed ended: {other:?}"),
                }
            }
            self.feeder.publish(&self.batch, realtime_ns()).expect("a good feed");
            self.batch.clear();
        }
        started.elapsed()
    }
}

/// Batches over and over.
struct Repeated {
    instruments: Vec<Instrument>,
    batches: Vec<Vec<Tick>>,
    at: usize,
}

impl Feed for Repeated {
    fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        out.extend_from_slice(&self.batches[self.at]);
        self.at = (self.at + 1) % self.batches.len();
        Next::At(0)
    }
}

fn recording() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let directory = std::env::var_os("TICKCAST_DATA").map_or(beside, PathBuf::from);
    Some(directory.join("spot_btcusdt_20240808.gz")).filter(|path| path.exists())
}

fn repeated(path: &Path) -> Repeated {
    let mut replay = Replay::open(&[path], Repeat::Once).expect("a recording");
    let mut batches = Vec::new();
    loop {
        let mut batch = Vec::new();
        let next = replay.next(&mut batch);
        if !matches!(next, Next::At(_)) {
            return Repeated { instruments: replay.instruments().to_vec(), batches, at: 0 };
        }
        batches.push(batch);
    }
}

fn market(instruments: u32) -> Market {
    let config = MarketConfig { instruments, rate: 2_000_000, ..MarketConfig::default() };
    Market::new(&config).expect("a market")
}

fn ticks_into_a_ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ticks into a ring");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    let pulse = |symbols| Pulse::new(symbols, 1e6).expect("a pulse");
    let mut measure = |name: &str, mut publish: Box<dyn FnMut(u64) -> Duration>| {
        group.bench_function(name, |bencher| bencher.iter_custom(&mut publish));
    };
    let mut rig = Rig::new(pulse(1));
    measure("pulse, 1 instrument", Box::new(move |ticks| rig.publish(ticks)));
    let mut rig = Rig::new(pulse(10_000));
    measure("pulse, 10,000 instruments", Box::new(move |ticks| rig.publish(ticks)));
    let mut rig = Rig::new(market(20));
    measure("market, 20 instruments", Box::new(move |ticks| rig.publish(ticks)));
    let mut rig = Rig::new(Derived::new(market(20)));
    measure("market with bars, 20 instruments", Box::new(move |ticks| rig.publish(ticks)));
    let mut rig = Rig::new(Derived::new(market(1_000)));
    measure("market with bars, 1,000 instruments", Box::new(move |ticks| rig.publish(ticks)));
    if let Some(path) = recording() {
        let mut rig = Rig::new(repeated(&path));
        measure("replay", Box::new(move |ticks| rig.publish(ticks)));
    }
    group.finish();
}

fn parse(criterion: &mut Criterion) {
    let Some(path) = recording() else { return };
    let mut group = criterion.benchmark_group("parse a recording");
    group.throughput(Throughput::Elements(41_249)).sample_size(10);
    group.bench_function("frames", |bencher| bencher.iter(|| repeated(&path).batches.len()));
    group.finish();
}

criterion_group!(benches, ticks_into_a_ring, parse);
criterion_main!(benches);
