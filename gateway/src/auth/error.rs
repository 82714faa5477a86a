//! What is wrong with the files of `auth`: which file, which line, what was expected.

use std::io;
use std::path::{Path, PathBuf};

use jsonwebtoken::Algorithm;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} line {}", self.path.display(), self.line)
    }
}

/// Why credentials cannot be checked as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// A file cannot be read.
    #[error("cannot read {} (auth): {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{at}: not valid TOML: {reason}")]
    Syntax {
        /// Where.
        at: At,
        /// What the parser said.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{at}: unknown key `{key}`{}", did_you_mean(*suggestion, expected))]
    UnknownKey {
        /// Where.
        at: At,
        /// As it was written, with its table.
        key: String,
        /// The key that is nearest, if one is near.
        suggestion: Option<&'static str>,
        /// All that there are.
        expected: String,
    },
    /// A key that must be there.
    #[error("{at}: `{key}` is missing")]
    Missing {
        /// Where its table begins.
        at: At,
        /// Its name, with its table.
        key: String,
    },
    /// A value that its key cannot have.
    #[error("{at}: {key}: expected {expected}")]
    Value {
        /// Where.
        at: At,
        /// The key, with its table.
        key: String,
        /// What was expected.
        expected: String,
    },
    /// A secret that can be guessed.
    #[error(
        "{} (auth, secret-file): a secret has at least {SECRET_BYTES_MIN} bytes (RFC 7518, section 3.2)",
        path.display()
    )]
    ShortSecret {
        /// The file.
        path: PathBuf,
    },
    /// A list of public keys that is none, or of which none can be used.
    #[error("{source_name} (auth, jwks): {reason}")]
    KeySet {
        /// Path or URL.
        source_name: String,
        /// What is wrong.
        reason: String,
    },
    /// A URL that anybody on the way could answer.
    #[error(
        "{at}: jwks = {url}: expected https://, or http:// to this machine: whoever answers decides who is let in"
    )]
    InsecureUrl {
        /// Where.
        at: At,
        /// As it was written.
        url: String,
    },
    /// An algorithm whose key nothing gives.
    #[error("{at}: {algorithm:?} needs `{needs}`")]
    NoKeyFor {
        /// Where `[jwt]` begins.
        at: At,
        /// The algorithm.
        algorithm: Algorithm,
        /// What would give it.
        needs: &'static str,
    },
    /// The certificates by which the server of the keys is verified.
    #[error("jwks (auth): {0}")]
    Client(#[from] client::ConnectError),
}

/// The shortest secret of HS256, in bytes: as long as the hash.
pub(super) const SECRET_BYTES_MIN: usize = 32;

impl AuthError {
    pub(super) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Unreadable { path: path.to_owned(), source }
    }
}

fn did_you_mean(suggestion: Option<&'static str>, expected: &str) -> String {
    suggestion
        .map_or_else(|| format!("; there are {expected}"), |key| format!("; did you mean `{key}`?"))
}
