//! A futex: a word that threads of several processes can sleep on until it changes.
//!
//! Not a lock. [`Futex::wait`] may return for no reason and always returns in time, so that callers
//! look again: whoever should ring may be killed before it does (futex(2), `FUTEX_WAIT`).

use std::time::Duration;

use crate::sync::{AtomicU32, Ordering};

/// The word. In shared memory it is nothing but four bytes.
#[derive(Debug)]
#[cfg_attr(not(loom), repr(transparent))]
pub(crate) struct Futex {
    word: AtomicU32,
    /// What the kernel does, for models: it compares and goes to sleep in one step.
    #[cfg(loom)]
    kernel: (loom::sync::Mutex<()>, loom::sync::Condvar),
}

impl Futex {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            #[cfg(loom)]
            kernel: (loom::sync::Mutex::new(()), loom::sync::Condvar::new()),
        }
    }

    /// The word's value; with it comes what was written before it was counted up to this.
    pub(crate) fn value(&self) -> u32 {
        self.word.load(Ordering::Acquire)
    }

    /// Counts the word up and wakes everybody who sleeps on it.
    pub(crate) fn ring(&self) {
        // Release: a waiter that sees the new value sees which readers were parked.
        self.word.fetch_add(1, Ordering::Release);
        self.wake_all();
    }

    #[cfg(not(loom))]
    fn wake_all(&self) {
        // SAFETY: the word is valid for as long as `self` is; FUTEX_WAKE only uses its address.
        unsafe {
            libc::syscall(libc::SYS_futex, self.word.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
        }
    }

    /// Sleeps until the word is not `value` any more, or for `timeout`.
    #[cfg(not(loom))]
    pub(crate) fn wait(&self, value: u32, timeout: Duration) {
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: word and time-out are valid during the call. Not FUTEX_PRIVATE: the word may be
        // shared. Errors (changed already, interrupted, a page cut away) all mean: look again.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.word.as_ptr(),
                libc::FUTEX_WAIT,
                value,
                &raw const timeout,
            );
        }
    }

    #[cfg(loom)]
    fn wake_all(&self) {
        let _guard = self.kernel.0.lock().unwrap();
        self.kernel.1.notify_all();
    }

    /// In models time does not pass: a wake-up that relies on the time-out is a deadlock there.
    #[cfg(loom)]
    pub(crate) fn wait(&self, value: u32, _timeout: Duration) {
        let guard = self.kernel.0.lock().unwrap();
        if self.word.load(Ordering::Relaxed) == value {
            drop(self.kernel.1.wait(guard).unwrap());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn waiting_ends_with_the_time_or_with_the_ring() {
        let futex = Futex::new();
        let before = Instant::now();
        futex.wait(0, Duration::from_millis(10));
        assert!(before.elapsed() >= Duration::from_millis(9));
        futex.wait(7, Duration::from_secs(60));
        std::thread::scope(|scope| {
            scope.spawn(|| futex.ring());
            while futex.value() == 0 {
                futex.wait(0, Duration::from_secs(60));
            }
        });
    }
}
