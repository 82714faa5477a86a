//! The waiter: one thread per process that reads a ring of another process. It sleeps on the ring's
//! futex and wakes this process's parked readers.
//!
//! Its sleeps end after [`WAIT_MAX`] at the latest, since a feed may be killed between publishing and
//! ringing; then it wakes readers if the head or the state has changed. It reads no records.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::park::Parking;
use crate::ring::{Shared, State};
use crate::sync::{AtomicBool, Ordering};

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
            Some(
                Builder::new()
                    .name("ring-waiter".into())
                    .spawn(move || run(&shared, &shared.parking, &stop))?,
            )
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

fn run(shared: &Shared, parking: &Parking, stop: &AtomicBool) {
    let mut seen = Seen::now(shared);
    // Somebody may have parked, and been rung for, before this thread took its first look.
    parking.wake_all();
    while !stop.load(Ordering::Acquire) {
        shared.header().bell.0.rung.wait(seen.rung, WAIT_MAX);
        let now = Seen::now(shared);
        if now != seen {
            parking.wake_all();
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

#[cfg(all(test, loom))]
mod tests {
    use loom::sync::Notify;
    use loom::thread;

    use super::*;
    use crate::park::{ParkSlot, Parked, Wake};
    use crate::reader::{Reader, Start};
    use crate::{Publisher, Shape};

    struct Bell(Notify);

    impl Wake for Bell {
        fn wake(&self) {
            self.0.notify();
        }
    }

    /// Two processes: the sleeper's list is not the publisher's, only the memory is shared. In models
    /// time-outs never come, so the futex alone must do.
    #[test]
    fn a_reader_in_another_process_is_woken_by_its_waiter() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(Some(2));
        builder.check(|| {
            let shape = Shape { capacity: 2, images: 0, image_words: 0 };
            let shared = Arc::new(Shared::heap(shape, 1));
            let elsewhere = Arc::new(Parking::default());
            let stop = Arc::new(AtomicBool::new(false));
            let bell = Arc::new(Bell(Notify::new()));
            let slot = ParkSlot::new(Arc::clone(&shared), &elsewhere, Arc::clone(&bell) as _);

            let waiting = {
                let (shared, elsewhere, stop) =
                    (Arc::clone(&shared), Arc::clone(&elsewhere), Arc::clone(&stop));
                thread::spawn(move || run(&shared, &elsewhere, &stop))
            };
            let reading = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let mut reader = Reader::new(shared, Start::At(0));
                    let mut out = Vec::new();
                    while reader.read(&mut out, 1).records == 0 {
                        if slot.prepare(&reader) == Parked::Parked {
                            bell.0.wait();
                            slot.unpark();
                        }
                    }
                })
            };
            let mut publisher = Publisher::new(Arc::clone(&shared));
            publisher.publish(&[1; 15]);
            publisher.wake();
            reading.join().unwrap();
            stop.store(true, Ordering::Release);
            shared.header().bell.0.rung.ring();
            waiting.join().unwrap();
        });
    }
}
