//! Pace: how fast an instrument has to run to make a wanted number of ticks a second.
//!
//! At pace 1 an instrument is as busy as the recorded ones. Quotes and trades are proportional to the
//! pace. Depth ticks are not: what is gathered over 100 ms of a slow instrument fills its group's last
//! tick less well, and a book of few levels has fewer that can change. So the numbers are measured.

use super::random::log2;

/// Ticks a second over the pace, measured over an hour of each.
struct Measured {
    pace: f64,
    /// Of an instrument with [`SHALLOW`] levels a side or fewer.
    shallow: f64,
    /// Of one with [`DEEP`] levels a side or more.
    deep: f64,
}

/// Levels a side in the book of an instrument with a coarse grid.
const SHALLOW: f64 = 50.0;

/// Levels a side in the books of the first two listings.
const DEEP: f64 = 700.0;

/// At paces above the first they stay as they are: groups come faster there, not larger.
const MEASURED: [Measured; 4] = [
    Measured { pace: 1.0, shallow: 146.0, deep: 200.0 },
    Measured { pace: 0.1, shallow: 184.0, deep: 260.0 },
    Measured { pace: 0.01, shallow: 190.0, deep: 268.0 },
    Measured { pace: 0.001, shallow: 200.0, deep: 430.0 },
];

/// The pace at which an instrument with so many levels a side makes this many ticks a second, if it
/// gathers depth at the venue's cadence.
pub(super) fn of(ticks_per_second: f64, levels: f64) -> f64 {
    let mut pace = ticks_per_second / MEASURED[0].deep;
    // The numbers change slowly with the pace: each round leaves a small part of the error.
    for _ in 0..16 {
        pace = ticks_per_second / ticks_at(pace, levels);
    }
    pace
}

/// Ticks a second over the pace, at this pace.
fn ticks_at(pace: f64, levels: f64) -> f64 {
    let depth = (log2(levels / SHALLOW) / log2(DEEP / SHALLOW)).clamp(0.0, 1.0);
    let at = |m: &Measured| m.shallow + (m.deep - m.shallow) * depth;
    for pair in MEASURED.windows(2) {
        let (fast, slow) = (&pair[0], &pair[1]);
        if pace >= slow.pace {
            let part = log2(pace / slow.pace) / log2(fast.pace / slow.pace);
            return at(slow) + (at(fast) - at(slow)) * part.min(1.0);
        }
    }
    at(&MEASURED[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_the_one_that_makes_the_rate() {
        for rate in [0.01, 0.5, 3.0, 40.0, 200.0, 1e6] {
            for levels in [10.0, 50.0, 200.0, 5_000.0] {
                let pace = of(rate, levels);
                assert!((pace * ticks_at(pace, levels) / rate - 1.0).abs() < 0.01);
            }
        }
        assert!((of(400.0, 700.0) - 2.0).abs() < 1e-9);
    }
}
