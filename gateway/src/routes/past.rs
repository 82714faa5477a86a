//! An instrument's recent past as JSON: its bars and its trades, oldest first.

use bytes::Bytes;
use hyper::{Response, StatusCode};
use wire::{Channel, Instrument, Interval, json};

use super::bad_parameter;
use super::market::{self, Absent, Market};
use super::reply::{self, Refusal, refusal};
use crate::history::{History, Span};
use crate::http::query;

/// How many are given where it is not said, and at most.
const LIMIT_DEFAULT: usize = 500;
const LIMIT_MAX: usize = 1000;

/// Room for one bar in JSON.
const BAR_BYTES: usize = 320;

/// Room for one trade in JSON.
const TRADE_BYTES: usize = 128;

/// What a request asks for.
#[derive(Debug)]
struct Asked {
    interval: Interval,
    span: Span,
}

/// Why there is no past to show.
#[derive(Debug)]
enum Refused {
    /// A parameter is wrong; in words.
    Parameter(String),
    /// There is nothing to say of the symbol.
    Absent(Absent),
    /// None is kept.
    NoHistory,
}

impl Refused {
    fn response(&self, symbol: &str) -> Response<Bytes> {
        match self {
            Self::Parameter(msg) => bad_parameter(msg),
            Self::Absent(absent) => absent.response(symbol),
            Self::NoHistory => refusal(&Refusal {
                status: StatusCode::NOT_FOUND,
                code: "no_history",
                msg: "this gateway keeps no history (history-trades, history-bars)",
            }),
        }
    }
}

/// `/v1/bars/SYMBOL?interval=1m&from=NS&to=NS&limit=N`
pub(super) fn bars(market: &dyn Market, symbol: &str, query: &str) -> Response<Bytes> {
    let (instrument, history, asked) = match asked(market, symbol, query, Parameters::OfBars) {
        Ok(asked) => asked,
        Err(refused) => return refused.response(symbol),
    };
    let bars = history.bars(market.epoch(), instrument.id, asked.interval, asked.span);
    let mut body = head(market, &instrument, BAR_BYTES * bars.len());
    body.extend_from_slice(format!(",\"interval\":\"{}\"", asked.interval.name()).as_bytes());
    list(&mut body, "bars", &bars, |out, bar| json::bar_object(out, bar, &instrument));
    reply::json(StatusCode::OK, body)
}

/// `/v1/trades/SYMBOL?from=NS&to=NS&limit=N`
pub(super) fn trades(market: &dyn Market, symbol: &str, query: &str) -> Response<Bytes> {
    let (instrument, history, asked) = match asked(market, symbol, query, Parameters::OfTrades) {
        Ok(asked) => asked,
        Err(refused) => return refused.response(symbol),
    };
    let trades = history.trades(market.epoch(), instrument.id, asked.span);
    let mut body = head(market, &instrument, TRADE_BYTES * trades.len());
    list(&mut body, "trades", &trades, |out, trade| json::trade_object(out, trade, &instrument));
    reply::json(StatusCode::OK, body)
}

/// Which parameters a route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameters {
    OfBars,
    OfTrades,
}

impl Parameters {
    const fn names(self) -> &'static str {
        match self {
            Self::OfBars => "interval, from, to and limit",
            Self::OfTrades => "from, to and limit",
        }
    }
}

fn asked<'a>(
    market: &'a dyn Market,
    symbol: &str,
    query: &str,
    parameters: Parameters,
) -> Result<(Instrument, &'a History, Asked), Refused> {
    let asked = parse(query, parameters).map_err(Refused::Parameter)?;
    let channel = match parameters {
        Parameters::OfBars => Channel::Bar(asked.interval),
        Parameters::OfTrades => Channel::Trade,
    };
    let instrument = market::entitled(market, symbol, channel).map_err(Refused::Absent)?;
    Ok((instrument, market.history().ok_or(Refused::NoHistory)?, asked))
}

fn parse(text: &str, parameters: Parameters) -> Result<Asked, String> {
    let mut span = Span { from_ns: None, to_ns: None, limit: LIMIT_DEFAULT };
    let mut interval = Interval::MINUTE;
    for (name, value) in query::pairs(text) {
        let value = value.ok_or_else(|| format!("{name}: not percent-encoded UTF-8"))?;
        let time = || {
            let time = value.parse::<u64>().map(Some);
            time.map_err(|_| format!("{name}={value}: expected ns since 1970-01-01"))
        };
        match name {
            "interval" if parameters == Parameters::OfBars => {
                interval = Interval::parse(&value).ok_or_else(|| {
                    format!("interval={value}: expected one of {}", wire::INTERVALS.join(", "))
                })?;
            }
            "from" => span.from_ns = time()?,
            "to" => span.to_ns = time()?,
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                span.limit = limit.ok_or_else(|| {
                    format!("limit={value}: expected a whole number from 1 to {LIMIT_MAX}")
                })?;
            }
            _ => {
                return Err(format!("unknown parameter {name}; there are {}", parameters.names()));
            }
        }
    }
    Ok(Asked { interval, span })
}

/// `{"epoch":"…","s":"…"`
fn head(market: &dyn Market, instrument: &Instrument, room: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(128 + room);
    let begin = format!("{{\"epoch\":\"{}\",\"s\":\"{}\"", market.epoch(), instrument.symbol);
    body.extend_from_slice(begin.as_bytes());
    body
}

/// `,"name":[{…},…]}`
fn list<T>(body: &mut Vec<u8>, name: &str, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    body.extend_from_slice(format!(",\"{name}\":[").as_bytes());
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            body.extend_from_slice(b",\n");
        }
        write(body, item);
    }
    body.extend_from_slice(b"]}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_has_bounds_and_defaults() {
        let asked = parse("", Parameters::OfBars).unwrap();
        assert_eq!(asked.interval, Interval::MINUTE);
        assert_eq!(asked.span, Span { from_ns: None, to_ns: None, limit: 500 });
        let asked = parse("interval=1M&from=5&to=9&limit=7", Parameters::OfBars).unwrap();
        assert_eq!(asked.interval.name(), "1M");
        assert_eq!(asked.span, Span { from_ns: Some(5), to_ns: Some(9), limit: 7 });
        for (query, part) in [
            ("interval=7m", "interval=7m: expected one of 1s, 1m"),
            ("limit=0", "from 1 to 1000"),
            ("limit=1001", "from 1 to 1000"),
            ("from=yesterday", "expected ns"),
            ("form=5", "unknown parameter form; there are interval, from, to and limit"),
            ("to=%zz", "percent-encoded"),
        ] {
            let msg = parse(query, Parameters::OfBars).unwrap_err();
            assert!(msg.contains(part), "{query}: {msg}");
        }
        assert!(parse("interval=1m", Parameters::OfTrades).is_err());
    }
}
