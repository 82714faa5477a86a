//! The pulse: quotes of instruments `S0`, `S1`, …, evenly paced, for measurements.
//!
//! Tick `n` belongs to instrument `n mod symbols` and is due `n / rate` seconds after the start; its
//! `ts_event_ns` is that moment by the realtime clock, however late it is published. A receiver on
//! the same machine therefore measures the whole delay, waiting included (open loop, no coordinated
//! omission). Prices only count up, so that a receiver can also check order. No randomness, no state
//! per instrument.

use wire::{Channel, Instrument, Quote, Tick};

use crate::feed::{Feed, Next};

/// The most instruments of a pulse: `S999999` is still a short symbol, and a million recovery images
/// are the most that a ring's file of a few GiB holds.
pub const SYMBOLS_MAX: u32 = 1_000_000;

/// The most ticks a second that can be asked for; a tick a nanosecond would be the clock's limit.
pub const RATE_MAX: f64 = 100e6;

/// Two decimals in prices, as the mantissas below are meant.
/// 100.00, the first bid.
const FIRST_BID: i64 = 10_000;
/// Bids run through this many steps of 0.01 and start again: prices stay in four digits.
const PRICE_STEPS: u64 = 800_000;

/// Evenly paced quotes.
#[derive(Debug)]
pub struct Pulse {
    instruments: Vec<Instrument>,
    /// Ticks a second.
    rate: f64,
    /// Number of the next tick.
    n: u64,
    /// The instrument of the next tick: `n mod symbols`, without the division.
    instrument: u32,
    start_ns: u64,
}

/// Why there is no such pulse.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PulseError {
    /// None, or too many.
    #[error("a pulse has 1 to {SYMBOLS_MAX} symbols, not {0}")]
    Symbols(u32),
    /// Not a positive number, or too large.
    #[error("a pulse has a rate above 0 and up to {RATE_MAX} ticks a second, not {0}")]
    Rate(f64),
}

impl Pulse {
    /// A pulse of `symbols` instruments at `rate` ticks a second in total.
    ///
    /// # Errors
    /// If either is outside its range.
    pub fn new(symbols: u32, rate: f64) -> Result<Self, PulseError> {
        if !(1..=SYMBOLS_MAX).contains(&symbols) {
            return Err(PulseError::Symbols(symbols));
        }
        if !(rate > 0.0 && rate <= RATE_MAX) {
            return Err(PulseError::Rate(rate));
        }
        let channels = Channel::Quote.bit();
        let instruments = (0..symbols).map(|id| Instrument::numbered(id, channels)).collect();
        Ok(Self { instruments, rate, n: 0, instrument: 0, start_ns: 0 })
    }

    /// When tick `n` is due, ns after the start. From `n`, not from a sum, so no error accumulates:
    /// an f64 is exact to the ns for 104 days.
    fn due_ns(&self, n: u64) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ticks")]
        let due = n as f64 * (1e9 / self.rate);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and below 2^63 for centuries"
        )]
        let due = due as u64;
        due
    }
}

impl Feed for Pulse {
    fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        let due_ns = self.due_ns(self.n);
        let step = (self.n % PRICE_STEPS).cast_signed();
        let quote = Quote {
            bid_price: FIRST_BID + step,
            bid_quantity: 1_000 + step % 1_000,
            ask_price: FIRST_BID + step + 1,
            ask_quantity: 2_000 - step % 1_000,
            update_id: self.n + 1,
        };
        out.push(Tick::from_quote(self.instrument, self.start_ns + due_ns, &quote));
        self.n += 1;
        self.instrument += 1;
        if self.instrument as usize == self.instruments.len() {
            self.instrument = 0;
        }
        Next::At(due_ns)
    }

    fn start(&mut self, realtime_ns: u64) {
        self.start_ns = realtime_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_even_and_carry_the_moment_they_were_due() {
        let mut pulse = Pulse::new(3, 8.0).unwrap();
        pulse.start(1_000);
        let mut ticks = Vec::new();
        for n in 0..7u64 {
            let next = pulse.next(&mut ticks);
            assert!(matches!(next, Next::At(due) if due == n * 125_000_000), "{next:?}");
        }
        let instruments: Vec<u32> = ticks.iter().map(|t| t.instrument).collect();
        assert_eq!(instruments, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(ticks[6].ts_event_ns, 1_000 + 6 * 125_000_000);
        assert!(ticks.iter().all(|t| t.quote().bid_price < t.quote().ask_price));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_keeps_its_average() {
        let pulse = Pulse::new(1, 3e6).unwrap();
        assert_eq!(pulse.due_ns(3_000_000 * 3_600), 3_600_000_000_000);
        assert_eq!(pulse.due_ns(1), 333);
    }

    #[test]
    fn senseless_pulses_are_refused() {
        assert_eq!(Pulse::new(0, 1.0).unwrap_err(), PulseError::Symbols(0));
        assert_eq!(Pulse::new(1, 0.0).unwrap_err(), PulseError::Rate(0.0));
        assert!(matches!(Pulse::new(1, f64::NAN), Err(PulseError::Rate(_))));
        assert!(matches!(Pulse::new(1, f64::INFINITY), Err(PulseError::Rate(_))));
    }
}
