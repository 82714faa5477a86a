//! `feed-sim --out nats://…|redis://…` as others meet it: what is on the bus, its errors, its end.

mod recorded;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bus::inbox::{Signal, inbox};
use bus::{Backend, Batch, BusUrl, Catalog, ConnectOptions, Nats, Offset, Redis, WriterKind, keys};
use recorded::{BTC, ETH, recording};
use wire::{Channel, Kind, Tick};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server of a bus, ended with the test.
struct Server {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(scheme: &str, settings: &[&str]) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let port = free_port().to_string();
            let mut command = match scheme {
                "nats" => Command::new("nats-server"),
                _ => Command::new("redis-server"),
            };
            match scheme {
                "nats" => command.args(["--addr", "127.0.0.1", "--store_dir"]),
                _ => command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]),
            };
            command.arg(folder.path()).args(["--port", &port]).args(settings);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let process = command.spawn().expect("the server is installed");
            let url = format!("{scheme}://127.0.0.1:{port}/t");
            let mut server = Self { process, url, _folder: folder };
            // Somebody else may have taken the port in the meantime: then it has exited.
            while server.process.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_ok() {
                    return server;
                }
                thread::sleep(Duration::from_millis(10));
            }
            assert!(Instant::now() < deadline, "no server starts");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nothing listens on, given out once by this process. They lie below those that the system gives to
/// whoever connects or asks for any: it would give away a port that was free a moment ago.
fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes begin at different places.
    let start = std::process::id().wrapping_mul(97);
    loop {
        let nth = start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + nth % COUNT).expect("below 32,000");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

struct Feed(Child);

impl Feed {
    fn start(out: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_feed-sim"));
        command.args(["--out", out]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn end(mut self) -> (Option<i32>, String) {
        use std::io::Read as _;
        let mut stderr = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.0.wait().unwrap().code(), stderr)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The catalog, if one is stored, and all ticks of the feed's logs in their order.
fn look<B: Backend>(url: &str) -> Option<(Catalog, Vec<Tick>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url: BusUrl = url.parse().unwrap();
        let (sender, mut inbox) = inbox(1 << 20);
        let connect =
            ConnectOptions { name: "a test".to_owned(), request_timeout: PATIENCE, inbox: sender };
        let bus = B::connect(&url, connect).await.unwrap();
        while inbox.next().await != Signal::Connected {}
        let catalog = bus.values(&[keys::CATALOG.to_owned()]).await.unwrap().remove(0)?;
        let catalog = Catalog::decode(&catalog).unwrap();
        let mut ticks = Vec::new();
        for bucket in catalog.buckets() {
            let mut after = Offset::START;
            loop {
                let slice = bus.read(bucket, after, 1 << 20).await.unwrap();
                let Some(last) = slice.entries.last() else { break };
                after = last.offset;
                for entry in &slice.entries {
                    let batch = Batch::decode(&entry.payload).unwrap();
                    assert_eq!(batch.epoch, catalog.epoch());
                    ticks.extend(batch.ticks);
                }
            }
        }
        bus.close().await;
        Some((catalog, ticks))
    })
}

fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "waited for too long");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Every topic's numbers are 1, 2, 3, … to the last.
fn assert_whole(ticks: &[Tick]) {
    let mut topics: BTreeMap<(u32, u8), u64> = BTreeMap::new();
    for tick in ticks.iter().filter(|tick| tick.begins()) {
        let last = topics.entry((tick.instrument, tick.kind)).or_default();
        assert_eq!(tick.seq, *last + 1, "{tick:?}");
        *last = tick.seq;
    }
}

fn a_market_is_on_the_bus_from_its_first_tick_to_its_last<B: Backend>(server: &Server) {
    let arguments = ["--epoch", "77", "--bus-bucket", "8", "--published", "3", "--progress"];
    let feed = Feed::start(&server.url, &arguments);
    wait_for(|| look::<B>(&server.url).filter(|(_, ticks)| ticks.len() > 2_000));
    feed.signal("TERM");
    let (code, stderr) = feed.end();
    assert_eq!(code, Some(0), "{stderr}");
    let (catalog, ticks) = look::<B>(&server.url).unwrap();
    assert_eq!((catalog.epoch(), catalog.bucket_size()), (77, 8));
    let clients =
        catalog.instruments().iter().filter(|i| catalog.writer_of(i.id) == WriterKind::Clients);
    let clients: Vec<&str> = clients.map(|instrument| instrument.symbol.as_str()).collect();
    assert_eq!(clients, ["C0", "C1", "C2"]);
    assert_whole(&ticks);
    let last = stderr.lines().last().unwrap();
    let expected = format!("bus has {}, 0 wait, 0 dropped", ticks.len());
    assert!(last.contains(&expected), "{last}: {expected}");
}

fn a_recording_at_full_speed_waits_for_the_bus_and_loses_nothing<B: Backend>(server: &Server) {
    let source = format!("replay:{},{}", recording(BTC).display(), recording(ETH).display());
    let mut arguments = vec!["--source", &source, "--speed", "max", "--ring-capacity", "16384"];
    arguments.extend(["--bars", "none", "--ticker", "off", "--held-bytes", "600000"]);
    assert_eq!(Feed::start(&server.url, &arguments).end(), (Some(0), String::new()));
    let (_, ticks) = look::<B>(&server.url).unwrap();
    assert_whole(&ticks);
    let trades = ticks.iter().filter(|t| t.kind() == Ok(Kind::Data(Channel::Trade))).count();
    assert_eq!(trades, 9_757 + 6_106);
}

fn a_second_feed_is_refused_and_a_killed_ones_successor_is_not<B: Backend>(server: &Server) {
    let arguments = ["--source", "pulse", "--rate", "500"];
    let mut first = Feed::start(&server.url, &arguments);
    wait_for(|| look::<B>(&server.url));
    let refused = loop {
        let mut next = Feed::start(&server.url, &arguments);
        let has_taken_over = wait_for(|| {
            let is_over = next.has_ended();
            (is_over || first.has_ended()).then_some(!is_over)
        });
        if !has_taken_over {
            break next;
        }
        // The first one did not run for three beats: then it counts as dead, and the next one is the first.
        first = next;
    };
    let (code, stderr) = refused.end();
    assert_eq!(code, Some(1));
    assert!(stderr.contains("another feed is writing this stream"), "{stderr}");
    first.signal("KILL");
    assert_eq!(first.end().0, None);
    let (before, _) = look::<B>(&server.url).unwrap();
    let second = Feed::start(&server.url, &arguments);
    wait_for(|| {
        // Its epoch is another one.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sender, mut inbox) = inbox(1 << 20);
            let connect = ConnectOptions {
                name: "a test".to_owned(),
                request_timeout: PATIENCE,
                inbox: sender,
            };
            let bus = B::connect(&server.url.parse().unwrap(), connect).await.unwrap();
            while inbox.next().await != Signal::Connected {}
            let catalog = bus.values(&[keys::CATALOG.to_owned()]).await.unwrap().remove(0)?;
            bus.close().await;
            (Catalog::decode(&catalog).unwrap().epoch() != before.epoch()).then_some(())
        })
    });
    second.signal("INT");
    assert_eq!(second.end(), (Some(0), String::new()));
}

#[test]
fn redis() {
    let start = || Server::start("redis", &[]);
    a_market_is_on_the_bus_from_its_first_tick_to_its_last::<Redis>(&start());
    a_recording_at_full_speed_waits_for_the_bus_and_loses_nothing::<Redis>(&start());
    a_second_feed_is_refused_and_a_killed_ones_successor_is_not::<Redis>(&start());
}

#[test]
fn nats() {
    let start = || Server::start("nats", &["--jetstream"]);
    a_market_is_on_the_bus_from_its_first_tick_to_its_last::<Nats>(&start());
    a_recording_at_full_speed_waits_for_the_bus_and_loses_nothing::<Nats>(&start());
    a_second_feed_is_refused_and_a_killed_ones_successor_is_not::<Nats>(&start());
}

#[test]
fn a_bus_that_cannot_be_used_is_named_with_its_reason() {
    for scheme in ["redis", "nats"] {
        let out = format!("{scheme}://127.0.0.1:{}/t", free_port());
        let (code, stderr) = Feed::start(&out, &[]).end();
        assert_eq!(code, Some(1));
        let begin = format!("feed-sim: --out {out}: no connection within 10 s: ");
        assert!(stderr.starts_with(&begin) && stderr.len() > begin.len() + 5, "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let closed = Server::start("redis", &["--requirepass", "secret"]);
    let (code, stderr) = Feed::start(&closed.url, &[]).end();
    assert_eq!(code, Some(1));
    assert!(stderr.contains("NOAUTH") || stderr.contains("uthentication"), "{stderr}");
    let open = closed.url.replace("redis://", "redis://:secret@");
    let feed = Feed::start(&open, &["--progress"]);
    wait_for(|| look::<Redis>(&open));
    feed.signal("TERM");
    let (code, stderr) = feed.end();
    assert!(code == Some(0) && !stderr.contains("secret"), "{stderr}");
    let plain = Server::start("nats", &[]);
    let (code, stderr) = Feed::start(&plain.url, &[]).end();
    assert_eq!(code, Some(1));
    assert!(stderr.to_lowercase().contains("jetstream"), "{stderr}");
}
