//! The bound of what is held: what is dropped beyond it, and how that is made good.

use super::{Now, Outbox};
use crate::writer::lane::Lane;

impl Outbox {
    /// Drops what exceeds the bound.
    pub(super) fn keep_bound(&mut self) {
        let bound = self.held_max();
        if self.held <= bound {
            return;
        }
        // What is left of the epoch before goes first.
        for at in 0..self.old.len() {
            let dropped = self.old[at].clear();
            self.drop_ticks(dropped);
        }
        // To an eighth below, so that shedding is rare and its gaps are few; once around at most, as what
        // is in flight cannot be dropped.
        for _ in 0..self.lanes.len() {
            if self.held <= bound - bound / 8 {
                break;
            }
            self.shed_at = (self.shed_at + 1) % self.lanes.len();
            let dropped = self.lanes[self.shed_at].shed();
            self.drop_ticks(dropped);
        }
        self.counters.overflows += 1;
    }

    pub(super) fn drop_all(&mut self, lanes: Vec<Lane>) {
        for mut lane in lanes {
            let dropped = lane.clear();
            self.drop_ticks(dropped);
        }
    }

    const fn drop_ticks(&mut self, ticks: usize) {
        self.held -= ticks;
        self.counters.dropped += ticks as u64;
    }

    /// Makes good for dropped depth groups.
    pub(super) fn replace_books(&mut self, bucket: u32, now: Now) {
        if !self.old.is_empty() {
            // Done when the next epoch began: what is known is that one's.
            return;
        }
        let lane = &mut self.lanes[bucket as usize];
        for instrument in lane.take_owed() {
            let mut replacement = Vec::new();
            self.known.push_replacement(instrument, now.realtime_ns, &mut replacement);
            let dropped = lane.replace_book(instrument, &replacement);
            self.held = self.held + replacement.len() - dropped;
            self.counters.dropped += dropped as u64;
            self.counters.replacements += 1;
        }
    }
}
