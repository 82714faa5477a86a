//! Level changes on their way into a depth group: bids from the best down, then asks from the best up,
//! as venues send them.
//!
//! Scratch space that all pits share, so that gathering allocates nothing once it has grown.

use wire::{Level, Side};

/// Changes of one instrument's levels.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Bids, and once ordered everything.
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Changes {
    /// Scratch space for this many changes at once.
    pub(super) fn with_room_for(changes: usize) -> Self {
        Self { bids: Vec::with_capacity(changes), asks: Vec::with_capacity(changes) }
    }

    pub(super) fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    #[inline]
    pub(super) fn push(&mut self, level: Level) {
        match level.side {
            Side::Bid => self.bids.push(level),
            Side::Ask => self.asks.push(level),
        }
    }

    /// Turns all changes into removals, except of those levels that `stays` says stay: they are
    /// forgotten.
    pub(super) fn remove_all(&mut self, stays: impl Fn(&Level) -> bool) {
        for side in [&mut self.bids, &mut self.asks] {
            side.retain_mut(|level| {
                level.quantity = 0;
                !stays(level)
            });
        }
    }

    /// Everything in the group's order, if it was pushed from the lowest price up. Then cleared at the
    /// next use.
    pub(super) fn ordered(&mut self) -> &[Level] {
        self.bids.reverse();
        self.bids.append(&mut self.asks);
        &self.bids
    }

    /// Everything in the group's order, in whatever order it was pushed.
    pub(super) fn sorted(&mut self) -> &[Level] {
        self.bids.sort_unstable_by_key(|level| level.price);
        self.asks.sort_unstable_by_key(|level| level.price);
        self.ordered()
    }
}
