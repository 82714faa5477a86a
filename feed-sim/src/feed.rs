//! The feed: what a source of ticks is.
//!
//! A feed is a deterministic generator: it is asked for the next batch and says when that batch is
//! due. It knows no ring, no sequence numbers and no clock of its own; [`crate::Feeder`] numbers and
//! publishes, [`crate::run`] waits. The market, the pulse and the replay are feeds, and
//! [`crate::derive::Derived`] makes a feed of a feed.

use wire::{Instrument, Tick};

use crate::replay::ReplayError;

/// What [`Feed::next`] says about the batch it just appended.
#[derive(Debug)]
pub enum Next {
    /// The batch is due this many ns after the feed's start, by the feed's own time: a run at speed 1
    /// publishes it then. Times never go back within an epoch.
    At(u64),
    /// Nothing more comes. What was appended with it is published at once.
    End,
    /// The stream begins again: the caller publishes a new epoch, defines [`Feed::instruments`] anew
    /// and calls [`Feed::start`] before it asks for the next batch; the feed's time starts at 0 again.
    /// What was appended with it is published before the new epoch.
    Restart,
    /// The feed cannot go on. Everything before the fault has been handed out; what was appended with
    /// it is published at once.
    Failed(Box<FeedError>),
}

/// Why a feed cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// A recording is damaged, or is not one.
    #[error(transparent)]
    Replay(#[from] ReplayError),
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

    /// Says that the feed's time 0 is this moment, in ns since the epoch of the realtime clock. Called
    /// once before the first batch of every epoch; for feeds whose event times are the present.
    fn start(&mut self, realtime_ns: u64) {
        let _ = realtime_ns;
    }
}

impl<F: Feed + ?Sized> Feed for Box<F> {
    fn instruments(&self) -> &[Instrument] {
        (**self).instruments()
    }

    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        (**self).next(out)
    }

    fn start(&mut self, realtime_ns: u64) {
        (**self).start(realtime_ns);
    }
}
