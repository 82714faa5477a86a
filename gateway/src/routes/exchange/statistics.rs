//! What happened within a window, wherever it is known from: a ticker's tick, or bars.

use std::io::Write as _;

use wire::exchange::json;
use wire::{Bar, Instrument, Quote, Tick, Window};

use super::error::RestError;
use super::parameters::Parameters;
use super::text::{Padded, Percent, milliseconds, price, quantity};

/// Prices, quantities and ids as in a ticker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statistics {
    open: i64,
    high: i64,
    low: i64,
    last: i64,
    volume: i64,
    quote_volume: i64,
    open_ns: u64,
    close_ns: u64,
    first_id: u64,
    last_id: u64,
    trades: u64,
}

/// How much of it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Full,
    Mini,
}

impl Detail {
    /// As the parameter `type` says.
    pub(super) fn of(given: &Parameters<'_>) -> Result<Self, RestError> {
        match given.text("type") {
            None | Some("FULL") => Ok(Self::Full),
            Some("MINI") => Ok(Self::Mini),
            Some(_) => Err(RestError::Invalid("type")),
        }
    }
}

/// What only the 24-hour ticker has.
#[derive(Clone, Copy, Debug)]
pub(super) struct DayOnly {
    pub(super) previous_close: i64,
    pub(super) last_quantity: i64,
    pub(super) quote: Option<Quote>,
}

impl Statistics {
    /// Of a 24-hour ticker.
    pub(super) const fn of_day(tick: &Tick) -> Self {
        let ticker = tick.ticker();
        Self {
            open: ticker.open,
            high: ticker.high,
            low: ticker.low,
            last: ticker.last,
            volume: ticker.volume,
            quote_volume: ticker.quote_volume,
            open_ns: tick.ts_event_ns.saturating_sub(Window::Day.length_ns()),
            close_ns: tick.ts_event_ns,
            first_id: ticker.first_trade_id,
            last_id: ticker.last_trade_id,
            trades: ticker.trades,
        }
    }

    /// Of bars that follow each other, up to now. Nothing if there is none.
    pub(super) fn of_bars(bars: &[Bar], close_ns: u64) -> Option<Self> {
        let (first, last) = (bars.first()?, bars.last()?);
        Some(Self {
            open: first.open,
            high: bars.iter().map(|bar| bar.high).max()?,
            low: bars.iter().map(|bar| bar.low).min()?,
            last: last.close,
            volume: sum(bars, |bar| bar.volume),
            quote_volume: sum(bars, |bar| bar.quote_volume),
            open_ns: first.ts_open_ns,
            close_ns,
            first_id: first.first_trade_id,
            last_id: last.last_trade_id(),
            trades: bars.iter().map(|bar| bar.trades).sum(),
        })
    }

    /// The same with a window that begins here.
    pub(super) const fn from(self, open_ns: u64) -> Self {
        Self { open_ns, ..self }
    }

    /// The average price, weighted by quantity.
    pub(super) fn average(&self, instrument: &Instrument) -> Padded {
        let (mantissa, exponent) =
            json::average_price(self.quote_volume, self.volume, self.last, instrument);
        Padded(mantissa, exponent)
    }

    /// Appends the object that shows it.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        instrument: &Instrument,
        detail: Detail,
        day: Option<&DayOnly>,
    ) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{{\"symbol\":\"{}\"", instrument.symbol);
        if detail == Detail::Full {
            let change = self.last.saturating_sub(self.open);
            let percent = Percent(json::thousandths_of_a_percent(change, self.open));
            let _ = write!(
                out,
                ",\"priceChange\":\"{}\",\"priceChangePercent\":\"{}\",\"weightedAvgPrice\":\"{}\"",
                price(change, instrument),
                percent,
                self.average(instrument),
            );
        }
        if let Some(day) = day.filter(|_| detail == Detail::Full) {
            day.write(out, self.last, instrument);
        }
        let _ = write!(
            out,
            ",\"openPrice\":\"{}\",\"highPrice\":\"{}\",\"lowPrice\":\"{}\"",
            price(self.open, instrument),
            price(self.high, instrument),
            price(self.low, instrument),
        );
        if day.is_none() || detail == Detail::Mini {
            let _ = write!(out, ",\"lastPrice\":\"{}\"", price(self.last, instrument));
        }
        let _ = write!(
            out,
            ",\"volume\":\"{}\",\"quoteVolume\":\"{}\",\"openTime\":{},\"closeTime\":{},\
             \"firstId\":{},\"lastId\":{},\"count\":{}}}",
            quantity(self.volume, instrument),
            price(self.quote_volume, instrument),
            milliseconds(self.open_ns),
            milliseconds(self.close_ns),
            self.first_id,
            self.last_id,
            self.trades,
        );
    }
}

impl DayOnly {
    fn write(&self, out: &mut Vec<u8>, last: i64, instrument: &Instrument) {
        let side = |best: Option<(i64, i64)>| {
            let (level, left) = best.unwrap_or_default();
            (price(level, instrument), quantity(left, instrument))
        };
        let bid = side(self.quote.map(|quote| (quote.bid_price, quote.bid_quantity)));
        let ask = side(self.quote.map(|quote| (quote.ask_price, quote.ask_quantity)));
        let _ = write!(
            out,
            ",\"prevClosePrice\":\"{}\",\"lastPrice\":\"{}\",\"lastQty\":\"{}\",\"bidPrice\":\"{}\",\
             \"bidQty\":\"{}\",\"askPrice\":\"{}\",\"askQty\":\"{}\"",
            price(self.previous_close, instrument),
            price(last, instrument),
            quantity(self.last_quantity, instrument),
            bid.0,
            bid.1,
            ask.0,
            ask.1,
        );
    }
}

fn sum(bars: &[Bar], of: impl Fn(&Bar) -> i64) -> i64 {
    bars.iter().map(of).fold(0, i64::saturating_add)
}
