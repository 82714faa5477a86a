//! Decimals: exact conversion between mantissas and text.
//!
//! A value is `mantissa * 10^exponent`. Nothing here ever rounds: a text that the exponent cannot
//! hold is an error, and writing gives exactly `-exponent` fraction digits.

/// Why a text is not a mantissa of the exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecimalError {
    /// A part that must have a digit has none.
    #[error("expected a decimal number such as 12.50")]
    Empty,
    /// Another character than a digit, a leading minus or one dot.
    #[error("unexpected character in a decimal number")]
    Character,
    /// Digits other than zero behind the last place that the exponent has.
    #[error("more decimal places than the exponent has")]
    Inexact,
    /// The mantissa does not fit into 64 bits.
    #[error("decimal number out of range")]
    Overflow,
}

/// A decimal number as somebody wrote it, exact, before it is known where its instrument has its
/// decimal point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    mantissa: i64,
    /// Not above 0: zeros at the end of the fraction are not kept.
    exponent: i8,
}

impl Decimal {
    /// The number that a text like `-12.50` says; see [`parse_mantissa`] for what is taken.
    ///
    /// # Errors
    /// If the text is no decimal number, or its digits do not fit into 64 bits.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction);
        let places = fraction.trim_end_matches('0').len();
        // Beyond 127 places a text with a digit there cannot be a mantissa of 64 bits, or anything else.
        let places = i8::try_from(places).map_err(|_| DecimalError::Inexact)?;
        Ok(Self { mantissa: parse_mantissa(text, -places)?, exponent: -places })
    }

    /// Its mantissa at this exponent.
    ///
    /// # Errors
    /// If it has digits below the exponent's last place, or does not fit.
    pub fn mantissa(self, exponent: i8) -> Result<i64, DecimalError> {
        let shift = i16::from(self.exponent) - i16::from(exponent);
        let power = 10i64.checked_pow(u32::from(shift.unsigned_abs()));
        match (self.mantissa, power) {
            (0, _) => Ok(0),
            (mantissa, Some(power)) if shift >= 0 => {
                mantissa.checked_mul(power).ok_or(DecimalError::Overflow)
            }
            (_, None) if shift >= 0 => Err(DecimalError::Overflow),
            (mantissa, Some(power)) if mantissa % power == 0 => Ok(mantissa / power),
            _ => Err(DecimalError::Inexact),
        }
    }
}

/// The mantissa of a text like `-12.50` at this exponent. More fraction digits than the exponent
/// has are taken if they are zeros, fewer are filled up. No plus sign, no scientific notation.
///
/// # Errors
/// If the text is no decimal number or its mantissa is not a whole number in range.
pub fn parse_mantissa(text: &str, exponent: i8) -> Result<i64, DecimalError> {
    let bytes = text.as_bytes();
    let (is_negative, digits) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    let (whole, fraction) = match digits.iter().position(|&b| b == b'.') {
        Some(dot) if dot + 1 == digits.len() => return Err(DecimalError::Empty),
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &digits[..0]),
    };
    if whole.is_empty() {
        return Err(DecimalError::Empty);
    }
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(DecimalError::Character);
    }
    // Digits up to the place of `exponent` belong to the mantissa, the rest must be zeros.
    let places = -i64::from(exponent);
    let (mut kept, mut missing) = (0u64, 0i64);
    if places >= 0 {
        let cut = fraction.len().min(usize::try_from(places).unwrap_or(usize::MAX));
        if fraction[cut..].iter().any(|&b| b != b'0') {
            return Err(DecimalError::Inexact);
        }
        for &digit in whole.iter().chain(&fraction[..cut]) {
            kept = push_digit(kept, digit - b'0')?;
        }
        missing = places - i64::try_from(cut).unwrap_or(i64::MAX);
    } else {
        let drop = usize::from(exponent.unsigned_abs()).min(whole.len());
        let (head, tail) = whole.split_at(whole.len() - drop);
        if tail.iter().chain(fraction).any(|&b| b != b'0') {
            return Err(DecimalError::Inexact);
        }
        for &digit in head {
            kept = push_digit(kept, digit - b'0')?;
        }
    }
    while missing > 0 && kept != 0 {
        kept = push_digit(kept, 0)?;
        missing -= 1;
    }
    if is_negative {
        0i64.checked_sub_unsigned(kept).ok_or(DecimalError::Overflow)
    } else {
        i64::try_from(kept).map_err(|_| DecimalError::Overflow)
    }
}

fn push_digit(mantissa: u64, digit: u8) -> Result<u64, DecimalError> {
    mantissa
        .checked_mul(10)
        .and_then(|tens| tens.checked_add(u64::from(digit)))
        .ok_or(DecimalError::Overflow)
}

/// Appends the value as text with exactly `-exponent` fraction digits: `write_decimal(out, 5, -2)`
/// writes `0.05`. Positive exponents fill up with zeros.
pub fn write_decimal(out: &mut Vec<u8>, mantissa: i64, exponent: i8) {
    if mantissa < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(mantissa.unsigned_abs()).as_bytes();
    if exponent >= 0 {
        out.extend_from_slice(digits);
        if mantissa != 0 {
            out.resize(out.len() + usize::from(exponent.unsigned_abs()), b'0');
        }
        return;
    }
    let places = usize::from(exponent.unsigned_abs());
    match digits.len().checked_sub(places) {
        Some(whole @ 1..) => {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + places - digits.len(), b'0');
            out.extend_from_slice(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(mantissa: i64, exponent: i8) -> String {
        let mut out = Vec::new();
        write_decimal(&mut out, mantissa, exponent);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_every_place() {
        assert_eq!(text(6_183_763, -2), "61837.63");
        assert_eq!(text(5, -2), "0.05");
        assert_eq!(text(50, -2), "0.50");
        assert_eq!(text(100, -2), "1.00");
        assert_eq!(text(0, -2), "0.00");
        assert_eq!(text(0, 0), "0");
        assert_eq!(text(-7, 0), "-7");
        assert_eq!(text(-7, -1), "-0.7");
        assert_eq!(text(12, 2), "1200");
        assert_eq!(text(0, 2), "0");
        assert_eq!(text(i64::MIN, 0), "-9223372036854775808");
        assert_eq!(text(i64::MIN, -18), "-9.223372036854775808");
        assert_eq!(text(i64::MAX, -19), "0.9223372036854775807");
        assert_eq!(text(1, i8::MIN).len(), 130);
    }

    #[test]
    fn parses_exactly_or_says_why_not() {
        assert_eq!(parse_mantissa("61837.63", -2), Ok(6_183_763));
        assert_eq!(parse_mantissa("61837.63000000", -2), Ok(6_183_763));
        assert_eq!(parse_mantissa("61837", -2), Ok(6_183_700));
        assert_eq!(parse_mantissa("-0.05", -2), Ok(-5));
        assert_eq!(parse_mantissa("1200", 2), Ok(12));
        assert_eq!(parse_mantissa("0", 2), Ok(0));
        assert_eq!(parse_mantissa("-9.223372036854775808", -18), Ok(i64::MIN));
        assert_eq!(parse_mantissa("9.223372036854775808", -18), Err(DecimalError::Overflow));
        assert_eq!(parse_mantissa("18446744073709551616", 0), Err(DecimalError::Overflow));
        assert_eq!(parse_mantissa("10", -18), Err(DecimalError::Overflow));
        assert_eq!(parse_mantissa("0", i8::MIN), Ok(0));
        assert_eq!(parse_mantissa("0.001", -2), Err(DecimalError::Inexact));
        assert_eq!(parse_mantissa("1250", 2), Err(DecimalError::Inexact));
        for empty in ["", "-", ".", ".5", "5.", "-.5"] {
            assert_eq!(parse_mantissa(empty, -2), Err(DecimalError::Empty), "{empty:?}");
        }
        for odd in ["+1", "1e5", "1,5", "1.2.3", "--1", " 1", "١", "NaN"] {
            assert_eq!(parse_mantissa(odd, -2), Err(DecimalError::Character), "{odd:?}");
        }
    }

    #[test]
    fn a_decimal_is_the_same_number_at_every_exponent_that_can_hold_it() {
        let at = |text: &str, exponent| Decimal::parse(text)?.mantissa(exponent);
        assert_eq!(at("12.34", -2), Ok(1_234));
        assert_eq!(at("12.3400000000000000000000", -2), Ok(1_234));
        assert_eq!(at("12.34", -3), Ok(12_340));
        assert_eq!(at("1200", 2), Ok(12));
        assert_eq!(at("12.34", -1), Err(DecimalError::Inexact));
        assert_eq!(at("1250", 2), Err(DecimalError::Inexact));
        assert_eq!(at("10", -18), Err(DecimalError::Overflow));
        assert_eq!(at("0", i8::MIN), Ok(0));
        assert_eq!(at("1", i8::MIN), Err(DecimalError::Overflow));
        assert_eq!(at("-0.05", -2), Ok(-5));
        assert_eq!(at("1.", -2), Err(DecimalError::Empty));
        assert_eq!(at(&format!("0.{}1", "0".repeat(200)), -2), Err(DecimalError::Inexact));
    }

    proptest! {
        #[test]
        fn a_decimal_and_its_text_have_the_same_mantissa(mantissa: i64, exponent in -18i8..=0) {
            let text = text(mantissa, exponent);
            prop_assert_eq!(Decimal::parse(&text).unwrap().mantissa(exponent), Ok(mantissa));
        }

        #[test]
        fn what_is_written_parses_back(mantissa: i64, exponent in -18i8..=0) {
            prop_assert_eq!(parse_mantissa(&text(mantissa, exponent), exponent), Ok(mantissa));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", exponent: i8) {
            let _ = parse_mantissa(&text, exponent);
        }
    }
}
