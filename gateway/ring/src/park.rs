//! Parking: how a reader that has read everything sleeps without missing the next record.
//!
//! Publisher and reader follow Dekker. The reader raises its flag, fences, and looks for a record; the
//! publisher publishes, fences, and looks for a flag. Both fences are `SeqCst`, so at least one of them
//! sees the other: the reader does not sleep, or is woken. Flags are many; so that the publisher looks
//! at one word only, the ring has a bell which a reader arms after raising its flag. The publisher
//! disarms it and wakes everybody, and readers arm it again when they park again.
//!
//! The bell is armed by an exchange and not by a store: a chain of exchanges keeps what each of them
//! released visible to the publisher that takes the last one, so it sees the flags of all.
//!
//! In the publisher's own process [`Parking::wake_all`] is called by [`crate::Publisher::wake`]; in other
//! processes by the waiter thread (`waiter.rs`), which sleeps on the bell's futex.

use std::fmt;
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, OnceLock, Weak};

use crate::reader::Reader;
use crate::ring::Shared;
use crate::sync::{AtomicBool, Ordering, fence};

/// Wakes one sleeper: an eventfd, a thread's unpark. Called by the publisher's or the waiter's thread;
/// it must not block.
pub trait Wake: Send + Sync {
    /// Makes the sleeper look again. May be called when it is not asleep.
    fn wake(&self);
}

/// Whether a reader may go to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Parked {
    /// It may: its waker will be called for the next record, or when the ring's state changes.
    Parked,
    /// It may not: there is something to read, or the ring's state has changed since it last heard
    /// that. The slot is not parked.
    DataReady,
}

/// One sleeper's place: a shard makes one and keeps it. The waker is held for as long as this lives.
pub struct ParkSlot {
    entry: Arc<Entry>,
    waker: Arc<dyn Wake>,
    shared: Arc<Shared>,
}

/// The sleepers of this process: a list that only grows, so that the publisher walks along it without
/// a lock. Shards register once; a slot given up leaves 48 bytes until the ring goes.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    first: OnceLock<Arc<Entry>>,
}

struct Entry {
    /// Raised by the sleeper before it sleeps, taken down by whoever wakes it.
    parked: AtomicBool,
    /// The last state of the ring that the sleeper was told by a `DataReady`. Its own thread's.
    told: AtomicU8,
    /// Dangling once the slot is given up.
    waker: Weak<dyn Wake>,
    next: OnceLock<Arc<Self>>,
}

impl ParkSlot {
    /// A place in `parking`, which is `shared`'s, or in a model that of another process.
    pub(crate) fn new(shared: Arc<Shared>, parking: &Parking, waker: Arc<dyn Wake>) -> Self {
        let entry = parking.register(Arc::downgrade(&waker));
        Self { entry, waker, shared }
    }

    /// Announces that `reader`'s thread is going to sleep, unless there is a reason not to.
    pub fn prepare(&self, reader: &Reader) -> Parked {
        self.entry.parked.store(true, Ordering::Relaxed);
        // AcqRel: the chain of exchanges of the module's header.
        self.shared.header().bell.0.armed.swap(1, Ordering::AcqRel);
        // Dekker: the flag before, the look after; the publisher has them the other way round.
        fence(Ordering::SeqCst);
        if reader.is_ready() || self.is_news() {
            self.unpark();
            return Parked::DataReady;
        }
        Parked::Parked
    }

    /// Takes the announcement back, after waking or instead of sleeping.
    pub fn unpark(&self) {
        self.entry.parked.store(false, Ordering::Relaxed);
    }

    /// Whether the ring's state is another than last told. Once per change: a shard whose feed has ended
    /// goes on living, and must be able to sleep.
    fn is_news(&self) -> bool {
        let state = self.shared.state() as u8;
        self.entry.told.swap(state, Ordering::Relaxed) != state
    }
}

impl Drop for ParkSlot {
    fn drop(&mut self) {
        self.unpark();
    }
}

impl fmt::Debug for ParkSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holders = Arc::strong_count(&self.waker);
        f.debug_struct("ParkSlot").field("entry", &self.entry).field("holders", &holders).finish()
    }
}

impl Parking {
    fn register(&self, waker: Weak<dyn Wake>) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            parked: AtomicBool::new(false),
            told: AtomicU8::new(0),
            waker,
            next: OnceLock::new(),
        });
        let mut last = &self.first;
        while last.set(Arc::clone(&entry)).is_err() {
            last = &last.get().expect("it could not be set, so it is").next;
        }
        entry
    }

    /// Wakes every sleeper of this process that is parked.
    pub(crate) fn wake_all(&self) {
        let mut next = self.first.get();
        while let Some(entry) = next {
            // A look first: most sleepers of a busy ring are awake. Acquire and Release: what the
            // waker's thread has seen, the sleeper sees.
            if entry.parked.load(Ordering::Relaxed)
                && entry.parked.swap(false, Ordering::AcqRel)
                && let Some(waker) = entry.waker.upgrade()
            {
                waker.wake();
            }
            next = entry.next.get();
        }
    }
}

impl Drop for Parking {
    /// One by one: the default would nest as deep as the list is long.
    fn drop(&mut self) {
        let mut next = self.first.take();
        while let Some(entry) = next {
            next = Arc::into_inner(entry).and_then(|mut entry| entry.next.take());
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("parked", &self.parked).finish_non_exhaustive()
    }
}
