//! Bars: one instrument's open bar of each interval.
//!
//! Times are the trades' own, ns since the epoch; where intervals begin and end, [`Interval`] says.

use wire::{Bar, Interval, Trade};

/// A bar that trades still change. Values are kept at full precision, so that no rounding adds up.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenBar {
    pub(super) end_ns: u64,
    bar: Bar,
    value: i128,
    taker_value: i128,
}

impl OpenBar {
    /// The bar that this trade opens.
    pub(super) fn open(interval: Interval, trade: &Trade) -> Self {
        let (ts_open_ns, end_ns) = interval.around(trade.ts_trade_ns);
        let bar = Bar {
            ts_open_ns,
            open: trade.price,
            high: trade.price,
            low: trade.price,
            close: trade.price,
            volume: 0,
            quote_volume: 0,
            taker_volume: 0,
            taker_quote_volume: 0,
            first_trade_id: trade.trade_id,
            trades: 0,
            is_final: false,
        };
        let mut open = Self { end_ns, bar, value: 0, taker_value: 0 };
        open.add(trade);
        open
    }

    pub(super) const fn start_ns(&self) -> u64 {
        self.bar.ts_open_ns
    }

    /// Adds a trade.
    #[inline]
    pub(super) fn add(&mut self, trade: &Trade) {
        let value = value_of(trade);
        let bar = &mut self.bar;
        bar.high = bar.high.max(trade.price);
        bar.low = bar.low.min(trade.price);
        bar.close = trade.price;
        bar.volume = bar.volume.saturating_add(trade.quantity);
        bar.trades += 1;
        self.value += value;
        if !trade.buyer_is_maker {
            bar.taker_volume = bar.taker_volume.saturating_add(trade.quantity);
            self.taker_value += value;
        }
    }

    /// The bar as it is now. `quantity_unit` is what a quantity of 1 is as a mantissa.
    pub(super) fn bar(&self, quantity_unit: i128, is_final: bool) -> Bar {
        Bar {
            quote_volume: to_price_exponent(self.value, quantity_unit),
            taker_quote_volume: to_price_exponent(self.taker_value, quantity_unit),
            is_final,
            ..self.bar
        }
    }
}

/// Price times quantity, at the sum of their exponents.
pub(super) fn value_of(trade: &Trade) -> i128 {
    i128::from(trade.price) * i128::from(trade.quantity)
}

/// A value at the price's exponent, rounded down; beyond an i64 it stays at the limit.
pub(super) fn to_price_exponent(value: i128, quantity_unit: i128) -> i64 {
    i64::try_from(value / quantity_unit).unwrap_or(i64::MAX)
}
