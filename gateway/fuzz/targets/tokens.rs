//! Credentials that clients show. As they come, none is accepted: nobody who guesses knows the secret. As claims that
//! the issuer did sign, with a header before them or without one, they are accepted for what they say.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use gateway::auth::Authenticator;
use gateway::fuzzing::user_of;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::Value;

const SECRET: &[u8] = b"a secret that is only for this and long enough";

const FILE: &str = r#"
revoked-file = "revoked"

[roles.desk]
see = ["*.*"]

[jwt]
algorithms = ["HS256"]
secret-file = "secret"
issuer = ["us"]
"#;

pub fn run(bytes: &[u8]) {
    thread_local! {
        static AUTHENTICATOR: Authenticator = authenticator();
    }
    AUTHENTICATOR.with(|authenticator| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            assert_eq!(user_of(authenticator, text), None);
        }
        let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let (header, claims) =
            second.map_or((br#"{"alg":"HS256"}"#.as_slice(), first), |claims| (first, claims));
        if let Some(user) = user_of(authenticator, &signed(header, claims)) {
            let header: Value = serde_json::from_slice(header).expect("what was understood");
            assert_eq!((&header["alg"], header.get("crit")), (&"HS256".into(), None));
            let claims: Value = serde_json::from_slice(claims).expect("what was understood");
            assert_eq!(user, format!("sub {}", claims["sub"].as_str().expect("a user")));
            // The library takes several issuers, of which one must be ours; the token is signed all the same.
            let issuers = claims["iss"].as_array().into_iter().flatten();
            assert!(claims["iss"] == "us" || issuers.into_iter().any(|issuer| issuer == "us"));
            assert!(claims["sub"] != "mallory" && claims["jti"] != "42", "they are revoked");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            // The leeway is 30 s, and there is a second to come here.
            let now_s = now.as_secs_f64();
            assert!(claims["exp"].as_f64().expect("a number") + 30.0 > now_s - 1.0);
            assert!(claims["nbf"].as_f64().is_none_or(|begin_s| begin_s - 30.0 < now_s + 1.0));
            assert!(claims["role"] == "desk" || claims["tickcast"].is_object());
        }
    });
}

fn authenticator() -> Authenticator {
    super::file("secret", SECRET);
    super::file("revoked", b"sub mallory\njti 42\n");
    let path = super::file("tokens.toml", FILE.as_bytes());
    Authenticator::open(&path, 0).expect("a good file")
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let key = EncodingKey::from_secret(SECRET);
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("a signature");
    format!("{message}.{signature}")
}
