//! Which depth events make the book: the venue's own rule for joining snapshot and events.
//!
//! The depth stream of a replayed instrument is exactly this:
//! 1. Depth events before the snapshot are held, not delivered: there is no book that they change.
//!    Trades and quotes pass, now as always.
//! 2. The snapshot becomes a group that replaces the book, with update ids `L..=L`, where `L` is its
//!    `lastUpdateId`. Held events with `u <= L` are dropped, the others follow at once, in order.
//! 3. The first event after the snapshot must have `U <= L+1 <= u`, every later one continues the one
//!    before (`U <= last u + 1`). An event that ends at or below the last `u` says nothing new and is
//!    dropped.
//! 4. An event that begins later shows that some are missing. The book is unknown from here on: an
//!    empty group that replaces it says so, and the next snapshot starts again at 1.
//! 5. A snapshot older than all held events does not link up, one older than the book is of no use:
//!    both are skipped and counted.
//!
//! Called by [`super::Replay`] and [`super::Live`], one per instrument.

use wire::{Level, Tick, flags};

/// Ticks of held events, at most: 120 MB, minutes of the busiest instrument. Beyond it the oldest go;
/// a snapshot that comes so late is younger than they are.
const HELD_TICKS_MAX: usize = 1_000_000;

/// What became of depth events and snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DepthCounts {
    /// Depth events that changed the book.
    pub applied: u64,
    /// Depth events dropped because the snapshot already contained them.
    pub contained: u64,
    /// Times that depth events were missing and the book was given up.
    pub gaps: u64,
    /// Snapshots that became the book.
    pub snapshots: u64,
    /// Snapshots too old to be of use.
    pub snapshots_skipped: u64,
    /// Depth events held for too long and given up.
    pub given_up: u64,
}

/// The state of one instrument's depth stream.
#[derive(Debug, Default)]
pub(super) struct BookSync {
    state: State,
    /// Groups of held events, back to back.
    held: Vec<Tick>,
    counts: DepthCounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No book yet, or none any more.
    #[default]
    Waiting,
    /// The book contains all updates up to this id.
    Following(u64),
}

impl BookSync {
    /// Whether there is no book, or none any more: a snapshot is wanted.
    pub(super) fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    pub(super) const fn counts(&self) -> DepthCounts {
        self.counts
    }

    /// One depth event: appends what it means for the depth stream.
    pub(super) fn handle_event(
        &mut self,
        instrument: u32,
        ts_event_ns: u64,
        (first, last): (u64, u64),
        levels: &[Level],
        out: &mut Vec<Tick>,
    ) {
        let push = |out| Tick::push_depth(out, instrument, ts_event_ns, first..=last, levels);
        match self.state {
            State::Following(known) if last <= known => self.counts.contained += 1,
            State::Following(known) if first <= known + 1 => {
                self.counts.applied += 1;
                self.state = State::Following(last);
                push(out);
            }
            State::Following(known) => {
                self.counts.gaps += 1;
                self.state = State::Waiting;
                push_replacing(out, instrument, ts_event_ns, known, &[]);
                push(&mut self.held);
            }
            State::Waiting => {
                push(&mut self.held);
                if self.held.len() > HELD_TICKS_MAX {
                    self.give_up_oldest();
                }
            }
        }
    }

    /// A snapshot: appends what it means for the depth stream.
    pub(super) fn handle_snapshot(
        &mut self,
        instrument: u32,
        ts_event_ns: u64,
        last_update_id: u64,
        levels: &[Level],
        out: &mut Vec<Tick>,
    ) {
        if let State::Following(known) = self.state
            && last_update_id <= known
        {
            self.counts.snapshots_skipped += 1;
            return;
        }
        let next = groups(&self.held).find(|group| group[0].update_ids().1 > last_update_id);
        if next.is_some_and(|group| group[0].update_ids().0 > last_update_id + 1) {
            self.counts.snapshots_skipped += 1;
            return;
        }
        self.counts.snapshots += 1;
        self.state = State::Following(last_update_id);
        push_replacing(out, instrument, ts_event_ns, last_update_id, levels);
        let mut held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            let group = first_group(&held[at..]);
            at += group.len();
            self.handle_held(group, out);
        }
        // Keep the memory, unless there was a gap and events are held again.
        if self.held.is_empty() {
            held.clear();
            self.held = held;
        }
    }

    /// A held event whose snapshot has come.
    fn handle_held(&mut self, group: &[Tick], out: &mut Vec<Tick>) {
        let (first, last) = group[0].update_ids();
        match self.state {
            State::Following(known) if last <= known => self.counts.contained += 1,
            State::Following(known) if first <= known + 1 => {
                self.counts.applied += 1;
                self.state = State::Following(last);
                out.extend_from_slice(group);
            }
            State::Following(known) => {
                self.counts.gaps += 1;
                self.state = State::Waiting;
                push_replacing(out, group[0].instrument, group[0].ts_event_ns, known, &[]);
                self.held.extend_from_slice(group);
            }
            State::Waiting => self.held.extend_from_slice(group),
        }
    }

    /// Drops the older half of what is held, in whole events: rarely, so that it costs little.
    fn give_up_oldest(&mut self) {
        let mut dropped = 0;
        for group in groups(&self.held) {
            if dropped >= HELD_TICKS_MAX / 2 {
                break;
            }
            dropped += group.len();
            self.counts.given_up += 1;
        }
        self.held.drain(..dropped);
    }
}

/// A group that replaces the book by these levels.
fn push_replacing(
    out: &mut Vec<Tick>,
    instrument: u32,
    ts_event_ns: u64,
    update_id: u64,
    levels: &[Level],
) {
    let start = out.len();
    Tick::push_depth(out, instrument, ts_event_ns, update_id..=update_id, levels);
    for tick in &mut out[start..] {
        tick.flags |= flags::REPLACES_BOOK;
    }
}

fn first_group(ticks: &[Tick]) -> &[Tick] {
    let end = ticks.iter().position(Tick::ends).map_or(ticks.len(), |at| at + 1);
    &ticks[..end]
}

fn groups(ticks: &[Tick]) -> impl Iterator<Item = &[Tick]> {
    ticks.split_inclusive(Tick::ends)
}

#[cfg(test)]
mod tests {
    use wire::Side;

    use super::*;

    const BID: [Level; 1] = [Level { side: Side::Bid, price: 7, quantity: 1 }];

    /// What came out: `(first, last, replaces)` of each group.
    fn seen(out: &mut Vec<Tick>) -> Vec<(u64, u64, bool)> {
        let seen = groups(out)
            .map(|group| {
                let (first, last) = group[0].update_ids();
                (first, last, group[0].flags & flags::REPLACES_BOOK != 0)
            })
            .collect();
        out.clear();
        seen
    }

    #[test]
    fn events_wait_for_the_snapshot_and_link_up_with_it() {
        let (mut sync, mut out) = (BookSync::default(), Vec::new());
        sync.handle_event(0, 1, (10, 14), &BID, &mut out);
        sync.handle_event(0, 2, (15, 20), &BID, &mut out);
        sync.handle_event(0, 3, (21, 21), &BID, &mut out);
        assert_eq!(seen(&mut out), []);
        sync.handle_snapshot(0, 4, 17, &BID, &mut out);
        assert_eq!(seen(&mut out), [(17, 17, true), (15, 20, false), (21, 21, false)]);
        sync.handle_event(0, 5, (22, 30), &[], &mut out);
        sync.handle_event(0, 6, (25, 30), &BID, &mut out);
        assert_eq!(seen(&mut out), [(22, 30, false)], "an event without levels still counts");
        let counts = sync.counts();
        assert_eq!((counts.applied, counts.contained, counts.gaps), (3, 2, 0));
    }

    #[test]
    fn a_missing_event_empties_the_book_until_the_next_snapshot() {
        let (mut sync, mut out) = (BookSync::default(), Vec::new());
        sync.handle_snapshot(0, 1, 10, &BID, &mut out);
        sync.handle_event(0, 2, (12, 15), &BID, &mut out);
        sync.handle_event(0, 3, (16, 18), &BID, &mut out);
        assert_eq!(seen(&mut out), [(10, 10, true), (10, 10, true)]);
        assert_eq!(sync.counts().gaps, 1);
        sync.handle_snapshot(0, 4, 10, &BID, &mut out);
        assert_eq!(seen(&mut out), [], "older than the held events: does not link up");
        sync.handle_snapshot(0, 5, 15, &BID, &mut out);
        assert_eq!(seen(&mut out), [(15, 15, true), (16, 18, false)]);
        sync.handle_snapshot(0, 6, 18, &BID, &mut out);
        assert_eq!(seen(&mut out), [], "older than the book");
        sync.handle_snapshot(0, 7, 40, &BID, &mut out);
        sync.handle_event(0, 8, (19, 40), &BID, &mut out);
        sync.handle_event(0, 9, (41, 41), &BID, &mut out);
        assert_eq!(seen(&mut out), [(40, 40, true), (41, 41, false)]);
        assert_eq!(sync.counts().snapshots_skipped, 2);
    }

    #[test]
    fn a_gap_among_held_events_is_found_when_the_snapshot_comes() {
        let (mut sync, mut out) = (BookSync::default(), Vec::new());
        sync.handle_event(0, 1, (10, 14), &BID, &mut out);
        sync.handle_event(0, 2, (17, 20), &BID, &mut out);
        sync.handle_snapshot(0, 3, 12, &BID, &mut out);
        assert_eq!(seen(&mut out), [(12, 12, true), (10, 14, false), (14, 14, true)]);
        sync.handle_snapshot(0, 4, 18, &BID, &mut out);
        assert_eq!(seen(&mut out), [(18, 18, true), (17, 20, false)]);
    }
}
