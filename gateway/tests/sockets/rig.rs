//! A shard under test, its market, and what it says about itself.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use gateway::shard::counters::Counter;
use gateway::shard::{
    Answer, Control, DescriptorTable, Order, Routes, SendBackend, ShardHandle, ShardQuery,
    ShardReport, ShardSettings, ShardSpec, start,
};
use hyper::http::request::Parts;
use ring::{Publisher, Ring, Shape};
use wire::{Channel, Instrument, Kind, Quote, Tick, Trade};

/// Longer than any test, however slow the machine is.
const LONG: Duration = Duration::from_hours(1);

/// The epoch of every test's market.
pub(crate) const EPOCH: u64 = 0x5eed;

/// A publisher that numbers its topics.
pub(crate) struct Market {
    publisher: Publisher,
    seqs: HashMap<(u32, Channel), u64>,
}

fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

impl Market {
    /// A market with so many instruments, and the ring that it publishes to.
    pub(crate) fn new(instruments: u32, epoch: u64) -> (Self, Ring) {
        let shape = Shape { capacity: 1 << 16, images: 0, image_words: 0 };
        let (publisher, ring) = Ring::heap(shape, epoch);
        let mut market = Self { publisher, seqs: HashMap::new() };
        market.publisher.publish(&Tick::from_epoch(epoch, now_ns()).to_words());
        for id in 0..instruments {
            let channels = Channel::Trade.bit() | Channel::Quote.bit();
            let instrument = Instrument::numbered(id, channels);
            market.publisher.publish(&Tick::from_definition(&instrument, now_ns()).to_words());
        }
        market.publisher.wake();
        (market, ring)
    }

    /// Publishes a quote whose bid price is its number, and returns that.
    pub(crate) fn quote(&mut self, instrument: u32) -> u64 {
        let seq = self.next_seq(instrument, Channel::Quote);
        let quote = Quote {
            bid_price: i64::try_from(seq).unwrap(),
            bid_quantity: 1000,
            ask_price: i64::try_from(seq).unwrap() + 1,
            ask_quantity: 1000,
            update_id: seq,
        };
        self.publish(Tick::from_quote(instrument, now_ns(), &quote), seq)
    }

    /// Publishes a trade whose id is its number, and returns that.
    pub(crate) fn trade(&mut self, instrument: u32) -> u64 {
        let seq = self.next_seq(instrument, Channel::Trade);
        let trade = Trade {
            price: 100,
            quantity: 5,
            trade_id: seq,
            ts_trade_ns: now_ns(),
            buyer_is_maker: false,
        };
        self.publish(Tick::from_trade(instrument, now_ns(), &trade), seq)
    }

    /// The last number of a topic.
    pub(crate) fn last(&self, instrument: u32, channel: Channel) -> u64 {
        self.seqs.get(&(instrument, channel)).copied().unwrap_or(0)
    }

    /// Wakes the shard.
    pub(crate) fn wake(&self) {
        self.publisher.wake();
    }

    fn next_seq(&mut self, instrument: u32, channel: Channel) -> u64 {
        let seq = self.seqs.entry((instrument, channel)).or_default();
        *seq += 1;
        *seq
    }

    fn publish(&mut self, mut tick: Tick, seq: u64) -> u64 {
        assert!(matches!(tick.kind(), Ok(Kind::Data(_))));
        tick.seq = seq;
        tick.ts_ring_ns = now_ns();
        self.publisher.publish(&tick.to_words());
        seq
    }
}

/// Answers every request with its method and path.
pub(crate) struct Paths;

impl Routes for Paths {
    fn answer(&self, request: &Parts, _shard: &ShardQuery<'_>) -> Answer {
        Answer::new(Bytes::from(format!("{} {}", request.method, request.uri.path())))
    }
}

/// One running shard.
pub(crate) struct Rig {
    shard: Option<ShardHandle>,
    pub(crate) market: Market,
    pub(crate) address: SocketAddr,
}

impl Rig {
    /// A shard with the default settings, but that it is patient, and ten instruments.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// A shard with other settings.
    pub(crate) fn with(tweak: impl FnOnce(&mut ShardSettings)) -> Self {
        Self::with_tls(None, tweak)
    }

    /// A shard that speaks TLS.
    pub(crate) fn with_tls(
        tls: Option<Arc<rustls::ServerConfig>>,
        tweak: impl FnOnce(&mut ShardSettings),
    ) -> Self {
        let mut settings = ShardSettings::default();
        // Small enough that a test with many shards at once does not need a big machine.
        settings.hub.log_entries = 1 << 16;
        settings.hub.log_ticks = 1 << 17;
        settings.hub.arena_bytes = [1 << 20, 1 << 20];
        // A slow test machine must not be mistaken for a slow client, nor have it hear what the test has no part in.
        let long_ns = u64::try_from(LONG.as_nanos()).unwrap();
        (settings.hub.lag_age_max_ns, settings.hub.slow_age_max_ns) = (long_ns, long_ns);
        (settings.handshake_timeout, settings.idle_timeout) = (LONG, LONG);
        (settings.heartbeat, settings.ping_interval, settings.pong_timeout) =
            (LONG, LONG, 2 * LONG);
        // For a run of everything with the other backend.
        if std::env::var("TICKCAST_SEND_BACKEND").is_ok_and(|backend| backend == "io-uring") {
            settings.send_backend = SendBackend::Batches;
        }
        tweak(&mut settings);
        let spec = ShardSpec {
            index: 0,
            core: None,
            settings: Arc::new(settings),
            listen: "127.0.0.1:0".parse().unwrap(),
            tls,
            routes: Arc::new(Paths),
            descriptors: DescriptorTable::Own,
            publish: None,
        };
        let shard = start(vec![spec]).unwrap().pop().unwrap();
        let (market, ring) = Market::new(10, EPOCH);
        shard.send(Control::Attach(ring, Order::OfFeed));
        let address = shard.address();
        let rig = Self { shard: Some(shard), market, address };
        rig.wait_until("the ring is read", |report| report.ring.is_some_and(|ring| ring.lag == 0));
        rig
    }

    pub(crate) fn shard(&self) -> &ShardHandle {
        self.shard.as_ref().expect("taken only by drop")
    }

    pub(crate) fn report(&self) -> ShardReport {
        self.shard().report(10).blocking_recv().expect("the shard lives")
    }

    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.report().counters[counter]
    }

    /// Waits until the shard's report is as it should be.
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&ShardReport) -> bool) {
        let began = Instant::now();
        loop {
            let report = self.report();
            if is_so(&report) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "never: {what}; {report:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(shard) = self.shard.take() {
            shard.send(Control::Stop);
            if shard.join().is_err() && !std::thread::panicking() {
                panic!("the shard panicked");
            }
        }
    }
}
