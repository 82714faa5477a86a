//! NATS as a bus, against real servers: what every bus must do, and what only NATS can do wrong.

#![forbid(unsafe_code)]

mod contract;
#[allow(dead_code, reason = "shared with the tests of Redis, which use the rest")]
mod machine;
mod nats_server;

use std::time::Duration;

use bus::inbox::Signal;
use bus::limits::{CLIENTS_BATCHES_KEPT, CLIENTS_BUCKET_FIRST};
use bus::{AppendError, Backend, Nats, Offset, Storage, StoreOptions};
use bytes::Bytes;
use contract::{PATIENCE, Peer, assert_chained};
use nats_server::NatsServer;

contract::contract!(Nats, NatsServer::start());

/// Longer than a busy machine stands still, shorter than anybody waits for what a killed server was asked.
const REQUEST: Duration = Duration::from_secs(10);

/// Appends through a connection that may be broken.
async fn append_surely(writer: &Peer<Nats>, bucket: u32, expected: Offset) -> Offset {
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
async fn a_log_on_disk_survives_a_killed_server() {
    let mut server = NatsServer::start();
    let writer = Peer::<Nats>::connect_with(&server.url(), 1 << 20, REQUEST).await;
    let store = StoreOptions { storage: Storage::File, ..StoreOptions::default() };
    writer.bus.establish(&store).await.unwrap();
    let mut reader = Peer::<Nats>::connect(&server.url()).await;
    reader.bus.subscribe(3).await.unwrap();
    let mut newest = Offset::START;
    for i in 0..50_u8 {
        newest = writer.bus.append(3, newest, Bytes::from(vec![i])).await.unwrap();
    }
    writer.bus.put_value("image.1", Bytes::from_static(b"v")).await.unwrap();
    server.kill();
    reader.until(|signal| matches!(signal, Signal::Disconnected(_)).then_some(())).await;
    server.restart();
    reader.until(|signal| (signal == Signal::Connected).then_some(())).await;
    // Behind this answer the subscription is in force again.
    reader.bus.tail(3).await.unwrap();
    let next = append_surely(&writer, 3, newest).await;
    assert_eq!(next, Offset(newest.0 + 1));
    let entry = reader.until(|signal| match signal {
        Signal::Entry(3, entry) if entry.offset == next => Some(entry),
        _ => None,
    });
    assert_eq!(entry.await.previous, newest);
    let log = reader.log(3, 1 << 20).await;
    assert_eq!(log.len(), 51);
    assert_chained(&log);
    let values = reader.bus.values(&["image.1".to_owned()]).await.unwrap();
    assert_eq!(values, [Some(Bytes::from_static(b"v"))]);
}

#[tokio::test]
async fn a_log_in_memory_that_was_lost_is_known_as_another() {
    let mut server = NatsServer::start();
    let writer = Peer::<Nats>::connect_with(&server.url(), 1 << 20, REQUEST).await;
    writer.bus.establish(&StoreOptions::default()).await.unwrap();
    let seen = writer.append(3, "a").await;
    assert_eq!(writer.bus.read(3, seen, 1000).await.unwrap().tail, seen);
    server.kill();
    server.restart();
    let established = async {
        while writer.bus.establish(&StoreOptions::default()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, established).await.unwrap();
    // Its numbers are higher already than what the reader has seen.
    for _ in 0..5 {
        writer.append(3, "b").await;
    }
    let slice = writer.bus.read(3, seen, 1000).await.unwrap();
    assert!(slice.tail < seen, "{slice:?}");
    assert_eq!(writer.bus.read(3, Offset::START, 1000).await.unwrap().entries.len(), 5);
}

#[tokio::test]
async fn a_forgotten_log_takes_any_expectation_and_still_says_what_was_before() {
    let server = NatsServer::start();
    let mut writer = Peer::<Nats>::connect(&server.url()).await;
    let store = StoreOptions { max_age: Duration::from_millis(300), ..StoreOptions::default() };
    writer.bus.establish(&store).await.unwrap();
    writer.bus.subscribe(1).await.unwrap();
    let first = writer.append(1, "old").await;
    let clients = CLIENTS_BUCKET_FIRST;
    let kept = writer.append(clients, "kept by count").await;
    let forgotten = async {
        while writer.bus.tail(1).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("old entries go");
    assert_eq!(writer.bus.read(1, first, 1000).await.unwrap().tail, first, "not another log");
    let second = writer.bus.append(1, first, Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(writer.entry().await.1.offset, first);
    let (_, entry) = writer.entry().await;
    assert_eq!((entry.previous, entry.offset), (first, second));
    assert_eq!(writer.bus.tail(clients).await.unwrap().unwrap().offset, kept);
}

#[tokio::test]
async fn what_clients_write_is_kept_by_count() {
    let server = NatsServer::start();
    let writer = Peer::<Nats>::writer(&server.url()).await;
    let mut newest = Offset::START;
    for _ in 0..CLIENTS_BATCHES_KEPT + 10 {
        let payload = Bytes::from_static(b"x");
        newest = writer.bus.append(CLIENTS_BUCKET_FIRST, newest, payload).await.unwrap();
    }
    let log = writer.log(CLIENTS_BUCKET_FIRST, 1 << 20).await;
    assert_eq!(log.len(), CLIENTS_BATCHES_KEPT as usize);
    assert!(log[0].previous > Offset::START, "the hole shows");
    assert_chained(&log);
}

#[tokio::test]
async fn nothing_of_other_buckets_is_received() {
    let server = NatsServer::start();
    let writer = Peer::<Nats>::writer(&server.url()).await;
    let mut reader = {
        let (sender, inbox) = bus::inbox::inbox(64 << 20);
        let name = "the reader".to_owned();
        let options = bus::ConnectOptions { name, request_timeout: PATIENCE, inbox: sender };
        Peer { bus: Nats::connect(&server.url(), options).await.unwrap(), inbox }
    };
    reader.until(|signal| (signal == Signal::Connected).then_some(())).await;
    let wanted = [17, 42];
    for bucket in wanted {
        reader.bus.subscribe(bucket).await.unwrap();
    }
    // Behind this answer the subscriptions are in force.
    reader.bus.values(&["image.0".to_owned()]).await.unwrap();
    let before = server.sent_to("the reader");
    for round in 0..5_u8 {
        for bucket in 0..64 {
            writer.append(bucket, vec![round; 100]).await;
        }
    }
    for _ in 0..5 * wanted.len() {
        assert!(wanted.contains(&reader.entry().await.0));
    }
    assert_eq!(server.sent_to("the reader") - before, 5 * wanted.len() as u64);
}
