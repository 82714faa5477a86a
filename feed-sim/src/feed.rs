//! The feed: what a source of ticks is.
//!
//! A feed is a deterministic generator: it is asked for the next batch and says when that batch is
//! due. It knows no ring, no sequence numbers and no wall clock of its own; [`crate::Feeder`] numbers
//! and publishes, [`crate::run`] waits. The market, the pulse and the replay are feeds, and
//! [`crate::derive::Derived`] makes a feed of a feed.

use wire::{Instrument, Tick};

/// What [`Feed::next`] says about the batch it just appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The batch is due this many ns after the feed's start, by the feed's own time: a run at speed 1
    /// publishes it then. Times never go back within an epoch.
    At(u64),
    /// Nothing more comes. What was appended with it is published at once.
    End,
    /// The stream begins again: the caller publishes a new epoch and defines [`Feed::instruments`]
    /// anew before it asks for the next batch; the feed's time starts at 0 again. Nothing is appended.
    Restart,
}

/// A source of ticks.
///
/// A feed sets `ts_event_ns`, the kind, the instrument and the body of its ticks. `seq` and
/// `ts_ring_ns` are the feeder's.
pub trait Feed: Send {
    /// What is traded: ids dense from 0, in order. Constant within an epoch.
    fn instruments(&self) -> &[Instrument];

    /// Appends the next batch of ticks to `out` and says when it is due. A depth group is never split
    /// over two batches.
    fn next(&mut self, out: &mut Vec<Tick>) -> Next;
}

impl<F: Feed + ?Sized> Feed for Box<F> {
    fn instruments(&self) -> &[Instrument] {
        (**self).instruments()
    }

    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        (**self).next(out)
    }
}
