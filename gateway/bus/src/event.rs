//! What a reader gives to whoever opened it, in order.

use std::sync::Arc;

use wire::{InstrumentImage, Tick};

use crate::catalog::Catalog;

/// Something happened at the bus. See [`crate::Reader`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection stands, for the first time or again. What was missed is being read.
    Connected,
    /// The connection is gone, or could not be made, and why. Buckets stay wanted.
    Disconnected(String),
    /// There is a catalog, or another one: a new epoch. Nothing is wanted any more; want again.
    Catalog(Arc<Catalog>),
    /// A writer lives: no [`Event::Ticks`] follow from it.
    Pulse {
        /// The writer's epoch.
        epoch: u64,
        /// When it was sent, by the writer's clock, ns since the Unix epoch.
        sent_ns: u64,
    },
    /// Part of an instrument's state. The book counts if its `depth_seq` is above the last depth group
    /// received, and each of the last values if its number is above the last of its topic; what is not, is
    /// known already. A part that was given before, or is given later, is left empty, with number 0.
    Image {
        /// The instrument's bucket.
        bucket: u32,
        /// Its state.
        image: Box<InstrumentImage>,
    },
    /// Ticks of a bucket, in order, each topic's numbers going on from the ones before.
    Ticks {
        /// Their bucket.
        bucket: u32,
        /// Market data of the catalog's epoch.
        ticks: Vec<Tick>,
        /// When their batch was first sent, by the writer's clock, ns since the Unix epoch.
        sent_ns: u64,
    },
    /// The bucket is complete up to now: history, books and last values were given. What follows is live.
    Attached {
        /// Which one.
        bucket: u32,
    },
    /// Ticks of the bucket were lost: the bus does not keep them any more. Which, numbers tell. Books of this
    /// bucket count for nothing until their [`Event::Image`]; [`Event::Attached`] follows.
    Lost {
        /// Which one.
        bucket: u32,
    },
    /// The bucket is not wanted any more, by the caller or because of a new catalog. Nothing of it follows.
    Detached {
        /// Which one.
        bucket: u32,
    },
}
