//! What is known of the feed, for operators: its state, its ring, how often it changed, and what became
//! of the bus that it comes over.
//!
//! Written by the source's thread, read by health and metrics. Not on the way to clients: they are
//! told by their shard.

use std::sync::Mutex;

use ring::Ring;
use wire::FeedState;

use crate::clock::realtime_ns;

/// The feed as the source last saw it.
#[derive(Debug, Default)]
pub struct FeedStatus {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// `None` before there was any feed.
    state: Option<FeedState>,
    ring: Option<Ring>,
    /// Where the ring's head was when the state changed.
    head: u64,
    instruments: u64,
    attaches: u64,
    open_failures: u64,
    /// Why there is no feed, for people.
    trouble: Option<String>,
    bus: BusView,
    lines: LinesView,
    delay: DelayView,
}

/// The line that delays a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayView {
    /// How long it holds what comes; 0: there is none.
    pub delay_ns: u64,
    /// When the first that came is due, as long as nothing has left it.
    pub first_in_ns: Option<u64>,
    /// Records that it holds.
    pub records: u64,
    /// Bytes that it holds, in memory and in files.
    pub bytes: u64,
    /// How long it holds the oldest.
    pub oldest_age_ns: u64,
    /// Records that it had no room for, or could not read again.
    pub dropped: u64,
    /// How often it could take nothing in, because it was full or the disk failed.
    pub refused: u64,
}

/// Two sources that are merged into one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinesView {
    /// Each of them; none if there is one source.
    pub lines: Vec<LineView>,
    /// Entries that the other line had brought already.
    pub duplicates: u64,
    /// Entries that only one line had, while others waited for them.
    pub covered: u64,
    /// Numbers that neither line brought in time.
    pub missing: u64,
    /// Records that a line's ring overwrote before they were read.
    pub lapped: u64,
}

/// One of two sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineView {
    /// As it is configured.
    pub source: String,
    /// Whether it brings something.
    pub is_live: bool,
    /// Why not, for people.
    pub trouble: Option<String>,
}

impl Seen {
    /// The state now: a feed that has restarted is live again with its next tick.
    fn state(&self) -> Option<FeedState> {
        let ticks_flow = self.ring.as_ref().is_some_and(|ring| ring.head() > self.head);
        match self.state {
            Some(FeedState::Restarted) if ticks_flow => Some(FeedState::Live),
            state => state,
        }
    }
}

/// A copy of what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedView {
    /// The feed's state; `None` before there was any feed.
    pub state: Option<FeedState>,
    /// The ring's epoch as it was created; a replay's further turns have others.
    pub epoch: u64,
    /// How many instruments the feed is known to have, at least; 0 for a ring of another process.
    pub instruments: u64,
    /// The ring's next position to be published.
    pub head: u64,
    /// Since the publisher's last sign of life, ns.
    pub heartbeat_age_ns: u64,
    /// How many rings were attached.
    pub attaches: u64,
    /// How often a shared ring could not be opened.
    pub open_failures: u64,
    /// Why there is no feed, for people.
    pub trouble: Option<String>,
    /// The bus that it comes over; all zeros if it does not.
    pub bus: BusView,
    /// The sources, if there are two.
    pub lines: LinesView,
    /// What delays it; all zeros if nothing does.
    pub delay: DelayView,
}

/// A source's bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusView {
    /// Whether the connection stands.
    pub is_connected: bool,
    /// How many buckets are taken.
    pub wanted: usize,
    /// How many of them are not complete up to now.
    pub behind: usize,
    /// What its reader has seen.
    pub counters: bus::assembly::Counters,
}

impl FeedView {
    /// Whether ticks can be expected.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.state, Some(FeedState::Live | FeedState::Restarted))
    }
}

impl FeedStatus {
    /// What is known now.
    #[must_use]
    pub fn view(&self) -> FeedView {
        let seen = self.seen();
        let ring = seen.ring.as_ref();
        let age_ns = |ring: &Ring| realtime_ns().saturating_sub(ring.heartbeat_ns());
        FeedView {
            state: seen.state(),
            epoch: ring.map_or(0, Ring::epoch),
            instruments: seen.instruments,
            head: ring.map_or(0, Ring::head),
            heartbeat_age_ns: ring.map_or(0, age_ns),
            attaches: seen.attaches,
            open_failures: seen.open_failures,
            trouble: seen.trouble.clone(),
            bus: seen.bus,
            lines: seen.lines.clone(),
            delay: seen.delay,
        }
    }

    /// How many rings were attached, and the last of them.
    pub(super) fn attached_ring(&self) -> (u64, Option<Ring>) {
        let seen = self.seen();
        (seen.attaches, seen.ring.clone())
    }

    /// How the two sources are.
    pub(super) fn lines(&self, lines: LinesView) {
        self.seen().lines = lines;
    }

    /// A ring was attached.
    pub(super) fn attached(&self, ring: &Ring, state: FeedState) {
        let mut seen = self.seen();
        seen.ring = Some(ring.clone());
        seen.state = Some(state);
        seen.head = ring.head();
        seen.attaches += 1;
        seen.trouble = None;
    }

    /// The feed has so many instruments.
    pub(super) fn expects(&self, instruments: usize) {
        self.seen().instruments = u64::try_from(instruments).unwrap_or(u64::MAX);
    }

    /// The feed's state changed.
    pub(super) fn changed(&self, state: FeedState) {
        let mut seen = self.seen();
        seen.state = Some(state);
        seen.head = seen.ring.as_ref().map_or(0, Ring::head);
    }

    /// A shared ring could not be opened.
    pub(super) fn open_failed(&self, trouble: String) {
        let mut seen = self.seen();
        seen.open_failures += 1;
        seen.trouble = Some(trouble);
    }

    /// Why there is no feed, or may soon be none; `None`: nothing is known against it.
    pub(super) fn troubled(&self, trouble: Option<String>) {
        self.seen().trouble = trouble;
    }

    /// How it stands with the bus.
    pub(super) fn bus(&self, view: BusView) {
        self.seen().bus = view;
    }

    /// How it stands with the line that delays it.
    pub(super) fn delay(&self, view: DelayView) {
        self.seen().delay = view;
    }

    /// Of a source that is delayed: what operators should know of it now, and clients see a delay later.
    pub(super) fn mirror(&self, source: &FeedView) {
        let mut seen = self.seen();
        (seen.bus, seen.lines) = (source.bus, source.lines.clone());
        (seen.open_failures, seen.trouble) = (source.open_failures, source.trouble.clone());
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // A holder that panicked has left plain values behind.
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
