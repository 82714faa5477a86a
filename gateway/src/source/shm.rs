//! A ring in shared memory that another process writes, and the watch over that process.
//!
//! The file may be missing, of another version, cut, replaced, and its writer may die or fall
//! silent: each is said to clients and in the log, and none ends the gateway. A ring that once was
//! readable stays attached until a better one is there: what it holds is still true.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ring::{OpenError, Ring, State};
use wire::FeedState;

use crate::clock::{realtime_ns, saturating_ns};
use crate::fleet::Fleet;
use crate::shard::Order;
use crate::source::Run;
use crate::source::readers::wait_for_shards;
use crate::source::status::FeedStatus;

/// How often the ring's state is looked at: a quarter of the shortest `feed-silent-after` that makes
/// sense, and what a stop waits for at most.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long after a first failure a file is tried again; doubled each time up to the maximum.
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// A file that appears is found within this time.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The supervisor of the ring at this path.
pub(super) fn open(path: &Path, silent_after: Duration, status: Arc<FeedStatus>) -> Run {
    let path = path.to_owned();
    Box::new(move |fleet, stop| {
        Supervisor { path, silent_after, status, fleet, said: None }.run(stop);
    })
}

struct Supervisor {
    path: PathBuf,
    silent_after: Duration,
    status: Arc<FeedStatus>,
    fleet: Arc<Fleet>,
    /// What was last logged about the file: a condition that lasts is said once.
    said: Option<String>,
}

impl Supervisor {
    fn run(mut self, stop: &AtomicBool) {
        let Some(mut ring) = self.wait_for_ring(None, stop) else { return };
        let mut state = FeedState::Live;
        loop {
            // Shards tell clients of the new epoch themselves, when they read that it has begun.
            self.fleet.attach(&ring, Order::OfFeed);
            self.status.attached(&ring, state);
            tracing::info!(
                path = %self.path.display(), epoch = ring.epoch(), capacity = ring.capacity(),
                state = state.name(), "ring attached"
            );
            // The waiter turns the shared futex into the shards' eventfds; it lives as long as this.
            let waiter = ring.spawn_waiter();
            if let Err(error) = &waiter {
                tracing::error!(%error, "no thread to wait for the feed: ticks come late");
            }
            let Some(next) = self.watch(&ring, stop) else { return };
            drop(waiter);
            ring = next;
            state = FeedState::Restarted;
        }
    }

    /// Watches a ring until another one takes its place. `None`: told to stop.
    fn watch(&mut self, ring: &Ring, stop: &AtomicBool) -> Option<Ring> {
        let mut told = FeedState::Live;
        while !stop.load(Ordering::Relaxed) {
            if ring.is_replaced() || ring.state() == State::Poisoned {
                return self.replace(ring, told, stop);
            }
            let state = self.judge(ring);
            if state != told {
                if state == FeedState::Stopped {
                    wait_for_shards(&self.fleet, ring, stop);
                }
                self.tell(state);
                told = state;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        None
    }

    /// Waits for the ring that comes after this one. Until then clients are told how it is.
    fn replace(&mut self, ring: &Ring, told: FeedState, stop: &AtomicBool) -> Option<Ring> {
        if ring.state() == State::Poisoned {
            tracing::error!(
                path = %self.path.display(),
                "the ring's file was cut or overwritten while it was mapped; waiting for a new one"
            );
            if told != FeedState::Silent {
                self.tell(FeedState::Silent);
            }
            // The cut file itself must not be taken for the new one.
            while !ring.is_replaced() {
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        self.wait_for_ring(Some((ring, told)), stop)
    }

    fn judge(&self, ring: &Ring) -> FeedState {
        if ring.state() == State::Closed {
            return FeedState::Stopped;
        }
        let age_ns = realtime_ns().saturating_sub(ring.heartbeat_ns());
        if age_ns > saturating_ns(self.silent_after) { FeedState::Silent } else { FeedState::Live }
    }

    fn tell(&self, state: FeedState) {
        match state {
            FeedState::Silent => tracing::warn!(
                silent_after_ms = self.silent_after.as_millis(),
                "the feed is silent; clients are told"
            ),
            FeedState::Stopped => tracing::info!("the feed ended in good order"),
            _ => tracing::info!(state = state.name(), "the feed is back"),
        }
        self.status.changed(state);
        self.fleet.tell_feed(state);
    }

    /// Opens the file, waiting while that is not possible. An old ring that is still attached is
    /// watched meanwhile: its feed may fall silent. `None`: told to stop.
    fn wait_for_ring(
        &mut self,
        old: Option<(&Ring, FeedState)>,
        stop: &AtomicBool,
    ) -> Option<Ring> {
        let mut told = old.map(|(_, told)| told);
        let mut pause = RETRY_FIRST;
        let mut next_try = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if Instant::now() >= next_try {
                match Ring::open(&self.path) {
                    Ok(ring) => {
                        self.said = None;
                        return Some(ring);
                    }
                    Err(error) => {
                        self.report(&error);
                        // Without this, clients that come now would take the silence for a quiet market.
                        if told.is_none() {
                            self.fleet.tell_feed(FeedState::Silent);
                            told = Some(FeedState::Silent);
                        }
                    }
                }
                next_try = Instant::now() + pause;
                pause = (pause * 2).min(RETRY_MAX);
            }
            if let Some((ring, _)) = old {
                let state = self.judge(ring);
                if told != Some(state) && state != FeedState::Live {
                    self.tell(state);
                    told = Some(state);
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
        None
    }

    /// Says why the file cannot be used, once for each reason.
    fn report(&mut self, error: &OpenError) {
        let reason = error.to_string();
        self.status.open_failed(format!("{}: {reason}", self.path.display()));
        if self.said.as_ref() != Some(&reason) {
            tracing::warn!(path = %self.path.display(), reason, "no usable ring yet; trying again");
            self.said = Some(reason);
        }
    }
}
