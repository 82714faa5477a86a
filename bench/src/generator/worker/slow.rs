//! Slow links: connections that read so many bytes a second and no more.
//!
//! A real link delivers a little all the time; here each connection may read a twentieth of a second's
//! bytes twenty times a second, which the kernel's buffers cannot tell from it.

use std::time::{Duration, Instant};

use crate::generator::connection::{Connection, Phase, Reading};
use crate::generator::plan::Slow;

const GRANT_EVERY: Duration = Duration::from_millis(50);

/// Grants that may be saved up: what a link carries it cannot carry later.
const SAVED_MAX: i64 = 2;

/// Grants reading to slow connections in turn.
pub(super) struct SlowLinks {
    grant: i64,
    next_at: Instant,
}

impl SlowLinks {
    pub(super) fn new(slow: Slow) -> Self {
        let grants_per_s = 1_000 / u64::try_from(GRANT_EVERY.as_millis()).unwrap_or(1);
        let grant = i64::try_from(slow.bytes_per_s / grants_per_s).unwrap_or(i64::MAX).max(1);
        Self { grant, next_at: Instant::now() }
    }

    /// When the next grant is due.
    pub(super) const fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Whether a grant is due; the caller then gives it to each slow connection.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if now < self.next_at {
            return false;
        }
        self.next_at = (self.next_at + GRANT_EVERY).max(now);
        true
    }

    /// Lets an open connection read on.
    pub(super) fn grant(&self, connection: &mut Connection) {
        if connection.phase() != Phase::Open {
            return;
        }
        let before = match connection.reading {
            Reading::Metered { allowance } => allowance,
            Reading::On | Reading::Stalled => 0,
        };
        let allowance = before.saturating_add(self.grant).min(SAVED_MAX.saturating_mul(self.grant));
        connection.reading = Reading::Metered { allowance };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_twenty_grants() {
        let slow = Slow { connections: 1, bytes_per_s: 4_000, receive_buffer: None };
        let mut links = SlowLinks::new(slow);
        assert_eq!(links.grant, 200);
        let start = links.next_at();
        let due = (0..1_000).filter(|ms| links.is_due(start + Duration::from_millis(*ms))).count();
        assert_eq!(due, 20);
    }
}
