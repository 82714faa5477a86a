//! Bars: one instrument's open bar of each interval, and where intervals begin and end.
//!
//! Times are the trades' own, ns since the epoch. Boundaries are UTC and the same for all instruments:
//! multiples of the interval since the epoch, weeks from Monday, months of the calendar.

use wire::{Bar, Interval, Trade};

const SECOND_NS: u64 = 1_000_000_000;
const DAY_NS: u64 = 86_400 * SECOND_NS;
/// 1970-01-01 was a Thursday; the first Monday came four days later.
const FIRST_MONDAY_NS: u64 = 4 * DAY_NS;

/// How long an interval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// So many ns, from multiples of that since the epoch plus an offset.
    Fixed { length_ns: u64, offset_ns: u64 },
    /// A calendar month.
    Month,
}

impl Length {
    pub(super) fn of(interval: Interval) -> Self {
        let name = interval.name();
        let (digits, unit) = name.split_at(name.len() - 1);
        let count: u64 = digits.parse().expect("an interval is a number and a unit");
        let fixed = |unit_ns| Self::Fixed { length_ns: count * unit_ns, offset_ns: 0 };
        match unit {
            "s" => fixed(SECOND_NS),
            "m" => fixed(60 * SECOND_NS),
            "h" => fixed(3_600 * SECOND_NS),
            "d" => fixed(DAY_NS),
            "w" => Self::Fixed { length_ns: 7 * DAY_NS, offset_ns: FIRST_MONDAY_NS },
            "M" => Self::Month,
            other => unreachable!("no interval has the unit {other}"),
        }
    }

    /// Begin and end of the interval that this moment is in.
    pub(super) fn around(self, time_ns: u64) -> (u64, u64) {
        match self {
            Self::Fixed { length_ns, offset_ns } => {
                // Weeks before the first Monday would begin before the epoch: cut off there.
                let start_ns = match time_ns.checked_sub(offset_ns) {
                    Some(since_ns) => time_ns - since_ns % length_ns,
                    None => 0,
                };
                let end_ns = match start_ns {
                    0 if offset_ns > 0 => offset_ns,
                    _ => start_ns.saturating_add(length_ns),
                };
                (start_ns, end_ns)
            }
            Self::Month => {
                let (year, month) = month_of(time_ns / DAY_NS);
                let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                (day_of(year, month) * DAY_NS, day_of(next.0, next.1) * DAY_NS)
            }
        }
    }
}

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
    pub(super) fn open(length: Length, trade: &Trade) -> Self {
        let (ts_open_ns, end_ns) = length.around(trade.ts_trade_ns);
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

/// Year and month of a day since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn month_of(day: u64) -> (u64, u64) {
    let z = day + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month)
}

/// The first day of a month, in days since 1970-01-01 (same source).
fn day_of(year: u64, month: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let year_of_era = year % 400;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year / 400 * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(interval: &str, time_s: u64) -> (u64, u64) {
        let length = Length::of(Interval::parse(interval).unwrap());
        let (start, end) = length.around(time_s * SECOND_NS + 7);
        assert_eq!((start % SECOND_NS, end % SECOND_NS), (0, 0));
        (start / SECOND_NS, end / SECOND_NS)
    }

    #[test]
    fn intervals_begin_and_end_where_calendars_say() {
        // 2024-08-08T23:54:13Z, a Thursday; `date` says so.
        let time = 1_723_161_253;
        assert_eq!(around("1s", time), (time, time + 1));
        assert_eq!(around("1m", time), (1_723_161_240, 1_723_161_300));
        assert_eq!(around("15m", time), (1_723_160_700, 1_723_161_600));
        assert_eq!(around("12h", time), (1_723_118_400, 1_723_161_600));
        assert_eq!(around("1d", time), (1_723_075_200, 1_723_161_600));
        assert_eq!(around("1w", time), (1_722_816_000, 1_723_420_800), "Monday 5 to Monday 12");
        assert_eq!(around("1M", time), (1_722_470_400, 1_725_148_800));
        assert_eq!(around("1M", 1_709_164_800), (1_706_745_600, 1_709_251_200), "29 February");
        assert_eq!(around("1M", 1_735_689_599), (1_733_011_200, 1_735_689_600), "a year's end");
        assert_eq!(around("1w", 5), (0, 4 * 86_400));
        assert_eq!(around("1M", 5), (0, 31 * 86_400));
    }

    #[test]
    fn every_interval_has_a_length_and_they_follow_each_other() {
        for name in wire::INTERVALS {
            let length = Length::of(Interval::parse(name).unwrap());
            let mut time = 1_700_000_000 * SECOND_NS;
            for _ in 0..50 {
                let (start, end) = length.around(time);
                assert!(start <= time && time < end, "{name}");
                assert_eq!(length.around(end - 1), (start, end), "{name}");
                assert_eq!(length.around(end).0, end, "{name}");
                time = end;
            }
        }
    }
}
