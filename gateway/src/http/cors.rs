//! Which pages of other origins may read plain HTTP answers (the Fetch standard, section 3.2).
//!
//! Nothing here keeps anybody out: a browser asks on behalf of the page's origin, and keeps the answer
//! from the page unless the answer says that origin's name. WebSocket has no such rule.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderValue, ORIGIN, VARY,
};

use crate::shard::Origins;

/// Headers that pages may send: of event streams, and those that the exchange's clients add to whatever they
/// ask. Those with credentials count where there is `auth`.
const ALLOWED_HEADERS: &str = "last-event-id, cache-control, content-type, authorization, x-api-key, \
     x-mbx-apikey, x-mbx-time-unit";

/// What an answer says about the origin that a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cors {
    /// Nothing: the request names none, or none that is allowed.
    Silent,
    /// Nothing, but to another origin it would be something else.
    Varies,
    /// The origin may read it.
    Allows(HeaderValue),
    /// Everybody may.
    AllowsAny,
}

impl Cors {
    pub(super) fn of(request: &HeaderMap, origins: &Origins) -> Self {
        match (origins, request.get(ORIGIN)) {
            (Origins::None, _) => Self::Silent,
            (Origins::Any, _) => Self::AllowsAny,
            (Origins::Listed(listed), Some(origin))
                if listed.iter().any(|one| one.as_bytes() == origin.as_bytes()) =>
            {
                Self::Allows(origin.clone())
            }
            (Origins::Listed(_), _) => Self::Varies,
        }
    }

    fn allowed(&self) -> Option<HeaderValue> {
        match self {
            Self::Silent | Self::Varies => None,
            Self::Allows(origin) => Some(origin.clone()),
            Self::AllowsAny => Some(HeaderValue::from_static("*")),
        }
    }

    /// Adds to the head of an answer.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        if matches!(self, Self::Varies | Self::Allows(_)) {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if let Some(origin) = self.allowed() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
    }

    /// Adds what a browser asks before it sends a request that a form could not have sent.
    pub(super) fn add_preflight(&self, headers: &mut HeaderMap) {
        if self.allowed().is_none() {
            return;
        }
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        let names = HeaderValue::from_static(ALLOWED_HEADERS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }

    /// The same as [`Cors::add_headers`], as lines.
    pub(super) fn lines(&self) -> String {
        let mut headers = HeaderMap::new();
        self.add_headers(&mut headers);
        let line = |(name, value): (&hyper::header::HeaderName, &HeaderValue)| {
            format!("{name}: {}\r\n", value.to_str().unwrap_or_default())
        };
        headers.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(origins: &Origins, origin: Option<&'static str>) -> String {
        let mut request = HeaderMap::new();
        if let Some(origin) = origin {
            request.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        Cors::of(&request, origins).lines()
    }

    #[test]
    fn only_origins_that_are_listed_are_named() {
        let listed =
            Origins::Listed(vec!["https://a.example".into(), "http://b.example:8080".into()]);
        let b = "http://b.example:8080";
        let expected = format!("vary: origin\r\naccess-control-allow-origin: {b}\r\n");
        assert_eq!(lines(&listed, Some(b)), expected);
        assert_eq!(lines(&listed, Some("http://b.example")), "vary: origin\r\n");
        assert_eq!(lines(&listed, None), "vary: origin\r\n");
        assert_eq!(lines(&Origins::None, Some(b)), "");
        assert_eq!(lines(&Origins::Any, Some(b)), "access-control-allow-origin: *\r\n");
    }
}
