//! What clients say: requests of each way, as short as HTTP lets them be. A browser's have some 500 bytes of
//! further headers each.

use super::reader::Place;
use super::way::Way;
use crate::frame::{self, Opcode};
use crate::generator::target::{Scheme, Target};
use crate::generator::upgrade;

/// Appends what a client says first.
pub(super) fn write_opening(out: &mut Vec<u8>, way: Way, target: &Target, topics: &[String]) {
    let list = topics.join(",");
    let at = |path: String| Target { path, scheme: Scheme::Ws, ..target.clone() };
    match way {
        Way::Poll | Way::NchanPoll => {}
        Way::NchanLongPoll => write_long_poll(out, target, topics, &Place::default()),
        Way::EventStream => write_event_source(out, target, &format!("/v1/sse?topics={list}")),
        Way::NchanEventStream => write_event_source(out, target, &format!("/sse?topics={list}")),
        Way::NchanWebSocket => {
            out.extend(upgrade::request(&at(format!("/sub?topics={list}")), None));
        }
        Way::WebSocketJson | Way::WebSocketSbe => {
            out.extend(upgrade::request(&at("/v1/stream".to_owned()), way.subprotocol()));
            // The gateway reads what comes behind an upgrade before it has answered that.
            let command = serde_json::json!({ "op": "subscribe", "topics": topics });
            frame::write_client(out, Opcode::Text, command.to_string().as_bytes());
        }
    }
}

/// Appends one request of a poll.
pub(super) fn write_poll(out: &mut Vec<u8>, way: Way, target: &Target, topic: &str) {
    let path = match way {
        Way::NchanPoll => format!("/poll?topics={topic}"),
        _ => format!("/v1/snapshot/{}", topic.split('.').next().unwrap_or_default()),
    };
    write_get(out, target, &path);
}

/// Appends a request for what comes after `place`.
pub(super) fn write_long_poll(
    out: &mut Vec<u8>,
    target: &Target,
    topics: &[String],
    place: &Place,
) {
    let (list, host) = (topics.join(","), target.address);
    let mut text = format!("GET /longpoll?topics={list} HTTP/1.1\r\nHost: {host}\r\n");
    if !place.etag.is_empty() {
        text.push_str(&format!(
            "If-Modified-Since: {}\r\nIf-None-Match: {}\r\n",
            place.last_modified, place.etag
        ));
    }
    text.push_str("\r\n");
    out.extend_from_slice(text.as_bytes());
}

/// As browsers ask; nchan refuses who does not.
fn write_event_source(out: &mut Vec<u8>, target: &Target, path: &str) {
    let host = target.address;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n");
    out.extend_from_slice(request.as_bytes());
}

fn write_get(out: &mut Vec<u8>, target: &Target, path: &str) {
    let host = target.address;
    out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
}
