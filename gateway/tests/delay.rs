//! Delayed gateways: what they tell is what a live one told so long ago, by every door, and nothing younger.

#[path = "delaying/seams.rs"]
mod seams;
mod support;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::event_source::EventSource;
use support::ledger::Ledger;
use support::process::{Gateway, PATIENCE, feed_sim, free_address, get, until};
use support::ring_file::RingFile;
use support::subscriber::{Message, Subscriber};
use wire::sbe::{self, Message as Event};

const DELAY: Duration = Duration::from_secs(2);

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

fn delay_ns() -> u64 {
    u64::try_from(DELAY.as_nanos()).unwrap()
}

/// Starts a gateway whose first data come in a while, and does not wait for them.
fn delayed(arguments: &[&str]) -> Gateway {
    let delay = ["--delay", "2s", "--shards", "1", "--lag-age", "1h", "--slow-age", "1h"];
    Gateway::spawn(free_address(), &[&delay[..], arguments].concat())
}

fn wait_until_ready(gateway: &Gateway) {
    until("the first data", || get(gateway.admin, "/readyz").filter(|(status, _)| *status == 200));
}

/// What a subscriber was told, by channel, instrument and number.
#[derive(Default)]
struct Told {
    /// The message, without the time that it took to the ring.
    events: BTreeMap<(u8, u32, u64), String>,
    /// When it came into a ring, ns since 1970.
    in_ring_ns: BTreeMap<(u8, u32, u64), u64>,
    /// When it was here.
    here_ns: BTreeMap<(u8, u32, u64), u64>,
}

/// Listens to everything that two of a gateway's instruments bring for so long.
fn listen(gateway: &Gateway, time: Duration) -> Told {
    let mut subscriber = Subscriber::connect(gateway.listen, "tickcast.v1.sbe");
    let ack = subscriber.subscribe(&["*.trade", "*.depth", "*.quote", "*.bar_1s"], "");
    assert!(!ack.contains("\"ok\":false"), "{ack}");
    let (mut told, mut ledger) = (Told::default(), Ledger::default());
    let end = Instant::now() + time;
    while Instant::now() < end {
        let bytes = match subscriber.next(Duration::from_millis(100)) {
            Some(Message::Binary(bytes)) => bytes,
            Some(Message::Text(_)) | None => continue,
            end => panic!("the stream stopped: {end:?}"),
        };
        let here_ns = now_ns();
        for event in sbe::decode(&bytes).map(Result::unwrap) {
            assert!(!matches!(event, Event::Gap(_)), "{event:?}");
            ledger.enter(&event);
            let (Some(head), Some(channel)) = (event.head(), event.channel()) else { continue };
            if matches!(event, Event::DepthSnapshot(_)) {
                continue;
            }
            let key = (channel.code(), head.instrument, head.seq);
            let spent = format!("ring_delay_ns: {}", head.ring_delay_ns);
            told.events.insert(key, format!("{event:?}").replace(&spent, ""));
            told.in_ring_ns.insert(key, head.ts_event_ns + u64::from(head.ring_delay_ns));
            told.here_ns.insert(key, here_ns);
        }
    }
    told
}

#[test]
fn a_delayed_gateway_tells_what_a_live_one_told_so_long_ago() {
    let ring = RingFile::new("delayed");
    let _feed = feed_sim(&["--out", &ring.url(), "--symbols", "2", "--rate", "1000"]);
    until("the ring", || ring.path().exists().then_some(()));
    let url = ring.url();
    let live = Gateway::start(&["--source", &url, "--shards", "1"]);
    let (late, reasons) = until("the delay line to fill", || {
        let late = delayed(&["--source", &url]);
        loop {
            let (status, body) = get(late.admin, "/readyz").unwrap();
            if status == 200 {
                // On a busy machine it is asked too late: then once more.
                return None;
            }
            if body.contains("first data in") {
                return Some((late, body));
            }
        }
    });
    assert!(reasons.contains("the delay line fills: first data in "), "{reasons}");
    wait_until_ready(&late);
    // A busy machine has too little to compare now and then.
    until("many events of both", || (compare(&live, &late) > 500).then_some(()));
    until("the line to hold much", || {
        (late.metric("tickcast_delay_held_records") > 500.0).then_some(())
    });
    assert_eq!(late.metric("tickcast_delay_seconds"), 2.0);
    assert_eq!(late.metric("tickcast_delay_dropped_total"), 0.0);
    // What shards measure is theirs.
    let in_time = r#"tickcast_ring_delay_seconds_bucket{le="1.0"}"#;
    let (_, metrics) = get(late.admin, "/metrics").unwrap();
    let line = metrics.lines().find(|line| line.starts_with(in_time)).expect("a histogram");
    assert!(!line.ends_with(" 0"), "the delay is not the ring's: {line}");
}

/// Listens to both for a while; says how many events both have told. They must be the same, and the late ones late.
fn compare(live: &Gateway, late: &Gateway) -> usize {
    let (early, later) = thread::scope(|scope| {
        let early = scope.spawn(|| listen(live, Duration::from_secs(3)));
        let later = scope.spawn(|| listen(late, Duration::from_secs(3) + 2 * DELAY));
        (early.join().unwrap(), later.join().unwrap())
    });
    let mut compared = 0;
    for (key, event) in &early.events {
        let Some(other) = later.events.get(key) else { continue };
        assert_eq!(event, other);
        let waited_ns = later.here_ns[key].saturating_sub(early.in_ring_ns[key]);
        assert!(waited_ns >= delay_ns(), "{key:?} after {waited_ns} ns");
        compared += 1;
    }
    println!("{compared} of {} events", early.events.len());
    compared
}

/// All times in an answer, ns since 1970: of events, not of bars that are not over.
fn times(value: &Value, found: &mut Vec<u64>) {
    let ns = |number: u64| match number {
        1_500_000_000_000..=2_500_000_000_000 => Some(number * 1_000_000),
        1_500_000_000_000_000_000..=2_500_000_000_000_000_000 => Some(number),
        _ => None,
    };
    match value {
        Value::Array(all) => all.iter().for_each(|value| times(value, found)),
        Value::Object(all) => {
            all.values().for_each(|value| times(value, found));
        }
        Value::String(text) => found.extend(text.parse().ok().and_then(ns)),
        Value::Number(number) => found.extend(number.as_u64().and_then(ns)),
        Value::Bool(_) | Value::Null => {}
    }
}

/// Finds nothing younger than the delay in what a door has just told, and something.
fn is_old(door: &str, mut told: Value) {
    let here_ns = now_ns();
    // The end of a bar is known when it begins.
    if door.contains("klines") {
        for bar in told.as_array_mut().unwrap() {
            bar[6].take();
        }
    }
    if let Some(bar) = told.pointer_mut("/data/k/T") {
        bar.take();
    }
    let mut found = Vec::new();
    times(&told, &mut found);
    assert!(!found.is_empty(), "{door}: {told}");
    for time_ns in found {
        let age_ns = here_ns.saturating_sub(time_ns);
        assert!(age_ns >= delay_ns(), "{door} tells what is {age_ns} ns old: {told}");
    }
}

#[test]
fn no_door_leads_around_the_delay() {
    let late = delayed(&["--symbols", "2", "--rate", "500"]);
    wait_until_ready(&late);
    let (status, list) = get(late.listen, "/v1/instruments").unwrap();
    assert_eq!(status, 200, "{list}");
    let plain = [
        "/v1/snapshot/BTCUSDT",
        "/v1/trades/BTCUSDT",
        "/v1/bars/BTCUSDT?interval=1s",
        "/api/v3/trades?symbol=BTCUSDT",
        "/api/v3/aggTrades?symbol=BTCUSDT",
        "/api/v3/klines?symbol=BTCUSDT&interval=1s",
        "/api/v3/ticker/24hr?symbol=BTCUSDT",
        "/api/v3/ticker?symbol=BTCUSDT",
        "/api/v3/ticker/tradingDay?symbol=BTCUSDT",
        "/api/v3/avgPrice?symbol=BTCUSDT",
    ];
    let exchange = "/stream?streams=btcusdt@trade/btcusdt@depth@100ms/btcusdt@kline_1s/btcusdt@ticker/!miniTicker@arr";
    let topics = ["*.trade", "*.quote", "*.depth", "*.ticker", "*.bar_1s", "*.depth5"];
    thread::scope(|scope| {
        for path in plain {
            let late = &late;
            scope.spawn(move || {
                for _ in 0..20 {
                    let body = until(path, || {
                        let (status, body) = get(late.listen, path)?;
                        let body = serde_json::from_str::<Value>(&body).unwrap();
                        let mut found = Vec::new();
                        times(&body, &mut found);
                        (status == 200 && !found.is_empty()).then_some(body)
                    });
                    is_old(path, body);
                    thread::sleep(Duration::from_millis(100));
                }
            });
        }
        scope.spawn(|| {
            let mut json = Subscriber::connect(late.listen, "tickcast.v1.json");
            json.subscribe(&topics, "");
            for _ in 0..300 {
                let text = json.next_text(PATIENCE);
                let Value::Array(events) = serde_json::from_str(&text).unwrap() else { continue };
                // Heartbeats have the gateway's clock.
                let told = events.into_iter().filter(|event| event.get("seq").is_some());
                told.for_each(|event| is_old("JSON", event));
            }
        });
        scope.spawn(|| {
            let mut binary = Subscriber::connect(late.listen, "tickcast.v1.sbe");
            binary.subscribe(&topics, "");
            let mut heard = 0;
            while heard < 500 {
                let Some(Message::Binary(bytes)) = binary.next(PATIENCE) else { continue };
                let here_ns = now_ns();
                for event in sbe::decode(&bytes).map(Result::unwrap) {
                    let Some(head) = event.head() else { continue };
                    let age_ns = here_ns.saturating_sub(head.ts_event_ns);
                    assert!(age_ns >= delay_ns(), "SBE tells what is {age_ns} ns old: {event:?}");
                    heard += 1;
                }
            }
        });
        scope.spawn(|| {
            let query = "topics=BTCUSDT.trade,BTCUSDT.depth,BTCUSDT.ticker";
            let (mut events, _) = EventSource::stream(late.listen, query, None);
            for _ in 0..100 {
                let told = events.data().into_iter().filter(|event| event.get("seq").is_some());
                told.for_each(|event| is_old("SSE", event));
            }
        });
        scope.spawn(|| {
            let mut streams = Subscriber::upgrade(late.listen, exchange, None);
            for _ in 0..300 {
                let text = streams.next_text(PATIENCE);
                is_old("exchange", serde_json::from_str(&text).unwrap());
            }
        });
    });
}

#[test]
fn what_is_held_on_disk_leaves_no_file_however_the_gateway_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let files = |gateway: &Gateway| {
        let open = std::fs::read_dir(format!("/proc/{}/fd", gateway.process.pid())).unwrap();
        let open = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        open.filter(|target| target.starts_with(path)).count()
    };
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let pulse = ["--source", "pulse", "--rate", "40000", "--delay-spool", path];
    let mut killed = delayed(&pulse);
    until("a file", || (files(&killed) > 0).then_some(()));
    assert_eq!(names(), 0, "files have no names");
    wait_until_ready(&killed);
    killed.process.kill();
    assert_eq!(names(), 0);
    let mut ended = delayed(&pulse);
    until("a file", || (files(&ended) > 0).then_some(()));
    assert_eq!(ended.process.terminate(), Some(0));
    assert_eq!(names(), 0);
}

#[test]
fn a_full_line_drops_what_it_must_and_clients_are_told() {
    let more = ["--source", "pulse", "--rate", "20000", "--symbols", "5"];
    let small = ["--delay-spool-max", "1MiB", "--ring-capacity", "4096"];
    let late = delayed(&[&more[..], &small].concat());
    wait_until_ready(&late);
    let mut subscriber = Subscriber::connect(late.listen, "tickcast.v1.sbe");
    subscriber.subscribe(&["*.quote"], "");
    let mut ledger = Ledger::default();
    let deadline = Instant::now() + PATIENCE;
    while ledger.gaps.len() < 10 {
        assert!(Instant::now() < deadline, "no gaps:\n{}", late.process.log());
        let Some(Message::Binary(bytes)) = subscriber.next(PATIENCE) else { continue };
        sbe::decode(&bytes).for_each(|event| ledger.enter(&event.unwrap()));
    }
    let delivered: u64 = ledger.accounts().map(|(_, account)| account.delivered).sum();
    assert!(delivered > 1_000, "{delivered}");
    assert!(late.metric("tickcast_delay_dropped_total") > 1_000.0);
    assert!(late.metric("tickcast_delay_refused_total") > 0.0);
    assert!(late.metric("tickcast_delay_held_bytes") <= f64::from(1 << 20));
    late.process.wait_for_log("the delay line takes nothing in");
    late.process.wait_for_log("the delay line takes in what comes again");
}

#[test]
fn a_live_gateway_may_be_the_source_of_a_delayed_one() {
    let live = Gateway::start(&["--shards", "1", "--symbols", "2", "--rate", "500"]);
    let url = format!("ws://{}", live.listen);
    let late = delayed(&["--source", &url]);
    wait_until_ready(&late);
    let told = until("some events", || {
        let told = listen(&late, Duration::from_secs(2));
        (told.events.len() > 100).then_some(told)
    });
    for (key, here_ns) in &told.here_ns {
        let waited_ns = here_ns.saturating_sub(told.in_ring_ns[key].min(*here_ns));
        assert!(waited_ns < 60_000_000_000, "{key:?}");
    }
    let (_, status) = get(late.listen, "/v1/snapshot/BTCUSDT").unwrap();
    is_old("a snapshot", serde_json::from_str(&status).unwrap());
}
