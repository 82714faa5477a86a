//! The market alone: what a tick costs before anyone publishes it, and what it costs to join late.
//!
//! `benches/feeder.rs` has the whole way into a ring.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use feed_sim::Feed;
use feed_sim::market::{Market, MarketConfig};

const DAY_NS: u64 = 86_400_000_000_000;

fn generate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("generate a tick");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for (instruments, rate) in [(1, 200), (20, 2_000_000), (1_000, 2_000_000)] {
        let config = MarketConfig { instruments, rate, ..MarketConfig::default() };
        let mut market = Market::new(&config).expect("a market");
        let mut ticks = Vec::new();
        market.next(&mut ticks);
        group.bench_function(format!("{instruments} instruments, {rate}/s"), |bencher| {
            bencher.iter_custom(|wanted| take(&mut market, &mut ticks, wanted));
        });
    }
    group.finish();
}

/// How long the market takes for this many ticks. A batch has a few to some hundreds; the time is that
/// of whole batches, scaled.
fn take(market: &mut Market, ticks: &mut Vec<wire::Tick>, wanted: u64) -> Duration {
    let (started, mut seen) = (Instant::now(), 0);
    while seen < wanted {
        ticks.clear();
        market.next(ticks);
        seen += ticks.len() as u64;
    }
    let took = started.elapsed().as_nanos() * u128::from(wanted) / u128::from(seen);
    Duration::from_nanos(u64::try_from(took).unwrap_or(u64::MAX))
}

fn join(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("join after a day");
    group.sample_size(10);
    for (instruments, rate) in [(20, 2_000), (20, 2_000_000), (1_000, 100_000)] {
        let config = MarketConfig { instruments, rate, ..MarketConfig::default() };
        group.bench_function(format!("{instruments} instruments, {rate}/s"), |bencher| {
            bencher.iter(|| Market::join(&config, config.start_ns + DAY_NS).expect("a market"));
        });
    }
    group.finish();
}

criterion_group!(benches, generate, join);
criterion_main!(benches);
