//! A ration: so many of something may begin between two turns of the loop, so that ticks do not wait for a crowd of
//! newcomers. The others wait for the next turn.

use std::cell::Cell;

use tokio::sync::Semaphore;

use super::waiting::Waiting;

/// See the module's header.
pub(super) struct Ration {
    per_turn: usize,
    permits: Semaphore,
    waiting: Cell<usize>,
}

impl Ration {
    pub(super) const fn new(per_turn: usize) -> Self {
        Self { per_turn, permits: Semaphore::const_new(per_turn), waiting: Cell::new(0) }
    }

    /// Takes one, now or in a later turn: `wait` is called then, for a loop that sleeps has to turn.
    pub(super) async fn take(&self, wait: impl FnOnce()) {
        if let Ok(permit) = self.permits.try_acquire() {
            return permit.forget();
        }
        let _waiting = Waiting::new(&self.waiting);
        wait();
        // It is never closed.
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }

    /// The next turn has begun.
    pub(super) fn renew(&self) {
        let left = self.permits.available_permits();
        self.permits.add_permits(self.per_turn.saturating_sub(left));
    }

    /// Whether the next turn is waited for.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.get() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_begin_in_a_turn_and_the_others_in_the_next() {
        let ration = Ration::new(2);
        for _ in 0..2 {
            ration.take(|| panic!("it waits")).await;
        }
        assert!(!ration.has_waiting());
        let woken = Cell::new(false);
        let third = ration.take(|| woken.set(true));
        let turn = async {
            assert!(woken.get() && ration.has_waiting());
            ration.renew();
        };
        tokio::join!(third, turn);
        assert!(!ration.has_waiting());
        // Turns in which nobody comes save nothing up.
        for _ in 0..3 {
            ration.renew();
        }
        assert_eq!(ration.permits.available_permits(), 2);
    }
}
