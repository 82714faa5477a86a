//! How a shard reads its ring: batches, recovery after a late start or a lap, parking.
//!
//! Recovery is the hub's (see its `intake`); this gives it the images in the order in which they were
//! written, and says when the ring has been read up to where it stood then.

use std::sync::Arc;

use hub::Hub;
use ring::{ParkSlot, Parked, Reader, Record, Ring, Start, State, Wake};
use sys::EventFd;
use wire::{InstrumentImage, Tick};

use super::counters::{Counter, Histograms};
use super::limits::RECORDS_PER_DRAIN;
use super::report::RingPosition;
use crate::clock::realtime_ns;
use crate::session::Tally;

/// A shard's place in a ring.
pub(super) struct Intake {
    ring: Ring,
    reader: Reader,
    slot: ParkSlot,
    records: Vec<Record>,
    /// Where the ring's head was when recovery began; `None`: there is nothing to recover.
    recovering_to: Option<u64>,
    is_distrusted: bool,
}

/// The publisher's way to wake the shard.
struct Alarm(Arc<EventFd>);

impl Wake for Alarm {
    fn wake(&self) {
        self.0.signal();
    }
}

impl Intake {
    /// Begins to read a ring: what its images know first, then its oldest record.
    pub(super) fn attach(ring: Ring, waker: &Arc<EventFd>, hub: &mut Hub, now_ns: u64) -> Self {
        let head = ring.head();
        recover(&ring, hub, now_ns);
        let reader = ring.reader(Start::Oldest);
        let slot = ring.register(Arc::new(Alarm(Arc::clone(waker))));
        let records = Vec::with_capacity(RECORDS_PER_DRAIN);
        Self { ring, reader, slot, records, recovering_to: Some(head), is_distrusted: false }
    }

    /// Reads one batch into the hub and returns how many records it was.
    #[inline]
    pub(super) fn drain(&mut self, hub: &mut Hub, tally: &mut Tally, now_ns: u64) -> usize {
        let read = self.reader.read(&mut self.records, RECORDS_PER_DRAIN);
        if read.lost > 0 {
            tally.counters.add(Counter::RingLapped, usize::try_from(read.lost).unwrap_or(0));
            tracing::warn!(lost = read.lost, "the ring has lapped the shard");
            hub.handle_lapped(read.lost, now_ns);
            self.recovering_to = Some(self.ring.head());
            recover(&self.ring, hub, now_ns);
        }
        for record in &self.records {
            hub.handle_record(&Tick::from_words(*record), now_ns);
            if let Some(instrument) = hub.next_image() {
                // What its image knows may be newer than what is read next.
                self.recovering_to = Some(self.ring.head());
                recover_one(&self.ring, instrument, hub, now_ns);
            }
        }
        if let Some(trace) = tally.trace.as_mut() {
            trace.look(&self.records, now_ns);
        }
        if let Some(oldest) = self.records.first() {
            measure(oldest, &mut tally.histograms);
        }
        tally.counters.add(Counter::RingRecords, read.records);
        if self.recovering_to.is_some_and(|head| self.reader.position() >= head) {
            self.recovering_to = None;
            hub.handle_recovered(now_ns);
        }
        if read.records == 0 && !self.is_distrusted && self.ring.state() == State::Poisoned {
            self.is_distrusted = true;
            tally.counters.count(Counter::RecordsInvalid);
            tracing::error!("the ring's content contradicts itself; it is read no further");
        }
        read.records
    }

    /// Announces that the shard is going to sleep. `false`: there is something to read.
    pub(super) fn prepare(&self) -> bool {
        self.slot.prepare(&self.reader) == Parked::Parked
    }

    /// The shard does not sleep any more.
    pub(super) fn unpark(&self) {
        self.slot.unpark();
    }

    /// Whether there is something to read.
    pub(super) fn is_behind(&self) -> bool {
        self.reader.lag() > 0
    }

    pub(super) fn position(&self) -> RingPosition {
        RingPosition {
            epoch: self.ring.epoch(),
            position: self.reader.position(),
            lag: self.reader.lag(),
        }
    }
}

/// Gives the hub the image of an instrument that has just come into the stream. One of a later epoch is
/// read about in time.
fn recover_one(ring: &Ring, instrument: u32, hub: &mut Hub, now_ns: u64) {
    let mut words = Vec::new();
    let slot = usize::try_from(instrument).unwrap_or(usize::MAX);
    if slot >= ring.images() || ring.read_image(slot, &mut words).is_none() {
        return;
    }
    match InstrumentImage::decode(&words) {
        Ok(image) if image.epoch == hub.epoch() => hub.handle_image(&image, now_ns),
        Ok(_) => {}
        Err(error) => tracing::warn!(slot, %error, "a recovery image is not readable"),
    }
}

/// Gives the hub all images, oldest first.
fn recover(ring: &Ring, hub: &mut Hub, now_ns: u64) {
    let mut words = Vec::new();
    let mut images: Vec<(u64, InstrumentImage)> = (0..ring.images())
        .filter_map(|slot| {
            let position = ring.read_image(slot, &mut words)?;
            match InstrumentImage::decode(&words) {
                Ok(image) => Some((position, image)),
                Err(error) => {
                    tracing::warn!(slot, %error, "a recovery image is not readable");
                    None
                }
            }
        })
        .collect();
    images.sort_by_key(|(position, _)| *position);
    for (_, image) in &images {
        hub.handle_image(image, now_ns);
    }
}

fn measure(oldest: &Record, histograms: &mut Histograms) {
    let tick = Tick::from_words(*oldest);
    if tick.ts_ring_ns > 0 {
        let delay_ns = realtime_ns().saturating_sub(tick.ts_ring_ns);
        histograms.ring_delay_ns.saturating_record(delay_ns.max(1));
    }
}
