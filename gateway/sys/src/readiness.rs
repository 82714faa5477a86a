//! Waiting in a tokio task until a poll set has something to report.

use std::fmt::Debug;
use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::event_fd::EventFd;
use crate::poll_set::PollSet;

/// What can be awaited: types of this crate that open their descriptor when they are made and keep it,
/// unchanged, until they are dropped. That is what makes [`Readiness`] sound, so the trait is sealed.
pub trait Watchable: AsRawFd + Debug + sealed::Sealed {}

impl Watchable for PollSet {}
impl Watchable for EventFd {}

mod sealed {
    /// Implemented here only.
    pub trait Sealed {}
    impl Sealed for crate::PollSet {}
    impl Sealed for crate::EventFd {}
}

/// Something watchable, registered with the current tokio runtime.
#[derive(Debug)]
pub struct Readiness<T: Watchable> {
    registered: AsyncFd<T>,
}

impl<T: Watchable> Readiness<T> {
    /// Registers `inner` with the runtime that the caller runs in.
    ///
    /// # Errors
    /// If the kernel refuses.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new(inner: T) -> io::Result<Self> {
        // SAFETY: `T` is one of this crate's types, which open a descriptor when made, always name
        // that same one, and close it only when dropped; `AsyncFd` owns the value from here on, and
        // nobody takes it out.
        let registered = unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) };
        Ok(Self { registered: registered.map_err(io::Error::from)? })
    }

    /// Waits until there is something to report, and forgets that there was: the caller takes the
    /// reports after this returns, so one that arrives in between ends the next wait.
    ///
    /// # Errors
    /// If the runtime is shutting down.
    pub async fn wait(&self) -> io::Result<()> {
        self.registered.readable().await?.clear_ready();
        Ok(())
    }

    /// What is watched.
    pub fn inner(&mut self) -> &mut T {
        self.registered.get_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Token;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_signal_from_another_thread_ends_the_wait_on_the_poll_set() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let event = Arc::new(EventFd::new().unwrap());
            let set = PollSet::new(16).unwrap();
            set.add(&*event, Token { slot: 1, generation: 0 }).unwrap();
            let mut readiness = Readiness::new(set).unwrap();
            let mut ready = Vec::new();
            // An eventfd is born writable.
            readiness.wait().await.unwrap();
            readiness.inner().poll(&mut ready, Duration::ZERO).unwrap();
            for _ in 0..100 {
                let other = Arc::clone(&event);
                let thread = std::thread::spawn(move || other.signal());
                ready.clear();
                while ready.is_empty() {
                    tokio::time::timeout(Duration::from_secs(60), readiness.wait())
                        .await
                        .expect("the signal must end the wait")
                        .unwrap();
                    readiness.inner().poll(&mut ready, Duration::ZERO).unwrap();
                }
                thread.join().unwrap();
            }
        });
    }
}
