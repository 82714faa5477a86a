//! Files that are part of the binary: the page and the schema.
//!
//! They carry a tag of their content: a browser asks whether it has changed and gets 304 while the
//! binary is the same.

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

/// What the page may do: load its own script and style, and connect back to where it came from. An
/// icon is in the page itself.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One embedded file.
pub(super) struct Asset {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

static ASSETS: [Asset; 4] = [
    Asset {
        path: "/",
        content_type: "text/html; charset=utf-8",
        text: include_str!("../../web/page/index.html"),
    },
    Asset {
        path: "/page.css",
        content_type: "text/css; charset=utf-8",
        text: include_str!("../../web/page/page.css"),
    },
    Asset {
        path: "/page.js",
        content_type: "text/javascript; charset=utf-8",
        text: include_str!("../../web/page/page.js"),
    },
    Asset {
        path: "/v1/schema.xml",
        content_type: "application/xml",
        text: include_str!("../../../docs/protocol/tickcast-1.xml"),
    },
];

/// The file at this path, if there is one.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

impl Asset {
    /// The file, or 304 if the client has it already.
    pub(super) fn response(&self, if_none_match: Option<&HeaderValue>) -> Response<Bytes> {
        let tag = format!("\"{:016x}\"", fnv1a(self.text.as_bytes()));
        let known = if_none_match.and_then(|value| value.to_str().ok());
        let known = known.is_some_and(|tags| tags.split(',').any(|other| other.trim() == tag));
        let body = if known { Bytes::new() } else { Bytes::from_static(self.text.as_bytes()) };
        let mut response = Response::new(body);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        // Kept, but asked for each time: a new binary may bring a new page.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
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

    #[test]
    fn a_client_that_has_the_file_is_told_so() {
        let asset = find("/page.js").unwrap();
        let first = asset.response(None);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        assert_eq!(asset.response(Some(&tag)).status(), StatusCode::NOT_MODIFIED);
        let other = HeaderValue::from_static("\"0\"");
        assert_eq!(asset.response(Some(&other)).status(), StatusCode::OK);
    }

    #[test]
    fn the_page_refers_to_nothing_outside_itself() {
        let page = find("/").unwrap();
        for part in page
            .text
            .split("src=\"")
            .skip(1)
            .chain(page.text.split("rel=\"stylesheet\" href=\"").skip(1))
        {
            let path = part.split('"').next().unwrap();
            assert!(find(path).is_some(), "{path} is not served");
        }
        assert!(!page.text.contains("http://") || page.text.matches("http://").count() == 1);
    }
}
