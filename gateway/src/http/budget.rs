//! What requests may cost the shard's thread between two turns of its loop.
//!
//! A signature takes from 20 to 100 µs to verify, right or wrong, and a list of ten thousand instruments
//! milliseconds to write: whoever sends such requests as fast as they are answered must not be served instead
//! of ticks. Requests are worked on until their time of this turn is used up; the others wait for the next, in
//! the order in which they came. Not a limit by client: addresses have theirs.

use std::cell::Cell;

use tokio::sync::Semaphore;

use super::waiting::Waiting;
use crate::clock::monotonic_ns;
use crate::shard::limits::REQUESTS_NS_PER_TURN;

/// See the module's header.
#[derive(Debug)]
pub(super) struct Budget {
    /// One permit: to work. Who uses the time up keeps it until the next turn.
    turn: Semaphore,
    is_kept: Cell<bool>,
    spent_ns: Cell<u64>,
    waiting: Cell<usize>,
}

impl Budget {
    pub(super) const fn new() -> Self {
        Self {
            turn: Semaphore::const_new(1),
            is_kept: Cell::new(false),
            spent_ns: Cell::new(0),
            waiting: Cell::new(0),
        }
    }

    /// Does the work of a request, now or in a later turn: `wait` is called then, for a loop that sleeps has to
    /// turn.
    pub(super) async fn work<T>(&self, wait: impl FnOnce(), work: impl FnOnce() -> T) -> T {
        let permit = match self.turn.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let _waiting = Waiting::new(&self.waiting);
                wait();
                // It is never closed.
                self.turn.acquire().await.ok()
            }
        };
        let begun_ns = monotonic_ns();
        let done = work();
        let spent_ns = self.spent_ns.get().saturating_add(monotonic_ns() - begun_ns);
        self.spent_ns.set(spent_ns);
        if let Some(permit) = permit
            && spent_ns >= REQUESTS_NS_PER_TURN
        {
            permit.forget();
            self.is_kept.set(true);
        }
        done
    }

    /// A turn of the loop is over: requests have their time again.
    pub(super) fn renew(&self) {
        self.spent_ns.set(0);
        if self.is_kept.replace(false) {
            self.turn.add_permits(1);
        }
    }

    /// Whether requests wait for the next turn.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.get() > 0
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::{Duration, Instant};

    use tokio::task::yield_now;

    use super::*;

    fn dear() {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_nanos(REQUESTS_NS_PER_TURN) {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn who_is_dear_waits_for_the_next_turn_in_order() {
        let (budget, done) = (Budget::new(), RefCell::new(Vec::new()));
        let request = |nth: u32| {
            let (budget, done) = (&budget, &done);
            async move {
                let woken = Cell::new(false);
                let work = || {
                    dear();
                    done.borrow_mut().push(nth);
                };
                budget.work(|| woken.set(true), work).await;
                woken.get()
            }
        };
        let turns = async {
            for turn in 1..=3 {
                for _ in 0..8 {
                    yield_now().await;
                }
                assert_eq!(*done.borrow(), (1..=turn).collect::<Vec<_>>(), "one in each turn");
                assert_eq!(budget.has_waiting(), turn < 3);
                budget.renew();
            }
        };
        let given_up = async {
            let late = tokio::time::timeout(Duration::ZERO, request(9)).await;
            assert!(late.is_err(), "it waits, and is gone before its turn");
        };
        let (first, second, third, (), ()) =
            tokio::join!(request(1), request(2), request(3), given_up, turns);
        assert_eq!((first, second, third), (false, true, true));
        assert!(!budget.has_waiting() && *done.borrow() == [1, 2, 3]);
        // Who finds time left goes on at once.
        for _ in 0..10 {
            budget.renew();
            assert!(!budget.work(|| panic!("it waits"), || budget.has_waiting()).await);
        }
    }
}
