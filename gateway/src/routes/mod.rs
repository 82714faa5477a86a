//! Plain HTTP for everybody: the page, the instruments, snapshots and the schema.
//!
//! One function from a request to a response, without sockets: the shard's HTTP face calls it with
//! what its hub knows. WebSocket upgrades never come here. Only GET and HEAD are served; every
//! error has a JSON body that says what is wrong.

mod asset;
mod market;
mod public;
mod reply;

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, header};

pub use market::Market;
pub use public::PublicRoutes;
pub use reply::{Refusal, json, method_not_allowed, refusal};

/// Levels of each side in a snapshot where the request does not say.
const SNAPSHOT_LEVELS_DEFAULT: usize = 20;

/// The most levels of each side in a snapshot: 5,000 are about 300 KB of JSON.
const SNAPSHOT_LEVELS_MAX: usize = 5_000;

/// Answers a plain HTTP request.
#[must_use]
pub fn answer(request: &Parts, market: &dyn Market) -> Response<Bytes> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return method_not_allowed(&request.method, "GET, HEAD");
    }
    let path = request.uri.path();
    if let Some(asset) = asset::find(path) {
        return asset.response(request.headers.get(header::IF_NONE_MATCH));
    }
    match path {
        "/v1/instruments" => market::instruments(market),
        _ => match path.strip_prefix("/v1/snapshot/") {
            Some(symbol) => snapshot(symbol, request.uri.query(), market),
            None => refusal(&Refusal {
                status: StatusCode::NOT_FOUND,
                code: "not_found",
                msg: &format!(
                    "no {path} here; there are /, /v1/stream (WebSocket), /v1/instruments, \
                     /v1/snapshot/SYMBOL and /v1/schema.xml"
                ),
            }),
        },
    }
}

/// `/v1/snapshot/SYMBOL?levels=N`
fn snapshot(symbol: &str, query: Option<&str>, market: &dyn Market) -> Response<Bytes> {
    let mut levels = SNAPSHOT_LEVELS_DEFAULT;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let number = value.parse().ok().filter(|levels| *levels <= SNAPSHOT_LEVELS_MAX);
        levels = match (name, number) {
            ("levels", Some(levels)) => levels,
            ("levels", None) => {
                return refusal(&Refusal {
                    status: StatusCode::BAD_REQUEST,
                    code: "bad_parameter",
                    msg: &format!(
                        "levels={value}: expected a whole number from 0 to {SNAPSHOT_LEVELS_MAX}"
                    ),
                });
            }
            _ => {
                return refusal(&Refusal {
                    status: StatusCode::BAD_REQUEST,
                    code: "bad_parameter",
                    msg: &format!("unknown parameter {name}; there is levels"),
                });
            }
        };
    }
    market::snapshot(market, symbol, levels)
}
