//! One wanted bucket: from wanting it to live, and back to the log at every hole.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use wire::{Channel, InstrumentImage, Kind, Tick};

use super::{Counters, Request, Ticket};
use crate::batch::Batch;
use crate::entry::{Entry, Offset, Slice};
use crate::event::Event;
use crate::stored_image::StoredImage;

/// Where all buckets put what is to be asked and told, and what they share.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) requests: VecDeque<Request>,
    pub(super) events: VecDeque<Event>,
    pub(super) counters: Counters,
    /// An epoch that is not the catalog's.
    pub(super) foreign_seen: Option<u64>,
    tickets: u64,
    held_bytes: usize,
    held_bytes_max: usize,
}

impl Outputs {
    pub(super) fn new(held_bytes_max: usize) -> Self {
        Self {
            requests: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            foreign_seen: None,
            tickets: 0,
            held_bytes: 0,
            held_bytes_max,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}

/// How often images are read anew because the log does not go back to them: writers renew them well before
/// what they miss is kept no longer, so a second look finds what was cut between the first and the log.
const RENEWALS_MAX: u8 = 3;

/// How far a bucket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Images, and where to begin, are being asked for.
    Preparing,
    /// The log is being read.
    Reading,
    /// The newest entry was emitted.
    Live,
}

/// Where the log is read from, once images are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// Being asked for.
    Unknown,
    /// From where history begins, or the oldest image.
    History(Offset),
    /// From the last entry emitted, whatever is kept behind it: something was lost.
    Last,
}

/// A bucket that the caller wants.
#[derive(Debug)]
pub(super) struct Bucket {
    bucket: u32,
    epoch: u64,
    instruments: Range<u32>,
    stage: Stage,
    /// Of the questions that stand; none while the connection is away.
    ticket: Option<Ticket>,
    begin: Begin,
    prepared: bool,
    /// Of each instrument, until it is emitted.
    images: BTreeMap<u32, PendingImage>,
    /// The last entry emitted; before the first, what to read behind.
    last: Offset,
    /// Whether an entry was emitted since the beginning: then what follows must follow `last`.
    anchored: bool,
    /// Up to here live entries may come again, as the log had them first.
    read_to: Offset,
    /// Live entries that came while the log was read.
    held: VecDeque<Entry>,
    /// How many of them, from the front, had come before the last read was asked for.
    held_before_read: usize,
    /// Whether live entries were dropped since the last read was asked for.
    missed: bool,
    /// Whether the caller was told that the bucket is complete, and not since that something was lost.
    is_attached: bool,
    /// How often images were read anew since it was live, or since it was wanted.
    renewals: u8,
}

#[derive(Debug)]
struct PendingImage {
    stored: StoredImage,
    book_is_out: bool,
}

impl Bucket {
    pub(super) fn new(bucket: u32, epoch: u64, instruments: Range<u32>) -> Self {
        Self {
            bucket,
            epoch,
            instruments,
            stage: Stage::Preparing,
            ticket: None,
            begin: Begin::Unknown,
            prepared: false,
            images: BTreeMap::new(),
            last: Offset::START,
            anchored: false,
            read_to: Offset::START,
            held: VecDeque::new(),
            held_before_read: 0,
            missed: false,
            is_attached: false,
            renewals: 0,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.ticket == Some(ticket)
    }

    /// The connection stands: asks for whatever is missing.
    pub(super) fn connect(&mut self, outputs: &mut Outputs) {
        match self.stage {
            Stage::Preparing => self.prepare(outputs),
            Stage::Reading | Stage::Live => self.read(outputs),
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.ticket = None;
    }

    pub(super) fn detach(mut self, outputs: &mut Outputs) {
        self.drop_held(outputs);
        outputs.requests.push_back(Request::Unsubscribe(self.bucket));
        outputs.events.push_back(Event::Detached { bucket: self.bucket });
    }

    fn prepare(&mut self, outputs: &mut Outputs) {
        let (bucket, ticket) = (self.bucket, outputs.ticket());
        self.stage = Stage::Preparing;
        self.ticket = Some(ticket);
        self.prepared = false;
        self.images.clear();
        let instruments = self.instruments.clone();
        outputs.requests.push_back(Request::Images { bucket, ticket, instruments });
        if self.begin != Begin::Last {
            self.begin = Begin::Unknown;
            outputs.requests.push_back(Request::Locate { bucket, ticket });
        }
    }

    pub(super) fn images(&mut self, images: Vec<StoredImage>, outputs: &mut Outputs) {
        let other_epoch = images.iter().map(|stored| stored.image.epoch).find(|e| *e != self.epoch);
        outputs.foreign_seen = other_epoch;
        let ours = |stored: &StoredImage| {
            let image = &stored.image;
            image.epoch == self.epoch && self.instruments.contains(&image.definition.id)
        };
        let pending = |stored: StoredImage| {
            (stored.image.definition.id, PendingImage { stored, book_is_out: false })
        };
        self.images = images.into_iter().filter(ours).map(pending).collect();
        self.prepared = true;
        self.begin_reading(outputs);
    }

    pub(super) fn located(&mut self, offset: Offset, outputs: &mut Outputs) {
        self.begin = Begin::History(offset);
        self.begin_reading(outputs);
    }

    fn begin_reading(&mut self, outputs: &mut Outputs) {
        if !self.prepared {
            return;
        }
        match self.begin {
            Begin::Unknown => return,
            Begin::Last => {}
            Begin::History(offset) => {
                // Without an image, an instrument is what the log has of it.
                let complete = self.images.len() == self.instruments.len();
                let oldest = self.images.values().map(|image| image.stored.offset).min();
                let oldest = oldest.filter(|_| complete).unwrap_or(Offset::START);
                self.last = offset.min(oldest);
            }
        }
        self.anchored = false;
        self.stage = Stage::Reading;
        self.read(outputs);
    }

    fn read(&mut self, outputs: &mut Outputs) {
        let ticket = outputs.ticket();
        self.stage = Stage::Reading;
        self.ticket = Some(ticket);
        self.missed = false;
        self.held_before_read = self.held.len();
        let (bucket, after) = (self.bucket, self.last);
        outputs.requests.push_back(Request::Read { bucket, ticket, after });
    }

    pub(super) fn live(&mut self, entry: Entry, outputs: &mut Outputs) {
        if self.stage != Stage::Live || self.ticket.is_some() {
            self.hold(entry, outputs);
        } else if entry.offset <= self.read_to {
            outputs.counters.repeats += 1;
        } else if entry.previous <= self.last && entry.offset > self.last {
            self.emit(&entry, outputs);
        } else {
            // A hole, or, if it is not behind the last, a log that began anew: the log knows.
            outputs.counters.holes += 1;
            self.hold(entry, outputs);
            self.read(outputs);
        }
    }

    pub(super) fn missed(&mut self, outputs: &mut Outputs) {
        if self.stage == Stage::Live && self.ticket.is_none() {
            outputs.counters.holes += 1;
            self.read(outputs);
        } else {
            self.missed = true;
        }
    }

    pub(super) fn slice(&mut self, slice: &Slice, outputs: &mut Outputs) {
        self.ticket = None;
        if slice.tail < self.last && self.anchored {
            outputs.counters.resets += 1;
            self.begin = Begin::Unknown;
            self.last = Offset::START;
            self.read_to = Offset::START;
            self.drop_held(outputs);
            return self.lose(outputs);
        }
        let nothing = slice.entries.is_empty();
        for entry in &slice.entries {
            if entry.offset <= self.last {
                continue;
            }
            if self.anchored && entry.previous > self.last {
                self.begin = Begin::Last;
                return self.lose(outputs);
            }
            if !self.anchored && self.has_images_before(entry.previous) {
                return self.renew_images(outputs);
            }
            self.begin = Begin::History(self.last);
            self.anchored = true;
            let ticks_before = outputs.counters.ticks;
            self.emit(entry, outputs);
            outputs.counters.batches_replayed += 1;
            outputs.counters.ticks_replayed += outputs.counters.ticks - ticks_before;
        }
        self.read_to = self.last;
        self.go_on(nothing, slice.tail, outputs);
    }

    /// After a piece of the log: over to live, or the next piece.
    fn go_on(&mut self, nothing: bool, tail: Offset, outputs: &mut Outputs) {
        if nothing && tail > self.last && !self.images.is_empty() {
            // Images may know what is held: what they do not must come from the log.
            if self.anchored {
                return self.forgotten(tail, outputs);
            }
            self.last = tail;
            if self.has_images_before(tail) {
                return self.renew_images(outputs);
            }
        }
        while let Some(entry) = self.held.front() {
            let previous = entry.previous;
            let is_known = entry.offset <= self.last;
            // It had come before the log was asked, and the log ends before what precedes it: it is of a
            // log that is no more.
            let is_stray = self.held_before_read > 0 && self.last >= tail && tail < previous;
            if is_known || is_stray {
                outputs.counters.repeats += 1;
                self.unhold(outputs);
            } else if previous <= self.last {
                // Images know everything up to some moment before the log was asked; its end is behind that.
                let is_ahead_of_images = self.images.is_empty() || self.last >= tail;
                return if is_ahead_of_images { self.join(outputs) } else { self.read(outputs) };
            } else if nothing && tail >= previous {
                // What is before it is neither kept nor held.
                return self.forgotten(previous, outputs);
            } else {
                return self.read(outputs);
            }
        }
        if nothing && tail > self.last {
            return self.forgotten(tail, outputs);
        }
        if self.last >= tail && !self.missed { self.join(outputs) } else { self.read(outputs) }
    }

    /// Whether the log was perhaps cut behind an image before it could be read, and it is worth looking again.
    /// Also of an instrument that was quiet for long the image is old: nothing is missing in that.
    fn has_images_before(&self, offset: Offset) -> bool {
        self.renewals < RENEWALS_MAX && self.images.values().any(|i| i.stored.offset < offset)
    }

    fn renew_images(&mut self, outputs: &mut Outputs) {
        self.renewals += 1;
        self.begin = Begin::Last;
        self.prepare(outputs);
    }

    /// Up to this offset nothing is kept.
    fn forgotten(&mut self, up_to: Offset, outputs: &mut Outputs) {
        self.begin = Begin::Last;
        self.last = up_to;
        self.lose(outputs);
    }

    /// Over to live: what is left of images, then what was held.
    fn join(&mut self, outputs: &mut Outputs) {
        self.stage = Stage::Live;
        self.anchored = true;
        self.renewals = 0;
        for (_, pending) in std::mem::take(&mut self.images) {
            let mut image = pending.stored.image;
            if pending.book_is_out {
                clear_book(&mut image);
            }
            outputs.events.push_back(Event::Image { bucket: self.bucket, image: Box::new(image) });
        }
        if !std::mem::replace(&mut self.is_attached, true) {
            outputs.events.push_back(Event::Attached { bucket: self.bucket });
        }
        while self.stage == Stage::Live
            && let Some(entry) = self.unhold(outputs)
        {
            self.live(entry, outputs);
        }
        if self.missed && self.stage == Stage::Live {
            self.read(outputs);
        }
    }

    /// What follows the last entry is not kept: says so, and begins from images again.
    fn lose(&mut self, outputs: &mut Outputs) {
        outputs.counters.lost += 1;
        self.is_attached = false;
        outputs.events.push_back(Event::Lost { bucket: self.bucket });
        self.prepare(outputs);
    }

    fn emit(&mut self, entry: &Entry, outputs: &mut Outputs) {
        self.last = entry.offset;
        let ours = |tick: &Tick| self.instruments.contains(&tick.instrument);
        let batch = Batch::decode(&entry.payload).ok().filter(|b| b.ticks.iter().all(ours));
        let Some(batch) = batch else {
            // Whose it was is not known; its topics' numbers show that something is missing.
            outputs.counters.malformed += 1;
            return;
        };
        if batch.epoch != self.epoch {
            outputs.counters.foreign += 1;
            outputs.foreign_seen = Some(batch.epoch);
            return;
        }
        outputs.counters.batches += 1;
        outputs.counters.ticks += batch.ticks.len() as u64;
        outputs.counters.bytes += entry.payload.len() as u64;
        self.emit_ticks(batch, outputs);
    }

    /// The batch's ticks, with the book of an image before the first group that it does not have.
    fn emit_ticks(&mut self, batch: Batch, outputs: &mut Outputs) {
        let (bucket, sent_ns) = (self.bucket, batch.sent_ns);
        let mut rest = batch.ticks;
        while !self.images.is_empty()
            && let Some(at) = rest.iter().position(|tick| self.needs_book(tick))
        {
            let behind = rest.split_off(at);
            if !rest.is_empty() {
                outputs.events.push_back(Event::Ticks { bucket, ticks: rest, sent_ns });
            }
            if let Some(pending) = self.images.get_mut(&behind[0].instrument) {
                pending.book_is_out = true;
                let image = InstrumentImage { last: Vec::new(), ..pending.stored.image.clone() };
                outputs.events.push_back(Event::Image { bucket, image: Box::new(image) });
            }
            rest = behind;
        }
        if !rest.is_empty() {
            outputs.events.push_back(Event::Ticks { bucket, ticks: rest, sent_ns });
        }
    }

    fn needs_book(&self, tick: &Tick) -> bool {
        let is_depth = tick.kind() == Ok(Kind::Data(Channel::Depth));
        is_depth
            && tick.begins()
            && self.images.get(&tick.instrument).is_some_and(|pending| {
                !pending.book_is_out && tick.seq > pending.stored.image.depth_seq
            })
    }

    fn hold(&mut self, entry: Entry, outputs: &mut Outputs) {
        let bytes = entry.payload.len();
        if outputs.held_bytes + bytes > outputs.held_bytes_max {
            // The log has what is let go.
            outputs.counters.crowded += 1 + self.held.len() as u64;
            self.drop_held(outputs);
            self.missed = true;
            return;
        }
        outputs.held_bytes += bytes;
        self.held.push_back(entry);
    }

    fn unhold(&mut self, outputs: &mut Outputs) -> Option<Entry> {
        let entry = self.held.pop_front()?;
        outputs.held_bytes -= entry.payload.len();
        self.held_before_read = self.held_before_read.saturating_sub(1);
        Some(entry)
    }

    fn drop_held(&mut self, outputs: &mut Outputs) {
        while self.unhold(outputs).is_some() {}
    }
}

fn clear_book(image: &mut InstrumentImage) {
    image.depth_seq = 0;
    image.bids.clear();
    image.asks.clear();
}
