//! Where a request shows its credential: in a header, or in its query if that is allowed.
//!
//! A query is part of what proxies and browsers write into logs and histories; this gateway writes none.

use hyper::Uri;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};

use super::rejected::Rejected;
use crate::http::query;

/// As the exchange's clients name it, and as many others do.
const KEY_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("x-mbx-apikey"), HeaderName::from_static("x-api-key")];

/// The parameter that a token may be in.
const QUERY_PARAMETER: &str = "token";

/// Whether a credential in the query counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryToken {
    /// It does not.
    #[default]
    Ignored,
    /// It does.
    Accepted,
}

/// The credential of a request; `None`: it shows none. Who shows two may mean either, which is refused (RFC
/// 6750, section 2), but for a header that comes twice with the same.
pub(crate) fn shown(
    headers: &HeaderMap,
    asked: &str,
    in_query: QueryToken,
) -> Result<Option<String>, Rejected> {
    let mut found: Option<String> = None;
    let mut take = |credential: &str| match &found {
        // What a client sends whose key is not set.
        _ if credential.is_empty() => Ok(()),
        Some(other) if other != credential => Err(Rejected::Several),
        _ => {
            found = Some(credential.to_owned());
            Ok(())
        }
    };
    for value in headers.get_all(AUTHORIZATION) {
        let value = value.to_str().map_err(|_| Rejected::Malformed)?;
        // Others are somebody else's: of a proxy that asks for a password.
        if let Some((scheme, token)) = value.trim().split_once(' ')
            && scheme.eq_ignore_ascii_case("bearer")
        {
            take(token.trim())?;
        }
    }
    for value in KEY_HEADERS.iter().flat_map(|name| headers.get_all(name)) {
        take(value.to_str().map_err(|_| Rejected::Malformed)?.trim())?;
    }
    if in_query == QueryToken::Accepted {
        for (_, value) in query::pairs(asked).filter(|(name, _)| *name == QUERY_PARAMETER) {
            take(&value.ok_or(Rejected::Malformed)?)?;
        }
    }
    Ok(found)
}

/// A request's target without the credential in its query: nothing behind this has to know of it.
pub(crate) fn without_credential(uri: &Uri) -> Uri {
    let Some(asked) = uri.query() else { return uri.clone() };
    let is_credential = |pair: &&str| pair.split('=').next() == Some(QUERY_PARAMETER);
    let others: Vec<&str> = asked.split('&').filter(|pair| !is_credential(pair)).collect();
    let target = format!("{}?{}", uri.path(), others.join("&"));
    // Less of what was a target is one.
    target.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn find(
        headers: &[(&'static str, &'static str)],
        asked: &str,
    ) -> Result<Option<String>, Rejected> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        shown(&map, asked, QueryToken::Accepted)
    }

    #[test]
    fn a_credential_is_found_where_clients_put_it() {
        let key = Ok(Some("k".to_owned()));
        assert_eq!(find(&[("authorization", "Bearer k")], ""), key);
        assert_eq!(find(&[("authorization", "bearer  k ")], ""), key);
        assert_eq!(find(&[("authorization", "Basic eDp5"), ("x-api-key", "k")], ""), key);
        assert_eq!(find(&[("x-mbx-apikey", "k"), ("x-api-key", "k")], "token=k"), key);
        assert_eq!(find(&[("x-mbx-apikey", ""), ("x-api-key", "k")], "token="), key);
        assert_eq!(find(&[], "topics=A.trade&token=%6B"), key);
        for nothing in [find(&[("authorization", "Bearer")], ""), find(&[("x-api-key", "")], "a=b")]
        {
            assert_eq!(nothing, Ok(None));
        }
        assert_eq!(shown(&HeaderMap::new(), "token=k", QueryToken::Ignored), Ok(None));
    }

    #[test]
    fn a_target_is_passed_on_without_its_credential() {
        for (target, expected) in [
            ("/v1/sse?topics=A.trade&token=k", "/v1/sse?topics=A.trade"),
            ("/v1/instruments?token=k", "/v1/instruments?"),
            ("/a?token&tokens=1&x=token", "/a?tokens=1&x=token"),
            ("/a", "/a"),
        ] {
            assert_eq!(without_credential(&target.parse().unwrap()), *expected, "{target}");
        }
    }

    #[test]
    fn two_credentials_are_refused() {
        let two = [("authorization", "Bearer a"), ("x-api-key", "b")];
        assert_eq!(find(&two, ""), Err(Rejected::Several));
        assert_eq!(find(&two[..1], "token=b"), Err(Rejected::Several));
        assert_eq!(find(&[("x-api-key", "a"), ("x-api-key", "b")], ""), Err(Rejected::Several));
        assert_eq!(find(&[], "token=%zz"), Err(Rejected::Malformed));
    }
}
