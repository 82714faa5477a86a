//! The keeper: reads again what the authenticator goes by, when it is told to or time has come.
//!
//! SIGHUP has it read the file and everything that it names; what is revoked is looked at every second. After
//! each change shards look at their sessions' badges again. Keys of tokens are for the
//! [key loader](super::key_loader), which may have to wait for somebody; this does not.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::Authenticator;
use super::status::{AuthStatus, What};
use crate::fleet::Fleet;

/// How often the revocations are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module's header.
pub struct Keeper {
    authenticator: Arc<Authenticator>,
    status: Arc<AuthStatus>,
    told: Arc<Notify>,
    /// What the file of revocations was when it was read last.
    revocations: Option<Stamp>,
}

/// Enough of a file's attributes to see that it was written or replaced.
type Stamp = (SystemTime, u64, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len(), file.ino()))
}

impl Keeper {
    /// A keeper that reads everything again when it is told to.
    #[must_use]
    pub fn new(
        authenticator: Arc<Authenticator>,
        status: Arc<AuthStatus>,
        told: Arc<Notify>,
    ) -> Self {
        let revocations = stamp_of_revocations(&authenticator);
        Self { authenticator, status, told, revocations }
    }

    /// Keeps at it until it is dropped.
    pub async fn keep(mut self, fleet: Arc<Fleet>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let told = Arc::clone(&self.told);
        loop {
            let has_changed = tokio::select! {
                () = told.notified() => self.read_again(),
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
        self.revocations = stamp_of_revocations(&self.authenticator);
        self.authenticator.say("credentials read again");
        true
    }

    /// Reads the revocations if they have changed; whether they have.
    fn look_at_revocations(&mut self) -> bool {
        let now = stamp_of_revocations(&self.authenticator);
        // A file that is being replaced may be gone for a moment, and what it said holds on.
        if now.is_none() || now == self.revocations {
            return false;
        }
        self.revocations = now;
        let read = self.authenticator.read_revocations();
        self.status.count(What::Revocations, &read);
        match &read {
            Ok(()) => self.authenticator.say("revocations read again"),
            Err(error) => tracing::error!(%error, "the revocations stay as they were"),
        }
        read.is_ok()
    }
}

fn stamp_of_revocations(authenticator: &Authenticator) -> Option<Stamp> {
    authenticator.state().book.revoked_file.as_deref().and_then(stamp)
}
