//! `/api/v3`: the REST interface that clients of Binance's spot market call, as far as it is market data.
//!
//! The same numbers as everywhere, in the exchange's form: depth is the hub's book and carries the update
//! id that streams carry, so that the documented way of joining a snapshot and a stream works; trades and
//! bars are the history's. Errors have the exchange's codes, and requests their documented weights.

mod book;
mod error;
mod info;
mod klines;
mod parameters;
mod past;
mod statistics;
mod text;
mod ticker;
mod weight;

use bytes::Bytes;
use hyper::header::{ACCEPT, ALLOW, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use wire::{Channel, Instrument, Symbol};

use super::market::Market;
use super::reply;
use crate::auth::Rejected;
use error::RestError;
use parameters::Parameters;
use text::milliseconds;

pub use info::InfoCache;
pub use weight::Weights;

/// What stands before all paths.
pub(super) const PREFIX: &str = "/api/v3/";

const USED_WEIGHT: HeaderName = HeaderName::from_static("x-mbx-used-weight");
const USED_WEIGHT_1M: HeaderName = HeaderName::from_static("x-mbx-used-weight-1m");

/// What a route needs besides the request.
pub(super) struct Desk<'a> {
    pub(super) market: &'a dyn Market,
    pub(super) weights: &'a Weights,
    pub(super) info: &'a InfoCache,
    pub(super) now_ns: u64,
    /// The time up to which the market is known here: earlier, where data is delayed.
    pub(super) market_ns: u64,
}

/// A body, or why there is none.
type Answered = Result<Vec<u8>, RestError>;

/// Answers a request below [`PREFIX`].
pub(super) fn answer(request: &Parts, desk: &Desk<'_>) -> Response<Bytes> {
    let path = request.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let parameters = Parameters::parse(request.uri.query().unwrap_or_default());
    let weight = parameters.as_ref().map_or(1, |parameters| weight::of(path, parameters));
    let used = desk.weights.take(weight::client(request), weight, desk.now_ns);
    let answered = match used {
        weight::Used::Over { retry_after_s, .. } => Err(RestError::TooMuch { retry_after_s }),
        weight::Used::Within(_) if !takes_json(request) => Err(RestError::NotAcceptable),
        weight::Used::Within(_) if !matches!(request.method, Method::GET | Method::HEAD) => {
            Err(RestError::Method)
        }
        weight::Used::Within(_) => parameters.and_then(|given| body(path, &given, desk)),
    };
    let mut response = match answered {
        Ok(body) => reply::json(StatusCode::OK, body),
        Err(error) => {
            let mut response = reply::json(error.status(), error.body());
            if let Some(seconds) = error.retry_after_s() {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            if error == RestError::Method {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            response
        }
    };
    for name in [USED_WEIGHT, USED_WEIGHT_1M] {
        response.headers_mut().insert(name, HeaderValue::from(used.sum()));
    }
    response
}

/// The answer to a request whose credential is not accepted, in the exchange's form.
pub(super) fn unauthorized(rejected: Rejected) -> Response<Bytes> {
    let error = RestError::Credential(rejected);
    reply::json(error.status(), error.body())
}

fn body(path: &str, given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    match path {
        "ping" => Ok(b"{}".to_vec()),
        "time" => Ok(format!("{{\"serverTime\":{}}}", milliseconds(desk.now_ns)).into_bytes()),
        "exchangeInfo" => info::exchange_info(given, desk),
        "depth" => book::depth(given, desk),
        "trades" | "historicalTrades" => past::trades(given, desk),
        "aggTrades" => past::aggregates(given, desk),
        "klines" | "uiKlines" => klines::klines(given, desk),
        "avgPrice" => ticker::average(given, desk),
        "ticker/24hr" => ticker::day(given, desk),
        "ticker/tradingDay" => ticker::trading_day(given, desk),
        "ticker" => ticker::window(given, desk),
        "ticker/price" => ticker::prices(given, desk),
        "ticker/bookTicker" => book::best(given, desk),
        _ => Err(RestError::NoSuchPath),
    }
}

/// Whether the client would take JSON: some ask for the exchange's binary form and nothing else.
fn takes_json(request: &Parts) -> bool {
    let accept = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_none_or(|accept| {
        let mut types = accept.split(',').map(str::trim);
        !types.all(|one| one.starts_with("application/sbe"))
    })
}

impl Desk<'_> {
    /// The instrument of a symbol, if its present state can be known.
    fn present(&self, symbol: &Symbol) -> Result<Instrument, RestError> {
        let instrument = self.market.instrument(symbol).ok_or(RestError::Symbol)?;
        if self.market.is_present(&instrument) { Ok(instrument) } else { Err(RestError::Fetching) }
    }

    /// The same, if this channel of it may be seen.
    fn entitled(&self, symbol: &Symbol, channel: Channel) -> Result<Instrument, RestError> {
        let instrument = self.present(symbol)?;
        if self.market.allows(&instrument, channel) {
            Ok(instrument)
        } else {
            Err(RestError::NotEntitled)
        }
    }

    /// One object where `symbol` was given, an array otherwise: of `symbols`, or of all instruments that
    /// have something to say. It is made of any of these channels.
    fn one_or_many(
        &self,
        given: &Parameters<'_>,
        channels: &[Channel],
        write: impl Fn(&mut Vec<u8>, &Instrument) -> bool,
    ) -> Answered {
        let mut body = Vec::with_capacity(1024);
        match given.symbols()? {
            parameters::Symbols::One(symbol) => {
                let instrument = self.present(&symbol)?;
                if !channels.iter().any(|channel| self.market.allows(&instrument, *channel)) {
                    return Err(RestError::NotEntitled);
                }
                if !write(&mut body, &instrument) {
                    return Err(RestError::Fetching);
                }
            }
            parameters::Symbols::Many(symbols) => {
                let instruments: Result<Vec<_>, _> =
                    symbols.iter().map(|symbol| self.present(symbol)).collect();
                text::array(&mut body, instruments?.iter(), write);
            }
            parameters::Symbols::All => {
                text::array(&mut body, self.market.instruments().iter(), write);
            }
        }
        Ok(body)
    }
}
