//! What the bus has: read from it directly, beside all gateways.

use bus::inbox::inbox;
use bus::{
    Backend, Batch, BusUrl, Catalog, ConnectOptions, Nats, Offset, Redis, StoreOptions,
    StoredImage, keys,
};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use wire::{Channel, Instrument, InstrumentImage, Symbol, Tick};

use crate::support::bus_server::{BusKind, BusServer};

/// The epoch of the catalog.
pub(crate) const EPOCH: u64 = 42;

/// Symbols by id, and what they have: the first is the feed's.
const INSTRUMENTS: [(&str, &[Channel]); 5] = [
    ("FEED", &[Channel::Trade, Channel::Quote]),
    ("FEED2", &[Channel::Trade, Channel::Quote]),
    ("C0", &[Channel::Trade, Channel::Quote]),
    ("C1", &[Channel::Trade, Channel::Quote]),
    ("C2", &[Channel::Trade]),
];

/// How many of them the feed writes.
const FEED: u32 = 2;

enum Connection {
    Nats(Nats),
    Redis(Redis),
}

/// The bus's logs and values.
pub(crate) struct Log {
    runtime: Runtime,
    connection: Connection,
    catalog: Catalog,
}

/// Does the same with whichever connection there is.
macro_rules! with {
    ($log:expr, $backend:ident => $future:expr) => {
        match &$log.connection {
            Connection::Nats($backend) => $log.runtime.block_on($future),
            Connection::Redis($backend) => $log.runtime.block_on($future),
        }
    };
}

impl Log {
    /// Makes the place for logs, and stores the catalog.
    pub(crate) fn begin(server: &BusServer) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let url: BusUrl = server.url().parse().unwrap();
        let (sender, _inbox) = inbox(1 << 20);
        let request_timeout = Duration::from_secs(5);
        let options = ConnectOptions { name: "test".to_owned(), request_timeout, inbox: sender };
        let connection = match server.kind() {
            BusKind::Nats => {
                Connection::Nats(runtime.block_on(Nats::connect(&url, options)).unwrap())
            }
            BusKind::Redis => {
                Connection::Redis(runtime.block_on(Redis::connect(&url, options)).unwrap())
            }
        };
        let instruments = INSTRUMENTS.iter().zip(0..).map(|(&(symbol, channels), id)| Instrument {
            id,
            symbol: Symbol::new(symbol).unwrap(),
            base_len: 0,
            price_exponent: -2,
            quantity_exponent: 0,
            tick_size: 5,
            lot_size: 1,
            channels: channels.iter().fold(0, |bits, channel| bits | channel.bit()),
        });
        let catalog = Catalog::new(EPOCH, 2, instruments.collect(), FEED).unwrap();
        let log = Self { runtime, connection, catalog };
        let store = StoreOptions::default();
        log.try_until("the bus to be established", || {
            with!(log, backend => backend.establish(&store)).ok()
        });
        let bytes = log.catalog.encode().unwrap();
        log.try_until("the catalog to be kept", || {
            with!(log, backend => backend.put_value(keys::CATALOG, bytes.clone())).ok()
        });
        log
    }

    /// An instrument's definition.
    pub(crate) fn instrument(&self, symbol: &str) -> Instrument {
        let found = self.catalog.instruments().iter().find(|it| it.symbol.as_str() == symbol);
        *found.expect("it is in the catalog")
    }

    /// All ticks of a topic, in the order of the log.
    pub(crate) fn topic(&self, topic: &str) -> Vec<Tick> {
        let (symbol, channel) = topic.split_once('.').unwrap();
        let instrument = self.instrument(symbol);
        let code = Channel::parse(channel).unwrap().code();
        let bucket = self.catalog.bucket_of(instrument.id);
        let (mut after, mut ticks) = (Offset::START, Vec::new());
        loop {
            let slice = self.try_until("the log to be read", || {
                with!(self, backend => backend.read(bucket, after, 1 << 20)).ok()
            });
            let Some(last) = slice.entries.last() else { return ticks };
            after = last.offset;
            for entry in &slice.entries {
                let batch = Batch::decode(&entry.payload).unwrap();
                assert_eq!(batch.epoch, EPOCH);
                let is_wanted = |tick: &Tick| tick.instrument == instrument.id && tick.kind == code;
                ticks.extend(batch.ticks.into_iter().filter(is_wanted));
            }
        }
    }

    /// Whether the trades of a symbol have the numbers 1, 2, 3…
    pub(crate) fn trades_are_dense(&self, symbol: &str) -> bool {
        let trades = self.topic(&format!("{symbol}.trade"));
        trades.iter().zip(1..).all(|(tick, seq)| tick.seq == seq)
    }

    /// The image of an instrument.
    pub(crate) fn image(&self, symbol: &str) -> Option<InstrumentImage> {
        let key = keys::image(self.instrument(symbol).id);
        let values = with!(self, backend => backend.values(&[key])).ok()?;
        let bytes = values.into_iter().next().flatten()?;
        Some(StoredImage::decode(&bytes).unwrap().image)
    }

    /// A connection that was not driven for a while may have to be made again.
    fn try_until<T>(&self, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
        crate::support::process::until(what, || {
            let found = attempt();
            if found.is_none() {
                self.runtime.block_on(tokio::time::sleep(Duration::from_millis(50)));
            }
            found
        })
    }
}
