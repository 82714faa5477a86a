//! What is to be derived. No state: [`super::Derived`] has that.

use wire::{Channel, Interval};

/// What is derived, and how often it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bars of these intervals, and of the same by UTC+8.
    pub intervals: Vec<Interval>,
    /// Whether there is a ticker.
    pub ticker: TickerPolicy,
    /// Which of [`OTHERS`] there are.
    pub others: Vec<Channel>,
    /// Running bars and the ticker are told at most this often for each instrument, ns.
    pub cadence_ns: u64,
    /// How long after its end a bar waits for trades that are told late, ns.
    pub grace_ns: u64,
    /// How long an aggregate trade waits for trades of the same order, by the feed's time, ns. 0: a feed
    /// hands out all trades of an order in one batch.
    pub aggregate_wait_ns: u64,
}

/// What can be derived besides bars and the 24-hour ticker.
pub const OTHERS: [Channel; 5] = [
    Channel::AggTrade,
    Channel::Rolling(wire::Window::Hour),
    Channel::Rolling(wire::Window::FourHours),
    Channel::Rolling(wire::Window::Day),
    Channel::Average,
];

/// How far apart a recording's trades of one order are at most: each has a frame of its own, and those of an
/// order come within a millisecond unless the recorder's network held them up.
pub const RECORDED_WAIT_NS: u64 = 5_000_000;

/// Whether a 24-hour ticker is derived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TickerPolicy {
    /// For every instrument with trades.
    #[default]
    Derived,
    /// For none.
    Off,
}

impl Default for Options {
    /// Everything, once a second, and 200 ms of grace: twice the time that the venue gathers depth events,
    /// the latest of its streams.
    fn default() -> Self {
        Self {
            intervals: Interval::all().collect(),
            ticker: TickerPolicy::Derived,
            others: OTHERS.to_vec(),
            cadence_ns: 1_000_000_000,
            grace_ns: 200_000_000,
            aggregate_wait_ns: 0,
        }
    }
}

impl Options {
    /// The intervals that charts open with, and the ticker.
    #[must_use]
    pub fn charts() -> Self {
        let intervals = ["1s", "1m", "5m", "15m", "1h", "4h", "1d"];
        Self {
            intervals: intervals.iter().filter_map(|name| Interval::parse(name)).collect(),
            others: Vec::new(),
            ..Self::default()
        }
    }

    /// Nothing at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            intervals: Vec::new(),
            ticker: TickerPolicy::Off,
            others: Vec::new(),
            ..Self::default()
        }
    }
}
