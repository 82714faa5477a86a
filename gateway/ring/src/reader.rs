//! A reader: a position in the ring, and how to read on from it.
//!
//! Readers share nothing with each other and write nothing that the publisher reads. A reader trusts
//! only slots whose sequence is exactly right; what contradicts itself marks the ring as poisoned,
//! and no value in the memory can make it panic, loop, or look outside of the ring.

use std::sync::Arc;

use crate::ring::Shared;
use crate::slot::{Found, POSITION_MAX, Record};

/// How often one call moves a reader that is lapped again before its first record. The head start of an
/// eighth of the ring makes a second time improbable.
const MOVES_MAX: usize = 3;

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
        let mut moves = 0;
        while out.len() < max {
            match self.shared.slot(self.position).read(self.position, out) {
                Found::Record => self.position += 1,
                Found::Older => break,
                // The loss comes behind these records: the next call tells it.
                Found::Newer(_) if !out.is_empty() => break,
                Found::Newer(_) if moves == MOVES_MAX => break,
                Found::Newer(newer) => {
                    moves += 1;
                    lost += self.move_to_oldest(newer);
                }
            }
        }
        Read { records: out.len(), lost }
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
        let slot = self.shared.slot(self.position);
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
        // An honest slot holds positions of its own only, and its publisher's head comes with them.
        let is_of_slot = self.shared.is_same_slot(newer, self.position);
        if !is_of_slot || self.shared.head() < newer || oldest <= self.position {
            self.shared.distrust();
            return 0;
        }
        let lost = oldest - self.position;
        self.position = oldest;
        lost
    }
}
