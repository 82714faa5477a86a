//! The exchange-compatible face, over real sockets, against the real gateway.

#![allow(clippy::cast_possible_truncation, reason = "numbers of tests are small")]

#[path = "../../hub/tests/simulation/random.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared by tests, none of which uses all of it")]
mod random;
#[path = "../support/mod.rs"]
mod support;

mod book;
mod books;
mod control;
mod every;
mod limits;
mod recorded;
mod urls;

use std::time::Duration;

use serde_json::Value;
use support::process::Gateway;
use support::subscriber::{Message, Subscriber};

/// Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway with a simulated market and no limits that a test could meet by accident.
fn gateway(more: &[&str]) -> Gateway {
    let mut arguments = more.to_vec();
    for (name, value) in [
        ("--source", "sim"),
        ("--symbols", "4"),
        ("--rate", "2000"),
        ("--shards", "1"),
        ("--exchange-connections", "0"),
        ("--exchange-message-rate", "0"),
    ] {
        if !more.contains(&name) {
            arguments.extend([name, value]);
        }
    }
    Gateway::start(&arguments)
}

/// A connection at a path of this face.
fn connect(gateway: &Gateway, path: &str) -> Subscriber {
    Subscriber::upgrade(gateway.listen, path, None)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The symbols of the simulated market, as streams name them.
fn symbols(gateway: &Gateway) -> Vec<String> {
    let (status, body) =
        support::process::get(gateway.listen, "/v1/instruments").expect("the gateway answers");
    assert_eq!(status, 200, "{body}");
    let found = json(&body);
    let instruments = found["instruments"].as_array().expect("a list");
    instruments.iter().map(|i| i["s"].as_str().expect("a symbol").to_lowercase()).collect()
}

/// What a message is answered; events that come before are passed over.
fn ask(subscriber: &mut Subscriber, message: &str) -> String {
    subscriber.send(message);
    loop {
        let text = subscriber.next_text(PATIENCE);
        if text.starts_with("{\"result\"") || text.starts_with("{\"error\"") {
            return text;
        }
    }
}

/// The code and reason with which the connection ends.
fn end(subscriber: &mut Subscriber) -> (u16, String) {
    loop {
        match subscriber.next(PATIENCE) {
            Some(Message::Close(code)) => return (code, subscriber.close_reason.clone()),
            Some(Message::Text(_) | Message::Binary(_)) => {}
            other => panic!("expected a close frame, got {other:?}"),
        }
    }
}
