//! Draining: closing all sessions one after another, so that those who come back do not all come at
//! once.

use hub::Hub;
use wire::CloseCode;

use super::limits::DRAIN_STEP;
use crate::clock::saturating_ns;
use crate::session::Sessions;

/// A drain under way.
#[derive(Debug)]
pub(super) struct Draining {
    from: u32,
    /// Sessions closed in each step.
    per_step: usize,
    next_step_ns: u64,
    is_complete: bool,
}

impl Draining {
    /// Closes what is open within `window`.
    pub(super) fn new(window: std::time::Duration, sessions: usize, now_ns: u64) -> Self {
        let steps = (window.as_nanos() / DRAIN_STEP.as_nanos()).max(1);
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        Self {
            from: 0,
            per_step: sessions.div_ceil(steps).max(1),
            next_step_ns: now_ns,
            is_complete: false,
        }
    }

    /// Closes the next ones if it is time.
    pub(super) fn step(&mut self, sessions: &mut Sessions, hub: &mut Hub, now_ns: u64) {
        if self.is_complete || now_ns < self.next_step_ns {
            return;
        }
        self.next_step_ns = now_ns + saturating_ns(DRAIN_STEP);
        let code = CloseCode::Draining;
        match sessions.close_some(self.from, self.per_step, code, hub, now_ns) {
            Some(next) => self.from = next,
            None => self.is_complete = true,
        }
    }

    /// When the next step is due; `None`: all are closed.
    pub(super) const fn next_step_ns(&self) -> Option<u64> {
        if self.is_complete { None } else { Some(self.next_step_ns) }
    }
}
