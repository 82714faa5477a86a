//! The key loader: keeps the public keys of tokens fresh, from a file or a URL.
//!
//! At intervals; when the file of `auth` was read again; and when a token names a key that is not known, though
//! not more often than some seconds apart. While the issuer does not answer, the keys that are there stay.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::Authenticator;
use super::status::{AuthStatus, What};

/// Between two loads for keys that are not known: whoever makes up names of keys must not have the gateway
/// ask for them all the time.
const UNKNOWN_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// After a load that failed.
const FAILED_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How long the start may wait for the first keys. Without them it goes on: their issuer may be late.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// See the module's header.
pub struct KeyLoader {
    authenticator: Arc<Authenticator>,
    status: Arc<AuthStatus>,
    loaded: Instant,
    /// `None`: nothing names a place to load them from.
    next: Option<Instant>,
}

impl KeyLoader {
    /// A loader that has loaded nothing yet.
    #[must_use]
    pub fn new(authenticator: Arc<Authenticator>, status: Arc<AuthStatus>) -> Self {
        let now = Instant::now();
        Self { authenticator, status, loaded: now, next: Some(now) }
    }

    /// Loads the keys for the first time, within some patience.
    pub async fn begin(&mut self) {
        if timeout(FIRST_PATIENCE, self.load()).await.is_err() {
            tracing::error!("nobody answers for the keys of tokens; they are asked for again");
        }
        self.authenticator.say("credentials read");
    }

    /// Keeps at it until it is dropped.
    pub async fn keep(mut self) {
        let authenticator = Arc::clone(&self.authenticator);
        loop {
            let never = Instant::now() + Duration::from_hours(24);
            tokio::select! {
                () = sleep_until(self.next.unwrap_or(never)) => self.load().await,
                () = authenticator.book_replaced.notified() => self.load().await,
                () = authenticator.key_wanted.notified() => {
                    let soon = self.loaded + UNKNOWN_AGAIN_AFTER;
                    self.next = self.next.map(|at| at.min(soon));
                }
            }
        }
    }

    async fn load(&mut self) {
        let state = self.authenticator.state();
        let rules = state.book.tokens.as_ref();
        let Some((rules, source)) = rules.and_then(|it| Some((it, it.source.as_ref()?))) else {
            self.next = None;
            return;
        };
        // Also if this is given up.
        self.next = Some(Instant::now() + FAILED_AGAIN_AFTER);
        let loaded = source.load(rules.algorithms()).await;
        self.loaded = Instant::now();
        let loaded = loaded.map(|keys| {
            self.next = Some(self.loaded + rules.refresh);
            self.authenticator.use_keys(keys, &state);
        });
        self.status.count(What::Keys, &loaded);
        if let Err(error) = loaded {
            self.next = Some(self.loaded + FAILED_AGAIN_AFTER.min(rules.refresh));
            tracing::error!(%error, "the keys of tokens stay as they were");
        }
    }
}
