//! An upstream that speaks the protocol of Binance's spot market: their streams, or another Tickcast's.
//!
//! Trades, best bid and offer and depth are taken; bars, tickers and the rest are derived here, as of a
//! recording. Books are joined with snapshots of the REST interface by the documented rule, again after
//! each reconnect. Trades that did not come are known by the venue's ids and become a hole in the numbers,
//! which hubs announce. An epoch begins with the first list of symbols, and with each other one.

mod line;
mod listing;
mod stream;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use client::{Backoff, Options, Reconnect};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use wire::FeedState;

use crate::clock::realtime_ns;
use crate::config::{Config, ExchangeUrl};
use crate::fleet::Fleet;
use crate::runtime::woken_by_shards;
use crate::source::status::FeedStatus;
use crate::source::upstream;
use crate::source::watch::Watch;
use crate::source::{Run, SourceError};
use stream::Stream;

pub(crate) use line::{Incoming, Line, Request};

/// How often the source looks at the time.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Bounds of the pauses between attempts: the exchange bans who comes too often.
const RETRY: Reconnect = Reconnect::WithBackoff {
    min: Duration::from_millis(100),
    max: Duration::from_secs(10),
    attempts: None,
};

/// A connection that lasted this long was a good one: the next outage begins with short pauses.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// How long nothing may come before the connection counts as lost: servers ping every 20 s, which is not
/// seen here, so a quiet market is waited for.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// Between two requests for the same book.
const BOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The source that is a client of the upstream at this address.
pub(super) fn open(
    url: &ExchangeUrl,
    config: &Config,
    status: Arc<FeedStatus>,
) -> Result<Run, SourceError> {
    let options = upstream::options(config)?;
    let runtime = woken_by_shards().map_err(SourceError::Thread)?;
    let (url, config) = (url.clone(), config.clone());
    Ok(Box::new(move |fleet: Arc<Fleet>, stop: &AtomicBool| {
        let silent_after = config.feed_silent_after;
        let watch = Watch::new(&url, Arc::clone(&fleet), status, silent_after);
        let mut venue = Venue { url, config, options, fleet, watch, stream: None };
        runtime.block_on(async {
            tokio::select! {
                () = venue.run() => {}
                () = upstream::told(stop) => {}
            }
        });
        if let Some(stream) = venue.stream {
            stream.close();
        }
        runtime.shutdown_timeout(LOOK_EVERY);
    }))
}

struct Venue {
    url: ExchangeUrl,
    config: Config,
    options: Options,
    fleet: Arc<Fleet>,
    watch: Watch,
    /// `None` before the upstream has said what there is.
    stream: Option<Stream>,
}

impl Venue {
    async fn run(&mut self) {
        let mut backoff = Backoff::new(RETRY);
        loop {
            let begun = Instant::now();
            let reason = match self.connection().await {
                Ok(never) => match never {},
                Err(reason) => reason,
            };
            self.watch.lost(reason);
            if begun.elapsed() >= GOOD_AFTER {
                backoff.reset();
            }
            let pause = backoff.pause().unwrap_or(LOOK_EVERY);
            self.meanwhile(sleep(pause)).await;
        }
    }

    /// One connection, from the attempt to its end, of which it says why.
    async fn connection(&mut self) -> Result<std::convert::Infallible, String> {
        let rest = self.config.source_rest.clone().unwrap_or_else(|| self.url.rest());
        let url = format!("{rest}/api/v3/exchangeInfo");
        let options = self.options.clone();
        let listed = self.meanwhile(client::get(&url, &options)).await;
        let listed = listed.map_err(|error| format!("{url}: {error}"))?;
        let instruments = listing::instruments(&listed, &self.config.source_symbols)?;
        match &mut self.stream {
            Some(stream) if stream.has(&instruments) => stream.reconnected(),
            old => {
                let state = if old.is_some() { FeedState::Restarted } else { FeedState::Live };
                let count = instruments.len();
                let begun = Stream::begin(old.take(), instruments, &self.config, &self.fleet);
                let stream = old.insert(begun.map_err(|error| error.to_string())?);
                self.watch.begun(stream.ring(), count, state);
            }
        }
        let names = self.stream.as_ref().map(Stream::names).unwrap_or_default();
        let (line, incoming) = Line::open(&self.url.stream(), &rest, &options, names).await?;
        self.watch.connected();
        self.serve(&line, incoming).await
    }

    async fn serve(
        &mut self,
        line: &Line,
        mut incoming: mpsc::Receiver<Incoming>,
    ) -> Result<std::convert::Infallible, String> {
        let Some(stream) = &mut self.stream else { return Err("no symbols".to_owned()) };
        for (id, symbol) in stream.symbols() {
            line.ask(Request { id, symbol });
        }
        let mut quiet_since = Instant::now();
        loop {
            let Ok(arrived) = timeout(LOOK_EVERY, incoming.recv()).await else {
                stream.flush();
                stream.heartbeat(realtime_ns());
                self.watch.look();
                if quiet_since.elapsed() > SILENCE_MAX {
                    return Err("nothing comes any more".to_owned());
                }
                continue;
            };
            quiet_since = Instant::now();
            match arrived {
                Some(Incoming::Frame { received_ns, mut text }) => {
                    if let Some(wanted) = stream.take_frame(received_ns, &mut text) {
                        line.ask(wanted);
                    }
                }
                Some(Incoming::Snapshot { id, received_ns, mut text }) => {
                    stream.take_snapshot(id, received_ns, &mut text);
                }
                Some(Incoming::NoSnapshot { id, reason }) => {
                    tracing::debug!(id, reason, "no book from the upstream");
                    stream.has_no_snapshot(id);
                }
                Some(Incoming::Lost(reason)) => return Err(reason),
                None => return Err("the connection's task ended".to_owned()),
            }
        }
    }

    /// Waits for something, looking at the time meanwhile.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            match timeout(LOOK_EVERY, &mut future).await {
                Ok(output) => return output,
                Err(_) => {
                    if let Some(stream) = &mut self.stream {
                        stream.heartbeat(realtime_ns());
                    }
                    self.watch.look();
                }
            }
        }
    }
}
