//! Pauses between attempts: exponential, with full jitter.
//!
//! When a gateway with thousands of clients ends, all of them come back. A uniformly random part of a
//! growing bound spreads them evenly over it, which no fixed pause does (see "Exponential Backoff And
//! Jitter", AWS Architecture Blog, 2015).

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use crate::options::Reconnect;

/// The pauses of one outage.
#[derive(Debug)]
pub struct Backoff {
    policy: Reconnect,
    attempts: u32,
    random: u64,
}

impl Backoff {
    /// The pauses of this policy, from the first.
    #[must_use]
    pub fn new(policy: Reconnect) -> Self {
        // The standard library seeds its hash maps from the system; an odd number is never zero.
        let random = RandomState::new().hash_one(std::process::id()) | 1;
        Self { policy, attempts: 0, random }
    }

    /// The next pause; none when it is time to give up.
    pub fn pause(&mut self) -> Option<Duration> {
        let (min, max, attempts_max) = match self.policy {
            Reconnect::Never => return None,
            Reconnect::WithBackoff { min, max, attempts } => (min, max, attempts),
        };
        if attempts_max.is_some_and(|limit| self.attempts >= limit.get()) {
            return None;
        }
        let bound = min.saturating_mul(1u32 << self.attempts.min(20)).min(max);
        self.attempts = self.attempts.saturating_add(1);
        Some(bound.mul_f64(self.fraction()))
    }

    /// A connection held: the next outage begins anew.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Uniform in [0, 1): the upper 53 bits of xorshift64*.
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let fraction = bits as f64 / (1u64 << 53) as f64;
        fraction
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_jittered() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut longest = [Duration::ZERO; 8];
        let mut sum = Duration::ZERO;
        for _ in 0..500 {
            let attempts = NonZeroU32::new(8);
            let mut backoff = Backoff::new(Reconnect::WithBackoff { min, max, attempts });
            for (attempt, longest) in longest.iter_mut().enumerate() {
                let pause = backoff.pause().unwrap();
                assert!(pause <= max && pause <= min * (1 << attempt));
                *longest = pause.max(*longest);
                sum += if attempt == 7 { pause } else { Duration::ZERO };
            }
            assert_eq!(backoff.pause(), None, "eight attempts are allowed");
            backoff.reset();
            assert!(backoff.pause().unwrap() <= min);
        }
        assert!(longest[0] > min / 2 && longest[7] > max / 2);
        let mean = sum / 500;
        assert!(mean > max * 2 / 5 && mean < max * 3 / 5, "uniform: {mean:?}");
    }

    #[test]
    fn never_is_never() {
        assert_eq!(Backoff::new(Reconnect::Never).pause(), None);
    }
}
