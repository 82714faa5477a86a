//! The window: an instrument's last 24 hours, for its ticker.
//!
//! Trades are gathered in buckets of [`BUCKET_NS`], and the window moves by whole buckets: it covers
//! between 23 h 55 min and 24 h. Exact to the trade it would have to keep every trade of a day. A
//! bucket takes 112 bytes, a day of them 32 KB an instrument; only those with trades exist.

use std::collections::VecDeque;

use wire::{Ticker, Trade};

use super::bars::{to_price_exponent, value_of};

const DAY_NS: u64 = 86_400_000_000_000;

/// Five minutes.
const BUCKET_NS: u64 = 300_000_000_000;

/// Trades of the last 24 hours.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// Buckets with trades, all but the newest, oldest first.
    closed: VecDeque<Bucket>,
    /// What the closed ones are together; `None`: there are none.
    summary: Option<Bucket>,
    newest: Option<Bucket>,
    last_quantity: i64,
    previous_close: i64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    start_ns: u64,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: i64,
    value: i128,
    first_trade_id: u64,
    last_trade_id: u64,
    trades: u64,
}

impl Window {
    /// Adds a trade. One that is older than the newest bucket counts as being of it.
    #[inline]
    pub(super) fn add(&mut self, trade: &Trade) {
        let bucket = Bucket::of(trade);
        self.last_quantity = trade.quantity;
        match &mut self.newest {
            Some(newest) if bucket.start_ns <= newest.start_ns => newest.join(&bucket),
            newest => {
                let full = newest.replace(bucket);
                self.closed.extend(full);
                if let Some(full) = full {
                    match &mut self.summary {
                        Some(summary) => summary.join(&full),
                        none => *none = Some(full),
                    }
                }
            }
        }
    }

    /// The ticker at this moment; `None`: no trade in the window.
    pub(super) fn ticker(&mut self, now_ns: u64, quantity_unit: i128) -> Option<Ticker> {
        self.move_to(now_ns);
        let newest = self.newest.as_ref()?;
        let all = match self.summary {
            Some(mut summary) => {
                summary.join(newest);
                summary
            }
            None => *newest,
        };
        Some(Ticker {
            open: all.open,
            high: all.high,
            low: all.low,
            last: all.close,
            last_quantity: self.last_quantity,
            volume: all.volume,
            quote_volume: to_price_exponent(all.value, quantity_unit),
            previous_close: self.previous_close,
            first_trade_id: all.first_trade_id,
            last_trade_id: all.last_trade_id,
            trades: all.trades,
        })
    }

    /// Lets go of what is older than 24 hours.
    fn move_to(&mut self, now_ns: u64) {
        let start_ns = now_ns.saturating_sub(DAY_NS);
        let mut has_changed = false;
        while let Some(old) = self.closed.pop_front_if(|bucket| bucket.start_ns < start_ns) {
            self.previous_close = old.close;
            has_changed = true;
        }
        if has_changed {
            let mut buckets = self.closed.iter();
            self.summary = buckets.next().copied();
            if let Some(summary) = &mut self.summary {
                buckets.for_each(|bucket| summary.join(bucket));
            }
        }
        if let Some(old) = self.newest.take_if(|newest| newest.start_ns < start_ns) {
            self.previous_close = old.close;
        }
    }
}

impl Bucket {
    const fn of_start(trade: &Trade) -> u64 {
        trade.ts_trade_ns - trade.ts_trade_ns % BUCKET_NS
    }

    fn of(trade: &Trade) -> Self {
        Self {
            start_ns: Self::of_start(trade),
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            volume: trade.quantity,
            value: value_of(trade),
            first_trade_id: trade.trade_id,
            last_trade_id: trade.trade_id,
            trades: 1,
        }
    }

    /// Adds what came after.
    fn join(&mut self, later: &Self) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume = self.volume.saturating_add(later.volume);
        self.value += later.value;
        self.last_trade_id = later.last_trade_id;
        self.trades += later.trades;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: u64 = 3_600_000_000_000;

    fn trade(time_ns: u64, price: i64) -> Trade {
        let trade_id = price.cast_unsigned();
        Trade { price, quantity: 10, trade_id, ts_trade_ns: time_ns, buyer_is_maker: false }
    }

    #[test]
    fn the_window_forgets_after_a_day_and_remembers_the_last_price_before() {
        let mut window = Window::default();
        let start = 1_000 * DAY_NS;
        assert_eq!(window.ticker(start, 1), None);
        for hour in 0..30 {
            window.add(&trade(start + hour * HOUR_NS, 100 + hour.cast_signed()));
        }
        let now = start + 29 * HOUR_NS;
        let ticker = window.ticker(now, 1).unwrap();
        // Hours 5 to 29 are in; the bucket of hour 5 begins exactly a day ago.
        assert_eq!((ticker.open, ticker.last, ticker.trades), (105, 129, 25));
        assert_eq!((ticker.low, ticker.high, ticker.previous_close), (105, 129, 104));
        assert_eq!((ticker.first_trade_id, ticker.last_trade_id), (105, 129));
        assert_eq!((ticker.volume, ticker.quote_volume), (250, (105..=129).sum::<i64>() * 10));
        let later = window.ticker(now + DAY_NS, 1).unwrap();
        assert_eq!((later.open, later.trades, later.previous_close), (129, 1, 128));
        assert_eq!(window.ticker(now + DAY_NS + 1, 1), None);
        window.add(&trade(now + 2 * DAY_NS, 7));
        let again = window.ticker(now + 2 * DAY_NS, 1).unwrap();
        assert_eq!((again.open, again.previous_close, again.trades), (7, 129, 1));
    }
}
