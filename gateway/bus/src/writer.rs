//! The writer: a feed's ticks into the logs of a bus, with the catalog and the images beside them.
//!
//! A thin shell around the `outbox`, which decides everything: it asks the bus what the outbox wants to
//! know and hands back the answers. There is one writer for each stream; a second one is refused while the
//! first lives, and the first ends when a second has taken its place (`throne`). What it is not: a
//! sequencer (its ticks come numbered), or a reader of the ring ([`crate::Bridge`]).
//!
//! # What it guarantees
//! Every tick is appended once and in order, however often the connection breaks or answers are lost, as
//! long as no more than [`WriterOptions::held_bytes`] wait for the bus and the bus keeps what it has
//! acknowledged. What is dropped beyond that is counted, and numbers jump. A bus that loses its memory is
//! noticed at the next beat; catalog and images are stored again.

mod counters;
mod lane;
mod ledger;
mod options;
pub mod outbox;
mod renewal;
mod throne;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio::time;
use wire::{InstrumentImage, Tick};

use crate::backend::{AppendError, Backend, BusError, ConnectOptions, keys};
use crate::batch::Batch;
use crate::catalog::{Catalog, CatalogError};
use crate::entry::Entry;
use crate::inbox::{Inbox, Signal, inbox};
use crate::url::BusUrl;
use outbox::{Answer, Limits, Now, Outbox, Request};
use throne::{Deposed, Mark};

pub use counters::WriterCounters;
pub use options::WriterOptions;
pub use throne::THRONE_BUCKET;

/// How long to wait before asking again for a place that could not be made.
const ESTABLISH_AGAIN: Duration = Duration::from_millis(200);

/// Why a writer cannot write, or not any longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriterError {
    /// There was no connection in the time given.
    #[error("{url}: no connection within {} s: {reason}", within.as_secs_f64())]
    Unreachable {
        /// Where to.
        url: String,
        /// How long it was tried.
        within: Duration,
        /// What the last attempt failed with.
        reason: String,
    },
    /// The bus answered that it will not.
    #[error("{url}: {}", chain(error))]
    Refused {
        /// Which bus.
        url: String,
        /// What it refused.
        error: Box<BusError>,
    },
    /// The bus has no place for logs and values, and does not make one.
    #[error("{url}: the bus keeps no streams; at NATS, JetStream must be enabled")]
    NoStore {
        /// Which bus.
        url: String,
    },
    /// Another writer lives.
    #[error(
        "{url}: another feed is writing this stream (writer {writer:016x}); each needs its own prefix"
    )]
    Occupied {
        /// Which stream.
        url: String,
        /// The other writer.
        writer: u64,
    },
    /// Another writer has taken over.
    #[error("{url}: another feed has taken over this stream (writer {writer:016x})")]
    Succeeded {
        /// Which stream.
        url: String,
        /// The other writer.
        writer: u64,
    },
    /// The bus did not take everything in the time given.
    #[error("{url}: {ticks} ticks were not acknowledged in time")]
    Unflushed {
        /// Which bus.
        url: String,
        /// How many ticks may be lost.
        ticks: usize,
    },
}

/// Writes one stream. See the module.
#[derive(Debug)]
pub struct Writer<B> {
    url: BusUrl,
    options: WriterOptions,
    backend: B,
    inbox: Inbox,
    outbox: Outbox,
    running: JoinSet<Done>,
    is_establishing: bool,
    started: Instant,
    trouble: Option<String>,
}

/// What became of a request.
#[derive(Debug)]
enum Done {
    Answered(Answer),
    /// With what went wrong.
    Failed(Answer, BusError),
    Told,
    Established(Result<(), BusError>),
}

impl<B: Backend> Writer<B> {
    /// Connects, makes the place for logs and values, and takes the throne. Waits for all of that, at most
    /// [`WriterOptions::connect_timeout`] for the connection; longer only if another writer has died without
    /// giving the throne up.
    ///
    /// # Errors
    /// If there is no connection, the bus refuses, or another writer lives.
    pub async fn open(url: &BusUrl, options: WriterOptions) -> Result<Self, WriterError> {
        // Only states come unasked; they need no room.
        let (sender, inbox) = inbox(0);
        let connect = ConnectOptions {
            name: options.name.clone(),
            request_timeout: options.request_timeout,
            inbox: sender,
        };
        let refused = |error| WriterError::Refused { url: url.to_string(), error: Box::new(error) };
        let backend = B::connect(url, connect).await.map_err(refused)?;
        let mut writer = Self {
            url: url.clone(),
            outbox: Outbox::new(rand::random::<u64>().max(1), limits(&options)),
            options,
            backend,
            inbox,
            running: JoinSet::new(),
            is_establishing: false,
            started: Instant::now(),
            trouble: None,
        };
        let within = writer.options.connect_timeout;
        match time::timeout(within, writer.establish()).await {
            Ok(established) => established?,
            Err(_) => {
                let reason = writer.trouble.unwrap_or_else(|| "no answer".to_owned());
                return Err(WriterError::Unreachable { url: url.to_string(), within, reason });
            }
        }
        while !writer.outbox.is_enthroned() {
            writer.turn().await?;
        }
        Ok(writer)
    }

    /// Begins an epoch: its catalog is stored once all ticks of the one before are appended.
    ///
    /// # Errors
    /// If the catalog cannot be stored, whatever the bus.
    pub fn begin_epoch(&mut self, catalog: Catalog) -> Result<(), CatalogError> {
        catalog.encode()?;
        let now = self.now();
        self.outbox.begin(Arc::new(catalog), now);
        Ok(())
    }

    /// Takes ticks of the epoch that was begun last: numbered, in order, whole depth groups. Never waits;
    /// see [`Writer::drive`].
    pub fn push(&mut self, ticks: &[Tick]) {
        let now_ns = self.now().monotonic_ns;
        self.outbox.push(ticks, now_ns);
    }

    /// Takes what an image has that is newer than the ticks pushed, after some were lost on their way here.
    pub fn push_image(&mut self, image: &InstrumentImage) {
        let now_ns = self.now().monotonic_ns;
        self.outbox.push_image(image, now_ns);
    }

    /// Writes, until it cannot any longer. May be dropped at any time, to push more.
    pub async fn drive(&mut self) -> WriterError {
        loop {
            if let Err(error) = self.turn().await {
                return error;
            }
        }
    }

    /// Waits until everything that was pushed is acknowledged.
    ///
    /// # Errors
    /// If another writer has taken over.
    pub async fn flush(&mut self) -> Result<(), WriterError> {
        while !self.outbox.is_empty() {
            self.turn().await?;
        }
        Ok(())
    }

    /// Appends what is held, renews all images, gives the throne up and closes the connection.
    ///
    /// # Errors
    /// If that takes longer than `within`, or another writer has taken over.
    pub async fn close(mut self, within: Duration) -> Result<WriterCounters, WriterError> {
        self.outbox.close();
        let done = time::timeout(within, async {
            while !self.outbox.is_closed() {
                self.turn().await?;
            }
            Ok(())
        });
        let result = match done.await {
            Ok(result) => result,
            // Whatever else was to be done, this is what it was for.
            Err(_) if self.outbox.held() == 0 => Ok(()),
            Err(_) => {
                let ticks = self.outbox.held();
                Err(WriterError::Unflushed { url: self.url.to_string(), ticks })
            }
        };
        // A bus that does not answer is not waited for.
        let _ = time::timeout(Duration::from_secs(1), self.backend.close()).await;
        result.map(|()| self.outbox.counters)
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> WriterCounters {
        self.outbox.counters
    }

    /// Ticks that were pushed and are not acknowledged.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.outbox.held()
    }

    /// How many ticks may be held before some are dropped.
    #[must_use]
    pub fn held_max(&self) -> usize {
        self.outbox.held_max()
    }

    /// What went wrong last, if nothing has gone well since.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Waits for the connection and makes the place for logs and values.
    async fn establish(&mut self) -> Result<(), WriterError> {
        loop {
            match self.inbox.next().await {
                Signal::Connected => break,
                Signal::Disconnected(reason) => self.trouble = Some(reason),
                _ => {}
            }
        }
        loop {
            match self.backend.establish(&self.options.store).await {
                Ok(()) => break,
                Err(error @ (BusError::Unreachable(_) | BusError::TimedOut)) => {
                    self.trouble = Some(chain(&error));
                    time::sleep(ESTABLISH_AGAIN).await;
                }
                // Asked to make it: what is missing is the means.
                Err(BusError::Missing) => {
                    return Err(WriterError::NoStore { url: self.url.to_string() });
                }
                Err(error) => {
                    return Err(WriterError::Refused {
                        url: self.url.to_string(),
                        error: Box::new(error),
                    });
                }
            }
        }
        self.trouble = None;
        self.outbox.set_connected(true);
        Ok(())
    }

    /// Asks what there is to ask, and waits for something to happen.
    async fn turn(&mut self) -> Result<(), WriterError> {
        let now = self.now();
        while let Some(request) = self.outbox.poll(now) {
            self.running.spawn(perform(self.backend.clone(), request));
        }
        let wake_at = self
            .outbox
            .wake_at_ns()
            .map(|at_ns| time::Instant::from_std(self.started + Duration::from_nanos(at_ns)));
        tokio::select! {
            Some(done) = self.running.join_next() => {
                self.handle_joined(done)?;
                while let Some(done) = self.running.try_join_next() {
                    self.handle_joined(done)?;
                }
            }
            signal = self.inbox.next() => self.handle_signal(signal),
            () = time::sleep_until(wake_at.unwrap_or_else(time::Instant::now)), if wake_at.is_some() => {}
        }
        Ok(())
    }

    fn handle_joined(
        &mut self,
        done: Result<Done, tokio::task::JoinError>,
    ) -> Result<(), WriterError> {
        match done {
            Ok(Done::Answered(answer)) => {
                self.trouble = None;
                self.handle_answer(answer)
            }
            Ok(Done::Failed(answer, error)) => {
                if matches!(error, BusError::Missing) {
                    self.establish_again();
                }
                self.trouble = Some(chain(&error));
                self.handle_answer(answer)
            }
            Ok(Done::Established(result)) => {
                self.is_establishing = false;
                if let Err(error) = result {
                    self.trouble = Some(chain(&error));
                }
                Ok(())
            }
            Ok(Done::Told) => Ok(()),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn handle_answer(&mut self, answer: Answer) -> Result<(), WriterError> {
        let now_ns = self.now().monotonic_ns;
        self.outbox.handle(answer, now_ns).map_err(|deposed| {
            let url = self.url.to_string();
            match deposed {
                Deposed::Occupied { writer } => WriterError::Occupied { url, writer },
                Deposed::Succeeded { writer } => WriterError::Succeeded { url, writer },
            }
        })
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Connected => {
                self.trouble = None;
                self.outbox.set_connected(true);
            }
            Signal::Disconnected(reason) => {
                self.trouble = Some(reason);
                self.outbox.set_connected(false);
            }
            // What this writer and others tell readers.
            _ => {}
        }
    }

    /// The place for logs and values is gone: a bus without a disk was started again.
    fn establish_again(&mut self) {
        if self.is_establishing {
            return;
        }
        self.is_establishing = true;
        let (backend, store) = (self.backend.clone(), self.options.store);
        self.running.spawn(async move { Done::Established(backend.establish(&store).await) });
    }

    fn now(&self) -> Now {
        let realtime = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic_ns: ns(self.started.elapsed()), realtime_ns: ns(realtime) }
    }
}

fn limits(options: &WriterOptions) -> Limits {
    Limits {
        batch: lane::BatchLimits {
            bytes: options.batch_bytes,
            ticks: options.batch_ticks.max(1),
            age_ns: ns(options.batch_age),
        },
        held: options.held_bytes / size_of::<Tick>(),
        beat_ns: ns(options.beat),
        image_age_ns: ns(options.store.max_age / options.image_part.max(2)),
        image_bytes: options.store.max_bytes / u64::from(options.image_part.max(2)),
        bucket_image_bytes: options.bucket_image_bytes,
    }
}

async fn perform<B: Backend>(backend: B, request: Request) -> Done {
    match request {
        Request::Tail { bucket } => match backend.tail(bucket).await {
            Ok(tail) => Done::Answered(Answer::Tail { bucket, tail: tail.as_ref().map(mark) }),
            Err(error) => Done::Failed(Answer::Doubt { bucket }, error),
        },
        Request::Append { bucket, expected, payload } => {
            match backend.append(bucket, expected, payload).await {
                Ok(offset) => Done::Answered(Answer::Appended { bucket, offset }),
                Err(AppendError::Conflict { actual }) => {
                    Done::Answered(Answer::Conflict { bucket, actual })
                }
                Err(AppendError::Unknown(error) | AppendError::Refused(error)) => {
                    Done::Failed(Answer::Doubt { bucket }, error)
                }
            }
        }
        Request::PutCatalog(catalog) => {
            let encoded = catalog.encode().expect("checked when the epoch began");
            put(backend, keys::CATALOG, encoded, |is_stored| Answer::CatalogPut { is_stored }).await
        }
        Request::PutImage(stored) => {
            let instrument = stored.image.definition.id;
            let answer = |is_stored| Answer::ImagePut { instrument, is_stored };
            put(backend, &keys::image(instrument), stored.encode(), answer).await
        }
        Request::Pulse(payload) => {
            // Readers get the next one.
            let _ = backend.pulse(payload).await;
            Done::Told
        }
    }
}

async fn put<B: Backend>(
    backend: B,
    key: &str,
    value: bytes::Bytes,
    answer: impl Fn(bool) -> Answer,
) -> Done {
    match backend.put_value(key, value).await {
        Ok(()) => Done::Answered(answer(true)),
        Err(error) => Done::Failed(answer(false), error),
    }
}

/// Who appended an entry. One that is no batch is nobody's this writer knows.
fn mark(entry: &Entry) -> Mark {
    let (writer, number) = Batch::decode_origin(&entry.payload).unwrap_or((u64::MAX, 0));
    Mark { offset: entry.offset, writer, number }
}

/// An error with its causes: what client libraries say stands in them.
fn chain(error: &BusError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
