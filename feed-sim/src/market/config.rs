//! What a market is made from.

use super::schedule::Sessions;

/// The most instruments. Ids of instruments have no such limit; this bounds the memory of the books.
pub const INSTRUMENTS_MAX: u32 = 20_000;

/// The highest rate, ticks a second. Above it a nanosecond clock no longer tells events apart.
pub const RATE_MAX: u64 = 50_000_000;

/// A market's seed and schedule: everything its stream is a function of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarketConfig {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many instruments are listed, 1 to [`INSTRUMENTS_MAX`].
    pub instruments: u32,
    /// Ticks a second over all instruments in the mean, 1 to [`RATE_MAX`], at the venue's own depth
    /// cadence. A tick is one record of the stream: a depth group counts as its ticks.
    ///
    /// The rate sets how fast time passes in the market. An instrument with 200 ticks a second is as busy
    /// as a large one on a large exchange; with more, the same happens in time lapse, price moves
    /// included.
    pub rate: u64,
    /// When the schedule starts, ns since the epoch: the first session opens then.
    pub start_ns: u64,
    /// When the venue is open.
    pub sessions: Sessions,
    /// How often level changes are told.
    pub depth: DepthCadence,
    /// How unlike instruments' popularities are: the instrument of rank n gets a share of the rate
    /// proportional to `n^-zipf`. 0 to 3; exchanges are near 1.
    pub zipf: f64,
}

impl Default for MarketConfig {
    /// Twenty instruments, 2,000 ticks a second, trading by the day since the beginning of 2025 (UTC),
    /// so that twins that are told nothing agree.
    fn default() -> Self {
        Self {
            seed: 1,
            instruments: 20,
            rate: 2_000,
            start_ns: 1_735_689_600_000_000_000,
            sessions: Sessions::DAILY,
            depth: DepthCadence::VenuePace,
            zipf: 1.0,
        }
    }
}

/// How often an instrument's level changes are gathered into a depth group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepthCadence {
    /// Every 100 ms at the venue's pace; an instrument that runs n times as fast as the recorded ones
    /// gathers n times as often, so that the mix of channels stays. Never more slowly than every 100 ms.
    VenuePace,
    /// Every so many ns, at whatever pace; at least 1,000.
    Every(u64),
}

/// Why a market cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarketError {
    /// None, or more than [`INSTRUMENTS_MAX`].
    #[error("a market has 1 to {INSTRUMENTS_MAX} instruments, not {0}")]
    Instruments(u32),
    /// Nothing, or more than [`RATE_MAX`].
    #[error("a market's rate is 1 to {RATE_MAX} ticks a second, not {0}")]
    Rate(u64),
    /// A session without enough trading time.
    #[error("a session must be open and trading for at least half of its length")]
    Sessions,
    /// Depth groups more often than a microsecond.
    #[error("depth groups are at least 1000 ns apart, not {0}")]
    DepthCadence(u64),
    /// An exponent that is negative, above 3 or not a number.
    #[error("the exponent of Zipf's law is 0 to 3")]
    Zipf,
}

impl MarketConfig {
    /// Checks what can be wrong.
    ///
    /// # Errors
    /// With the first thing that is.
    pub fn validate(&self) -> Result<(), MarketError> {
        if self.instruments == 0 || self.instruments > INSTRUMENTS_MAX {
            return Err(MarketError::Instruments(self.instruments));
        }
        if self.rate == 0 || self.rate > RATE_MAX {
            return Err(MarketError::Rate(self.rate));
        }
        if !self.sessions.is_valid() {
            return Err(MarketError::Sessions);
        }
        match self.depth {
            DepthCadence::Every(ns) if ns < 1_000 => return Err(MarketError::DepthCadence(ns)),
            DepthCadence::Every(_) | DepthCadence::VenuePace => {}
        }
        if !(0.0..=3.0).contains(&self.zipf) {
            return Err(MarketError::Zipf);
        }
        Ok(())
    }
}
