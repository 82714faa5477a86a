//! Tickers: of 24 hours from the newest ticker, of other windows from bars, prices from the last trade.

use std::io::Write as _;

use wire::{Channel, Instrument, Interval};

use super::error::RestError;
use super::parameters::{Parameters, Symbols};
use super::statistics::{DayOnly, Detail, Statistics};
use super::text::{milliseconds, price};
use super::{Answered, Desk};
use crate::history::{Grid, Span};

const MINUTE_NS: u64 = 60_000_000_000;
const HOUR_NS: u64 = 60 * MINUTE_NS;
const DAY_NS: u64 = 24 * HOUR_NS;

/// Windows up to this long are made of bars of a minute, longer ones of bars of an hour.
const MINUTES_UP_TO_NS: u64 = 12 * HOUR_NS;

/// Minutes of the average price.
const AVERAGE_MINUTES: u64 = 5;

/// Symbols of one request for windows.
const WINDOW_SYMBOLS_MAX: usize = 100;

/// `ticker/24hr`
pub(super) fn day(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    let detail = Detail::of(given)?;
    desk.one_or_many(given, &[Channel::Ticker], |out, instrument| {
        let Some(tick) = desk.market.newest(instrument, Channel::Ticker) else { return false };
        let ticker = tick.ticker();
        let quote = desk.market.newest(instrument, Channel::Quote);
        let day = DayOnly {
            previous_close: ticker.previous_close,
            last_quantity: ticker.last_quantity,
            quote: quote.map(|tick| tick.quote()),
        };
        Statistics::of_day(&tick).write(out, instrument, detail, Some(&day));
        true
    })
}

/// What was paid last.
fn last_price(desk: &Desk<'_>, instrument: &Instrument) -> Option<i64> {
    let trade = desk.market.newest(instrument, Channel::Trade).map(|tick| tick.trade().price);
    trade.or_else(|| desk.market.newest(instrument, Channel::Ticker).map(|tick| tick.ticker().last))
}

/// `ticker/price`
pub(super) fn prices(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    desk.one_or_many(given, &[Channel::Trade, Channel::Ticker], |out, instrument| {
        let Some(last) = last_price(desk, instrument) else { return false };
        let (symbol, last) = (instrument.symbol, price(last, instrument));
        write!(out, "{{\"symbol\":\"{symbol}\",\"price\":\"{last}\"}}").is_ok()
    })
}

/// `{"mins":5,"price":…,"closeTime":…}`
pub(super) fn average(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    let instrument = desk.present(&given.symbol()?)?;
    if let Some(tick) = desk.market.newest(&instrument, Channel::Average) {
        let average = tick.average();
        let (minutes, close) = (average.minutes, milliseconds(average.ts_trade_ns));
        let price = price(average.price, &instrument);
        let body = format!("{{\"mins\":{minutes},\"price\":\"{price}\",\"closeTime\":{close}}}");
        return Ok(body.into_bytes());
    }
    let statistics = of_window(desk, &instrument, AVERAGE_MINUTES * MINUTE_NS)?;
    let (price, close) = (statistics.average(&instrument), milliseconds(desk.market_ns));
    let body =
        format!("{{\"mins\":{AVERAGE_MINUTES},\"price\":\"{price}\",\"closeTime\":{close}}}");
    Ok(body.into_bytes())
}

/// `ticker?windowSize=…`: `1m` to `59m`, `1h` to `23h`, `1d` to `7d`.
pub(super) fn window(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    let length_ns = match given.text("windowSize") {
        None => DAY_NS,
        Some(text) => window_ns(text).ok_or(RestError::Invalid("windowSize"))?,
    };
    windows(given, desk, |instrument| of_window(desk, instrument, length_ns))
}

/// `ticker/tradingDay`: since midnight, by the clock that is asked for.
pub(super) fn trading_day(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    let ahead_ns = given.ahead_of_utc_ns()?;
    let day = Interval::parse("1d").ok_or(RestError::Interval)?;
    let (open_ns, _) = Grid { interval: day, ahead_ns }.around(desk.market_ns);
    let interval = if open_ns.is_multiple_of(HOUR_NS) { "1h" } else { "15m" };
    windows(given, desk, |instrument| since(desk, instrument, interval, open_ns))
}

fn windows(
    given: &Parameters<'_>,
    desk: &Desk<'_>,
    of: impl Fn(&Instrument) -> Result<Statistics, RestError>,
) -> Answered {
    let detail = Detail::of(given)?;
    match given.symbols()? {
        Symbols::All => return Err(RestError::Missing("symbol")),
        Symbols::Many(symbols) if symbols.len() > WINDOW_SYMBOLS_MAX => {
            return Err(RestError::Invalid("symbols"));
        }
        _ => {}
    }
    let bars = ["1m", "1h"].map(|name| Interval::parse(name).map(Channel::Bar));
    let bars: Vec<Channel> = bars.into_iter().flatten().collect();
    desk.one_or_many(given, &bars, |out, instrument| {
        let Ok(statistics) = of(instrument) else { return false };
        statistics.write(out, instrument, detail, None);
        true
    })
}

/// What happened within so much time up to now; the window begins with a whole minute.
fn of_window(
    desk: &Desk<'_>,
    instrument: &Instrument,
    length_ns: u64,
) -> Result<Statistics, RestError> {
    let open_ns = (desk.market_ns - length_ns).next_multiple_of(MINUTE_NS);
    let interval = if length_ns <= MINUTES_UP_TO_NS { "1m" } else { "1h" };
    since(desk, instrument, interval, open_ns)
}

fn since(
    desk: &Desk<'_>,
    instrument: &Instrument,
    interval: &str,
    open_ns: u64,
) -> Result<Statistics, RestError> {
    let interval = Interval::parse(interval).ok_or(RestError::Interval)?;
    if !desk.market.allows(instrument, Channel::Bar(interval)) {
        return Err(RestError::NotEntitled);
    }
    let span = Span { from_ns: Some(open_ns), to_ns: None, limit: usize::MAX };
    let bars = desk.history()?.bars(desk.market.epoch(), instrument.id, interval, span);
    let statistics = Statistics::of_bars(&bars, desk.market_ns).ok_or(RestError::Fetching)?;
    Ok(statistics.from(open_ns))
}

fn window_ns(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    let (unit_ns, most) = match unit {
        "m" => (MINUTE_NS, 59),
        "h" => (HOUR_NS, 23),
        "d" => (DAY_NS, 7),
        _ => return None,
    };
    (1..=most).contains(&count).then_some(count * unit_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_minutes_hours_or_days() {
        assert_eq!(window_ns("1m"), Some(MINUTE_NS));
        assert_eq!(window_ns("23h"), Some(23 * HOUR_NS));
        assert_eq!(window_ns("7d"), Some(7 * DAY_NS));
        for bad in ["", "m", "0m", "60m", "24h", "8d", "1s", "1µ"] {
            assert_eq!(window_ns(bad), None, "{bad}");
        }
    }
}
