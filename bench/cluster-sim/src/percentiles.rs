//! Percentiles of times, in buckets that are a sixteenth wide.

/// Counts of values, exact up to 32 and by their five highest bits above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Percentiles {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Percentiles {
    fn default() -> Self {
        Self { counts: vec![0; 64 * 16], count: 0, max: 0 }
    }
}

impl Percentiles {
    /// Counts a value so many times.
    pub fn record(&mut self, value: u64, times: u64) {
        self.counts[Self::place(value)] += times;
        self.count += times;
        self.max = self.max.max(value);
    }

    /// How many were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The largest.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The value that `permille` of a thousand are not above, rounded up by a sixteenth at most.
    #[must_use]
    pub fn at(&self, permille: u64) -> u64 {
        let wanted = (self.count * permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Self::upper(place).min(self.max);
            }
        }
        self.max
    }

    fn place(value: u64) -> usize {
        if value < 16 {
            return usize::try_from(value).expect("below 16");
        }
        let exponent = value.ilog2();
        let mantissa = usize::try_from((value >> (exponent - 4)) & 15).expect("four bits");
        (exponent as usize - 3) * 16 + mantissa
    }

    const fn upper(place: usize) -> u64 {
        if place < 16 {
            return place as u64;
        }
        let (exponent, mantissa) = (place / 16 + 3, place as u64 % 16);
        // The last bucket ends where 64 bits do.
        ((16 + mantissa + 1) << (exponent - 4)).wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_not_below_and_at_most_a_sixteenth_above() {
        let mut times = Percentiles::default();
        (1..=10_000).for_each(|value| times.record(value, 1));
        for (permille, exact) in [(1, 10), (500, 5_000), (990, 9_900), (1_000, 10_000)] {
            let found = times.at(permille);
            assert!((exact..=exact + exact / 16 + 1).contains(&found), "{permille}: {found}");
        }
        assert_eq!((times.count(), times.max()), (10_000, 10_000));
        times.record(u64::MAX, 1);
        assert_eq!(times.at(1_000), u64::MAX);
    }
}
