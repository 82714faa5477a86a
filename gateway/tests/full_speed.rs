//! Replay at `--speed max`: the source waits for shards and subscribers, so that nothing is lost
//! however small ring and log are and however slowly a client reads.

mod support;

use std::time::Duration;

use support::process::Gateway;
use support::recordings;
use support::subscriber::{Message, Subscriber};

const JSON: &str = "tickcast.v1.json";

/// Trades of the ETHUSDT recording.
const TRADES: usize = 6_106;

/// A gateway whose ring and log hold a small part of the recording.
fn small_gateway(shards: &str) -> Gateway {
    let source = format!("replay:{}", recordings().join("spot_ethusdt_20240808.gz").display());
    Gateway::start(&[
        "--source",
        &source,
        "--speed",
        "max",
        "--replay-start",
        "first-subscriber",
        // The recording's snapshot is a group of 2,500 records, and a ring has room for four of those.
        "--ring-capacity",
        "16384",
        "--log-entries",
        "4096",
        "--shards",
        shards,
        // The client below is slow on purpose and must not be disconnected for it.
        "--slow-age",
        "5m",
    ])
}

/// What a client got, to the end of the feed.
#[derive(Debug, Default)]
struct Got {
    trades: usize,
    /// Gap entries for any reason but conflation.
    lost: Vec<String>,
}

/// Reads to the end of the feed, waiting a while after each message.
fn read_all(subscriber: &mut Subscriber, pause: Duration) -> Got {
    let mut got = Got::default();
    loop {
        match subscriber.next(Duration::from_secs(60)) {
            Some(Message::Text(text)) => {
                let events: serde_json::Value = serde_json::from_str(&text).unwrap();
                for event in events.as_array().into_iter().flatten() {
                    match event["e"].as_str().unwrap_or_default() {
                        "trade" => got.trades += 1,
                        "gap" => {
                            let gaps = event["gaps"].as_array().unwrap().iter();
                            let lost = gaps.filter(|gap| gap["reason"] != "conflated");
                            got.lost.extend(lost.map(ToString::to_string));
                        }
                        "feed" if event["state"] == "stopped" => return got,
                        _ => {}
                    }
                }
            }
            other => panic!("the stream stays up: {other:?}"),
        }
        std::thread::sleep(pause);
    }
}

#[test]
fn a_small_ring_and_log_lose_nothing() {
    let gateway = small_gateway("1");
    let mut subscriber = Subscriber::connect(gateway.listen, JSON);
    subscriber.subscribe(&["ETHUSDT.trade", "ETHUSDT.depth", "ETHUSDT.quote"], "");
    let got = read_all(&mut subscriber, Duration::ZERO);
    assert_eq!((got.trades, got.lost), (TRADES, Vec::new()));
    assert_eq!(gateway.metric("tickcast_ring_lapped_total"), 0.0);
}

#[test]
fn the_source_waits_for_a_client_that_reads_slowly() {
    // Whoever subscribed second may have missed the begin, and only that; more of it on a busy machine.
    let attempts: Vec<(Got, Got)> = (0..5).map_while(|_| a_slow_and_a_fast_client()).collect();
    assert!(attempts.len() < 5, "{attempts:?}");
}

/// What both got, if one of them missed more than the begin.
fn a_slow_and_a_fast_client() -> Option<(Got, Got)> {
    let gateway = small_gateway("2");
    let mut slow = Subscriber::connect(gateway.listen, JSON);
    let mut fast = Subscriber::connect(gateway.listen, JSON);
    let topics = ["ETHUSDT.trade", "ETHUSDT.depth", "ETHUSDT.quote"];
    let fast = std::thread::spawn(move || {
        fast.subscribe(&topics, "");
        read_all(&mut fast, Duration::ZERO)
    });
    slow.subscribe(&topics, "");
    let slow = read_all(&mut slow, Duration::from_millis(2));
    let fast = fast.join().unwrap();
    assert!(slow.trades.max(fast.trades) == TRADES, "{slow:?} {fast:?}");
    assert!(slow.lost.is_empty() && fast.lost.is_empty(), "{slow:?} {fast:?}");
    (slow.trades.min(fast.trades) <= TRADES * 9 / 10).then_some((slow, fast))
}
