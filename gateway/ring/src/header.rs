//! The ring's first page: the words that publisher and readers share beside the slots.
//!
//! All are atomics whose values are never trusted: each reader of one says what any value means. In a
//! file the page begins with an identity (`identity.rs`), which is not used through the mapping.

use crate::futex::Futex;
use crate::sync::{AtomicU32, AtomicU64};

/// Bytes before the first slot: a page, so that slots begin on one.
pub(crate) const HEADER_BYTES: usize = 4096;

/// The shared words. Each group has a pair of cache lines of its own, since a different party writes it.
/// The layout is a contract between processes.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(C, align(128)))]
pub(crate) struct Header {
    /// The identity's place.
    #[cfg(not(loom))]
    _identity: [AtomicU64; 16],
    /// Written with each record: the next position to be published.
    pub(crate) head: Line<AtomicU64>,
    /// Written now and then by the publisher.
    pub(crate) life: Line<Life>,
    /// Written by readers that park and by the publisher that wakes them.
    pub(crate) bell: Line<Bell>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);

/// A pair of cache lines of its own. crossbeam's `CachePadded` is not used as its size depends on the
/// processor, and this one is a contract.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(C, align(128)))]
pub(crate) struct Line<T>(pub(crate) T);

/// What the publisher says about itself.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(C))]
pub(crate) struct Life {
    /// Last heartbeat, realtime ns.
    pub(crate) heartbeat_ns: AtomicU64,
    /// Not 0 once the publisher has ended in good order.
    pub(crate) closed: AtomicU32,
}

/// How the publisher is asked to wake somebody.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(C))]
pub(crate) struct Bell {
    /// Not 0 if a reader may have parked since the publisher last woke them all. A flag and not a
    /// count: a reader that is killed while parked costs one vain wake-up, not one per batch for ever.
    pub(crate) armed: AtomicU32,
    /// Counted up with each wake-up; waiter threads of all processes sleep on it.
    pub(crate) rung: Futex,
}

impl Header {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(not(loom))]
            _identity: std::array::from_fn(|_| AtomicU64::new(0)),
            head: Line(AtomicU64::new(0)),
            life: Line(Life { heartbeat_ns: AtomicU64::new(0), closed: AtomicU32::new(0) }),
            bell: Line(Bell { armed: AtomicU32::new(0), rung: Futex::new() }),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_the_shared_words_is_fixed() {
        assert_eq!(std::mem::offset_of!(Header, head), 128);
        assert_eq!(std::mem::offset_of!(Header, life), 256);
        assert_eq!(std::mem::offset_of!(Header, bell), 384);
        assert_eq!(std::mem::offset_of!(Life, closed), 8);
        assert_eq!(std::mem::offset_of!(Bell, rung), 4);
    }
}
