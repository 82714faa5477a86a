//! The outbox: everything a writer decides, without I/O, clock or randomness.
//!
//! Ticks go in by [`Outbox::push`]; [`Outbox::poll`] says what to ask of the bus, and answers come back by
//! [`Outbox::handle`]. Every request is answered exactly once, with [`Answer::Doubt`] if its outcome is not
//! known: the log's tail then tells, as every batch bears its writer and its number. What was asked may
//! still happen later; two batches never compete for one place in a log, so that does no harm.
//!
//! # Order
//! The throne is taken first. Then the catalog is stored; then batches are appended, one at a time in each
//! bucket. When the next epoch begins, all that is held of the one before is appended, then the next
//! catalog is stored; ticks of the new epoch wait meanwhile.
//!
//! # Bound
//! At most [`Limits::held`] ticks wait, or are in flight. Beyond it lanes are shed, see [`Lane::shed`]:
//! readers see by the numbers what they did not get. Dropped depth groups are made good by one that replaces
//! the book, so that a book is never wrong.

mod answers;
mod bound;
mod request;
#[cfg(test)]
mod simulation;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use wire::{Instrument, InstrumentImage, Tick};

use super::counters::WriterCounters;
pub use super::lane::BatchLimits;
use super::lane::{Lane, Sent, Stage};
use super::ledger::{Entered, Ledger};
use super::renewal::Renewal;
use super::throne::{Ask, THRONE_BUCKET, Throne};
pub use super::throne::{Deposed, Mark};
use crate::batch::Batch;
use crate::catalog::{Catalog, WriterKind};
use crate::entry::Offset;
use crate::stored_image::StoredImage;
pub use request::{Answer, Request};

/// Batches in flight at the same time, over all buckets. At NATS and Redis more than some hundreds gain
/// nothing, and a batch that waits here grows.
const SENDING_MAX: usize = 512;

/// How long to wait after a request that failed.
const RETRY_NS: u64 = 50_000_000;

/// What an outbox keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How large batches become.
    pub batch: BatchLimits,
    /// Ticks that may wait or be in flight.
    pub held: usize,
    /// Between two beats on the throne, ns.
    pub beat_ns: u64,
    /// How old an image may become while something is missing in it, ns.
    pub image_age_ns: u64,
    /// How many bytes may be appended to all logs meanwhile.
    pub image_bytes: u64,
    /// How many bytes may be appended to a bucket until its images are renewed, if they are small.
    pub bucket_image_bytes: u64,
}

/// The time, by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For waiting.
    pub monotonic_ns: u64,
    /// For saying when, ns since the Unix epoch.
    pub realtime_ns: u64,
}

/// How far the catalog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announcement {
    /// To be stored, from this time on.
    Due {
        at_ns: u64,
    },
    /// Being stored; `is_stale`: it has to be stored again.
    Storing {
        is_stale: bool,
    },
    Made,
}

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    limits: Limits,
    writer: u64,
    is_connected: bool,
    throne: Throne,
    catalog: Option<Arc<Catalog>>,
    announcement: Announcement,
    /// The epoch of what is being appended: behind the catalog's while the one before is emptied.
    epoch: u64,
    lanes: Vec<Lane>,
    /// Lanes of the epoch before, to be emptied first; else none.
    old: Vec<Lane>,
    /// Everything that was pushed.
    known: Ledger,
    /// Everything that is in the logs.
    logged: Ledger,
    renewal: Renewal,
    /// Bytes of an image, when it was last stored.
    image_bytes: Vec<u32>,
    ready: VecDeque<u32>,
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    /// Buckets whose lanes wait for the throne, and for which beat.
    contested: Vec<(u32, u64)>,
    /// To be told to readers.
    pulse: Option<Bytes>,
    sending: usize,
    /// Ticks that wait or are in flight.
    held: usize,
    /// Where shedding goes on.
    shed_at: usize,
    is_closing: bool,
    pub(in crate::writer) counters: WriterCounters,
}

impl Outbox {
    /// An outbox without a connection. `writer` is a number that no other writer has.
    #[must_use]
    pub fn new(writer: u64, limits: Limits) -> Self {
        Self {
            limits,
            writer,
            is_connected: false,
            throne: Throne::new(writer, limits.beat_ns),
            catalog: None,
            announcement: Announcement::Made,
            epoch: 0,
            lanes: Vec::new(),
            old: Vec::new(),
            known: Ledger::default(),
            logged: Ledger::default(),
            renewal: Renewal::default(),
            image_bytes: Vec::new(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            contested: Vec::new(),
            pulse: None,
            sending: 0,
            held: 0,
            shed_at: 0,
            is_closing: false,
            counters: WriterCounters::default(),
        }
    }

    /// Begins an epoch. What is held of the one before is appended first.
    pub fn begin(&mut self, catalog: Arc<Catalog>, now: Now) {
        if self.old.is_empty() {
            for bucket in (0..self.lanes.len()).map(number) {
                self.replace_books(bucket, now);
            }
        }
        let buckets = feeds(&catalog).len().div_ceil(catalog.bucket_size() as usize);
        let lanes = (0..buckets).map(|_| Lane::default()).collect();
        let before = std::mem::replace(&mut self.lanes, lanes);
        // The announcement may be due again, of an epoch that was announced: the bus had forgotten it.
        let was_announced = self.catalog.as_ref().is_some_and(|old| old.epoch() == self.epoch);
        if self.old.is_empty() && was_announced {
            self.old = before;
        } else {
            // That epoch was never announced: nobody misses what there was of it.
            self.drop_all(before);
        }
        self.known = Ledger::new(catalog.epoch(), feeds(&catalog));
        self.announcement = match self.announcement {
            Announcement::Storing { .. } => Announcement::Storing { is_stale: true },
            Announcement::Due { at_ns } => Announcement::Due { at_ns },
            Announcement::Made => Announcement::Due { at_ns: 0 },
        };
        self.catalog = Some(catalog);
    }

    /// Takes ticks of the epoch that was begun last: numbered, in order, whole groups. Ticks whose numbers
    /// it has seen are left out.
    pub fn push(&mut self, ticks: &[Tick], now_ns: u64) {
        let mut rest = ticks;
        while let Some(end) = rest.iter().position(Tick::ends) {
            let (group, behind) = rest.split_at(end + 1);
            rest = behind;
            match self.known.enter(group) {
                Entered::New => self.hold(group, now_ns),
                Entered::Known => self.counters.repeated += group.len() as u64,
                Entered::Stray => self.counters.stray += group.len() as u64,
            }
        }
        debug_assert!(rest.is_empty(), "only whole groups are pushed");
        self.keep_bound();
    }

    /// Takes what an image has that is newer than what was pushed, after ticks were lost on their way here.
    pub fn push_image(&mut self, image: &InstrumentImage, now_ns: u64) {
        let mut news = Vec::new();
        let has_book = self.known.enter_image(image, &mut news);
        for tick in &news {
            self.hold(std::slice::from_ref(tick), now_ns);
        }
        if has_book && let Some(bucket) = self.bucket_of(image.definition.id) {
            self.lanes[bucket as usize].owe(image.definition.id, now_ns);
            self.rouse(bucket, now_ns);
        }
        self.keep_bound();
    }

    /// The connection was made, or lost. What is in flight is answered all the same.
    pub fn set_connected(&mut self, is_connected: bool) {
        self.is_connected = is_connected;
        if is_connected {
            // It may be another server, or the same one without its memory.
            self.throne.verify();
        }
    }

    /// Sends what is held without waiting for more, renews all images, gives up the throne.
    pub fn close(&mut self) {
        self.is_closing = true;
        self.limits.batch.age_ns = 0;
        for bucket in 0..self.current().len() {
            self.ready.push_back(number(bucket));
        }
    }

    /// Whether all that was pushed is appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.old.is_empty()
            && self.announcement == Announcement::Made
            && self.lanes.iter().all(Lane::is_quiet)
    }

    /// Whether nothing is left to do after [`Outbox::close`].
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.throne.has_left()
    }

    /// Whether the throne was taken.
    #[must_use]
    pub const fn is_enthroned(&self) -> bool {
        self.throne.is_held()
    }

    /// Ticks that wait or are in flight.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> WriterCounters {
        self.counters
    }

    /// How many may.
    #[must_use]
    pub fn held_max(&self) -> usize {
        // Lanes that were shed keep a tick of each topic, and that must not fill them.
        self.limits.held.max(4 * self.known.topics())
    }

    /// When to poll again, if no answer comes and nothing is pushed before.
    #[must_use]
    pub fn wake_at_ns(&self) -> Option<u64> {
        if !self.is_connected {
            return None;
        }
        let throne = self.throne.wake_at_ns();
        if !self.throne.is_held() {
            return throne;
        }
        let announcement = match self.announcement {
            Announcement::Due { at_ns } if self.old.is_empty() => Some(at_ns),
            _ => None,
        };
        let timer = self.timers.peek().map(|Reverse((at_ns, _))| *at_ns);
        let renewal = if self.may_renew() { self.renewal.wake_at_ns() } else { None };
        [throne, announcement, timer, renewal].into_iter().flatten().min()
    }

    /// The next request, if there is one now.
    pub fn poll(&mut self, now: Now) -> Option<Request> {
        if !self.is_connected {
            return None;
        }
        let now_ns = now.monotonic_ns;
        if let Some(ask) = self.throne.poll(now_ns) {
            return Some(self.ask_throne(ask, now));
        }
        if let Some(pulse) = self.pulse.take() {
            return Some(Request::Pulse(pulse));
        }
        if self.throne.has_left() || !self.throne.is_held() {
            return None;
        }
        self.look_for_loss();
        self.turn_to_next_epoch();
        if let Some(request) = self.announce(now_ns) {
            return Some(request);
        }
        while self.timers.peek().is_some_and(|Reverse((at_ns, _))| *at_ns <= now_ns) {
            let Reverse((_, bucket)) = self.timers.pop().expect("it was peeked at");
            self.ready.push_back(bucket);
        }
        while self.sending < SENDING_MAX
            && let Some(bucket) = self.ready.pop_front()
        {
            if let Some(request) = self.step(bucket, now) {
                self.sending += 1;
                return Some(request);
            }
        }
        if let Some(request) = self.renew(now_ns) {
            return Some(request);
        }
        if self.is_closing && self.is_empty() {
            self.renewal.close();
            if self.renewal.is_done() {
                self.throne.leave();
                return self.throne.poll(now_ns).map(|ask| self.ask_throne(ask, now));
            }
            return self.renew(now_ns);
        }
        None
    }

    fn ask_throne(&mut self, ask: Ask, now: Now) -> Request {
        match ask {
            Ask::Tail => Request::Tail { bucket: THRONE_BUCKET },
            Ask::Beat { writer, number, expected } => {
                let (epoch, sent_ns) = (self.epoch, now.realtime_ns);
                let beat = Batch { writer, number, epoch, sent_ns, ticks: Vec::new() };
                self.pulse = Some(beat.encode());
                Request::Append { bucket: THRONE_BUCKET, expected, payload: beat.encode() }
            }
        }
    }

    /// After the bus has lost its memory everything that is not a log is stored again, and offsets are asked for.
    fn look_for_loss(&mut self) {
        if !std::mem::take(&mut self.throne.has_bus_forgotten) {
            return;
        }
        self.counters.bus_losses += 1;
        if self.announcement == Announcement::Made && self.catalog.is_some() && self.old.is_empty()
        {
            self.announcement = Announcement::Due { at_ns: 0 };
        }
        for lane in self.current_mut() {
            lane.newest = None;
        }
        self.touch_all();
    }

    /// Everything that has a state gets its image anew.
    fn touch_all(&mut self) {
        let instruments = self.image_bytes.len();
        for instrument in (0..instruments).map(number) {
            if self.logged.has_state(instrument) {
                self.renewal.touch(instrument, 0, 0);
            }
        }
        self.renewal.hurry((0..instruments).map(number));
    }

    /// Once the lanes of the epoch before are empty, the new ones take over.
    fn turn_to_next_epoch(&mut self) {
        if self.old.is_empty() || !self.old.iter().all(Lane::is_quiet) {
            return;
        }
        for (lane, old) in self.lanes.iter_mut().zip(std::mem::take(&mut self.old)) {
            lane.newest = old.newest;
        }
    }

    fn announce(&mut self, now_ns: u64) -> Option<Request> {
        let Announcement::Due { at_ns } = self.announcement else { return None };
        if !self.old.is_empty() || at_ns > now_ns {
            return None;
        }
        self.announcement = Announcement::Storing { is_stale: false };
        self.catalog.clone().map(Request::PutCatalog)
    }

    /// From here on ticks of the catalog's epoch are appended.
    fn begin_epoch(&mut self) {
        let Some(catalog) = &self.catalog else { return };
        if self.epoch == catalog.epoch() {
            return;
        }
        self.epoch = catalog.epoch();
        self.logged = Ledger::new(catalog.epoch(), feeds(catalog));
        let limits = &self.limits;
        let instruments = feeds(catalog).len();
        self.renewal = Renewal::new(instruments, limits.image_age_ns, limits.image_bytes);
        self.image_bytes = vec![0; instruments];
        self.ready.clear();
        self.timers.clear();
        self.ready.extend((0..self.lanes.len()).map(number));
    }

    /// The lanes that may send: those of the epoch before until they are empty.
    const fn current(&self) -> &Vec<Lane> {
        if self.old.is_empty() { &self.lanes } else { &self.old }
    }

    const fn current_mut(&mut self) -> &mut Vec<Lane> {
        if self.old.is_empty() { &mut self.lanes } else { &mut self.old }
    }

    fn bucket_of(&self, instrument: u32) -> Option<u32> {
        // The feed's buckets are counted from 0, clients' are beyond them all.
        let bucket = self.catalog.as_ref()?.bucket_of(instrument);
        ((bucket as usize) < self.lanes.len()).then_some(bucket)
    }

    fn hold(&mut self, group: &[Tick], now_ns: u64) {
        let Some(bucket) = self.bucket_of(group[0].instrument) else { return };
        let lane = &mut self.lanes[bucket as usize];
        let was_empty = !lane.has_ticks();
        let was_full = lane.held() >= self.limits.batch.ticks;
        lane.push(group, now_ns);
        self.held += group.len();
        self.counters.pushed += group.len() as u64;
        let is_full = lane.held() >= self.limits.batch.ticks;
        if was_empty || is_full && !was_full {
            self.rouse(bucket, now_ns);
        }
    }

    /// Something came into a lane that may have been empty.
    fn rouse(&mut self, bucket: u32, now_ns: u64) {
        let lane = &self.lanes[bucket as usize];
        if self.old.is_empty() && lane.stage == Stage::Idle {
            let due_ns = lane.due_ns(&self.limits.batch);
            if due_ns <= now_ns {
                self.ready.push_back(bucket);
            } else {
                self.timers.push(Reverse((due_ns, bucket)));
            }
        }
    }

    /// What a lane has to ask now, if anything.
    fn step(&mut self, bucket: u32, now: Now) -> Option<Request> {
        let (now_ns, limits) = (now.monotonic_ns, self.limits.batch);
        let is_announced = self.announcement == Announcement::Made || !self.old.is_empty();
        let lanes = if self.old.is_empty() { &mut self.lanes } else { &mut self.old };
        let lane = lanes.get_mut(bucket as usize)?;
        match std::mem::take(&mut lane.stage) {
            Stage::Idle if lane.has_ticks() && is_announced => {
                let due_ns = lane.due_ns(&limits);
                if due_ns > now_ns {
                    self.timers.push(Reverse((due_ns, bucket)));
                    return None;
                }
                let Some(expected) = lane.newest else {
                    lane.stage = Stage::Asking;
                    return Some(Request::Tail { bucket });
                };
                let sent = self.take_batch(bucket, expected, now)?;
                Some(self.send(bucket, sent))
            }
            Stage::Send(sent) => Some(self.send(bucket, sent)),
            Stage::Doubt(sent, at_ns) if at_ns <= now_ns => {
                lane.stage = Stage::Probing(sent);
                Some(Request::Tail { bucket })
            }
            Stage::Contested { sent, newest, beat } if self.throne.has_confirmed(beat) => {
                // It is ours: what was there is a straggler's, or the log began anew.
                Some(self.send(bucket, Sent { expected: newest, ..sent }))
            }
            other => {
                lane.stage = other;
                None
            }
        }
    }

    fn take_batch(&mut self, bucket: u32, expected: Offset, now: Now) -> Option<Sent> {
        self.replace_books(bucket, now);
        let (writer, epoch, limits) = (self.writer, self.epoch, self.limits.batch);
        let lane = self.current_mut().get_mut(bucket as usize)?;
        let (number, ticks) = lane.take_batch(&limits);
        let batch = Batch { writer, number, epoch, sent_ns: now.realtime_ns, ticks };
        let payload = batch.encode();
        (!batch.ticks.is_empty()).then_some(Sent { number, expected, payload, ticks: batch.ticks })
    }

    fn send(&mut self, bucket: u32, sent: Sent) -> Request {
        let request =
            Request::Append { bucket, expected: sent.expected, payload: sent.payload.clone() };
        self.current_mut()[bucket as usize].stage = Stage::Sending(sent);
        request
    }

    fn may_renew(&self) -> bool {
        self.announcement == Announcement::Made && self.old.is_empty()
    }

    fn renew(&mut self, now_ns: u64) -> Option<Request> {
        if !self.may_renew() {
            return None;
        }
        let instrument = self.renewal.next_due(now_ns, self.counters.appended_bytes)?;
        let bucket = self.bucket_of(instrument)?;
        // Where the log's end is not known, its beginning is before whatever the image has.
        let offset = self.lanes[bucket as usize].newest.unwrap_or(Offset::START);
        let Some(image) = self.logged.image(instrument) else {
            self.renewal.handle_put(instrument, true, (now_ns, self.counters.appended_bytes));
            return None;
        };
        let words = InstrumentImage::words(image.last.len(), image.bids.len() + image.asks.len());
        self.image_bytes[instrument as usize] = number(8 * words);
        Some(Request::PutImage(Box::new(StoredImage { offset, image })))
    }
}

/// The instruments that the writer's owner numbers.
fn feeds(catalog: &Catalog) -> &[Instrument] {
    let all = catalog.instruments();
    let end = all.partition_point(|each| catalog.writer_of(each.id) == WriterKind::Feed);
    &all[..end]
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("instruments and buckets are counted in u32")
}
