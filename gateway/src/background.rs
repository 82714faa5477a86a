//! A thread in the background that a flag ends: the source's and the history's.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

/// A thread at work. One that is dropped goes on.
#[must_use]
pub struct Background {
    name: &'static str,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Background {
    /// Starts a thread of this name that does `work`, which returns soon after the flag that it is given is set.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start(
        name: &'static str,
        work: impl FnOnce(&AtomicBool) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = Builder::new().name(name.to_owned()).spawn(move || work(&told))?;
        Ok(Self { name, stop, thread })
    }

    /// Sets the flag and waits for the thread.
    pub fn stop(self) {
        // Relaxed: the flag is all that is told.
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!(thread = self.name, "a thread panicked");
        }
    }
}
