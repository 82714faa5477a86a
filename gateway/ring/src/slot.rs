//! A slot: one record and the sequence number that says which, a pair of cache lines in all.
//!
//! The sequence of a slot that holds position `p` is `2p + 2`; while `p` is being written it is `2p + 1`;
//! 0 means never written. It only grows. A reader that wants `p` takes the words between two looks at
//! the sequence, and has a whole record if both looks found `2p + 2`. This is a seqlock (H. Boehm,
//! "Can seqlocks get along with programming language memory models?", MSPC 2012) per slot, so that a
//! reader needs no other shared word to read.
//!
//! The writer's `Release` fence keeps the words behind the odd sequence: who sees one new word and then
//! fences sees the odd sequence too. The reader's `Acquire` fence keeps its words before its second
//! look. Without either a reader can take a torn record for a whole one, and loom shows it.

use crate::sync::{AtomicU64, Ordering, fence};
use crate::words;

/// Words in a record.
pub const RECORD_WORDS: usize = 15;

/// What is published and read: words without meaning to the ring.
pub type Record = [u64; RECORD_WORDS];

/// Words a slot really keeps. Loom tries every value every load may see: two words suffice to be torn.
pub(crate) const SLOT_WORDS: usize = if cfg!(loom) { 2 } else { RECORD_WORDS };

/// Bytes from one slot to the next.
pub(crate) const SLOT_BYTES: usize = 128;

/// No honest position comes near: at 10 million records a second it is 14,000 years away.
pub(crate) const POSITION_MAX: u64 = 1 << 62;

/// One place in the ring. The layout is a contract between processes: 128 bytes, so that neither the
/// neighbour's write nor the prefetcher of line pairs disturbs a reader.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(C, align(128)))]
pub(crate) struct Slot {
    words: [AtomicU64; SLOT_WORDS],
    /// Behind the words: a file that is cut in the middle of a slot reads as zeroes from there on, and
    /// the sequence must be among them.
    sequence: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == SLOT_BYTES);

/// What a reader found in the slot of its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The record, whole.
    Record(Record),
    /// An older one: the position is not published yet.
    Older,
    /// This newer position, or it was being written: the reader was lapped. A publisher stores its
    /// head before it writes a batch, and whoever gets this answer sees at least the head before that
    /// position's batch.
    Newer(u64),
}

impl Slot {
    pub(crate) fn new() -> Self {
        Self { words: std::array::from_fn(|_| AtomicU64::new(0)), sequence: AtomicU64::new(0) }
    }

    /// Writes the record of `position`. Only the publisher calls this, with growing positions.
    #[inline]
    pub(crate) fn write(&self, position: u64, record: &Record) {
        let sequence = 2 * position;
        // Release: who sees this mark also sees the head as it was before, see `Found::Newer`.
        self.sequence.store(sequence + 1, Ordering::Release);
        // No word below may be seen before the mark above.
        fence(Ordering::Release);
        words::store(&self.words, record);
        // Release: who sees this number sees all words.
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    /// Hints that it is going to be written.
    #[inline]
    pub(crate) fn own(&self) {
        words::own(&self.words);
    }

    /// Takes the record of `position`, if it is here and whole.
    #[inline]
    pub(crate) fn read(&self, position: u64) -> Found {
        let wanted = 2 * position + 2;
        // Acquire: with this number come all its words.
        let before = self.sequence.load(Ordering::Acquire);
        if before != wanted {
            return Self::other(before, wanted);
        }
        let record = words::load(&self.words);
        // The second look must not happen before the words were taken.
        fence(Ordering::Acquire);
        let after = self.sequence.load(Ordering::Relaxed);
        if after == wanted {
            return Found::Record(record);
        }
        // What the second look saw comes with the head that was stored before it.
        fence(Ordering::Acquire);
        Self::other(after, wanted)
    }

    /// Whether a look for `position` would find it or a newer one.
    pub(crate) fn has(&self, position: u64) -> bool {
        // Relaxed: nothing is taken here, and a later look sees no older sequence.
        self.sequence.load(Ordering::Relaxed) >= 2 * position + 2
    }

    #[cold]
    const fn other(sequence: u64, wanted: u64) -> Found {
        if sequence > wanted { Found::Newer((sequence - 1) / 2) } else { Found::Older }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_knows_which_position_it_holds() {
        let slot = Slot::new();
        assert_eq!(slot.read(3), Found::Older);
        slot.write(3, &[9; RECORD_WORDS]);
        assert_eq!(slot.read(3), Found::Record([9; RECORD_WORDS]));
        assert_eq!(slot.read(11), Found::Older);
        slot.write(11, &[8; RECORD_WORDS]);
        assert_eq!(slot.read(3), Found::Newer(11));
        assert!(slot.has(3) && slot.has(11) && !slot.has(19));
    }

    #[test]
    fn a_half_written_slot_is_not_read() {
        let slot = Slot::new();
        slot.write(3, &[9; RECORD_WORDS]);
        slot.sequence.store(2 * 11 + 1, Ordering::Relaxed);
        assert_eq!(slot.read(3), Found::Newer(11));
        assert_eq!(slot.read(11), Found::Older);
    }
}
