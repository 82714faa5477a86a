//! What can go wrong, one small enum per boundary.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wire::{CloseCode, ErrorCode};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Not a WebSocket URL.
    #[error("{0}: expected ws://HOST:PORT/PATH or wss://HOST:PORT/PATH")]
    Url(String),
    /// A wss URL, but no root certificate to verify the server by.
    #[error("wss needs root certificates: the system has no file of them; name one yourself")]
    NoRoots,
    /// The root certificates cannot be used.
    #[error("cannot read root certificates from {0}: {1}")]
    Roots(PathBuf, #[source] rustls_pki_types::pem::Error),
    /// The token cannot be shown in a header.
    #[error("the token is empty, or has characters that no token has")]
    Token,
    /// The file of the token cannot be read.
    #[error("cannot read the token from {0}: {1}")]
    TokenFile(PathBuf, #[source] io::Error),
    /// TCP or TLS failed; `io::ErrorKind::ConnectionRefused` if nobody listens.
    #[error("{address}: {source}")]
    Io {
        /// Where to.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The server answered with another status than 101, or than 200 where that is expected.
    #[error("the server answered HTTP {status}: {body}")]
    Http {
        /// The status.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// The HTTP exchange failed.
    #[error("the upgrade failed: {0}")]
    Upgrade(#[from] hyper::Error),
    /// It upgraded, but not to this protocol.
    #[error("the server does not speak tickcast.v1.sbe: {0}")]
    Protocol(&'static str),
    /// It took longer than [`Options::connect_timeout`](crate::Options::connect_timeout).
    #[error("no connection in time")]
    Timeout,
    /// The server closed it at once.
    #[error("the server closed the connection at once: {0}")]
    Closed(LostReason),
}

impl ConnectError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Url(_)
            | Self::NoRoots
            | Self::Roots(..)
            | Self::Token
            | Self::TokenFile(..)
            | Self::Tls(_)
            | Self::Protocol(_) => false,
            Self::Http { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            // A certificate that does not verify will not verify in a second.
            Self::Io { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::Upgrade(_) | Self::Timeout => true,
            Self::Closed(reason) => reason.is_retriable(),
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// The server said goodbye with this code and text.
    #[error("closed with {code} ({text})")]
    Closed {
        /// The close code; 1005 if there was none.
        code: u16,
        /// What it said.
        text: String,
    },
    /// The socket failed or ended without a close frame.
    #[error("connection lost: {0}")]
    Broken(io::ErrorKind),
    /// Neither data nor a heartbeat came for twice the announced interval.
    #[error("the server went silent")]
    Silent,
    /// The server sent what the protocol does not have.
    #[error("protocol violated: {0}")]
    Protocol(&'static str),
}

impl LostReason {
    /// Whether the contract of close codes asks for a reconnect: 4000 to 4499 do, 4500 to 4999 do
    /// not; of the standard ones those that speak of the server's state.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        let Self::Closed { code, .. } = self else { return true };
        match CloseCode::from_code(*code) {
            Some(known) => known.advice() == wire::Advice::Reconnect,
            // 1005: none given; 1006: none received; 1012, 1013: restart, try again later.
            None => matches!(code, 1005 | 1006 | 1012 | 1013 | 4000..=4499),
        }
    }
}

/// Why a command did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The server refused it as a whole.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection was lost before the answer came. Whether it was carried out is not known; what
    /// was subscribed before is subscribed again.
    #[error("the connection was lost before the answer came")]
    Disconnected,
    /// No answer within [`Options::command_timeout`](crate::Options::command_timeout).
    #[error("no answer in time")]
    Timeout,
    /// The client has ended for good.
    #[error("the client has ended")]
    Ended,
}

/// The server's no, to a command or to one of its topics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{msg}")]
pub struct Refusal {
    /// Why, if this version of the client knows the code.
    pub code: Option<ErrorCode>,
    /// Why, in the server's words.
    pub msg: String,
}

/// Why there will be no more events.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// The connection ended, and the reason or the options forbid another.
    #[error("{0}")]
    Lost(LostReason),
    /// Reconnecting failed in a way that trying again cannot mend, or too often.
    #[error("cannot reconnect: {0}")]
    Reconnect(Arc<ConnectError>),
}
