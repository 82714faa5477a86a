//! What a client says in its request: raw or combined, streams, the unit of times, text or binary.
//!
//! Paths are read generously, as the exchange does and its clients need: whatever stands before the last
//! `/ws` or `/stream` does not matter, nor does what stands behind `/ws` and is no stream's name (libraries
//! number their connections there).

use std::collections::HashSet;

use hub::{Envelope, Format};
use hyper::StatusCode;
use hyper::header::{HOST, HeaderMap};
use wire::exchange::{Grammar, Schema, Stream, TimeUnit};

use super::ExchangeSettings;
use crate::http::query::decode;

/// What names the binary streams, in the host's name or in the path.
const BINARY: &str = "stream-sbe";

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) streams: Vec<(String, Stream)>,
    pub(crate) envelope: Envelope,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/ws`: bare events.
    Raw,
    /// `/stream`: events in envelopes.
    Combined,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("streams: expected names like btcusdt@trade with / between\n")]
    InvalidStream,
    #[error("streams: at most {0}\n")]
    TooManyStreams(usize),
    #[error("timeUnit: expected MILLISECOND or MICROSECOND\n")]
    TimeUnit,
    #[error("the request is not percent-encoded UTF-8\n")]
    Encoding,
}

impl Refusal {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::InvalidStream | Self::TooManyStreams(_) | Self::TimeUnit | Self::Encoding => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

/// A path's last `ws` or `stream`, and what stands behind it.
fn split(path: &str) -> Option<(Endpoint, &str)> {
    let mut end = path.len();
    while let Some(at) = path[..end].rfind('/') {
        match &path[at + 1..end] {
            "ws" => return Some((Endpoint::Raw, path[end..].trim_start_matches('/'))),
            "stream" => return Some((Endpoint::Combined, "")),
            _ => end = at,
        }
    }
    None
}

impl Endpoint {
    /// What stands at a path, if it is of this face.
    pub(crate) fn at(path: &str) -> Option<Self> {
        split(path).map(|(endpoint, _)| endpoint)
    }
}

/// Reads a request of which the path is one of this face, and its headers.
pub(crate) fn parse(
    path: &str,
    query: &str,
    headers: &HeaderMap,
    settings: &ExchangeSettings,
) -> Result<(Format, Opening), Refusal> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let schema = match path.contains(BINARY) || host.contains(BINARY) {
        true => Schema::Sbe,
        false => Schema::Json,
    };
    let grammar = Grammar { schema, case: settings.symbol_case };
    let path = decode(path).ok_or(Refusal::Encoding)?;
    let (endpoint, rest) = split(&path).unwrap_or((Endpoint::Raw, ""));
    let mut names: Vec<(String, Stream)> = Vec::new();
    // A request has room for 16,000 names; looked for in a list they would take a shard's time.
    let mut known = HashSet::new();
    let mut add = |name: &str, stream| {
        if known.insert(name.to_owned()) {
            names.push((name.to_owned(), stream));
        }
    };
    for name in rest.split('/').filter(|name| !name.is_empty()) {
        // What is no name here is somebody's number of a connection.
        if let Ok(stream) = Stream::parse(name, grammar) {
            add(name, stream);
        }
    }
    let mut unit = TimeUnit::Millisecond;
    // A library writes a second question mark where an ampersand belongs.
    for pair in query.split(['&', '?']).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value).ok_or(Refusal::Encoding)?;
        match name {
            "streams" if endpoint == Endpoint::Combined => {
                for name in value.split('/').filter(|name| !name.is_empty()) {
                    add(name, Stream::parse(name, grammar).map_err(|_| Refusal::InvalidStream)?);
                }
            }
            "timeUnit" => {
                unit = match value.to_ascii_uppercase().as_str() {
                    "MICROSECOND" => TimeUnit::Microsecond,
                    "MILLISECOND" => TimeUnit::Millisecond,
                    _ => return Err(Refusal::TimeUnit),
                };
            }
            _ => {}
        }
    }
    if names.len() > settings.streams_max {
        return Err(Refusal::TooManyStreams(settings.streams_max));
    }
    let format = match (schema, unit) {
        (Schema::Sbe, _) => Format::ExchangeSbe,
        (Schema::Json, TimeUnit::Millisecond) => Format::ExchangeMillis,
        (Schema::Json, TimeUnit::Microsecond) => Format::ExchangeMicros,
    };
    let envelope = match endpoint {
        Endpoint::Raw => Envelope::Raw,
        Endpoint::Combined => Envelope::Combined,
    };
    Ok((format, Opening { streams: names, envelope }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str) -> Result<(Format, Envelope, Vec<String>), Refusal> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (format, opening) =
            parse(path, query, &HeaderMap::new(), &ExchangeSettings::default())?;
        let names = opening.streams.into_iter().map(|(name, _)| name).collect();
        Ok((format, opening.envelope, names))
    }

    #[test]
    fn every_form_of_url_is_read() {
        const MS: Format = Format::ExchangeMillis;
        const US: Format = Format::ExchangeMicros;
        let (raw, combined) = (Envelope::Raw, Envelope::Combined);
        let cases: &[(&str, Format, Envelope, &[&str])] = &[
            ("/ws/btcusdt@trade", MS, raw, &["btcusdt@trade"]),
            ("/ws", MS, raw, &[]),
            ("/ws/", MS, raw, &[]),
            ("/ws/a@trade/b@depth@100ms/", MS, raw, &["a@trade", "b@depth@100ms"]),
            ("/ws/a@trade/a@trade", MS, raw, &["a@trade"]),
            ("/ws/0", MS, raw, &[]),
            ("/ws/!ticker@arr", MS, raw, &["!ticker@arr"]),
            ("/stream?streams=a@trade/b@trade", MS, combined, &["a@trade", "b@trade"]),
            ("/stream?streams=", MS, combined, &[]),
            ("/stream", MS, combined, &[]),
            ("/stream/", MS, combined, &[]),
            ("/ws/a@trade?timeUnit=microsecond", US, raw, &["a@trade"]),
            ("/stream?timeUnit=MILLISECOND&streams=a@trade", MS, combined, &["a@trade"]),
            (
                "/stream?streams=a@trade/b@trade?timeUnit=MICROSECOND",
                US,
                combined,
                &["a@trade", "b@trade"],
            ),
            ("/ws/a%40trade", MS, raw, &["a@trade"]),
            ("/ws/%21miniTicker%40arr", MS, raw, &["!miniTicker@arr"]),
            ("/stream?streams=a%40trade%2Fb%40trade", MS, combined, &["a@trade", "b@trade"]),
            ("/stream.binance.local/ws/3", MS, raw, &[]),
            ("/stream.binance.local/ws/ws/a@trade", MS, raw, &["a@trade"]),
            ("/any/stream/prefix/stream?streams=a@trade", MS, combined, &["a@trade"]),
            ("/stream-sbe/ws/a@bestBidAsk", Format::ExchangeSbe, raw, &["a@bestBidAsk"]),
        ];
        for (target, format, envelope, names) in cases {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(read(target), Ok((*format, *envelope, names)), "{target}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert_eq!(read("/stream?streams=a@trade/@"), Err(Refusal::InvalidStream));
        assert_eq!(read("/ws?timeUnit=SECOND"), Err(Refusal::TimeUnit));
        assert_eq!(read("/stream?streams=%zz"), Err(Refusal::Encoding));
        let many: Vec<String> = (0..1025).map(|n| format!("s{n}@trade")).collect();
        let target = |count: usize| format!("/stream?streams={}", many[..count].join("/"));
        assert_eq!(read(&target(1025)), Err(Refusal::TooManyStreams(1024)));
        assert_eq!(read(&target(1024)).unwrap().2.len(), 1024);
    }

    #[test]
    fn paths_of_others_are_not_taken() {
        for path in ["/", "/api/v3/ping", "/v1/snapshot/BTCUSDT", "/wss", "/streams", "/v1/sse"] {
            assert_eq!(Endpoint::at(path), None, "{path}");
        }
    }
}
