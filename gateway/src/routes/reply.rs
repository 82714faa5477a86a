//! Responses with JSON bodies: data, and refusals that say what is wrong.

use bytes::Bytes;
use hyper::{Method, Response, StatusCode, header};
use serde::Serialize;

/// Why a request is refused, as the body says it: `{"error":{"code":…,"msg":…}}`.
#[derive(Debug)]
pub struct Refusal<'a> {
    /// The HTTP status.
    pub status: StatusCode,
    /// A short name that programs can compare.
    pub code: &'static str,
    /// A sentence for people.
    pub msg: &'a str,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'static str,
    msg: &'a str,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: Error<'a>,
}

/// A JSON response. Data is never cached: the next request wants the next state.
#[must_use]
pub fn json(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

/// The response that refuses.
#[must_use]
pub fn refusal(refusal: &Refusal<'_>) -> Response<Bytes> {
    let error = Error { code: refusal.code, msg: refusal.msg };
    // Two texts: serialising them cannot fail.
    let mut body = serde_json::to_vec(&ErrorBody { error }).unwrap_or_default();
    body.push(b'\n');
    json(refusal.status, body)
}

/// The response to a method that is not served here.
#[must_use]
pub fn method_not_allowed(method: &Method, allowed: &'static str) -> Response<Bytes> {
    let mut response = refusal(&Refusal {
        status: StatusCode::METHOD_NOT_ALLOWED,
        code: "method_not_allowed",
        msg: &format!("{method} is not served here; use {allowed}"),
    });
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    response
}
