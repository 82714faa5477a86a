//! A feed in this process: the simulator, the pulse, or recordings, into a ring on the heap.

use std::sync::Arc;

use feed_sim::derive::{self, Derived, RECORDED_WAIT_NS};
use feed_sim::market::{Market, MarketConfig};
use feed_sim::pulse::Pulse;
use feed_sim::replay::{Repeat, Replay};
use feed_sim::{Backpressure, Feed, Feeder, Outcome, Pacing, Speed, Start};
use ring::Ring;
use wire::FeedState;

use crate::clock::realtime_ns;
use crate::config::{self, Config, Derivations, ReplayStart, Source, Switch};
use crate::fleet::Fleet;
use crate::shard::Order;
use crate::source::readers::{Everybody, FirstSubscriber, wait_for_shards};
use crate::source::status::FeedStatus;
use crate::source::{Run, SourceError};

/// Opens the configured feed.
pub(super) fn open(config: &Config, status: &Arc<FeedStatus>) -> Result<Run, SourceError> {
    let now_ns = realtime_ns();
    let mut feed = feed(config, now_ns)?;
    status.expects(feed.instruments().len());
    let capacity = usize::try_from(config.ring_capacity).unwrap_or(usize::MAX);
    let levels = feed_sim::image_levels(feed.instruments().len());
    let shape = feed_sim::shape(feed.instruments(), capacity, levels);
    let (publisher, ring) = Ring::heap(shape, feed_sim::fresh_epoch(now_ns));
    let mut feeder = Feeder::new(publisher, shape);
    let status = Arc::clone(status);
    let config = config.clone();
    Ok(Box::new(move |fleet, stop| {
        fleet.attach(&ring, Order::OfFeed);
        status.attached(&ring, FeedState::Live);
        let pacing = pacing(&config, now_ns, &fleet, &ring);
        let outcome = feed_sim::run(&mut *feed, &mut feeder, &pacing, stop);
        feeder.close();
        match outcome {
            Outcome::Stopped => return,
            Outcome::Ended => tracing::info!(source = %config.source, "the feed has ended"),
            Outcome::Failed(error) => tracing::error!(%error, "the feed cannot go on"),
            Outcome::Refused(error) => tracing::error!(%error, "the feed made a senseless batch"),
        }
        // Clients hear of the end after the last tick, not before.
        wait_for_shards(&fleet, &ring, stop);
        status.changed(FeedState::Stopped);
        fleet.tell_feed(FeedState::Stopped);
    }))
}

fn feed(config: &Config, now_ns: u64) -> Result<Box<dyn Feed>, SourceError> {
    let symbols = u32::try_from(config.symbols).unwrap_or(u32::MAX);
    Ok(match &config.source.first {
        Source::Pulse => {
            #[expect(clippy::cast_precision_loss, reason = "at most 10^8, which is exact")]
            let rate = config.rate as f64;
            Box::new(Pulse::new(symbols, rate)?)
        }
        Source::Replay(files) => {
            let repeat = match config.replay_loop {
                Switch::On => Repeat::Forever,
                Switch::Off => Repeat::Once,
            };
            Box::new(Derived::with(Replay::open(files, repeat)?, of_frames(config)))
        }
        Source::Sim
        | Source::Shm(_)
        | Source::Bus(_)
        | Source::Upstream(_)
        | Source::Exchange(_) => {
            let market = MarketConfig {
                instruments: symbols,
                rate: config.rate,
                seed: config.seed,
                ..MarketConfig::default()
            };
            // From now on, as if it had run since the start of its schedule: event times are the present.
            let market = Market::join(&market, now_ns)?;
            Box::new(Derived::with(market, derivations(config.derive)))
        }
    })
}

/// What is derived of a venue's frames.
pub(super) fn of_frames(config: &Config) -> derive::Options {
    derive::Options { aggregate_wait_ns: RECORDED_WAIT_NS, ..derivations(config.derive) }
}

fn derivations(of: Derivations) -> derive::Options {
    match of {
        Derivations::All => derive::Options::default(),
        Derivations::Charts => derive::Options::charts(),
        Derivations::None => derive::Options::nothing(),
    }
}

fn pacing(config: &Config, opened_ns: u64, fleet: &Arc<Fleet>, ring: &Ring) -> Pacing {
    let is_replay = matches!(config.source.first, Source::Replay(_));
    let start = match config.replay_start {
        ReplayStart::FirstSubscriber if is_replay => {
            Start::WhenOpen(Arc::new(FirstSubscriber::new(Arc::clone(fleet))))
        }
        // Joining the market took a moment, which it makes up for: event times are the present.
        _ if config.source.first == Source::Sim => Start::At(opened_ns),
        _ => Start::Now,
    };
    let speed = match config.speed {
        _ if !is_replay => Speed::Times(1.0),
        config::Speed::Times(times) => Speed::Times(times),
        config::Speed::Max => {
            let capacity = config.ring_capacity;
            // An entry is two ticks on average; an eighth of a log keeps every cursor far from its end.
            let shards = u64::try_from(fleet.len().max(1)).unwrap_or(u64::MAX);
            let lag_entries_max = config.log_entries / shards / 8;
            let window = (capacity / 4).min(lag_entries_max);
            let readers = Everybody::new(Arc::clone(fleet), ring.clone(), lag_entries_max, window);
            Speed::Max(Some(Backpressure { readers: Arc::new(readers), window }))
        }
    };
    Pacing { speed, start, ..Pacing::default() }
}
