//! The publisher: the one writer of a ring. It never waits and never looks at a reader.
//!
//! It keeps its position itself and trusts nothing in the memory, which other processes can write.

use std::sync::Arc;

use crate::images::{ImageTooLarge, Reached};
use crate::ring::Shared;
use crate::slot::Record;
use crate::sync::{Ordering, fence};

/// How many records before its turn a batch asks for a slot's cache lines. Of 0, 8, 16 and 32, 16 and 32
/// were the best. Single records are published without: see docs/decisions on the ring.
const OWN_AHEAD: u64 = 16;

/// The ring's only writer. Dropping it is like dying: readers learn it from the heartbeat. To end in
/// good order, [`Publisher::close`].
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    /// The next position to be published. The header has a copy for readers.
    position: u64,
    reached: Reached,
}

impl Publisher {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, position: 0, reached: Reached::default() }
    }

    /// Publishes a record, overwriting the oldest, and returns its position. Readers that look see it
    /// at once; those asleep do after [`Publisher::wake`].
    #[inline]
    pub fn publish(&mut self, record: &Record) -> u64 {
        let position = self.position;
        self.shared.slots().at(position).write(position, record);
        self.advance(1);
        position
    }

    /// Publishes records, the first of them last: a reader that waits for it does not take the cache
    /// lines that are being written, and then finds them all. The ring's eighth that a lapped reader is
    /// kept away from is the most that is written so, and more is several such batches.
    #[inline]
    pub fn publish_all(&mut self, records: &[Record]) {
        for batch in records.chunks(self.shared.margin()) {
            let slots = self.shared.slots();
            let Some((first, rest)) = batch.split_first() else { return };
            for (position, record) in (self.position + 1..).zip(rest) {
                slots.at(position + OWN_AHEAD).own();
                slots.at(position).write(position, record);
            }
            slots.at(self.position).write(self.position, first);
            self.advance(batch.len() as u64);
        }
    }

    #[inline]
    fn advance(&mut self, records: u64) {
        self.position += records;
        // Release: who sees this head sees the records before it.
        self.shared.header().head.0.store(self.position, Ordering::Release);
    }

    /// The next position to be published.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The ring's epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    /// Wakes all readers that are parked. To be called after a batch; with nobody parked it is a fence
    /// and a load.
    #[inline]
    pub fn wake(&self) {
        // Dekker: the records before, the look after; see `park.rs`.
        fence(Ordering::SeqCst);
        if self.shared.header().bell.0.armed.load(Ordering::Relaxed) != 0 {
            self.shared.ring_bell();
        }
    }

    /// Says that the publisher is alive, though it may have nothing to publish. Realtime clock.
    pub fn heartbeat(&self, now_ns: u64) {
        self.shared.header().life.0.heartbeat_ns.store(now_ns, Ordering::Relaxed);
    }

    /// Writes the recovery image of a slot. It is stamped with the present position: it must contain
    /// what all records published so far have changed in it.
    ///
    /// # Errors
    /// If the ring has no such slot, the image has too many words for it, or there is no memory for them.
    /// The image before stays.
    pub fn write_image(&mut self, slot: usize, words: &[u64]) -> Result<(), ImageTooLarge> {
        self.shared.images().write(slot, self.position, words, &mut self.reached)
    }

    /// Ends the stream in good order: readers find [`crate::State::Closed`] behind the last record.
    pub fn close(self) {
        // Release: who sees the end sees all records.
        self.shared.header().life.0.closed.store(1, Ordering::Release);
        self.wake();
    }
}
