//! Times of credentials: seconds since 1970-01-01 UTC, as tokens have them and as TOML writes them.

use toml::value::{Datetime, Offset};

use crate::clock::realtime_ns;

/// Now, in s.
pub(super) fn now_s() -> u64 {
    realtime_ns() / 1_000_000_000
}

/// A time of TOML; `None`: it has no offset, so that it is a different time in each place, or lies before
/// 1970.
pub(super) fn unix_s(time: &Datetime) -> Option<u64> {
    let (date, clock) = (time.date?, time.time?);
    let minutes = match time.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let (hour, minute) = (i64::from(clock.hour), i64::from(clock.minute));
    let second = i64::from(clock.second.unwrap_or(0));
    let seconds = ((days * 24 + hour) * 60 + minute - minutes) * 60 + second;
    u64::try_from(seconds).ok()
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March here, so that the day that
/// comes and goes is a year's last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600)),
            ("2024-03-01T00:00:00+01:00", Some(1_709_247_600)),
            ("2038-01-19T03:14:08Z", Some(2_147_483_648)),
            ("2100-03-01T00:00:00-00:30", Some(4_107_544_200)),
            ("1969-12-31T23:59:59Z", None),
            ("2024-03-01T00:00:00", None),
            ("2024-03-01", None),
        ] {
            assert_eq!(unix_s(&text.parse().unwrap()), seconds, "{text}");
        }
    }
}
