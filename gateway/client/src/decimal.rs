//! Exact decimals: a mantissa and a power of ten, never a float.

use std::cmp::Ordering;
use std::fmt;

use wire::decimal::{DecimalError, parse_mantissa, write_decimal};

/// `mantissa * 10^exponent`, as the venue said it: `61837.63` is 6183763 at exponent -2.
///
/// Displayed with exactly `-exponent` fraction digits. Compared by value, so 1.5 equals 1.50.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    /// The digits.
    pub mantissa: i64,
    /// The power of ten; 0 or negative for prices and quantities.
    pub exponent: i8,
}

impl Decimal {
    /// The value `mantissa * 10^exponent`.
    #[must_use]
    pub const fn new(mantissa: i64, exponent: i8) -> Self {
        Self { mantissa, exponent }
    }

    /// Parses a text such as `-12.50` at this exponent.
    ///
    /// # Errors
    /// If the text is no decimal number, or has more places than the exponent.
    pub fn parse(text: &str, exponent: i8) -> Result<Self, DecimalError> {
        Ok(Self { mantissa: parse_mantissa(text, exponent)?, exponent })
    }

    /// Whether the value is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// The nearest float: for plotting, not for accounting.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "that is what the method says")]
    pub fn to_f64(self) -> f64 {
        let power = 10f64.powi(i32::from(self.exponent).abs());
        if self.exponent < 0 { self.mantissa as f64 / power } else { self.mantissa as f64 * power }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(24);
        write_decimal(&mut text, self.mantissa, self.exponent);
        // Digits, a dot and a minus are ASCII.
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    /// By value: both are brought to the smaller exponent. Exponents are an i8 each, so the wider
    /// mantissa may not fit even 128 bits; then its sign decides, for the other is nearer to zero.
    fn cmp(&self, other: &Self) -> Ordering {
        if self.exponent == other.exponent {
            return self.mantissa.cmp(&other.mantissa);
        }
        let widen = |of: &Self, to: i8| {
            let places = u32::from(of.exponent.abs_diff(to));
            10i128.checked_pow(places).and_then(|power| power.checked_mul(of.mantissa.into()))
        };
        let least = self.exponent.min(other.exponent);
        match (widen(self, least), widen(other, least)) {
            (Some(left), Some(right)) => left.cmp(&right),
            (None, _) if self.is_zero() => 0.cmp(&other.mantissa),
            (None, _) => self.mantissa.cmp(&0),
            (_, None) if other.is_zero() => self.mantissa.cmp(&0),
            (_, None) => 0.cmp(&other.mantissa),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_exactly_and_compared_by_value() {
        assert_eq!(Decimal::new(6_183_763, -2).to_string(), "61837.63");
        assert_eq!(format!("{:>8}|", Decimal::new(-5, -3)), "  -0.005|");
        assert_eq!(Decimal::new(15, -1), Decimal::new(1500, -3));
        assert!(Decimal::new(-1, 0) < Decimal::new(1, -18));
        assert!(Decimal::new(i64::MAX, 127) > Decimal::new(i64::MAX, -127));
        assert!(Decimal::new(i64::MIN, 127) < Decimal::new(0, -127));
        assert_eq!(Decimal::new(0, 127), Decimal::new(0, -127));
        assert_eq!(Decimal::parse("0.25", -4), Ok(Decimal::new(2500, -4)));
        assert!((Decimal::new(25, -2).to_f64() - 0.25).abs() < f64::EPSILON);
    }
}
