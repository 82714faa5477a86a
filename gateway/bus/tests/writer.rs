//! A writer against real servers that die, stall, forget and lose connections: what was pushed is in the
//! logs once and in order, or counted.

#![forbid(unsafe_code)]

mod machine;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bus::inbox::{Signal, inbox};
use bus::{
    Backend, Batch, BusUrl, Catalog, ConnectOptions, Nats, Offset, Redis, Storage, StoreOptions,
    Writer, WriterError, WriterOptions, keys,
};
use nix::sys::signal::Signal as ProcessSignal;
use tempfile::TempDir;
use wire::{Channel, Instrument, Tick, Trade};

const PATIENCE: Duration = Duration::from_secs(60);
const EPOCH: u64 = 7;
const INSTRUMENTS: u32 = 6;
const BUCKET: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nats,
    Redis,
}

/// A server that keeps on disk all that it acknowledges, if its writer asks for it.
struct Server {
    kind: Kind,
    keeps: bool,
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Server {
    fn start(kind: Kind, keeps: bool) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let folder = TempDir::new().unwrap();
            let port = machine::free_port();
            let process = spawn(kind, keeps, &folder, port);
            let mut server = Self { kind, keeps, folder, port, process };
            // Somebody else may have taken the port in the meantime: then it has exited.
            if server.answers() {
                return server;
            }
            assert!(Instant::now() < deadline, "no server starts");
        }
    }

    fn answers(&mut self) -> bool {
        while self.process.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn url(&self) -> BusUrl {
        url(self.kind, self.port)
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self) {
        self.process = spawn(self.kind, self.keeps, &self.folder, self.port);
        assert!(self.answers(), "it starts again on its port");
    }

    fn signal(&self, signal: ProcessSignal) {
        machine::signal(self.process.id(), signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be killed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(kind: Kind, keeps: bool, folder: &TempDir, port: u16) -> Child {
    let port = port.to_string();
    let mut command = match kind {
        Kind::Nats => {
            let mut command = Command::new("nats-server");
            command.args(["--addr", "127.0.0.1", "--port", &port, "--jetstream", "--store_dir"]);
            command.arg(folder.path());
            command
        }
        Kind::Redis => {
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir"]);
            command.arg(folder.path());
            if keeps {
                command.args(["--appendonly", "yes", "--appendfsync", "always"]);
            }
            command
        }
    };
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server is installed")
}

fn url(kind: Kind, port: u16) -> BusUrl {
    let scheme = if kind == Kind::Nats { "nats" } else { "redis" };
    format!("{scheme}://127.0.0.1:{port}/t").parse().unwrap()
}

/// Connections to a server that can be cut.
struct Cutter {
    port: u16,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cutter {
    fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&streams);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let pairs = [(&client, &server), (&server, &client)];
                for (mut from, mut to) in pairs.map(|(a, b)| (clone(a), clone(b))) {
                    thread::spawn(move || {
                        let mut buffer = [0; 65_536];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            if to.write_all(&buffer[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                kept.lock().unwrap().extend([client, server]);
            }
        });
        Self { port, streams }
    }

    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _: io::Result<()> = stream.shutdown(Shutdown::Both);
        }
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
}

fn catalog() -> Catalog {
    let instrument = |id| Instrument::numbered(id, Channel::Trade.bit());
    let instruments = (0..INSTRUMENTS).map(instrument).collect();
    Catalog::new(EPOCH, BUCKET, instruments, INSTRUMENTS).unwrap()
}

fn options() -> WriterOptions {
    WriterOptions {
        beat: Duration::from_millis(200),
        request_timeout: Duration::from_secs(1),
        connect_timeout: PATIENCE,
        store: StoreOptions {
            storage: Storage::File,
            max_age: Duration::from_secs(600),
            ..StoreOptions::default()
        },
        ..WriterOptions::default()
    }
}

/// A feed of trades, each with its number, and its writer.
struct Feed<B> {
    writer: Writer<B>,
    made: u64,
}

impl<B: Backend> Feed<B> {
    async fn open(url: &BusUrl, options: WriterOptions) -> Self {
        let mut writer = Writer::open(url, options).await.unwrap();
        writer.begin_epoch(catalog()).unwrap();
        Self { writer, made: 0 }
    }

    /// A trade of each instrument every millisecond, for so many of them.
    async fn make(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.made += 1;
            for instrument in 0..INSTRUMENTS {
                let trade = Trade {
                    price: 1,
                    quantity: 1,
                    trade_id: self.made,
                    ts_trade_ns: 1,
                    buyer_is_maker: false,
                };
                let tick = Tick::from_trade(instrument, self.made, &trade);
                self.writer.push(&[Tick { seq: self.made, ..tick }]);
            }
            tokio::select! {
                error = self.writer.drive() => panic!("{error}"),
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
    }

    async fn flush(&mut self) {
        tokio::time::timeout(PATIENCE, self.writer.flush()).await.expect("in time").unwrap();
    }
}

/// The numbers in the logs, by instrument, in their order there.
async fn logged<B: Backend>(url: &BusUrl) -> BTreeMap<u32, Vec<u64>> {
    let (sender, mut inbox) = inbox(1 << 20);
    let connect =
        ConnectOptions { name: "a test".to_owned(), request_timeout: PATIENCE, inbox: sender };
    let bus = B::connect(url, connect).await.unwrap();
    while inbox.next().await != Signal::Connected {}
    let kept = bus.values(&[keys::CATALOG.to_owned()]).await.unwrap();
    assert_eq!(Catalog::decode(kept[0].as_ref().unwrap()).unwrap(), catalog());
    let mut numbers: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for bucket in 0..INSTRUMENTS.div_ceil(BUCKET) {
        let mut after = Offset::START;
        loop {
            let slice = bus.read(bucket, after, 1 << 20).await.unwrap();
            let Some(last) = slice.entries.last() else { break };
            after = last.offset;
            for entry in &slice.entries {
                let batch = Batch::decode(&entry.payload).unwrap();
                assert_eq!(batch.epoch, EPOCH);
                for tick in batch.ticks {
                    assert_eq!(tick.instrument / BUCKET, bucket);
                    numbers.entry(tick.instrument).or_default().push(tick.seq);
                }
            }
        }
    }
    bus.close().await;
    numbers
}

async fn assert_all_logged<B: Backend>(url: &BusUrl, made: u64) {
    let expected: Vec<u64> = (1..=made).collect();
    let logged = logged::<B>(url).await;
    assert_eq!(logged.len(), INSTRUMENTS as usize);
    for (instrument, numbers) in logged {
        assert!(numbers == expected, "once and in order: {instrument}: {numbers:?}");
    }
}

async fn a_server_that_keeps_what_it_has_is_restarted<B: Backend>(kind: Kind) {
    let mut server = Server::start(kind, true);
    let mut feed = Feed::<B>::open(&server.url(), options()).await;
    feed.make(300).await;
    for _ in 0..2 {
        server.kill();
        feed.make(300).await;
        server.restart();
        feed.make(300).await;
    }
    feed.flush().await;
    let counters = feed.writer.close(PATIENCE).await.unwrap();
    assert_eq!((counters.dropped, counters.bus_losses), (0, 0), "{counters:?}");
    assert_all_logged::<B>(&server.url(), feed.made).await;
}

async fn a_server_stalls_for_5_seconds<B: Backend>(kind: Kind) {
    let server = Server::start(kind, true);
    let mut feed = Feed::<B>::open(&server.url(), options()).await;
    feed.make(200).await;
    server.signal(ProcessSignal::SIGSTOP);
    let stopped = Instant::now();
    while stopped.elapsed() < Duration::from_secs(5) || feed.writer.counters().doubts == 0 {
        assert!(stopped.elapsed() < PATIENCE, "{:?}", feed.writer.counters());
        feed.make(100).await;
    }
    server.signal(ProcessSignal::SIGCONT);
    feed.make(200).await;
    feed.flush().await;
    feed.writer.close(PATIENCE).await.unwrap();
    assert_all_logged::<B>(&server.url(), feed.made).await;
}

async fn connections_are_cut<B: Backend>(kind: Kind) {
    let server = Server::start(kind, true);
    let cutter = Cutter::before(server.port);
    let mut feed = Feed::<B>::open(&url(kind, cutter.port), options()).await;
    for _ in 0..5 {
        feed.make(150).await;
        cutter.cut();
    }
    feed.make(150).await;
    feed.flush().await;
    feed.writer.close(PATIENCE).await.unwrap();
    assert_all_logged::<B>(&server.url(), feed.made).await;
}

async fn what_exceeds_the_bound_is_dropped_and_counted<B: Backend>(kind: Kind) {
    let server = Server::start(kind, true);
    let options = WriterOptions { held_bytes: 600 * size_of::<Tick>(), ..options() };
    let mut feed = Feed::<B>::open(&server.url(), options).await;
    feed.make(100).await;
    feed.flush().await;
    server.signal(ProcessSignal::SIGSTOP);
    feed.make(1_000).await;
    assert!(feed.writer.held() <= 600);
    server.signal(ProcessSignal::SIGCONT);
    feed.flush().await;
    // As many as may wait, if the bus takes none of them meanwhile.
    feed.make(100).await;
    feed.flush().await;
    let counters = feed.writer.close(PATIENCE).await.unwrap();
    assert!(counters.dropped > 0 && counters.overflows > 0, "{counters:?}");
    let mut missing = 0;
    for (instrument, numbers) in logged::<B>(&server.url()).await {
        assert!(numbers.is_sorted_by(|a, b| a < b), "{instrument}: {numbers:?}");
        assert!((1_101..=feed.made).all(|number| numbers.binary_search(&number).is_ok()));
        missing += feed.made - numbers.len() as u64;
    }
    assert_eq!(missing, counters.dropped, "what is not there is what was counted");
}

async fn a_server_that_forgets_gets_everything_again_that_is_no_log<B: Backend>(kind: Kind) {
    let mut server = Server::start(kind, false);
    let mut options = options();
    options.store.storage = Storage::Memory;
    let mut feed = Feed::<B>::open(&server.url(), options).await;
    feed.make(200).await;
    feed.flush().await;
    server.kill();
    // NATS remembers on disk that there was a stream in memory, but not what was in it.
    server.folder = TempDir::new().unwrap();
    server.restart();
    feed.make(200).await;
    feed.flush().await;
    assert_eq!(feed.writer.counters().bus_losses, 1, "{:?}", feed.writer.counters());
    feed.writer.close(PATIENCE).await.unwrap();
    for (_, numbers) in logged::<B>(&server.url()).await {
        assert!(numbers.is_sorted_by(|a, b| a < b));
        assert!((201..=feed.made).all(|number| numbers.binary_search(&number).is_ok()));
    }
}

async fn a_stream_has_one_writer<B: Backend>(kind: Kind) {
    let server = Server::start(kind, true);
    // One that is not run for some seconds is not dead yet: three beats are left out before.
    let options = || WriterOptions { beat: Duration::from_secs(3), ..options() };
    let mut first = Feed::<B>::open(&server.url(), options()).await;
    let (url, own) = (server.url(), options());
    let mut second = tokio::spawn(async move { Writer::<B>::open(&url, own).await });
    let refused = loop {
        first.make(10).await;
        if second.is_finished() {
            break (&mut second).await.unwrap().err().expect("the first lives");
        }
    };
    assert!(matches!(refused, WriterError::Occupied { .. }), "{refused}");
    first.make(10).await;
    first.flush().await;

    // A dead one is waited for and then succeeded; one that gave up is succeeded at once.
    let made = first.made;
    drop(first);
    let mut third = Feed::<B>::open(&server.url(), options()).await;
    third.made = made;
    third.make(10).await;
    third.flush().await;
    third.writer.close(PATIENCE).await.unwrap();
    let opened = Instant::now();
    let fourth = Feed::<B>::open(&server.url(), options()).await;
    assert!(opened.elapsed() < PATIENCE);
    drop(fourth);
    for (_, numbers) in logged::<B>(&server.url()).await {
        assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.last() == Some(&(made + 10)));
    }
}

macro_rules! at {
    ($name:ident, $bus:ty, $kind:expr) => {
        mod $name {
            use super::*;
            at!(@ $bus, $kind,
                a_server_that_keeps_what_it_has_is_restarted,
                a_server_stalls_for_5_seconds,
                connections_are_cut,
                what_exceeds_the_bound_is_dropped_and_counted,
                a_server_that_forgets_gets_everything_again_that_is_no_log,
                a_stream_has_one_writer
            );
        }
    };
    (@ $bus:ty, $kind:expr, $($test:ident),*) => {
        $(#[tokio::test]
        async fn $test() {
            super::$test::<$bus>($kind).await;
        })*
    };
}

at!(at_redis, Redis, Kind::Redis);
at!(at_nats, Nats, Kind::Nats);
