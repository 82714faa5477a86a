//! A line: one of two sources of the same stream, with the ring that it writes.
//!
//! Each source runs on a thread of its own, as if it had a gateway to itself; what it would have shards
//! read is read here. A line that was opened anew is read from its oldest record on: what the other
//! has brought already is dropped by the merge.

use std::sync::Arc;

use ring::{ParkSlot, Parked, Reader, Ring, Start, Wake};
use wire::{Book, Channel, Instrument, InstrumentImage, Kind, Level, Presence, Side, Tick, flags};

use crate::source::roll::{Roll, images};
use crate::source::status::FeedStatus;

/// Records read of one line before the other's turn.
const BATCH: usize = 1024;

/// See the module's header.
pub(super) struct Line {
    /// As it is configured.
    pub(super) name: String,
    pub(super) status: Arc<FeedStatus>,
    /// Why it has no part, for people.
    pub(super) refused: Option<String>,
    /// What operators were told last.
    pub(super) was_live: bool,
    /// What is read; `None` before there is anything.
    pub(super) tape: Option<Tape>,
    /// Its source's rings.
    roll: Roll,
}

/// A line's ring, and how far it is read.
pub(super) struct Tape {
    ring: Ring,
    reader: Reader,
    slot: ParkSlot,
    pub(super) epoch: u64,
    pub(super) instruments: Vec<Instrument>,
    /// The epoch that the ring has gone over to and whose images are not there yet.
    next_epoch: Option<u64>,
    /// A depth group of which not all has come.
    group: Vec<Tick>,
    /// Whether what is read takes part.
    pub(super) is_admitted: bool,
    /// Records that were overwritten before they were read.
    pub(super) lost: u64,
}

/// What a line brings.
pub(super) enum Item<'a> {
    /// A tick, or a whole depth group.
    Entry(&'a [Tick]),
    /// Its data of this instrument is there from now on.
    Attached(u32),
}

impl Line {
    pub(super) fn new(name: String, status: Arc<FeedStatus>) -> Self {
        Self { name, status, refused: None, was_live: false, tape: None, roll: Roll::default() }
    }

    pub(super) fn is_live(&self) -> bool {
        self.tape.is_some() && self.status.view().is_live()
    }

    /// Whether it is live and takes part.
    pub(super) fn is_admitted(&self) -> bool {
        self.is_live() && self.tape.as_ref().is_some_and(|tape| tape.is_admitted)
    }

    /// Looks whether there is a new ring, or a new epoch in it. Whether there is, and its images are.
    pub(super) fn look(&mut self, waker: &Arc<dyn Wake>) -> bool {
        if let Some((ring, images)) = self.roll.newer(&self.status) {
            self.refused = None;
            self.tape = Some(Tape {
                reader: ring.reader(Start::Oldest),
                slot: ring.register(Arc::clone(waker)),
                epoch: images[0].epoch,
                instruments: images.iter().map(|image| image.definition).collect(),
                next_epoch: None,
                group: Vec::new(),
                is_admitted: false,
                lost: 0,
                ring,
            });
            return true;
        }
        let Some(tape) = &mut self.tape else { return false };
        let Some(epoch) = tape.next_epoch else { return false };
        let Some(images) = self.roll.images(&tape.ring, Some(epoch)) else { return false };
        (tape.epoch, tape.next_epoch) = (epoch, None);
        tape.instruments = images.iter().map(|image| image.definition).collect();
        (tape.is_admitted, self.refused) = (false, None);
        true
    }
}

impl Tape {
    /// Gives what has come to `each`, up to a bound; how many records that was.
    pub(super) fn read(&mut self, mut each: impl FnMut(Item<'_>)) -> usize {
        if self.next_epoch.is_some() {
            return 0;
        }
        let mut records = Vec::with_capacity(BATCH);
        let read = self.reader.read(&mut records, BATCH);
        if read.lost > 0 {
            self.lost += read.lost;
            self.group.clear();
        }
        let begin = self.reader.position() - records.len() as u64;
        for (at, words) in (begin..).zip(&records) {
            let tick = Tick::from_words(*words);
            match tick.validate() {
                Ok(Kind::Data(Channel::Depth)) => {
                    if tick.begins() {
                        self.group.clear();
                    } else if self.group.is_empty() {
                        // The rest of a group whose begin was lost.
                        continue;
                    }
                    self.group.push(tick);
                    if tick.ends() {
                        each(Item::Entry(&self.group));
                        self.group.clear();
                    }
                }
                Ok(Kind::Data(_)) => each(Item::Entry(&[tick])),
                Ok(Kind::Epoch) if tick.epoch() != self.epoch => {
                    self.next_epoch = Some(tick.epoch());
                    self.reader.seek(at + 1);
                    return records.len();
                }
                Ok(Kind::Presence) if tick.presence() == Presence::Attached => {
                    each(Item::Attached(tick.instrument));
                }
                _ => {}
            }
        }
        records.len()
    }

    /// Announces that this thread is going to sleep; `false`: there is something to read.
    pub(super) fn park(&self) -> bool {
        self.next_epoch.is_some() || self.slot.prepare(&self.reader) == Parked::Parked
    }

    pub(super) fn unpark(&self) {
        self.slot.unpark();
    }

    /// The images of all its instruments.
    pub(super) fn images(&self) -> Vec<InstrumentImage> {
        images(&self.ring, Some(self.epoch)).unwrap_or_default()
    }

    /// The image of one instrument as of now: with every depth group that the ring has after it.
    pub(super) fn image(&self, instrument: u32) -> Option<InstrumentImage> {
        let mut words = Vec::new();
        self.ring.read_image(instrument as usize, &mut words)?;
        let mut image = InstrumentImage::decode(&words).ok().filter(|i| i.epoch == self.epoch)?;
        let mut book = Book::new();
        for (side, levels) in [(Side::Bid, &image.bids), (Side::Ask, &image.asks)] {
            for &(price, quantity) in levels.iter().rev() {
                book.apply(&Level { side, price, quantity });
            }
        }
        let mut reader = self.ring.reader(Start::Oldest);
        let (mut records, mut group) = (Vec::new(), Vec::<Tick>::new());
        while reader.read(&mut records, BATCH).records > 0 {
            for tick in records.iter().map(|words| Tick::from_words(*words)) {
                let is_next = tick.seq == image.depth_seq + 1 && tick.instrument == instrument;
                if !is_next || tick.validate() != Ok(Kind::Data(Channel::Depth)) {
                    continue;
                }
                if tick.begins() {
                    group.clear();
                }
                group.push(tick);
                if tick.ends() && group[0].begins() {
                    if group[0].flags & flags::REPLACES_BOOK != 0 {
                        book.clear();
                    }
                    group.iter().flat_map(Tick::depth_levels).for_each(|level| book.apply(&level));
                    image.depth_seq = tick.seq;
                    (image.update_id, image.ts_event_ns) =
                        (group[0].update_ids().1, group[0].ts_event_ns);
                }
            }
        }
        image.bids = book.levels(Side::Bid).collect();
        image.asks = book.levels(Side::Ask).collect();
        Some(image)
    }
}
