//! Views: what a stream of one instrument shows. Most are channels; some exist only where they are
//! served and never travel as ticks: another shape of a channel's tick, or its book at a cadence.
//!
//! Codes of views go on behind those of channels, so that tables by view hold channels too.

use crate::interval::Interval;
use crate::topic::{CHANNEL_COUNT, Channel, Window};

/// How many view codes exist; codes run from 0 to this, exclusive.
pub const VIEW_COUNT: usize = CHANNEL_COUNT + FIRST_KLINE + KLINE_COUNT;

#[expect(clippy::cast_possible_truncation, reason = "35")]
const FIRST_OWN: u8 = CHANNEL_COUNT as u8;

const SPEED_COUNT: usize = Speed::ALL.len();
const LEVELS_COUNT: usize = PartialLevels::ALL.len();

/// Behind the mini ticker stand the books of all speeds, then the best levels, speed by speed for each, and
/// last the klines.
const FIRST_BOOK: usize = 1;
const FIRST_PARTIAL: usize = FIRST_BOOK + SPEED_COUNT;
const FIRST_KLINE: usize = FIRST_PARTIAL + SPEED_COUNT * LEVELS_COUNT;
/// All intervals but that of a second, whose bars are shown as they come.
const KLINE_COUNT: usize = 21;

/// What a stream of one instrument shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// A channel, event for event.
    Channel(Channel),
    /// The ticker's tick in few words.
    MiniTicker,
    /// Changes of the book, gathered over a cadence.
    Depth(Speed),
    /// The best levels, at a cadence.
    Partial(PartialLevels, Speed),
    /// Bars of an interval, at a cadence, and when they are final.
    Kline(Interval),
}

/// How often a timed view is told, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Speed {
    /// Every 20 ms: changes in binary streams.
    Rapid,
    /// Every 50 ms: best levels in binary streams.
    Brisk,
    /// Every 100 ms.
    Fast,
    /// Every second.
    Slow,
    /// Every two seconds: bars of a minute and more.
    Slowest,
}

impl Speed {
    /// All cadences, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Rapid, Self::Brisk, Self::Fast, Self::Slow, Self::Slowest];

    /// The time between two events, ns.
    #[must_use]
    pub const fn cadence_ns(self) -> u64 {
        match self {
            Self::Rapid => 20_000_000,
            Self::Brisk => 50_000_000,
            Self::Fast => 100_000_000,
            Self::Slow => 1_000_000_000,
            Self::Slowest => 2_000_000_000,
        }
    }
}

/// How many levels of each side a partial book shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PartialLevels {
    /// Five.
    Five,
    /// Ten.
    Ten,
    /// Twenty.
    Twenty,
}

impl PartialLevels {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 3] = [Self::Five, Self::Ten, Self::Twenty];

    /// The number.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Five => 5,
            Self::Ten => 10,
            Self::Twenty => 20,
        }
    }

    /// The channel that shows as many in real time.
    #[must_use]
    pub const fn channel(self) -> Channel {
        match self {
            Self::Five => Channel::Depth5,
            Self::Ten => Channel::Depth10,
            Self::Twenty => Channel::Depth20,
        }
    }
}

impl View {
    /// What shows bars of this interval.
    #[must_use]
    pub fn of_bars(interval: Interval) -> Self {
        if interval == Interval::SECOND {
            return Self::Channel(Channel::Bar(interval));
        }
        Self::Kline(interval)
    }

    /// The view's code: a channel's own, or one behind all of theirs.
    #[must_use]
    pub const fn code(self) -> u8 {
        let own = match self {
            Self::Channel(channel) => return channel.code(),
            Self::MiniTicker => 0,
            Self::Depth(speed) => FIRST_BOOK + speed as usize,
            Self::Partial(levels, speed) => {
                FIRST_PARTIAL + SPEED_COUNT * levels as usize + speed as usize
            }
            Self::Kline(interval) => FIRST_KLINE - 1 + interval.code() as usize,
        };
        #[expect(clippy::cast_possible_truncation, reason = "42 of them")]
        let own = own as u8;
        FIRST_OWN + own
    }

    /// The view with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        if let Some(channel) = Channel::from_code(code) {
            return Some(Self::Channel(channel));
        }
        let own = (code - FIRST_OWN) as usize;
        if own < FIRST_BOOK {
            return Some(Self::MiniTicker);
        }
        if own < FIRST_PARTIAL {
            return Some(Self::Depth(Speed::ALL[own - FIRST_BOOK]));
        }
        if own < FIRST_KLINE {
            let nth = own - FIRST_PARTIAL;
            let levels = PartialLevels::ALL[nth / SPEED_COUNT];
            return Some(Self::Partial(levels, Speed::ALL[nth % SPEED_COUNT]));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a code is a byte")]
        match Interval::from_code((own - FIRST_KLINE + 1) as u8) {
            Some(interval) => Some(Self::Kline(interval)),
            None => None,
        }
    }

    /// All views, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u8..).map_while(Self::from_code)
    }

    /// The channel that must be in an instrument's stream for it to have this view.
    #[must_use]
    pub const fn source(self) -> Channel {
        match self {
            Self::Channel(Channel::Depth5 | Channel::Depth10 | Channel::Depth20)
            | Self::Depth(_)
            | Self::Partial(..) => Channel::Depth,
            Self::Channel(channel) => channel,
            Self::MiniTicker => Channel::Ticker,
            Self::Kline(interval) => Channel::Bar(interval),
        }
    }

    /// The cadence, if it is told by time.
    #[must_use]
    pub const fn speed(self) -> Option<Speed> {
        match self {
            Self::Depth(speed) | Self::Partial(_, speed) => Some(speed),
            Self::Kline(_) => Some(Speed::Slowest),
            Self::Channel(_) | Self::MiniTicker => None,
        }
    }
}

/// What of all instruments comes together in one event: those that have changed within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Array {
    /// Mini tickers.
    MiniTicker,
    /// Tickers of 24 hours.
    Ticker,
    /// Rolling tickers.
    Rolling(Window),
}

impl Array {
    /// All arrays, by code.
    pub const ALL: [Self; 5] = [
        Self::MiniTicker,
        Self::Ticker,
        Self::Rolling(Window::Hour),
        Self::Rolling(Window::FourHours),
        Self::Rolling(Window::Day),
    ];

    /// A dense number, for tables.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::MiniTicker => 0,
            Self::Ticker => 1,
            Self::Rolling(window) => 2 + window as u8,
        }
    }

    /// The array with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        if (code as usize) < Self::ALL.len() { Some(Self::ALL[code as usize]) } else { None }
    }

    /// What each of its elements shows.
    #[must_use]
    pub const fn view(self) -> View {
        match self {
            Self::MiniTicker => View::MiniTicker,
            Self::Ticker => View::Channel(Channel::Ticker),
            Self::Rolling(window) => View::Channel(Channel::Rolling(window)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_and_every_array_survives_its_code() {
        let all: Vec<View> = View::all().collect();
        assert_eq!(all.len(), VIEW_COUNT);
        for (code, view) in (0u8..).zip(all) {
            assert_eq!((view.code(), View::from_code(code)), (code, Some(view)));
        }
        assert_eq!(View::from_code(u8::MAX), None);
        for (code, array) in (0u8..).zip(Array::ALL) {
            assert_eq!((array.code(), Array::from_code(code)), (code, Some(array)));
        }
        assert_eq!(Array::from_code(5), None);
    }
}
