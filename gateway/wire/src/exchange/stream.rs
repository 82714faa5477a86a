//! Stream names: what clients subscribe to, such as `btcusdt@depth@100ms` or `!miniTicker@arr`.
//!
//! Three things can be said of a text: it is the name of something that can be served; it is
//! formed like a name and there is no such thing, which the exchange acknowledges and then stays silent
//! about; or it is no name. Which symbols exist is not known here.

use std::fmt;

use super::view::{Array, PartialLevels, Speed, View};
use crate::instrument::{SYMBOL_MAX, Symbol};
use crate::interval::Interval;
use crate::topic::{Channel, Window};

/// The longest text that is still a name: nobody's symbol is longer.
const NAME_BYTES_MAX: usize = 128;

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// One instrument's.
    One(Symbol, View),
    /// A channel of all instruments, each event for itself.
    Every(Channel),
    /// All instruments together.
    Array(Array),
    /// Well-formed, but nothing that could ever have an event here.
    Silent,
}

/// Which names there are: those of JSON streams, or those of binary ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Schema {
    /// Of `stream.`.
    #[default]
    Json,
    /// Of `stream-sbe.`.
    Sbe,
}

/// What becomes of symbols in upper case, which are no symbols of the exchange's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SymbolCase {
    /// They name other streams, which are silent.
    #[default]
    Lower,
    /// They mean the same.
    Any,
}

/// How names are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grammar {
    /// Which names there are.
    pub schema: Schema,
    /// What becomes of upper case.
    pub case: SymbolCase,
}

/// The text is not formed like a stream's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid stream")]
pub struct StreamError;

impl Stream {
    /// What the name means.
    ///
    /// # Errors
    /// If it is not formed like a name: no `@` or `!` where it must be, nothing before or behind
    /// one, a character that names do not have, or too long.
    pub fn parse(name: &str, grammar: Grammar) -> Result<Self, StreamError> {
        let is_allowed =
            |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+' | ':' | '!');
        if name.len() > NAME_BYTES_MAX || !name.chars().all(is_allowed) {
            return Err(StreamError);
        }
        if let Some(global) = name.strip_prefix('!') {
            let is_well_formed = global.starts_with(|c: char| c.is_ascii_alphabetic())
                && !global.contains('!')
                && !global.ends_with('@');
            return if is_well_formed { Ok(all_market(global, grammar)) } else { Err(StreamError) };
        }
        let (symbol, channel) = name.split_once('@').ok_or(StreamError)?;
        if symbol.is_empty() || name.contains('!') || channel.split('@').any(str::is_empty) {
            return Err(StreamError);
        }
        let view = match grammar.schema {
            Schema::Json => json_view(channel),
            Schema::Sbe => sbe_view(channel),
        };
        Ok(match (view, log_symbol(symbol, grammar.case)) {
            (Some(view), Some(symbol)) => Self::One(symbol, view),
            _ => Self::Silent,
        })
    }

    /// The name to which this stream's events are addressed, unless the client used another
    /// spelling. [`Stream::Silent`] has none and is empty.
    #[must_use]
    pub const fn name(self, schema: Schema) -> Name {
        Name { stream: self, schema }
    }
}

/// The symbol as the log has it.
fn log_symbol(name: &str, case: SymbolCase) -> Option<Symbol> {
    if case == SymbolCase::Lower && name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut upper = [0; SYMBOL_MAX];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name.as_bytes());
    upper.make_ascii_uppercase();
    Symbol::new(std::str::from_utf8(upper).ok()?).ok()
}

fn all_market(name: &str, grammar: Grammar) -> Stream {
    let array = match name {
        _ if grammar.schema == Schema::Sbe => return Stream::Silent,
        "bookTicker" => return Stream::Every(Channel::Quote),
        "ticker@arr" => Some(Array::Ticker),
        _ => match name.strip_prefix("miniTicker@arr") {
            // Whatever cadence is asked for: it is told every second.
            Some("") => Some(Array::MiniTicker),
            Some(cadence) => cadence
                .strip_prefix('@')
                .and_then(|cadence| cadence.strip_suffix("ms"))
                .and_then(|digits| digits.parse::<u32>().ok())
                .map(|_| Array::MiniTicker),
            None => name
                .strip_prefix("ticker_")
                .and_then(|window| window.strip_suffix("@arr"))
                .and_then(Window::parse)
                .map(Array::Rolling),
        },
    };
    array.map_or(Stream::Silent, Stream::Array)
}

fn json_view(channel: &str) -> Option<View> {
    Some(match channel {
        "trade" => View::Channel(Channel::Trade),
        "aggTrade" => View::Channel(Channel::AggTrade),
        "bookTicker" => View::Channel(Channel::Quote),
        "miniTicker" => View::MiniTicker,
        "ticker" => View::Channel(Channel::Ticker),
        "avgPrice" => View::Channel(Channel::Average),
        _ => {
            if let Some(interval) = channel.strip_prefix("kline_") {
                View::of_bars(bar_interval(interval)?)
            } else if let Some(window) = channel.strip_prefix("ticker_") {
                View::Channel(Channel::Rolling(Window::parse(window)?))
            } else {
                depth(channel.strip_prefix("depth")?)?
            }
        }
    })
}

/// An interval, or one with the offset of UTC+8. Boundaries of intervals that divide eight hours are the
/// same in both: there the two names mean the same.
fn bar_interval(name: &str) -> Option<Interval> {
    match name.strip_suffix("@+08:00") {
        Some(name) => Interval::parse(name).map(Interval::by_utc8),
        None => Interval::parse(name),
    }
}

/// What stands behind `depth`: levels, and a speed.
fn depth(rest: &str) -> Option<View> {
    let (levels, speed) = match rest.split_once('@') {
        None => (rest, Speed::Slow),
        Some((levels, "1000ms")) => (levels, Speed::Slow),
        Some((levels, "100ms")) => (levels, Speed::Fast),
        Some(_) => return None,
    };
    Some(match levels {
        "" => View::Depth(speed),
        "5" => View::Partial(PartialLevels::Five, speed),
        "10" => View::Partial(PartialLevels::Ten, speed),
        "20" => View::Partial(PartialLevels::Twenty, speed),
        _ => return None,
    })
}

/// Binary streams have cadences of their own, and no choice of them.
fn sbe_view(channel: &str) -> Option<View> {
    Some(match channel {
        "trade" => View::Channel(Channel::Trade),
        "bestBidAsk" => View::Channel(Channel::Quote),
        "depth" => View::Depth(Speed::Rapid),
        "depth20" => View::Partial(PartialLevels::Twenty, Speed::Brisk),
        _ => return None,
    })
}

/// A stream's name; see [`Stream::name`].
#[derive(Clone, Copy, Debug)]
pub struct Name {
    stream: Stream,
    schema: Schema,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (symbol, view) = match self.stream {
            Stream::One(symbol, view) => (symbol, view),
            Stream::Every(_) => return f.write_str("!bookTicker"),
            Stream::Array(Array::MiniTicker) => return f.write_str("!miniTicker@arr"),
            Stream::Array(Array::Ticker) => return f.write_str("!ticker@arr"),
            Stream::Array(Array::Rolling(window)) => {
                return write!(f, "!ticker_{}@arr", window.name());
            }
            Stream::Silent => return Ok(()),
        };
        // In one piece: this is written for each event in an envelope.
        let mut lower = [0; SYMBOL_MAX];
        let lower = &mut lower[..symbol.as_str().len()];
        lower.copy_from_slice(symbol.as_str().as_bytes());
        lower.make_ascii_lowercase();
        f.write_str(std::str::from_utf8(lower).unwrap_or_default())?;
        match view {
            View::Channel(Channel::Trade) => f.write_str("@trade"),
            View::Channel(Channel::AggTrade) => f.write_str("@aggTrade"),
            View::Channel(Channel::Quote) if self.schema == Schema::Sbe => {
                f.write_str("@bestBidAsk")
            }
            View::Channel(Channel::Quote) => f.write_str("@bookTicker"),
            View::Channel(Channel::Average) => f.write_str("@avgPrice"),
            View::Channel(Channel::Bar(interval)) | View::Kline(interval) => {
                let zone = if interval.is_by_utc() { "" } else { "@+08:00" };
                write!(f, "@kline_{}{zone}", interval.name())
            }
            // Ticker and rolling tickers are called as in topics.
            View::Channel(channel) => write!(f, "@{channel}"),
            View::MiniTicker => f.write_str("@miniTicker"),
            View::Depth(speed) => write!(f, "@depth{}", suffix(speed)),
            View::Partial(levels, speed) => {
                write!(f, "@depth{}{}", levels.count(), suffix(speed))
            }
        }
    }
}

const fn suffix(speed: Speed) -> &'static str {
    match speed {
        // Of binary streams, whose names do not say it.
        Speed::Rapid | Speed::Brisk | Speed::Slow | Speed::Slowest => "",
        Speed::Fast => "@100ms",
    }
}
