//! Readers against real servers of both buses, with a writer that goes on all the while: what a caller gets
//! is checked number by number, by the rules that [`Event`] states.

#![forbid(unsafe_code)]

mod machine;
#[allow(dead_code, reason = "shared with the tests of NATS, which use the rest")]
mod nats_server;
#[allow(dead_code, reason = "shared with the tests of Redis, which use the rest")]
mod redis_server;

use std::collections::BTreeMap;
use std::time::Duration;

use bus::inbox::{Inbox, Signal, inbox};
use bus::{
    AppendError, Backend, Batch, BusUrl, Catalog, ConnectOptions, Event, Nats, Offset, Reader,
    ReaderOptions, Redis, Storage, StoreOptions, StoredImage, keys,
};
use bytes::Bytes;
use nats_server::NatsServer;
use redis_server::RedisServer;
use wire::{Channel, Instrument, InstrumentImage, Kind, Level, Presence, Side, Tick, Trade};

/// Nothing in these tests takes as long on any machine that works.
const PATIENCE: Duration = Duration::from_secs(60);

const BUCKET_SIZE: u32 = 2;
const INSTRUMENTS: u32 = 20;

fn instrument(id: u32) -> Instrument {
    Instrument::numbered(id, Channel::Trade.bit() | Channel::Depth.bit())
}

/// Writes a trade and a depth group of the first instrument of a bucket in each batch.
struct Source<B> {
    bus: B,
    _inbox: Inbox,
    epoch: u64,
    newest: BTreeMap<u32, Offset>,
    /// The last number, of trades and of groups alike.
    numbers: BTreeMap<u32, u64>,
}

impl<B: Backend> Source<B> {
    async fn open(url: &BusUrl, storage: Storage, epoch: u64) -> Self {
        let (sender, mut inbox) = inbox(1 << 20);
        let name = "a source".to_owned();
        let request_timeout = Duration::from_secs(2);
        let options = ConnectOptions { name, request_timeout, inbox: sender };
        let bus = B::connect(url, options).await.unwrap();
        while inbox.next().await != Signal::Connected {}
        let source =
            Self { bus, _inbox: inbox, epoch, newest: BTreeMap::new(), numbers: BTreeMap::new() };
        source.establish(storage).await;
        source
    }

    async fn establish(&self, storage: Storage) {
        let store = StoreOptions { storage, ..StoreOptions::default() };
        patiently("no store", || async { self.bus.establish(&store).await.ok() }).await;
    }

    /// Images first: who sees the catalog finds them.
    async fn announce(&self) {
        for id in 0..INSTRUMENTS {
            self.store_image(id).await;
        }
        let all = (0..INSTRUMENTS).map(instrument).collect();
        let catalog = Catalog::new(self.epoch, BUCKET_SIZE, all, INSTRUMENTS).unwrap();
        let bytes = catalog.encode().unwrap();
        self.put_value(keys::CATALOG, bytes).await;
    }

    async fn store_image(&self, id: u32) {
        let bucket = id / BUCKET_SIZE;
        let is_written = id.is_multiple_of(BUCKET_SIZE);
        let seq = self.numbers.get(&bucket).copied().filter(|_| is_written).unwrap_or_default();
        let image = InstrumentImage {
            epoch: self.epoch,
            definition: instrument(id),
            presence: Presence::Attached,
            last: (seq > 0).then(|| trade(id, seq)).into_iter().collect(),
            depth_seq: seq,
            update_id: seq,
            ts_event_ns: 1,
            bids: vec![(1, 1)],
            asks: Vec::new(),
        };
        let offset = self.newest.get(&bucket).copied().unwrap_or_default();
        let value = StoredImage { offset, image }.encode();
        self.put_value(&keys::image(id), value).await;
    }

    /// Stores a value, again if it is not known to be stored.
    async fn put_value(&self, key: &str, value: Bytes) {
        patiently("no value", || async { self.bus.put_value(key, value.clone()).await.ok() }).await;
    }

    /// Appends the next batch, through whatever happens to the bus, exactly once.
    async fn append(&mut self, bucket: u32) {
        let number = self.numbers.get(&bucket).copied().unwrap_or_default() + 1;
        let id = bucket * BUCKET_SIZE;
        let mut ticks = vec![trade(id, number)];
        let level = Level { side: Side::Bid, price: 1, quantity: 1 };
        Tick::push_depth(&mut ticks, id, 1, number..=number, &[level; 6]);
        ticks.iter_mut().for_each(|tick| tick.seq = number);
        let batch = Batch { writer: 77, number, epoch: self.epoch, sent_ns: 1, ticks };
        let (payload, bus) = (batch.encode(), &self.bus);
        let mut expected = self.newest.get(&bucket).copied().unwrap_or_default();
        let appended = async {
            loop {
                match bus.append(bucket, expected, payload.clone()).await {
                    Ok(offset) => return offset,
                    Err(AppendError::Conflict { actual }) => expected = actual,
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                }
                if let Ok(Some(tail)) = bus.tail(bucket).await
                    && Batch::decode_origin(&tail.payload) == Ok((77, number))
                {
                    return tail.offset;
                }
            }
        };
        let offset = tokio::time::timeout(PATIENCE, appended).await.expect("the bus comes back");
        self.newest.insert(bucket, offset);
        self.numbers.insert(bucket, number);
    }
}

fn trade(id: u32, seq: u64) -> Tick {
    let trade =
        Trade { price: 1, quantity: 1, trade_id: seq, ts_trade_ns: 1, buyer_is_maker: false };
    Tick { seq, ..Tick::from_trade(id, 1, &trade) }
}

async fn patiently<T, F: Future<Output = Option<T>>>(
    otherwise: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let reached = async {
        loop {
            match attempt().await {
                Some(reached) => return reached,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect(otherwise)
}

/// A reader and what its events say of one bucket's instrument.
struct Caller<B> {
    reader: Reader<B>,
    bucket: u32,
    first: Option<u64>,
    trade: u64,
    book: Option<u64>,
    lost: u64,
    attached: u64,
}

impl<B: Backend> Caller<B> {
    async fn open(url: &BusUrl, bucket: u32, options: ReaderOptions) -> Self {
        let reader = Reader::open(url, options).await.unwrap();
        Self { reader, bucket, first: None, trade: 0, book: None, lost: 0, attached: 0 }
    }

    async fn next(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.reader.next()).await;
        let event = event.expect("something happens");
        match &event {
            Event::Catalog(_) => {
                (self.first, self.trade, self.book) = (None, 0, None);
                self.reader.want(self.bucket);
            }
            Event::Image { image, .. }
                if image.definition.id == self.bucket * BUCKET_SIZE
                    && self.book.is_none_or(|book| image.depth_seq > book) =>
            {
                self.book = Some(image.depth_seq);
            }
            Event::Ticks { bucket, ticks, .. } => {
                assert_eq!(*bucket, self.bucket);
                ticks.iter().for_each(|tick| self.take(tick));
            }
            Event::Lost { .. } => {
                self.lost += 1;
                (self.first, self.trade, self.book) = (None, 0, None);
            }
            Event::Attached { .. } => self.attached += 1,
            _ => {}
        }
        event
    }

    fn take(&mut self, tick: &Tick) {
        if tick.kind() == Ok(Kind::Data(Channel::Trade)) {
            assert!(
                self.trade == 0 || tick.seq == self.trade + 1,
                "{} after {}",
                tick.seq,
                self.trade
            );
            self.first.get_or_insert(tick.seq);
            self.trade = tick.seq;
        } else if let Some(book) = self.book
            && tick.begins()
        {
            assert!(tick.seq <= book + 1, "group {} on book {book}", tick.seq);
            self.book = Some(book.max(tick.seq));
        }
    }

    /// Takes events until this number of trades has come.
    async fn until(&mut self, number: u64) {
        while self.trade < number {
            self.next().await;
        }
        while self.attached == 0 || self.book != Some(self.trade) {
            self.next().await;
        }
    }
}

async fn a_new_node_joins_a_running_stream<B: Backend>(url: BusUrl) {
    let early = ReaderOptions::default();
    let mut early = Caller::<B>::open(&url, 3, early).await;
    assert_eq!(early.next().await, Event::Connected);
    let mut source = Source::<B>::open(&url, Storage::Memory, 9).await;
    source.announce().await;
    // The first reader was there before there was a catalog.
    assert!(matches!(early.next().await, Event::Catalog(catalog) if catalog.epoch() == 9));
    for number in 1..=300 {
        source.append(3).await;
        source.append(4).await;
        if number % 100 == 50 {
            // Both of the bucket: an image says from where on the log is needed, also of who was quiet.
            source.store_image(6).await;
            source.store_image(7).await;
        }
    }
    // No history at all: what is needed for the newest image, and no more.
    let options = ReaderOptions { history: Duration::ZERO, ..ReaderOptions::default() };
    let mut late = Caller::<B>::open(&url, 3, options).await;
    let appending = tokio::spawn(async move {
        for _ in 0..300 {
            source.append(3).await;
        }
    });
    late.until(600).await;
    appending.await.unwrap();
    let first = late.first.unwrap();
    assert!((2..=251).contains(&first), "the image of 250 is the last one: {first}");
    early.until(600).await;
    assert_eq!((early.first, early.lost, late.lost), (Some(1), 0, 0));
    assert_eq!((early.attached, late.attached), (1, 1));
    late.reader.leave(3);
    while late.next().await != (Event::Detached { bucket: 3 }) {}
}

async fn a_slow_caller_misses_nothing<B: Backend>(url: BusUrl) {
    let mut source = Source::<B>::open(&url, Storage::Memory, 9).await;
    source.announce().await;
    let options = ReaderOptions { buffer_bytes: 20_000, ..ReaderOptions::default() };
    let mut caller = Caller::<B>::open(&url, 0, options).await;
    source.append(0).await;
    caller.until(1).await;
    for _ in 0..500 {
        source.append(0).await;
    }
    // Nobody has taken anything all the while.
    let caller_ref = &caller;
    patiently("nothing is dropped", || async {
        (caller_ref.reader.counters().overflowed > 0).then_some(())
    })
    .await;
    caller.until(501).await;
    assert_eq!((caller.first, caller.lost), (Some(1), 0));
    assert!(caller.reader.counters().holes > 0);
}

async fn another_epoch_begins<B: Backend>(url: BusUrl) {
    let mut source = Source::<B>::open(&url, Storage::Memory, 1).await;
    source.announce().await;
    let mut caller = Caller::<B>::open(&url, 2, ReaderOptions::default()).await;
    for _ in 0..20 {
        source.append(2).await;
    }
    caller.until(20).await;
    let newest = std::mem::take(&mut source.newest);
    source = Source { epoch: 2, newest, numbers: BTreeMap::new(), ..source };
    source.announce().await;
    for _ in 0..30 {
        source.append(2).await;
    }
    while caller.next().await != (Event::Detached { bucket: 2 }) {}
    assert!(matches!(caller.next().await, Event::Catalog(catalog) if catalog.epoch() == 2));
    caller.until(30).await;
    assert_eq!((caller.first, caller.lost), (Some(1), 0));
}

/// The server is killed and started again under load, with its logs on disk.
async fn nothing_is_lost_with_the_server<B: Backend, S>(mut server: S, ways: Ways<S>) {
    let url = (ways.url)(&server);
    let mut source = Source::<B>::open(&url, Storage::File, 9).await;
    source.announce().await;
    let options =
        ReaderOptions { request_timeout: Duration::from_secs(2), ..ReaderOptions::default() };
    let mut caller = Caller::<B>::open(&url, 1, options).await;
    source.append(1).await;
    caller.until(1).await;
    let appending = tokio::spawn(async move {
        for _ in 0..400 {
            source.append(1).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    for number in [50, 200] {
        caller.until(number).await;
        (ways.kill)(&mut server);
        (ways.restart)(&mut server);
    }
    caller.until(401).await;
    appending.await.unwrap();
    assert_eq!((caller.first, caller.lost), (Some(1), 0));
    assert!(caller.reader.counters().connections >= 3);
}

/// What is done to a server.
struct Ways<S> {
    url: fn(&S) -> BusUrl,
    kill: fn(&mut S),
    restart: fn(&mut S),
}

#[tokio::test]
async fn nothing_is_lost_with_nats_on_disk() {
    let ways = Ways { url: NatsServer::url, kill: NatsServer::kill, restart: NatsServer::restart };
    nothing_is_lost_with_the_server::<Nats, _>(NatsServer::start(), ways).await;
}

#[tokio::test]
async fn nothing_is_lost_with_redis_on_disk() {
    let ways =
        Ways { url: RedisServer::url, kill: RedisServer::kill, restart: RedisServer::restart };
    nothing_is_lost_with_the_server::<Redis, _>(RedisServer::start_persistent(), ways).await;
}

#[tokio::test]
async fn a_bus_that_lost_its_memory_is_announced() {
    let mut server = NatsServer::start();
    let mut source = Source::<Nats>::open(&server.url(), Storage::Memory, 9).await;
    source.announce().await;
    let mut caller = Caller::<Nats>::open(&server.url(), 1, ReaderOptions::default()).await;
    for _ in 0..20 {
        source.append(1).await;
    }
    caller.until(20).await;
    server.kill();
    server.restart();
    source.establish(Storage::Memory).await;
    source.newest.clear();
    for _ in 0..50 {
        source.append(1).await;
    }
    source.announce().await;
    while caller.lost == 0 {
        caller.next().await;
    }
    caller.until(70).await;
    while caller.attached < 2 {
        caller.next().await;
    }
    assert_eq!(caller.reader.counters().resets, 1);
}

#[tokio::test]
async fn a_bus_that_is_away_is_said_to_be() {
    let url: BusUrl = {
        let server = NatsServer::start();
        server.url()
    };
    let mut reader = Reader::<Nats>::open(&url, ReaderOptions::default()).await.unwrap();
    let event = tokio::time::timeout(PATIENCE, reader.next()).await.unwrap();
    assert!(matches!(event, Event::Disconnected(_)), "{event:?}");
    reader.close().await;
}

macro_rules! on_both {
    ($($property:ident),*) => {
        mod nats {
            $(#[tokio::test]
            async fn $property() {
                let server = crate::NatsServer::start();
                crate::$property::<bus::Nats>(server.url()).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $property() {
                let server = crate::RedisServer::start();
                crate::$property::<bus::Redis>(server.url()).await;
            })*
        }
    };
}

on_both!(a_new_node_joins_a_running_stream, a_slow_caller_misses_nothing, another_epoch_begins);
