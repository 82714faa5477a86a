//! The delay line: every source, or two merged, as it was some time ago. What it brings is held for that long
//! before it reaches the ring that shards and history read.
//!
//! The source runs on a thread of its own, as if it had a gateway to itself; what it would have shards read is
//! read here ([`intake`]), kept ([`spool`]), and let out when it is due ([`outflow`]). There is no other way from
//! a delayed source to shards. Everything is delayed alike: epochs, definitions, presence, what became of the feed.

mod intake;
mod item;
mod outflow;
mod spool;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wire::FeedState;

use crate::clock::{monotonic_ns, saturating_ns};
use crate::config::{BusInterest, Config};
use crate::fleet::Fleet;
use crate::source::status::{DelayView, FeedStatus};
use crate::source::{Run, SourceError};
use intake::{BATCH, Intake};
use item::Item;
use outflow::Outflow;
use spool::{Lost, Refused, Spool};

/// How often what has come is taken in, and what is due let out.
const TURN: Duration = Duration::from_millis(1);

/// How often the source's state is looked at, and operators are told.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// When a disk that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Batches taken in at one turn.
const BATCHES_IN: usize = 16;

/// Records let out at one turn: fewer than shards can read meanwhile, so that the past that a ring has when it is
/// found does not lap them.
const RECORDS_OUT: u64 = 2 * BATCH as u64;

/// What is configured, delayed.
pub(super) fn open(config: &Config, status: &Arc<FeedStatus>) -> Result<Run, SourceError> {
    let folder = config.delay_spool.clone().unwrap_or_else(std::env::temp_dir);
    let spool = Spool::open(&folder, config.delay_spool_max)
        .map_err(|error| SourceError::Spool { folder, error })?;
    // What clients want now must not wait for as long again.
    let undelayed = Config { bus_interest: BusInterest::All, ..config.clone() };
    let present = Arc::<FeedStatus>::default();
    let run = super::open_undelayed(&undelayed, &present)?;
    let (config, status) = (config.clone(), Arc::clone(status));
    Ok(Box::new(move |fleet, stop| {
        // Without this, clients that come now would take the silence for a quiet market.
        fleet.tell_feed(FeedState::Silent);
        let ended = AtomicBool::new(false);
        let delay_ns = saturating_ns(config.delay);
        let line = DelayLine {
            delay_ns,
            intake: Intake::new(Arc::clone(&present)),
            spool,
            outflow: Outflow::new(config, fleet, Arc::clone(&status)),
            present,
            status,
            trouble: None,
            looked_at: None,
            view: DelayView { delay_ns, ..DelayView::default() },
        };
        thread::scope(|scope| {
            // Nobody but us reads what it brings.
            let nobody = Arc::new(Fleet::new(Vec::new()));
            let (ended, _end) = (&ended, End(&ended));
            let thread = thread::Builder::new().name("undelayed".to_owned());
            let source = thread.spawn_scoped(scope, move || run(nobody, ended));
            if let Err(error) = &source {
                tracing::error!(%error, "no thread for the source");
            }
            let is_over = || source.as_ref().map_or(true, |thread| thread.is_finished());
            line.run(is_over, stop);
        });
    }))
}

struct DelayLine {
    delay_ns: u64,
    intake: Intake,
    spool: Spool,
    outflow: Outflow,
    /// The source as it is.
    present: Arc<FeedStatus>,
    /// The source as shards see it.
    status: Arc<FeedStatus>,
    /// Why the spool takes nothing, and when it said so.
    trouble: Option<(Refused, Instant)>,
    looked_at: Option<Instant>,
    view: DelayView,
}

impl DelayLine {
    fn run(mut self, is_over: impl Fn() -> bool, stop: &AtomicBool) {
        // Relaxed: the flag is all that is told.
        while !stop.load(Ordering::Relaxed) {
            let is_time = self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
            if is_time {
                self.looked_at = Some(Instant::now());
                self.report();
            }
            if !self.is_blocked() {
                let taken = self.take_in(is_time.then(&is_over));
                self.judge(taken);
            }
            self.let_out(stop);
            self.outflow.heartbeat();
            thread::sleep(TURN);
        }
        self.outflow.close();
    }

    /// Takes in what has come, and what has become of the source if that is to be looked at.
    fn take_in(&mut self, is_over: Option<bool>) -> Result<(), Refused> {
        if let Some(is_over) = is_over {
            self.intake.look(is_over, &mut self.spool)?;
        }
        for _ in 0..BATCHES_IN {
            if self.intake.read(&mut self.spool)? < BATCH {
                break;
            }
        }
        Ok(())
    }

    /// Whether it is too early to try the spool again.
    fn is_blocked(&self) -> bool {
        self.trouble.as_ref().is_some_and(|(reason, at)| match reason {
            Refused::Full { .. } => self.spool.is_nearly_full(),
            Refused::Disk { .. } => at.elapsed() < RETRY_AFTER,
        })
    }

    /// Says once why the spool takes nothing, and when it does again.
    fn judge(&mut self, taken: Result<(), Refused>) {
        match taken {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!("the delay line takes in what comes again");
                }
            }
            Err(reason) => {
                self.view.refused += 1;
                if self.trouble.is_none() {
                    tracing::error!(
                        %reason,
                        "the delay line takes nothing in; what is overwritten meanwhile is lost"
                    );
                }
                self.trouble = Some((reason, Instant::now()));
            }
        }
    }

    /// Lets out what is due.
    fn let_out(&mut self, stop: &AtomicBool) {
        let mut left = RECORDS_OUT;
        while left > 0 {
            let head = match self.spool.peek() {
                Ok(Some(head)) => head,
                Ok(None) => return,
                Err(lost) => return self.miss(&lost),
            };
            if head.at_ns.saturating_add(self.delay_ns) > monotonic_ns() {
                return;
            }
            let words = self.spool.take();
            if let Some(item) = Item::from_code(head.code) {
                self.outflow.take(item, head.epoch, words, stop);
            }
            left = left.saturating_sub(head.records.max(1));
        }
    }

    /// A part of what is held is gone.
    fn miss(&mut self, lost: &Lost) {
        tracing::error!(
            error = %lost, records = lost.records,
            "a part of the delay line cannot be read; clients are told of gaps"
        );
        self.view.dropped += lost.records;
        self.outflow.forget_halves();
        self.intake.begin_again();
    }

    /// Says to operators how it stands with the source, now, and with the line.
    fn report(&mut self) {
        self.status.mirror(&self.present.view());
        self.view.dropped += self.intake.take_lost();
        let now_ns = monotonic_ns();
        let oldest_ns = self.spool.oldest_ns();
        let due_in_ns = |at_ns: u64| at_ns.saturating_add(self.delay_ns).saturating_sub(now_ns);
        self.view.first_in_ns = oldest_ns.filter(|_| !self.outflow.has_begun()).map(due_in_ns);
        self.view.oldest_age_ns = oldest_ns.map_or(0, |at_ns| now_ns.saturating_sub(at_ns));
        (self.view.records, self.view.bytes) = (self.spool.records(), self.spool.bytes());
        self.status.delay(self.view);
    }
}

/// Ends the source whatever happens to the line: its thread is waited for.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        // Relaxed: the flag is all that is told.
        self.0.store(true, Ordering::Relaxed);
    }
}
