//! An upstream: another gateway as the source, so that gateways form a tree.
//!
//! This gateway is a client of that one. What comes goes through a ring on the heap with the epoch, the
//! numbers and the times it has, derived channels too, so that clients get here what they would get
//! there, byte for byte; only partial books are made here, of the same books. A gap that is announced
//! to us is a hole in the numbers, which our hubs announce again.
//!
//! Only what our clients are subscribed to is asked for. An instrument is detached until its state and
//! those of its past trades that the upstream still has are here. When the connection is lost, each
//! topic is resumed behind its last number.

mod fetching;
mod session;
mod stream;
mod ticks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Backoff, Client, Event, Options, Position, Reconnect};
use tokio::time::{Instant, sleep, timeout};
use wire::FeedState;

use crate::clock::realtime_ns;
use crate::config::{Config, UpstreamUrl};
use crate::fleet::Fleet;
use crate::runtime::woken_by_shards;
use crate::shard::InterestTable;
use crate::source::status::FeedStatus;
use crate::source::watch::Watch;
use crate::source::{Run, SourceError};
use stream::Stream;

/// How often the source looks at the time: for the ring's heartbeat, for the silence of a lost
/// connection, for instruments to let go, and for its own end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Bounds of the pauses between attempts to connect.
const RETRY: Reconnect = Reconnect::WithBackoff {
    min: Duration::from_millis(50),
    max: Duration::from_secs(2),
    attempts: None,
};

/// A connection that lasted this long was a good one: the next outage begins with short pauses.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// How long a connect may take, and an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Two lists of instruments that agree, this far apart, are complete: a feed defines all at once.
const LIST_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The source that is a client of the gateway at this address.
pub(super) fn open(
    url: &UpstreamUrl,
    config: &Config,
    status: Arc<FeedStatus>,
) -> Result<Run, SourceError> {
    let options = options(config)?;
    let runtime = woken_by_shards().map_err(SourceError::Thread)?;
    let (url, config) = (url.clone(), config.clone());
    Ok(Box::new(move |fleet, stop| {
        let mut edge = Edge::new(url, config, options, fleet, status);
        runtime.block_on(async {
            tokio::select! {
                () = edge.run() => {}
                () = told(stop) => {}
            }
        });
        if let Some(stream) = edge.stream {
            stream.close();
        }
        runtime.shutdown_timeout(LOOK_EVERY);
    }))
}

/// How connections to upstreams are made.
pub(super) fn options(config: &Config) -> Result<Options, SourceError> {
    let mut options = Options::new()
        .reconnect(Reconnect::Never)
        .connect_timeout(PATIENCE)
        .command_timeout(PATIENCE);
    if let Some(path) = &config.source_ca {
        options = options.root_pem_file(path)?;
    }
    if let Some(path) = &config.source_token_file {
        options = options.token_file(path)?;
    }
    Ok(options)
}

/// Waits until the source is told to stop.
pub(super) async fn told(stop: &AtomicBool) {
    // Relaxed: the flag is all that is told.
    while !stop.load(Ordering::Relaxed) {
        sleep(LOOK_EVERY).await;
    }
}

/// Why a connection is not served any more.
#[derive(Debug)]
enum End {
    /// It is lost, or cannot be made; in words for people.
    Lost(String),
    /// The upstream is in another epoch.
    Epoch,
}

struct Edge {
    url: UpstreamUrl,
    config: Config,
    options: Options,
    fleet: Arc<Fleet>,
    watch: Watch,
    table: Arc<InterestTable>,
    /// `None` before the upstream has said what there is.
    stream: Option<Stream>,
    /// What came last of each topic.
    position: Position,
}

impl Edge {
    fn new(
        url: UpstreamUrl,
        config: Config,
        options: Options,
        fleet: Arc<Fleet>,
        status: Arc<FeedStatus>,
    ) -> Self {
        let instruments_max = usize::try_from(config.instruments_max).unwrap_or(usize::MAX);
        let table = Arc::new(InterestTable::new(instruments_max));
        fleet.watch_interest(&table);
        let silent_after = config.feed_silent_after;
        let watch = Watch::new(&url, Arc::clone(&fleet), status, silent_after);
        Self {
            url,
            config,
            options,
            fleet,
            watch,
            table,
            stream: None,
            position: Position::default(),
        }
    }

    async fn run(&mut self) {
        let mut backoff = Backoff::new(RETRY);
        loop {
            let begun = Instant::now();
            let reason = match self.connection().await {
                End::Lost(reason) => reason,
                End::Epoch => {
                    tracing::info!(upstream = %self.url, "the upstream is in another epoch");
                    continue;
                }
            };
            self.watch.lost(reason);
            if begun.elapsed() >= GOOD_AFTER {
                backoff.reset();
            }
            let pause = backoff.pause().unwrap_or(LOOK_EVERY);
            self.meanwhile(sleep(pause)).await;
        }
    }

    /// One connection, from the attempt to its end.
    async fn connection(&mut self) -> End {
        let (url, options) = (self.url.stream(), self.options.clone());
        let mut client = match self.meanwhile(Client::connect(&url, options)).await {
            Ok(client) => client,
            Err(error) => return End::Lost(error.to_string()),
        };
        let epoch = match self.epoch(&mut client).await {
            Ok(epoch) => epoch,
            Err(end) => return end,
        };
        if self.stream.as_ref().is_none_or(|stream| stream.epoch() != epoch)
            && let Err(end) = self.begin(epoch).await
        {
            return end;
        }
        self.watch.connected();
        self.serve(&mut client).await
    }

    /// The upstream's epoch, as soon as it has one.
    async fn epoch(&mut self, client: &mut Client) -> Result<u64, End> {
        loop {
            match self.meanwhile(client.next()).await {
                Ok(Event::Connected(connected)) if connected.epoch != 0 => {
                    return Ok(connected.epoch);
                }
                Ok(Event::FeedStatus { epoch, .. }) if epoch != 0 => return Ok(epoch),
                Ok(_) => {}
                Err(ended) => return Err(End::Lost(ended.to_string())),
            }
        }
    }

    /// Begins the upstream's epoch: in the ring there is, if that has room for its instruments.
    async fn begin(&mut self, epoch: u64) -> Result<(), End> {
        let (url, options) = (self.url.stream(), self.options.clone());
        let mut known = None;
        let catalog = loop {
            let listed = self.meanwhile(client::catalog(&url, &options)).await;
            let listed = listed.map_err(|error| End::Lost(error.to_string()))?;
            if listed.epoch != epoch {
                return Err(End::Epoch);
            }
            if known.as_ref() == Some(&listed) {
                break listed;
            }
            known = Some(listed);
            self.meanwhile(sleep(LIST_AGAIN_AFTER)).await;
        };
        let is_restart = self.stream.is_some();
        let (old, count) = (self.stream.take(), catalog.instruments.len());
        let begun = Stream::begin(old, catalog, &self.config, &self.fleet);
        let stream = begun.map_err(|error| End::Lost(error.to_string()))?;
        let state = if is_restart { FeedState::Restarted } else { FeedState::Live };
        self.watch.begun(stream.ring(), count, state);
        self.position = Position::new(epoch, []);
        self.stream = Some(stream);
        Ok(())
    }

    /// Waits for something, looking at the time meanwhile.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            match timeout(LOOK_EVERY, &mut future).await {
                Ok(output) => return output,
                Err(_) => self.look_at_time(),
            }
        }
    }

    fn look_at_time(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.heartbeat(realtime_ns());
        }
        self.watch.look();
    }
}
