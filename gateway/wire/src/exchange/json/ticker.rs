//! Tickers: of 24 hours, their short form, those of rolling windows, and arrays of them.

use super::{PLACES, Style, TimeUnit, decimal, entry, head, integer};
use crate::body::Quote;
use crate::decimal::write_decimal;
use crate::exchange::Array;
use crate::instrument::Instrument;
use crate::tick::Tick;
use crate::topic::Window;

/// What the 24-hour ticker and those of rolling windows have in common.
struct Statistics {
    open: i64,
    high: i64,
    low: i64,
    last: i64,
    volume: i64,
    quote_volume: i64,
}

impl Statistics {
    /// `,"p":change,"P":percentage` or the same with other keys between change and average.
    fn change(&self, out: &mut Vec<u8>, instrument: &Instrument) {
        let change = self.last.saturating_sub(self.open);
        decimal(out, b",\"p\":\"", change, instrument.price_exponent);
        out.extend_from_slice(b",\"P\":\"");
        write_decimal(out, thousandths_of_a_percent(change, self.open), -3);
        out.push(b'"');
    }

    fn average(&self, out: &mut Vec<u8>, instrument: &Instrument) {
        let (mantissa, exponent) = average(self.quote_volume, self.volume, self.last, instrument);
        decimal(out, b",\"w\":\"", mantissa, exponent);
    }

    fn prices(&self, out: &mut Vec<u8>, instrument: &Instrument) {
        let price = instrument.price_exponent;
        decimal(out, b",\"o\":\"", self.open, price);
        decimal(out, b",\"h\":\"", self.high, price);
        decimal(out, b",\"l\":\"", self.low, price);
    }

    fn volumes(&self, out: &mut Vec<u8>, instrument: &Instrument) {
        decimal(out, b",\"v\":\"", self.volume, instrument.quantity_exponent);
        decimal(out, b",\"q\":\"", self.quote_volume, instrument.price_exponent);
    }
}

/// Change as a part of the price before, in thousandths of a percent, rounded half away from zero; 0 if
/// there was no price.
#[must_use]
pub fn thousandths_of_a_percent(change: i64, before: i64) -> i64 {
    let (change, before) = (i128::from(change) * 100_000, i128::from(before));
    if before == 0 {
        return 0;
    }
    let half = before.abs() / 2 * change.signum() * before.signum();
    i64::try_from((change + half) / before).unwrap_or(i64::MAX)
}

/// A value divided by its quantity, as mantissa and exponent: eight decimals, or the price's if it has
/// more, rounded down. Where that cannot be said in 64 bits, it is the last price.
#[must_use]
pub fn average(quote_volume: i64, volume: i64, last: i64, instrument: &Instrument) -> (i64, i8) {
    let exponent = instrument.price_exponent.min(-PLACES);
    // value * 10^price / (volume * 10^quantity) = mantissa * 10^exponent
    let shift = i32::from(instrument.price_exponent)
        - i32::from(instrument.quantity_exponent)
        - i32::from(exponent);
    let power = 10i128.checked_pow(shift.unsigned_abs());
    let mantissa = power.and_then(|power| {
        let value = i128::from(quote_volume);
        let value = if shift >= 0 { value.checked_mul(power)? } else { value / power };
        i64::try_from(value.checked_div(i128::from(volume))?).ok()
    });
    mantissa.map_or((last, instrument.price_exponent), |mantissa| (mantissa, exponent))
}

/// The 24-hour ticker. Its window ends when it is told.
pub(super) fn day(
    out: &mut Vec<u8>,
    tick: &Tick,
    instrument: &Instrument,
    best: Option<&Quote>,
    unit: TimeUnit,
) {
    let ticker = tick.ticker();
    let (price, quantity) = (instrument.price_exponent, instrument.quantity_exponent);
    let statistics = day_statistics(tick);
    let best = best.copied().unwrap_or(Quote {
        bid_price: 0,
        bid_quantity: 0,
        ask_price: 0,
        ask_quantity: 0,
        update_id: 0,
    });
    head(out, "24hrTicker", tick.ts_event_ns, instrument, unit);
    statistics.change(out, instrument);
    statistics.average(out, instrument);
    decimal(out, b",\"x\":\"", ticker.previous_close, price);
    decimal(out, b",\"c\":\"", ticker.last, price);
    decimal(out, b",\"Q\":\"", ticker.last_quantity, quantity);
    decimal(out, b",\"b\":\"", best.bid_price, price);
    decimal(out, b",\"B\":\"", best.bid_quantity, quantity);
    decimal(out, b",\"a\":\"", best.ask_price, price);
    decimal(out, b",\"A\":\"", best.ask_quantity, quantity);
    statistics.prices(out, instrument);
    statistics.volumes(out, instrument);
    let open_ns = tick.ts_event_ns.saturating_sub(Window::Day.length_ns());
    let ids = (ticker.first_trade_id, ticker.last_trade_id, ticker.trades);
    window(out, open_ns, tick.ts_event_ns, ids, unit);
}

/// The 24-hour ticker in few words.
pub(super) fn mini(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument, unit: TimeUnit) {
    let statistics = day_statistics(tick);
    head(out, "24hrMiniTicker", tick.ts_event_ns, instrument, unit);
    decimal(out, b",\"c\":\"", statistics.last, instrument.price_exponent);
    statistics.prices(out, instrument);
    statistics.volumes(out, instrument);
    out.push(b'}');
}

pub(super) fn rolling(
    out: &mut Vec<u8>,
    of: Window,
    tick: &Tick,
    instrument: &Instrument,
    unit: TimeUnit,
) {
    let ticker = tick.rolling();
    let statistics = Statistics {
        open: ticker.open,
        high: ticker.high,
        low: ticker.low,
        last: ticker.last,
        volume: ticker.volume,
        quote_volume: ticker.quote_volume,
    };
    let name = match of {
        Window::Hour => "1hTicker",
        Window::FourHours => "4hTicker",
        Window::Day => "1dTicker",
    };
    head(out, name, tick.ts_event_ns, instrument, unit);
    statistics.change(out, instrument);
    statistics.prices(out, instrument);
    decimal(out, b",\"c\":\"", ticker.last, instrument.price_exponent);
    statistics.average(out, instrument);
    statistics.volumes(out, instrument);
    let ids = (ticker.first_trade_id, ticker.last_trade_id, ticker.trades);
    window(out, ticker.ts_open_ns, tick.ts_event_ns, ids, unit);
}

/// Appends an array of tickers, each as a stream of its own would have it: a tick, its instrument, and
/// that one's best bid and offer.
pub fn array<'a>(
    out: &mut Vec<u8>,
    of: Array,
    elements: impl Iterator<Item = (&'a Tick, &'a Instrument, Option<&'a Quote>)>,
    unit: TimeUnit,
) {
    let mut open = b'[';
    for (tick, instrument, best) in elements {
        out.push(open);
        match of {
            Array::MiniTicker => mini(out, tick, instrument, unit),
            Array::Ticker | Array::Rolling(_) => {
                let style = Style { unit, ..Style::default() };
                entry(out, std::slice::from_ref(tick), instrument, best, style);
            }
        }
        open = b',';
    }
    if open == b'[' {
        out.push(open);
    }
    out.push(b']');
}

const fn day_statistics(tick: &Tick) -> Statistics {
    let ticker = tick.ticker();
    Statistics {
        open: ticker.open,
        high: ticker.high,
        low: ticker.low,
        last: ticker.last,
        volume: ticker.volume,
        quote_volume: ticker.quote_volume,
    }
}

/// `,"O":open,"C":close,"F":first,"L":last,"n":trades}`
fn window(
    out: &mut Vec<u8>,
    open_ns: u64,
    close_ns: u64,
    (first, last, trades): (u64, u64, u64),
    unit: TimeUnit,
) {
    integer(out, b",\"O\":", unit.of_ns(open_ns));
    integer(out, b",\"C\":", unit.of_ns(close_ns));
    integer(out, b",\"F\":", first);
    integer(out, b",\"L\":", last);
    integer(out, b",\"n\":", trades);
    out.push(b'}');
}
