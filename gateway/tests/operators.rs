//! The operators' port of the real binary: health, readiness, metrics, slow connections, drain, and
//! what it says to requests that make no sense.

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use support::process::{Gateway, PATIENCE, get, until};
use support::subscriber::{Message, Subscriber};

const JSON: &str = "tickcast.v1.json";

fn pulse(more: &[&str]) -> Gateway {
    let mut arguments = vec!["--source", "pulse", "--symbols", "10", "--rate", "1000"];
    arguments.extend_from_slice(&["--shards", "2"]);
    arguments.extend_from_slice(more);
    Gateway::start(&arguments)
}

fn parsed(address: SocketAddr, path: &str) -> (u16, serde_json::Value) {
    let (status, body) = get(address, path).expect("the port answers");
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")))
}

/// A request with any method: status, head and body.
fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn subscribe(gateway: &Gateway, topics: &[&str]) -> Subscriber {
    let mut subscriber = Subscriber::connect(gateway.listen, JSON);
    let ack = subscriber.subscribe(topics, "");
    assert!(ack.contains(r#""op":"ack""#), "{ack}");
    subscriber
}

#[test]
fn a_gateway_with_a_live_feed_is_healthy_and_ready() {
    let gateway = pulse(&[]);
    // A shard that is late, on a busy machine, is waited for.
    until("health", || {
        let (status, health) = parsed(gateway.admin, "/healthz");
        assert_eq!(&health["shards"], 2, "{health}");
        (status == 200 && health["healthy"] == true).then_some(())
    });
    until("readiness", || {
        let (status, ready) = parsed(gateway.admin, "/readyz");
        (status == 200 && ready["ready"] == true && ready["feed"] == "live").then_some(())
    });
}

#[test]
fn an_operator_has_the_configuration_read_again_and_is_told_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, "").unwrap();
    let gateway = pulse(&["--config", file.to_str().unwrap()]);
    let reload = || {
        let (status, _, body) = request(gateway.admin, "POST", "/reload");
        (status, serde_json::from_str::<serde_json::Value>(&body).unwrap())
    };
    assert_eq!(reload(), (200, serde_json::json!({ "changed": [], "needs_restart": [] })));

    // A flag goes before the file, as at the start.
    let text = "drain-window = \"3s\"\nsymbols = 5\nlog-entries = 65536\nconnections-max = 12\n";
    std::fs::write(&file, text).unwrap();
    let told = serde_json::json!({
        "changed": ["connections-max", "drain-window"],
        "needs_restart": ["log-entries"],
    });
    assert_eq!(reload(), (200, told));
    let again = serde_json::json!({ "changed": [], "needs_restart": ["log-entries"] });
    assert_eq!(reload(), (200, again), "what needs a restart is named until there was one");

    std::fs::write(&file, "command-rate = 5\ndrain-window = \"9 parsecs\"\n").unwrap();
    let (status, refused) = reload();
    assert_eq!((status, &refused["error"]["code"]), (422, &"bad_configuration".into()));
    let msg = refused["error"]["msg"].as_str().unwrap();
    let place = format!("drain-window = \"9 parsecs\" from {} line 2", file.display());
    assert!(msg.starts_with(&place), "{msg}");
    assert_eq!(gateway.metric("tickcast_config_reloads_total"), 3.0);
    assert_eq!(gateway.metric("tickcast_config_failures_total"), 1.0);

    assert_eq!(request(gateway.admin, "GET", "/reload").0, 405);
    let (status, _, body) = request(gateway.admin, "POST", "/drain");
    assert!(status == 202 && body.contains("\"window_ms\":3000"), "{body}");
}

#[test]
fn every_metric_that_is_declared_is_exported_once_and_nothing_else_is() {
    let gateway = pulse(&[]);
    let _subscriber = subscribe(&gateway, &["*.quote"]);
    until("a delivery", || (gateway.metric("tickcast_deliveries_total") > 0.0).then_some(()));
    let (status, head, text) = request(gateway.admin, "GET", "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(text.ends_with("# EOF\n"));

    let declared: BTreeSet<String> = gateway::telemetry::definitions()
        .iter()
        .map(gateway::telemetry::Definition::sample_name)
        .collect();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let exported: BTreeSet<String> = samples
        .map(|line| line.split(['{', ' ']).next().unwrap().to_owned())
        .filter(|name| !name.ends_with("_sum") && !name.ends_with("_count"))
        .collect();
    assert_eq!(declared.difference(&exported).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(exported.difference(&declared).collect::<Vec<_>>(), Vec::<&String>::new());

    let families: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let unique: BTreeSet<&&str> = families.iter().collect();
    assert_eq!(families.len(), unique.len(), "a family is exported once");
    // Without this bucket Prometheus answers no question about the histogram.
    assert!(text.contains("tickcast_turn_seconds_bucket{le=\"+Inf\"}"), "{text}");
    assert!(text.contains("tickcast_build_info{version=\""), "{text}");
    assert!(text.contains("tickcast_feed_state{state=\"live\"} 1"), "{text}");
    until("a measured visit", || {
        (gateway.metric("tickcast_visit_seconds_count") > 0.0).then_some(())
    });
    assert!(gateway.metric("tickcast_sessions") == 1.0);
}

#[test]
fn counters_add_up_over_shards() {
    let gateway = pulse(&[]);
    let subscribers: Vec<Subscriber> =
        (0..8).map(|_| subscribe(&gateway, &["S0.quote", "S1.quote"])).collect();
    assert_eq!(gateway.metric("tickcast_sessions_opened_total"), 8.0);
    assert_eq!(gateway.metric("tickcast_subscribes_total"), 16.0);
    drop(subscribers);
    until("the sessions' end", || {
        (gateway.metric("tickcast_sessions_closed_total") == 8.0).then_some(())
    });
    assert_eq!(gateway.metric("tickcast_sessions"), 0.0);
}

#[test]
fn the_slowest_connections_are_listed_with_their_topics() {
    let gateway = pulse(&[]);
    let _subscriber = subscribe(&gateway, &["S0.quote", "*.quote"]);
    let body = until("the connection", || {
        let (status, body) = parsed(gateway.admin, "/connections?top=5");
        assert_eq!(status, 200);
        (body["sessions"] == 1).then_some(body)
    });
    let connection = &body["connections"][0];
    assert!(connection["remote"].as_str().unwrap().starts_with("127.0.0.1:"), "{body}");
    for field in ["lag_entries", "skipped", "shard", "topics"] {
        assert!(!connection[field].is_null(), "{field} is missing: {body}");
    }
}

#[test]
fn each_shard_says_how_long_its_stages_take() {
    let gateway = pulse(&[]);
    let _subscribers: Vec<Subscriber> = (0..8).map(|_| subscribe(&gateway, &["*.quote"])).collect();
    // One visit in sixteen is timed; every shard reads the ring, sooner or later.
    let shards = until("a timed visit", || {
        let (status, body) = parsed(gateway.admin, "/stages");
        assert_eq!(status, 200);
        let shards = body["shards"].as_array().unwrap().clone();
        let has =
            |shard: &serde_json::Value, name: &str| !shard[name].as_array().unwrap().is_empty();
        let is_told = shards.len() == 2
            && shards.iter().any(|shard| has(shard, "send_ns"))
            && shards.iter().all(|shard| has(shard, "ring_delay_ns"));
        is_told.then_some(shards)
    });
    for (index, shard) in shards.iter().enumerate() {
        assert_eq!(shard["shard"], index);
        for name in ["ring_delay_ns", "visit_wait_ns", "visit_ns", "send_ns", "turn_ns"] {
            let pairs = shard[name].as_array().unwrap();
            let pairs = pairs.iter().map(|pair| (pair[0].as_u64(), pair[1].as_u64()));
            assert!(pairs.clone().all(|pair| pair.0 > Some(0) && pair.1 > Some(0)), "{name}");
            assert!(pairs.map(|pair| pair.0).is_sorted(), "{name}");
        }
    }
}

#[test]
fn requests_that_make_no_sense_are_told_why() {
    let gateway = pulse(&[]);
    let cases = [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/connections?top=0", 400, "bad_parameter"),
        ("GET", "/connections?top=many", 400, "bad_parameter"),
        ("GET", "/connections?limit=3", 400, "bad_parameter"),
        ("POST", "/metrics", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("GET", "/drain", 405, "method_not_allowed"),
    ];
    for (method, path, status, code) in cases {
        let (found, head, body) = request(gateway.admin, method, path);
        assert_eq!(found, status, "{method} {path}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"]["code"], code, "{method} {path}");
    }
    let (_, head, _) = request(gateway.admin, "GET", "/drain");
    assert!(head.contains("allow: post"), "{head}");
    let (status, head, body) = request(gateway.admin, "HEAD", "/healthz");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: "), "{head}");
}

#[test]
fn an_operator_drains_the_gateway_and_it_ends_in_good_order() {
    let mut gateway = pulse(&["--drain-window", "1s"]);
    let mut subscriber = subscribe(&gateway, &["S0.quote"]);
    // Shards say how many they have once a turn.
    until("the session to be counted", || {
        (gateway.metric("tickcast_sessions") > 0.0).then_some(())
    });
    let (status, _, body) = request(gateway.admin, "POST", "/drain");
    assert_eq!(status, 202);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["begins"], &body["sessions"]), (&true.into(), &1.into()));
    let code = loop {
        match subscriber.next(Duration::from_secs(30)) {
            Some(Message::Close(code)) => break code,
            Some(Message::Text(_) | Message::Binary(_)) => {}
            other => panic!("expected a close frame, got {other:?}"),
        }
    };
    assert_eq!(code, 4001);
    assert_eq!(gateway.process.wait(), Some(0));
}

#[test]
fn while_it_drains_a_gateway_is_not_ready_and_takes_nobody() {
    // Far longer than the test, which ends it.
    let gateway = pulse(&["--drain-window", "10m"]);
    let _subscribers: Vec<Subscriber> =
        (0..4).map(|_| subscribe(&gateway, &["S0.quote"])).collect();
    request(gateway.admin, "POST", "/drain");
    let (status, ready) = parsed(gateway.admin, "/readyz");
    assert_eq!((status, &ready["reasons"][0]), (503, &"draining".into()));
    until("closed listeners", || TcpStream::connect(gateway.listen).err());
    let (_, _, body) = request(gateway.admin, "POST", "/drain");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["begins"], false, "a second drain begins nothing");
}
