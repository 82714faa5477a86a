//! The ring's first page: who it is, and the words that publisher and readers share beside the slots.
//!
//! The [`Identity`] is written and read with file operations, never through the mapping: a file is
//! checked before it is mapped, and what was checked is kept in this process, where nobody changes it.
//! The rest is atomics whose values are never trusted: each reader of one says what any value means.

use crate::futex::Futex;
use crate::shape::Shape;
use crate::slot::RECORD_WORDS;
use crate::sync::{AtomicU32, AtomicU64};

/// Bytes before the first slot: a page, so that slots begin on one.
pub(crate) const HEADER_BYTES: usize = 4096;

/// Bytes of an identity at the start of the file.
pub(crate) const IDENTITY_BYTES: usize = 64;

/// "TICKRING" in a little-endian word; another byte order reads something else and is refused.
const MAGIC: u64 = u64::from_le_bytes(*b"TICKRING");

/// Counted up with every change of layout or protocol of the shared memory.
pub(crate) const LAYOUT_VERSION: u64 = 1;

/// The shared words. Each group has a pair of cache lines of its own, since a different party writes it.
/// The layout is a contract between processes.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(C, align(128)))]
pub(crate) struct Header {
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

/// What a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) shape: Shape,
    pub(crate) epoch: u64,
}

/// Why bytes are no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityError {
    Magic,
    Version(u64),
    RecordWords(u64),
    /// A number does not fit this machine's sizes.
    Number(u64),
}

impl Identity {
    pub(crate) fn encode(&self) -> [u8; IDENTITY_BYTES] {
        let words = [
            MAGIC,
            LAYOUT_VERSION,
            self.shape.capacity as u64,
            RECORD_WORDS as u64,
            self.shape.images as u64,
            self.shape.image_words as u64,
            self.epoch,
            0,
        ];
        let mut bytes = [0; IDENTITY_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Reads an identity; the shape in it is yet to be checked.
    pub(crate) fn decode(bytes: &[u8; IDENTITY_BYTES]) -> Result<Self, IdentityError> {
        let mut words = [0; IDENTITY_BYTES / 8];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(chunk.try_into().expect("chunks of eight"));
        }
        let [magic, version, capacity, record_words, images, image_words, epoch, _] = words;
        if magic != MAGIC {
            return Err(IdentityError::Magic);
        }
        if version != LAYOUT_VERSION {
            return Err(IdentityError::Version(version));
        }
        if record_words != RECORD_WORDS as u64 {
            return Err(IdentityError::RecordWords(record_words));
        }
        let size = |word: u64| usize::try_from(word).map_err(|_| IdentityError::Number(word));
        let shape = Shape {
            capacity: size(capacity)?,
            images: size(images)?,
            image_words: size(image_words)?,
        };
        Ok(Self { shape, epoch })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_bytes_and_nothing_else_is_one() {
        let shape = Shape { capacity: 64, images: 5, image_words: 100 };
        let identity = Identity { shape, epoch: 42 };
        let bytes = identity.encode();
        assert_eq!(Identity::decode(&bytes), Ok(identity));
        let with = |at: usize, value: u8| {
            let mut changed = bytes;
            changed[at] = value;
            Identity::decode(&changed)
        };
        assert_eq!(with(0, b'X'), Err(IdentityError::Magic));
        assert_eq!(with(8, 9), Err(IdentityError::Version(9)));
        assert_eq!(with(24, 16), Err(IdentityError::RecordWords(16)));
    }

    #[test]
    fn the_layout_of_the_shared_words_is_fixed() {
        assert_eq!(std::mem::offset_of!(Header, head), 128);
        assert_eq!(std::mem::offset_of!(Header, life), 256);
        assert_eq!(std::mem::offset_of!(Header, bell), 384);
        assert_eq!(std::mem::offset_of!(Life, closed), 8);
        assert_eq!(std::mem::offset_of!(Bell, rung), 4);
    }
}
