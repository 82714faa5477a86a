//! The authenticator: credentials in, badges out. One for the process, asked by every shard.
//!
//! It is asked when somebody connects, shows another credential or asks over HTTP; never for a tick. What it
//! reads (the file, the keys of tokens, what is revoked) is replaced as a whole while shards go on with what
//! they have looked up. A bad file leaves the old one in use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use wire::command::TOKEN_BYTES_MAX;

use super::badge::{Badge, Origin, User};
use super::error::AuthError;
use super::file::Rulebook;
use super::jwks::KeySet;
use super::key::KeyHash;
use super::registry::Registry;
use super::rejected::Rejected;
use super::revocation::Revocations;
use super::time::now_s;
use super::token::{Accepted, RoleClaim, Warrant};
use crate::admission::Rates;
use crate::shard::Post;

/// See the module's header.
pub struct Authenticator {
    path: PathBuf,
    /// By how much this gateway's data is delayed, in whole minutes.
    delay_min: u32,
    state: RwLock<Arc<State>>,
    /// Who is connected as whom.
    pub(crate) registry: Registry,
    /// Who asked how often over plain HTTP.
    requests: Rates<User>,
    /// A token named a key that is not known.
    pub(super) key_wanted: Notify,
    /// The file was read again, and may name other keys.
    pub(super) book_replaced: Notify,
    /// Keys of tokens are not there any more that were.
    pub(super) keys_lost: Notify,
}

/// Everything that was read, at one time.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) book: Arc<Rulebook>,
    pub(super) keys: Arc<KeySet>,
    pub(super) revoked: Arc<Revocations>,
}

/// What a badge is worth after something was read again.
#[derive(Debug)]
pub(crate) enum Review {
    /// As much as before.
    Same,
    /// Something else from now on.
    Changed(Badge),
    /// Nothing.
    Void(Rejected),
}

impl Authenticator {
    /// Reads the file, for a gateway whose data is delayed by so many minutes. Keys of tokens that are at a
    /// URL are fetched later.
    ///
    /// # Errors
    /// If the file, or one that it names, cannot be used.
    pub fn open(path: &Path, delay_min: u32) -> Result<Self, AuthError> {
        let book = Rulebook::read(path)?;
        let revoked = revocations(&book)?;
        let state =
            State { book: Arc::new(book), keys: Arc::default(), revoked: Arc::new(revoked) };
        let state = RwLock::new(Arc::new(state));
        Ok(Self {
            path: path.to_owned(),
            delay_min,
            state,
            registry: Registry::default(),
            requests: Rates::new(Duration::from_secs(1)),
            key_wanted: Notify::new(),
            book_replaced: Notify::new(),
            keys_lost: Notify::new(),
        })
    }

    /// The shards, to which it has to say whose sessions are replaced.
    pub(crate) fn use_posts(&self, posts: Vec<Post>) {
        self.registry.set_posts(posts);
    }

    /// Whether a credential is accepted, and for what.
    pub(crate) fn authenticate(&self, credential: &str) -> Result<Badge, Rejected> {
        if credential.len() > TOKEN_BYTES_MAX {
            return Err(Rejected::Malformed);
        }
        let state = self.state();
        let hash = KeyHash::of(credential);
        let badge = match (state.book.keys.find(&hash), &state.book.tokens) {
            (Some(key), _) => {
                let origin = Origin::Key { name: Arc::clone(&key.name), hash };
                state.badge(origin, &key.role, key.expires_s)?
            }
            // Three parts: what is no key may be a token.
            (None, Some(tokens))
                if credential.bytes().filter(|byte| *byte == b'.').count() == 2 =>
            {
                let accepted = tokens.verify(credential, &state.keys);
                if accepted.as_ref().is_err_and(|rejected| *rejected == Rejected::Unknown) {
                    self.key_wanted.notify_one();
                }
                let Accepted { user, id, expires_s, role, warrant } = accepted?;
                let (user, expires_s) = (Arc::from(user), Some(expires_s));
                match role {
                    RoleClaim::Named(name) => {
                        let origin = Origin::Token { id, user, role: Some(name.clone()), warrant };
                        state.badge(origin, &name, expires_s)?
                    }
                    RoleClaim::Inline(role) => {
                        let origin = Origin::Token { id, user, role: None, warrant };
                        Badge { role: Arc::new(role), origin, expires_s }
                    }
                }
            }
            (None, _) => return Err(Rejected::Unknown),
        };
        state.check(&badge, self.delay_min)?;
        Ok(badge)
    }

    /// Whether a badge's user may make one more plain request now, over whichever connection and shard, and takes it
    /// for made if so. A lock, where the role has such a limit.
    pub(crate) fn may_request(&self, badge: &Badge, now_ns: u64) -> Result<(), Rejected> {
        match badge.role.requests_max {
            Some(most) if !self.requests.admit(most.get(), badge.user(), now_ns) => {
                Err(Rejected::TooOften(most))
            }
            _ => Ok(()),
        }
    }

    /// Looks again at a badge that was given before.
    pub(crate) fn review(&self, badge: &Badge) -> Review {
        let state = self.state();
        let now = match &badge.origin {
            Origin::Key { name, hash } => match state.book.keys.named(name) {
                Some(key) if key.hash == *hash => {
                    state.badge(badge.origin.clone(), &key.role, key.expires_s)
                }
                _ => Err(Rejected::Revoked),
            },
            Origin::Token { warrant, .. } if !state.honours(warrant) => Err(Rejected::Revoked),
            Origin::Token { role: Some(role), .. } => {
                state.badge(badge.origin.clone(), role, badge.expires_s)
            }
            Origin::Token { role: None, .. } => Ok(badge.clone()),
        };
        match now.and_then(|now| state.check(&now, self.delay_min).map(|()| now)) {
            Err(rejected) => Review::Void(rejected),
            Ok(now) if now.role == badge.role && now.expires_s == badge.expires_s => Review::Same,
            Ok(now) => Review::Changed(now),
        }
    }

    /// Reads the file again, and what it names.
    pub(crate) fn read_again(&self) -> Result<(), AuthError> {
        let book = Rulebook::read(&self.path)?;
        let revoked = revocations(&book)?;
        let before = self.state();
        // Keys of a place that is not named any more are nobody's.
        let keys = if before.book.names_same_keys(&book) {
            Arc::clone(&before.keys)
        } else {
            Arc::default()
        };
        self.replace(State { book: Arc::new(book), keys, revoked: Arc::new(revoked) });
        self.book_replaced.notify_one();
        Ok(())
    }

    /// Reads what is revoked again.
    pub(super) fn read_revocations(&self) -> Result<(), AuthError> {
        let state = self.state();
        let revoked = Arc::new(revocations(&state.book)?);
        self.replace(State { revoked, ..(*state).clone() });
        Ok(())
    }

    /// Uses these keys of tokens from now on, unless what they were loaded by has been replaced meanwhile.
    pub(super) fn use_keys(&self, keys: KeySet, loaded_by: &State) {
        let state = self.state();
        if Arc::ptr_eq(&state.book, &loaded_by.book) {
            // Where there were none, nobody could tell whose signatures count.
            let are_lost = state.keys.is_empty() || !keys.has_all_of(&state.keys);
            self.replace(State { keys: Arc::new(keys), ..(*state).clone() });
            if are_lost {
                self.keys_lost.notify_one();
            }
        }
    }

    /// Writes into the log what there is.
    pub(super) fn say(&self, what: &'static str) {
        let state = self.state();
        let (keys, token_keys, revoked) =
            (state.book.keys.len(), state.keys.len(), state.revoked.len());
        tracing::info!(keys, token_keys, revoked, "{what}");
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One thread replaces: boot's, with what it has read.
    fn replace(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }
}

impl State {
    fn badge(&self, origin: Origin, role: &str, expires_s: Option<u64>) -> Result<Badge, Rejected> {
        let role = self.book.role(role).ok_or(Rejected::Role)?;
        Ok(Badge { role: Arc::clone(role), origin, expires_s })
    }

    /// Whether tokens of this warrant count.
    fn honours(&self, warrant: &Warrant) -> bool {
        let tokens = self.book.tokens.as_ref();
        tokens.is_some_and(|tokens| tokens.honour(warrant, &self.keys))
    }

    /// Whether a badge is one now, and here.
    fn check(&self, badge: &Badge, delay_min: u32) -> Result<(), Rejected> {
        if self.revoked.cover(badge) {
            return Err(Rejected::Revoked);
        }
        if badge.expires_s.is_some_and(|expires_s| expires_s <= now_s()) {
            return Err(Rejected::Expired);
        }
        match badge.role.grant.delay_min {
            wanted if wanted > delay_min => Err(Rejected::Delay(wanted)),
            _ => Ok(()),
        }
    }
}

fn revocations(book: &Rulebook) -> Result<Revocations, AuthError> {
    book.revoked_file.as_deref().map(Revocations::read).transpose().map(Option::unwrap_or_default)
}

/// Without what it knows.
impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the credentials of {}", self.path.display())
    }
}
