//! What is revoked before its time: a text file with one token, user or key on each line.
//!
//! `jti ID`, `sub USER` or `key NAME`; empty lines and those that begin with `#` are none. A line that is
//! something else makes the file a bad one: a slip there would let somebody in.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::badge::{Badge, Origin};
use super::error::{At, AuthError};

/// See the module's header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Revocations {
    tokens: HashSet<Box<str>>,
    users: HashSet<Box<str>>,
    keys: HashSet<Box<str>>,
    /// What the file was when it was read, or just before.
    pub(super) stamp: Option<Stamp>,
}

/// Enough of a file's attributes to see that it was written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(SystemTime, u64, u64);

impl Stamp {
    /// `None`: there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self(file.modified().ok()?, file.len(), file.ino()))
    }
}

impl Revocations {
    pub(super) fn read(path: &Path) -> Result<Self, AuthError> {
        // Before the text: what is written between the two is read once more, and not missed.
        let stamp = Stamp::of(path);
        let text = std::fs::read_to_string(path).map_err(AuthError::unreadable(path))?;
        let revoked = Self::parse(&text).map_err(|line| AuthError::Value {
            at: At { path: path.to_owned(), line },
            key: "revoked-file".to_owned(),
            expected: "`jti ID`, `sub USER` or `key NAME`".to_owned(),
        })?;
        Ok(Self { stamp, ..revoked })
    }

    /// Reads a file's text; an error is the number of a line.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let mut revoked = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (kind, name) = line.split_once(char::is_whitespace).ok_or(index + 1)?;
            let names = match kind {
                "jti" => &mut revoked.tokens,
                "sub" => &mut revoked.users,
                "key" => &mut revoked.keys,
                _ => return Err(index + 1),
            };
            names.insert(name.trim_start().into());
        }
        Ok(revoked)
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len() + self.users.len() + self.keys.len()
    }

    /// Whether a credential is among them.
    pub(super) fn cover(&self, badge: &Badge) -> bool {
        match &badge.origin {
            Origin::Key { name, .. } => self.keys.contains(&**name),
            Origin::Token { id, user, .. } => {
                self.users.contains(&**user)
                    || id.as_ref().is_some_and(|id| self.tokens.contains(&**id))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_strictly() {
        let revoked = Revocations::parse("# left\n\n jti  a b\nsub alice\nkey desk-1\r\n").unwrap();
        assert!(revoked.tokens.contains("a b") && revoked.users.contains("alice"));
        assert!(revoked.keys.contains("desk-1") && revoked.len() == 3);
        for (text, line) in [("jti", 1), ("sub alice\nuser bob", 2), ("\njti:x y", 2)] {
            assert_eq!(Revocations::parse(text), Err(line), "{text}");
        }
    }
}
