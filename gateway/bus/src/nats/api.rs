//! The few requests of JetStream's interface that this crate makes, as they go over the wire.
//!
//! The client library has an interface to all of JetStream, made for consumers that acknowledge; this one
//! needs five requests and to know exactly which of their failures leaves what undone.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{
    Client, HeaderMap, Message, PublishErrorKind, Request, RequestErrorKind, StatusCode, Subscriber,
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::lock;
use crate::backend::BusError;

/// JetStream's numbers for what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ErrorCode(u64);

impl ErrorCode {
    pub(super) const WRONG_LAST_SEQUENCE: Self = Self(10_071);
    pub(super) const STREAM_NOT_FOUND: Self = Self(10_059);
}

/// An answer that says no: nothing was done.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) description: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.description, self.code.0)
    }
}

impl std::error::Error for Refusal {}

/// The connection, for requests.
#[derive(Clone, Debug)]
pub(super) struct Api {
    client: Client,
    timeout: Duration,
    is_closed: Arc<AtomicBool>,
    streams: KnownStreams,
}

/// Streams that were there when they were last looked for, on this connection. A direct request to one that
/// is not is answered by nobody.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownStreams(Arc<Mutex<BTreeSet<String>>>);

impl KnownStreams {
    /// The connection is a new one, perhaps to a server that lost them.
    pub(super) fn forget(&self) {
        lock(&self.0).clear();
    }
}

impl Api {
    pub(super) fn new(client: Client, timeout: Duration, streams: KnownStreams) -> Self {
        Self { client, timeout, is_closed: Arc::default(), streams }
    }

    /// The client library takes requests until a drained connection has ended.
    fn check_open(&self) -> Result<(), BusError> {
        // It orders nothing: a request made at the same time may go either way.
        if self.is_closed.load(Ordering::Relaxed) { Err(BusError::Closed) } else { Ok(()) }
    }

    /// How long an answer may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits until the server has done what it was sent before: for the answer to any request, or for none.
    pub(super) async fn round_trip(&self) {
        // Whether JetStream is there does not matter, nor what it says.
        let _ = self.request("$JS.API.INFO".to_owned(), HeaderMap::new(), Bytes::new()).await;
    }

    pub(super) async fn subscribe(&self, subject: String) -> Result<Subscriber, BusError> {
        self.check_open()?;
        self.client.subscribe(subject).await.map_err(|_| BusError::Closed)
    }

    /// Publishes what nobody keeps. Handed over to the connection's task, which may be away.
    pub(super) async fn tell(&self, subject: String, payload: Bytes) -> Result<(), BusError> {
        self.check_open()?;
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Err(BusError::Unreachable("not connected".into()));
        }
        self.client.publish(subject, payload).await.map_err(|error| match error.kind() {
            PublishErrorKind::Send => BusError::Closed,
            _ => BusError::Refused(Box::new(error)),
        })
    }

    /// Publishes into a stream; gives the sequence number.
    pub(super) async fn publish(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Result<u64, Refusal>, BusError> {
        let answer = self.request(subject, headers, payload).await?;
        let answer = parse(&answer)?;
        Ok(match refusal(&answer) {
            Some(refusal) => Err(refusal),
            None => Ok(number(&answer, "/seq")?),
        })
    }

    /// The newest message of a stream's subject.
    pub(super) async fn last(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Message>, BusError> {
        let ask = json!({ "last_by_subj": subject });
        self.get(stream, &ask).await
    }

    /// The oldest message of a stream's subject from this sequence number on.
    pub(super) async fn next(
        &self,
        stream: &str,
        subject: &str,
        sequence: u64,
    ) -> Result<Option<Message>, BusError> {
        let ask = json!({ "seq": sequence, "next_by_subj": subject });
        self.get(stream, &ask).await
    }

    async fn get(&self, stream: &str, ask: &Value) -> Result<Option<Message>, BusError> {
        if !lock(&self.streams.0).contains(stream) {
            self.created(stream).await?.ok_or(BusError::Missing)?;
            lock(&self.streams.0).insert(stream.to_owned());
        }
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let answer = self.request(subject, HeaderMap::new(), ask.to_string().into()).await;
        if matches!(answer, Err(BusError::TimedOut)) {
            lock(&self.streams.0).remove(stream);
        }
        let message = answer?;
        match message.status {
            None => Ok(Some(message)),
            Some(StatusCode::NOT_FOUND) => Ok(None),
            Some(_) => Err(BusError::Malformed("a status in place of a message")),
        }
    }

    /// Makes a stream, or changes its limits.
    pub(super) async fn establish(&self, config: &Value) -> Result<(), BusError> {
        let name = config["name"].as_str().unwrap_or_default();
        match self.ask(&format!("STREAM.UPDATE.{name}"), config).await? {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.code == ErrorCode::STREAM_NOT_FOUND => {
                match self.ask(&format!("STREAM.CREATE.{name}"), config).await? {
                    Ok(_) => Ok(()),
                    Err(refusal) => Err(BusError::Refused(Box::new(refusal))),
                }
            }
            Err(refusal) => Err(BusError::Refused(Box::new(refusal))),
        }
    }

    /// When the stream was made, as the server writes it; `None`: there is none.
    pub(super) async fn created(&self, stream: &str) -> Result<Option<String>, BusError> {
        match self.ask(&format!("STREAM.INFO.{stream}"), &json!({})).await? {
            Ok(info) => Ok(Some(info["created"].as_str().unwrap_or_default().to_owned())),
            Err(refusal) if refusal.code == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            Err(refusal) => Err(BusError::Refused(Box::new(refusal))),
        }
    }

    /// A request of the interface whose answer is JSON.
    pub(super) async fn ask(
        &self,
        what: &str,
        body: &Value,
    ) -> Result<Result<Value, Refusal>, BusError> {
        let subject = format!("$JS.API.{what}");
        let answer = self.request(subject, HeaderMap::new(), body.to_string().into()).await?;
        let answer = parse(&answer)?;
        Ok(match refusal(&answer) {
            Some(refusal) => Err(refusal),
            None => Ok(answer),
        })
    }

    /// A request with many answers: where they will arrive.
    pub(super) async fn pull(&self, what: &str, body: &Value) -> Result<Subscriber, BusError> {
        let inbox = self.client.new_inbox();
        let answers = self.subscribe(inbox.clone()).await?;
        self.client
            .publish_with_reply(format!("$JS.API.{what}"), inbox, body.to_string().into())
            .await
            .map_err(|_| BusError::Closed)?;
        Ok(answers)
    }

    /// Sends what is queued, lets subscriptions run dry, and ends the connection.
    pub(super) async fn drain(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        let drained = async {
            // Both fail only if the connection has ended already.
            let _ = self.client.flush().await;
            let _ = self.client.drain().await;
        };
        // A bus that is away takes nothing more.
        let _ = tokio::time::timeout(self.timeout, drained).await;
    }

    async fn request(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Message, BusError> {
        self.check_open()?;
        let mut request = Request::new().payload(payload).timeout(Some(self.timeout));
        if !headers.is_empty() {
            request = request.headers(headers);
        }
        self.client.send_request(subject, request).await.map_err(|error| match error.kind() {
            RequestErrorKind::TimedOut => BusError::TimedOut,
            RequestErrorKind::NoResponders => BusError::Missing,
            RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                BusError::Refused(Box::new(error))
            }
            _ => BusError::Unreachable(Box::new(error)),
        })
    }
}

/// The stream's sequence number in the subject for acknowledging a delivered message:
/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.…`, or with domain and account before the stream.
pub(super) fn sequence(reply: &str) -> Option<u64> {
    ack_token(reply, 5)
}

/// How many messages of the subject are still to come behind a delivered one.
pub(super) fn pending(reply: &str) -> Option<u64> {
    ack_token(reply, 8)
}

fn ack_token(reply: &str, place: usize) -> Option<u64> {
    let tokens: Vec<&str> = reply.split('.').collect();
    let shift = match tokens.len() {
        9 => 0,
        11.. => 2,
        _ => return None,
    };
    if !reply.starts_with("$JS.ACK.") {
        return None;
    }
    tokens.get(place + shift)?.parse().ok()
}

/// A number in an answer.
pub(super) fn number(answer: &Value, pointer: &str) -> Result<u64, BusError> {
    let number = answer.pointer(pointer).and_then(Value::as_u64);
    number.ok_or(BusError::Malformed("a number is missing in an answer of JetStream"))
}

fn parse(message: &Message) -> Result<Value, BusError> {
    serde_json::from_slice(&message.payload)
        .map_err(|_| BusError::Malformed("an answer of JetStream is not JSON"))
}

fn refusal(answer: &Value) -> Option<Refusal> {
    let error = answer.get("error")?;
    Some(Refusal {
        code: ErrorCode(error["err_code"].as_u64().unwrap_or_default()),
        description: error["description"].as_str().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_numbers_in_subjects_for_acknowledging() {
        let old = "$JS.ACK.tickcast.Xy12.1.77.3.1700000000000000000.9";
        assert_eq!((sequence(old), pending(old)), (Some(77), Some(9)));
        let new = "$JS.ACK._.HASH.tickcast.Xy12.1.77.3.1700000000000000000.9.token";
        assert_eq!((sequence(new), pending(new)), (Some(77), Some(9)));
        assert_eq!(sequence("_INBOX.1.2.3.4.5.6.7.8"), None);
        assert_eq!(sequence("$JS.ACK.short"), None);
    }
}
