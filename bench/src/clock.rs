//! Clocks: the wall clock, which ticks' time stamps and receipts share, and those of CPU time.
//!
//! Intervals of the generator's own business (ramp, progress, deadlines) are measured with `Instant` instead.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// `CLOCK_REALTIME`, ns since 1970.
pub(crate) fn realtime_ns() -> u64 {
    ns(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// What this thread has run for, ns; 0 where the kernel does not say.
pub(crate) fn thread_cpu_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| ns(time.into()))
}

/// What all threads of a process have run for, those that ended too, ns. None where the process is gone.
pub(crate) fn process_cpu_ns(pid: u32) -> Option<u64> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into().ok()?)).ok()?;
    clock_gettime(clock).ok().map(|time| ns(time.into()))
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_remembers_threads_that_ended() {
        let before = process_cpu_ns(std::process::id()).unwrap();
        let burnt = std::thread::spawn(|| {
            while thread_cpu_ns() < 20_000_000 {
                std::hint::spin_loop();
            }
            thread_cpu_ns()
        });
        let burnt = burnt.join().unwrap();
        let used = process_cpu_ns(std::process::id()).unwrap() - before;
        assert!(used >= burnt, "{used} {burnt}");
    }
}
