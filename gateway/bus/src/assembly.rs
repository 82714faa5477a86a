//! The reader's core: makes one stream per bucket of what comes live and what is read from the log.
//!
//! A state machine without I/O, time or randomness. `handle`-like methods take what happened, and
//! [`Assembly::poll_request`] and [`Assembly::poll_event`] give what is to be asked of the bus and what
//! the caller of the reader gets. [`crate::Reader`] is the thin shell around it; simulations are others.
//!
//! Invariants, for each wanted bucket:
//! - Entries are emitted in the log's order, each at most once, and none is left out without
//!   [`Event::Lost`] before what follows it.
//! - An image's book is emitted before the first depth group that it does not contain, and its last values
//!   after everything they contain: so numbers alone decide what of an image counts.
//! - At most one request of each kind is open; answers to a question that does not stand any more are told
//!   by their ticket and ignored.
//! - What is held of live entries while the log is read is bounded; what has no room is read from the log.

mod bucket;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::batch::Batch;
use crate::catalog::Catalog;
use crate::entry::{Entry, Offset, Slice};
use crate::event::Event;
use crate::inbox::Signal;
use crate::stored_image::StoredImage;
use bucket::{Bucket, Outputs};

/// Tells answers to a question that still stands from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What is to be asked of the bus. An answer may take as long as it does and come in any order; a request
/// that fails is made again until it is answered or [`Assembly::stands`] denies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Answer with [`Assembly::catalog`].
    Catalog,
    /// Needs no answer, but comes before every later request.
    Subscribe(u32),
    /// Needs no answer.
    Unsubscribe(u32),
    /// Images of these instruments, as far as there are any: [`Assembly::images`].
    Images {
        /// Whose they are.
        bucket: u32,
        /// To be given back.
        ticket: Ticket,
        /// Ids.
        instruments: Range<u32>,
    },
    /// After which offset history begins: [`Assembly::located`].
    Locate {
        /// Whose history.
        bucket: u32,
        /// To be given back.
        ticket: Ticket,
    },
    /// A piece of the log: [`Assembly::slice`].
    Read {
        /// Whose log.
        bucket: u32,
        /// To be given back.
        ticket: Ticket,
        /// Behind which offset.
        after: Offset,
    },
}

/// What an assembly has seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches emitted.
    pub batches: u64,
    /// Of them, read from the log.
    pub batches_replayed: u64,
    /// Ticks emitted.
    pub ticks: u64,
    /// Of them, read from the log.
    pub ticks_replayed: u64,
    /// Payload bytes of batches emitted.
    pub bytes: u64,
    /// Live entries that were known already from the log.
    pub repeats: u64,
    /// Times a live entry did not follow the one before, or was missed.
    pub holes: u64,
    /// Times the log did not have what was missed.
    pub lost: u64,
    /// Times a log had begun anew.
    pub resets: u64,
    /// Batches of another epoch than the catalog's, left out.
    pub foreign: u64,
    /// Batches, images and catalogs whose bytes are none.
    pub malformed: u64,
    /// Live entries that had no room while the log was read.
    pub crowded: u64,
    /// Times the connection was made.
    pub connections: u64,
    /// Live entries that had no room in the inbox. Counted by the shell.
    pub overflowed: u64,
    /// Requests that failed and were made again, or not. Counted by the shell.
    pub failures: u64,
}

/// Whether the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Up,
}

/// The core of a reader.
#[derive(Debug)]
pub struct Assembly {
    link: Link,
    catalog: Option<Arc<Catalog>>,
    buckets: BTreeMap<u32, Bucket>,
    /// The last epoch that was seen without its catalog, so that the catalog is asked for once.
    foreign_epoch: Option<u64>,
    outputs: Outputs,
}

impl Assembly {
    /// An assembly that knows nothing yet and may hold live entries of so many bytes.
    #[must_use]
    pub fn new(held_bytes_max: usize) -> Self {
        Self {
            link: Link::Down,
            catalog: None,
            buckets: BTreeMap::new(),
            foreign_epoch: None,
            outputs: Outputs::new(held_bytes_max),
        }
    }

    /// What to ask next.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.outputs.requests.pop_front()
    }

    /// What to tell next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.outputs.events.pop_front()
    }

    /// Whether anything is to be told: no more should be asked then.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.outputs.events.is_empty()
    }

    /// Whether an answer to this request would still be used.
    #[must_use]
    pub fn stands(&self, request: &Request) -> bool {
        match request {
            Request::Catalog => self.link == Link::Up,
            Request::Subscribe(bucket) => self.buckets.contains_key(bucket),
            Request::Unsubscribe(bucket) => !self.buckets.contains_key(bucket),
            Request::Images { bucket, ticket, .. }
            | Request::Locate { bucket, ticket }
            | Request::Read { bucket, ticket, .. } => {
                self.buckets.get(bucket).is_some_and(|bucket| bucket.awaits(*ticket))
            }
        }
    }

    /// What was seen so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.outputs.counters
    }

    /// How many buckets are wanted, and how many of them are not attached.
    #[must_use]
    pub fn wanted(&self) -> (usize, usize) {
        let behind = self.buckets.values().filter(|bucket| !bucket.is_live()).count();
        (self.buckets.len(), behind)
    }

    /// The catalog, if there is one.
    #[must_use]
    pub const fn current_catalog(&self) -> Option<&Arc<Catalog>> {
        self.catalog.as_ref()
    }

    /// The caller wants this bucket. One that the catalog does not have is never attached.
    pub fn want(&mut self, bucket: u32) {
        let Some(catalog) = &self.catalog else { return };
        let instruments = catalog.instruments_of(bucket);
        if instruments.is_empty() || self.buckets.contains_key(&bucket) {
            return;
        }
        self.outputs.requests.push_back(Request::Subscribe(bucket));
        let mut state = Bucket::new(bucket, catalog.epoch(), instruments);
        if self.link == Link::Up {
            state.connect(&mut self.outputs);
        }
        self.buckets.insert(bucket, state);
    }

    /// The caller does not want this bucket any more.
    pub fn leave(&mut self, bucket: u32) {
        if let Some(state) = self.buckets.remove(&bucket) {
            state.detach(&mut self.outputs);
        }
    }

    /// Something came unasked.
    pub fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::Connected => self.connected(),
            Signal::Disconnected(reason) => self.disconnected(reason),
            Signal::CatalogChanged => self.catalog_changed(),
            Signal::Pulse(payload) => self.pulse(&payload),
            Signal::Missed(bucket) => self.missed(bucket),
            Signal::Entry(bucket, entry) => self.live(bucket, entry),
        }
    }

    /// The connection stands: the first one, or another. May be told without a loss before.
    pub fn connected(&mut self) {
        if self.link == Link::Up {
            self.disconnect();
        }
        self.link = Link::Up;
        self.outputs.counters.connections += 1;
        self.outputs.events.push_back(Event::Connected);
        self.outputs.requests.push_back(Request::Catalog);
        for bucket in self.buckets.values_mut() {
            bucket.connect(&mut self.outputs);
        }
    }

    /// The connection is gone, or could not be made.
    pub fn disconnected(&mut self, reason: String) {
        self.disconnect();
        self.outputs.events.push_back(Event::Disconnected(reason));
    }

    fn disconnect(&mut self) {
        self.link = Link::Down;
        for bucket in self.buckets.values_mut() {
            bucket.disconnect();
        }
    }

    /// The catalog was stored anew.
    pub fn catalog_changed(&mut self) {
        if self.link == Link::Up {
            self.outputs.requests.push_back(Request::Catalog);
        }
    }

    /// The answer to [`Request::Catalog`]: its bytes, if there is one.
    pub fn catalog(&mut self, bytes: Option<&[u8]>) {
        let catalog = match bytes.map(Catalog::decode) {
            Some(Ok(catalog)) => catalog,
            Some(Err(_)) => {
                self.outputs.counters.malformed += 1;
                return;
            }
            None => return,
        };
        if self.catalog.as_deref() == Some(&catalog) {
            return;
        }
        for (_, bucket) in std::mem::take(&mut self.buckets) {
            bucket.detach(&mut self.outputs);
        }
        self.foreign_epoch = None;
        let catalog = Arc::new(catalog);
        self.catalog = Some(Arc::clone(&catalog));
        self.outputs.events.push_back(Event::Catalog(catalog));
    }

    /// A writer lives.
    pub fn pulse(&mut self, payload: &[u8]) {
        let Ok(Batch { epoch, sent_ns, .. }) = Batch::decode(payload) else {
            self.outputs.counters.malformed += 1;
            return;
        };
        self.outputs.foreign_seen = Some(epoch);
        self.ask_for_foreign_epoch();
        self.outputs.events.push_back(Event::Pulse { epoch, sent_ns });
    }

    /// A live entry of a bucket.
    pub fn live(&mut self, bucket: u32, entry: Entry) {
        if let Some(state) = self.buckets.get_mut(&bucket) {
            state.live(entry, &mut self.outputs);
            self.ask_for_foreign_epoch();
        }
    }

    /// Live entries of this bucket were dropped on their way.
    pub fn missed(&mut self, bucket: u32) {
        if let Some(state) = self.buckets.get_mut(&bucket) {
            state.missed(&mut self.outputs);
        }
    }

    /// The answer to [`Request::Images`]: the bytes of those that exist.
    pub fn images(&mut self, bucket: u32, ticket: Ticket, values: &[Option<impl AsRef<[u8]>>]) {
        let Some(state) = self.buckets.get_mut(&bucket).filter(|b| b.awaits(ticket)) else {
            return;
        };
        let mut images = Vec::with_capacity(values.len());
        for value in values.iter().flatten() {
            match StoredImage::decode(value.as_ref()) {
                Ok(image) => images.push(image),
                Err(_) => self.outputs.counters.malformed += 1,
            }
        }
        state.images(images, &mut self.outputs);
        self.ask_for_foreign_epoch();
    }

    /// The answer to [`Request::Locate`].
    pub fn located(&mut self, bucket: u32, ticket: Ticket, offset: Offset) {
        if let Some(state) = self.buckets.get_mut(&bucket).filter(|b| b.awaits(ticket)) {
            state.located(offset, &mut self.outputs);
        }
    }

    /// The answer to [`Request::Read`].
    pub fn slice(&mut self, bucket: u32, ticket: Ticket, slice: &Slice) {
        if let Some(state) = self.buckets.get_mut(&bucket).filter(|b| b.awaits(ticket)) {
            state.slice(slice, &mut self.outputs);
            self.ask_for_foreign_epoch();
        }
    }

    /// Asks for the catalog if something of an epoch was seen that it does not know, once for each.
    fn ask_for_foreign_epoch(&mut self) {
        let Some(epoch) = self.outputs.foreign_seen.take() else { return };
        let known = self.catalog.as_ref().is_some_and(|catalog| catalog.epoch() == epoch);
        if !known && self.foreign_epoch != Some(epoch) {
            self.foreign_epoch = Some(epoch);
            self.catalog_changed();
        }
    }
}
