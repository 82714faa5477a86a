//! `feed-sim run`: one feed into one ring, until it ends or a signal comes. The ring is shared memory, or
//! private and carried onto a bus (`onto_bus`).
//!
//! Order of the end: the feed stops between two batches, the ring is closed with complete images
//! (readers find it closed, not silent), the process exits with 0. The file stays, for readers
//! that have not finished; the next run replaces it. A second signal does not wait for any of that. A
//! run whose file is replaced or removed ends too: nobody can find what it writes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bus::{BusUrl, Overflow};
use feed_sim::derive::{Derived, Options, RECORDED_WAIT_NS, TickerPolicy};
use feed_sim::market::{Market, MarketConfig, MarketError};
use feed_sim::pulse::{Pulse, PulseError};
use feed_sim::replay::{Repeat, Replay, ReplayError};
use feed_sim::{
    Backpressure, Feed, FeedError, Feeder, FeederError, Outcome, Pacing, Speed, Start, fresh_epoch,
    image_levels, realtime_ns, shape,
};
use ring::{CreateError, Ring, Shape};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::{Out, RunArgs, Source, SpeedArg, Switch};
use crate::onto_bus::{OntoBus, OntoBusError};
use crate::onto_gateway::{OntoGateway, OntoGatewayError};
use crate::progress;

/// Exit code after a second signal: what shells report for an interrupt.
const INTERRUPTED: i32 = 130;

/// How often the ring's file is looked at: one system call each.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why a run did not begin, or did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("--source sim: {0}")]
    Market(#[from] MarketError),
    #[error("--source pulse: {0}")]
    Pulse(#[from] PulseError),
    #[error("--source replay: {0}")]
    Replay(#[from] ReplayError),
    #[error("--rate {0}: the simulator's rate is a whole number of ticks a second")]
    Rate(f64),
    #[error("--out shm:{}: {error}", path.display())]
    Create { path: PathBuf, error: CreateError },
    #[error("--out shm:{}: the file was replaced by another feed's, or removed", .0.display())]
    Replaced(PathBuf),
    #[error("--out {0}")]
    OntoBus(#[from] OntoBusError),
    #[error("--out {url}: {error}")]
    OntoGateway { url: String, error: OntoGatewayError },
    #[error("--published: clients publish through a bus; --out nats://… or redis://…")]
    Published,
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
    #[error("the feed ended early: {0}")]
    Feed(Box<FeedError>),
    #[error("the feed made what cannot be published: {0}")]
    Refused(FeederError),
}

/// A feed and when its time begins.
struct Opened {
    feed: Box<dyn Feed>,
    start: Start,
}

pub(crate) fn run(args: &RunArgs) -> Result<(), RunError> {
    let stop = stop_on_signals().map_err(RunError::Signals)?;
    let opened = open(args)?;
    match &args.out {
        Some(Out::Shm(path)) if args.bus.published == 0 => run_shared(args, path, opened, &stop),
        Some(Out::Shm(_)) => Err(RunError::Published),
        Some(Out::Gateway(url)) if args.bus.published == 0 => {
            run_onto_gateway(args, url, opened, &stop)
        }
        Some(Out::Gateway(_)) => Err(RunError::Published),
        Some(Out::Bus(url)) => run_onto_bus(args, url, opened, &stop),
        None => unreachable!("the command line requires an output"),
    }
}

fn run_shared(
    args: &RunArgs,
    path: &Path,
    Opened { mut feed, start }: Opened,
    stop: &Arc<AtomicBool>,
) -> Result<(), RunError> {
    let shape = shape_for(&*feed, args);
    let (publisher, ring) = Ring::create(path, shape, epoch(args))
        .map_err(|error| RunError::Create { path: path.to_owned(), error })?;
    let mut feeder = Feeder::new(publisher, shape);
    let pacing = Pacing { speed: speed(args, None), start, ..Pacing::default() };

    let shown = progress::show(args.progress, Arc::clone(&pacing.progress), None);
    let watch = Watch::start(ring, Arc::clone(stop));
    let outcome = feed_sim::run(&mut *feed, &mut feeder, &pacing, stop);
    feeder.close();
    drop(shown);
    if watch.end() == Found::Replaced {
        return Err(RunError::Replaced(path.to_owned()));
    }
    result(outcome)
}

fn run_onto_bus(
    args: &RunArgs,
    url: &BusUrl,
    Opened { mut feed, start }: Opened,
    stop: &Arc<AtomicBool>,
) -> Result<(), RunError> {
    let (mut feeder, ring) = onto_heap(&*feed, args);
    // What has no time of its own need not lose anything.
    let overflow = match (&args.source, args.speed) {
        (Source::Replay(_), SpeedArg::Max) => Overflow::Wait,
        _ => Overflow::Drop,
    };
    let instruments = feed.instruments().len();
    let Some(onto) = OntoBus::start(url, &args.bus, &ring, instruments, overflow, stop)? else {
        return Ok(());
    };
    let speed = speed(args, Some(onto.backpressure(&ring)));
    let pacing = Pacing { speed, start, ..Pacing::default() };

    let shown = progress::show(args.progress, Arc::clone(&pacing.progress), Some(onto.progress()));
    let outcome = feed_sim::run(&mut *feed, &mut feeder, &pacing, stop);
    feeder.close();
    // The feed's own fault is told first; what it had made is carried all the same.
    let carried = onto.end();
    drop(shown);
    result(outcome)?;
    Ok(carried?)
}

fn run_onto_gateway(
    args: &RunArgs,
    url: &str,
    Opened { mut feed, start }: Opened,
    stop: &Arc<AtomicBool>,
) -> Result<(), RunError> {
    let (mut feeder, ring) = onto_heap(&*feed, args);
    let onto = OntoGateway::start(url, &ring, feed.instruments(), stop);
    let pacing = Pacing { speed: speed(args, None), start, ..Pacing::default() };
    let shown = progress::show(args.progress, Arc::clone(&pacing.progress), None);
    let outcome = feed_sim::run(&mut *feed, &mut feeder, &pacing, stop);
    feeder.close();
    let published = onto.end();
    drop(shown);
    result(outcome)?;
    published.map_err(|error| RunError::OntoGateway { url: url.to_owned(), error })
}

/// A ring of this process's own, from which what is fed is carried on.
fn onto_heap(feed: &dyn Feed, args: &RunArgs) -> (Feeder, Ring) {
    let shape = shape_for(feed, args);
    let (publisher, ring) = Ring::heap(shape, epoch(args));
    (Feeder::new(publisher, shape), ring)
}

fn shape_for(feed: &dyn Feed, args: &RunArgs) -> Shape {
    let instruments = feed.instruments();
    shape(instruments, args.ring_capacity, image_levels(instruments.len()))
}

fn epoch(args: &RunArgs) -> u64 {
    args.epoch.unwrap_or_else(|| fresh_epoch(realtime_ns()))
}

fn result(outcome: Outcome) -> Result<(), RunError> {
    match outcome {
        Outcome::Ended | Outcome::Stopped => Ok(()),
        Outcome::Failed(error) => Err(RunError::Feed(error)),
        Outcome::Refused(error) => Err(RunError::Refused(error)),
    }
}

fn open(args: &RunArgs) -> Result<Opened, RunError> {
    let start = args.start_at.map_or(Start::Now, |at| Start::At(at.0));
    Ok(match &args.source {
        Source::Pulse => {
            let pulse = Pulse::new(args.symbols, args.rate)?;
            Opened { feed: Box::new(pulse), start }
        }
        Source::Sim => {
            let config = MarketConfig {
                seed: args.seed,
                instruments: args.symbols,
                rate: whole(args.rate)?,
                ..MarketConfig::default()
            };
            // The market's schedule is the wall clock's; joining takes a moment that it makes up for.
            let start_ns = args.start_at.map_or_else(realtime_ns, |at| at.0);
            let market = Derived::with(Market::join(&config, start_ns)?, options(args));
            Opened { feed: Box::new(market), start: Start::At(start_ns) }
        }
        Source::Replay(files) => {
            let repeat = if args.repeat { Repeat::Forever } else { Repeat::Once };
            let replay = Derived::with(Replay::open(files, repeat)?, options(args));
            Opened { feed: Box::new(replay), start }
        }
    })
}

fn options(args: &RunArgs) -> Options {
    let ticker = match args.ticker {
        Switch::On => TickerPolicy::Derived,
        Switch::Off => TickerPolicy::Off,
    };
    let aggregate_wait_ns = match args.source {
        Source::Replay(_) => RECORDED_WAIT_NS,
        Source::Sim | Source::Pulse => 0,
    };
    Options {
        intervals: args.bars.0.clone(),
        ticker,
        others: args.derive.0.clone(),
        aggregate_wait_ns,
        ..Options::default()
    }
}

fn speed(args: &RunArgs, backpressure: Option<Backpressure>) -> Speed {
    match (&args.source, args.speed) {
        (Source::Replay(_), SpeedArg::Times(times)) => Speed::Times(times),
        (Source::Replay(_), SpeedArg::Max) => Speed::Max(backpressure),
        // The others have a rate of their own.
        (Source::Sim | Source::Pulse, _) => Speed::Times(1.0),
    }
}

fn whole(rate: f64) -> Result<u64, RunError> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a whole number of a size that f64 holds exactly"
    )]
    let whole = (rate.fract() == 0.0 && (1.0..=1e15).contains(&rate)).then_some(rate as u64);
    whole.ok_or(RunError::Rate(rate))
}

/// Looks now and then whether the ring's file is still what its path names.
struct Watch {
    end: Sender<()>,
    thread: JoinHandle<Found>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    InPlace,
    Replaced,
}

impl Watch {
    fn start(ring: Ring, stop: Arc<AtomicBool>) -> Self {
        let (end, ended) = mpsc::channel();
        let thread = thread::spawn(move || {
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                if ring.is_replaced() {
                    stop.store(true, Ordering::Relaxed);
                    return Found::Replaced;
                }
            }
            Found::InPlace
        });
        Self { end, thread }
    }

    fn end(self) -> Found {
        drop(self.end);
        self.thread.join().unwrap_or(Found::InPlace)
    }
}

/// A flag that SIGINT and SIGTERM set. The second time they end the process at once.
fn stop_on_signals() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the shutdown looks at the flag before the next line sets it.
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
