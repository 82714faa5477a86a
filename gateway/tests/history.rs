//! The recent past over plain HTTP of the real binary: bars and trades are those of the stream.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use support::process::{Gateway, get, until};
use support::subscriber::Subscriber;

fn ask(gateway: &Gateway, path: &str) -> (u16, Value) {
    let (status, body) = get(gateway.listen, path).expect("the gateway answers");
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap_or_else(|| panic!("no number: {value}")).parse().unwrap()
}

/// Enters events of the stream until `enough` says so.
fn follow(subscriber: &mut Subscriber, events: &mut Vec<Value>, enough: impl Fn(&[Value]) -> bool) {
    while !enough(events) {
        let text = subscriber.next_text(Duration::from_secs(60));
        match serde_json::from_str(&text).unwrap() {
            Value::Array(batch) => events.extend(batch),
            other => events.push(other),
        }
    }
}

/// The members of an event that the past has too.
fn without_head(event: &Value) -> Value {
    let mut event = event.clone();
    for name in ["e", "s", "seq", "ts", "delay"] {
        event.as_object_mut().unwrap().remove(name);
    }
    event
}

#[test]
fn bars_and_trades_of_the_past_are_those_of_the_stream() {
    let gateway = Gateway::start(&["--shards", "1", "--symbols", "2"]);
    let (_, list) = ask(&gateway, "/v1/instruments");
    let symbol = list["instruments"][0]["s"].as_str().unwrap();
    let mut subscriber = Subscriber::connect(gateway.listen, "tickcast.v1.json");
    subscriber.subscribe(&[&format!("{symbol}.bar_1s"), &format!("{symbol}.trade")], "");
    let mut events = Vec::new();
    let is_final = |event: &Value| event["e"] == "bar_1s" && event["final"] == true;
    // Not the one that a snapshot may begin with.
    follow(&mut subscriber, &mut events, |events| {
        events.iter().filter(|event| is_final(event)).count() >= 4
    });
    let finals: Vec<Value> =
        events.iter().filter(|event| is_final(event)).map(without_head).collect();
    let from = number(&finals[1]["ts_open"]);
    let to = number(&finals[3]["ts_open"]) + 1;
    let path = format!("/v1/bars/{symbol}?interval=1s&from={from}&to={to}");
    let body = until("the bars of the stream", || {
        let (status, body) = ask(&gateway, &path);
        assert_eq!(status, 200, "{body}");
        let last = body["bars"].as_array().unwrap().last().cloned();
        last.is_some_and(|bar| bar["final"] == true && bar == finals[3]).then_some(body)
    });
    assert_eq!(body["bars"].as_array().unwrap()[..], finals[1..=3]);
    assert_eq!((body["s"].as_str(), &body["interval"]), (Some(symbol), &"1s".into()));
    assert_eq!(body["epoch"], list["epoch"]);

    // What is kept goes by: on a busy machine it may be asked for too late, and then once more.
    until("the trades of the stream", || {
        let known = events.len();
        follow(&mut subscriber, &mut events, |events| events.len() > known);
        let told: BTreeMap<u64, Value> = events
            .iter()
            .filter(|event| event["e"] == "trade")
            .map(|event| (number(&event["id"]), without_head(event)))
            .collect();
        let (status, body) = ask(&gateway, &format!("/v1/trades/{symbol}?limit=1000"));
        assert_eq!(status, 200, "{body}");
        let trades = body["trades"].as_array().unwrap().clone();
        let kept: BTreeMap<u64, Value> =
            trades.into_iter().map(|trade| (number(&trade["id"]), trade)).collect();
        for (id, trade) in &told {
            // What a snapshot began with may lie before the oldest that is kept.
            assert!(kept.get(id).is_none_or(|other| other == trade), "{trade}");
        }
        let last = told.keys().last().unwrap();
        let common = told.keys().filter(|id| kept.contains_key(id)).count();
        (kept.contains_key(last) && common > 1).then_some(())
    });

    let (_, running) = ask(&gateway, &format!("/v1/bars/{symbol}?interval=1d"));
    assert_eq!(running["bars"][0]["final"], false, "the day is not over: {running}");
    let (_, two) = ask(&gateway, &format!("/v1/bars/{symbol}?interval=1s&limit=2"));
    assert_eq!(two["bars"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_answered_is_said() {
    let gateway = Gateway::start(&["--symbols", "1", "--history-trades", "0", "--history-bars=0"]);
    let (_, list) = ask(&gateway, "/v1/instruments");
    let symbol = list["instruments"][0]["s"].as_str().unwrap();
    for (path, status, code) in [
        (format!("/v1/bars/{symbol}?interval=7m"), 400, "bad_parameter"),
        (format!("/v1/trades/{symbol}?interval=1m"), 400, "bad_parameter"),
        ("/v1/bars/NOPE".to_owned(), 404, "unknown_symbol"),
        (format!("/v1/bars/{symbol}"), 404, "no_history"),
        (format!("/v1/trades/{symbol}"), 404, "no_history"),
    ] {
        let (found, body) = ask(&gateway, &path);
        assert_eq!((found, &body["error"]["code"]), (status, &code.into()), "{path}");
    }
}
