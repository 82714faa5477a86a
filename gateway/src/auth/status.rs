//! How often what credentials go by was read again, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the module's header.
#[derive(Debug, Default)]
pub struct AuthStatus {
    reloads: Outcomes,
    keys: Outcomes,
    revocations: Outcomes,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    File,
    Keys,
    Revocations,
}

#[derive(Debug, Default)]
struct Outcomes {
    good: AtomicU64,
    bad: AtomicU64,
}

/// A copy of it: how often something was read, and how often it could not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthView {
    /// The file of `auth`, again.
    pub reloads: (u64, u64),
    /// The keys of tokens.
    pub keys: (u64, u64),
    /// The revocations, again.
    pub revocations: (u64, u64),
}

impl AuthStatus {
    pub(super) fn count<E>(&self, what: What, result: &Result<(), E>) {
        let outcomes = match what {
            What::File => &self.reloads,
            What::Keys => &self.keys,
            What::Revocations => &self.revocations,
        };
        // Relaxed: a number to look at.
        let counter = if result.is_ok() { &outcomes.good } else { &outcomes.bad };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// As of now.
    #[must_use]
    pub fn view(&self) -> AuthView {
        let read = |outcomes: &Outcomes| {
            (outcomes.good.load(Ordering::Relaxed), outcomes.bad.load(Ordering::Relaxed))
        };
        AuthView {
            reloads: read(&self.reloads),
            keys: read(&self.keys),
            revocations: read(&self.revocations),
        }
    }
}
