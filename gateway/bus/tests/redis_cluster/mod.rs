//! A Redis cluster as a bus, against three real nodes: what every bus must do, and moving slots.

use bus::inbox::Signal;
use bus::{AppendError, Backend, Offset, Redis};
use bytes::Bytes;

use crate::contract::{PATIENCE, Peer, contract};
use crate::redis_server::{RedisCluster, RedisServer};

contract!(Redis, RedisCluster::start());

#[tokio::test]
async fn buckets_are_spread_and_go_to_subscribers_of_their_shard() {
    let cluster = RedisCluster::start();
    let writer = Peer::<Redis>::writer(&cluster.url()).await;
    let mut reader = Peer::<Redis>::connect(&cluster.url()).await;
    for bucket in 0..30 {
        reader.bus.subscribe(bucket).await.unwrap();
        writer.append(bucket, "x").await;
        assert_eq!(reader.entry().await.0, bucket);
    }
    for node in &cluster.nodes {
        let channels = node.cli(&["PUBSUB", "SHARDCHANNELS", "*{b*"]);
        let count = channels.lines().count();
        assert!((1..30).contains(&count), "{channels}");
    }
}

#[tokio::test]
async fn a_slot_that_moves_takes_its_log_and_its_readers_along() {
    let cluster = RedisCluster::start();
    let writer = Peer::<Redis>::writer(&cluster.url()).await;
    let mut reader = Peer::<Redis>::connect(&cluster.url()).await;
    reader.bus.subscribe(5).await.unwrap();
    let mut newest = Offset::START;
    for _ in 0..10 {
        newest = writer.bus.append(5, newest, Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(reader.entry().await.1.offset, newest);
    }
    let key = "tickcast:{b5}:log";
    let from = cluster.node_of(key);
    let to = cluster.nodes.iter().find(|node| node.port() != from.port()).unwrap();
    move_slot(&cluster, key, from, to, async || {
        // Asked at the old node, answered by the new one, while it is on its way.
        newest = writer.bus.append(5, newest, Bytes::from_static(b"on its way")).await.unwrap();
    })
    .await;
    assert_eq!(cluster.node_of(key).port(), to.port());
    reader.until(|signal| (signal == Signal::Connected).then_some(())).await;
    let offset = append_surely(&writer, newest).await;
    let entry = reader
        .until(|signal| match signal {
            Signal::Entry(5, entry) if entry.offset == offset => Some(entry),
            _ => None,
        })
        .await;
    assert_eq!(entry.previous, newest);
    assert_eq!(writer.log(5, 1000).await.len(), 12);
}

async fn append_surely(writer: &Peer<Redis>, expected: Offset) -> Offset {
    let appended = async {
        let mut is_in_doubt = false;
        loop {
            match writer.bus.append(5, expected, Bytes::from_static(b"x")).await {
                Ok(offset) => return offset,
                // Nobody else appends: it was the one before.
                Err(AppendError::Conflict { actual }) if is_in_doubt => return actual,
                Err(AppendError::Unknown(_)) => is_in_doubt = true,
                Err(error) => {
                    assert!(!matches!(error, AppendError::Conflict { .. }), "{error:?}");
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, appended).await.expect("the cluster settles")
}

/// Moves the slot of a key as a resharding does, and does something when its keys are all over there but
/// the slot is not yet.
async fn move_slot(
    cluster: &RedisCluster,
    key: &str,
    from: &RedisServer,
    to: &RedisServer,
    between: impl AsyncFnOnce(),
) {
    let slot = from.cli(&["CLUSTER", "KEYSLOT", key]);
    let (from_id, to_id) = (from.cli(&["CLUSTER", "MYID"]), to.cli(&["CLUSTER", "MYID"]));
    assert_eq!(to.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]), "OK");
    assert_eq!(from.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]), "OK");
    let keys = from.cli(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    let port = to.port().to_string();
    let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "60000", "KEYS"];
    migrate.extend(keys.lines());
    assert_eq!(from.cli(&migrate), "OK");
    between().await;
    for node in [to, from] {
        assert_eq!(node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]), "OK");
    }
    for node in &cluster.nodes {
        // The third hears it from the others sooner or later; told, it is sooner.
        node.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
}

#[tokio::test]
async fn a_url_that_calls_a_cluster_a_server_is_told_so() {
    let cluster = RedisCluster::start();
    let single = format!("redis://127.0.0.1:{}", cluster.nodes[0].port()).parse().unwrap();
    let (sender, mut inbox) = bus::inbox::inbox(1000);
    let options =
        bus::ConnectOptions { name: "x".to_owned(), request_timeout: PATIENCE, inbox: sender };
    let _bus = Redis::connect(&single, options).await.unwrap();
    crate::assert_refused(&mut inbox, "topology=cluster").await;
}
