//! A badge: what a credential that was accepted allows, to whom, and until when.

use std::sync::Arc;

use super::key::KeyHash;
use super::role::Role;
use super::token::Warrant;

/// See the module's header. Sessions keep theirs, so that it can be looked at again.
#[derive(Clone, Debug)]
pub struct Badge {
    pub(crate) role: Arc<Role>,
    pub(super) origin: Origin,
    /// From when on it is none, leeway included, s since 1970-01-01 UTC; `None`: never.
    pub(crate) expires_s: Option<u64>,
}

/// What kind of credential it was.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// A static key.
    Key {
        /// Its name.
        name: Arc<str>,
        /// A key of the same name may be another one some day.
        hash: KeyHash,
    },
    /// A token.
    Token {
        /// Its `jti`.
        id: Option<Box<str>>,
        /// Its `sub`.
        user: Arc<str>,
        /// The name of its role; `None`: it has its own within itself.
        role: Option<Box<str>>,
        /// By what it counts.
        warrant: Warrant,
    },
}

/// Who it is, for counting sessions: keys and tokens are of different people, whatever they are called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum User {
    Key(Arc<str>),
    Subject(Arc<str>),
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key {name}"),
            Self::Subject(name) => write!(f, "sub {name}"),
        }
    }
}

impl Badge {
    pub(crate) fn user(&self) -> User {
        match &self.origin {
            Origin::Key { name, .. } => User::Key(Arc::clone(name)),
            Origin::Token { user, .. } => User::Subject(Arc::clone(user)),
        }
    }
}
