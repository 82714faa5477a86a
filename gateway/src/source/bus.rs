//! A bus: the stream of a feed elsewhere, of which this gateway takes what its clients want.
//!
//! Ticks go through a ring on the heap with the numbers they have. Between buckets the order is this
//! ring's own, so that places in it mean nothing to another gateway; numbers do.
//!
//! The bus may be away, have no catalog yet, or have nothing that writes: each is said to clients and
//! in the log, once, and none ends the gateway. What was missed meanwhile is the reader's to fetch.

mod holdings;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bus::{Backend, BusUrl, Catalog, Event, Nats, Reader, ReaderOptions, Redis};
use feed_sim::Feeder;
use ring::Ring;
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::{FeedState, Presence};

use crate::clock::{monotonic_ns, realtime_ns, saturating_ns};
use crate::config::{BusInterest, Config};
use crate::fleet::Fleet;
use crate::runtime::woken_by_shards;
use crate::shard::{InterestTable, Order};
use crate::source::status::{BusView, FeedStatus};
use crate::source::{Run, SourceError};
use holdings::{Holdings, Step};

/// How often the source looks at the time: for the feed's silence, for buckets to let go, and for its
/// own end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long the source waits for shards that are far behind. Beyond, they are lapped, as with any feed:
/// one shard that is stuck must not keep the others from their ticks.
const SHARDS_WAIT_MAX: Duration = Duration::from_millis(500);

/// How often shards that are far behind are asked where they are.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// The source that reads this bus.
pub(super) fn open(
    url: &BusUrl,
    config: &Config,
    status: Arc<FeedStatus>,
) -> Result<Run, SourceError> {
    let runtime = woken_by_shards().map_err(SourceError::Thread)?;
    let (url, config) = (url.clone(), config.clone());
    Ok(Box::new(move |fleet, stop| {
        if url.scheme().is_nats() {
            runtime.block_on(run::<Nats>(&url, config, fleet, status, stop));
        } else {
            runtime.block_on(run::<Redis>(&url, config, fleet, status, stop));
        }
        runtime.shutdown_timeout(LOOK_EVERY);
    }))
}

async fn run<B: Backend>(
    url: &BusUrl,
    config: Config,
    fleet: Arc<Fleet>,
    status: Arc<FeedStatus>,
    stop: &AtomicBool,
) {
    // Without this, clients that come now would take the silence for a quiet market.
    fleet.tell_feed(FeedState::Silent);
    status.troubled(Some(format!("{url}: not connected yet")));
    let options = ReaderOptions {
        name: "tickcast-gateway".to_owned(),
        history: config.bus_history,
        ..ReaderOptions::default()
    };
    match Reader::<B>::open(url, options).await {
        Ok(reader) => Source::new(url, reader, config, fleet, status).run(stop).await,
        Err(error) => {
            tracing::error!(bus = %url, %error, "the bus cannot be used: there will be no ticks");
            status.troubled(Some(format!("{url}: {error}")));
        }
    }
}

struct Source<B> {
    config: Config,
    url: BusUrl,
    reader: Reader<B>,
    fleet: Arc<Fleet>,
    status: Arc<FeedStatus>,
    table: Arc<InterestTable>,
    /// `None` before there is a catalog.
    stream: Option<Stream>,
    steps: Vec<Step>,
    /// What clients were told last.
    told: FeedState,
    /// When something was last heard of a writer.
    heard: Instant,
    is_connected: bool,
    /// What was last logged about the bus: a condition that lasts is said once.
    said: Option<String>,
}

/// The ring, and what goes into it.
struct Stream {
    feeder: Feeder,
    ring: Ring,
    catalog: Arc<Catalog>,
    holdings: Holdings,
    /// Where the ring's head was when shards were last known not to be far behind.
    read_to: u64,
}

impl<B: Backend> Source<B> {
    fn new(
        url: &BusUrl,
        reader: Reader<B>,
        config: Config,
        fleet: Arc<Fleet>,
        status: Arc<FeedStatus>,
    ) -> Self {
        let instruments_max = usize::try_from(config.instruments_max).unwrap_or(usize::MAX);
        let table = Arc::new(InterestTable::new(instruments_max));
        fleet.watch_interest(&table);
        Self {
            reader,
            url: url.clone(),
            config,
            fleet,
            status,
            table,
            stream: None,
            steps: Vec::new(),
            told: FeedState::Silent,
            heard: Instant::now(),
            is_connected: false,
            said: None,
        }
    }

    async fn run(mut self, stop: &AtomicBool) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let table = Arc::clone(&self.table);
        // Relaxed: the flag is all that is told.
        while !stop.load(Ordering::Relaxed) {
            tokio::select! {
                event = self.reader.next() => self.handle(event).await,
                () = table.changed() => self.look_at_interest(),
                _ = looks.tick() => self.look_at_time(),
            }
        }
        if let Some(stream) = self.stream {
            stream.feeder.close();
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected(reason) => self.disconnected(reason),
            Event::Catalog(catalog) => self.begin(&catalog),
            Event::Pulse { epoch, .. } => self.hear(epoch),
            Event::Image { image, .. } => {
                if let Some(stream) = &mut self.stream {
                    stream.feeder.learn(&image);
                }
            }
            Event::Ticks { ticks, .. } => {
                let Some(stream) = &mut self.stream else { return };
                stream.feeder.relay(&ticks, realtime_ns());
                let epoch = stream.feeder.epoch();
                self.hear(epoch);
                self.wait_for_shards().await;
            }
            Event::Attached { bucket } => self.set_presence(bucket, Presence::Attached),
            Event::Detached { bucket } => self.set_presence(bucket, Presence::Detached),
            Event::Lost { bucket } => {
                tracing::warn!(bucket, "the bus does not keep any more what was missed");
            }
            // Later versions of the reader may tell more.
            _ => {}
        }
    }

    fn connected(&mut self) {
        self.is_connected = true;
        self.said = None;
        tracing::info!(bus = %self.url, "connected to the bus");
        let has_stream = self.stream.is_some();
        let no_catalog = || format!("{}: no feed has written a catalog yet", self.url);
        self.status.troubled((!has_stream).then(no_catalog));
    }

    fn disconnected(&mut self, reason: String) {
        self.is_connected = false;
        self.status.troubled(Some(format!("{}: {reason}", self.url)));
        if self.said.as_ref() != Some(&reason) {
            tracing::warn!(bus = %self.url, reason, "no connection to the bus; trying again");
            self.said = Some(reason);
        }
    }

    /// Begins the epoch of a catalog: in the ring there is, if that has room for it.
    fn begin(&mut self, catalog: &Arc<Catalog>) {
        let (epoch, instruments) = (catalog.epoch(), catalog.instruments());
        tracing::info!(
            bus = %self.url, epoch, instruments = instruments.len(),
            buckets = catalog.buckets().count(), "the feed's catalog"
        );
        let linger_ns = saturating_ns(self.config.bus_linger);
        let holdings = Holdings::new(Arc::clone(catalog), linger_ns);
        let now_ns = realtime_ns();
        let is_restart = self.stream.is_some();
        let fitting = self.stream.take().and_then(|mut old| {
            let is_same = old.feeder.epoch() == epoch;
            old.feeder.begin_epoch_as(epoch, instruments, Presence::Detached, now_ns).ok()?;
            if is_same {
                // To hubs this is no new epoch: what they have of it is the past from here on.
                old.feeder.set_presence(ids(catalog), Presence::Detached, now_ns);
            }
            Some(Stream { catalog: Arc::clone(catalog), holdings, ..old })
        });
        let stream = match fitting {
            Some(stream) => stream,
            None => match self.open_ring(catalog, now_ns) {
                Some(stream) => stream,
                None => return,
            },
        };
        self.status.expects(instruments.len());
        let state = if is_restart { FeedState::Restarted } else { FeedState::Live };
        self.status.attached(&stream.ring, state);
        self.heard = Instant::now();
        // Hubs tell clients of the epoch that has begun.
        self.told = FeedState::Live;
        let stream = self.stream.insert(stream);
        match self.config.bus_interest {
            BusInterest::All => stream.holdings.take_all(&mut self.steps),
            BusInterest::Clients => {
                stream.holdings.begin(&self.table, monotonic_ns(), &mut self.steps);
            }
        }
        self.take_steps();
    }

    fn open_ring(&self, catalog: &Arc<Catalog>, now_ns: u64) -> Option<Stream> {
        let instruments = catalog.instruments();
        let capacity = usize::try_from(self.config.ring_capacity).unwrap_or(usize::MAX);
        let levels = feed_sim::image_levels(instruments.len());
        let shape = feed_sim::shape(instruments, capacity, levels);
        let (publisher, ring) = Ring::heap(shape, catalog.epoch());
        let mut feeder = Feeder::new(publisher, shape);
        let begun = feeder.begin_epoch_as(catalog.epoch(), instruments, Presence::Detached, now_ns);
        if let Err(error) = begun {
            tracing::error!(%error, "the feed's catalog cannot be used; waiting for another one");
            self.status.troubled(Some(format!("{}: {error}", self.url)));
            return None;
        }
        self.fleet.attach(&ring, Order::Own(feed_sim::fresh_epoch(now_ns)));
        let linger_ns = saturating_ns(self.config.bus_linger);
        let holdings = Holdings::new(Arc::clone(catalog), linger_ns);
        Some(Stream { feeder, ring, catalog: Arc::clone(catalog), holdings, read_to: 0 })
    }

    fn set_presence(&mut self, bucket: u32, presence: Presence) {
        let Some(stream) = &mut self.stream else { return };
        let instruments = stream.catalog.instruments_of(bucket);
        stream.feeder.set_presence(instruments, presence, realtime_ns());
        tracing::debug!(bucket, ?presence, "bucket");
    }

    /// A writer of this epoch lives.
    fn hear(&mut self, epoch: u64) {
        let is_ours = self.stream.as_ref().is_some_and(|stream| stream.feeder.epoch() == epoch);
        if !is_ours {
            return;
        }
        self.heard = Instant::now();
        if self.told != FeedState::Live {
            tracing::info!("the feed is back");
            self.tell(FeedState::Live);
        }
    }

    fn look_at_interest(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        if self.config.bus_interest == BusInterest::Clients {
            stream.holdings.look(&self.table, monotonic_ns(), &mut self.steps);
            self.take_steps();
        }
    }

    fn look_at_time(&mut self) {
        self.status.bus(self.view());
        let Some(stream) = &mut self.stream else { return };
        stream.feeder.heartbeat(realtime_ns());
        if self.config.bus_interest == BusInterest::Clients {
            stream.holdings.expire(monotonic_ns(), &mut self.steps);
        }
        self.take_steps();
        let silent_after = self.config.feed_silent_after;
        if self.told == FeedState::Live && self.heard.elapsed() > silent_after {
            tracing::warn!(
                silent_after_ms = silent_after.as_millis(),
                connected = self.is_connected,
                "the feed is silent; clients are told"
            );
            self.tell(FeedState::Silent);
        }
    }

    fn tell(&mut self, state: FeedState) {
        self.told = state;
        self.status.changed(state);
        self.fleet.tell_feed(state);
    }

    fn take_steps(&mut self) {
        for step in self.steps.drain(..) {
            match step {
                Step::Want(bucket) => self.reader.want(bucket),
                Step::Leave(bucket) => self.reader.leave(bucket),
            }
        }
    }

    /// Waits while a shard is further behind than half the ring, for a while: the past of a bucket comes
    /// faster than any feed.
    async fn wait_for_shards(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let head = stream.feeder.position();
        if head - stream.read_to < self.config.ring_capacity / 4 {
            return;
        }
        let deadline = Instant::now() + SHARDS_WAIT_MAX;
        loop {
            let reports = self.fleet.report(0).await;
            let lag = reports.iter().filter_map(|report| report.ring).map(|ring| ring.lag).max();
            if lag.unwrap_or(0) < self.config.ring_capacity / 4 || Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        stream.read_to = head;
    }

    fn view(&self) -> BusView {
        let (wanted, behind) = self.reader.wanted();
        BusView {
            is_connected: self.is_connected,
            wanted,
            behind,
            counters: self.reader.counters(),
        }
    }
}

/// The ids of all instruments.
fn ids(catalog: &Catalog) -> impl Iterator<Item = u32> + '_ {
    catalog.instruments().iter().map(|instrument| instrument.id)
}
