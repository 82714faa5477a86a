//! The window: an instrument's last hours or minutes, for its tickers and its average price.
//!
//! Trades are gathered in buckets, and the window moves by whole ones. Exact to the trade it would have to
//! keep every trade of a day. A bucket takes 112 bytes, a day of five minutes each 32 KB an instrument;
//! only those with trades exist.
//!
//! The ticker's window is at most as long as it is called, between 23 h 55 min and 24 h. Rolling windows
//! begin at a whole minute and are at least as long: by up to a bucket longer, as the venue's are.

use std::collections::VecDeque;

use wire::{Average, RollingTicker, Ticker, Trade};

use super::bars::{to_price_exponent, value_of};

const SECOND_NS: u64 = 1_000_000_000;
const MINUTE_NS: u64 = 60 * SECOND_NS;
const DAY_NS: u64 = 24 * 60 * MINUTE_NS;

/// How many minutes average prices are of.
const AVERAGE_MINUTES: u32 = 5;

/// How long a window is, and how finely it moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    length_ns: u64,
    bucket_ns: u64,
    /// Windows begin at multiples of this.
    step_ns: u64,
}

impl Span {
    /// Of the 24-hour ticker.
    pub(super) const TICKER: Self =
        Self { length_ns: DAY_NS, bucket_ns: 5 * MINUTE_NS, step_ns: 1 };

    /// Of the average price.
    pub(super) const AVERAGE: Self = Self {
        length_ns: AVERAGE_MINUTES as u64 * MINUTE_NS,
        bucket_ns: 5 * SECOND_NS,
        step_ns: 5 * SECOND_NS,
    };

    /// Of a rolling ticker: buckets of a minute for an hour, of five minutes for longer.
    pub(super) const fn rolling(window: wire::Window) -> Self {
        let bucket_ns = match window {
            wire::Window::Hour => MINUTE_NS,
            wire::Window::FourHours | wire::Window::Day => 5 * MINUTE_NS,
        };
        Self { length_ns: window.length_ns(), bucket_ns, step_ns: bucket_ns }
    }

    /// Where the window begins.
    const fn open_ns(self, now_ns: u64) -> u64 {
        let open_ns = now_ns.saturating_sub(self.length_ns);
        open_ns - open_ns % self.step_ns
    }
}

/// Trades of a span until now.
#[derive(Clone, Debug)]
pub(super) struct Window {
    span: Span,
    /// Buckets with trades, all but the newest, oldest first.
    closed: VecDeque<Bucket>,
    /// What the closed ones are together; `None`: there are none.
    summary: Option<Bucket>,
    newest: Option<Bucket>,
    last_quantity: i64,
    last_trade_ns: u64,
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
    pub(super) const fn new(span: Span) -> Self {
        Self {
            span,
            closed: VecDeque::new(),
            summary: None,
            newest: None,
            last_quantity: 0,
            last_trade_ns: 0,
            previous_close: 0,
        }
    }

    /// Adds a trade. One that is older than the newest bucket counts as being of it.
    #[inline]
    pub(super) fn add(&mut self, trade: &Trade) {
        let bucket = Bucket::of(trade, self.span.bucket_ns);
        self.last_quantity = trade.quantity;
        self.last_trade_ns = trade.ts_trade_ns;
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

    /// All trades in the window at this moment; `None`: there are none.
    fn all(&mut self, now_ns: u64) -> Option<Bucket> {
        self.move_to(now_ns);
        let newest = self.newest.as_ref()?;
        Some(match self.summary {
            Some(mut summary) => {
                summary.join(newest);
                summary
            }
            None => *newest,
        })
    }

    /// The rolling ticker at this moment; `None`: no trade in the window.
    pub(super) fn rolling(&mut self, now_ns: u64, quantity_unit: i128) -> Option<RollingTicker> {
        let all = self.all(now_ns)?;
        Some(RollingTicker {
            ts_open_ns: self.span.open_ns(now_ns),
            open: all.open,
            high: all.high,
            low: all.low,
            last: all.close,
            volume: all.volume,
            quote_volume: to_price_exponent(all.value, quantity_unit),
            first_trade_id: all.first_trade_id,
            last_trade_id: all.last_trade_id,
            trades: all.trades,
        })
    }

    /// The average price at this moment; `None`: nothing traded in the window.
    pub(super) fn average(&mut self, now_ns: u64) -> Option<Average> {
        let all = self.all(now_ns)?;
        let price = all.value.checked_div(i128::from(all.volume))?;
        Some(Average {
            price: i64::try_from(price).unwrap_or(i64::MAX),
            minutes: AVERAGE_MINUTES,
            ts_trade_ns: self.last_trade_ns,
        })
    }

    /// The ticker at this moment; `None`: no trade in the window.
    pub(super) fn ticker(&mut self, now_ns: u64, quantity_unit: i128) -> Option<Ticker> {
        let all = self.all(now_ns)?;
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

    /// Lets go of what is older than the span.
    fn move_to(&mut self, now_ns: u64) {
        let start_ns = self.span.open_ns(now_ns);
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
    fn of(trade: &Trade, bucket_ns: u64) -> Self {
        Self {
            start_ns: trade.ts_trade_ns - trade.ts_trade_ns % bucket_ns,
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
        let mut window = Window::new(Span::TICKER);
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

    #[test]
    fn a_rolling_window_begins_at_a_whole_minute_and_is_at_least_as_long_as_it_is_called() {
        let mut window = Window::new(Span::rolling(wire::Window::Hour));
        let start = 1_000 * DAY_NS;
        for minute in 0..90 {
            window.add(&trade(start + minute * MINUTE_NS + 1, 100 + minute.cast_signed()));
        }
        let now = start + 89 * MINUTE_NS + 30 * SECOND_NS;
        let ticker = window.rolling(now, 1).unwrap();
        assert_eq!(ticker.ts_open_ns, start + 29 * MINUTE_NS);
        assert_eq!((ticker.open, ticker.last, ticker.trades), (129, 189, 61));
        assert_eq!((ticker.low, ticker.high, ticker.volume), (129, 189, 610));
        assert_eq!((ticker.first_trade_id, ticker.last_trade_id), (129, 189));
        assert_eq!(ticker.quote_volume, (129..=189).sum::<i64>() * 10);
        assert_eq!(window.rolling(now + 2 * HOUR_NS, 1), None);
    }

    #[test]
    fn an_average_is_weighted_by_quantity_and_forgets() {
        let mut window = Window::new(Span::AVERAGE);
        let start = 1_000 * DAY_NS;
        window.add(&trade(start, 1_000));
        window.add(&Trade { quantity: 30, ..trade(start + 4 * MINUTE_NS, 100) });
        let average = window.average(start + 5 * MINUTE_NS).unwrap();
        assert_eq!((average.price, average.minutes), ((10_000 + 3_000) / 40, 5));
        assert_eq!(average.ts_trade_ns, start + 4 * MINUTE_NS);
        assert_eq!(window.average(start + 6 * MINUTE_NS).unwrap().price, 100);
        assert_eq!(window.average(start + 10 * MINUTE_NS), None);
    }
}
