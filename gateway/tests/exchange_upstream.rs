//! An upstream of the exchange's protocol, which is another gateway here: as a source, and recorded.

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::process::{Gateway, PATIENCE, free_address, get, until};
use support::subscriber::Subscriber;

const QUIET: [&str; 6] = ["--shards", "1", "--symbols", "2", "--exchange-weight", "0"];
const STREAMS: &str = "/stream?streams=btcusdt@trade/btcusdt@bookTicker/btcusdt@depth@100ms";

fn below(upstream: &Gateway, more: &[&str]) -> Gateway {
    let source = format!("binance:ws://{}", upstream.listen);
    Gateway::start(
        &[&["--source", &source, "--exchange-weight", "0", "--shards", "1"], more].concat(),
    )
}

/// Frames by what they are: the trade's id, the quote's update id, the depth event's first.
fn collect(subscriber: &mut Subscriber, frames: &mut BTreeMap<(String, u64), String>) {
    let text = subscriber.next_text(PATIENCE);
    let frame: Value = serde_json::from_str(&text).unwrap();
    let stream = frame["stream"].as_str().unwrap().to_owned();
    let key = if stream.ends_with("trade") {
        "t"
    } else if stream.ends_with("bookTicker") {
        "u"
    } else {
        "U"
    };
    let id = frame["data"][key].as_u64().unwrap_or_else(|| panic!("{text}"));
    frames.insert((stream, id), text);
}

fn depth(gateway: &Gateway) -> Option<Value> {
    let (status, body) = get(gateway.listen, "/api/v3/depth?symbol=BTCUSDT&limit=50")?;
    (status == 200).then(|| serde_json::from_str(&body).unwrap())
}

#[test]
fn the_second_gateways_streams_are_the_firsts() {
    let first = Gateway::start(&[&QUIET[..], &["--rate", "400"]].concat());
    let second = below(&first, &[]);
    until("the book to come through", || depth(&second));
    let mut one = Subscriber::upgrade(first.listen, STREAMS, None);
    let mut other = Subscriber::upgrade(second.listen, STREAMS, None);
    let (mut frames, mut again) = (BTreeMap::new(), BTreeMap::new());
    let deadline = Instant::now() + PATIENCE;
    loop {
        for _ in 0..50 {
            collect(&mut one, &mut frames);
            collect(&mut other, &mut again);
        }
        let both = |stream: &str| {
            let common = frames.keys().filter(|key| again.contains_key(*key));
            common.filter(|(name, _)| name.ends_with(stream)).count()
        };
        if both("trade") >= 20 && both("bookTicker") >= 100 && both("depth@100ms") >= 10 {
            break;
        }
        assert!(Instant::now() < deadline, "too little came through");
    }
    for (key, frame) in &frames {
        if let Some(same) = again.get(key) {
            assert_eq!(frame, same);
        }
    }
    // Trades come one by one: nothing is missing in between.
    let ids: Vec<u64> =
        again.keys().filter(|(name, _)| name.ends_with("trade")).map(|(_, id)| *id).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ids:?}");
}

#[test]
fn books_are_the_same_again_after_an_outage() {
    // Slow enough that both are at the same update now and then.
    let slow = [&QUIET[..], &["--rate", "40"]].concat();
    let address = free_address();
    let mut first = Gateway::spawn(address, &slow);
    let second = below(&first, &["--feed-silent-after", "300ms"]);
    let same_book = || {
        until("both to have the same book", || {
            let (one, other) = (depth(&first)?, depth(&second)?);
            (one["lastUpdateId"] == other["lastUpdateId"]).then_some((one, other))
        })
    };
    let (one, other) = same_book();
    assert_eq!(one, other);
    let mut native = Subscriber::connect(second.listen, "tickcast.v1.json");
    native.subscribe(&["BTCUSDT.trade"], "");
    let wait_for = |native: &mut Subscriber, what: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !native.next_text(PATIENCE).contains(what) {
            assert!(Instant::now() < deadline, "waited for {what}");
        }
    };
    first.process.kill();
    wait_for(&mut native, r#""state":"silent""#);
    // Longer than its clients' pauses, so that trades are missing.
    std::thread::sleep(Duration::from_secs(1));
    first = Gateway::spawn(address, &slow);
    wait_for(&mut native, r#""state":"live""#);
    wait_for(&mut native, r#""e":"trade""#);
    let (one, other) = until("both to have the same book again", || {
        let (one, other) = (depth(&first)?, depth(&second)?);
        (one["lastUpdateId"] == other["lastUpdateId"]).then_some((one, other))
    });
    assert_eq!(one, other);
}

#[test]
fn what_is_recorded_can_be_replayed() {
    let upstream = Gateway::start(&QUIET);
    until("a book", || depth(&upstream));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("btc.gz");
    let record = |streams: &str, out: &str| {
        let url = format!("ws://{}", upstream.listen);
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.args(["record", "--url", &url, "--streams", streams, "--out", out]);
        command.args(["--duration", "3s"]).output().unwrap()
    };
    let streams = "btcusdt@trade,btcusdt@bookTicker,btcusdt@depth@100ms";
    let out = record(streams, path.to_str().unwrap());
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && said.contains("1 books"), "{said}");
    let again = record(streams, path.to_str().unwrap());
    assert_eq!(again.status.code(), Some(2), "a recording is not written over");
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"));
    let silly = record("btcusdt@nothing", folder.path().join("x").to_str().unwrap());
    assert_eq!(silly.status.code(), Some(2));

    let mut text = String::new();
    let file = std::fs::File::open(&path).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    let frames = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, frame)| frame);
    let trades: Vec<Value> = frames
        .filter(|frame| frame.contains("@trade"))
        .map(|frame| serde_json::from_str(frame).unwrap())
        .collect();
    assert!(!trades.is_empty());
    let source = format!("replay:{}", path.display());
    let replay = Gateway::start(&["--source", &source, "--speed", "10", "--shards", "1"]);
    let last = trades.last().unwrap();
    let played = until("the last trade", || {
        let (_, body) = get(replay.listen, "/api/v3/trades?symbol=BTCUSDT&limit=1000")?;
        let played: Value = serde_json::from_str(&body).unwrap();
        let end = played.as_array()?.last()?.clone();
        (end["id"] == last["data"]["t"]).then_some(played)
    });
    let kept = played.as_array().unwrap();
    for (frame, trade) in trades.iter().rev().zip(kept.iter().rev()) {
        assert_eq!((&frame["data"]["t"], &frame["data"]["p"]), (&trade["id"], &trade["price"]));
    }
    assert!(depth(&replay).is_some(), "the recorded book is there");
}
