//! What is compared: a way for one writer to hand records to all of several readers, without loss.
//!
//! Every contender does the same duty. A record is 15 words, each reader sees every record in order and
//! reads every word of it ([`Digest`]), and a writer that is a whole buffer ahead of the slowest reader
//! waits. Ours and tokio's broadcast would lap such a reader; what paces them ([`Pace`]) is what
//! disruptor does inside, so they pay for it here as it does. A queue has one reader, so several readers
//! have a queue each, and the writer puts a record into all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// The ring's record: what all of them carry.
pub(super) use ring::Record;

/// How many records a reader takes at once if it is offered more, and a writer offers in a batch.
pub(super) const BATCH: usize = 64;

/// Writes records; waits while there is no room.
pub(super) trait Write: Send {
    fn publish(&mut self, record: &Record, idle: Idle);

    /// Publishes up to [`BATCH`] records, in the contender's own way if it has one.
    fn publish_batch(&mut self, records: &[Record], idle: Idle) {
        for record in records {
            self.publish(record, idle);
        }
    }
}

/// Reads records; never waits.
pub(super) trait Read: Send {
    /// Reads what is there, up to [`BATCH`] records, and says how many it was.
    fn read(&mut self, digest: &mut Digest) -> usize;
}

/// What is done with a writer and its readers.
pub(super) trait Job {
    type Output;

    fn run(self, writer: impl Write, readers: Vec<impl Read>) -> Self::Output;
}

/// What a thread does that cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// Looks again at once: it has its core for itself.
    Spin,
    /// Lets others have the core: it is shared.
    Yield,
}

impl Idle {
    #[inline]
    pub(super) fn wait(self) {
        match self {
            Self::Spin => std::hint::spin_loop(),
            Self::Yield => std::thread::yield_now(),
        }
    }
}

/// What a reader makes of records: it checks the order and touches all words.
#[derive(Debug, Default)]
pub(super) struct Digest {
    /// The number that comes next; word 0 of a record is its number.
    pub(super) next: u64,
    /// Records that were not the next one.
    pub(super) broken: u64,
    sum: u64,
}

impl Digest {
    #[inline]
    pub(super) fn take(&mut self, record: &Record) {
        self.broken += u64::from(record[0] != self.next);
        self.next = record[0].wrapping_add(1);
        self.sum = record.iter().fold(self.sum, |sum, word| sum.wrapping_add(*word));
    }

    /// So that no compiler leaves the reading out.
    pub(super) const fn sum(&self) -> u64 {
        self.sum
    }
}

/// How far readers are, for the writers of buffers that would lap them.
#[derive(Debug)]
pub(super) struct Pace {
    positions: Vec<Arc<CachePadded<AtomicU64>>>,
    capacity: u64,
    /// The first position that must not be written yet.
    clear_to: u64,
}

impl Pace {
    pub(super) fn new(capacity: usize, readers: usize) -> Self {
        let capacity = capacity as u64;
        let positions = (0..readers).map(|_| Arc::default()).collect();
        Self { positions, capacity, clear_to: capacity }
    }

    pub(super) fn mark(&self, reader: usize) -> Mark {
        Mark { position: Arc::clone(&self.positions[reader]), read: 0 }
    }

    /// Waits until everything before `end` can be written.
    #[inline]
    pub(super) fn wait_for(&mut self, end: u64, idle: Idle) {
        while end > self.clear_to {
            // Acquire: what readers did with their records comes before these are overwritten.
            let read = self.positions.iter().map(|position| position.load(Ordering::Acquire));
            self.clear_to = read.min().unwrap_or(u64::MAX - self.capacity) + self.capacity;
            if end > self.clear_to {
                idle.wait();
            }
        }
    }
}

/// One reader's side of a [`Pace`].
#[derive(Debug)]
pub(super) struct Mark {
    position: Arc<CachePadded<AtomicU64>>,
    read: u64,
}

impl Mark {
    #[inline]
    pub(super) fn advance(&mut self, records: usize) {
        self.read += records as u64;
        self.position.store(self.read, Ordering::Release);
    }
}
