//! Plain HTTP for everybody: the dashboard, the instruments, snapshots, the schema and the status.
//!
//! One function from a request to a response, without sockets: the shard's HTTP face calls it with
//! what its hub knows. WebSocket upgrades never come here. Only GET and HEAD are served; every
//! error has a JSON body that says what is wrong.

mod asset;
mod exchange;
mod market;
mod past;
mod public;
mod reply;
mod status;

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use wire::Channel;

use crate::auth::Rejected;

pub use exchange::{InfoCache, Weights};
use market::Levels;
pub use market::Market;
pub use public::PublicRoutes;
pub use reply::{Refusal, json, method_not_allowed, refusal};
pub use status::StatusBoard;

/// Whether this path is a file of the binary, which everybody may have.
pub(crate) fn is_file(path: &str) -> bool {
    asset::find(path).is_some()
}

/// The answer to a request for anything else whose credential is not accepted.
pub(crate) fn unauthorized(path: &str, rejected: Rejected) -> Response<Bytes> {
    let mut response = if path.starts_with(exchange::PREFIX) {
        exchange::unauthorized(rejected)
    } else {
        let status = rejected.status();
        refusal(&Refusal {
            status,
            code: match status {
                StatusCode::FORBIDDEN => "not_entitled",
                StatusCode::TOO_MANY_REQUESTS => "too_many_requests",
                _ => "unauthorized",
            },
            msg: &rejected.to_string(),
        })
    };
    rejected.add_headers(response.headers_mut());
    response
}

/// Answers a plain HTTP request. Without a board the status is not served.
#[must_use]
pub fn answer(
    request: &Parts,
    market: &dyn Market,
    board: Option<&StatusBoard>,
) -> Response<Bytes> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return method_not_allowed(&request.method, "GET, HEAD");
    }
    let path = request.uri.path();
    if let Some(asset) = asset::find(path) {
        return asset.response(&request.headers);
    }
    let query = request.uri.query().unwrap_or_default();
    if path == "/v1/instruments" {
        market::instruments(market)
    } else if path == "/v1/status" {
        board.map_or_else(status::refused, StatusBoard::response)
    } else if let Some(symbol) = path.strip_prefix("/v1/snapshot/") {
        snapshot(symbol, query, market)
    } else if let Some(symbol) = path.strip_prefix("/v1/bars/") {
        past::bars(market, symbol, query)
    } else if let Some(symbol) = path.strip_prefix("/v1/trades/") {
        past::trades(market, symbol, query)
    } else {
        refusal(&Refusal {
            status: StatusCode::NOT_FOUND,
            code: "not_found",
            msg: &format!(
                "no {path} here; there are /, /v1/stream (WebSocket), /v1/sse, /v1/instruments, \
                 /v1/snapshot/SYMBOL, /v1/bars/SYMBOL, /v1/trades/SYMBOL, /v1/status, /v1/schema.xml, \
                 /v1/openapi.json, which describes all of them, and /api/v3/…"
            ),
        })
    }
}

/// `/v1/snapshot/SYMBOL?levels=5|10|20|all`
fn snapshot(symbol: &str, query: &str, market: &dyn Market) -> Response<Bytes> {
    let mut levels = Levels::Best(Channel::Depth20);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        levels = match (name, Levels::parse(value)) {
            ("levels", Some(levels)) => levels,
            ("levels", None) => {
                return bad_parameter(&format!("levels={value}: expected 5, 10, 20 or all"));
            }
            _ => return bad_parameter(&format!("unknown parameter {name}; there is levels")),
        };
    }
    market::snapshot(market, symbol, levels)
}

fn bad_parameter(msg: &str) -> Response<Bytes> {
    refusal(&Refusal { status: StatusCode::BAD_REQUEST, code: "bad_parameter", msg })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// What stands in quotes behind each of these in a source file.
    fn quoted<'a>(source: &'a str, before: &str) -> Vec<&'a str> {
        let rests = source.split(before).skip(1);
        rests.filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let text = include_str!("../../../docs/protocol/openapi.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let described: BTreeSet<String> =
            file["paths"].as_object().unwrap().keys().cloned().collect();
        let source = include_str!("mod.rs").split("#[cfg(test)]").next().unwrap();
        let mut served: BTreeSet<String> = BTreeSet::from(["/v1/sse".to_owned()]);
        served.extend(quoted(source, "path == \"").into_iter().map(str::to_owned));
        let of_symbols = quoted(source, "path.strip_prefix(\"");
        served.extend(of_symbols.into_iter().map(|path| format!("{path}{{symbol}}")));
        served.extend(["/v1/schema.xml", "/v1/openapi.json"].map(str::to_owned));
        let arms = include_str!("exchange/mod.rs").split("fn body(").nth(1).unwrap();
        let arms = arms.split("_ =>").next().unwrap();
        for arm in arms.lines().filter(|line| line.contains("=>")) {
            let names = arm.split("=>").next().unwrap().split('|');
            let names = names.map(|name| name.trim().trim_matches('"'));
            served.extend(names.map(|name| format!("/api/v3/{name}")));
        }
        assert_eq!(served, described);
    }
}
