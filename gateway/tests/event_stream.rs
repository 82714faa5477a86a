//! Event streams over plain HTTP against the real binary: what is delivered, what is resumed, how they
//! end.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::event_source::{EventSource, Heard};
use support::process::{Gateway, PATIENCE, feed_sim, free_address, get, until};
use support::subscriber::{Message, Subscriber};

/// A gateway of two shards that never takes a slow test machine for a slow client.
fn gateway(more: &[&str]) -> Gateway {
    let mut arguments = vec!["--shards", "2", "--lag-age", "1h", "--slow-age", "1h"];
    arguments.extend_from_slice(more);
    Gateway::start(&arguments)
}

fn number(value: &Value) -> u64 {
    value.as_str().expect("64-bit integers are strings").parse().expect("digits")
}

/// What a client got: each topic's events by number, and its gaps.
#[derive(Default)]
struct Book {
    events: BTreeMap<String, BTreeMap<u64, String>>,
    gaps: Vec<Value>,
    has_snapshot: bool,
}

impl Book {
    /// Enters events. Panics if one came twice, or not in order.
    fn enter(&mut self, events: &[Value]) {
        for event in events {
            let name = event["e"].as_str().expect("every event has a name");
            match name {
                "gap" => self.gaps.extend(event["gaps"].as_array().expect("a list").clone()),
                "definition" | "feed" | "heartbeat" => {}
                "snapshot" => {
                    assert!(!self.has_snapshot, "who resumes has the book");
                    self.has_snapshot = event["last"] == true;
                }
                _ => {
                    let topic = format!("{}.{name}", event["s"].as_str().expect("a symbol"));
                    let seq = number(&event["seq"]);
                    let known = self.events.entry(topic.clone()).or_default();
                    let last = known.last_key_value().map(|(last, _)| *last);
                    assert!(
                        last.is_none_or(|last| seq == last + 1),
                        "{topic}: {seq} after {last:?}"
                    );
                    known.insert(seq, event.to_string());
                }
            }
        }
    }

    fn last(&self, topic: &str) -> u64 {
        self.events.get(topic).and_then(|known| known.last_key_value()).map_or(0, |(seq, _)| *seq)
    }

    fn count(&self) -> usize {
        self.events.values().map(BTreeMap::len).sum()
    }
}

/// Reads a stream, breaking it off after so many events and coming back with the last id, until
/// `events` are there; then holds it against what a WebSocket that was never broken off got.
fn resumes_exactly(gateway: &Gateway, topics: &str, form: &str) {
    let list: Vec<&str> = topics.split(',').collect();
    let mut witness = Subscriber::connect(gateway.listen, "tickcast.v1.json");
    let ack = witness.subscribe(&list, "");
    assert!(!ack.contains("\"ok\":false"), "{ack}");

    let mut book = Book::default();
    let query = format!("topics={topics}");
    let (mut source, _) = EventSource::stream(gateway.listen, &query, None);
    let mut visits = 0;
    for round in 0u64..40 {
        let mut left = 1 + round * 7 % 23;
        // There is no id before the present states are sent.
        while left > 0 || source.last_event_id.is_none() {
            book.enter(&source.data());
            left = left.saturating_sub(1);
            visits += 1;
        }
        let id = source.last_event_id.clone().expect("every round brings an id");
        assert!(id.contains(form), "{id}");
        drop(source);
        // Now and then something happens while nobody listens.
        std::thread::sleep(Duration::from_millis(round % 4 * 30));
        (source, _) = EventSource::stream(gateway.listen, &query, Some(&id));
    }
    assert!(visits > 300);
    assert_eq!(book.gaps, Vec::<Value>::new());

    let mut seen = Book::default();
    let deadline = Instant::now() + PATIENCE;
    while book.events.keys().any(|topic| seen.last(topic) < book.last(topic)) {
        assert!(Instant::now() < deadline, "the witness does not come");
        match witness.next(Duration::from_secs(60)) {
            Some(Message::Text(text)) => {
                seen.enter(serde_json::from_str::<Vec<Value>>(&text).expect("an array").as_slice());
            }
            other => panic!("{other:?}"),
        }
    }
    for (topic, events) in &book.events {
        // The witness was there first, but its shard may have come to it later.
        let first = *events.first_key_value().unwrap().0;
        let first = first.max(*seen.events[topic].first_key_value().unwrap().0);
        let last = book.last(topic);
        let same = seen.events[topic].range(first..=last);
        assert!(same.eq(events.range(first..)), "{topic} differs from what the witness got");
    }
    assert!(book.count() > 300, "{} events", book.count());
}

#[test]
fn few_topics_resume_by_their_numbers_with_nothing_lost_or_doubled() {
    let gateway = gateway(&["--symbols", "4", "--rate", "3000"]);
    let topics = "BTCUSDT.trade,BTCUSDT.quote,ETHUSDT.trade,ETHUSDT.depth";
    resumes_exactly(&gateway, topics, ":t,");
    assert!(gateway.metric("tickcast_event_streams_total") >= 41.0);
}

#[test]
fn any_number_of_topics_resumes_by_one_entry_with_nothing_lost_or_doubled() {
    let gateway = gateway(&["--symbols", "40", "--rate", "3000"]);
    resumes_exactly(&gateway, "*.trade,*.quote,*.ticker,*.status", ":a,");
}

#[test]
fn a_stream_goes_on_at_another_gateway_of_the_same_feed() {
    let ring = format!("/dev/shm/tickcast-test-{}-event-stream", std::process::id());
    let url = format!("shm:{ring}");
    let _feed = feed_sim(&["--out", &url, "--symbols", "10", "--rate", "2000"]);
    until("the ring's file", || std::path::Path::new(&ring).exists().then_some(()));
    let query = "topics=*.trade,*.quote";
    let mut book = Book::default();
    let mut last_event_id = None;
    for _ in 0..3 {
        let gateway = gateway(&["--source", &url]);
        let (mut source, ack) =
            EventSource::stream(gateway.listen, query, last_event_id.as_deref());
        assert_eq!(ack["results"][0]["ok"], true);
        for _ in 0..50 {
            book.enter(&source.data());
        }
        last_event_id = source.last_event_id;
    }
    let _ = std::fs::remove_file(&ring);
    assert_eq!(book.gaps, Vec::<Value>::new());
    assert!(book.count() > 150);
}

#[test]
fn a_place_that_is_not_known_any_more_is_announced_as_reset() {
    let gateway = gateway(&["--symbols", "40", "--rate", "20000", "--log-entries", "2048"]);
    let few = "topics=BTCUSDT.trade";
    let many = "topics=BTCUSDT.trade,*.quote";
    let (mut source, _) = EventSource::stream(gateway.listen, many, None);
    let old = loop {
        source.data();
        if let Some(id) = source.last_event_id.clone() {
            break id;
        }
    };
    drop(source);
    // By then the log of 1,024 entries of each shard has been written anew many times.
    let ticks = || gateway.samples("tickcast_ticks_total");
    let before = ticks();
    until("the log to be written anew", || {
        let mut both = ticks().into_iter().zip(&before);
        both.all(|(now, before)| now > before + 20_000.0).then_some(())
    });
    for (query, id) in
        [(many, old.as_str()), (few, "1:t,0.0.5"), (few, "something else"), (few, "0:a,0.0.1")]
    {
        let (mut source, ack) = EventSource::stream(gateway.listen, query, Some(id));
        assert_eq!(ack["results"][0]["ok"], true, "{ack}");
        let reset = until(id, || {
            let events = source.data();
            let gaps = events.into_iter().filter(|event| event["e"] == "gap");
            let mut gaps = gaps.flat_map(|gap| gap["gaps"].as_array().unwrap().clone());
            gaps.find(|gap| gap["topic"] == "BTCUSDT.trade")
        });
        assert_eq!((&reset["reason"], &reset["count"]), (&"reset".into(), &"0".into()), "{id}");
    }
}

#[test]
fn one_bad_topic_does_not_void_the_others_and_nothing_but_bad_ones_is_an_error() {
    let gateway = gateway(&["--symbols", "4"]);
    let query = "topics=BTCUSDT.quote,NOPE.quote,btc&snapshot=true&mode=conflate&max_rate=20";
    // A feed that has only begun to say what it has may yet define it: that is refused as a thing to try again.
    gateway.wait_for_ticks();
    let (mut source, ack) = EventSource::stream(gateway.listen, query, None);
    let results = ack["results"].as_array().unwrap();
    assert_eq!(results[0]["ok"], true);
    assert_eq!(
        (&results[1]["ok"], &results[1]["name"]),
        (&false.into(), &"unknown_instrument".into())
    );
    assert_eq!((&results[2]["ok"], &results[2]["name"]), (&false.into(), &"bad_topic".into()));
    let first = until("a quote", || source.data().into_iter().find(|event| event["e"] == "quote"));
    assert_eq!(first["s"], "BTCUSDT");

    let refused = |path: &str| {
        let (status, body) = get(gateway.listen, path).expect("an answer");
        let body: Value = serde_json::from_str(&body).expect("a JSON body");
        (status, body)
    };
    let (status, body) = refused("/v1/sse?topics=NOPE.quote,btc");
    assert_eq!((status, &body["error"]["code"]), (400, &"no_topic".into()));
    assert_eq!(body["results"][1]["name"], "bad_topic");
    for query in ["", "?topics=", "?topics=BTCUSDT.quote&mode=x", "?topics=BTCUSDT.quote&x=1"] {
        let (status, body) = refused(&format!("/v1/sse{query}"));
        assert_eq!((status, &body["error"]["code"]), (400, &"bad_parameter".into()), "{query}");
    }
    until("the count", || {
        (gateway.metric("tickcast_event_streams_refused_total") >= 5.0).then_some(())
    });
}

#[test]
fn a_quiet_stream_shows_signs_of_life_and_a_drained_one_says_when_to_come_back() {
    let mut gateway = gateway(&["--symbols", "4", "--heartbeat", "100ms", "--drain-window", "0s"]);
    let (mut source, _) =
        EventSource::stream(gateway.listen, "topics=BTCUSDT.bar_1d&snapshot=false", None);
    assert!(source.head.contains("cache-control: no-store\r\n"), "{}", source.head);
    assert!(source.head.contains("x-accel-buffering: no\r\n"), "{}", source.head);
    until("a comment", || matches!(source.next(), Heard::Comment(_)).then_some(()));
    let drain = std::thread::spawn(move || gateway.process.terminate());
    let close = until("the close event", || match source.next() {
        Heard::Event(event) if event.name == "close" => Some(event),
        Heard::End => panic!("the stream ended without a word"),
        _ => None,
    });
    assert_eq!(close.data, "{\"code\":4001,\"reason\":\"draining, reconnect\"}");
    assert_eq!(close.retry_ms, Some(1000));
    assert_eq!(source.next(), Heard::End);
    drop(source);
    assert_eq!(drain.join().unwrap(), Some(0));
}

#[test]
fn a_reader_that_stalls_gets_the_newest_with_exact_gaps_and_in_the_end_is_cut_off() {
    let gateway = Gateway::start(&[
        "--shards",
        "1",
        "--source",
        "pulse",
        "--symbols",
        "1",
        "--rate",
        "50000",
        "--sndbuf",
        "16KiB",
        "--notsent-lowat",
        "16KiB",
        "--lag-age",
        "200ms",
        // Long enough for the one that reads, on a busy machine too.
        "--slow-age",
        "10s",
        "--close-grace",
        "100ms",
    ]);
    let (mut pausing, _) = EventSource::stream(gateway.listen, "topics=S0.quote", None);
    let mut numbers = Account::default();
    numbers.enter(&pausing.data());
    let (stalled, _) = EventSource::stream(gateway.listen, "topics=S0.quote", None);
    until("both to be blocked", || {
        (gateway.metric("tickcast_sessions_blocked") >= 2.0).then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    until("a gap", || {
        numbers.enter(&pausing.data());
        (numbers.conflated > 0).then_some(())
    });
    // It is read for as long as the other one is not.
    until("the end of the one that stalls", || {
        numbers.enter(&pausing.data());
        (gateway.metric("tickcast_closed_slow_total") >= 1.0).then_some(())
    });
    assert_eq!(gateway.metric("tickcast_closed_slow_total"), 1.0);
    drop(stalled);
}

/// Holds one topic to the rule: every number is delivered or counted in a gap before it.
#[derive(Default)]
struct Account {
    last: Option<u64>,
    conflated: u64,
}

impl Account {
    fn enter(&mut self, events: &[Value]) {
        for event in events {
            match event["e"].as_str() {
                Some("gap") => {
                    let gap = &event["gaps"][0];
                    assert_eq!(Some(number(&gap["first"]) - 1), self.last);
                    assert_eq!(gap["reason"], "conflated");
                    self.conflated += number(&gap["count"]);
                    self.last = self.last.map(|last| last + number(&gap["count"]));
                }
                Some("quote") => {
                    let seq = number(&event["seq"]);
                    assert!(self.last.is_none_or(|last| seq == last + 1), "{seq} {:?}", self.last);
                    self.last = Some(seq);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_stream_asked_for_before_there_is_a_feed_says_when_to_come_back() {
    let ring = format!("/dev/shm/tickcast-test-{}-no-feed", std::process::id());
    let gateway = Gateway::spawn(free_address(), &["--source", &format!("shm:{ring}")]);
    let (mut source, ack) = EventSource::stream(gateway.listen, "topics=BTCUSDT.trade", None);
    assert_eq!(ack["results"][0]["name"], "unavailable");
    let close = source.event();
    assert_eq!((close.name.as_str(), close.retry_ms), ("close", Some(1000)));
    assert_eq!(source.next(), Heard::End);
    // A wildcard may be waited for.
    let (_source, ack) = EventSource::stream(gateway.listen, "topics=*.trade", None);
    assert_eq!(ack["results"][0]["ok"], true);
}

#[test]
fn pages_of_other_origins_read_what_the_configuration_lets_them() {
    use std::io::{Read, Write};
    let gateway = gateway(&["--symbols", "4", "--cors-origins", "https://a.example"]);
    let ask = |method: &str, path: &str, origin: &str| {
        let mut stream = std::net::TcpStream::connect(gateway.listen).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nOrigin: {origin}\r\n\r\n")
            .unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    };
    let allowed = "access-control-allow-origin: https://a.example\r\n";
    for path in ["/v1/instruments", "/v1/sse?topics=BTCUSDT.quote", "/v1/sse?topics=NO.quote"] {
        assert!(ask("GET", path, "https://a.example").contains(allowed), "{path}");
        assert!(!ask("GET", path, "https://b.example").contains("allow-origin"), "{path}");
    }
    let preflight = ask("OPTIONS", "/v1/sse", "https://a.example");
    assert!(preflight.contains("access-control-allow-headers: last-event-id"), "{preflight}");
    let head = ask("HEAD", "/v1/sse?topics=BTCUSDT.quote", "https://a.example");
    assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
}
