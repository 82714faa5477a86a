//! The WebSocket handshake (RFC 6455, section 4.2): which requests are granted, and what the others
//! are told.
//!
//! Subprotocols of `/v1/stream`: the first one offered that we speak is taken. A client that offers
//! none gets JSON, as one that types a URL into a tool expects to read what comes. A client that
//! offers only others is refused: it would not understand us.

use hub::Format;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, StatusCode, Version};
use wire::Encoding;

use crate::auth::Rejected;
use crate::exchange::{self, Endpoint, Served};
use crate::session::Face;
use crate::shard::settings::{Echo, Origins, ShardSettings};

/// What those are told who may come back, in seconds. Clients add a chance of their own.
const RETRY_AFTER_S: &str = "5";

/// What is served over WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Stream,
    Exchange,
    Echo,
}

/// The service at a path.
pub(super) fn service_at(path: &str, settings: &ShardSettings) -> Option<Service> {
    match path {
        "/v1/stream" => Some(Service::Stream),
        "/v1/echo" if settings.echo == Echo::Served => Some(Service::Echo),
        _ if settings.exchange.served == Served::Yes && Endpoint::at(path).is_some() => {
            Some(Service::Exchange)
        }
        _ => None,
    }
}

/// What is agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) face: Face,
    /// To be confirmed; a client that offered none must not get one.
    subprotocol: Option<Encoding>,
}

impl Accepted {
    pub(super) fn add_subprotocol(&self, headers: &mut HeaderMap) {
        if let Some(encoding) = self.subprotocol {
            let name = HeaderValue::from_static(encoding.subprotocol());
            headers.insert(SEC_WEBSOCKET_PROTOCOL, name);
        }
    }
}

/// Why there is no upgrade. What is displayed is the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this is a WebSocket service; the request is not a WebSocket upgrade\n")]
    NotAnUpgrade,
    #[error("there is no WebSocket service at this path; expected /v1/stream, /ws or /stream\n")]
    NoSuchService,
    #[error("a WebSocket upgrade is a GET request of HTTP/1.1\n")]
    Method,
    #[error("a WebSocket upgrade has no body: what follows it are frames\n")]
    Body,
    #[error("unsupported Sec-WebSocket-Version: expected 13\n")]
    Version,
    #[error("Sec-WebSocket-Key: expected exactly one, the base64 form of 16 bytes\n")]
    Key,
    #[error("no known subprotocol offered: expected tickcast.v1.sbe or tickcast.v1.json\n")]
    Subprotocol,
    #[error("the gateway is draining; connect to another one or later\n")]
    Draining,
    #[error("too many connections from this address; come back later\n")]
    TooManyConnections,
    #[error("pages of this origin may not connect (stream-origins)\n")]
    Origin,
    #[error("the gateway is short of memory; connect to another one or later\n")]
    Pressure,
    #[error("{0}\n")]
    Credential(#[from] Rejected),
    #[error(transparent)]
    Exchange(#[from] exchange::Refusal),
}

impl Refusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::NotAnUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::NoSuchService => StatusCode::NOT_FOUND,
            Self::Method | Self::Body | Self::Key | Self::Subprotocol => StatusCode::BAD_REQUEST,
            Self::Draining | Self::Pressure => StatusCode::SERVICE_UNAVAILABLE,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::TooManyConnections => StatusCode::TOO_MANY_REQUESTS,
            Self::Credential(rejected) => rejected.status(),
            Self::Exchange(refusal) => refusal.status(),
        }
    }

    pub(super) fn add_headers(self, headers: &mut HeaderMap) {
        match self {
            Self::NotAnUpgrade => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            Self::Version => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::Pressure | Self::TooManyConnections => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
            }
            Self::Credential(rejected) => rejected.add_headers(headers),
            Self::Draining => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
    }
}

/// Checks an upgrade request and agrees on a subprotocol.
pub(super) fn negotiate<B>(request: &Request<B>, service: Service) -> Result<Accepted, Refusal> {
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err(Refusal::Method);
    }
    let headers = request.headers();
    // Where it ends would depend on how much of it has arrived.
    let is_none = |length: &HeaderValue| length.as_bytes() == b"0";
    let has_length = headers.get(CONTENT_LENGTH).is_some_and(|length| !is_none(length));
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::Body);
    }
    if sole(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version.trim_ascii() != b"13") {
        return Err(Refusal::Version);
    }
    if !sole(headers, &SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        return Err(Refusal::Key);
    }
    match service {
        Service::Echo => return Ok(Accepted { face: Face::Echo, subprotocol: None }),
        // Which of its formats, the face says.
        Service::Exchange => {
            let face = Face::Exchange(Format::ExchangeMillis);
            return Ok(Accepted { face, subprotocol: None });
        }
        Service::Stream => {}
    }
    let mut is_offered = false;
    for offer in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for name in offer.to_str().unwrap_or_default().split(',') {
            is_offered = true;
            if let Some(encoding) = Encoding::from_subprotocol(name.trim()) {
                let face = Face::Native(encoding);
                return Ok(Accepted { face, subprotocol: Some(encoding) });
            }
        }
    }
    if is_offered {
        return Err(Refusal::Subprotocol);
    }
    Ok(Accepted { face: Face::Native(Encoding::Json), subprotocol: None })
}

/// Whether the page that asks, if it is one, may connect: browsers say where a page is from (RFC 6455, section
/// 10.2), and nothing else keeps a foreign page from using its visitor's address and network.
pub(super) fn is_origin_allowed(headers: &HeaderMap, origins: &Origins) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let is_own = || {
        let host = headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
        let own = origin.as_bytes().splitn(2, |byte| *byte == b'/').nth(1);
        own.and_then(|rest| rest.strip_prefix(b"/")).is_some_and(|named| named == host)
    };
    match origins {
        Origins::Any => true,
        Origins::None => is_own(),
        Origins::Listed(listed) => {
            listed.iter().any(|one| one.as_bytes() == origin.as_bytes()) || is_own()
        }
    }
}

/// The value of a header that is there exactly once.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.as_bytes();
    values.next().is_none().then_some(value)
}

/// Whether this is the base64 form of 16 bytes: 22 characters, the last one with four bits to spare,
/// and two of padding.
fn is_key(value: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match value.trim_ascii().split_last_chunk::<2>() {
        Some((digits, b"==")) => digits.len() == 22 && digits.iter().all(is_base64),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::get("/v1/stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("sec-websocket-version", "13");

    #[test]
    fn a_subprotocol_is_chosen_in_the_clients_order() {
        let chosen = |offers: &[&str]| {
            let mut headers = vec![KEY, VERSION];
            headers.extend(offers.iter().map(|offer| ("sec-websocket-protocol", *offer)));
            negotiate(&request(&headers), Service::Stream).map(|a| (a.face, a.subprotocol))
        };
        let (sbe, json) = (Encoding::Sbe, Encoding::Json);
        assert_eq!(chosen(&[]), Ok((Face::Native(json), None)));
        assert_eq!(chosen(&["other, tickcast.v1.sbe"]), Ok((Face::Native(sbe), Some(sbe))));
        assert_eq!(
            chosen(&["tickcast.v1.json", "tickcast.v1.sbe"]),
            Ok((Face::Native(json), Some(json)))
        );
        assert_eq!(chosen(&["tickcast.v2.sbe"]), Err(Refusal::Subprotocol));
    }

    #[test]
    fn pages_of_other_origins_connect_where_they_are_listed() {
        let allowed = |origin: Option<&str>, origins: &Origins| {
            let mut headers = vec![("host", "prices.example:8443")];
            headers.extend(origin.map(|origin| ("origin", origin)));
            is_origin_allowed(request(&headers).headers(), origins)
        };
        let listed = Origins::Listed(vec!["https://desk.example".into()]);
        for (origin, of_none, of_listed) in [
            (None, true, true),
            (Some("https://prices.example:8443"), true, true),
            (Some("https://desk.example"), false, true),
            (Some("https://desk.example.evil"), false, false),
            (Some("http://desk.example"), false, false),
            (Some("https://prices.example"), false, false),
            (Some("null"), false, false),
        ] {
            assert_eq!(allowed(origin, &Origins::None), of_none, "{origin:?}");
            assert_eq!(allowed(origin, &listed), of_listed, "{origin:?}");
            assert!(allowed(origin, &Origins::Any));
        }
    }

    #[test]
    fn handshakes_that_are_wrong_are_refused_with_the_reason() {
        let verdict =
            |headers: &[(&str, &str)]| negotiate(&request(headers), Service::Stream).err();
        assert_eq!(verdict(&[KEY]), Some(Refusal::Version));
        assert_eq!(verdict(&[KEY, ("sec-websocket-version", "8")]), Some(Refusal::Version));
        assert_eq!(verdict(&[VERSION]), Some(Refusal::Key));
        assert_eq!(verdict(&[VERSION, KEY, KEY]), Some(Refusal::Key));
        assert_eq!(verdict(&[VERSION, ("sec-websocket-key", "short==")]), Some(Refusal::Key));
        assert_eq!(verdict(&[VERSION, KEY]), None);
        let length = |length| ("content-length", length);
        assert_eq!(verdict(&[VERSION, KEY, length("3")]), Some(Refusal::Body));
        assert_eq!(verdict(&[VERSION, KEY, length("0")]), None);
        let chunked = ("transfer-encoding", "chunked");
        assert_eq!(verdict(&[VERSION, KEY, chunked]), Some(Refusal::Body));
        let mut post = request(&[VERSION, KEY]);
        *post.method_mut() = Method::POST;
        assert_eq!(negotiate(&post, Service::Stream), Err(Refusal::Method));
    }
}
