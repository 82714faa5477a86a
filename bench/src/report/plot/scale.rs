//! Scales: where a value lies along an axis, and which values deserve a tick.
//!
//! Ticks are round numbers within the data's range, never more than asked for.

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    Linear {
        min: f64,
        max: f64,
    },
    /// Both positive.
    Log {
        min: f64,
        max: f64,
    },
    /// Quantiles from 0 on, each nine as wide as the one before: 0.9, 0.99, 0.999. `max` is below 1.
    Nines {
        max: f64,
    },
}

/// Data that spread further than this are shown on a logarithmic scale.
const LINEAR_SPREAD_MAX: f64 = 30.0;

impl Scale {
    /// From 0 to a little beyond the largest value.
    pub(crate) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let max = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        Self::Linear { min: 0.0, max: if max > 0.0 { max * 1.04 } else { 1.0 } }
    }

    /// Around the positive values, to the next of 1, 2, 5 times a power of ten.
    pub(crate) fn log(values: impl Iterator<Item = f64>) -> Self {
        let positive = values.filter(|value| value.is_finite() && *value > 0.0);
        let (min, max) = positive
            .fold((f64::INFINITY, 0.0_f64), |(min, max), value| (min.min(value), max.max(value)));
        if max == 0.0 {
            return Self::Log { min: 1.0, max: 10.0 };
        }
        let (mut min, mut max) = (round_down(min), round_up(max));
        if max / min < 5.0 {
            (min, max) = (round_down(min * 0.9), round_up(max * 1.1));
        }
        Self::Log { min, max }
    }

    /// Logarithmic if all values are positive and far apart.
    pub(crate) fn fitting(values: impl Iterator<Item = f64> + Clone) -> Self {
        let min = values.clone().fold(f64::INFINITY, f64::min);
        let max = values.clone().fold(0.0, f64::max);
        if min > 0.0 && max / min > LINEAR_SPREAD_MAX {
            Self::log(values)
        } else {
            Self::linear(values)
        }
    }

    /// Up to what so many samples can tell.
    pub(crate) fn nines(samples: f64) -> Self {
        Self::Nines { max: 1.0 - 1.0 / samples.max(20.0) }
    }

    /// The place of a value, 0 to 1; values outside are put at the ends.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let place = match *self {
            Self::Linear { min, max } => (value - min) / (max - min),
            Self::Log { min, max } => (value.max(min) / min).ln() / (max / min).ln(),
            Self::Nines { max } => (1.0 - value.clamp(0.0, max)).ln() / (1.0 - max).ln(),
        };
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    /// Round values, at most about so many, in their order.
    pub(crate) fn ticks(&self, at_most: usize) -> Vec<f64> {
        match *self {
            Self::Linear { min, max } => linear_ticks(min, max, at_most),
            Self::Log { min, max } => log_ticks(min, max, at_most),
            Self::Nines { max } => nines_ticks(max),
        }
    }
}

/// The largest of 1, 2, 5 times a power of ten that is not above.
fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    // Logarithms of round numbers are not exact.
    let mantissa = value / power * (1.0 + 1e-9);
    power
        * if mantissa >= 5.0 {
            5.0
        } else if mantissa >= 2.0 {
            2.0
        } else {
            1.0
        }
}

/// The smallest that is not below.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let mantissa = value / power * (1.0 - 1e-9);
    let factors = [1.0, 2.0, 5.0, 10.0];
    power * factors.into_iter().find(|factor| mantissa <= *factor).unwrap_or(10.0)
}

fn linear_ticks(min: f64, max: f64, at_most: usize) -> Vec<f64> {
    let step = round_up((max - min) / float(at_most.max(1)));
    let first = (min / step).ceil();
    let count = ((max - min) / step).floor();
    (0..=at_most)
        .map(float)
        .take_while(|i| *i <= count)
        .map(|i| (first + i) * step)
        .filter(|tick| *tick <= max * (1.0 + 1e-9))
        .collect()
}

fn log_ticks(min: f64, max: f64, at_most: usize) -> Vec<f64> {
    let (first, last) = (min.log10().floor(), max.log10().ceil());
    let decades = last - first;
    for (factors, every) in
        [(&[1.0, 2.0, 5.0][..], 1.0), (&[1.0], 1.0), (&[1.0], 2.0), (&[1.0], 3.0), (&[1.0], 6.0)]
    {
        let mut ticks = Vec::new();
        let mut exponent = first;
        while exponent <= first + decades {
            for factor in factors {
                let tick = factor * 10_f64.powf(exponent);
                if tick >= min * (1.0 - 1e-9) && tick <= max * (1.0 + 1e-9) {
                    ticks.push(tick);
                }
            }
            exponent += every;
        }
        if ticks.len() <= at_most {
            return ticks;
        }
    }
    vec![min, max]
}

fn nines_ticks(max: f64) -> Vec<f64> {
    let mut ticks = vec![0.0, 0.5];
    let mut rest = 0.1;
    // A hair beyond, as 1 - 0.9 is not quite 0.1.
    while 1.0 - rest <= max + 1e-12 && ticks.len() < 10 {
        ticks.push(1.0 - rest);
        rest /= 10.0;
    }
    ticks
}

/// For counts that are far below 2^53.
pub(crate) fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= expected.abs() * 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn ticks_of_linear_scales_are_round_and_few() {
        close(
            &Scale::Linear { min: 0.0, max: 100.0 }.ticks(5),
            &[0.0, 20.0, 40.0, 60.0, 80.0, 100.0],
        );
        close(&Scale::Linear { min: 0.0, max: 0.37 }.ticks(4), &[0.0, 0.1, 0.2, 0.3]);
        close(&Scale::Linear { min: 0.0, max: 5.2e6 }.ticks(6), &[0.0, 1e6, 2e6, 3e6, 4e6, 5e6]);
        close(&Scale::Linear { min: 3.0, max: 11.0 }.ticks(4), &[4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn ticks_of_logarithmic_scales_thin_out_with_decades() {
        close(
            &Scale::Log { min: 1.0, max: 100.0 }.ticks(7),
            &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0],
        );
        close(&Scale::Log { min: 1e3, max: 1e8 }.ticks(7), &[1e3, 1e4, 1e5, 1e6, 1e7, 1e8]);
        close(&Scale::Log { min: 1.0, max: 1e9 }.ticks(5), &[1.0, 1e2, 1e4, 1e6, 1e8]);
        close(&Scale::Log { min: 200.0, max: 500.0 }.ticks(7), &[200.0, 500.0]);
    }

    #[test]
    fn data_lie_within_the_scales_made_for_them() {
        let values = [37.0, 812.0, 90_500.0];
        assert_eq!(Scale::log(values.into_iter()), Scale::Log { min: 20.0, max: 1e5 });
        assert_eq!(Scale::fitting(values.into_iter()), Scale::Log { min: 20.0, max: 1e5 });
        assert!(matches!(Scale::fitting([3.0, 9.0].into_iter()), Scale::Linear { min: 0.0, .. }));
        assert!(matches!(Scale::fitting([0.0, 900.0].into_iter()), Scale::Linear { .. }));
        assert_eq!(Scale::linear(std::iter::empty()), Scale::Linear { min: 0.0, max: 1.0 });
        assert_eq!(Scale::log(std::iter::empty()), Scale::Log { min: 1.0, max: 10.0 });
        let narrow = Scale::log([100.0].into_iter());
        assert!(matches!(narrow, Scale::Log { min, max } if min < 100.0 && max > 100.0));
        assert_eq!(Scale::log(values.into_iter()).place(1.0), 0.0);
        assert_eq!(Scale::log(values.into_iter()).place(f64::NAN), 0.0);
    }

    #[test]
    fn each_nine_is_as_wide_as_the_one_before() {
        let scale = Scale::nines(100_000.0);
        close(&scale.ticks(9), &[0.0, 0.5, 0.9, 0.99, 0.999, 0.999_9, 0.999_99]);
        let place = |quantile| scale.place(quantile);
        close(&[place(0.9), place(0.99), place(0.999)], &[0.2, 0.4, 0.6]);
        close(&[place(0.0), place(1.0)], &[0.0, 1.0]);
        // Twenty samples know nothing of the 99th percentile.
        close(&Scale::nines(5.0).ticks(9), &[0.0, 0.5, 0.9]);
    }
}
