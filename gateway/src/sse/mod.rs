//! The event-stream face: `/v1/sse`, `text/event-stream` for those who want plain HTTP.
//!
//! A session like one over WebSocket, with the same hub behind it and other framing: what one visit
//! gathers, the array of `tickcast.v1.json`, is one event with one line of data, and its `id` says
//! where the stream is then ([`wire::position`]), so that `Last-Event-ID` goes on there. The client
//! says everything in its request ([`request`]); afterwards only the gateway speaks.
//!
//! Called by sessions; the format is that of the HTML standard, section 9.2. A body without a length
//! that ends with its connection (RFC 9112, section 6.3) needs no framing of its own, so an event can
//! be cut off, and then a reader drops it, as that standard says.

mod request;

use std::num::NonZeroU32;
use std::time::SystemTime;

use bytes::Bytes;
use hub::{ConnId, Hub};
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use wire::command::{BadTopic, Command, Mode, SnapshotPolicy, Subscribe};
use wire::{Advice, CloseCode, Pattern, Position};

pub(crate) use request::parse;

use crate::session::SERVER_HEADER_MAX;

/// What a client that is to come back waits first, ms. Browsers take 3 s or so by themselves, which is
/// longer than a drained gateway's successor needs.
const RETRY_MS: u32 = 1_000;

/// The same for one that is not to come back. Browsers do all the same, and would have another one's place.
const STAY_AWAY_MS: u32 = 3_600_000;

/// What a request for a stream asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) topics: Vec<Result<Pattern, BadTopic>>,
    pub(crate) mode: Mode,
    pub(crate) max_rate: Option<NonZeroU32>,
    pub(crate) snapshot: SnapshotPolicy,
    pub(crate) begin: Begin,
    /// Lines to be added to the head of the answer.
    pub(crate) headers: String,
}

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Nowhere in particular.
    Anew,
    /// Where an earlier one ended; `None`: at a place that cannot be read, which counts as one that
    /// is not known any more.
    After(Option<Position>),
}

/// What became of a request for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// The stream runs.
    Stream,
    /// It ends at once: there are no instruments yet, and the client is to come back.
    ComeBack,
    /// None of its topics can be subscribed: the answer is an error.
    Refused,
}

/// Subscribes, and writes the head of the answer and what comes before the first data.
pub(crate) fn begin(
    out: &mut Vec<u8>,
    opening: Opening,
    hello: &[u8],
    conn: ConnId,
    hub: &mut Hub,
    now_ns: u64,
) -> Begun {
    let Opening { topics, mode, max_rate, snapshot, begin, headers } = opening;
    let subscribe = Subscribe { id: None, topics, mode, max_rate, snapshot, resume: None };
    let mut ack = Vec::new();
    match begin {
        Begin::Anew => {
            hub.handle_command(conn, &Command::Subscribe(subscribe), now_ns, &mut ack);
        }
        Begin::After(position) => {
            hub.handle_return(conn, subscribe, position.as_ref(), now_ns, &mut ack);
        }
    }
    let is_subscribed = hub.is_subscribed(conn);
    if !is_subscribed && !hub.is_defining(now_ns) {
        let results = ack.strip_prefix(b"{\"op\":\"ack\"".as_slice()).unwrap_or(b"}");
        let mut body = br#"{"error":{"code":"no_topic","msg":"none of the topics can be subscribed; results says why"}"#.to_vec();
        body.extend_from_slice(results);
        body.push(b'\n');
        write_error(out, "400 Bad Request", &headers, &body);
        return Begun::Refused;
    }
    write_stream_head(out, &headers);
    write_event(out, "hello", hello);
    write_event(out, "ack", &ack);
    if is_subscribed { Begun::Stream } else { Begun::ComeBack }
}

/// The answer to who asks for its head only: what a stream begins with, without one.
pub(crate) fn head() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Writes the head of the answer.
pub(crate) fn write_stream_head(out: &mut Vec<u8>, headers: &str) {
    write_head(out, "200 OK", headers);
    out.extend_from_slice(b"content-type: text/event-stream\r\nx-accel-buffering: no\r\n\r\n");
}

/// The head's lines that every answer has; the caller adds its own and the empty one.
fn write_head(out: &mut Vec<u8>, status: &str, headers: &str) {
    let date = httpdate::fmt_http_date(SystemTime::now());
    for part in ["HTTP/1.1 ", status, "\r\ndate: ", &date, "\r\n", headers] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(
        b"cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n",
    );
}

fn write_error(out: &mut Vec<u8>, status: &str, headers: &str, body: &[u8]) {
    write_head(out, status, headers);
    let length = body.len();
    let head = format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body);
}

/// Writes an event with a name; the data is one line.
fn write_event(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    for part in [b"event: ", name.as_bytes(), b"\ndata: ", data, b"\n\n"] {
        out.extend_from_slice(part);
    }
}

/// Makes an event of what a visit gathered last: everything from `payload` on, behind
/// [`SERVER_HEADER_MAX`] bytes of room. Returns where the event starts.
pub(crate) fn frame(frame: &mut Vec<u8>, payload: usize, conn: ConnId, hub: &Hub) -> usize {
    const DATA: &[u8] = b"data: ";
    const { assert!(DATA.len() <= SERVER_HEADER_MAX) };
    let start = payload - DATA.len();
    frame[start..payload].copy_from_slice(DATA);
    let end = frame.len();
    frame.extend_from_slice(b"\nid: ");
    if hub.write_position(conn, frame) {
        frame.push(b'\n');
    } else {
        // Without an id the client keeps the one it has, or none, and gets all of this once more.
        frame.truncate(end + 1);
    }
    frame.push(b'\n');
    start
}

/// Writes a comment that says nothing but that we are there.
pub(crate) fn write_heartbeat(out: &mut Vec<u8>, ts_ns: u64) {
    out.extend_from_slice(format!(": {ts_ns}\n\n").as_bytes());
}

/// Writes that the credential of the stream's request expires; whoever goes on needs another one.
pub(crate) fn write_expiring(out: &mut Vec<u8>, in_ms: u64) {
    write_event(out, "expiring", format!("{{\"in_ms\":{in_ms}}}").as_bytes());
}

/// Writes which topics ended because the credential allows them no more, as the hub said it.
pub(crate) fn write_revoked(out: &mut Vec<u8>, said: &[u8]) {
    write_event(out, "revoked", said);
}

/// Writes why the stream ends.
pub(crate) fn write_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    let number = code.code();
    let retry_ms = match code.advice() {
        Advice::Reconnect => RETRY_MS,
        Advice::Stop => STAY_AWAY_MS,
    };
    out.extend_from_slice(format!("retry: {retry_ms}\n").as_bytes());
    let data = format!("{{\"code\":{number},\"reason\":\"{reason}\"}}");
    write_event(out, "close", data.as_bytes());
}
