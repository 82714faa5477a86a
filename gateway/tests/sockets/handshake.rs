//! HTTP on the public port: upgrades, refusals, plain requests, half a handshake.

use std::time::Duration;

use gateway::shard::counters::Counter;

use super::client::{Client, Heard, UPGRADE};
use super::rig::Rig;

fn status(rig: &Rig, path: &str, headers: &str) -> String {
    Client::connect(rig.address).request(path, headers)
}

#[test]
fn an_upgrade_confirms_the_subprotocol_and_the_key() {
    let rig = Rig::start();
    let headers = format!("{UPGRADE}Sec-WebSocket-Protocol: chat, tickcast.v1.sbe\r\n");
    let response = status(&rig, "/v1/stream", &headers);
    assert!(response.starts_with("HTTP/1.1 101"), "{response}");
    let response = response.to_ascii_lowercase();
    assert!(response.contains("sec-websocket-protocol: tickcast.v1.sbe\r\n"), "{response}");
    // The example of RFC 6455, section 1.3.
    assert!(response.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{response}");
}

#[test]
fn extensions_are_declined() {
    let rig = Rig::start();
    let headers = format!("{UPGRADE}Sec-WebSocket-Extensions: permessage-deflate\r\n");
    let response = status(&rig, "/v1/stream", &headers);
    assert!(response.starts_with("HTTP/1.1 101"), "{response}");
    assert!(!response.to_ascii_lowercase().contains("sec-websocket-extensions"), "{response}");
}

#[test]
fn wrong_handshakes_are_refused_with_their_reason() {
    let rig = Rig::start();
    let old = UPGRADE.replace("Version: 13", "Version: 8");
    let response = status(&rig, "/v1/stream", &old);
    assert!(response.starts_with("HTTP/1.1 426"), "{response}");
    assert!(response.to_ascii_lowercase().contains("sec-websocket-version: 13"), "{response}");

    let unknown = format!("{UPGRADE}Sec-WebSocket-Protocol: tickcast.v9.sbe\r\n");
    let mut client = Client::connect(rig.address);
    let response = client.request("/v1/stream", &unknown);
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    assert!(client.body(28).starts_with("no known subprotocol offered"));

    let keyless = UPGRADE.replace("Sec-WebSocket-Key", "X-Key");
    assert!(status(&rig, "/v1/stream", &keyless).starts_with("HTTP/1.1 400"));
    assert!(status(&rig, "/v1/nothing", UPGRADE).starts_with("HTTP/1.1 404"));
    assert!(status(&rig, "/v1/stream", "").starts_with("HTTP/1.1 426"));
    assert_eq!(rig.count(Counter::UpgradesRefused), 5);
    assert_eq!(rig.count(Counter::SessionsOpened), 0);
}

#[test]
fn a_refused_client_may_try_again_on_the_same_connection() {
    let rig = Rig::start();
    let mut client = Client::connect(rig.address);
    let response = client.request("/v1/stream", &UPGRADE.replace("13", "7"));
    let length = response.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    client.body(length);
    client.into_sbe();
}

#[test]
fn other_requests_are_the_routes() {
    let rig = Rig::start();
    let mut client = Client::connect(rig.address);
    for path in ["/", "/v1/instruments"] {
        let response = client.request(path, "");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        let body = format!("GET {path}");
        assert_eq!(client.body(body.len()), body);
    }
    client.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    assert!(client.response().starts_with("HTTP/1.1 200"));
    assert_eq!(client.body("POST /".len()), "POST /");
    assert_eq!(rig.count(Counter::HttpRequests), 3);
}

#[test]
fn half_a_handshake_is_closed_when_its_time_is_over() {
    // Long enough for those who are in earnest, on a busy machine too.
    let rig = Rig::with(|settings| settings.handshake_timeout = Duration::from_secs(6));
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(rig.address)).collect();
    for client in &mut clients {
        client.write(b"GET /v1/stream HTTP/1.1\r\nHost: te");
    }
    // Meanwhile others come and go.
    let mut other = Client::subscribed(rig.address, &["S0.quote"]);
    for client in &mut clients {
        assert_eq!(client.hear_end(), Heard::End);
    }
    assert_eq!(rig.count(Counter::HandshakesTimedOut), 20);
    assert_eq!(rig.report().handshakes, 0);
    other.subscribe(&["S1.quote"]);
}

#[test]
fn who_holds_handshakes_open_displaces_himself() {
    let rig = Rig::start();
    let mut held = Vec::new();
    for _ in 0..1200 {
        held.push(Client::connect(rig.address));
    }
    rig.wait_until("all are accepted", |report| report.counters[Counter::Accepted] >= 1200);
    let report = rig.report();
    assert!(report.handshakes <= 1024, "{}", report.handshakes);
    assert_eq!(report.counters[Counter::HandshakesEvicted], 176);
    assert_eq!(held[0].hear_end(), Heard::End);
    Client::subscribed(rig.address, &["S0.quote"]);
}

#[test]
fn garbage_and_endless_heads_are_refused() {
    let rig = Rig::start();
    let mut client = Client::connect(rig.address);
    client.write(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n");
    assert!(client.response().starts_with("HTTP/1.1 400"));
    let mut client = Client::connect(rig.address);
    let endless = format!("GET / HTTP/1.1\r\nX: {}\r\n", "y".repeat(70_000));
    client.write(endless.as_bytes());
    assert!(client.response().starts_with("HTTP/1.1 431"));
    rig.wait_until("both are counted", |report| report.counters[Counter::HttpErrors] == 2);
}
