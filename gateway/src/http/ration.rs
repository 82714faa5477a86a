//! A ration: so many of something may begin between two turns of the loop, so that ticks do not wait for a crowd of
//! newcomers. The others wait for the next turn.

use std::cell::Cell;

use tokio::sync::Semaphore;

use super::budget::Waiting;

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

    /// Takes one, or `None` if there is none left this turn.
    pub(super) fn try_take(&self) -> Option<()> {
        self.permits.try_acquire().ok().map(tokio::sync::SemaphorePermit::forget)
    }

    /// Waits for the turn that has one left.
    pub(super) async fn take(&self) {
        let _waiting = Waiting::new(&self.waiting);
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
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.get() > 0
    }
}
