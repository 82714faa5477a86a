//! The waiter: one thread per process that reads a ring of another process. It sleeps on the ring's
//! futex and wakes this process's parked readers.
//!
//! Its sleeps end after [`WAIT_MAX`] at the latest, since a feed may be killed between publishing and
//! ringing; then it wakes readers if the head or the state has changed. It reads no records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::ring::{Shared, State};

/// How late a reader learns of records whose publisher died before it rang. Fifty look-ups a second
/// are not measurable; the delay is a small part of the silence that makes a feed count as lost.
const WAIT_MAX: Duration = Duration::from_millis(20);

/// Stops the waiter when dropped.
#[derive(Debug)]
pub struct WaiterHandle {
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    /// None: the ring is this process's own, whose publisher wakes by itself.
    thread: Option<JoinHandle<()>>,
}

/// What the waiter compares to know whether there is news.
#[derive(PartialEq, Eq)]
struct Seen {
    rung: u32,
    head: u64,
    state: State,
}

impl WaiterHandle {
    pub(crate) fn spawn(shared: Arc<Shared>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = if shared.is_mapped() {
            let (shared, stop) = (Arc::clone(&shared), Arc::clone(&stop));
            Some(Builder::new().name("ring-waiter".into()).spawn(move || run(&shared, &stop))?)
        } else {
            None
        };
        Ok(Self { shared, stop, thread })
    }
}

impl Drop for WaiterHandle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Other processes' waiters look up for nothing; that is cheaper than to wait.
            self.shared.header().bell.0.rung.ring();
            // It has no reason to panic; if it did, the panic was reported there.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, stop: &AtomicBool) {
    let mut seen = Seen::now(shared);
    // Somebody may have parked, and been rung for, before this thread took its first look.
    shared.parking.wake_all();
    while !stop.load(Ordering::Acquire) {
        shared.header().bell.0.rung.wait(seen.rung, WAIT_MAX);
        let now = Seen::now(shared);
        if now != seen {
            shared.parking.wake_all();
            seen = now;
        }
    }
}

impl Seen {
    fn now(shared: &Shared) -> Self {
        // The word first: what is published after this look is followed by another ring.
        let rung = shared.header().bell.0.rung.value();
        Self { rung, head: shared.head(), state: shared.state() }
    }
}
