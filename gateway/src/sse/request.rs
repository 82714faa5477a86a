//! What a client says in the request for a stream: its query and `Last-Event-ID`.

use std::num::NonZeroU32;

use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use wire::command::{
    BadTopic, Excerpt, MAX_RATE_MAX, Mode, SnapshotPolicy, TOPICS_PER_COMMAND_MAX,
};
use wire::{Pattern, Position};

use super::{Begin, Opening};
use crate::auth::Rejected;
use crate::http::query;
use crate::routes;

/// The header in which a client names the last event that it got.
const LAST_EVENT_ID: &str = "last-event-id";

/// Why a request is not one for a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("topics: missing, expected SYMBOL.channel or *.channel, several with commas between")]
    NoTopics,
    #[error("topics: at most {TOPICS_PER_COMMAND_MAX}, found {0}")]
    TooManyTopics(usize),
    #[error("mode: expected every or conflate, found {}", .0.as_str())]
    Mode(Excerpt),
    #[error("max_rate: expected a whole number from 1 to {MAX_RATE_MAX}, in updates a second, found {}", .0.as_str())]
    MaxRate(Excerpt),
    #[error("snapshot: expected true or false, found {}", .0.as_str())]
    Snapshot(Excerpt),
    #[error("unknown parameter {}; there are topics, mode, max_rate, snapshot and last_event_id", .0.as_str())]
    Unknown(Excerpt),
    #[error("the query is not percent-encoded UTF-8")]
    Encoding,
    #[error(transparent)]
    Credential(#[from] Rejected),
}

impl Refusal {
    /// The answer that says so.
    pub(crate) fn response(&self) -> Response<bytes::Bytes> {
        if let Self::Credential(rejected) = self {
            return routes::unauthorized("/v1/sse", *rejected);
        }
        routes::refusal(&routes::Refusal {
            status: StatusCode::BAD_REQUEST,
            code: "bad_parameter",
            msg: &self.to_string(),
        })
    }
}

/// Reads a request for a stream.
pub(crate) fn parse(request: &Parts) -> Result<Opening, Refusal> {
    let mut opening = Opening {
        topics: Vec::new(),
        mode: Mode::Every,
        max_rate: None,
        snapshot: SnapshotPolicy::Send,
        begin: Begin::Anew,
        headers: String::new(),
    };
    // A browser sends an empty one where there was an event without an id.
    if let Some(id) = request.headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        opening.begin = begin_after(id.to_str().unwrap_or_default());
    }
    let asked = request.uri.query().unwrap_or_default();
    for (name, value) in query::pairs(asked) {
        let value = value.ok_or(Refusal::Encoding)?;
        let excerpt = || Excerpt::new(&value);
        match name {
            "topics" => opening.topics.extend(topics(&value)),
            "mode" => {
                opening.mode = match &*value {
                    "every" => Mode::Every,
                    "conflate" => Mode::Conflate,
                    _ => return Err(Refusal::Mode(excerpt())),
                };
            }
            "max_rate" => {
                let rate = value.parse::<NonZeroU32>().ok().filter(|r| r.get() <= MAX_RATE_MAX);
                opening.max_rate = Some(rate.ok_or_else(|| Refusal::MaxRate(excerpt()))?);
            }
            "snapshot" => {
                opening.snapshot = match &*value {
                    "true" => SnapshotPolicy::Send,
                    "false" => SnapshotPolicy::Skip,
                    _ => return Err(Refusal::Snapshot(excerpt())),
                };
            }
            // What the header says is newer: a browser goes on sending the query of the first request.
            "last_event_id" if opening.begin == Begin::Anew && !value.is_empty() => {
                opening.begin = begin_after(&value);
            }
            "last_event_id" => {}
            _ => return Err(Refusal::Unknown(Excerpt::new(name))),
        }
    }
    match opening.topics.len() {
        0 => Err(Refusal::NoTopics),
        1..=TOPICS_PER_COMMAND_MAX => Ok(opening),
        more => Err(Refusal::TooManyTopics(more)),
    }
}

fn begin_after(id: &str) -> Begin {
    Begin::After(Position::parse(id.trim()))
}

fn topics(value: &str) -> impl Iterator<Item = Result<Pattern, BadTopic>> {
    value.split(',').filter(|text| !text.is_empty()).map(|text| {
        Pattern::parse(text).map_err(|error| BadTopic { text: Excerpt::new(text), error })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(query: &str, last_event_id: Option<&str>) -> Result<Opening, Refusal> {
        let mut request = hyper::Request::get(format!("/v1/sse?{query}"));
        if let Some(id) = last_event_id {
            request = request.header(LAST_EVENT_ID, id);
        }
        parse(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_request_says_everything_in_its_query() {
        let found = opening("topics=BTCUSDT.trade%2C*.quote&mode=conflate&max_rate=10", None);
        let found = found.unwrap();
        let names: Vec<_> =
            found.topics.iter().map(|topic| topic.as_ref().unwrap().to_string()).collect();
        assert_eq!(names, ["BTCUSDT.trade", "*.quote"]);
        assert_eq!((found.mode, found.max_rate), (Mode::Conflate, NonZeroU32::new(10)));
        assert_eq!((found.snapshot, found.begin), (SnapshotPolicy::Send, Begin::Anew));
        let found = opening("topics=a.b&topics=A.trade&snapshot=false", None).unwrap();
        assert!(found.topics[0].is_err() && found.topics[1].is_ok());
        assert_eq!(found.snapshot, SnapshotPolicy::Skip);
    }

    #[test]
    fn the_header_is_newer_than_the_query() {
        let after = |text: &str| Begin::After(Position::parse(text));
        let begin = |query: &str, header| {
            opening(&format!("topics=A.trade&{query}"), header).unwrap().begin
        };
        assert_eq!(begin("last_event_id=1:t,0.0.5", None), after("1:t,0.0.5"));
        assert_eq!(begin("last_event_id=1:t,0.0.5", Some("1:t,0.0.9")), after("1:t,0.0.9"));
        assert_eq!(begin("last_event_id=1%3At%2C0.0.5", Some("")), after("1:t,0.0.5"));
        assert_eq!(begin("", Some("somebody else's")), Begin::After(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, part) in [
            ("", "topics: missing"),
            ("topics=,", "topics: missing"),
            ("topics=A.trade&mode=some", "mode: expected every or conflate, found some"),
            ("topics=A.trade&max_rate=0", "max_rate: expected a whole number from 1 to 1000"),
            ("topics=A.trade&max_rate=1001", "found 1001"),
            ("topics=A.trade&snapshot=1", "snapshot: expected true or false"),
            ("topic=A.trade", "unknown parameter topic;"),
            ("topics=%4", "percent-encoded"),
            ("topics=%zz", "percent-encoded"),
            ("topics=%ff", "percent-encoded"),
        ] {
            let refusal = opening(query, None).unwrap_err().to_string();
            assert!(refusal.contains(part), "{query}: {refusal}");
        }
        let many = format!("topics={}", "A.trade,".repeat(TOPICS_PER_COMMAND_MAX + 1));
        assert_eq!(opening(&many, None), Err(Refusal::TooManyTopics(1001)));
    }
}
