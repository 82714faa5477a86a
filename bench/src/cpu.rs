//! The generator's own use of CPU time: without it a figure says nothing about the server.
//!
//! `getrusage` gives what this process used; `/proc/self/schedstat` also how long it stood ready to
//! run without a core, which on a shared core is time that looks like the server's latency.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// What the process used, ns. A reading, or the difference of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CpuUse {
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
    /// Ready to run, but another process had the core. 0 where the kernel does not say.
    pub(crate) waiting_ns: u64,
}

impl CpuUse {
    pub(crate) fn now() -> Self {
        // It cannot fail for the own process; a zero reading would show as nonsense, not as an error.
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        Self {
            user_ns: usage.map_or(0, |usage| ns(usage.user_time())),
            system_ns: usage.map_or(0, |usage| ns(usage.system_time())),
            waiting_ns: waiting_ns().unwrap_or(0),
        }
    }

    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            user_ns: self.user_ns.saturating_sub(earlier.user_ns),
            system_ns: self.system_ns.saturating_sub(earlier.system_ns),
            waiting_ns: self.waiting_ns.saturating_sub(earlier.waiting_ns),
        }
    }

    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            user_ns: self.user_ns + other.user_ns,
            system_ns: self.system_ns + other.system_ns,
            waiting_ns: self.waiting_ns + other.waiting_ns,
        }
    }

    pub(crate) const fn used_ns(self) -> u64 {
        self.user_ns + self.system_ns
    }
}

fn ns(time: TimeVal) -> u64 {
    let us = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_usec());
    u64::try_from(us).unwrap_or(0) * 1_000
}

/// The second field of `schedstat`: time spent waiting on a run queue, by the main thread, which is
/// the only one that a worker has.
fn waiting_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

/// Binds this process to these cores.
pub(crate) fn pin(cores: &[usize]) -> Result<(), nix::Error> {
    let mut set = CpuSet::new();
    cores.iter().try_for_each(|core| set.set(*core))?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_cpu_time() {
        let before = CpuUse::now();
        let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
        // Shared machines may take most of the time away; some must be left.
        while CpuUse::now().since(before).used_ns() < 1_000_000 {
            assert!(std::time::Instant::now() < until, "a minute's work does not show");
        }
    }
}
