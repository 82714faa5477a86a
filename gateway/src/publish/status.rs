//! What the publishing thread does, for metrics.

use std::sync::{Mutex, PoisonError};

use bus::PublisherCounters;

/// A look at the publishing thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishView {
    /// Whether its connection to the bus stands.
    pub is_connected: bool,
    /// Ticks that wait for the bus.
    pub held_ticks: usize,
    /// What was done so far.
    pub counters: PublisherCounters,
}

/// Where the thread writes down what it does; looked at by scrapes.
#[derive(Debug, Default)]
pub struct PublishStatus(Mutex<PublishView>);

impl PublishStatus {
    /// The present state.
    #[must_use]
    pub fn view(&self) -> PublishView {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, view: PublishView) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}
