//! Redis as a bus, against real servers: what every bus must do, and what only Redis can do wrong.

#![forbid(unsafe_code)]

mod contract;
mod machine;
mod redis_cluster;
mod redis_server;

use std::time::Duration;

use bus::inbox::{Inbox, Signal};
use bus::limits::{CLIENTS_BATCHES_KEPT, CLIENTS_BUCKET_FIRST};
use bus::{AppendError, Backend, BusError, Offset, Redis, StoreOptions};
use bytes::Bytes;
use contract::{PATIENCE, Peer, assert_chained};
use machine::free_port;
use redis_server::RedisServer;

contract::contract!(Redis, RedisServer::start());

#[tokio::test]
async fn offsets_are_dense() {
    let server = RedisServer::start();
    let writer = Peer::<Redis>::writer(&server.url()).await;
    for i in 1..=20 {
        assert_eq!(writer.append(9, "x").await, Offset(i));
    }
}

#[tokio::test]
async fn a_log_is_trimmed_by_time_and_by_size() {
    let server = RedisServer::start();
    let writer = Peer::<Redis>::connect(&server.url()).await;
    let mut store = StoreOptions {
        max_age: Duration::from_millis(400),
        max_bytes: 1 << 30,
        ..StoreOptions::default()
    };
    writer.bus.establish(&store).await.unwrap();
    writer.append(1, "old").await;
    // Until a mark is older than what is kept, nothing goes.
    let mut newest = writer.append(1, "old too").await;
    let mut oldest = Offset(1);
    let trimmed = async {
        while oldest.0 < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            newest = writer.append(1, "new").await;
            oldest = writer.bus.read(1, Offset::START, 1).await.unwrap().entries[0].offset;
        }
    };
    tokio::time::timeout(PATIENCE, trimmed).await.expect("old entries go");
    let slice = writer.bus.read(1, Offset(1), 1 << 20).await.unwrap();
    let first = &slice.entries[0];
    assert!(first.previous > Offset(1), "the hole shows");
    assert_chained(&slice.entries);
    assert_eq!(slice.tail, newest);

    store.max_age = Duration::from_secs(3600);
    store.max_bytes = 16_000;
    writer.bus.establish(&store).await.unwrap();
    for _ in 0..100 {
        writer.append(2, vec![0; 1000]).await;
    }
    let kept = writer.log(2, 1 << 20).await;
    assert!((16..=18).contains(&kept.len()), "{} entries of 1,000 bytes", kept.len());
    assert_eq!(kept.last().unwrap().offset, Offset(100));

    // What clients write is kept by count, however large or old.
    let bucket = CLIENTS_BUCKET_FIRST + 1;
    let mut newest = Offset::START;
    for _ in 0..CLIENTS_BATCHES_KEPT + 1000 {
        newest = writer.bus.append(bucket, newest, vec![0; 100].into()).await.unwrap();
    }
    let kept = writer.log(bucket, 1 << 20).await.len();
    let expected = CLIENTS_BATCHES_KEPT as usize;
    assert!((expected..=expected + expected / 16).contains(&kept), "{kept} entries");
}

#[tokio::test]
async fn a_killed_connection_is_made_again_with_its_subscriptions() {
    let server = RedisServer::start();
    let writer = Peer::<Redis>::writer(&server.url()).await;
    let mut reader = Peer::<Redis>::connect(&server.url()).await;
    for bucket in 0..300 {
        reader.bus.subscribe(bucket).await.unwrap();
    }
    for _ in 0..3 {
        server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        reader.until(|signal| matches!(signal, Signal::Disconnected(_)).then_some(())).await;
        reader.until(|signal| (signal == Signal::Connected).then_some(())).await;
        // The writer's session may be ending at this moment, too.
        let asked = async {
            loop {
                match writer.bus.tail(299).await {
                    Ok(newest) => return newest,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let newest = tokio::time::timeout(PATIENCE, asked).await.expect("it answers");
        let expected = newest.map_or(Offset::START, |entry| entry.offset);
        let offset = append_surely(&writer, 299, expected).await;
        assert_eq!(reader.entry().await.1.offset, offset);
    }
}

/// Appends through a connection that may be broken.
async fn append_surely(writer: &Peer<Redis>, bucket: u32, expected: Offset) -> Offset {
    let appended = async {
        loop {
            match writer.bus.append(bucket, expected, Bytes::from_static(b"x")).await {
                Ok(offset) | Err(AppendError::Conflict { actual: offset }) => return offset,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, appended).await.expect("the bus comes back")
}

#[tokio::test]
async fn only_what_is_wanted_is_received() {
    let server = RedisServer::start();
    let writer = Peer::<Redis>::writer(&server.url()).await;
    let mut reader = Peer::<Redis>::connect(&server.url()).await;
    reader.bus.subscribe(1).await.unwrap();
    let wanted = ["PUBSUB", "NUMSUB", "tickcast:{b1}:live", "tickcast:{b2}:live"];
    let counts = server.cli(&wanted);
    let counts: Vec<&str> = counts.split_whitespace().collect();
    assert_eq!(counts, ["tickcast:{b1}:live", "1", "tickcast:{b2}:live", "0"]);
    // The server's own counter: it sends nothing of the 500,000 bytes to who does not want them.
    let mut newest = Offset::START;
    let mut sent = Vec::new();
    for interest in [1, 2] {
        reader.bus.subscribe(interest).await.unwrap();
        let before = server.info("total_net_output_bytes");
        for _ in 0..50 {
            newest = writer.bus.append(2, newest, vec![0; 10_000].into()).await.unwrap();
        }
        writer.append(1, "wanted").await;
        while reader.entry().await.0 != 1 {}
        sent.push(server.info("total_net_output_bytes") - before);
    }
    assert!(sent[0] < 50_000 && sent[1] > 500_000, "{sent:?}");
    reader.bus.unsubscribe(1).await.unwrap();
    assert_eq!(
        server.cli(&["PUBSUB", "NUMSUB", "tickcast:{b1}:live"]).split_whitespace().last(),
        Some("0")
    );
}

#[tokio::test]
async fn a_restart_loses_nothing_that_was_acknowledged() {
    let mut server = RedisServer::start_persistent();
    let mut writer = Peer::<Redis>::writer(&server.url()).await;
    writer.bus.subscribe(1).await.unwrap();
    let mut acknowledged = Offset::START;
    for round in 0..3_u8 {
        for _ in 0..50 {
            acknowledged = append_surely(&writer, 1, acknowledged).await;
        }
        server.kill();
        writer.until(|signal| matches!(signal, Signal::Disconnected(_)).then_some(())).await;
        server.restart();
        writer.until(|signal| (signal == Signal::Connected).then_some(())).await;
        let log = writer.log(1, 1 << 20).await;
        assert_chained(&log);
        assert_eq!(log.len(), 50 * (usize::from(round) + 1));
        assert_eq!(log.last().unwrap().offset, acknowledged);
    }
}

#[tokio::test]
async fn a_server_that_forgot_everything_says_so() {
    let mut server = RedisServer::start();
    let mut writer = Peer::<Redis>::writer(&server.url()).await;
    let offset = writer.append(1, "x").await;
    server.kill();
    writer.until(|signal| matches!(signal, Signal::Disconnected(_)).then_some(())).await;
    server.restart();
    writer.until(|signal| (signal == Signal::Connected).then_some(())).await;
    let error = writer.bus.append(1, offset, Bytes::from_static(b"y")).await.unwrap_err();
    assert!(matches!(error, AppendError::Refused(BusError::Missing)), "{error:?}");
    assert_eq!(writer.bus.read(1, offset, 1000).await.unwrap().tail, Offset::START);
    writer.bus.establish(&StoreOptions::default()).await.unwrap();
    let error = writer.bus.append(1, offset, Bytes::from_static(b"y")).await.unwrap_err();
    let conflict = matches!(error, AppendError::Conflict { actual: Offset::START });
    assert!(conflict, "{error:?}");
}

#[tokio::test]
async fn a_short_stall_is_waited_for() {
    let server = RedisServer::start();
    let writer = Peer::<Redis>::writer(&server.url()).await;
    let mut reader = Peer::<Redis>::connect(&server.url()).await;
    reader.bus.subscribe(1).await.unwrap();
    server.signal(nix::sys::signal::Signal::SIGSTOP);
    let append = writer.bus.append(1, Offset::START, Bytes::from_static(b"late"));
    let stall = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.signal(nix::sys::signal::Signal::SIGCONT);
    };
    let (appended, ()) = tokio::join!(append, stall);
    assert_eq!(appended.unwrap(), Offset(1));
    let entry = reader
        .until(|signal| match signal {
            Signal::Entry(_, entry) => Some(entry),
            Signal::Disconnected(reason) => panic!("{reason}"),
            _ => None,
        })
        .await;
    assert_eq!(entry.offset, Offset(1));
}

#[tokio::test]
async fn a_long_stall_is_a_fault_and_the_append_is_settled_by_the_log() {
    let server = RedisServer::start();
    let url = server.url();
    let timeout = Duration::from_millis(500);
    let mut writer = Peer::<Redis>::connect_with(&url, 1 << 20, timeout).await;
    let settled = Peer::<Redis>::writer(&url).await;
    append_surely(&writer, 1, Offset::START).await;
    server.signal(nix::sys::signal::Signal::SIGSTOP);
    let error = writer.bus.append(1, Offset(1), Bytes::from_static(b"?")).await.unwrap_err();
    // Refused: on a slow machine the connection had been given up before, so that it was not even sent.
    let is_refused =
        matches!(error, AppendError::Refused(BusError::TimedOut | BusError::Unreachable(_)));
    assert!(is_refused || matches!(error, AppendError::Unknown(_)), "{error:?}");
    writer.until(|signal| matches!(signal, Signal::Disconnected(_)).then_some(())).await;
    assert!(writer.bus.tail(1).await.is_err());
    server.signal(nix::sys::signal::Signal::SIGCONT);
    writer.until(|signal| (signal == Signal::Connected).then_some(())).await;
    // Executed before, after or instead of the one whose outcome was not known: once in any case.
    let newest = append_surely(&writer, 1, Offset(1)).await;
    assert_eq!(newest, Offset(2));
    assert_eq!(settled.log(1, 1000).await.len(), 2);
}

#[tokio::test]
async fn a_reader_that_the_server_throws_out_comes_back() {
    // The server drops subscribers whose buffer grows beyond this.
    let limit = ["--save", "", "--client-output-buffer-limit", "pubsub 1mb 0 0"];
    let server = RedisServer::start_with(&limit);
    let writer = Peer::<Redis>::writer(&server.url()).await;
    let mut reader = Peer::<Redis>::connect(&server.url()).await;
    reader.bus.subscribe(1).await.unwrap();
    // One entry larger than the limit, written while the connection's own buffers take only a part.
    let mut newest = Offset::START;
    let thrown_out = async {
        loop {
            newest = writer.bus.append(1, newest, vec![0; 8 << 20].into()).await.unwrap();
            if let Some(Signal::Disconnected(_)) = reader.inbox.try_next() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, thrown_out).await.expect("the limit is reached");
    reader.until(|signal| (signal == Signal::Connected).then_some(())).await;
    let offset = append_surely(&writer, 1, newest).await;
    let live = reader
        .until(|signal| match signal {
            Signal::Entry(_, entry) if entry.offset == offset => Some(entry),
            _ => None,
        })
        .await;
    assert_eq!(live.previous, newest);
}

#[tokio::test]
async fn a_password_is_given() {
    let server = RedisServer::start_with(&["--save", "", "--requirepass", "s3cret/+"]);
    let port = server.port();
    let url = format!("redis://:s3cret%2F+@127.0.0.1:{port}/p").parse().unwrap();
    let writer = Peer::<Redis>::writer(&url).await;
    writer.append(1, "x").await;

    let (sender, mut inbox) = bus::inbox::inbox(1000);
    let options =
        bus::ConnectOptions { name: "x".to_owned(), request_timeout: PATIENCE, inbox: sender };
    let without = format!("redis://127.0.0.1:{port}/p").parse().unwrap();
    let _bus = Redis::connect(&without, options).await.unwrap();
    assert_refused(&mut inbox, "auth").await;
}

/// Where the address is for the process that the next test starts.
const TLS_PEER: &str = "TICKCAST_TEST_TLS_PEER";

#[tokio::test]
async fn certificates_are_checked_against_the_roots() {
    // The roots are the process's, so a process with others is another process: this test, once more.
    if let Ok(url) = std::env::var(TLS_PEER) {
        let writer = Peer::<Redis>::writer(&url.parse().unwrap()).await;
        writer.append(1, "over TLS").await;
        println!("appended");
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("certificate"), made.cert.pem()).unwrap();
    std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    let port = free_port().to_string();
    let (certificate, key) = (path("certificate"), path("key"));
    let mut settings = vec!["--save", "", "--tls-port", &port, "--tls-auth-clients", "no"];
    settings.extend(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
    settings.extend(["--tls-ca-cert-file", &certificate]);
    let server = RedisServer::start_with(&settings);
    let url = format!("rediss://localhost:{port}");

    let peer = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "certificates_are_checked_against_the_roots", "--nocapture"])
        .env(TLS_PEER, &url)
        .env("SSL_CERT_FILE", &certificate)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&peer.stdout);
    assert!(peer.status.success() && said.contains("appended"), "{said}");
    assert_eq!(server.cli(&["XLEN", "tickcast:{b1}:log"]), "1");

    // Here it is a stranger's.
    let (sender, mut inbox) = bus::inbox::inbox(1000);
    let options =
        bus::ConnectOptions { name: "x".to_owned(), request_timeout: PATIENCE, inbox: sender };
    let _bus = Redis::connect(&url.parse().unwrap(), options).await.unwrap();
    assert_refused(&mut inbox, "certificate").await;
}

/// No connection comes about, and why is said: at the first attempt, or a later one where a machine is too slow for that.
async fn assert_refused(inbox: &mut Inbox, why: &str) {
    let refused = async {
        loop {
            let signal = inbox.next().await;
            let Signal::Disconnected(reason) = signal else { panic!("{signal:?}") };
            if reason.to_lowercase().contains(why) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect(why);
}

#[tokio::test]
async fn an_evicted_head_is_found_again() {
    let server = RedisServer::start();
    let writer = Peer::<Redis>::writer(&server.url()).await;
    writer.append(1, "a").await;
    writer.append(1, "b").await;
    server.cli(&["DEL", "tickcast:{b1}:head", "tickcast:{b1}:marks"]);
    let offset = writer.bus.append(1, Offset(2), Bytes::from_static(b"c")).await.unwrap();
    assert_eq!(offset, Offset(3));
}
