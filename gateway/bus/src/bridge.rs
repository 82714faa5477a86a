//! The bridge: what a feeder publishes into a ring, handed to a writer.
//!
//! It is a reader of the ring like any shard, so a slow bus never stops the feed. It gathers epochs and
//! definitions into catalogs and hands over whole depth groups. Lapped by the ring, it takes the ring's images
//! and goes on: numbers jump, and no book is wrong. It knows no bus and no bound of its own: what waits for
//! the bus waits in the [`Writer`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ring::{ParkSlot, Parked, Reader, Ring, Start, State, Wake};
use tokio::sync::Notify;
use tokio::time;
use wire::{Instrument, InstrumentImage, Kind, Tick};

use crate::backend::Backend;
use crate::catalog::{Catalog, CatalogError};
use crate::writer::{Writer, WriterError};

/// Records read at once.
const READ_MAX: usize = 4_096;

/// How often a feed that waits looks whether the bus has caught up.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What to do when the bus is slower than the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Read on: what exceeds the writer's bound is dropped and counted. For feeds that are the present.
    Drop,
    /// Leave the rest in the ring while half of the bound is held: for feeds that wait for
    /// [`BridgeProgress::position`].
    Wait,
}

/// What a bridge makes of a ring.
#[derive(Clone, Debug)]
pub struct BridgeOptions {
    /// How many instruments the feed has: its first catalog is stored as soon as all are defined.
    pub instruments: usize,
    /// Instruments in a bucket.
    pub bucket_size: u32,
    /// Instruments that clients write. Their ids are given here.
    pub published: Vec<Instrument>,
    /// When the bus is slower.
    pub overflow: Overflow,
}

/// How far a bridge is. Written by it, read by whoever shows it.
#[derive(Debug, Default)]
pub struct BridgeProgress {
    /// The next position in the ring: what is before it was read.
    pub position: AtomicU64,
    /// Ticks the bus has acknowledged.
    pub appended: AtomicU64,
    /// Ticks that wait for the bus.
    pub held: AtomicU64,
    /// Ticks dropped.
    pub dropped: AtomicU64,
    /// Records of the ring that were overwritten before they were read.
    pub lapped: AtomicU64,
}

/// Why a bridge ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The writer cannot write any longer.
    #[error(transparent)]
    Writer(#[from] WriterError),
    /// The feed's instruments cannot be a catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Reads a ring into a writer. See the module.
pub struct Bridge<B> {
    writer: Writer<B>,
    ring: Ring,
    reader: Reader,
    park: ParkSlot,
    bell: Arc<Bell>,
    options: BridgeOptions,
    progress: Arc<BridgeProgress>,
    epoch: u64,
    /// Instruments of the epoch, while they are being defined.
    defining: Option<Vec<Instrument>>,
    /// Of each instrument, records before this position are in an image that was taken.
    taken_to: Vec<u64>,
    /// Ticks read and not handed over: at the end there may be half a group.
    ticks: Vec<Tick>,
}

#[derive(Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify_one();
    }
}

impl<B: Backend> Bridge<B> {
    /// A bridge that begins with the ring's oldest record.
    #[must_use]
    pub fn new(writer: Writer<B>, ring: &Ring, options: BridgeOptions) -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            writer,
            reader: ring.reader(Start::Oldest),
            park: ring.register(Arc::clone(&bell) as Arc<dyn Wake>),
            ring: ring.clone(),
            bell,
            options,
            progress: Arc::default(),
            epoch: 0,
            defining: None,
            taken_to: Vec::new(),
            ticks: Vec::new(),
        }
    }

    /// Where it says how far it is.
    #[must_use]
    pub fn progress(&self) -> Arc<BridgeProgress> {
        Arc::clone(&self.progress)
    }

    /// Runs until the ring is closed and read to its end. What is held then is the writer's: see
    /// [`Bridge::close`].
    ///
    /// # Errors
    /// If the writer cannot write any longer, or the feed's instruments cannot be a catalog.
    pub async fn run(&mut self) -> Result<(), BridgeError> {
        loop {
            // Before reading: what is published before the end is read behind it.
            let state = self.ring.state();
            let is_waiting = self.is_waiting();
            let read = if is_waiting { 0 } else { self.read()? };
            self.show();
            if read > 0 {
                tokio::select! {
                    biased;
                    error = self.writer.drive() => return Err(error.into()),
                    () = tokio::task::yield_now() => {}
                }
            } else if is_waiting {
                tokio::select! {
                    error = self.writer.drive() => return Err(error.into()),
                    () = time::sleep(LOOK_AGAIN) => {}
                }
            } else if state != State::Live {
                return Ok(());
            } else if self.park.prepare(&self.reader) == Parked::Parked {
                tokio::select! {
                    error = self.writer.drive() => return Err(error.into()),
                    () = self.bell.0.notified() => {}
                    // For whoever looks at the progress.
                    () = time::sleep(Duration::from_millis(100)) => {}
                }
                self.park.unpark();
            }
        }
    }

    /// Waits until the bus has acknowledged everything, gives the stream up and closes the connection.
    ///
    /// # Errors
    /// If that takes longer than `within`.
    pub async fn close(self, within: Duration) -> Result<(), WriterError> {
        let progress = self.progress;
        let counters = self.writer.close(within).await?;
        progress.appended.store(counters.appended, Ordering::Relaxed);
        progress.held.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn is_waiting(&self) -> bool {
        self.options.overflow == Overflow::Wait && self.writer.held() > self.writer.held_max() / 2
    }

    /// How many records may be read at once.
    fn read_max(&self) -> usize {
        let taken = self.writer.held() + self.ticks.len();
        match self.options.overflow {
            // What is read will be held, and what is held beyond the bound would be dropped.
            Overflow::Wait => self.writer.held_max().saturating_sub(taken).clamp(1, READ_MAX),
            Overflow::Drop => READ_MAX,
        }
    }

    fn show(&self) {
        let (progress, counters) = (&self.progress, self.writer.counters());
        progress.position.store(self.reader.position(), Ordering::Relaxed);
        progress.appended.store(counters.appended, Ordering::Relaxed);
        progress.held.store(self.writer.held() as u64, Ordering::Relaxed);
        progress.dropped.store(counters.dropped, Ordering::Relaxed);
    }

    /// Reads some records and hands them over. Returns how many there were.
    fn read(&mut self) -> Result<usize, BridgeError> {
        let mut records = Vec::new();
        let start = self.reader.position();
        let read = self.reader.read(&mut records, self.read_max());
        if read.lost > 0 {
            self.progress.lapped.fetch_add(read.lost, Ordering::Relaxed);
            // The rest of a group that was begun is among what is lost.
            self.ticks.clear();
            self.take_images()?;
        }
        for (position, record) in (start + read.lost..).zip(records) {
            self.take(&Tick::from_words(record), position)?;
        }
        let whole = self.ticks.iter().rposition(Tick::ends).map_or(0, |last| last + 1);
        self.writer.push(&self.ticks[..whole]);
        self.ticks.drain(..whole);
        Ok(read.records)
    }

    fn take(&mut self, tick: &Tick, position: u64) -> Result<(), BridgeError> {
        match tick.kind() {
            Ok(Kind::Epoch) if tick.epoch() != self.epoch => {
                // What was read is of the epoch before.
                self.writer.push(&self.ticks);
                self.ticks.clear();
                self.epoch = tick.epoch();
                self.taken_to.clear();
                self.defining = Some(Vec::new());
            }
            Ok(Kind::Definition) => {
                if let (Some(defined), Ok(instrument)) = (&mut self.defining, tick.definition()) {
                    defined.push(instrument);
                    if defined.len() == self.options.instruments {
                        self.announce()?;
                    }
                }
            }
            Ok(Kind::Data(_)) => {
                // A feed that begins again may have another number of instruments.
                self.announce()?;
                let taken_to = self.taken_to.get(tick.instrument as usize).copied();
                // Behind a lap: a group whose begin is lost is in an image.
                let is_whole = tick.begins() || !self.ticks.is_empty();
                if is_whole && taken_to.is_none_or(|to| position >= to) {
                    self.ticks.push(*tick);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// All instruments are defined.
    fn announce(&mut self) -> Result<(), BridgeError> {
        let Some(mut instruments) = self.defining.take() else { return Ok(()) };
        let feeds = u32::try_from(instruments.len()).unwrap_or(u32::MAX);
        let published = (feeds..).zip(&self.options.published);
        instruments.extend(published.map(|(id, each)| Instrument { id, ..*each }));
        let size = self.options.bucket_size;
        self.writer.begin_epoch(Catalog::new(self.epoch, size, instruments, feeds)?)?;
        Ok(())
    }

    /// After records were lost: the ring's images have what they changed.
    fn take_images(&mut self) -> Result<(), BridgeError> {
        let mut images = Vec::new();
        let mut words = Vec::new();
        for slot in 0..self.ring.images() {
            let position = self.ring.read_image(slot, &mut words);
            if let (Some(position), Ok(image)) = (position, InstrumentImage::decode(&words)) {
                images.push((position, image));
            }
        }
        let Some(epoch) = images.first().map(|(_, image)| image.epoch) else { return Ok(()) };
        images.retain(|(_, image)| image.epoch == epoch);
        if epoch != self.epoch {
            self.epoch = epoch;
            self.defining = Some(images.iter().map(|(_, image)| image.definition).collect());
        }
        self.announce()?;
        self.taken_to.clear();
        for (position, image) in &images {
            self.writer.push_image(image);
            self.taken_to.push(*position);
        }
        Ok(())
    }
}
