//! Pacing: runs a feed into a feeder at the right time.
//!
//! The one loop that reads clocks and sleeps. It is an open loop: what is late is published at once
//! and nothing is skipped, and as event times are the feed's own, lateness shows. It sleeps rather than
//! spins; ticks that come faster than [`Pacing::quantum_ns`] are published in one batch per quantum.
//!
//! At [`Speed::Max`] due times mean nothing, and if [`Backpressure`] is given the run waits for
//! readers; the ring never does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::prctl;
use wire::Tick;

use crate::feed::{Feed, FeedError, Next};
use crate::feeder::{Feeder, FeederError};

/// The most ticks gathered before they are published: one clock read and one wake for all of them.
const BATCH_TICKS: usize = 256;

/// A feed's own batch may be longer; it is published in pieces of about this many ticks.
const PIECE_TICKS: usize = 1024;

/// The longest sleep: half a heartbeat, and what `stop` waits at most.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// How much later than asked for the kernel may wake the run's thread. By default it is 50 µs, which
/// saves power by waking several sleepers at once, and makes each tick that much older.
const TIMER_SLACK_NS: u64 = 1;

/// How long to wait before looking at a closed gate, or at slow readers, again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Two clocks that are read within this are read at once, and how often it is tried.
const MOMENT: Duration = Duration::from_micros(100);
const MOMENT_TRIES: u32 = 100;

/// How a feed's time becomes real.
#[derive(Clone)]
pub struct Pacing {
    /// How fast.
    pub speed: Speed,
    /// When the feed's time begins.
    pub start: Start,
    /// Wake-ups are at least this far apart, ns: the price of a rate of millions is not millions of
    /// wake-ups. 0: every tick exactly.
    pub quantum_ns: u64,
    /// How to wait for a due time.
    pub wait: Wait,
    /// Where the run says how far it is.
    pub progress: Arc<Progress>,
}

/// How fast a feed's time passes.
#[derive(Clone)]
pub enum Speed {
    /// This many times as fast as real time.
    Times(f64),
    /// As fast as can be, or as the readers are.
    Max(Option<Backpressure>),
}

/// When a feed's time begins.
#[derive(Clone)]
pub enum Start {
    /// At once.
    Now,
    /// When the gate opens; instruments are defined before.
    WhenOpen(Arc<dyn Gate>),
    /// It began at this moment of the realtime clock, ns since the epoch, which may be past: what was
    /// due since is late and comes at once. For feeds whose schedule is the wall clock's, such as a
    /// market that took time to join.
    At(u64),
}

/// How to wait for a due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Sleep. The kernel wakes some 60 µs late.
    Sleep,
    /// Sleep until so many ns before, then spin: exact, for machines with a core to spare.
    SpinLast(u64),
}

/// Something a run waits for before its first tick: a first subscriber, say.
pub trait Gate: Send + Sync {
    /// Whether it may begin. Asked about once a millisecond.
    fn is_open(&self) -> bool;
}

impl<F: Fn() -> bool + Send + Sync> Gate for F {
    fn is_open(&self) -> bool {
        self()
    }
}

/// Makes a run at [`Speed::Max`] wait for readers.
#[derive(Clone)]
pub struct Backpressure {
    /// Who is waited for.
    pub readers: Arc<dyn Readers>,
    /// How far the slowest may be behind, in records; less than the ring's capacity. A depth group that
    /// is longer waits until nobody is behind.
    pub window: u64,
}

/// Those a run waits for.
pub trait Readers: Send + Sync {
    /// The position of the slowest; `None`: there is nobody to wait for. Asked before each batch.
    fn slowest(&self) -> Option<u64>;
}

impl<F: Fn() -> Option<u64> + Send + Sync> Readers for F {
    fn slowest(&self) -> Option<u64> {
        self()
    }
}

/// How far a run is. Written by the run, read by whoever shows it: values are a batch old.
#[derive(Debug, Default)]
pub struct Progress {
    /// Ticks published.
    pub ticks: AtomicU64,
    /// The ring's next position.
    pub position: AtomicU64,
    /// How late the last batch was, ns; 0 at maximal speed.
    pub lag_ns: AtomicU64,
    /// The feed's own time, ns.
    pub feed_ns: AtomicU64,
    /// Epochs begun.
    pub epochs: AtomicU64,
}

/// How a run ended. The ring is still open: [`Feeder::close`] ends it in good order.
#[derive(Debug)]
pub enum Outcome {
    /// The feed has no more.
    Ended,
    /// It was told to stop.
    Stopped,
    /// The feed could not go on.
    Failed(Box<FeedError>),
    /// The feed made something that cannot be published.
    Refused(FeederError),
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            speed: Speed::Times(1.0),
            start: Start::Now,
            quantum_ns: 500_000,
            wait: Wait::fitting(),
            progress: Arc::default(),
        }
    }
}

impl Wait {
    /// What fits this machine: with two cores or fewer the readers need what spinning would take.
    #[must_use]
    pub fn fitting() -> Self {
        match thread::available_parallelism() {
            Ok(cores) if cores.get() > 2 => Self::SpinLast(60_000),
            _ => Self::Sleep,
        }
    }
}

/// Runs the feed until it ends, fails or `stop` is set. The calling thread's sleeps are exact from then
/// on.
pub fn run(
    feed: &mut dyn Feed,
    feeder: &mut Feeder,
    pacing: &Pacing,
    stop: &AtomicBool,
) -> Outcome {
    // Where that is not allowed, ticks are later; progress shows how late.
    let _ = prctl::set_timerslack(TIMER_SLACK_NS);
    let mut is_first = true;
    loop {
        let now_ns = realtime_ns();
        if let Err(error) = feeder.begin_epoch(feed.instruments(), now_ns) {
            return Outcome::Refused(error);
        }
        pacing.progress.epochs.fetch_add(1, Ordering::Relaxed);
        // Only the first epoch waits for a start; the others begin where the one before ends.
        let start_ns = match (&pacing.start, is_first) {
            (Start::At(start_ns), true) => {
                if !wait_until(|| realtime_ns() >= *start_ns, feeder, stop) {
                    return Outcome::Stopped;
                }
                *start_ns
            }
            (Start::WhenOpen(gate), true) => {
                if !wait_until(|| gate.is_open(), feeder, stop) {
                    return Outcome::Stopped;
                }
                realtime_ns()
            }
            _ => realtime_ns(),
        };
        is_first = false;
        match Epoch::begin(feed, feeder, pacing, stop, start_ns).run() {
            End::Restart => {}
            End::Run(outcome) => return outcome,
        }
    }
}

/// Realtime clock, ns since the epoch.
#[must_use]
pub fn realtime_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// One moment by both clocks. Who did not run between two looks at them would take the pause for a part of the feed's
/// time: ticks would come before they are due. So it is looked again; where nothing helps, ticks are later.
fn moment() -> (Instant, u64) {
    let mut tries = 0;
    loop {
        let before = Instant::now();
        let now_ns = realtime_ns();
        let after = Instant::now();
        tries += 1;
        if after - before < MOMENT || tries == MOMENT_TRIES {
            return (after, now_ns);
        }
    }
}

/// One epoch of a run.
struct Epoch<'a> {
    feed: &'a mut dyn Feed,
    feeder: &'a mut Feeder,
    pacing: &'a Pacing,
    stop: &'a AtomicBool,
    begun: Instant,
    /// How far the feed's time was already when the run began.
    head_start_ns: u64,
    /// Ticks gathered; those from `ready` on are not due yet.
    batch: Vec<Tick>,
    ready: usize,
    /// When the rest of the batch is due, ns after the start in real time.
    rest_due_ns: Option<u64>,
    /// When the oldest ready tick was due.
    oldest_due_ns: Option<u64>,
}

enum End {
    Restart,
    Run(Outcome),
}

impl<'a> Epoch<'a> {
    fn begin(
        feed: &'a mut dyn Feed,
        feeder: &'a mut Feeder,
        pacing: &'a Pacing,
        stop: &'a AtomicBool,
        start_ns: u64,
    ) -> Self {
        let (begun, now_ns) = moment();
        feed.start(start_ns);
        Self {
            feed,
            feeder,
            pacing,
            stop,
            begun,
            head_start_ns: now_ns.saturating_sub(start_ns),
            batch: Vec::with_capacity(2 * BATCH_TICKS),
            ready: 0,
            rest_due_ns: None,
            oldest_due_ns: None,
        }
    }

    fn run(&mut self) -> End {
        loop {
            let woken_ns = self.elapsed_ns();
            let mut now_ns = woken_ns;
            // Everything that is due, a batch at a time; new ticks become due meanwhile.
            loop {
                if self.stop.load(Ordering::Relaxed) {
                    return End::Run(Outcome::Stopped);
                }
                let end = self.gather(now_ns);
                if let Err(outcome) = self.publish(now_ns) {
                    return End::Run(outcome);
                }
                if let Some(end) = end {
                    return end;
                }
                if self.rest_due_ns.is_some() {
                    break;
                }
                now_ns = self.elapsed_ns();
            }
            self.sleep(woken_ns);
        }
    }

    /// Takes from the feed what is due, up to a batch. Says how the epoch ends, if it does.
    fn gather(&mut self, now_ns: u64) -> Option<End> {
        if let Some(due_ns) = self.rest_due_ns {
            if due_ns > now_ns {
                return None;
            }
            self.take_ready(due_ns);
        }
        // Bounded, as a feed may also hand out batches without ticks.
        for _ in 0..BATCH_TICKS {
            if self.batch.len() >= BATCH_TICKS {
                break;
            }
            match self.feed.next(&mut self.batch) {
                Next::At(feed_ns) => {
                    self.pacing.progress.feed_ns.store(feed_ns, Ordering::Relaxed);
                    let due_ns = self.pacing.speed.due_ns(feed_ns);
                    if due_ns > now_ns {
                        self.rest_due_ns = Some(due_ns);
                        return None;
                    }
                    self.take_ready(due_ns);
                }
                end => {
                    self.ready = self.batch.len();
                    return Some(match end {
                        Next::Restart => End::Restart,
                        Next::Failed(error) => End::Run(Outcome::Failed(error)),
                        Next::End | Next::At(_) => End::Run(Outcome::Ended),
                    });
                }
            }
        }
        None
    }

    /// All that is in the batch is due since this time.
    fn take_ready(&mut self, due_ns: u64) {
        self.ready = self.batch.len();
        self.rest_due_ns = None;
        self.oldest_due_ns.get_or_insert(due_ns);
    }

    fn publish(&mut self, now_ns: u64) -> Result<(), Outcome> {
        if self.ready == 0 {
            self.feeder.heartbeat(realtime_ns());
            return Ok(());
        }
        let mut at = 0;
        while at < self.ready {
            let length = piece(&self.batch[at..self.ready], self.pacing.speed.piece_ticks());
            self.wait_for_readers(length as u64)?;
            let piece = &self.batch[at..at + length];
            self.feeder.publish(piece, realtime_ns()).map_err(Outcome::Refused)?;
            at += length;
        }
        self.batch.drain(..self.ready);
        self.ready = 0;
        let progress = &self.pacing.progress;
        let oldest_due_ns = self.oldest_due_ns.take().unwrap_or(now_ns);
        let lag_ns = match self.pacing.speed {
            Speed::Times(_) => now_ns.saturating_sub(oldest_due_ns),
            Speed::Max(_) => 0,
        };
        progress.lag_ns.store(lag_ns, Ordering::Relaxed);
        progress.ticks.store(self.feeder.counters().ticks, Ordering::Relaxed);
        progress.position.store(self.feeder.position(), Ordering::Relaxed);
        Ok(())
    }

    /// At maximal speed: waits until the slowest reader would not be too far behind after so many
    /// ticks more.
    fn wait_for_readers(&mut self, length: u64) -> Result<(), Outcome> {
        let Speed::Max(Some(backpressure)) = &self.pacing.speed else { return Ok(()) };
        let head = self.feeder.position();
        let behind = |slowest: u64| head.saturating_sub(slowest);
        let has_room = || {
            backpressure.readers.slowest().is_none_or(|slowest| {
                behind(slowest) + length <= backpressure.window || behind(slowest) == 0
            })
        };
        if wait_until(has_room, self.feeder, self.stop) { Ok(()) } else { Err(Outcome::Stopped) }
    }

    /// Sleeps until the rest of the batch is due, but at least a quantum from the last wake-up on.
    fn sleep(&mut self, woken_ns: u64) {
        let Some(due_ns) = self.rest_due_ns else { return };
        let due_ns = due_ns.max(woken_ns + self.pacing.quantum_ns);
        let spin_ns = match self.pacing.wait {
            Wait::Sleep => 0,
            Wait::SpinLast(spin_ns) => spin_ns,
        };
        loop {
            let now_ns = self.elapsed_ns();
            if now_ns >= due_ns || self.stop.load(Ordering::Relaxed) {
                return;
            }
            let left_ns = due_ns - now_ns;
            if left_ns > spin_ns {
                thread::sleep(Duration::from_nanos(left_ns - spin_ns).min(SLEEP_MAX));
                self.feeder.heartbeat(realtime_ns());
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Real time since the feed's time 0, ns.
    fn elapsed_ns(&self) -> u64 {
        let elapsed_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        elapsed_ns.saturating_add(self.head_start_ns)
    }
}

impl Speed {
    /// How long a piece of a long batch is: never more than half of what readers may be behind.
    fn piece_ticks(&self) -> usize {
        match self {
            Self::Max(Some(backpressure)) => {
                let half = usize::try_from(backpressure.window / 2).unwrap_or(usize::MAX);
                half.min(PIECE_TICKS)
            }
            Self::Times(_) | Self::Max(None) => PIECE_TICKS,
        }
    }

    /// When something is due, ns after the start in real time.
    fn due_ns(&self, feed_ns: u64) -> u64 {
        match self {
            Self::Max(_) => 0,
            Self::Times(1.0) => feed_ns,
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "exact to the ns below 2^53 ns, 104 days; saturates"
            )]
            Self::Times(times) => (feed_ns as f64 / times) as u64,
        }
    }
}

/// How many of these ticks make a piece: at least `ticks`, if there are so many, and whole groups.
fn piece(batch: &[Tick], ticks: usize) -> usize {
    let start = ticks.clamp(1, batch.len()) - 1;
    batch[start..].iter().position(Tick::ends).map_or(batch.len(), |at| start + at + 1)
}

/// Waits with heartbeats. False: told to stop before.
fn wait_until(condition: impl Fn() -> bool, feeder: &mut Feeder, stop: &AtomicBool) -> bool {
    loop {
        if condition() {
            return true;
        }
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        thread::sleep(LOOK_AGAIN);
        feeder.heartbeat(realtime_ns());
    }
}
