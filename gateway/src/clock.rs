//! The two clocks, and the only place that reads them for the shell.
//!
//! Monotonic time decides (time-outs, throttles, the hub's `now_ns`); real time is what is written
//! into messages and compared with other processes. They are never compared with each other.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where monotonic time starts: the first use in this process. An arbitrary point, but the same one
/// for every shard, so that their times can be compared.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Monotonic time, ns since the process's first look at the clock. Never 0, so that 0 can mean
/// "never" in a field.
#[must_use]
pub fn monotonic_ns() -> u64 {
    saturating_ns(START.elapsed()).saturating_add(1)
}

/// Real time, ns since the Unix epoch; 0 if the clock stands before it.
#[must_use]
pub fn realtime_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, saturating_ns)
}

/// A duration as ns; durations over 584 years are cut there.
#[must_use]
pub fn saturating_ns(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_is_never_zero_and_never_goes_back() {
        let first = monotonic_ns();
        let second = monotonic_ns();
        assert!(first > 0);
        assert!(second >= first);
    }
}
