//! What a request says in its query. Unknown parameters are passed over: clients send some of their own.

use std::borrow::Cow;

use wire::{Interval, Symbol};

use super::error::RestError;
use crate::history::Span;
use crate::http::query;

/// Names and decoded values.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    pairs: Vec<(&'a str, Cow<'a, str>)>,
}

/// Which instruments a request is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Symbols {
    One(Symbol),
    Many(Vec<Symbol>),
    All,
}

impl<'a> Parameters<'a> {
    pub(super) fn parse(query: &'a str) -> Result<Self, RestError> {
        let decoded = query::pairs(query).map(|(name, value)| {
            let value = value.ok_or(RestError::Missing("query"))?;
            Ok((name, value))
        });
        Ok(Self { pairs: decoded.collect::<Result<_, RestError>>()? })
    }

    /// A parameter's value, if it was sent and is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(given, value)| *given == name && !value.is_empty());
        pair.map(|(_, value)| &**value)
    }

    /// A number.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, RestError> {
        let number = self.text(name).map(str::parse).transpose();
        number.map_err(|_| RestError::illegal_number(name))
    }

    /// How many are wanted; what is above the most counts as the most.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, RestError> {
        match self.number("limit")? {
            None => Ok(default),
            Some(0) => Err(RestError::Invalid("limit")),
            Some(limit) => Ok(usize::try_from(limit).unwrap_or(most).min(most)),
        }
    }

    /// The symbol, which must be there.
    pub(super) fn symbol(&self) -> Result<Symbol, RestError> {
        symbol(self.text("symbol").ok_or(RestError::Missing("symbol"))?)
    }

    /// `symbol`, `symbols` as a JSON array, or neither.
    pub(super) fn symbols(&self) -> Result<Symbols, RestError> {
        match (self.text("symbol"), self.text("symbols")) {
            (Some(_), Some(_)) => Err(RestError::Combination),
            (Some(text), None) => symbol(text).map(Symbols::One),
            (None, Some(text)) => {
                // Marks that were not encoded come as apostrophes.
                let text = text.replace('\'', "\"");
                let texts: Vec<&str> = serde_json::from_str(&text)
                    .map_err(|_| RestError::Illegal("symbols", "^\\\\[[^\\\\[]*\\\\]$"))?;
                texts.into_iter().map(symbol).collect::<Result<_, _>>().map(Symbols::Many)
            }
            (None, None) => Ok(Symbols::All),
        }
    }

    pub(super) fn interval(&self) -> Result<Interval, RestError> {
        let name = self.text("interval").ok_or(RestError::Missing("interval"))?;
        Interval::parse(name).ok_or(RestError::Interval)
    }

    /// `timeZone`: hours, or hours and minutes, from -12:00 to +14:00.
    pub(super) fn ahead_of_utc_ns(&self) -> Result<i64, RestError> {
        let zone = self.text("timeZone").unwrap_or("0");
        minutes_ahead(zone)
            .map(|minutes| minutes * 60_000_000_000)
            .ok_or(RestError::Invalid("timeZone"))
    }

    /// `startTime` and `endTime`, both of which belong to it, and a limit.
    pub(super) fn span(&self, limit: usize) -> Result<Span, RestError> {
        const MS_NS: u64 = 1_000_000;
        let from_ns = self.number("startTime")?.map(|ms| ms.saturating_mul(MS_NS));
        let to_ns = self.number("endTime")?.map(|ms| ms.saturating_add(1).saturating_mul(MS_NS));
        Ok(Span { from_ns, to_ns, limit })
    }
}

fn minutes_ahead(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "00"));
    let is_number = |text: &str| {
        (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(hours) || minutes.len() != 2 || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let ahead = sign * (hours * 60 + minutes);
    (minutes < 60 && (-12 * 60..=14 * 60).contains(&ahead)).then_some(ahead)
}

fn symbol(text: &str) -> Result<Symbol, RestError> {
    Symbol::new(text).map_err(|_| RestError::illegal_symbol())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Parameters<'_> {
        Parameters::parse(query).unwrap()
    }

    #[test]
    fn symbols_are_one_several_or_all() {
        let btc = Symbol::new("BTCUSDT").unwrap();
        assert_eq!(parse("symbol=BTCUSDT").symbols(), Ok(Symbols::One(btc)));
        let encoded = "symbols=%5B%22BTCUSDT%22%5D";
        assert_eq!(parse(encoded).symbols(), Ok(Symbols::Many(vec![btc])));
        assert_eq!(parse("symbols=[\"BTCUSDT\"]").symbols(), Ok(Symbols::Many(vec![btc])));
        assert_eq!(parse("symbols=['BTCUSDT']").symbols(), Ok(Symbols::Many(vec![btc])));
        assert_eq!(parse("").symbols(), Ok(Symbols::All));
        assert_eq!(parse("symbol=A&symbols=[]").symbols(), Err(RestError::Combination));
        assert_eq!(parse("symbol=btcusdt").symbols(), Err(RestError::illegal_symbol()));
        assert_eq!(parse("symbol=").symbol(), Err(RestError::Missing("symbol")));
    }

    #[test]
    fn time_zones_are_hours_and_minutes() {
        for (zone, minutes) in [
            ("0", 0),
            ("8", 480),
            ("+08:00", 480),
            ("-1:00", -60),
            ("05:45", 345),
            ("-12:00", -720),
            ("14", 840),
        ] {
            assert_eq!(minutes_ahead(zone), Some(minutes), "{zone}");
        }
        for zone in ["", "x", "15", "-12:30", "8:0", "8:60", "+-8", "008", "08:00:00"] {
            assert_eq!(minutes_ahead(zone), None, "{zone}");
        }
        assert_eq!(parse("timeZone=%2B8").ahead_of_utc_ns(), Ok(8 * 3_600_000_000_000));
        assert_eq!(parse("").ahead_of_utc_ns(), Ok(0));
    }

    #[test]
    fn limits_have_a_default_and_a_most() {
        assert_eq!(parse("").limit(100, 5000), Ok(100));
        assert_eq!(parse("limit=7").limit(100, 5000), Ok(7));
        assert_eq!(parse("limit=9999").limit(100, 5000), Ok(5000));
        assert_eq!(parse("limit=x").limit(1, 2), Err(RestError::illegal_number("limit")));
        let span = parse("startTime=1&endTime=2").span(5).unwrap();
        assert_eq!((span.from_ns, span.to_ns), (Some(1_000_000), Some(3_000_000)));
    }
}
