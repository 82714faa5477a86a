//! Credentials at the real binary, on every way in: where they are shown, what they are worth, and when that ends.

mod doors;
mod guessing;
mod lifetime;
mod seats;
mod sight;
#[path = "../support/mod.rs"]
mod support;
mod tokens;

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};
use support::process::PATIENCE;
use support::subscriber::{Message, Subscriber};

/// A client of the native protocol, in JSON, and what it was greeted with.
fn native(address: SocketAddr, headers: &str) -> Result<(Subscriber, Value), String> {
    let lines = format!("Sec-WebSocket-Protocol: tickcast.v1.json\r\n{headers}");
    let mut client = Subscriber::try_upgrade(address, "/v1/stream", &lines)?;
    let hello = serde_json::from_str(&client.next_text(PATIENCE)).expect("a hello is JSON");
    Ok((client, hello))
}

/// The next object: a reply, or a message that nobody asked for. Events are passed over.
fn reply(client: &mut Subscriber) -> Value {
    loop {
        let value: Value = serde_json::from_str(&client.next_text(PATIENCE)).expect("JSON");
        if value.is_object() {
            return value;
        }
    }
}

/// Sends a command and reads the reply.
fn ask(client: &mut Subscriber, command: &Value) -> Value {
    client.send(&command.to_string());
    reply(client)
}

/// Shows a credential.
fn auth(client: &mut Subscriber, credential: &str) -> Value {
    ask(client, &json!({"op": "auth", "token": credential}))
}

/// The code and reason of the close frame that ends a connection, whatever comes before it.
fn end(client: &mut Subscriber) -> (u16, String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "it goes on");
        match client.next(PATIENCE) {
            Some(Message::Close(code)) => return (code, client.close_reason.clone()),
            Some(Message::Text(_) | Message::Binary(_)) => {}
            other => panic!("expected a close frame, got {other:?}"),
        }
    }
}

/// A header with this credential.
fn bearer(credential: &str) -> String {
    format!("Authorization: Bearer {credential}\r\n")
}
