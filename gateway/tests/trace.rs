//! `/trace`: one tick followed from the feed to the last subscriber, through the real binary.

mod support;

use support::process::{Gateway, get, until};
use support::subscriber::Subscriber;

const JSON: &str = "tickcast.v1.json";

fn traced(gateway: &Gateway, query: &str) -> (u16, serde_json::Value) {
    let (status, body) = get(gateway.admin, &format!("/trace?{query}")).expect("the port answers");
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

/// Few ticks: the subscribers do not read, and what they are sent must not fill their sockets.
fn pulse(more: &[&str]) -> Gateway {
    let mut arguments =
        vec!["--source", "pulse", "--symbols", "10", "--rate", "50", "--shards", "2"];
    arguments.extend_from_slice(more);
    let gateway = Gateway::start(&arguments);
    until("a feed", || (get(gateway.admin, "/readyz")?.0 == 200).then_some(()));
    gateway
}

/// Twelve subscribers, exact and by wildcard, and one to something else; each shard's part of the journey must add up.
fn a_tick_is_followed(gateway: &Gateway) {
    let topics = ["S0.quote", "*.quote"].into_iter().cycle().take(12);
    let _subscribers: Vec<Subscriber> = topics
        .chain(["S1.quote"])
        .map(|topic| {
            let mut subscriber = Subscriber::connect(gateway.listen, JSON);
            let ack = subscriber.subscribe(&[topic], "");
            assert!(ack.contains(r#""op":"ack""#), "{ack}");
            subscriber
        })
        .collect();
    // A shard may have read a tick in the moment in which the others began to look out.
    let body = until("a tick that no shard misses", || {
        let (status, body) = traced(gateway, "topic=S0.quote");
        assert_eq!(status, 200, "{body}");
        let shards = body["shards"].as_array().unwrap();
        let is_whole =
            shards.len() == 2 && shards.iter().all(|shard| shard["us_since_ring"].is_object());
        is_whole.then_some(body)
    });
    assert_eq!(body["topic"], "S0.quote");
    assert!(body["tick"]["seq"].as_u64().unwrap() > 0, "{body}");
    assert!(body["tick"]["ring_ns"].as_u64() >= body["tick"]["venue_ns"].as_u64(), "{body}");
    let shards = body["shards"].as_array().unwrap();
    let sum = |field: &str| shards.iter().map(|shard| shard[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("subscribers"), sum("reached")), (12, 12), "{body}");
    for shard in shards {
        let stages = &shard["us_since_ring"];
        let names = ["read", "logged", "first_gathered", "first_sent", "last_sent"];
        let times: Vec<f64> = names.iter().filter_map(|name| stages[name].as_f64()).collect();
        assert_eq!(times.len(), if shard["reached"] == 0 { 2 } else { 5 }, "{body}");
        assert!(times.is_sorted(), "{body}");
    }
}

#[test]
fn a_tick_is_followed_to_the_last_subscriber() {
    a_tick_is_followed(&pulse(&[]));
}

#[test]
fn a_tick_is_followed_where_messages_are_sent_in_batches() {
    a_tick_is_followed(&pulse(&["--send-backend", "io-uring"]));
}

#[test]
fn what_is_not_there_cannot_be_followed() {
    let gateway = pulse(&[]);
    for (query, status, what) in [
        ("topic=S0.quotes", 400, "unknown channel"),
        ("topic=*.quote", 400, "one instrument"),
        ("topic=S0.depth5", 400, "made here of depth"),
        ("seconds=1", 400, "which?"),
        ("topic=NOSUCH.quote", 404, "no shard knows NOSUCH.quote"),
        ("topic=S0.trade", 404, "no shard knows S0.trade"),
    ] {
        let (found, body) = traced(&gateway, query);
        assert_eq!(found, status, "{query}: {body}");
        assert!(body["error"]["msg"].as_str().unwrap().contains(what), "{query}: {body}");
    }
}

#[test]
fn a_tick_that_does_not_come_is_waited_for_as_long_as_asked() {
    // One tick in a quarter of an hour and more.
    let gateway =
        Gateway::start(&["--source", "pulse", "--symbols", "1000", "--rate", "1", "--shards", "1"]);
    until("a feed", || (get(gateway.admin, "/readyz")?.0 == 200).then_some(()));
    let (status, body) = traced(&gateway, "topic=S999.quote&seconds=1");
    assert_eq!(status, 200, "{body}");
    assert!(body["tick"].is_null() && body["shards"][0]["us_since_ring"].is_null(), "{body}");
}
