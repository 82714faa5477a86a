//! Every stream there is, of a simulated market: each has events, with the documented members in their
//! order, of the symbol that was asked for.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::{PATIENCE, connect, gateway, json, symbols};

const TRADE: &str = "e E s t p q T m M";
const AGG_TRADE: &str = "e E s a p q f l T m M";
const BOOK_TICKER: &str = "u s b B a A";
const MINI_TICKER: &str = "e E s c o h l v q";
const TICKER: &str = "e E s p P w x c Q b B a A o h l v q O C F L n";
const ROLLING: &str = "e E s p P o h l c w v q O C F L n";
const KLINE: &str = "e E s k t T s i f L o c h l v n x q V Q B";
const AVERAGE: &str = "e E s i w T";
const DEPTH: &str = "e E s U u b a";
const PARTIAL: &str = "lastUpdateId bids asks";

const INTERVALS: [&str; 16] = [
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w",
    "1M",
];

/// The names of members in a text of JSON, in their order, nested ones too.
fn members(text: &str) -> String {
    let is_name = |part: &str| part.starts_with(':');
    let parts: Vec<&str> = text.split('"').collect();
    let names = parts.windows(2).skip(1).step_by(2).filter(|pair| is_name(pair[1]));
    names.map(|pair| pair[0]).collect::<Vec<&str>>().join(" ")
}

/// Stream, its events' members, and the event's name where it has one.
fn streams(symbol: &str) -> BTreeMap<String, (&'static str, Option<String>)> {
    let mut all = BTreeMap::new();
    let mut add = |name: String, members, event: &str| {
        all.insert(name, (members, (!event.is_empty()).then(|| event.to_owned())));
    };
    let of = |channel: &str| format!("{symbol}@{channel}");
    add(of("trade"), TRADE, "trade");
    add(of("aggTrade"), AGG_TRADE, "aggTrade");
    add(of("bookTicker"), BOOK_TICKER, "");
    add(of("miniTicker"), MINI_TICKER, "24hrMiniTicker");
    add(of("ticker"), TICKER, "24hrTicker");
    add(of("avgPrice"), AVERAGE, "avgPrice");
    add("!miniTicker@arr".to_owned(), MINI_TICKER, "24hrMiniTicker");
    add("!ticker@arr".to_owned(), TICKER, "24hrTicker");
    for window in ["1h", "4h", "1d"] {
        add(of(&format!("ticker_{window}")), ROLLING, &format!("{window}Ticker"));
        add(format!("!ticker_{window}@arr"), ROLLING, &format!("{window}Ticker"));
    }
    for interval in INTERVALS {
        add(of(&format!("kline_{interval}")), KLINE, "kline");
    }
    for interval in INTERVALS {
        add(of(&format!("kline_{interval}@+08:00")), KLINE, "kline");
    }
    for speed in ["", "@100ms"] {
        add(of(&format!("depth{speed}")), DEPTH, "depthUpdate");
        for levels in [5, 10, 20] {
            add(of(&format!("depth{levels}{speed}")), PARTIAL, "");
        }
    }
    all
}

/// Whether days, and what days are a multiple of, begin at midnight of UTC, or of UTC+8.
fn begins_there(kline: &serde_json::Value, is_ahead: bool) -> bool {
    const DAY_MS: u64 = 86_400_000;
    const AHEAD_MS: u64 = 8 * 3_600_000;
    let midnight_ms = kline["t"].as_u64().unwrap() + if is_ahead { AHEAD_MS } else { 0 };
    let length_ms = kline["T"].as_u64().unwrap() + 1 - kline["t"].as_u64().unwrap();
    midnight_ms.is_multiple_of(length_ms.min(DAY_MS))
}

/// The most events of a kline's stream within a time, if none is of a bar that is over.
const fn told_at_most(elapsed_ms: u64) -> u64 {
    elapsed_ms / 2_000 + 1
}

#[test]
fn klines_of_a_minute_and_more_come_every_two_seconds() {
    let gateway = gateway(&[]);
    let symbol = symbols(&gateway).remove(0);
    let names = ["kline_1s", "kline_1m", "kline_1d@+08:00"].map(|name| format!("{symbol}@{name}"));
    let mut client = connect(&gateway, &format!("/stream?streams={}", names.join("/")));
    let mut told: BTreeMap<String, Vec<(u64, bool)>> = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE;
    while told.get(&names[1]).is_none_or(|all| all.len() < 4) {
        assert!(Instant::now() < deadline, "{told:?}");
        let event = json(&client.next_text(PATIENCE));
        let name = event["stream"].as_str().unwrap().to_owned();
        let told_ms = event["data"]["E"].as_u64().unwrap();
        told.entry(name).or_default().push((told_ms, event["data"]["k"]["x"] == true));
    }
    for name in &names[1..] {
        // When a bar was made: within the second before it was told.
        let running: Vec<u64> =
            told[name].iter().filter(|(_, is_final)| !is_final).map(|(ms, _)| *ms).collect();
        let elapsed_ms = running[running.len() - 1] - running[0] + 1_000;
        let count = running.len() as u64;
        assert!(count <= told_at_most(elapsed_ms), "{name}: {count} in {elapsed_ms} ms");
    }
    assert!(told[&names[0]].len() > told[&names[1]].len(), "{told:?}");
}

#[test]
fn every_stream_has_events_of_the_documented_form() {
    let gateway = gateway(&[]);
    let symbol = symbols(&gateway).remove(0);
    let streams = streams(&symbol);
    let names: Vec<&str> = streams.keys().map(String::as_str).collect();
    let mut client = connect(&gateway, &format!("/stream?streams={}", names.join("/")));
    let mut missing = streams.clone();
    let deadline = Instant::now() + PATIENCE;
    while !missing.is_empty() {
        assert!(Instant::now() < deadline, "nothing came of {:?}", missing.keys());
        let frame = client.next_text(PATIENCE);
        let rest = frame.strip_prefix("{\"stream\":\"").expect("an envelope");
        let (name, data) = rest.split_once("\",\"data\":").expect("an envelope");
        let data = data.strip_suffix('}').expect("an envelope");
        let (expected, event) = &streams[name];
        let parsed = json(data);
        let elements = parsed.as_array().map_or(1, Vec::len);
        let all = vec![*expected; elements].join(" ");
        assert_eq!(members(data), all, "{frame}");
        let first = parsed.get(0).unwrap_or(&parsed);
        assert_eq!(first.get("e").and_then(|e| e.as_str()), event.as_deref(), "{frame}");
        if !name.starts_with('!') && first.get("s").is_some() {
            assert_eq!(first["s"], symbol.to_uppercase(), "{frame}");
        }
        if let Some((_, interval)) = name.split_once("kline_") {
            let (interval, zone) = interval.split_once('@').unwrap_or((interval, ""));
            assert_eq!(first["k"]["i"], interval, "{frame}");
            assert!(begins_there(&first["k"], !zone.is_empty()), "{frame}");
        }
        missing.remove(name);
    }
}
