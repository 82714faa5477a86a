//! The publisher: ticks of instruments that clients write, numbered and appended from any node.
//!
//! Who publishes has no place of its own in the stream: any number of publishers may write to one topic at the
//! same time, and each gets numbers that are dense and unique, because the bus's logs take an append only from who
//! knows their end. Nothing is handed over when a publisher dies.
//!
//! One [`sequencer`] for each bucket decides; this asks the bus on their behalf, several buckets at a time, and keeps
//! the catalog. It is driven by [`Publisher::next`], in one task. It does not read the stream for subscribers: that is
//! the reader's.

pub mod sequencer;
#[cfg(test)]
mod simulation;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use wire::Tick;

use crate::backend::{AppendError, Backend, BusError, ConnectOptions, keys};
use crate::catalog::{Catalog, WriterKind};
use crate::entry::Slice;
use crate::inbox::{Inbox, Signal, inbox};
use crate::limits::{BACKOFF_MIN, CLIENTS_BATCHES_KEPT, PAYLOAD_BYTES_MAX, REQUEST_TIMEOUT};
use crate::stored_image::StoredImage;
use crate::url::BusUrl;

pub use sequencer::PublishError;
use sequencer::{Appended, Now, Request, Sequencer, Tally, Terms};

/// Ticks of one batch, 74 bytes each: at a round trip of a millisecond more than a node's clients send.
const BATCH_TICKS: usize = 2_048;

/// How often a batch is numbered again because somebody else was faster: at half a chance each time, never.
const ATTEMPTS_MAX: u32 = 64;

/// How long a tick may be missing from the images of its bucket while nothing more is appended.
const IMAGE_DELAY: Duration = Duration::from_secs(1);

/// How long after a failed request for the catalog it is asked for again.
const CATALOG_PAUSE: Duration = Duration::from_millis(250);

/// Bytes that the inbox may hold: no log is subscribed to.
const INBOX_BYTES: usize = 64 << 10;

/// How a publisher behaves.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// The connection's name in the bus's own lists.
    pub name: String,
    /// How long ticks wait for the bus before they are given up. Half of it again for what waits behind them.
    pub patience: Duration,
}

/// What a publisher has to say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Published {
    /// There is a catalog, or another one than before.
    Catalog(Arc<Catalog>),
    /// What became of the ticks that were given with this ticket: their numbers, in order, or why there is none.
    Settled {
        /// The caller's name for them.
        ticket: u64,
        /// One for each tick.
        numbers: Vec<Result<u64, PublishError>>,
    },
    /// The connection to the bus stands.
    Connected,
    /// It does not; it is made again.
    Disconnected(String),
}

/// What a publisher has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublisherCounters {
    /// Batches that the log has.
    pub batches: u64,
    /// Ticks in them.
    pub ticks: u64,
    /// Appends that came too late and were numbered again.
    pub conflicts: u64,
    /// Appends whose answer did not come.
    pub unknown: u64,
    /// Ticks that were given up.
    pub failed: u64,
    /// Images renewed.
    pub images: u64,
}

/// See the module's header.
#[derive(Debug)]
pub struct Publisher<B> {
    backend: B,
    inbox: Inbox,
    terms: Terms,
    writer: u64,
    started: Instant,
    catalog: Option<Arc<Catalog>>,
    catalog_due: Option<Instant>,
    is_catalog_asked: bool,
    /// Counts catalogs: answers to questions of an earlier one are dropped.
    generation: u64,
    buckets: HashMap<u32, Sequencer>,
    /// Publications that are not settled yet, by a number of ours.
    assemblies: HashMap<u64, Assembly>,
    last_assembly: u64,
    requests: JoinSet<Answered>,
    events: VecDeque<Published>,
    held_ticks: usize,
    counters: PublisherCounters,
}

/// The parts of one publication.
#[derive(Debug)]
struct Assembly {
    ticket: u64,
    /// Where in the publication the ticks of each bucket are, in their order.
    places: HashMap<u32, Vec<usize>>,
    numbers: Vec<Result<u64, PublishError>>,
}

/// An answer of the bus.
#[derive(Debug)]
enum Answered {
    Bucket { generation: u64, bucket: u32, answer: Answer },
    Catalog(Result<Option<Arc<Catalog>>, BusError>),
}

#[derive(Debug)]
enum Answer {
    Images(Result<Vec<StoredImage>, BusError>),
    Read(Result<Slice, BusError>),
    Appended(Appended),
    Stored(Result<(), BusError>),
}

impl<B: Backend> Publisher<B> {
    /// A publisher whose connection is being made.
    ///
    /// # Errors
    /// If the URL is of another kind of bus, or what it names cannot be used.
    pub async fn open(url: &BusUrl, options: PublisherOptions) -> Result<Self, BusError> {
        let (sender, inbox) = inbox(INBOX_BYTES);
        let connect = ConnectOptions {
            name: options.name.clone(),
            request_timeout: REQUEST_TIMEOUT.min(options.patience),
            inbox: sender,
        };
        let backend = B::connect(url, connect).await?;
        Ok(Self {
            backend,
            inbox,
            terms: Terms {
                batch_ticks: BATCH_TICKS,
                patience_ns: saturating_ns(options.patience),
                attempts_max: ATTEMPTS_MAX,
                // A quarter of what is promised, for others may append as much meanwhile.
                image_batches: CLIENTS_BATCHES_KEPT / 16,
                image_delay_ns: saturating_ns(IMAGE_DELAY),
                pause_ns: saturating_ns(BACKOFF_MIN),
            },
            // Tells this publisher's batches from all others, ever.
            writer: rand::random(),
            started: Instant::now(),
            catalog: None,
            catalog_due: None,
            is_catalog_asked: false,
            generation: 0,
            buckets: HashMap::new(),
            assemblies: HashMap::new(),
            last_assembly: 0,
            requests: JoinSet::new(),
            events: VecDeque::new(),
            held_ticks: 0,
            counters: PublisherCounters::default(),
        })
    }

    /// The catalog that the bus has, as far as is known.
    #[must_use]
    pub const fn catalog(&self) -> Option<&Arc<Catalog>> {
        self.catalog.as_ref()
    }

    /// Ticks that are not settled yet: the caller's measure of when to take no more.
    #[must_use]
    pub const fn held_ticks(&self) -> usize {
        self.held_ticks
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> PublisherCounters {
        self.counters
    }

    /// Publishes ticks without numbers, in this order for each topic. [`Published::Settled`] answers, also if
    /// there is no such instrument for clients in this epoch ([`PublishError::NoEpoch`]).
    pub fn publish(&mut self, ticket: u64, epoch: u64, ticks: Vec<Tick>) {
        let count = ticks.len();
        self.held_ticks += count;
        let mut parts: HashMap<u32, (Vec<usize>, Vec<Tick>)> = HashMap::new();
        if let Some(catalog) = self.catalog.as_ref().filter(|catalog| catalog.epoch() == epoch) {
            for (place, tick) in ticks.into_iter().enumerate() {
                let is_listed = usize::try_from(tick.instrument)
                    .is_ok_and(|id| id < catalog.instruments().len());
                if is_listed && catalog.writer_of(tick.instrument) == WriterKind::Clients {
                    let bucket = catalog.bucket_of(tick.instrument);
                    let part = parts.entry(bucket).or_default();
                    part.0.push(place);
                    part.1.push(tick);
                }
            }
        }
        self.last_assembly += 1;
        let number = self.last_assembly;
        let mut assembly = Assembly {
            ticket,
            places: HashMap::new(),
            numbers: vec![Err(PublishError::NoEpoch); count],
        };
        let now = self.now();
        for (bucket, (places, ticks)) in parts {
            assembly.places.insert(bucket, places);
            self.sequencer(bucket).offer(number, ticks, now);
        }
        let is_settled = assembly.places.is_empty();
        self.assemblies.insert(number, assembly);
        if is_settled {
            self.settle(number);
        }
    }

    /// The next thing to be known. To be awaited all the time: the work is done in here. May be dropped at any
    /// time without losing anything.
    pub async fn next(&mut self) -> Published {
        loop {
            self.turn();
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let deadline = tokio::time::Instant::from_std(self.deadline());
            tokio::select! {
                signal = self.inbox.next() => self.handle_signal(signal),
                Some(answered) = self.requests.join_next() => match answered {
                    Ok(answered) => self.handle(answered),
                    Err(error) => tracing::error!(%error, "a request to the bus panicked"),
                },
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    /// Asks whatever is to be asked now, and passes on what is settled.
    fn turn(&mut self) {
        let now = self.now();
        let mut requests = Vec::new();
        let mut settled = Vec::new();
        for (&bucket, sequencer) in &mut self.buckets {
            if let Some(request) = sequencer.poll(now) {
                requests.push((bucket, request));
            }
            while let Some((number, numbers)) = sequencer.settled() {
                settled.push((number, bucket, numbers));
            }
            add(&mut self.counters, sequencer.take_tally());
        }
        for (bucket, request) in requests {
            self.ask(bucket, request);
        }
        for (number, bucket, numbers) in settled {
            self.take_numbers(number, bucket, numbers);
        }
        if self.catalog_due.is_some_and(|due| due <= Instant::now()) && !self.is_catalog_asked {
            self.catalog_due = None;
            self.is_catalog_asked = true;
            let backend = self.backend.clone();
            self.requests.spawn(async move { Answered::Catalog(catalog(&backend).await) });
        }
    }

    fn ask(&mut self, bucket: u32, request: Request) {
        let (backend, generation) = (self.backend.clone(), self.generation);
        let instruments = self.sequencer(bucket).instruments();
        let names: Vec<String> = instruments.iter().map(|it| keys::image(it.id)).collect();
        self.requests.spawn(async move {
            let answer = match request {
                Request::Images => Answer::Images(images(&backend, &names).await),
                Request::Read { after } => {
                    Answer::Read(backend.read(bucket, after, PAYLOAD_BYTES_MAX).await)
                }
                Request::Append { expected, payload } => {
                    Answer::Appended(match backend.append(bucket, expected, payload).await {
                        Ok(offset) => Appended::At(offset),
                        Err(AppendError::Conflict { .. }) => Appended::Conflict,
                        Err(AppendError::Unknown(error)) => {
                            tracing::debug!(bucket, %error, "an append has no answer");
                            Appended::Unknown
                        }
                        Err(AppendError::Refused(error)) => {
                            tracing::debug!(bucket, %error, "an append is refused");
                            Appended::Refused
                        }
                    })
                }
                Request::Store { images } => {
                    let mut stored = Ok(());
                    for (instrument, bytes) in images {
                        stored = backend.put_value(&keys::image(instrument), bytes).await;
                        if stored.is_err() {
                            break;
                        }
                    }
                    Answer::Stored(stored)
                }
            };
            Answered::Bucket { generation, bucket, answer }
        });
    }

    fn handle(&mut self, answered: Answered) {
        let now = self.now();
        match answered {
            Answered::Catalog(found) => {
                self.is_catalog_asked = false;
                match found {
                    Ok(Some(catalog)) => self.use_catalog(catalog),
                    // The feed has not begun: the bus says when it does, and this asks in case it was missed.
                    Ok(None) => self.catalog_due = Some(Instant::now() + CATALOG_PAUSE * 4),
                    Err(error) => {
                        tracing::debug!(%error, "the catalog cannot be read");
                        self.catalog_due = Some(Instant::now() + CATALOG_PAUSE);
                    }
                }
            }
            Answered::Bucket { generation, bucket, answer } if generation == self.generation => {
                let Some(sequencer) = self.buckets.get_mut(&bucket) else { return };
                match answer {
                    Answer::Images(Ok(images)) => sequencer.handle_images(&images),
                    Answer::Read(Ok(slice)) => sequencer.handle_read(&slice, now),
                    Answer::Appended(appended) => sequencer.handle_appended(appended, now),
                    Answer::Stored(Ok(())) => sequencer.handle_stored(),
                    Answer::Images(Err(error))
                    | Answer::Read(Err(error))
                    | Answer::Stored(Err(error)) => {
                        tracing::debug!(bucket, %error, "the bus cannot be asked");
                        sequencer.handle_failed(now);
                    }
                }
            }
            Answered::Bucket { .. } => {}
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Connected => {
                self.catalog_due = Some(Instant::now());
                self.events.push_back(Published::Connected);
            }
            Signal::CatalogChanged => self.catalog_due = Some(Instant::now()),
            Signal::Disconnected(reason) => {
                self.events.push_back(Published::Disconnected(reason));
            }
            Signal::Pulse(_) | Signal::Missed(_) | Signal::Entry(..) => {}
        }
    }

    fn use_catalog(&mut self, catalog: Arc<Catalog>) {
        if self.catalog.as_ref().is_some_and(|known| **known == *catalog) {
            return;
        }
        self.generation += 1;
        for (bucket, mut sequencer) in std::mem::take(&mut self.buckets) {
            sequencer.end();
            while let Some((number, numbers)) = sequencer.settled() {
                self.take_numbers(number, bucket, numbers);
            }
        }
        self.catalog = Some(Arc::clone(&catalog));
        self.events.push_back(Published::Catalog(catalog));
    }

    /// The bucket's sequencer, which begins with its first ticks.
    fn sequencer(&mut self, bucket: u32) -> &mut Sequencer {
        let (terms, writer, catalog) = (self.terms, self.writer, &self.catalog);
        let first = self.generation << 40;
        self.buckets.entry(bucket).or_insert_with(|| {
            let (epoch, instruments) = catalog.as_ref().map_or((0, Vec::new()), |catalog| {
                let of = catalog.instruments().iter();
                let of = of.filter(|it| catalog.bucket_of(it.id) == bucket);
                (catalog.epoch(), of.copied().collect())
            });
            Sequencer::new(terms, writer, first, epoch, instruments)
        })
    }

    /// What became of a publication's ticks in one bucket.
    fn take_numbers(&mut self, number: u64, bucket: u32, numbers: Result<Vec<u64>, PublishError>) {
        let Some(assembly) = self.assemblies.get_mut(&number) else { return };
        let places = assembly.places.remove(&bucket).unwrap_or_default();
        match numbers {
            Ok(numbers) => {
                for (place, number) in places.into_iter().zip(numbers) {
                    assembly.numbers[place] = Ok(number);
                }
            }
            Err(error) => {
                for place in places {
                    assembly.numbers[place] = Err(error);
                }
            }
        }
        if assembly.places.is_empty() {
            self.settle(number);
        }
    }

    fn settle(&mut self, number: u64) {
        let Some(Assembly { ticket, numbers, .. }) = self.assemblies.remove(&number) else {
            return;
        };
        self.held_ticks -= numbers.len();
        self.counters.failed += numbers.iter().filter(|number| number.is_err()).count() as u64;
        self.events.push_back(Published::Settled { ticket, numbers });
    }

    fn now(&self) -> Now {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic_ns: saturating_ns(self.started.elapsed()),
            unix_ns: saturating_ns(since_1970),
        }
    }

    /// When there is something to do even if nothing happens.
    fn deadline(&self) -> Instant {
        let buckets = self.buckets.values().filter_map(Sequencer::deadline_ns);
        let buckets = buckets.min().map(|at_ns| self.started + Duration::from_nanos(at_ns));
        let catalog = self.catalog_due.filter(|_| !self.is_catalog_asked);
        let far = Instant::now() + Duration::from_hours(1);
        [buckets, catalog].into_iter().flatten().fold(far, Instant::min)
    }
}

async fn catalog<B: Backend>(backend: &B) -> Result<Option<Arc<Catalog>>, BusError> {
    let found = backend.values(&[keys::CATALOG.to_owned()]).await?;
    let Some(bytes) = found.into_iter().next().flatten() else { return Ok(None) };
    match Catalog::decode(&bytes) {
        Ok(catalog) => Ok(Some(Arc::new(catalog))),
        Err(error) => {
            tracing::warn!(%error, "the bus has a catalog that cannot be read");
            Ok(None)
        }
    }
}

async fn images<B: Backend>(backend: &B, names: &[String]) -> Result<Vec<StoredImage>, BusError> {
    let found = backend.values(names).await?;
    Ok(found.into_iter().flatten().filter_map(|bytes| StoredImage::decode(&bytes).ok()).collect())
}

fn add(counters: &mut PublisherCounters, tally: Tally) {
    counters.batches += tally.batches;
    counters.ticks += tally.ticks;
    counters.conflicts += tally.conflicts;
    counters.unknown += tally.unknown;
    counters.images += tally.images;
    if tally.foreign > 0 {
        tracing::warn!(entries = tally.foreign, "the log of a bucket has what is no batch");
    }
}

fn saturating_ns(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
