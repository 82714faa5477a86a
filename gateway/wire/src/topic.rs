//! Topics: what a client subscribes to. A topic is one channel of one instrument.
//!
//! On the wire a topic is written `SYMBOL.channel`, and a wildcard `*.channel` stands for that
//! channel of every instrument, including those defined later. Parsing happens here, once: a
//! [`Pattern`] that exists is well-formed.

use std::fmt;

use crate::instrument::{Symbol, SymbolError};
use crate::interval::Interval;

/// How many channel codes exist; codes run from 0 to this, exclusive.
pub const CHANNEL_COUNT: usize = 35;

/// The channels that clients of the native protocol may name, as a set of [`Channel::bit`]s; see
/// [`Channel::is_native`].
pub const NATIVE_CHANNELS: u64 = (1 << 29) - 1;

/// Names of the bar channels: [`INTERVALS`](crate::INTERVALS) with their prefix, and those by UTC+8.
const BAR_NAMES: [&str; 22] = [
    "bar_1s",
    "bar_1m",
    "bar_3m",
    "bar_5m",
    "bar_15m",
    "bar_30m",
    "bar_1h",
    "bar_2h",
    "bar_4h",
    "bar_6h",
    "bar_8h",
    "bar_12h",
    "bar_1d",
    "bar_3d",
    "bar_1w",
    "bar_1M",
    "bar_6h_utc8",
    "bar_12h_utc8",
    "bar_1d_utc8",
    "bar_3d_utc8",
    "bar_1w_utc8",
    "bar_1M_utc8",
];

/// The code of the first bar channel; `bar_1s` has it, `bar_1M` is the last.
const FIRST_BAR: u8 = 8;

/// The code of the first bar channel by UTC+8, less the code of its interval.
const FIRST_BAR_BY_UTC8: u8 = 29 - 16;

/// The code of the first rolling ticker, that of one hour.
const FIRST_WINDOW: u8 = 25;

/// A kind of market data, of which every instrument has its own stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Every trade; never merged.
    Trade,
    /// Best bid and offer.
    Quote,
    /// Level changes of the book, in groups as the venue sent them.
    Depth,
    /// The best five levels of each side.
    Depth5,
    /// The best ten levels of each side.
    Depth10,
    /// The best twenty levels of each side.
    Depth20,
    /// Statistics over the last 24 hours.
    Ticker,
    /// Trading, halted, closed.
    Status,
    /// Open, high, low, close over an interval.
    Bar(Interval),
    /// Consecutive trades of one taker order at one price as one; never merged further.
    AggTrade,
    /// Statistics over the last hours.
    Rolling(Window),
    /// The average price of the last minutes.
    Average,
}

/// How far a rolling ticker looks back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// One hour.
    Hour,
    /// Four hours.
    FourHours,
    /// One day.
    Day,
}

impl Window {
    /// All windows, in the order of their channel codes.
    pub const ALL: [Self; 3] = [Self::Hour, Self::FourHours, Self::Day];

    /// The window called `name`, as in `ticker_1h`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.name() == name)
    }

    /// The window's name, as in `ticker_1h`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::FourHours => "4h",
            Self::Day => "1d",
        }
    }

    /// How long it is, ns.
    #[must_use]
    pub const fn length_ns(self) -> u64 {
        const HOUR_NS: u64 = 3_600_000_000_000;
        match self {
            Self::Hour => HOUR_NS,
            Self::FourHours => 4 * HOUR_NS,
            Self::Day => 24 * HOUR_NS,
        }
    }
}

impl Channel {
    /// The channel's code in ticks and binary messages: 0 to [`CHANNEL_COUNT`], exclusive.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Trade => 0,
            Self::Quote => 1,
            Self::Depth => 2,
            Self::Depth5 => 3,
            Self::Depth10 => 4,
            Self::Depth20 => 5,
            Self::Ticker => 6,
            Self::Status => 7,
            Self::Bar(interval) if interval.is_by_utc() => FIRST_BAR + interval.code(),
            Self::Bar(interval) => FIRST_BAR_BY_UTC8 + interval.code(),
            Self::AggTrade => 24,
            Self::Rolling(window) => FIRST_WINDOW + window as u8,
            Self::Average => 28,
        }
    }

    /// The channel with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Trade,
            1 => Self::Quote,
            2 => Self::Depth,
            3 => Self::Depth5,
            4 => Self::Depth10,
            5 => Self::Depth20,
            6 => Self::Ticker,
            7 => Self::Status,
            FIRST_BAR..=23 => match Interval::from_code(code - FIRST_BAR) {
                Some(interval) => Self::Bar(interval),
                None => return None,
            },
            24 => Self::AggTrade,
            FIRST_WINDOW..=27 => Self::Rolling(Window::ALL[(code - FIRST_WINDOW) as usize]),
            28 => Self::Average,
            29..=34 => match Interval::from_code(code - FIRST_BAR_BY_UTC8) {
                Some(interval) => Self::Bar(interval),
                None => return None,
            },
            _ => return None,
        })
    }

    /// Whether clients of the native protocol may name it. Bars by UTC+8 are for the exchange's streams only.
    #[must_use]
    pub const fn is_native(self) -> bool {
        !matches!(self, Self::Bar(interval) if !interval.is_by_utc())
    }

    /// The channel with this code in native messages.
    #[must_use]
    pub fn from_native_code(code: u8) -> Option<Self> {
        Self::from_code(code).filter(|channel| channel.is_native())
    }

    /// The channel called `name` in a topic.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "trade" => Self::Trade,
            "quote" => Self::Quote,
            "depth" => Self::Depth,
            "depth5" => Self::Depth5,
            "depth10" => Self::Depth10,
            "depth20" => Self::Depth20,
            "ticker" => Self::Ticker,
            "status" => Self::Status,
            "agg_trade" => Self::AggTrade,
            "average" => Self::Average,
            other => match other.strip_prefix("ticker_") {
                Some(window) => Self::Rolling(Window::parse(window)?),
                None => Self::Bar(Interval::parse(other.strip_prefix("bar_")?)?),
            },
        })
    }

    /// The channel's name in topics, and in rules of what may be seen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Quote => "quote",
            Self::Depth => "depth",
            Self::Depth5 => "depth5",
            Self::Depth10 => "depth10",
            Self::Depth20 => "depth20",
            Self::Ticker => "ticker",
            Self::Status => "status",
            Self::Bar(interval) => BAR_NAMES[interval.code() as usize],
            Self::AggTrade => "agg_trade",
            Self::Rolling(Window::Hour) => "ticker_1h",
            Self::Rolling(Window::FourHours) => "ticker_4h",
            Self::Rolling(Window::Day) => "ticker_1d",
            Self::Average => "average",
        }
    }

    /// How many levels of each side a partial book of this channel shows.
    #[must_use]
    pub const fn partial_levels(self) -> Option<usize> {
        match self {
            Self::Depth5 => Some(5),
            Self::Depth10 => Some(10),
            Self::Depth20 => Some(20),
            _ => None,
        }
    }

    /// Whether every event counts for itself: none ever stands for another, each is delivered or
    /// counted as lost.
    #[must_use]
    pub const fn is_tape(self) -> bool {
        matches!(self, Self::Trade | Self::AggTrade)
    }

    /// This channel's bit in [`Instrument::channels`](crate::Instrument::channels).
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self.code()
    }

    /// All channels, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u8..).map_while(Self::from_code)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a client names when it subscribes: one topic by symbol, or a channel of all instruments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `SYMBOL.channel`.
    One(Symbol, Channel),
    /// `*.channel`.
    All(Channel),
}

/// Why a text is not a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// There is no dot between a symbol and a channel.
    #[error("a topic is written SYMBOL.channel or *.channel")]
    NoDot,
    /// What stands before the last dot is not a symbol.
    #[error(transparent)]
    Symbol(#[from] SymbolError),
    /// What stands behind the last dot is not a channel.
    #[error(
        "unknown channel: expected trade, agg_trade, quote, depth, depth5, depth10, depth20, ticker, ticker_1h, ticker_4h, ticker_1d, average, status or bar_<interval>"
    )]
    Channel,
}

impl Pattern {
    /// Parses `SYMBOL.channel` or `*.channel`. The last dot divides: symbols may contain dots.
    ///
    /// # Errors
    /// If the text is not of that form, with the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (symbol, channel) = text.rsplit_once('.').ok_or(PatternError::NoDot)?;
        let channel = Channel::parse(channel).ok_or(PatternError::Channel)?;
        Ok(match symbol {
            "*" => Self::All(channel),
            _ => Self::One(Symbol::new(symbol)?, channel),
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(symbol, channel) => write!(f, "{symbol}.{channel}"),
            Self::All(channel) => write!(f, "*.{channel}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_survives_its_name_and_its_code() {
        let all: Vec<Channel> = Channel::all().collect();
        assert_eq!(all.len(), CHANNEL_COUNT);
        let native = all.iter().filter(|channel| channel.is_native());
        assert_eq!(native.fold(0, |set, channel| set | channel.bit()), NATIVE_CHANNELS);
        for channel in all {
            let native = channel.is_native().then_some(channel);
            assert_eq!(Channel::parse(&channel.to_string()), native);
            assert_eq!(Channel::from_code(channel.code()), Some(channel));
        }
    }

    #[test]
    fn patterns_name_what_is_wrong_with_them() {
        assert_eq!(Pattern::parse("*.quote"), Ok(Pattern::All(Channel::Quote)));
        assert_eq!(Pattern::parse("BRK.B.trade").unwrap().to_string(), "BRK.B.trade");
        assert_eq!(Pattern::parse("BTCUSDT"), Err(PatternError::NoDot));
        assert_eq!(Pattern::parse("BTCUSDT.trades"), Err(PatternError::Channel));
        assert_eq!(Pattern::parse(".trade"), Err(PatternError::Symbol(SymbolError::Empty)));
    }
}
