//! `--out nats://…|redis://…`: a thread that carries the ring's content to a bus.
//!
//! The feed writes into its ring as always; a [`Bridge`] on a thread with a runtime of its own reads it,
//! so that a slow bus never stops the feed. A bus that cannot be written stops the run. At the end the ring
//! is closed, read to its end, and what waits is flushed, for [`FLUSH_WITHIN`] at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bus::{
    Backend, Bridge, BridgeError, BridgeOptions, BridgeProgress, BusUrl, Nats, Overflow, Redis,
    Scheme, StoreOptions, Writer, WriterError, WriterOptions,
};
use feed_sim::{Backpressure, realtime_ns};
use ring::Ring;
use wire::{Channel, Instrument, Symbol};

use crate::args::BusArgs;

/// How long the bus may take to acknowledge what waits at the end.
const FLUSH_WITHIN: Duration = Duration::from_secs(10);

/// How often a stop is looked for while the stream is being opened.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why nothing, or not everything, got onto the bus.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OntoBusError {
    #[error(transparent)]
    Writer(#[from] WriterError),
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
}

/// The thread.
pub(crate) struct OntoBus {
    thread: JoinHandle<Result<(), OntoBusError>>,
    progress: Arc<BridgeProgress>,
}

/// What the thread needs to know.
struct Job {
    url: BusUrl,
    writer: WriterOptions,
    ring: Ring,
    bridge: BridgeOptions,
    stop: Arc<AtomicBool>,
    opened: Sender<Arc<BridgeProgress>>,
}

impl OntoBus {
    /// Opens the stream and begins to carry. `None`: it was told to stop before.
    pub(crate) fn start(
        url: &BusUrl,
        args: &BusArgs,
        ring: &Ring,
        instruments: usize,
        overflow: Overflow,
        stop: &Arc<AtomicBool>,
    ) -> Result<Option<Self>, OntoBusError> {
        let (opened, has_opened) = mpsc::channel();
        let job = Job {
            url: url.clone(),
            writer: writer_options(args),
            ring: ring.clone(),
            bridge: BridgeOptions {
                instruments,
                bucket_size: args.bus_bucket,
                published: published(args.published),
                overflow,
            },
            stop: Arc::clone(stop),
            opened,
        };
        let thread = thread::spawn(move || run(job));
        loop {
            match has_opened.recv_timeout(LOOK_EVERY) {
                Ok(progress) => return Ok(Some(Self { thread, progress })),
                Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                // It ended without having opened.
                Err(RecvTimeoutError::Disconnected) => return join(thread).map(|()| None),
            }
        }
    }

    /// Where it says how far it is.
    pub(crate) fn progress(&self) -> Arc<BridgeProgress> {
        Arc::clone(&self.progress)
    }

    /// Makes a run at full speed wait for the bus.
    pub(crate) fn backpressure(&self, ring: &Ring) -> Backpressure {
        let progress = self.progress();
        Backpressure {
            readers: Arc::new(move || Some(progress.position.load(Ordering::Relaxed))),
            window: (ring.capacity() / 2) as u64,
        }
    }

    /// Waits until the closed ring is on the bus, or it is clear that it will not be.
    pub(crate) fn end(self) -> Result<(), OntoBusError> {
        join(self.thread)
    }
}

fn join(thread: JoinHandle<Result<(), OntoBusError>>) -> Result<(), OntoBusError> {
    match thread.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn run(job: Job) -> Result<(), OntoBusError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let stop = Arc::clone(&job.stop);
    let result = runtime.map_err(OntoBusError::Runtime).and_then(|runtime| {
        runtime.block_on(async {
            match job.url.scheme() {
                Scheme::Nats | Scheme::NatsTls => carry::<Nats>(job).await,
                Scheme::Redis | Scheme::RedisTls => carry::<Redis>(job).await,
            }
        })
    });
    // Also after the end of the feed, when it changes nothing.
    stop.store(true, Ordering::Relaxed);
    result
}

async fn carry<B: Backend>(job: Job) -> Result<(), OntoBusError> {
    let writer = Writer::<B>::open(&job.url, job.writer).await?;
    let mut bridge = Bridge::new(writer, &job.ring, job.bridge);
    // Nobody waits any more: it was told to stop.
    let _ = job.opened.send(bridge.progress());
    bridge.run().await?;
    Ok(bridge.close(FLUSH_WITHIN).await?)
}

fn writer_options(args: &BusArgs) -> WriterOptions {
    WriterOptions {
        name: format!("feed-sim-{:x}", realtime_ns()),
        batch_bytes: args.batch_bytes,
        batch_age: args.batch_age,
        held_bytes: args.held_bytes,
        image_part: args.image_part,
        store: StoreOptions {
            storage: args.storage.into(),
            max_age: args.retention,
            ..StoreOptions::default()
        },
        ..WriterOptions::default()
    }
}

/// Instruments that clients publish. Their ids come behind the feed's.
fn published(count: u32) -> Vec<Instrument> {
    let instrument = |id| Instrument {
        id,
        symbol: Symbol::new(&format!("C{id}")).expect("a letter and digits"),
        base_len: 0,
        price_exponent: -2,
        quantity_exponent: -3,
        tick_size: 1,
        lot_size: 1,
        channels: Channel::Trade.bit() | Channel::Quote.bit(),
    };
    (0..count).map(instrument).collect()
}
