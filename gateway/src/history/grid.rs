//! Where bars begin and end: intervals, as a clock has them that may be ahead of UTC.

use wire::Interval;

/// An interval, by some clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// How long bars are.
    pub interval: Interval,
    /// How far the clock is ahead of UTC, ns.
    pub ahead_ns: i64,
}

impl From<Interval> for Grid {
    /// By UTC.
    fn from(interval: Interval) -> Self {
        Self { interval, ahead_ns: 0 }
    }
}

impl Grid {
    /// Begin and end of the interval that this moment is in, ns since the epoch.
    #[must_use]
    pub const fn around(self, time_ns: u64) -> (u64, u64) {
        let (start_ns, end_ns) = self.interval.around(time_ns.saturating_add_signed(self.ahead_ns));
        let back_ns = self.ahead_ns.saturating_neg();
        (start_ns.saturating_add_signed(back_ns), end_ns.saturating_add_signed(back_ns))
    }

    /// Whether bars of this interval, by UTC, begin wherever those of the grid do: looked at over some of
    /// them, since months have lengths of their own.
    pub(super) fn is_divided_by(self, interval: Interval) -> bool {
        // In November 2023; any time will do.
        let mut time_ns = 1_700_000_000_000_000_000;
        (0..8).all(|_| {
            let (start_ns, end_ns) = self.around(time_ns);
            time_ns = end_ns;
            interval.around(start_ns).0 == start_ns
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    #[test]
    fn a_clock_ahead_begins_its_days_earlier() {
        let day = Interval::parse("1d").unwrap();
        let china = Grid { interval: day, ahead_ns: 8 * HOUR_NS };
        // 2024-08-08T23:54:13Z is the 9th there, which began at 16:00Z.
        let time_ns = 1_723_161_253_000_000_000;
        let start_ns = 1_723_132_800_000_000_000;
        assert_eq!(china.around(time_ns), (start_ns, start_ns + 24 * HOUR_NS.unsigned_abs()));
        let name = |name| Interval::parse(name).unwrap();
        assert!(china.is_divided_by(name("8h")) && china.is_divided_by(name("1h")));
        assert!(!china.is_divided_by(day) && !china.is_divided_by(name("12h")));
        assert!(
            Grid::from(name("1M")).is_divided_by(day) && Grid::from(name("1w")).is_divided_by(day)
        );
        assert!(!Grid::from(name("1M")).is_divided_by(name("3d")));
        assert!(!Grid::from(name("6h")).is_divided_by(name("4h")));
        let nepal = Grid { interval: name("1h"), ahead_ns: 5 * HOUR_NS + HOUR_NS * 3 / 4 };
        assert!(nepal.is_divided_by(name("15m")) && !nepal.is_divided_by(name("30m")));
    }
}
