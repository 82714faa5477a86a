//! How long to wait before connecting again: exponential, with full jitter.

use std::time::Duration;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

/// The wait before this attempt (from 1), for a random `draw` of 0 to 1: any part of a bound that doubles
/// with each attempt. Drawing from the whole of it, not around it, spreads thousands of nodes best that all
/// lost the bus in the same moment.
#[must_use]
pub fn backoff(attempt: usize, draw: f64) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let bound = BACKOFF_MIN.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX));
    bound.min(BACKOFF_MAX).mul_f64(draw.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_bound() {
        assert_eq!(backoff(1, 1.0), BACKOFF_MIN);
        assert_eq!(backoff(3, 1.0), BACKOFF_MIN * 4);
        assert_eq!(backoff(3, 0.5), BACKOFF_MIN * 2);
        assert_eq!(backoff(3, 0.0), Duration::ZERO);
        assert_eq!(backoff(40, 1.0), BACKOFF_MAX);
        assert_eq!(backoff(usize::MAX, 1.0), BACKOFF_MAX);
    }
}
