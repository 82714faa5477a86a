//! The keys that entitle to publish: a file with one on each line, read at start and again on SIGHUP.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use wire::command::TOKEN_BYTES_MAX;

/// Keys, of which one has to be shown.
pub struct Keys {
    path: PathBuf,
    /// Locked where keys are shown and where the file is read again, neither of which is a tick's path.
    keys: RwLock<Vec<Box<[u8]>>>,
}

/// Why a file has no keys that could be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// It cannot be read.
    #[error("cannot read the keys in {} (publish-keys-file): {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It has none: nobody could publish.
    #[error("no key in {} (publish-keys-file): expected one on each line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line that nobody could show.
    #[error(
        "{} line {line} (publish-keys-file): a key has at most {TOKEN_BYTES_MAX} bytes of UTF-8",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

impl Keys {
    /// Reads a file. Empty lines and those that begin with `#` are none; space around a key does not count.
    ///
    /// # Errors
    /// If it cannot be read, has no key, or one that is too long.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let keys = RwLock::new(Self::keys_in(path)?);
        Ok(Self { path: path.to_owned(), keys })
    }

    /// Reads the file again. Who has shown a key that is not there any more stays entitled until the connection ends.
    ///
    /// # Errors
    /// As [`Keys::read`]; the keys then stay as they were.
    pub fn read_again(&self) -> Result<(), KeysError> {
        let keys = Self::keys_in(&self.path)?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn keys_in(path: &Path) -> Result<Vec<Box<[u8]>>, KeysError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| KeysError::Unreadable { path: path.to_owned(), source })?;
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let key = line.trim();
            if key.is_empty() || key.starts_with('#') {
                continue;
            }
            if key.len() > TOKEN_BYTES_MAX {
                return Err(KeysError::TooLong { path: path.to_owned(), line: index + 1 });
            }
            keys.push(Box::from(key.as_bytes()));
        }
        if keys.is_empty() { Err(KeysError::Empty { path: path.to_owned() }) } else { Ok(keys) }
    }

    /// Whether this is one of them. The time it takes depends on the token's length and the keys' number, and
    /// not on what they are.
    #[must_use]
    pub fn accept(&self, token: &str) -> bool {
        let mut is_one = false;
        for key in self.keys.read().unwrap_or_else(PoisonError::into_inner).iter() {
            is_one |= is_same(token.as_bytes(), key);
        }
        is_one
    }
}

/// Looks at every byte, whatever was found before.
fn is_same(token: &[u8], key: &[u8]) -> bool {
    let mut difference = token.len() ^ key.len();
    for (at, byte) in token.iter().enumerate() {
        // A key that is shorter is another one already; this goes on all the same.
        difference |= usize::from(byte ^ key[at % key.len()]);
        // Or the compiler may find out that the rest no longer matters.
        difference = black_box(difference);
    }
    difference == 0
}

/// Without the keys.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the keys in {}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_key_is_accepted_whole_and_nothing_else_is() {
        let file = file("# for the desk\n  alpha-1 \n\nbeta\n");
        let keys = Keys::read(file.path()).unwrap();
        assert!(keys.accept("alpha-1") && keys.accept("beta"));
        for other in ["", "alpha", "alpha-1 ", "alpha-11", "betabeta", "# for the desk", "BETA"] {
            assert!(!keys.accept(other), "{other:?}");
        }
        let shown = format!("{keys:?}");
        assert_eq!(shown, format!("the keys in {}", file.path().display()), "and not the keys");
    }

    #[test]
    fn files_without_keys_are_refused() {
        let reason = |text: &str| Keys::read(file(text).path()).unwrap_err().to_string();
        assert!(reason("\n# none\n").starts_with("no key in "));
        assert!(
            reason(&"x".repeat(8193)).contains(" line 1 (publish-keys-file): a key has at most")
        );
        let missing = Keys::read(Path::new("does/not/exist")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read the keys in does/not/exist"));
    }
}
