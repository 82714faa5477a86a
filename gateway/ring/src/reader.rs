//! A reader: a position in the ring, and how to read on from it.
//!
//! Readers share nothing with each other and write nothing that the publisher reads. A reader trusts
//! only slots whose sequence is exactly right; what contradicts itself marks the ring as poisoned,
//! and no value in the memory can make it panic, loop, or look outside of the ring.

use std::sync::Arc;

use crate::ring::Shared;
use crate::slot::{Found, POSITION_MAX, Record};

/// How often one call tries, if its reader is lapped again before its first record. The head start of an
/// eighth of the ring makes a second time improbable.
const TRIES_MAX: usize = 4;

/// Where a reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is not about to be overwritten.
    Oldest,
    /// At the next record to be published.
    Head,
    /// At a position. One that was overwritten counts as lost with the first read; one that is not yet
    /// published is waited for.
    At(u64),
}

/// What a read gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Records in `out`.
    pub records: usize,
    /// Records that were overwritten before this reader came to them; all of them lie before the
    /// records in `out`.
    pub lost: u64,
}

/// A position in a ring. Records read plus records lost are all records passed, exactly.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    position: u64,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, start: Start) -> Self {
        let position = match start {
            Start::Oldest => shared.oldest(),
            Start::Head => shared.head(),
            Start::At(position) => position.min(POSITION_MAX),
        };
        Self { shared, position }
    }

    /// Replaces `out` by up to `max` next records. Nothing there: zero records.
    pub fn read(&mut self, out: &mut Vec<Record>, max: usize) -> Read {
        out.clear();
        let mut lost = 0;
        for _ in 0..TRIES_MAX {
            let read = self.read_each(max, |record| out.push(*record));
            lost += read.lost;
            if read.lost == 0 {
                break;
            }
        }
        Read { records: out.len(), lost }
    }

    /// Gives up to `max` next records to `each`, one by one, or else says how many were lost: a call that
    /// returns a loss has given none, so that the loss can be dealt with before what comes behind it.
    ///
    /// What `each` gets is a copy that was found whole, in registers if it can be; the slot may be
    /// overwritten meanwhile. If it panics, the records of this call come again.
    #[inline]
    pub fn read_each(&mut self, max: usize, mut each: impl FnMut(&Record)) -> Read {
        let slots = self.shared.slots();
        let mut position = self.position;
        let mut newer = None;
        let end = position.saturating_add(max as u64);
        'all: while position < end {
            #[expect(clippy::cast_possible_truncation, reason = "at most `max`")]
            for slot in slots.run(position, (end - position) as usize) {
                match slot.read(position) {
                    Found::Record(record) => {
                        position += 1;
                        each(&record);
                    }
                    Found::Older => break 'all,
                    Found::Newer(found) => {
                        newer = Some(found);
                        break 'all;
                    }
                }
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most `max`")]
        let records = (position - self.position) as usize;
        self.position = position;
        let lost = match newer {
            Some(newer) if records == 0 => self.move_to_oldest(newer),
            // The loss comes behind these records: the next call tells it.
            _ => 0,
        };
        Read { records, lost }
    }

    /// The position of the next record.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Goes on at another position, as [`Start::At`].
    pub fn seek(&mut self, position: u64) {
        self.position = position.min(POSITION_MAX);
    }

    /// Records between this reader and the head.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.shared.head().saturating_sub(self.position)
    }

    /// Whether a read would give a record or a loss.
    pub(crate) fn is_ready(&self) -> bool {
        let slot = self.shared.slots().at(self.position);
        if slot.has(self.position) {
            return true;
        }
        // A head is stored after the slots before it, so a head beyond comes with the record.
        if self.shared.head() > self.position && !slot.has(self.position) {
            self.shared.distrust();
        }
        false
    }

    /// Moves to the oldest safe position, and says how far that was.
    #[cold]
    fn move_to_oldest(&mut self, newer: u64) -> u64 {
        let oldest = self.shared.oldest();
        // An honest slot holds positions of its own only, and with them comes the head as it was before
        // the batch they belong to.
        let is_of_slot = self.shared.is_same_slot(newer, self.position);
        let is_of_batch = newer < self.shared.head() + self.shared.margin() as u64;
        if !is_of_slot || !is_of_batch || oldest <= self.position {
            self.shared.distrust();
            return 0;
        }
        let lost = oldest - self.position;
        self.position = oldest;
        lost
    }
}
