//! The reading thread: follows the ring at its own pace.
//!
//! It is not among those whom the publisher wakes: it looks at the ring a hundred times a second, and more
//! often when there was much. A ring holds some hundred milliseconds of the fastest feed there is.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use ring::{Reader, Record, Ring, Start};
use wire::{Channel, InstrumentImage, Kind, Tick};

use super::History;
use super::market::Wants;
use crate::background::Background;

/// Between two looks at a ring in which nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Between two looks at one in which much happens.
const LOOK_SOON: Duration = Duration::from_millis(1);

/// Records read at once. Routes wait for at most so many to be entered.
const RECORDS_AT_ONCE: usize = 512;

impl History {
    /// Begins to read the rings that are attached.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start(self: &Arc<Self>) -> io::Result<Background> {
        let history = Arc::clone(self);
        Background::start("history", move |told| history.run(told))
    }

    fn run(&self, stop: &AtomicBool) {
        let mut place: Option<Place> = None;
        let mut pause = LOOK_EVERY;
        while !stop.load(Ordering::Relaxed) {
            match self.attached.recv_timeout(pause) {
                Ok(ring) => place = Some(Place::new(ring, self)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let found = place.as_mut().map_or(0, |place| place.catch_up(self, stop));
            pause = match &place {
                Some(place) if found >= place.ring.capacity() / 16 => LOOK_SOON,
                _ => LOOK_EVERY,
            };
        }
    }

    fn with_market<T>(&self, act: impl FnOnce(&mut super::Market) -> T) -> T {
        act(&mut self.market.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where the thread stands in a ring.
struct Place {
    ring: Ring,
    reader: Reader,
    records: Vec<Record>,
    /// Where the ring's head was when its images were last wanted; `None`: they are read.
    images_at: Option<u64>,
}

impl Place {
    fn new(ring: Ring, history: &History) -> Self {
        let place = Self {
            reader: ring.reader(Start::Oldest),
            records: Vec::with_capacity(RECORDS_AT_ONCE),
            images_at: Some(ring.head()),
            ring,
        };
        // For the definitions that the ring has forgotten; what they know of bars is older than nothing.
        place.define_all(history);
        place
    }

    /// Reads up to the head, and says how many records that were.
    fn catch_up(&mut self, history: &History, stop: &AtomicBool) -> usize {
        let mut found = 0;
        while !stop.load(Ordering::Relaxed) {
            let read = self.reader.read(&mut self.records, RECORDS_AT_ONCE);
            if read.lost > 0 {
                tracing::debug!(lost = read.lost, "the ring has lapped the history");
                self.images_at = Some(self.ring.head());
            }
            if read.records == 0 {
                break;
            }
            found += read.records;
            self.enter(history);
            if self.images_at.is_some_and(|head| self.reader.position() >= head) {
                self.images_at = None;
                self.read_images(history);
            }
        }
        found
    }

    fn enter(&self, history: &History) {
        let ticks = self.records.iter().map(|record| Tick::from_words(*record));
        // Most records are quotes and depth, for which nothing is locked.
        let mut ticks = ticks.filter(is_kept).peekable();
        if ticks.peek().is_none() {
            return;
        }
        history.with_market(|market| {
            for tick in ticks {
                if let Wants::Image(instrument) = market.handle(&tick)
                    && let Some((_, image)) = self.image(instrument)
                {
                    market.handle_image(&image);
                }
            }
        });
    }

    /// An instrument's image, and where in the ring it was written.
    fn image(&self, instrument: u32) -> Option<(u64, InstrumentImage)> {
        let slot = usize::try_from(instrument).ok().filter(|slot| *slot < self.ring.images())?;
        let mut words = Vec::new();
        let position = self.ring.read_image(slot, &mut words)?;
        Some((position, InstrumentImage::decode(&words).ok()?))
    }

    fn images(&self) -> impl Iterator<Item = (u64, InstrumentImage)> {
        let slots = u32::try_from(self.ring.images()).unwrap_or(u32::MAX);
        (0..slots).filter_map(|slot| self.image(slot))
    }

    /// Takes the epoch and its instruments from the images.
    fn define_all(&self, history: &History) {
        let newest = self.images().max_by_key(|(position, _)| *position);
        let Some(epoch) = newest.map(|(_, image)| image.epoch) else { return };
        history.with_market(|market| market.begin(epoch));
        for (_, image) in self.images() {
            let definition = Tick::from_definition(&image.definition, 0);
            history.with_market(|market| market.handle(&definition));
        }
    }

    fn read_images(&self, history: &History) {
        for (_, image) in self.images() {
            history.with_market(|market| market.handle_image(&image));
        }
    }
}

/// Whether the history has a use for a record.
fn is_kept(tick: &Tick) -> bool {
    match tick.kind() {
        Ok(Kind::Data(channel)) => {
            matches!(channel, Channel::Trade | Channel::AggTrade | Channel::Bar(_))
        }
        Ok(Kind::Definition | Kind::Epoch | Kind::Presence) => true,
        Err(_) => false,
    }
}
