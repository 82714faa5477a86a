//! A client that publishes: commands and their replies, events skipped.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::subscriber::{Message, Subscriber};

/// How long a reply may take: a bus that has to be connected to again, on a machine that is shared.
const PATIENCE: Duration = Duration::from_secs(40);

/// A connection.
pub(crate) struct Publisher {
    connection: Subscriber,
    /// What the gateway began with.
    pub(crate) hello: Value,
}

/// A trade of one lot.
pub(crate) fn trade(symbol: &str, price: &str) -> Value {
    json!({"topic": format!("{symbol}.trade"), "price": price, "quantity": "1", "side": "buy"})
}

impl Publisher {
    /// One whose events would be JSON.
    pub(crate) fn json(address: SocketAddr) -> Self {
        Self::connect(address, "tickcast.v1.json")
    }

    /// One whose events would be binary.
    pub(crate) fn sbe(address: SocketAddr) -> Self {
        Self::connect(address, "tickcast.v1.sbe")
    }

    fn connect(address: SocketAddr, subprotocol: &str) -> Self {
        let connection = Subscriber::upgrade(address, "/v1/stream", Some(subprotocol));
        let mut publisher = Self { connection, hello: Value::Null };
        publisher.hello = publisher.reply();
        publisher
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, command: &Value) {
        self.connection.send(&command.to_string());
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> Value {
        self.reply_or_end().expect("a reply, and not the connection's end")
    }

    /// The next reply, or `None` if the connection ends first.
    pub(crate) fn reply_or_end(&mut self) -> Option<Value> {
        loop {
            match self.connection.next(PATIENCE) {
                Some(Message::Text(text)) => {
                    let value: Value = serde_json::from_str(&text).expect("replies are JSON");
                    if value.is_object() {
                        return Some(value);
                    }
                }
                Some(Message::Binary(_)) => {}
                Some(Message::Close(_) | Message::End) => return None,
                None => panic!("no reply for {PATIENCE:?}"),
            }
        }
    }

    /// Sends a command and waits for the reply.
    pub(crate) fn ask(&mut self, command: &Value) -> Value {
        self.send(command);
        self.reply()
    }

    /// Sends a binary message and waits for the reply.
    pub(crate) fn ask_binary(&mut self, message: &[u8]) -> Value {
        self.connection.send_frame(0x82, message);
        self.reply()
    }

    /// Whether no reply comes for so long. Heartbeats may.
    pub(crate) fn is_silent(&mut self, span: Duration) -> bool {
        let deadline = Instant::now() + span;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.connection.next(left) {
                Some(Message::Text(text)) if text.starts_with('{') => return false,
                Some(Message::Text(_) | Message::Binary(_)) | None => {}
                Some(end) => panic!("{end:?} instead of silence"),
            }
        }
        true
    }
}
