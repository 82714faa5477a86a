//! The keeper: reads again what the authenticator goes by, when it is told to or time has come.
//!
//! SIGHUP has it read the file and everything that it names; what is revoked is looked at every second. After
//! each change shards look at their sessions' badges again. Keys of tokens are for the
//! [key loader](super::key_loader), which may have to wait for somebody; this does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::Authenticator;
use super::revocation::Stamp;
use super::status::{AuthStatus, What};
use crate::fleet::Fleet;

/// How often the revocations are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module's header.
pub struct Keeper {
    authenticator: Arc<Authenticator>,
    status: Arc<AuthStatus>,
    told: Arc<Notify>,
    /// What the file of revocations was when it could not be read: once is enough for the log.
    unread: Option<Stamp>,
}

impl Keeper {
    /// A keeper that reads everything again when it is told to.
    #[must_use]
    pub fn new(
        authenticator: Arc<Authenticator>,
        status: Arc<AuthStatus>,
        told: Arc<Notify>,
    ) -> Self {
        Self { authenticator, status, told, unread: None }
    }

    /// Keeps at it until it is dropped.
    pub async fn keep(mut self, fleet: Arc<Fleet>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (told, authenticator) = (Arc::clone(&self.told), Arc::clone(&self.authenticator));
        loop {
            let has_changed = tokio::select! {
                () = told.notified() => self.read_again(),
                () = authenticator.keys_lost.notified() => true,
                _ = looks.tick() => self.look_at_revocations(),
            };
            if has_changed {
                fleet.review_badges();
            }
        }
    }

    /// Reads the file again; whether it could be.
    fn read_again(&mut self) -> bool {
        let read = self.authenticator.read_again();
        self.status.count(What::File, &read);
        if let Err(error) = &read {
            tracing::error!(%error, "the credentials stay as they were");
            return false;
        }
        self.authenticator.say("credentials read again");
        true
    }

    /// Reads the revocations if they have changed; whether they have.
    fn look_at_revocations(&mut self) -> bool {
        let state = self.authenticator.state();
        let now = state.book.revoked_file.as_deref().and_then(Stamp::of);
        // A file that is being replaced may be gone for a moment, and what it said holds on.
        if now.is_none() || now == state.revoked.stamp || now == self.unread {
            return false;
        }
        self.unread = now;
        let read = self.authenticator.read_revocations();
        self.status.count(What::Revocations, &read);
        match &read {
            Ok(()) => self.authenticator.say("revocations read again"),
            Err(error) => tracing::error!(%error, "the revocations stay as they were"),
        }
        read.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_while_the_gateway_starts_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("auth.toml", "revoked-file = \"revoked\"\n");
        write("revoked", "jti 1\n");
        let authenticator = Authenticator::open(&folder.path().join("auth.toml"), 0).unwrap();
        let authenticator = Arc::new(authenticator);
        // Keys of tokens are waited for between the two.
        write("revoked", "jti 1\nsub alice\n");
        let mut keeper = Keeper::new(Arc::clone(&authenticator), Arc::default(), Arc::default());
        assert!(keeper.look_at_revocations());
        assert_eq!(authenticator.state().revoked.len(), 2);
        assert!(!keeper.look_at_revocations(), "it has not changed since");
        // A bad one is told of once; the good one behind it counts, also if it is the old one again.
        write("revoked", "everybody\n");
        assert!(!keeper.look_at_revocations() && !keeper.look_at_revocations());
        assert_eq!(authenticator.state().revoked.len(), 2);
        write("revoked", "key desk\n");
        assert!(keeper.look_at_revocations());
        assert_eq!(authenticator.state().revoked.len(), 1);
        std::fs::remove_file(folder.path().join("revoked")).unwrap();
        assert!(!keeper.look_at_revocations());
        assert_eq!(authenticator.state().revoked.len(), 1, "what it said holds on");
    }
}
