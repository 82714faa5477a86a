//! The recent past of every instrument: its last trades, and bars of each interval.
//!
//! One per process, filled by a thread of its own that reads the ring beside the shards, and read by
//! routes of plain HTTP. It is never on the way of a tick to a client: hubs know nothing of it, and where
//! it is lapped only the past has a hole. What it keeps is bounded by [`Bounds`].
//!
//! An epoch's past begins with the epoch: numbers and ids of the one before mean other things.

mod grid;
mod limits;
mod market;
mod past;
mod reading;

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, unbounded};
use ring::Ring;
use wire::{AggTrade, Bar, Trade};

pub use grid::Grid;
pub use limits::Bounds;

use market::Market;

/// The past, as those see it who ask for it and those who give it a ring to read.
#[derive(Debug)]
pub struct History {
    market: Mutex<Market>,
    rings: Sender<Ring>,
    /// Taken by the reading thread.
    attached: Receiver<Ring>,
}

/// Which part of a series is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From this time on, ns since the epoch.
    pub from_ns: Option<u64>,
    /// Up to this time, which does not belong to it.
    pub to_ns: Option<u64>,
    /// At most so many: the first ones where there is a beginning, the last ones otherwise.
    pub limit: usize,
}

impl History {
    /// A history that keeps so much; nothing is read before [`History::start`].
    #[must_use]
    pub fn new(bounds: Bounds) -> Arc<Self> {
        let (rings, attached) = unbounded();
        Arc::new(Self { market: Mutex::new(Market::new(bounds)), rings, attached })
    }

    /// Reads this ring from now on, instead of the one before.
    pub fn attach(&self, ring: &Ring) {
        // The receiver lives as long as this.
        let _ = self.rings.send(ring.clone());
    }

    /// The bars of an interval, by UTC or another clock, oldest first; the last one may not be final yet. Nothing of an epoch that
    /// has not begun here.
    #[must_use]
    pub fn bars(&self, epoch: u64, instrument: u32, grid: impl Into<Grid>, span: Span) -> Vec<Bar> {
        let grid = grid.into();
        let market = self.market.lock().unwrap_or_else(PoisonError::into_inner);
        market.past(epoch, instrument).map_or_else(Vec::new, |past| past.bars(grid, span))
    }

    /// The last trades, oldest first.
    #[must_use]
    pub fn trades(&self, epoch: u64, instrument: u32, span: Span) -> Vec<Trade> {
        let market = self.market.lock().unwrap_or_else(PoisonError::into_inner);
        market.past(epoch, instrument).map_or_else(Vec::new, |past| past.trades(span))
    }

    /// The last aggregate trades, oldest first.
    #[must_use]
    pub fn aggregates(&self, epoch: u64, instrument: u32, span: Span) -> Vec<AggTrade> {
        let market = self.market.lock().unwrap_or_else(PoisonError::into_inner);
        market.past(epoch, instrument).map_or_else(Vec::new, |past| past.aggregates(span))
    }
}
