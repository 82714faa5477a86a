//! How numbers are written: decimals as text with eight digits at least, times in milliseconds.

use std::fmt;

use wire::Instrument;
use wire::decimal::write_decimal;
use wire::exchange::json::write_padded;

/// A decimal as the exchange writes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padded(pub(super) i64, pub(super) i8);

impl fmt::Display for Padded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::with_capacity(32);
        write_padded(&mut digits, self.0, self.1);
        // Digits, a point and a sign.
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

/// A percentage of so many thousandths, with three decimals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percent(pub(super) i64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::with_capacity(16);
        write_decimal(&mut digits, self.0, -3);
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

/// A price of the instrument.
pub(super) const fn price(mantissa: i64, instrument: &Instrument) -> Padded {
    Padded(mantissa, instrument.price_exponent)
}

/// A quantity of the instrument.
pub(super) const fn quantity(mantissa: i64, instrument: &Instrument) -> Padded {
    Padded(mantissa, instrument.quantity_exponent)
}

/// Price times quantity with eight decimals, rounded down.
pub(super) fn value(price: i64, quantity: i64, instrument: &Instrument) -> Padded {
    const PLACES: i32 = 8;
    let exact = i128::from(price) * i128::from(quantity);
    let exponent =
        i32::from(instrument.price_exponent) + i32::from(instrument.quantity_exponent) + PLACES;
    let power = 10i128.saturating_pow(exponent.unsigned_abs());
    let value = if exponent >= 0 { exact.saturating_mul(power) } else { exact / power };
    Padded(i64::try_from(value).unwrap_or(i64::MAX), -8)
}

pub(super) const fn milliseconds(time_ns: u64) -> u64 {
    time_ns / 1_000_000
}

/// `[…,…]` of those items that `write` has something to say about.
pub(super) fn array<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    write: impl Fn(&mut Vec<u8>, T) -> bool,
) {
    out.push(b'[');
    let mut is_first = true;
    for item in items {
        let before = out.len();
        if !is_first {
            out.push(b',');
        }
        if write(out, item) {
            is_first = false;
        } else {
            out.truncate(before);
        }
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_exact_and_padded() {
        let instrument = |price_exponent, quantity_exponent| Instrument {
            id: 0,
            symbol: wire::Symbol::new("A").unwrap(),
            base_len: 0,
            price_exponent,
            quantity_exponent,
            tick_size: 1,
            lot_size: 1,
            channels: 0,
        };
        assert_eq!(value(6_543_210, 1_000, &instrument(-2, -5)).to_string(), "654.32100000");
        let eights = value(6_543_210_000_000, 1_000_000, &instrument(-8, -8));
        assert_eq!(eights.to_string(), "654.32100000");
        assert_eq!(value(3, 2, &instrument(0, 0)).to_string(), "6.00000000");
        assert_eq!(price(5, &instrument(-2, 0)).to_string(), "0.05000000");
    }

    #[test]
    fn an_array_leaves_out_what_has_nothing_to_say() {
        let mut out = Vec::new();
        array(&mut out, [1, 2, 3].into_iter(), |out, n| {
            out.extend_from_slice(n.to_string().as_bytes());
            n != 1
        });
        assert_eq!(out, b"[2,3]");
    }
}
