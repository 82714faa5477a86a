//! Whom a replay waits for: subscribers before it begins, and at full speed everybody who reads,
//! and when a feed has ended for the shards to read what it has left behind. All ask the shards for
//! reports. That is far too dear for each tick, so answers are kept for as long as they cannot mislead.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use feed_sim::{Gate, Readers};
use ring::Ring;

use crate::fleet::Fleet;

/// How long shards may take to read what a feed has left behind when it ends, before clients are
/// told that it ended.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How often shards are asked at most.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// How long the slowest position is taken for true: as long as a run waits between two looks.
const KNOWN_FOR: Duration = Duration::from_millis(1);

/// Opens when somebody has subscribed to something.
pub(super) struct FirstSubscriber {
    fleet: Arc<Fleet>,
    asked: Mutex<Option<Instant>>,
}

impl FirstSubscriber {
    pub(super) fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet, asked: Mutex::new(None) }
    }
}

impl Gate for FirstSubscriber {
    fn is_open(&self) -> bool {
        // Without a session there is no subscription; this costs two loads.
        if self.fleet.sessions() == 0 || !is_time(&self.asked) {
            return false;
        }
        self.fleet.report_blocking(0).iter().any(|report| report.hub.subscribes > 0)
    }
}

/// Whether the last time is long enough ago; it is now then.
fn is_time(asked: &Mutex<Option<Instant>>) -> bool {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let is_time = asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
    if is_time {
        *asked = Some(Instant::now());
    }
    is_time
}

/// Shards, and the slowest connection of each.
pub(super) struct Everybody {
    fleet: Arc<Fleet>,
    ring: Ring,
    /// How many entries a connection may be behind before it is waited for.
    lag_entries_max: u64,
    /// How far the slowest may be behind, in records; as the run's own window.
    window: u64,
    /// The slowest position known, and since when. Positions only grow, so an old one errs on the
    /// safe side; but who waits for it to grow must get a new one.
    known: Mutex<Option<(u64, Instant)>>,
}

impl Everybody {
    pub(super) fn new(fleet: Arc<Fleet>, ring: Ring, lag_entries_max: u64, window: u64) -> Self {
        Self { fleet, ring, lag_entries_max, window, known: Mutex::new(None) }
    }

    /// The position of the slowest shard, or of the ring's begin if a connection is too far behind.
    fn ask(&self) -> Option<u64> {
        let reports = self.fleet.report_blocking(1);
        let behind = reports
            .iter()
            .flat_map(|report| &report.slowest)
            .any(|connection| connection.view.lag_entries > self.lag_entries_max);
        let positions = reports.iter().map(|report| report.ring.map_or(0, |ring| ring.position));
        let slowest = positions.min()?;
        Some(if behind { 0 } else { slowest })
    }
}

impl Readers for Everybody {
    fn slowest(&self) -> Option<u64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((slowest, since)) = *known
            && since.elapsed() < KNOWN_FOR
            && self.ring.head().saturating_sub(slowest) <= self.window / 2
        {
            return Some(slowest);
        }
        let slowest = self.ask();
        *known = slowest.map(|slowest| (slowest, Instant::now()));
        slowest
    }
}

/// Waits until every shard has read the ring to its end, for a while.
pub(super) fn wait_for_shards(fleet: &Fleet, ring: &Ring, stop: &AtomicBool) {
    let deadline = Instant::now() + CATCH_UP;
    while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
        let reports = fleet.report_blocking(0);
        let head = ring.head();
        if reports.iter().all(|report| report.ring.is_some_and(|ring| ring.position >= head)) {
            return;
        }
        std::thread::sleep(ASK_EVERY);
    }
}
