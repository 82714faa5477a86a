//! The reader: a bus's stream for one node. Asks the bus what the [`Assembly`] wants to know and gives its
//! events out.
//!
//! A thin shell: requests and their repetition are here, what they mean is not. It has no task of its
//! own beside the backend's; everything happens in [`Reader::next`]. While the caller does not ask for the
//! next event, live entries collect in the inbox up to its bound; what it drops is read from the log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::agenda::{Agenda, Answer, Due};
use crate::assembly::{Assembly, Counters, Request};
use crate::backend::{Backend, BusError, ConnectOptions, keys};
use crate::event::Event;
use crate::inbox::{Inbox, Signal, inbox};
use crate::limits::{REQUEST_TIMEOUT, SLICE_BYTES};
use crate::url::BusUrl;

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
    agenda: Agenda,
    inbox: Inbox,
    history: Duration,
    /// Not given up when the connection is lost: it is made again with what was subscribed.
    subscribing: FuturesUnordered<BoxFuture<'static, Done>>,
    asking: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// A request that came to its end.
struct Done {
    due: Due,
    outcome: Result<Answer, BusError>,
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
            agenda: Agenda::default(),
            inbox,
            history,
            subscribing: FuturesUnordered::new(),
            asking: FuturesUnordered::new(),
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
            while let Some(due) = self.agenda.next(&mut self.assembly) {
                self.begin(due);
            }
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
            failures: self.agenda.failures(),
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
        if matches!(signal, Signal::Connected | Signal::Disconnected(_)) {
            self.forget();
        }
        self.assembly.hear(signal);
    }

    fn forget(&mut self) {
        self.asking.clear();
        self.agenda.forget();
    }

    fn begin(&mut self, due: Due) {
        let (backend, history) = (self.backend.clone(), self.history);
        let order = matches!(due.request, Request::Subscribe(_) | Request::Unsubscribe(_));
        let future = async move {
            if !due.pause.is_zero() {
                tokio::time::sleep(due.pause).await;
            }
            let outcome = ask(&backend, &due.request, history).await;
            Done { due, outcome }
        };
        if order { &mut self.subscribing } else { &mut self.asking }.push(Box::pin(future));
    }

    fn finish(&mut self, done: Done) {
        let Done { due, outcome } = done;
        match outcome {
            Ok(answer) => self.agenda.answer(&mut self.assembly, due.request, answer),
            Err(error) => {
                if let Some(due) = self.agenda.fail(&self.assembly, due, rand::random()) {
                    tracing::debug!(request = ?due.request, attempt = due.attempt, %error, "asking the bus again");
                    self.begin(due);
                }
            }
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
