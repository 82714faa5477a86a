//! Credentials for a gateway under test: its files, keys, and tokens as an issuer would make them.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// What tokens of [`token`] are signed with.
pub const SECRET: &str = "a secret of two and thirty bytes";

/// A folder with the file of `auth`, and what it names.
pub struct Credentials {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Credentials {
    /// A file of this text, and of keys: name, key and role. The secret of tokens lies beside it in `secret`, an
    /// empty list of what is revoked in `revoked`.
    #[must_use]
    pub fn new(text: &str, keys: &[(&str, &str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let file = folder.path().join("auth.toml");
        let credentials = Self { folder, file };
        credentials.put("secret", SECRET);
        credentials.put("revoked", "");
        credentials.write(text, keys);
        credentials
    }

    /// Writes the file anew.
    pub fn write(&self, text: &str, keys: &[(&str, &str, &str)]) {
        let keys: String = keys
            .iter()
            .map(|(name, key, role)| {
                let hash: String = digest(&SHA256, key.as_bytes())
                    .as_ref()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                format!("[[keys]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nrole = \"{role}\"\n")
            })
            .collect();
        self.put("auth.toml", &format!("{text}\n{keys}"));
    }

    /// Writes a file beside it, as a whole.
    pub fn put(&self, name: &str, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).expect("the test's own folder");
        std::fs::rename(new, self.folder.path().join(name)).expect("the test's own folder");
    }

    /// The file's path, for `--auth`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.file.to_str().expect("an ordinary path")
    }
}

/// Tokens signed with [`SECRET`], as `[jwt]` has it.
pub const SYMMETRIC: &str =
    "[jwt]\nalgorithms = \"HS256\"\nsecret-file = \"secret\"\nleeway = \"0s\"\n";

/// s since 1970-01-01 UTC.
#[must_use]
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A token of this user that lives so long, with these claims beside.
#[must_use]
pub fn token(user: &str, life_s: u64, claims: &Value) -> String {
    sign(
        &Header::new(Algorithm::HS256),
        &EncodingKey::from_secret(SECRET.as_bytes()),
        user,
        life_s,
        claims,
    )
}

/// The same, signed by another key.
#[must_use]
pub fn sign(header: &Header, key: &EncodingKey, user: &str, life_s: u64, claims: &Value) -> String {
    let mut all = json!({"sub": user, "exp": now_s() + life_s});
    for (name, value) in claims.as_object().expect("claims are an object") {
        all[name] = value.clone();
    }
    encode(header, &all, key).expect("a key of the header's algorithm")
}
