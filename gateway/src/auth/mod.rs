//! Who may connect, and see what: credentials, where they are shown and what they are worth.
//!
//! ```text
//! headers, query, `auth` ─ credential ─► authenticator ─ badge ─► session ─ grant ─► hub
//!                                         ▲ file, keys of tokens, revocations (keeper)
//! ```
//!
//! What a grant lets through is for the [`hub`] to enforce. Nothing here is on the path of a tick. Called by
//! the HTTP front, by sessions, and by boot.

mod authenticator;
mod badge;
mod credential;
mod error;
mod file;
mod jwks;
mod keeper;
mod key;
mod key_loader;
mod parties;
mod registry;
mod rejected;
mod revocation;
mod role;
mod section;
mod status;
#[cfg(test)]
mod tests;
mod time;
mod token;

pub use authenticator::Authenticator;
pub(crate) use authenticator::Review;
pub use badge::Badge;
pub(crate) use badge::User;
pub use credential::QueryToken;
pub(crate) use credential::{shown, without_credential};
pub use error::AuthError;
pub(crate) use jwks::KeySet;
pub use keeper::Keeper;
pub use key_loader::KeyLoader;
pub(crate) use registry::Seat;
pub(crate) use rejected::Rejected;
pub(crate) use revocation::Revocations;
pub use status::{AuthStatus, AuthView};
