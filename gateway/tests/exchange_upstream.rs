//! An upstream of the exchange's protocol, which is another gateway here: as a source, and recorded.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::certificate::Certificate;
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
fn trades_that_an_outage_cost_are_announced_with_their_number() {
    // Connections of two seconds' age are closed: a moment later there is another, and trades have gone by.
    let lively = [&QUIET[..], &["--rate", "2000", "--exchange-age", "2s"]].concat();
    let first = Gateway::start(&lively);
    let second = below(&first, &[]);
    let mut native = Subscriber::connect(second.listen, "tickcast.v1.json");
    native.subscribe(&["BTCUSDT.trade"], "");
    let mut stream = Subscriber::upgrade(second.listen, "/ws/btcusdt@trade", None);
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // The last trade's id and number, what was announced since, and the holes so far.
    let (mut last, mut announced, mut holes) = (None::<(u64, u64)>, 0, Vec::new());
    while holes.len() < 2 {
        assert!(Instant::now() < deadline, "no outage cost a trade: {holes:?}");
        let message: Value = serde_json::from_str(&native.next_text(PATIENCE)).unwrap();
        for event in message.as_array().into_iter().flatten() {
            if event["e"] == "gap" {
                for gap in event["gaps"].as_array().unwrap() {
                    assert_eq!(gap["topic"], "BTCUSDT.trade");
                    announced += number(&gap["count"]);
                }
            } else if event["e"] == "trade" {
                let (id, seq) = (number(&event["id"]), number(&event["seq"]));
                if let Some((last_id, last_seq)) = last {
                    assert_eq!(id - last_id - 1, announced, "after {last_id}: {event}");
                    assert_eq!(seq - last_seq - 1, announced, "after {last_seq}: {event}");
                }
                if announced > 0 {
                    holes.push((id, announced));
                }
                (last, announced) = (Some((id, seq)), 0);
            }
        }
    }
    // Who speaks the exchange's protocol sees it by the ids, and is not closed for it.
    let mut seen = Vec::new();
    while seen.last().is_none_or(|id| *id < holes[1].0) {
        let trade: Value = serde_json::from_str(&stream.next_text(PATIENCE)).unwrap();
        seen.push(trade["t"].as_u64().unwrap());
    }
    let jumps = seen.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    let jumps: Vec<(u64, u64)> = jumps.map(|pair| (pair[1], pair[1] - pair[0] - 1)).collect();
    assert!(jumps.ends_with(&holes[1..]), "{jumps:?} {holes:?}");
}

#[test]
fn an_upstream_is_taken_over_tls_if_its_certificate_is_known() {
    let certificate = Certificate::new();
    let (chain, key) = (certificate.file("chain.pem"), certificate.file("key.pem"));
    let first = Gateway::start(&[&QUIET[..], &["--tls-cert", &chain, "--tls-key", &key]].concat());
    let source = format!("binance:wss://localhost:{}", first.listen.port());
    let arguments = ["--source", &source, "--exchange-weight", "0", "--shards", "1"];
    let second = Gateway::start(&[&arguments[..], &["--source-ca", &chain]].concat());
    let book = until("the book to come through", || depth(&second));
    assert!(book["bids"].as_array().is_some_and(|bids| bids.len() == 50), "{book}");
    let mut client = Subscriber::upgrade(second.listen, STREAMS, None);
    let mut frames = BTreeMap::new();
    while frames.len() < 100 {
        collect(&mut client, &mut frames);
    }
    // Nobody vouches for it here.
    let stranger =
        Gateway::spawn(free_address(), &[&arguments[..], &["--log-level", "debug"]].concat());
    until("the certificate to be refused", || {
        stranger.process.log().contains("certificate").then_some(())
    });
    assert_ne!(get(stranger.admin, "/readyz").map(|(status, _)| status), Some(200));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("btc.gz");
    let url = format!("wss://localhost:{}", first.listen.port());
    let mut record = Command::new(env!("CARGO_BIN_EXE_gateway"));
    record.args(["record", "--url", &url, "--streams", "btcusdt@trade", "--ca", &chain]);
    let out = record.args(["--duration", "1s", "--out", path.to_str().unwrap()]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(path.metadata().is_ok_and(|file| file.len() > 0));
}

#[test]
fn what_is_recorded_can_be_replayed() {
    let upstream = Gateway::start(&QUIET);
    until("a book", || depth(&upstream));
    let folder = tempfile::tempdir().unwrap();
    let record = |streams: &str, out: &Path, time: &str| {
        let url = format!("ws://{}", upstream.listen);
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.args(["record", "--url", &url, "--streams", streams, "--out"]).arg(out);
        command.args(["--duration", time]).output().unwrap()
    };
    let streams = "btcusdt@trade,btcusdt@bookTicker,btcusdt@depth@100ms";
    // A busy machine needs longer.
    let found = ["3s", "10s", "30s"].into_iter().find_map(|time| {
        let path = folder.path().join(format!("btc-{time}.gz"));
        let out = record(streams, &path, time);
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{said}");
        let trades = trades(&path);
        (said.contains("1 books") && !trades.is_empty()).then_some((path, trades))
    });
    let (path, trades) = found.expect("a book, and trades");
    let again = record(streams, &path, "3s");
    assert_eq!(again.status.code(), Some(2), "a recording is not written over");
    assert!(String::from_utf8_lossy(&again.stderr).contains("exists already"));
    let silly = record("btcusdt@nothing", &folder.path().join("x"), "3s");
    assert_eq!(silly.status.code(), Some(2));
    let source = format!("replay:{}", path.display());
    let arguments = ["--source", &source, "--speed", "10", "--exchange-weight", "0"];
    let replay = Gateway::start(&[&arguments[..], &["--shards", "1"]].concat());
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

/// The recorded trades of a file.
fn trades(path: &Path) -> Vec<Value> {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    let frames = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, frame)| frame);
    let trades = frames.filter(|frame| frame.contains("@trade"));
    trades.map(|frame| serde_json::from_str(frame).unwrap()).collect()
}
