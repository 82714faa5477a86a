//! The public keys that tokens are signed with: a JSON Web Key Set (RFC 7517), from a file or a URL.
//!
//! A key counts for one algorithm: that of its type, which must be among those configured, and its own `alg`
//! if it has one. So a token cannot choose how it is verified: an RSA key is never taken for a secret. Keys of
//! other kinds, private ones and secrets among them, are passed over.

use std::path::PathBuf;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

use super::error::AuthError;
use super::key::KeyHash;

/// Keys of one set. There: the others are passed over.
const KEYS_MAX: usize = 64;

/// Where a set is.
#[derive(Clone, Debug)]
pub(super) enum KeySource {
    File(PathBuf),
    Url { url: String, options: client::Options },
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { url, .. } => f.write_str(url),
        }
    }
}

impl KeySource {
    /// Reads or fetches the set.
    pub(super) async fn load(&self, algorithms: &[Algorithm]) -> Result<KeySet, AuthError> {
        let text = match self {
            Self::File(path) => std::fs::read(path).map_err(AuthError::unreadable(path))?,
            Self::Url { url, options } => client::get(url, options).await?,
        };
        KeySet::parse(&text, algorithms)
            .map_err(|reason| AuthError::KeySet { source_name: self.to_string(), reason })
    }
}

/// The keys of a set that can be used.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<PublicKey>);

/// One of them.
#[derive(Debug)]
pub(super) struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    pub(super) key: DecodingKey,
    /// What it is told by, whatever it is called.
    pub(super) hash: KeyHash,
}

/// Each key by itself: one that cannot be read is not to void the others.
#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a set; errors are in words.
    pub(crate) fn parse(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(text)
            .map_err(|error| format!("not a JSON Web Key Set: {error}"))?;
        let keys = document.keys.into_iter().filter_map(|key| {
            let jwk = serde_json::from_value(key).ok()?;
            PublicKey::of(&jwk).filter(|key| algorithms.contains(&key.algorithm))
        });
        let keys: Vec<_> = keys.take(KEYS_MAX).collect();
        if keys.is_empty() {
            return Err(format!("no key for signatures by {algorithms:?} in it"));
        }
        Ok(Self(keys))
    }

    /// The key that a token names. One that names none can only mean a key that is alone.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&PublicKey> {
        let mut fitting = self.0.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }

    /// Whether this key is one of them.
    pub(super) fn has(&self, hash: &KeyHash) -> bool {
        self.0.iter().any(|key| key.hash == *hash)
    }

    /// Whether all keys of another set are among these.
    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        other.0.iter().all(|key| self.has(&key.hash))
    }

    /// Whether none was loaded yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }
}

impl PublicKey {
    fn of(jwk: &Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            _ => return None,
        };
        let is_for_signatures = match &jwk.common.public_key_use {
            Some(its_use) => *its_use == PublicKeyUse::Signature,
            None => true,
        };
        let is_for_this = match jwk.common.key_algorithm {
            Some(own) => Algorithm::try_from(own).is_ok_and(|own| own == algorithm),
            None => true,
        };
        if !is_for_signatures || !is_for_this {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let hash = KeyHash::of(serde_json::to_vec(&jwk.algorithm).ok()?);
        Some(Self { id: jwk.common.key_id.clone(), algorithm, key, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

    /// The public key of RFC 8037, appendix A.2, with these members.
    fn ed25519(more: &str) -> String {
        format!(
            r#"{{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"{more}}}"#
        )
    }

    fn parse(keys: &[String], algorithms: &[Algorithm]) -> Result<KeySet, String> {
        KeySet::parse(format!("{{\"keys\":[{}]}}", keys.join(",")).as_bytes(), algorithms)
    }

    #[test]
    fn keys_count_for_what_they_are_for() {
        let named = ed25519(r#","kid":"a""#);
        let set = parse(std::slice::from_ref(&named), &ALL).unwrap();
        assert!(set.find(Some("a"), Algorithm::EdDSA).is_some());
        assert!(set.find(None, Algorithm::EdDSA).is_some(), "it is alone");
        assert!(set.find(Some("b"), Algorithm::EdDSA).is_none());
        assert!(set.find(Some("a"), Algorithm::ES256).is_none());
        let two = parse(&[named.clone(), ed25519(r#","kid":"b""#)], &ALL).unwrap();
        assert!(two.find(None, Algorithm::EdDSA).is_none() && two.len() == 2);
        for useless in [
            ed25519(r#","use":"enc""#),
            ed25519(r#","alg":"ES256""#),
            r#"{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","alg":"HS256"}"#
                .to_owned(),
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"new"}"#.to_owned(),
            "7".to_owned(),
        ] {
            assert!(parse(std::slice::from_ref(&useless), &ALL).is_err(), "{useless}");
            let set = parse(&[useless.clone(), named.clone()], &ALL).unwrap();
            assert_eq!(set.len(), 1, "{useless}");
        }
        assert!(parse(&[named], &[Algorithm::RS256]).is_err(), "not configured");
        assert!(KeySet::parse(b"<html>", &ALL).is_err() && KeySet::parse(b"{}", &ALL).is_err());
    }
}
