//! Klines: the history's bars, and between them those of intervals in which nobody traded.
//!
//! The stream and the history have no bar without a trade; the exchange's clients count on one for each
//! interval, which stays at the last price. It is only put where it is known that nothing was traded: where
//! the ids of trades go on without a hole. What the history has lost stays missing.

use std::io::Write as _;

use wire::{Bar, Channel, Instrument};

use super::error::RestError;
use super::parameters::Parameters;
use super::past::{LIMIT_DEFAULT, LIMIT_MAX};
use super::text::{array, milliseconds, price, quantity};
use super::{Answered, Desk};
use crate::history::{Grid, Span};

/// How far the clocks are ahead by which there are bars of their own.
const UTC8_AHEAD_NS: i64 = 8 * 3_600_000_000_000;

/// Bars, the running one last.
pub(super) fn klines(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    let symbol = given.symbol()?;
    let interval = given.interval()?;
    let span = given.span(given.limit(LIMIT_DEFAULT, LIMIT_MAX)?)?;
    let grid = Grid { interval, ahead_ns: given.ahead_of_utc_ns()? };
    let shown = if grid.ahead_ns == UTC8_AHEAD_NS { interval.by_utc8() } else { interval };
    let instrument = desk.entitled(&symbol, Channel::Bar(shown))?;
    let bars = bars(desk, &instrument, grid, span)?;
    let mut out = Vec::with_capacity(2 + 240 * bars.len());
    array(&mut out, bars.iter(), |out, bar| write_bar(out, grid, bar, &instrument));
    Ok(out)
}

/// What the history has of a span, with the intervals between, up to now.
fn bars(
    desk: &Desk<'_>,
    instrument: &Instrument,
    grid: Grid,
    span: Span,
) -> Result<Vec<Bar>, RestError> {
    let history = desk.history()?;
    let epoch = desk.market.epoch();
    let mut known = Vec::new();
    // Whether it was quiet at an end of the span, the next bar beyond it knows.
    let before = Span { from_ns: None, to_ns: span.from_ns, limit: 1 };
    let after = Span { from_ns: span.to_ns, to_ns: None, limit: 1 };
    let parts =
        [span.from_ns.map(|_| before), Some(span), span.to_ns.map(|_| after)].into_iter().flatten();
    for part in parts {
        known.extend(history.bars(epoch, instrument.id, grid, part));
    }
    let newest = desk.market.newest(instrument, Channel::Trade).map(|tick| tick.trade());
    // The newest trade may be in no bar yet.
    let quiet_until_ns = newest.map_or(0, |trade| match known.last() {
        Some(last) if last.last_trade_id() == trade.trade_id => desk.market_ns,
        _ => 0,
    });
    let known = Known { bars: &known, grid, quiet_until_ns };
    Ok(known.with_quiet(span))
}

/// Bars in the order of time, and until when it is known that nothing was traded after the last one.
struct Known<'a> {
    bars: &'a [Bar],
    grid: Grid,
    quiet_until_ns: u64,
}

impl Known<'_> {
    /// One bar for each interval of the span of which everything is known.
    fn with_quiet(&self, span: Span) -> Vec<Bar> {
        let (Some(first), Some(last)) = (self.bars.first(), self.bars.last()) else {
            return Vec::new();
        };
        let end_ns = (last.ts_open_ns + 1).max(self.quiet_until_ns.saturating_add(1));
        let end_ns = span.to_ns.unwrap_or(u64::MAX).min(end_ns);
        let from_ns = span.from_ns.unwrap_or(0).max(first.ts_open_ns);
        let mut wanted = Vec::with_capacity(span.limit.min(LIMIT_MAX));
        if span.from_ns.is_some() {
            let mut open_ns = match self.grid.around(from_ns) {
                (start_ns, _) if start_ns == from_ns => from_ns,
                (_, next_ns) => next_ns,
            };
            while open_ns < end_ns && wanted.len() < span.limit {
                match self.at(open_ns) {
                    Some(bar) => wanted.push(bar),
                    // A hole ends with the next bar.
                    None => match self.bars.iter().find(|bar| bar.ts_open_ns > open_ns) {
                        Some(next) if next.ts_open_ns < end_ns => wanted.push(*next),
                        _ => break,
                    },
                }
                open_ns = self.grid.around(wanted[wanted.len() - 1].ts_open_ns).1;
            }
            return wanted;
        }
        let mut before_ns = end_ns;
        while before_ns > from_ns && wanted.len() < span.limit {
            let open_ns = self.grid.around(before_ns - 1).0;
            let earlier = || self.bars.iter().rfind(|bar| bar.ts_open_ns < open_ns).copied();
            let Some(bar) = self.at(open_ns).or_else(earlier) else { break };
            before_ns = bar.ts_open_ns;
            wanted.push(bar);
        }
        wanted.reverse();
        wanted
    }

    /// The bar that opens at this time, if it is known.
    fn at(&self, open_ns: u64) -> Option<Bar> {
        let after = self.bars.partition_point(|bar| bar.ts_open_ns <= open_ns);
        let before = self.bars[..after].last()?;
        if before.ts_open_ns == open_ns {
            return Some(*before);
        }
        let is_quiet = match self.bars.get(after) {
            Some(next) => next.first_trade_id == before.last_trade_id().wrapping_add(1),
            None => open_ns <= self.quiet_until_ns,
        };
        is_quiet.then(|| quiet(open_ns, before))
    }
}

/// An interval in which nobody traded, behind this bar.
const fn quiet(ts_open_ns: u64, before: &Bar) -> Bar {
    Bar {
        ts_open_ns,
        open: before.close,
        high: before.close,
        low: before.close,
        close: before.close,
        volume: 0,
        quote_volume: 0,
        taker_volume: 0,
        taker_quote_volume: 0,
        trades: 0,
        ..*before
    }
}

fn write_bar(out: &mut Vec<u8>, grid: Grid, bar: &Bar, instrument: &Instrument) -> bool {
    let written = write!(
        out,
        "[{},\"{}\",\"{}\",\"{}\",\"{}\",\"{}\",{},\"{}\",{},\"{}\",\"{}\",\"0\"]",
        milliseconds(bar.ts_open_ns),
        price(bar.open, instrument),
        price(bar.high, instrument),
        price(bar.low, instrument),
        price(bar.close, instrument),
        quantity(bar.volume, instrument),
        milliseconds(grid.around(bar.ts_open_ns).1).saturating_sub(1),
        price(bar.quote_volume, instrument),
        bar.trades,
        quantity(bar.taker_volume, instrument),
        price(bar.taker_quote_volume, instrument),
    );
    written.is_ok()
}

#[cfg(test)]
mod tests {
    use wire::Interval;

    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    /// Bars of a second, each of some trades.
    fn bars(opened_s: &[(u64, u64, u64)]) -> Vec<Bar> {
        let bar = |&(open_s, first_trade_id, trades)| Bar {
            ts_open_ns: open_s * SECOND_NS,
            open: 1,
            high: 9,
            low: 1,
            close: 5,
            volume: 7,
            quote_volume: 7,
            taker_volume: 7,
            taker_quote_volume: 7,
            first_trade_id,
            trades,
            is_final: true,
        };
        opened_s.iter().map(bar).collect()
    }

    fn shown(
        known: &Known<'_>,
        from_s: Option<u64>,
        to_s: Option<u64>,
        limit: usize,
    ) -> Vec<(u64, u64)> {
        let ns = |time_s: Option<u64>| time_s.map(|time_s| time_s * SECOND_NS);
        let all = known.with_quiet(Span { from_ns: ns(from_s), to_ns: ns(to_s), limit });
        all.iter().map(|bar| (bar.ts_open_ns / SECOND_NS, bar.trades)).collect()
    }

    #[test]
    fn an_interval_without_trades_stays_at_the_last_price() {
        let bars = bars(&[(10, 1, 3), (13, 4, 2), (20, 9, 1)]);
        let grid = Grid::from(Interval::SECOND);
        let known = Known { bars: &bars, grid, quiet_until_ns: 22 * SECOND_NS + 5 };
        // Between 13 and 20 trades 6 to 8 are missing: that is not quiet.
        let all = [(10, 3), (11, 0), (12, 0), (13, 2), (20, 1), (21, 0), (22, 0)];
        assert_eq!(shown(&known, None, None, 100), all);
        assert_eq!(shown(&known, Some(0), None, 100), all);
        assert_eq!(shown(&known, None, None, 3), all[4..]);
        assert_eq!(shown(&known, Some(11), None, 2), all[1..3]);
        assert_eq!(shown(&known, Some(12), Some(21), 100), all[2..5]);
        assert_eq!(shown(&known, None, Some(13), 2), all[1..3]);
        assert_eq!(shown(&known, Some(30), None, 5), []);
        let quiet = known.at(12 * SECOND_NS).unwrap();
        assert_eq!((quiet.open, quiet.high, quiet.low, quiet.close, quiet.volume), (5, 5, 5, 5, 0));
        // Of what may be in no bar yet nothing is said.
        let unknown = Known { quiet_until_ns: 0, ..known };
        assert_eq!(shown(&unknown, None, None, 2), [(13, 2), (20, 1)]);
        let none = Known { bars: &[], grid, quiet_until_ns: u64::MAX };
        assert_eq!(shown(&none, None, None, 5), []);
    }
}
