//! Files that are part of the binary: the dashboard, the schema and the description of routes.
//!
//! The dashboard is committed as built (`gateway/web/dashboard/dist`), with the compressed forms beside it, so
//! that building a gateway needs no Node. Its list of files is written by the same build.
//!
//! Files whose name has the hash of their content are kept for good; the others carry a tag of their
//! content, and a browser that asks whether they have changed gets 304 while the binary is the same.

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

/// What the page may do: load its own scripts, worker and style, and connect back to where it came from.
/// Its icon is in the page itself.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How long a client may use a file without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// Its name changes when its content does.
    ForGood,
    /// A new binary may bring a new one.
    AskEachTime,
}

/// One embedded file.
pub(super) struct Asset {
    path: &'static str,
    content_type: &'static str,
    keeping: Keeping,
    identity: &'static [u8],
    /// Compressed forms; `None` where a file is not worth it.
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

/// What the dashboard's build made.
static DASHBOARD: &[Asset] = include!("../../web/dashboard/dist/files.rs");

/// What the protocols' documentation has for programs.
static DOCUMENTS: [Asset; 2] = [
    Asset {
        path: "/v1/schema.xml",
        content_type: "application/xml",
        keeping: Keeping::AskEachTime,
        identity: include_bytes!("../../../docs/protocol/tickcast-1.xml"),
        gzip: None,
        brotli: None,
    },
    Asset {
        path: "/v1/openapi.json",
        content_type: "application/json",
        keeping: Keeping::AskEachTime,
        identity: include_bytes!("../../../docs/protocol/openapi.json"),
        gzip: None,
        brotli: None,
    },
];

/// The file at this path, if there is one.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    DASHBOARD.iter().chain(&DOCUMENTS).find(|asset| asset.path == path)
}

impl Asset {
    /// The file in the best form that the client takes, or 304 if it has that already.
    pub(super) fn response(&self, request: &HeaderMap) -> Response<Bytes> {
        let (coding, bytes) = self.form(request);
        let tag = format!("\"{:016x}\"", fnv1a(bytes));
        let known = request.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let known = known.is_some_and(|tags| {
            // A proxy that compresses on its own makes a tag weak; the content is the same.
            tags.split(',').any(|other| other.trim().trim_start_matches("W/") == tag)
        });
        let body = if known { Bytes::new() } else { Bytes::from_static(bytes) };
        let mut response = Response::new(body);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        if self.gzip.is_some() || self.brotli.is_some() {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        let keeping = match self.keeping {
            Keeping::ForGood => "public, max-age=31536000, immutable",
            Keeping::AskEachTime => "no-cache",
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keeping));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    fn form(&self, request: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        for (coding, bytes) in [("br", self.brotli), ("gzip", self.gzip)] {
            if let Some(bytes) = bytes
                && takes(request, coding)
            {
                return (Some(coding), bytes);
            }
        }
        (None, self.identity)
    }
}

/// Whether a request names this coding as one that its client takes (RFC 9110, section 12.5.3). `*` counts
/// for none: who sends it gets the plain file, which is always right.
fn takes(request: &HeaderMap, coding: &str) -> bool {
    let named = request.get_all(header::ACCEPT_ENCODING).into_iter();
    named.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().trim_start_matches("q=");
        let is_refused =
            !weight.is_empty() && weight.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        name.trim().eq_ignore_ascii_case(coding) && !is_refused
    })
}

/// FNV-1a: enough to tell one binary's page from another's.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_client_that_has_the_file_is_told_so() {
        let page = find("/").unwrap();
        let first = page.response(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"1\", {tag}")] {
            let again = page.response(&request(header::IF_NONE_MATCH, &known));
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        let other = page.response(&request(header::IF_NONE_MATCH, "\"0\""));
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn the_smallest_form_that_the_client_takes_is_sent() {
        let page = find("/").unwrap();
        for (accepted, coding) in [
            ("gzip, deflate, br", Some("br")),
            ("gzip", Some("gzip")),
            ("br;q=0, gzip;q=0.5", Some("gzip")),
            ("br;q=0.0, GZIP;q=0", None),
            ("*", None),
            ("", None),
        ] {
            let response = page.response(&request(header::ACCEPT_ENCODING, accepted));
            let found = response.headers().get(header::CONTENT_ENCODING);
            assert_eq!(found.map(|value| value.to_str().unwrap()), coding, "{accepted}");
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
        }
        // Each form has a tag of its own.
        let tag = |accepted| {
            let response = page.response(&request(header::ACCEPT_ENCODING, accepted));
            response.headers()[header::ETAG].clone()
        };
        assert!(tag("br") != tag("gzip") && tag("gzip") != tag("identity"));
    }

    #[test]
    fn the_page_refers_to_nothing_outside_itself() {
        let page = std::str::from_utf8(find("/").unwrap().identity).unwrap();
        let references = page.split("src=\"").skip(1).chain(page.split("href=\"").skip(1));
        for part in references {
            let path = part.split('"').next().unwrap();
            let is_inside = path.starts_with("data:") || path.starts_with("/v1/");
            assert!(is_inside || find(path).is_some(), "{path} is not served");
        }
        assert!(!page.contains("<style") && !page.contains("<script>"), "the policy forbids it");
    }

    #[test]
    fn what_is_kept_for_good_is_named_by_its_content() {
        for asset in DASHBOARD {
            let is_hashed = asset.path.starts_with("/assets/");
            assert_eq!(asset.keeping == Keeping::ForGood, is_hashed, "{}", asset.path);
        }
    }
}
