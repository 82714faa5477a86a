//! The wall clock, the one that ticks' time stamps and receipts share. Intervals of the generator's
//! own business (ramp, progress, deadlines) are measured with `Instant` instead.

use std::time::{SystemTime, UNIX_EPOCH};

/// `CLOCK_REALTIME`, ns since 1970.
pub(crate) fn realtime_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
