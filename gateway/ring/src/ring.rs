//! The ring as a whole: what publisher, readers and sleepers share, and how each of them is made.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[cfg(not(loom))]
use std::path::Path;

use crate::header::Header;
use crate::images::Images;
#[cfg(not(loom))]
use crate::mapping::{CreateError, Mapping, OpenError};
use crate::memory::{Memory, Slots};
use crate::park::{ParkSlot, Parking, Wake};
use crate::publisher::Publisher;
use crate::reader::{Reader, Start};
use crate::shape::Shape;
use crate::slot::POSITION_MAX;
use crate::sync::Ordering;
use crate::waiter::WaiterHandle;

/// A ring to read from. Cheap to clone; the memory goes with the last clone, reader, publisher.
#[derive(Clone, Debug)]
pub struct Ring {
    shared: Arc<Shared>,
}

/// What is to be expected of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// There may be more records. Whether the publisher lives, its heartbeat says.
    Live = 0,
    /// The publisher has ended in good order: after the records that are there no more will come.
    Closed = 1,
    /// The file was cut or its content contradicts itself: what may still be read of it is whole
    /// records, but it is not to be relied on. The ring is to be opened again.
    Poisoned = 2,
}

/// What everybody who uses a ring in this process shares.
#[derive(Debug)]
pub(crate) struct Shared {
    memory: Memory,
    shape: Shape,
    pub(crate) epoch: u64,
    pub(crate) parking: Parking,
    /// Something in the memory contradicted itself. Only this process's opinion.
    is_distrusted: AtomicBool,
}

impl Ring {
    /// A ring on the heap, for the threads of this process.
    ///
    /// # Panics
    /// If the shape is outside the limits of [`Shape`].
    #[must_use]
    pub fn heap(shape: Shape, epoch: u64) -> (Publisher, Self) {
        let ring = Self { shared: Arc::new(Shared::heap(shape, epoch)) };
        (Publisher::new(Arc::clone(&ring.shared)), ring)
    }

    /// A ring in a file, for several processes; /dev/shm is the place for it. A ring that is already
    /// at `path` is replaced, not changed: its readers see [`Ring::is_replaced`].
    ///
    /// # Errors
    /// If there is no such shape, or the system does not make the file.
    #[cfg(not(loom))]
    pub fn create(path: &Path, shape: Shape, epoch: u64) -> Result<(Publisher, Self), CreateError> {
        let mapping = Mapping::create(path, shape, epoch)?;
        let ring = Self { shared: Arc::new(Shared::mapped(mapping)) };
        Ok((Publisher::new(Arc::clone(&ring.shared)), ring))
    }

    /// The ring that is in this file.
    ///
    /// # Errors
    /// With what is wrong, if the file is not exactly a ring of this version.
    #[cfg(not(loom))]
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mapping = Mapping::open(path)?;
        Ok(Self { shared: Arc::new(Shared::mapped(mapping)) })
    }

    /// The epoch that the publisher chose when it made the ring.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    /// How many records it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.shape.capacity
    }

    /// The next position to be published. From a mapping: a hint, as all that others can write.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.shared.head()
    }

    /// The oldest position that a reader can begin at without being lapped at once: an eighth of the
    /// ring before the very oldest.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.shared.oldest()
    }

    /// When the publisher last said it lives, by its realtime clock; 0: never.
    #[must_use]
    pub fn heartbeat_ns(&self) -> u64 {
        self.shared.header().life.0.heartbeat_ns.load(Ordering::Relaxed)
    }

    /// What is to be expected of the ring. No system call.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Whether the path the ring was opened by now names another file, or none; one on the heap is never
    /// replaced. One system call, to be made now and then; it also notices a file that was cut.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        #[cfg(not(loom))]
        if let Some(mapping) = self.shared.memory.mapping() {
            return mapping.is_replaced();
        }
        false
    }

    /// A reader.
    #[must_use]
    pub fn reader(&self, start: Start) -> Reader {
        Reader::new(Arc::clone(&self.shared), start)
    }

    /// A place to park at, for one thread. In the publisher's process it wakes by itself; in others
    /// [`Ring::spawn_waiter`] must be called once.
    #[must_use]
    pub fn register(&self, waker: Arc<dyn Wake>) -> ParkSlot {
        ParkSlot::new(Arc::clone(&self.shared), &self.shared.parking, waker)
    }

    /// Starts the thread that wakes this process's parked readers when another process publishes. A
    /// ring on the heap needs none and gets none.
    ///
    /// # Errors
    /// If the system does not give a thread.
    pub fn spawn_waiter(&self) -> std::io::Result<WaiterHandle> {
        WaiterHandle::spawn(Arc::clone(&self.shared))
    }

    /// How many slots for recovery images there are.
    #[must_use]
    pub fn images(&self) -> usize {
        self.shared.images().slots()
    }

    /// Replaces `out` by the newest image of a slot. The position returned is that of the next record
    /// when it was written: whatever records before it have changed is in the image. None: nothing was
    /// written there, or there is no such slot.
    pub fn read_image(&self, slot: usize, out: &mut Vec<u64>) -> Option<u64> {
        let position = self.shared.images().read(slot, out)?;
        // An image spans pages, and not all of them turn to zeroes in the same instant.
        if self.shared.is_cut() {
            out.clear();
            return None;
        }
        Some(position)
    }
}

impl Shared {
    pub(crate) fn heap(shape: Shape, epoch: u64) -> Self {
        Self::new(Memory::heap(&shape), shape, epoch)
    }

    #[cfg(not(loom))]
    fn mapped(mapping: Mapping) -> Self {
        let (shape, epoch) = (*mapping.shape(), mapping.epoch());
        Self::new(Memory::mapped(mapping), shape, epoch)
    }

    fn new(memory: Memory, shape: Shape, epoch: u64) -> Self {
        let parking = Parking::default();
        Self { memory, shape, epoch, parking, is_distrusted: AtomicBool::new(false) }
    }

    #[inline]
    pub(crate) const fn header(&self) -> &Header {
        self.memory.header()
    }

    #[inline]
    pub(crate) const fn slots(&self) -> Slots<'_> {
        self.memory.slots()
    }

    pub(crate) const fn images(&self) -> &Images {
        self.memory.images()
    }

    /// Acquire: with a head come all records before it. A head beyond all positions is cut down to
    /// one that can be calculated with.
    pub(crate) fn head(&self) -> u64 {
        self.header().head.0.load(Ordering::Acquire).min(POSITION_MAX)
    }

    pub(crate) fn oldest(&self) -> u64 {
        self.head().saturating_sub(self.shape.reach())
    }

    /// The most records that are written before the head is.
    pub(crate) const fn margin(&self) -> usize {
        self.shape.margin()
    }

    /// Whether both positions lie in the same slot.
    pub(crate) const fn is_same_slot(&self, one: u64, other: u64) -> bool {
        (one ^ other) & (self.shape.capacity as u64 - 1) == 0
    }

    pub(crate) fn state(&self) -> State {
        if self.is_cut() || self.is_distrusted.load(Ordering::Relaxed) {
            return State::Poisoned;
        }
        // Acquire: with the end come all records.
        match self.header().life.0.closed.load(Ordering::Acquire) {
            0 => State::Live,
            _ => State::Closed,
        }
    }

    /// Notes that the content contradicts itself, for good.
    #[cold]
    pub(crate) fn distrust(&self) {
        self.is_distrusted.store(true, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        #[cfg(not(loom))]
        if let Some(mapping) = self.memory.mapping() {
            return mapping.is_poisoned();
        }
        false
    }

    /// Whether other processes can have it. Models say yes, so that the futex is part of them.
    pub(crate) const fn is_mapped(&self) -> bool {
        #[cfg(not(loom))]
        return self.memory.mapping().is_some();
        #[cfg(loom)]
        return true;
    }

    /// Wakes all that are parked, in this process and in others.
    #[cold]
    pub(crate) fn ring_bell(&self) {
        let bell = &self.header().bell.0;
        // Disarmed first: who arms it from here on is rung for next time. AcqRel: see `park.rs`.
        bell.armed.swap(0, Ordering::AcqRel);
        self.parking.wake_all();
        if self.is_mapped() {
            bell.rung.ring();
        }
    }
}
