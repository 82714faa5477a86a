//! The sequencer: gives the ticks of one bucket their numbers and gets them into its log, exactly once.
//!
//! A state machine without I/O, clock or randomness: its [`Sequencer::poll`] says what to ask the bus, the
//! answers come in through `handle_…`, what became of the ticks goes out through [`Sequencer::settled`]. One
//! request is under way at a time.
//!
//! It knows the log up to `tail`, and from that the newest number of every topic. A batch numbered from there is
//! appended on condition that `tail` is still the newest offset. If it is not, somebody else has appended:
//! what is missing is read, the batch numbered again, and tried again. Of an append whose answer is lost nothing
//! is assumed. It is tried again like any other: the condition lets in at most one of its copies, and the one that
//! is in the log is recognised by writer and number.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use wire::{Instrument, InstrumentImage, Presence, Tick};

use crate::batch::Batch;
use crate::entry::{Entry, Offset, Slice};
use crate::stored_image::StoredImage;

/// For how long the end of the log counts as just looked at, ns.
const FRESH_NS: u64 = 100_000_000;

/// The present, by two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For waiting.
    pub monotonic_ns: u64,
    /// For saying when, ns since the Unix epoch.
    pub unix_ns: u64,
}

/// The caller's name for ticks that it offered together.
pub type Ticket = u64;

/// Bounds of a sequencer's work.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Ticks of one batch; what is offered together is not divided for it.
    pub batch_ticks: usize,
    /// How long ticks wait for the bus before they are given up.
    pub patience_ns: u64,
    /// How often a batch is numbered again because somebody else was faster.
    pub attempts_max: u32,
    /// Images are renewed after so many batches, whoever appended them.
    pub image_batches: u32,
    /// And so long after the first batch that is not in them, ns.
    pub image_delay_ns: u64,
    /// The pause after the bus could not be asked, ns; doubled each time up to 16 times as long.
    pub pause_ns: u64,
}

/// Why ticks are not in the log, or not known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// They are not, and will not be: the bus did not take them in time.
    #[error("the bus did not take it in time")]
    NotTaken,
    /// They are not, and will not be: others publish to the same instruments without a pause.
    #[error("others who publish to the same instruments were always faster")]
    Contended,
    /// They are not, and will not be: there is a new epoch, or no catalog yet.
    #[error("the feed begins a new epoch, or has not begun one")]
    NoEpoch,
    /// They may be or not: the bus did not answer in time.
    #[error("the bus did not say in time whether it took it")]
    Uncertain,
}

/// What to ask the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The images of the bucket's instruments.
    Images,
    /// The log behind this offset.
    Read {
        /// Which.
        after: Offset,
    },
    /// To append, if the newest offset is still as expected.
    Append {
        /// The newest offset.
        expected: Offset,
        /// A batch.
        payload: Bytes,
    },
    /// To keep images.
    Store {
        /// By instrument.
        images: Vec<(u32, Bytes)>,
    },
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log, at this offset.
    At(Offset),
    /// It is not: somebody else has appended.
    Conflict,
    /// It may be or not.
    Unknown,
    /// It is not, for another reason.
    Refused,
}

/// Ticks that were offered together.
#[derive(Debug)]
struct Part {
    ticket: Ticket,
    ticks: Vec<Tick>,
    deadline_ns: u64,
}

/// The batch that is being appended.
#[derive(Debug)]
struct Flight {
    number: u64,
    sent_ns: u64,
    ticks: Vec<Tick>,
    parts: Vec<(Ticket, usize)>,
    deadline_ns: u64,
    attempts: u32,
    /// What copies with an unknown fate expect the newest offset to be.
    astray: Vec<Offset>,
}

/// How much of the log is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knowledge {
    Nothing,
    /// Up to `tail`, and there may be more.
    Behind,
    /// Up to `tail`, which was the end a moment ago.
    Current,
}

/// What a sequencer has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Batches appended.
    pub batches: u64,
    /// Ticks appended.
    pub ticks: u64,
    /// Appends that somebody else was faster than.
    pub conflicts: u64,
    /// Appends without an answer.
    pub unknown: u64,
    /// Entries that are no batches.
    pub foreign: u64,
    /// Images kept.
    pub images: u64,
}

/// See the module's header.
#[derive(Debug)]
pub struct Sequencer {
    terms: Terms,
    writer: u64,
    epoch: u64,
    instruments: Vec<Instrument>,
    knowledge: Knowledge,
    tail: Offset,
    /// The newest tick of each topic, by instrument and kind.
    newest: BTreeMap<(u32, u8), Tick>,
    /// Instruments whose images do not have everything.
    stale: BTreeSet<u32>,
    stale_batches: u32,
    stale_since_ns: u64,
    /// When `tail` was last known to be the end.
    current_ns: u64,
    /// Whether images were read and the log has not been since: what is between need not be in the log.
    is_after_images: bool,
    waiting: VecDeque<Part>,
    flight: Option<Flight>,
    next_batch: u64,
    is_asking: bool,
    failures: u32,
    rest_until_ns: u64,
    settled: VecDeque<(Ticket, Result<Vec<u64>, PublishError>)>,
    tally: Tally,
}

impl Sequencer {
    /// A sequencer of a bucket of these instruments, which knows nothing yet. Its batches are numbered
    /// from `first` on: no other of this writer has numbers near them.
    #[must_use]
    pub fn new(
        terms: Terms,
        writer: u64,
        first: u64,
        epoch: u64,
        instruments: Vec<Instrument>,
    ) -> Self {
        Self {
            terms,
            writer,
            epoch,
            instruments,
            knowledge: Knowledge::Nothing,
            tail: Offset::START,
            newest: BTreeMap::new(),
            stale: BTreeSet::new(),
            stale_batches: 0,
            stale_since_ns: 0,
            current_ns: 0,
            is_after_images: false,
            waiting: VecDeque::new(),
            flight: None,
            next_batch: first,
            is_asking: false,
            failures: 0,
            rest_until_ns: 0,
            settled: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// The bucket's instruments.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// What was done since this was last asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Ticks to be published, in this order and behind those offered before.
    pub fn offer(&mut self, ticket: Ticket, ticks: Vec<Tick>, now: Now) {
        let deadline_ns = now.monotonic_ns.saturating_add(self.terms.patience_ns);
        self.waiting.push_back(Part { ticket, ticks, deadline_ns });
    }

    /// What became of ticks: their numbers, in order, or why there are none.
    pub fn settled(&mut self) -> Option<(Ticket, Result<Vec<u64>, PublishError>)> {
        self.settled.pop_front()
    }

    /// What is to be asked now, if anything.
    pub fn poll(&mut self, now: Now) -> Option<Request> {
        self.expire(now);
        if self.is_asking || now.monotonic_ns < self.rest_until_ns {
            return None;
        }
        let request = self.request(now);
        self.is_asking = request.is_some();
        request
    }

    fn request(&mut self, now: Now) -> Option<Request> {
        let is_needed = self.flight.is_some() || !self.waiting.is_empty() || !self.stale.is_empty();
        match self.knowledge {
            Knowledge::Nothing if is_needed => return Some(Request::Images),
            Knowledge::Nothing => return None,
            Knowledge::Behind => return Some(Request::Read { after: self.tail }),
            Knowledge::Current => {}
        }
        if self.flight.is_none() && self.are_images_due(now) {
            if now.monotonic_ns.saturating_sub(self.current_ns) > FRESH_NS {
                // Others may have renewed them since: an older image must not replace a newer one.
                self.knowledge = Knowledge::Behind;
                return Some(Request::Read { after: self.tail });
            }
            return Some(Request::Store { images: self.images() });
        }
        if self.flight.is_none() {
            self.flight = self.next_flight(now);
        }
        let flight = self.flight.as_mut()?;
        number(&mut flight.ticks, &self.newest);
        let batch = Batch {
            writer: self.writer,
            number: flight.number,
            epoch: self.epoch,
            sent_ns: flight.sent_ns,
            ticks: std::mem::take(&mut flight.ticks),
        };
        let payload = batch.encode();
        flight.ticks = batch.ticks;
        Some(Request::Append { expected: self.tail, payload })
    }

    /// When to poll again, if nothing is answered or offered before, ns of the monotonic clock.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        let waiting = self.waiting.front().map(|part| part.deadline_ns);
        if self.is_asking {
            return waiting;
        }
        let flight = self.flight.as_ref().map(|flight| flight.deadline_ns);
        let is_at_work =
            flight.is_some() || waiting.is_some() || self.knowledge == Knowledge::Behind;
        let rest = is_at_work.then_some(self.rest_until_ns);
        let images = (!self.stale.is_empty()).then(|| {
            self.stale_since_ns.saturating_add(self.terms.image_delay_ns).max(self.rest_until_ns)
        });
        [flight, waiting, rest, images.filter(|_| flight.is_none())].into_iter().flatten().min()
    }

    /// Ends it: nothing that waits is published any more.
    pub fn end(&mut self) {
        for part in self.waiting.drain(..) {
            self.settled.push_back((part.ticket, Err(PublishError::NoEpoch)));
        }
        let is_under_way = self.is_asking;
        if let Some(flight) = self.flight.take() {
            let may_arrive = is_under_way || !flight.astray.is_empty();
            let error = if may_arrive { PublishError::Uncertain } else { PublishError::NoEpoch };
            self.fail(&flight, error);
        }
    }

    /// The bus could not be asked.
    pub fn handle_failed(&mut self, now: Now) {
        self.is_asking = false;
        self.rest(now);
    }

    /// The images of the bucket's instruments, as far as there are any.
    pub fn handle_images(&mut self, images: &[StoredImage]) {
        self.is_asking = false;
        self.failures = 0;
        let mut from = None;
        for instrument in &self.instruments {
            let known = images.iter().find(|stored| {
                stored.image.definition.id == instrument.id && stored.image.epoch == self.epoch
            });
            for tick in known.iter().flat_map(|stored| &stored.image.last) {
                remember(&mut self.newest, tick);
            }
            // Of an instrument without an image the log has everything, as far as it was ever published.
            let offset = known.map_or(Offset::START, |stored| stored.offset);
            from = Some(from.map_or(offset, |from: Offset| from.min(offset)));
        }
        self.tail = from.unwrap_or(Offset::START);
        self.knowledge = Knowledge::Behind;
        self.is_after_images = true;
    }

    /// A piece of the log behind `tail`.
    pub fn handle_read(&mut self, slice: &Slice, now: Now) {
        self.is_asking = false;
        self.failures = 0;
        if slice.tail < self.tail {
            // The bus has lost the log. Numbers go on from what is known here.
            self.tail = Offset::START;
            self.lose_track();
            return;
        }
        let is_after_images = std::mem::take(&mut self.is_after_images);
        if slice.entries.first().is_some_and(|first| first.previous > self.tail) && !is_after_images
        {
            // The log no longer has what is missing here; the images do.
            self.knowledge = Knowledge::Nothing;
            self.lose_track();
            return;
        }
        for entry in &slice.entries {
            self.take(entry, now);
        }
        if slice.entries.is_empty() || self.tail >= slice.tail {
            self.tail = self.tail.max(slice.tail);
            self.knowledge = Knowledge::Current;
            self.current_ns = now.monotonic_ns;
            self.give_up_if_hopeless();
        }
    }

    /// What became of the append.
    pub fn handle_appended(&mut self, appended: Appended, now: Now) {
        self.is_asking = false;
        let Some(flight) = self.flight.as_mut() else { return };
        match appended {
            Appended::At(offset) => {
                self.failures = 0;
                self.tail = offset;
                self.current_ns = now.monotonic_ns;
                let flight = self.flight.take().expect("looked at above");
                self.tally.batches += 1;
                self.tally.ticks += flight.ticks.len() as u64;
                self.learn(&flight.ticks, now);
                self.succeed(&flight, &flight.ticks);
            }
            Appended::Conflict => {
                self.failures = 0;
                self.tally.conflicts += 1;
                flight.attempts += 1;
                self.knowledge = Knowledge::Behind;
            }
            Appended::Unknown => {
                self.tally.unknown += 1;
                flight.astray.push(self.tail);
                self.knowledge = Knowledge::Behind;
                self.rest(now);
            }
            Appended::Refused => self.rest(now),
        }
    }

    /// The images are kept.
    pub fn handle_stored(&mut self) {
        self.is_asking = false;
        self.failures = 0;
        self.tally.images += self.stale.len() as u64;
        self.stale.clear();
        self.stale_batches = 0;
    }

    /// One entry of the log that is not known yet.
    fn take(&mut self, entry: &Entry, now: Now) {
        if entry.offset <= self.tail {
            return;
        }
        self.tail = entry.offset;
        // What is no batch was not written by one of us: it has no numbers that could be meant.
        let Ok(batch) = Batch::decode(&entry.payload) else {
            self.tally.foreign += 1;
            return;
        };
        if batch.epoch != self.epoch {
            return;
        }
        self.learn(&batch.ticks, now);
        let ours = (batch.writer, batch.number);
        if self.flight.as_ref().is_some_and(|flight| ours == (self.writer, flight.number)) {
            let flight = self.flight.take().expect("looked at above");
            self.tally.batches += 1;
            self.tally.ticks += flight.ticks.len() as u64;
            // The copy that is in the log may have been numbered earlier than the newest one.
            self.succeed(&flight, &batch.ticks);
        }
    }

    fn learn(&mut self, ticks: &[Tick], now: Now) {
        if ticks.is_empty() {
            return;
        }
        if self.stale.is_empty() {
            self.stale_since_ns = now.monotonic_ns;
        }
        self.stale_batches += 1;
        for tick in ticks {
            remember(&mut self.newest, tick);
            self.stale.insert(tick.instrument);
        }
    }

    fn succeed(&mut self, flight: &Flight, numbered: &[Tick]) {
        let mut at = 0;
        for &(ticket, count) in &flight.parts {
            let numbers = numbered.iter().skip(at).take(count).map(|tick| tick.seq).collect();
            self.settled.push_back((ticket, Ok(numbers)));
            at += count;
        }
    }

    fn fail(&mut self, flight: &Flight, error: PublishError) {
        for &(ticket, _) in &flight.parts {
            self.settled.push_back((ticket, Err(error)));
        }
    }

    /// After the log was read to its end without the flight in it.
    fn give_up_if_hopeless(&mut self) {
        let too_often =
            self.flight.as_ref().is_some_and(|it| it.attempts >= self.terms.attempts_max);
        if too_often && let Some(flight) = self.flight.take() {
            self.abandon(&flight, PublishError::Contended);
        }
    }

    /// A part of the log can never be read: a copy of the flight may be in it.
    fn lose_track(&mut self) {
        if self.flight.as_ref().is_some_and(|flight| !flight.astray.is_empty())
            && let Some(flight) = self.flight.take()
        {
            self.fail(&flight, PublishError::Uncertain);
        }
    }

    /// Gives up ticks whose time is over.
    fn expire(&mut self, now: Now) {
        while let Some(part) = self.waiting.front()
            && part.deadline_ns <= now.monotonic_ns
        {
            self.settled.push_back((part.ticket, Err(PublishError::NotTaken)));
            self.waiting.pop_front();
        }
        // While its append is under way nothing can be said of a flight; the bus's own time-out ends that.
        let is_over = |flight: &Flight| flight.deadline_ns <= now.monotonic_ns;
        if !self.is_asking
            && self.flight.as_ref().is_some_and(is_over)
            && let Some(flight) = self.flight.take()
        {
            self.abandon(&flight, PublishError::NotTaken);
        }
    }

    /// A flight that is given up. A copy of it can arrive as long as the log ends where it expects it to;
    /// whoever appends next recognises that by the conflict, and reads its numbers.
    fn abandon(&mut self, flight: &Flight, certain: PublishError) {
        let is_known = self.knowledge == Knowledge::Current;
        let may_arrive = flight.astray.iter().any(|expected| !is_known || *expected >= self.tail);
        self.fail(flight, if may_arrive { PublishError::Uncertain } else { certain });
    }

    fn next_flight(&mut self, now: Now) -> Option<Flight> {
        let mut flight = Flight {
            number: self.next_batch,
            sent_ns: now.unix_ns,
            ticks: Vec::new(),
            parts: Vec::new(),
            deadline_ns: 0,
            attempts: 0,
            astray: Vec::new(),
        };
        while let Some(part) = self.waiting.front()
            && (flight.ticks.is_empty()
                || flight.ticks.len() + part.ticks.len() <= self.terms.batch_ticks)
        {
            let part = self.waiting.pop_front().expect("looked at above");
            flight.deadline_ns = flight.deadline_ns.max(part.deadline_ns);
            flight.parts.push((part.ticket, part.ticks.len()));
            flight.ticks.extend(part.ticks);
        }
        if flight.ticks.is_empty() {
            return None;
        }
        for tick in &mut flight.ticks {
            tick.ts_ring_ns = now.unix_ns;
        }
        self.next_batch += 1;
        Some(flight)
    }

    fn are_images_due(&self, now: Now) -> bool {
        let age_ns = now.monotonic_ns.saturating_sub(self.stale_since_ns);
        !self.stale.is_empty()
            && (self.stale_batches >= self.terms.image_batches
                || age_ns >= self.terms.image_delay_ns)
    }

    /// The images of all instruments whose images are stale; after many batches of all there are, because a
    /// reader reads the log from the oldest image on.
    fn images(&self) -> Vec<(u32, Bytes)> {
        let is_whole = self.stale_batches >= self.terms.image_batches;
        let due = self.instruments.iter().filter(|it| is_whole || self.stale.contains(&it.id));
        due.map(|instrument| {
            let topics = self.newest.range((instrument.id, 0)..=(instrument.id, u8::MAX));
            let image = InstrumentImage {
                epoch: self.epoch,
                definition: *instrument,
                presence: Presence::Attached,
                last: topics.map(|(_, tick)| *tick).collect(),
                depth_seq: 0,
                update_id: 0,
                ts_event_ns: 0,
                bids: Vec::new(),
                asks: Vec::new(),
            };
            (instrument.id, StoredImage { offset: self.tail, image }.encode())
        })
        .collect()
    }

    /// Leaves the bus alone for a while.
    fn rest(&mut self, now: Now) {
        let pause_ns = self.terms.pause_ns << self.failures.min(4);
        self.failures += 1;
        self.rest_until_ns = now.monotonic_ns.saturating_add(pause_ns);
    }
}

/// Numbers ticks behind the newest of their topics.
fn number(ticks: &mut [Tick], newest: &BTreeMap<(u32, u8), Tick>) {
    let mut last: BTreeMap<(u32, u8), u64> = BTreeMap::new();
    for tick in ticks {
        let topic = (tick.instrument, tick.kind);
        let seq =
            last.entry(topic).or_insert_with(|| newest.get(&topic).map_or(0, |newest| newest.seq));
        *seq += 1;
        tick.seq = *seq;
    }
}

fn remember(newest: &mut BTreeMap<(u32, u8), Tick>, tick: &Tick) {
    let known = newest.entry((tick.instrument, tick.kind)).or_insert(*tick);
    if known.seq < tick.seq {
        *known = *tick;
    }
}
