//! Static keys: long random texts, of which the gateway knows only the hashes.
//!
//! A hash without salt or cost is enough for them: they have as much entropy as the hash. Passwords have not,
//! and have no place here.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::error::AuthError;
use super::section::Section;

/// Keys of one file. Each credential is compared with all of them, at some 10 ns each.
const KEYS_MAX: usize = 4_096;

/// SHA-256 of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyHash([u8; SHA256_OUTPUT_LEN]);

impl KeyHash {
    pub(super) fn of(key: impl AsRef<[u8]>) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, key.as_ref()).as_ref());
        Self(hash)
    }

    /// Reads 64 hexadecimal digits.
    fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != hash.len() || !rest.is_empty() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
        }
        Some(Self(hash))
    }

    fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// One `[[keys]]`.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) hash: KeyHash,
    pub(super) role: String,
    /// s since 1970-01-01 UTC.
    pub(super) expires_s: Option<u64>,
}

impl Key {
    fn read(section: Section<'_>) -> Result<Self, AuthError> {
        let name = section.must("name", section.text("name")?)?;
        let text = section.must("sha256", section.text("sha256")?)?;
        let expected = "64 hexadecimal digits, as sha256sum writes them";
        let hash = KeyHash::parse(&text).ok_or_else(|| section.refuse("sha256", expected))?;
        let role = section.must("role", section.text("role")?)?;
        let expires_s = section.time("expires")?;
        section.finish()?;
        Ok(Self { name: name.into(), hash, role, expires_s })
    }
}

/// All keys of a file.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// Reads all `[[keys]]`, whose roles must be among these.
    pub(super) fn read(
        whole: &Section<'_>,
        has_role: impl Fn(&str) -> bool,
    ) -> Result<Self, AuthError> {
        let sections = whole.list("keys")?;
        if sections.len() > KEYS_MAX {
            return Err(whole.refuse("keys", format!("at most {KEYS_MAX}")));
        }
        let mut keys: Vec<Key> = Vec::with_capacity(sections.len());
        for section in sections {
            let at = section.at();
            let refuse = |key: &str, expected: &str| AuthError::Value {
                at: at.clone(),
                key: format!("keys.{key}"),
                expected: expected.to_owned(),
            };
            let key = Key::read(section)?;
            if keys.iter().any(|other| other.name == key.name) {
                return Err(refuse("name", "another one for each key"));
            }
            if keys.iter().any(|other| other.hash == key.hash) {
                return Err(refuse("sha256", "that of another key than those before"));
            }
            if !has_role(&key.role) {
                return Err(refuse("role", "the name of a table [roles.NAME]"));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// The key of this hash. The time it takes depends on how many keys there are, and not on what they are.
    pub(super) fn find(&self, hash: &KeyHash) -> Option<&Key> {
        self.0.iter().fold(None, |found, key| if key.hash.is(hash) { Some(key) } else { found })
    }

    pub(super) fn named(&self, name: &str) -> Option<&Key> {
        self.0.iter().find(|key| &*key.name == name)
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_sha256sum_writes() {
        let written = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::parse(written), Some(KeyHash::of("abc")));
        assert_eq!(KeyHash::parse(&written.to_uppercase()), Some(KeyHash::of("abc")));
        for bad in ["", "ba", &written[1..], &format!("{written}0"), &written.replace('b', "g")] {
            assert_eq!(KeyHash::parse(bad), None, "{bad}");
        }
    }
}
