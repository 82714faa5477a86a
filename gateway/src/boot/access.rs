//! Who may connect: what the configuration says of it, opened, handed to the shards, and kept fresh.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::auth::{AuthError, AuthStatus, Authenticator, Keeper, KeyLoader, QueryToken};
use crate::config::{Anonymous, Config, Switch};
use crate::fleet::Fleet;
use crate::shard;

/// An authenticator whose files have been read.
pub(super) struct Opened {
    authenticator: Arc<Authenticator>,
}

/// What keeps it fresh, on boot's runtime.
#[derive(Default)]
pub(super) struct Doorkeeping {
    pub(super) status: Arc<AuthStatus>,
    /// To have everything read again.
    pub(super) reload: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
}

/// Reads the file of `auth`; `None`: there is none.
pub(super) fn open(config: &Config) -> Result<Option<Opened>, AuthError> {
    // What is not quite so old is not so old.
    let delay_min = u32::try_from(age(config).as_secs() / 60).unwrap_or(u32::MAX);
    let authenticator = config.auth.as_deref().map(|file| Authenticator::open(file, delay_min));
    Ok(authenticator.transpose()?.map(|it| Opened { authenticator: Arc::new(it) }))
}

/// How old data is by the time it gets out of the gateway.
pub(super) const fn age(config: &Config) -> Duration {
    config.delay.saturating_add(config.source_age)
}

/// What shards are told of it.
pub(super) fn of_shards(opened: Option<&Opened>, config: &Config) -> shard::Access {
    let Some(Opened { authenticator }) = opened else {
        if config.anonymous == Anonymous::Anywhere && !config.listen.ip().is_loopback() {
            tracing::warn!(
                listen = %config.listen,
                "other machines reach this address, and nobody is asked for credentials (anonymous = anywhere)"
            );
        }
        return shard::Access::Open;
    };
    let in_query = match config.auth_query {
        Switch::On => QueryToken::Accepted,
        Switch::Off => QueryToken::Ignored,
    };
    shard::Access::Credentials { authenticator: Arc::clone(authenticator), in_query }
}

impl Opened {
    /// Tells it the shards, before they have sessions to be replaced.
    pub(super) fn meet(&self, fleet: &Fleet) {
        self.authenticator.use_posts(fleet.posts());
    }

    /// Loads the keys of tokens, and keeps everything fresh from now on. To be called in the runtime.
    pub(super) async fn start(self, fleet: &Arc<Fleet>) -> Doorkeeping {
        let Self { authenticator } = self;
        let (status, reload) = (Arc::<AuthStatus>::default(), Arc::<Notify>::default());
        let mut loader = KeyLoader::new(Arc::clone(&authenticator), Arc::clone(&status));
        loader.begin().await;
        let keeper = Keeper::new(authenticator, Arc::clone(&status), Arc::clone(&reload));
        let tasks = vec![tokio::spawn(keeper.keep(Arc::clone(fleet))), tokio::spawn(loader.keep())];
        Doorkeeping { status, reload, tasks }
    }
}

impl Doorkeeping {
    /// Ends it: nothing more is read.
    pub(super) fn stop(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
