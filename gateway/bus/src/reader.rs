//! The reader: a bus's stream for one node. Asks the bus what the [`Assembly`] wants to know and gives its
//! events out.
//!
//! A thin shell: requests and their repetition are here, what they mean is not. It has no task of its
//! own beside the backend's; everything happens in [`Reader::next`]. While the caller does not ask for the
//! next event, live entries collect in the inbox up to its bound; what it drops is read from the log.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::assembly::{Assembly, Counters, Request};
use crate::backend::{Backend, BusError, ConnectOptions, keys};
use crate::backoff::backoff;
use crate::entry::{Offset, Slice};
use crate::event::Event;
use crate::inbox::{Inbox, Signal, inbox};
use crate::limits::{REQUEST_TIMEOUT, REQUESTS_AT_ONCE, SLICE_BYTES};
use crate::url::BusUrl;

/// How long a bucket's log is left alone after it was read and had nothing, yet must be read again.
const PAUSE: Duration = Duration::from_millis(10);

/// What a reader may choose.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// The connection's name in the bus's own lists.
    pub name: String,
    /// How much of the past is read when a bucket begins to be wanted, as far as the bus keeps it.
    pub history: Duration,
    /// Bytes of live entries that may wait, once before the reader looks at them and once while the log is read.
    pub buffer_bytes: usize,
    /// When a request is made again.
    pub request_timeout: Duration,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            name: "tickcast".to_owned(),
            history: Duration::from_secs(30),
            buffer_bytes: 16 << 20,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// Reads what is wanted of a bus.
#[derive(Debug)]
pub struct Reader<B> {
    backend: B,
    assembly: Assembly,
    inbox: Inbox,
    history: Duration,
    /// Not yet begun, in order.
    queue: VecDeque<Request>,
    /// Subscribing: nothing else begins before it is done.
    subscribing: FuturesUnordered<BoxFuture<'static, Done>>,
    asking: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Buckets whose log had nothing when it was read last.
    empty: BTreeSet<u32>,
    failures: u64,
}

/// A request that came to its end.
struct Done {
    request: Request,
    attempt: usize,
    outcome: Result<Answer, BusError>,
}

enum Answer {
    Done,
    Catalog(Option<Bytes>),
    Images(Vec<Option<Bytes>>),
    Located(Offset),
    Slice(Slice),
}

/// What woke the reader.
enum Woken {
    Signal(Signal),
    Done(Done),
}

impl<B: Backend> Reader<B> {
    /// A reader whose connection is being made: [`Event::Connected`] says when it stands, and
    /// [`Event::Disconnected`] why it does not.
    ///
    /// # Errors
    /// If the URL is of another kind of bus, or what it names cannot be used.
    pub async fn open(url: &BusUrl, options: ReaderOptions) -> Result<Self, BusError> {
        let ReaderOptions { name, history, buffer_bytes, request_timeout } = options;
        let (sender, inbox) = inbox(buffer_bytes);
        let connect = ConnectOptions { name, request_timeout, inbox: sender };
        Ok(Self {
            backend: B::connect(url, connect).await?,
            assembly: Assembly::new(buffer_bytes),
            inbox,
            history,
            queue: VecDeque::new(),
            subscribing: FuturesUnordered::new(),
            asking: FuturesUnordered::new(),
            empty: BTreeSet::new(),
            failures: 0,
        })
    }

    /// Wants this bucket of the present catalog: its history, images and live entries follow as events.
    /// Without a catalog, or if it does not have the bucket, nothing happens.
    pub fn want(&mut self, bucket: u32) {
        self.assembly.want(bucket);
    }

    /// Does not want it any more.
    pub fn leave(&mut self, bucket: u32) {
        self.assembly.leave(bucket);
    }

    /// The next event; waits for one. May be dropped at any time without losing any.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.assembly.poll_event() {
                return event;
            }
            while let Some(request) = self.assembly.poll_request() {
                self.queue.push_back(request);
            }
            self.begin_requests();
            let woken = tokio::select! {
                signal = self.inbox.next() => Woken::Signal(signal),
                Some(done) = self.subscribing.next() => Woken::Done(done),
                Some(done) = self.asking.next() => Woken::Done(done),
            };
            match woken {
                Woken::Signal(signal) => self.hear(signal),
                Woken::Done(done) => self.finish(done),
            }
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            overflowed: self.inbox.dropped(),
            failures: self.failures,
            ..self.assembly.counters()
        }
    }

    /// How many buckets are wanted, and how many of them are not live.
    #[must_use]
    pub fn wanted(&self) -> (usize, usize) {
        self.assembly.wanted()
    }

    /// Bytes of live entries that wait for [`Reader::next`].
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.inbox.bytes()
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.backend.close().await;
    }

    fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::Connected => {
                // Answers on their way went with the connection; waiting for them would only cost time.
                self.asking.clear();
                self.assembly.connected();
            }
            Signal::Disconnected(reason) => {
                self.asking.clear();
                self.assembly.disconnected(reason);
            }
            Signal::CatalogChanged => self.assembly.catalog_changed(),
            Signal::Pulse(payload) => self.assembly.pulse(&payload),
            Signal::Missed(bucket) => self.assembly.missed(bucket),
            Signal::Entry(bucket, entry) => self.assembly.live(bucket, entry),
        }
    }

    fn begin_requests(&mut self) {
        while self.subscribing.is_empty() && self.asking.len() < REQUESTS_AT_ONCE {
            let Some(request) = self.queue.pop_front() else { return };
            if self.assembly.stands(&request) {
                let pause = match &request {
                    Request::Read { bucket, .. } if self.empty.remove(bucket) => PAUSE,
                    _ => Duration::ZERO,
                };
                self.begin(request, 1, pause);
            }
        }
    }

    fn begin(&mut self, request: Request, attempt: usize, pause: Duration) {
        let (backend, history) = (self.backend.clone(), self.history);
        let order = matches!(request, Request::Subscribe(_) | Request::Unsubscribe(_));
        let future = async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let outcome = ask(&backend, &request, history).await;
            Done { request, attempt, outcome }
        };
        if order { &mut self.subscribing } else { &mut self.asking }.push(Box::pin(future));
    }

    fn finish(&mut self, done: Done) {
        let Done { request, attempt, outcome } = done;
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => {
                self.failures += 1;
                if self.assembly.stands(&request) {
                    tracing::debug!(?request, attempt, %error, "asking the bus again");
                    let pause = backoff(attempt, rand::random());
                    self.begin(request, attempt + 1, pause);
                }
                return;
            }
        };
        match (request, answer) {
            (_, Answer::Done) => {}
            (_, Answer::Catalog(value)) => self.assembly.catalog(value.as_deref()),
            (Request::Images { bucket, ticket, .. }, Answer::Images(values)) => {
                self.assembly.images(bucket, ticket, &values);
            }
            (Request::Locate { bucket, ticket }, Answer::Located(offset)) => {
                self.assembly.located(bucket, ticket, offset);
            }
            (Request::Read { bucket, ticket, .. }, Answer::Slice(slice)) => {
                if slice.entries.is_empty() {
                    self.empty.insert(bucket);
                } else {
                    self.empty.remove(&bucket);
                }
                self.assembly.slice(bucket, ticket, &slice);
            }
            (request, _) => unreachable!("{request:?} was answered as another request"),
        }
    }
}

/// One attempt to get an answer.
async fn ask<B: Backend>(
    backend: &B,
    request: &Request,
    history: Duration,
) -> Result<Answer, BusError> {
    Ok(match request {
        Request::Catalog => {
            let mut values = backend.values(&[keys::CATALOG.to_owned()]).await?;
            Answer::Catalog(values.pop().flatten())
        }
        Request::Subscribe(bucket) => {
            backend.subscribe(*bucket).await?;
            Answer::Done
        }
        Request::Unsubscribe(bucket) => {
            backend.unsubscribe(*bucket).await?;
            Answer::Done
        }
        Request::Images { instruments, .. } => {
            let keys: Vec<String> = instruments.clone().map(keys::image).collect();
            Answer::Images(backend.values(&keys).await?)
        }
        Request::Locate { bucket, .. } => {
            Answer::Located(backend.locate(*bucket, before_now_ns(history)).await?)
        }
        Request::Read { bucket, after, .. } => {
            Answer::Slice(backend.read(*bucket, *after, SLICE_BYTES).await?)
        }
    })
}

/// The time so long ago, ns since the Unix epoch.
fn before_now_ns(history: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(history).as_nanos()).unwrap_or(u64::MAX)
}
