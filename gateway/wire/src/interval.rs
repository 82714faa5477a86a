//! Bar intervals: their names, and where each begins and ends.
//!
//! Boundaries are the same for all instruments: multiples of the interval since the epoch, weeks from
//! Monday, months of the calendar. They are UTC's; of the intervals that have other ones by clocks that are
//! eight hours ahead, there are those too, which the exchange's streams call `@+08:00`.

const SECOND_NS: u64 = 1_000_000_000;
const MINUTE_NS: u64 = 60 * SECOND_NS;
const HOUR_NS: u64 = 60 * MINUTE_NS;
const DAY_NS: u64 = 24 * HOUR_NS;
/// 1970-01-01 was a Thursday; the first Monday came four days later.
const FIRST_MONDAY_NS: u64 = 4 * DAY_NS;
/// How far the clocks of UTC+8 are ahead.
const UTC8_AHEAD_NS: u64 = 8 * HOUR_NS;

/// Bar intervals by UTC, in the order of their channel codes.
pub const INTERVALS: [&str; 16] = [
    "1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w",
    "1M",
];

/// Which of [`INTERVALS`] begin at other times by UTC+8: those that do not divide eight hours.
const OTHER_BY_UTC8: [u8; 6] = [9, 11, 12, 13, 14, 15];

/// The code of the first interval by UTC+8.
const FIRST_BY_UTC8: u8 = 16;

/// A bar interval: an index into [`INTERVALS`], and behind those into the ones that are others by UTC+8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interval(u8);

impl Interval {
    /// One second.
    pub const SECOND: Self = Self(0);
    /// One minute.
    pub const MINUTE: Self = Self(1);

    /// All intervals by UTC, shortest first, and then those by UTC+8.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u8..).map_while(Self::from_code)
    }

    /// A dense number: of those by UTC, where its name stands in [`INTERVALS`].
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The interval with this number, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        if (code as usize) < INTERVALS.len() + OTHER_BY_UTC8.len() {
            Some(Self(code))
        } else {
            None
        }
    }

    /// As long by clocks of UTC+8; the same where its boundaries are.
    #[must_use]
    pub const fn by_utc8(self) -> Self {
        let mut nth = 0;
        while nth < OTHER_BY_UTC8.len() {
            if OTHER_BY_UTC8[nth] == self.0 {
                #[expect(clippy::cast_possible_truncation, reason = "below 6")]
                return Self(FIRST_BY_UTC8 + nth as u8);
            }
            nth += 1;
        }
        self
    }

    /// As long by UTC.
    #[must_use]
    pub const fn by_utc(self) -> Self {
        if self.is_by_utc() { self } else { Self(OTHER_BY_UTC8[(self.0 - FIRST_BY_UTC8) as usize]) }
    }

    /// Whether its boundaries are those of UTC.
    #[must_use]
    pub const fn is_by_utc(self) -> bool {
        self.0 < FIRST_BY_UTC8
    }

    /// The interval by UTC called `name` (`1m` and `1M` differ), if there is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        (0u8..).zip(INTERVALS).find(|(_, text)| *text == name).map(|(index, _)| Self(index))
    }

    /// How long it is, as in `bar_1m`. That it is by UTC+8 its name does not say.
    #[must_use]
    pub fn name(self) -> &'static str {
        INTERVALS[usize::from(self.by_utc().0)]
    }

    /// Begin and end of the interval that this moment is in, ns since the epoch.
    #[must_use]
    pub const fn around(self, time_ns: u64) -> (u64, u64) {
        if !self.is_by_utc() {
            let ahead_ns = time_ns.saturating_add(UTC8_AHEAD_NS);
            let (start_ns, end_ns) = self.by_utc().around(ahead_ns);
            return (start_ns.saturating_sub(UTC8_AHEAD_NS), end_ns.saturating_sub(UTC8_AHEAD_NS));
        }
        let (length_ns, offset_ns) = match Length::of(self) {
            Length::Fixed { length_ns, offset_ns } => (length_ns, offset_ns),
            Length::Month => {
                let (year, month) = month_of(time_ns / DAY_NS);
                let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                return (day_of(year, month) * DAY_NS, day_of(next.0, next.1) * DAY_NS);
            }
        };
        // Weeks before the first Monday would begin before the epoch: cut off there.
        let start_ns = match time_ns.checked_sub(offset_ns) {
            Some(since_ns) => time_ns - since_ns % length_ns,
            None => return (0, offset_ns),
        };
        (start_ns, start_ns.saturating_add(length_ns))
    }
}

/// How long an interval is.
#[derive(Clone, Copy)]
enum Length {
    /// So many ns, from multiples of that since the epoch plus an offset.
    Fixed { length_ns: u64, offset_ns: u64 },
    /// A calendar month.
    Month,
}

impl Length {
    const fn of(interval: Interval) -> Self {
        let (count, unit_ns) = match interval.0 {
            0 => (1, SECOND_NS),
            1 => (1, MINUTE_NS),
            2 => (3, MINUTE_NS),
            3 => (5, MINUTE_NS),
            4 => (15, MINUTE_NS),
            5 => (30, MINUTE_NS),
            6 => (1, HOUR_NS),
            7 => (2, HOUR_NS),
            8 => (4, HOUR_NS),
            9 => (6, HOUR_NS),
            10 => (8, HOUR_NS),
            11 => (12, HOUR_NS),
            12 => (1, DAY_NS),
            13 => (3, DAY_NS),
            14 => return Self::Fixed { length_ns: 7 * DAY_NS, offset_ns: FIRST_MONDAY_NS },
            _ => return Self::Month,
        };
        Self::Fixed { length_ns: count * unit_ns, offset_ns: 0 }
    }
}

/// Year and month of a day since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
const fn month_of(day: u64) -> (u64, u64) {
    let z = day + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month)
}

/// The first day of a month, in days since 1970-01-01 (same source).
const fn day_of(year: u64, month: u64) -> u64 {
    let year = year - (month <= 2) as u64;
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
        let interval = Interval::parse(interval).unwrap();
        let (start, end) = interval.around(time_s * SECOND_NS + 7);
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
    fn days_by_utc8_begin_at_four_in_the_afternoon() {
        // 2024-08-08T23:54:13Z, as above: there it is Friday the 9th, 07:54:13.
        let time_ns = 1_723_161_253 * SECOND_NS + 7;
        let around = |name: &str| {
            let (start, end) = Interval::parse(name).unwrap().by_utc8().around(time_ns);
            assert_eq!((start % SECOND_NS, end % SECOND_NS), (0, 0));
            (start / SECOND_NS, end / SECOND_NS)
        };
        let hour = 3_600;
        assert_eq!(around("1d"), (1_723_132_800, 1_723_132_800 + 24 * hour), "16:00Z");
        assert_eq!(around("12h"), (1_723_132_800, 1_723_132_800 + 12 * hour), "16:00Z");
        assert_eq!(around("6h"), (1_723_154_400, 1_723_154_400 + 6 * hour), "22:00Z");
        assert_eq!(around("1w"), (1_722_787_200, 1_723_392_000), "Sunday 4, 16:00Z");
        assert_eq!(around("1M"), (1_722_441_600, 1_725_120_000), "31 July to 31 August, 16:00Z");
        let (start, end) = around("3d");
        assert_eq!((end - start, (start + 8 * hour) % (72 * hour)), (72 * hour, 0));
        for interval in Interval::all().filter(|interval| interval.is_by_utc()) {
            let ahead = interval.by_utc8();
            let hours = interval.around(0).1 / HOUR_NS;
            assert_eq!(ahead == interval, hours == 0 || 8 % hours == 0, "{}", interval.name());
            assert_eq!((ahead.by_utc(), ahead.name()), (interval, interval.name()));
            assert_eq!(ahead.by_utc8(), ahead);
        }
    }

    #[test]
    fn every_interval_has_a_length_and_they_follow_each_other() {
        assert_eq!(Interval::all().count(), 22);
        for (at, interval) in Interval::all().enumerate() {
            let name = interval.name();
            assert!(at >= INTERVALS.len() || name == INTERVALS[at]);
            let mut time = 1_700_000_000 * SECOND_NS;
            for _ in 0..50 {
                let (start, end) = interval.around(time);
                assert!(start <= time && time < end, "{name}");
                assert_eq!(interval.around(end - 1), (start, end), "{name}");
                assert_eq!(interval.around(end).0, end, "{name}");
                time = end;
            }
        }
    }
}
