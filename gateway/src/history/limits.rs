//! What the history keeps, and what happens there: the oldest go.
//!
//! A trade takes 40 bytes, an aggregate 56 and a bar 96, so an instrument with bars of all sixteen
//! intervals, of six also by UTC+8, has 2.1 MiB when all its series are full. Where all of them together would exceed the memory there is,
//! every series is made shorter by an eighth until they fit.

use crate::config::Config;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Trades of each instrument, and as many aggregate trades.
    pub trades: usize,
    /// Final bars of each instrument and interval.
    pub bars: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl Bounds {
    /// As configured.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            trades: whole(config.history_trades),
            bars: whole(config.history_bars),
            bytes: whole(config.history_memory),
        }
    }

    /// Whether nothing is kept.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        (self.trades == 0 && self.bars == 0) || self.bytes == 0
    }

    /// The same with series that are an eighth shorter.
    pub(super) const fn tightened(self) -> Self {
        Self { trades: shorter(self.trades), bars: shorter(self.bars), ..self }
    }
}

const fn shorter(len: usize) -> usize {
    len - len.div_ceil(8)
}
