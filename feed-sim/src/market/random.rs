//! Chance: the seeded generator and the distributions the market draws from.
//!
//! Not a statistics library. Everything here is arithmetic that gives the same bits on every machine:
//! integers, or additions, multiplications and divisions of `f64`, which IEEE 754 defines exactly.
//! The platform's `ln` and `exp` are not used, because their last bits differ between libraries and
//! the stream is a function of its seed.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// One in 2^32 parts of a probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Chance(u32);

impl Chance {
    /// `numerator` in `denominator`, at most certainty less one part in 2^32.
    #[expect(clippy::cast_possible_truncation, reason = "checked in the same line")]
    pub(super) const fn new(numerator: u32, denominator: u32) -> Self {
        let parts = ((numerator as u64) << 32) / denominator as u64;
        if parts > u32::MAX as u64 { Self(u32::MAX) } else { Self(parts as u32) }
    }

    /// This chance times `factor`, which is not negative.
    #[inline]
    pub(super) fn scaled(self, factor: f64) -> Self {
        let parts = f64::from(self.0) * factor;
        Self(u32::try_from(whole(parts)).unwrap_or(u32::MAX))
    }
}

/// Mixes the words into one: the seed of everything that belongs to these words. Splitmix64's finish.
pub(super) fn mix(words: [u64; 4]) -> u64 {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for word in words {
        state = (state ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^= state >> 31;
    }
    state
}

/// A seeded generator.
#[derive(Clone, Debug)]
pub(super) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// 64 random bits.
    #[inline]
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 random bits.
    #[inline]
    pub(super) fn half(&mut self) -> u32 {
        high(self.bits())
    }

    /// Whether what has this chance happens.
    #[inline]
    pub(super) fn happens(&mut self, chance: Chance) -> bool {
        self.half() < chance.0
    }

    /// A number from 0 to `bound`, exclusive; 0 if the bound is 0.
    #[inline]
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        high(u64::from(self.half()) * u64::from(bound))
    }

    /// Uniform in (0, 1].
    #[inline]
    pub(super) fn unit(&mut self) -> f64 {
        to_unit(self.bits())
    }

    /// Exponentially distributed with mean 1.
    ///
    /// It has no memory, so the whole halvings can be drawn apart: as many as there are leading zeros.
    /// What is left is under one halving, where a table with straight lines is exact to 1e-6.
    #[inline]
    pub(super) fn exponential(&mut self) -> f64 {
        let bits = self.bits();
        let halvings = f64::from(bits.leading_zeros());
        let rest = interpolate(&HALVINGS, bits & 0xFFFF_FFFF);
        (halvings + rest) * std::f64::consts::LN_2
    }

    /// Roughly normal with standard deviation 4, in -32..=32: the number of ones among 64 coins.
    #[inline]
    pub(super) fn coins(&mut self) -> i32 {
        self.bits().count_ones().cast_signed() - 32
    }

    /// Between 2^`low` and 2^`high`, every factor of two as likely as any other; `low <= high <= 31`.
    #[inline]
    pub(super) fn log_uniform(&mut self, low: u32, high_log2: u32) -> u32 {
        let bits = self.bits();
        let exponent = low + high((bits & 0xFFFF_FFFF) * u64::from(high_log2 - low));
        let span = 1u64 << exponent;
        let offset = high((bits >> 32) * span);
        // Both are below 2^31.
        (1u32 << exponent) + offset
    }
}

/// A distribution over powers of two, by its quantiles.
///
/// Sizes and lifetimes in markets spread over five orders of magnitude; their logarithms are smooth,
/// and a table of them copies the recordings better than any formula with three parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantiles {
    /// Base-2 logarithms, in 1/256, at the quantiles 0, 1/16, …, 16/16; rising.
    pub(super) log2_q8: [i32; 17],
}

impl Quantiles {
    /// One draw, moved by `shift_q8` in the same unit; at least 1, below 2^24.
    #[inline]
    pub(super) fn draw(&self, dice: &mut Dice, shift_q8: i32) -> u32 {
        let bits = dice.half();
        let cell = usize::try_from(bits >> 28).unwrap_or_default();
        let within = i32::try_from((bits >> 12) & 0xFFFF).unwrap_or_default();
        let (low, next) = (self.log2_q8[cell], self.log2_q8[cell + 1]);
        let log2_q8 = (low + (((next - low) * within) >> 16) + shift_q8).clamp(0, 24 * 256 - 1);
        let (exponent, fraction) = (log2_q8 >> 8, log2_q8 & 0xFF);
        // 2^f is near enough to 1 + f within one power of two: 6 % at most.
        let mantissa = (256 + fraction).cast_unsigned();
        (mantissa << exponent.cast_unsigned()) >> 8
    }
}

/// Cells of the tables.
const CELLS: usize = 256;

/// 2^-(i/256).
static POWERS: [f64; CELLS + 1] = {
    let mut table = [1.0; CELLS + 1];
    let mut i = 0;
    while i <= CELLS {
        // Taylor's series of e^-y; y is at most 0.7, where twelve terms give all of the digits.
        let y = -(i as f64) / CELLS as f64 * std::f64::consts::LN_2;
        let mut term = 1.0;
        let mut sum = 1.0;
        let mut n = 1;
        while n < 16 {
            term *= y / n as f64;
            sum += term;
            n += 1;
        }
        table[i] = sum;
        i += 1;
    }
    table
};

/// -log2(1 - i/512): how many halvings, under one, a uniform number lies deep.
static HALVINGS: [f64; CELLS + 1] = {
    let mut table = [0.0; CELLS + 1];
    let mut i = 0;
    while i <= CELLS {
        table[i] = -log2(1.0 - i as f64 / (2 * CELLS) as f64);
        i += 1;
    }
    table
};

/// The table's value at `at` / 2^32 of its length, on straight lines.
#[inline]
fn interpolate(table: &[f64; CELLS + 1], at: u64) -> f64 {
    let cell = usize::try_from(at >> 24).unwrap_or_default() % CELLS;
    let within = to_f64(at & 0xFF_FFFF) * (1.0 / 16_777_216.0);
    table[cell] + (table[cell + 1] - table[cell]) * within
}

/// 2^-x for x >= 0, to 1e-6; 0 from 60 on.
#[inline]
pub(super) fn exp2_neg(x: f64) -> f64 {
    if x >= 60.0 {
        return 0.0;
    }
    let fixed = whole(x * 4_294_967_296.0);
    interpolate(&POWERS, fixed & 0xFFFF_FFFF) * f64::from_bits((1023 - (fixed >> 32)) << 52)
}

/// 2^(x/256) for x in -8192..=8192.
#[inline]
pub(super) fn exp2_q8(x: i32) -> f64 {
    // x = 256·up - down, with down from 0 to 255.
    let up = (x + 255) >> 8;
    let down = (up << 8) - x;
    let exponent = u64::try_from(1023 + up).unwrap_or_default();
    POWERS[usize::try_from(down).unwrap_or_default()] * f64::from_bits(exponent << 52)
}

/// The base-2 logarithm of a positive, normal number, to 1e-6.
pub(super) const fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7FF) as f64 - 1023.0;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    // ln m = 2·artanh((m-1)/(m+1)); with the argument under 1/3 five terms give 1e-6.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let series =
        1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square * (1.0 / 9.0))));
    exponent + 2.0 * z * series * std::f64::consts::LOG2_E
}

/// The whole part of a number; 0 below it, saturating above.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer casts saturate, which is what is promised"
)]
#[inline]
pub(super) const fn whole(x: f64) -> u64 {
    x as u64
}

/// The number as a float. Times and ids here are far below 2^53, where this would round.
#[inline]
pub(super) const fn to_f64(x: u64) -> f64 {
    x as f64
}

/// The number rounded toward zero, saturating.
#[expect(clippy::cast_possible_truncation, reason = "float to integer casts saturate")]
#[inline]
pub(super) const fn signed(x: f64) -> i64 {
    x as i64
}

#[inline]
fn to_unit(bits: u64) -> f64 {
    // 53 bits, and never 0, whose logarithm does not exist.
    to_f64((bits >> 11) + 1) * (1.0 / 9_007_199_254_740_992.0)
}

#[inline]
const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_power_are_close_to_the_platforms() {
        for i in 1..2_000u32 {
            let x = f64::from(i) / 997.0;
            assert!((log2(x) - x.log2()).abs() < 1e-5, "log2({x})");
            assert!((exp2_neg(x) / (-x).exp2() - 1.0).abs() < 2e-4, "2^-{x}");
        }
        assert!((exp2_q8(-512) - 0.25).abs() < 1e-9);
        assert!((exp2_q8(768) - 8.0).abs() < 1e-9);
    }

    #[test]
    fn exponential_draws_have_mean_and_deviation_one() {
        let mut dice = Dice::new(1);
        let draws: Vec<f64> = (0..200_000).map(|_| dice.exponential()).collect();
        let mean = draws.iter().sum::<f64>() / 200_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 200_000.0;
        assert!((mean - 1.0).abs() < 0.02, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
    }

    #[test]
    fn log_uniform_draws_fill_each_power_of_two_alike() {
        let mut dice = Dice::new(2);
        let mut counts = [0u32; 8];
        for _ in 0..80_000 {
            let x = dice.log_uniform(3, 11);
            counts[usize::try_from(x.ilog2() - 3).unwrap()] += 1;
        }
        assert!(counts.iter().all(|&n| n.abs_diff(10_000) < 500), "{counts:?}");
    }

    #[test]
    fn chances_hold() {
        let mut dice = Dice::new(3);
        let hits = (0..100_000).filter(|_| dice.happens(Chance::new(1, 8))).count();
        assert!(hits.abs_diff(12_500) < 400, "{hits}");
        assert_eq!(Chance::new(1, 8).scaled(2.0), Chance::new(1, 4));
        assert_eq!(Chance::new(1, 2).scaled(100.0), Chance::new(1, 1));
    }
}
