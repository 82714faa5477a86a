//! The authenticator with real files and keys: what is accepted, and every way not to be.

use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::jwks::KeySet;
use super::time::now_s;
use super::{Authenticator, Badge, Rejected, Review};

const SECRET: &str = "a secret of two and thirty bytes";
const KEY: &str = "correct horse battery staple";

/// A folder with the files of a gateway that takes everything there is.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.write("secret", &format!("{SECRET}\n"));
        desk.write("revoked", "");
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn open(&self, more: &str) -> Authenticator {
        self.delayed(more, 0)
    }

    fn delayed(&self, more: &str, delay_min: u32) -> Authenticator {
        self.write("auth.toml", &format!("{FILE}{more}"));
        Authenticator::open(&self.folder.path().join("auth.toml"), delay_min).unwrap()
    }
}

const FILE: &str = r#"
revoked-file = "revoked"
[roles.all]
see = ["*.*"]
[roles.late]
see = ["*.*"]
delay = "15m"
[[keys]]
name = "desk"
sha256 = "c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a"
role = "all"
[[keys]]
name = "gone"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
role = "all"
expires = 2020-01-01T00:00:00Z
"#;

const SYMMETRIC: &str =
    "[jwt]\nalgorithms = \"HS256\"\nsecret-file = \"secret\"\nleeway = \"60s\"\n";

fn claims(more: &Value) -> Value {
    let mut claims = json!({"sub": "alice", "exp": now_s() + 600, "role": "all"});
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

fn verdict(authenticator: &Authenticator, credential: &str) -> Option<Rejected> {
    authenticator.authenticate(credential).err()
}

#[test]
fn keys_are_accepted_whole_and_in_their_time() {
    let desk = Desk::new();
    let authenticator = desk.open("");
    let badge = authenticator.authenticate(KEY).unwrap();
    assert_eq!((badge.user().to_string().as_str(), badge.expires_s), ("key desk", None));
    assert_eq!(verdict(&authenticator, "abc"), Some(Rejected::Expired));
    let longer = format!("{KEY} ");
    for other in ["", &KEY[1..], &longer, "a.b.c", "c4bbcb1fbec99d65bf59d85c8cb62ee2"] {
        assert_eq!(verdict(&authenticator, other), Some(Rejected::Unknown), "{other}");
    }
    assert!(!format!("{authenticator:?}").contains("c4bb"));
}

#[test]
fn claims_are_checked_one_by_one() {
    let desk = Desk::new();
    let bound = "issuer = [\"a\", \"b\"]\naudience = \"tickcast\"\n";
    let (free, bound) = (desk.open(SYMMETRIC), desk.open(&format!("{SYMMETRIC}{bound}")));
    let now = now_s();
    let good = json!({"iss": "b", "aud": ["x", "tickcast"]});
    for (authenticator, more, expected) in [
        (&free, json!({}), None),
        (&free, json!({"exp": now as f64 + 0.5}), None),
        (&free, json!({"exp": now - 3}), None),
        (&free, json!({"nbf": now + 3}), None),
        (&free, json!({"exp": now - 600}), Some(Rejected::Expired)),
        (&free, json!({"exp": null}), Some(Rejected::Claim("exp"))),
        (&free, json!({"exp": "tomorrow"}), Some(Rejected::Claim("exp"))),
        (&free, json!({"exp": -1}), Some(Rejected::Claim("exp"))),
        (&free, json!({"nbf": now + 600}), Some(Rejected::NotYet)),
        (&free, json!({"nbf": "now"}), Some(Rejected::Claim("nbf"))),
        (&free, json!({"sub": null}), Some(Rejected::Claim("sub"))),
        (&free, json!({"sub": ""}), Some(Rejected::Claim("sub"))),
        (&free, json!({"sub": 7}), Some(Rejected::Claim("sub"))),
        (&free, json!({"jti": 7}), Some(Rejected::Claim("jti"))),
        (&free, json!({"aud": "other"}), Some(Rejected::Claim("aud"))),
        (&free, json!({"role": null}), Some(Rejected::Role)),
        (&free, json!({"role": "none"}), Some(Rejected::Role)),
        (&free, json!({"role": ["all"]}), Some(Rejected::Role)),
        (&free, json!({"role": "late"}), Some(Rejected::Delay(15))),
        (&free, json!({"tickcast": {"see": ["*.trade"]}}), None),
        (&free, json!({"tickcast": {"see": ["*.trade"], "deep": 1}}), Some(Rejected::Role)),
        (&free, json!({"tickcast": {"see": ["nothing"]}}), Some(Rejected::Role)),
        (&free, json!({"tickcast": {"delay_minutes": 1}}), Some(Rejected::Delay(1))),
        (&bound, good, None),
        (&bound, json!({"iss": "c", "aud": "tickcast"}), Some(Rejected::Claim("iss"))),
        (&bound, json!({"aud": "tickcast"}), Some(Rejected::Claim("iss"))),
        (&bound, json!({"iss": "a", "aud": ["x"]}), Some(Rejected::Claim("aud"))),
        (&bound, json!({"iss": "a"}), Some(Rejected::Claim("aud"))),
        (&bound, json!({"iss": {}, "aud": "tickcast"}), Some(Rejected::Claim("iss"))),
    ] {
        let token = signed(&claims(&more));
        assert_eq!(verdict(authenticator, &token), expected, "{more}");
    }
    let badge =
        free.authenticate(&signed(&claims(&json!({"exp": now + 100, "jti": "7"})))).unwrap();
    assert_eq!(
        (badge.user().to_string().as_str(), badge.expires_s),
        ("sub alice", Some(now + 160))
    );
    let late = desk.delayed(SYMMETRIC, 15);
    assert_eq!(verdict(&late, &signed(&claims(&json!({"role": "late"})))), None);
}

#[test]
fn what_is_no_token_is_none() {
    let desk = Desk::new();
    let authenticator = desk.open(SYMMETRIC);
    let good = signed(&claims(&json!({})));
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let payload = rest.split_once('.').unwrap().1;
    let of_another = signed(&claims(&json!({"sub": "bob"})));
    let elsewhere = of_another.rsplit_once('.').unwrap().1;
    // {"alg":"none"}, {"alg":"HS512"}, {"alg":"HS256","crit":["exp"]} and {"alg":"HS256","alg":"none"}.
    let none = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let other = format!("eyJhbGciOiJIUzUxMiJ9.{payload}.{signature}");
    let critical = format!("eyJhbGciOiJIUzI1NiIsImNyaXQiOlsiZXhwIl19.{payload}.{signature}");
    let twice = format!("eyJhbGciOiJIUzI1NiIsImFsZyI6Im5vbmUifQ.{payload}.{signature}");
    let long = format!("{}.{payload}.{signature}", "e".repeat(9_000));
    let forged = encode(
        &Header::new(Algorithm::HS256),
        &claims(&json!({})),
        &EncodingKey::from_secret(b"another one of two and 30 bytes."),
    );
    for (token, expected) in [
        (none.as_str(), Rejected::Malformed),
        (&other, Rejected::Algorithm),
        (&critical, Rejected::Malformed),
        (&twice, Rejected::Malformed),
        (&long, Rejected::Malformed),
        (&forged.unwrap(), Rejected::Signature),
        (&format!("{rest}."), Rejected::Signature),
        (&good.replace(signature, elsewhere), Rejected::Signature),
        (&format!("{rest}.{signature}="), Rejected::Malformed),
        ("..", Rejected::Malformed),
        ("a.b.c", Rejected::Malformed),
        ("\u{0}.\u{7f}.\u{e9}", Rejected::Malformed),
        (rest, Rejected::Unknown),
        (&format!("{good}.x"), Rejected::Unknown),
    ] {
        let shown = token.chars().take(60).collect::<String>();
        assert_eq!(verdict(&authenticator, token), Some(expected), "{shown}");
    }
    assert_eq!(verdict(&authenticator, &good), None);
    let keys_only = desk.open("");
    assert_eq!(verdict(&keys_only, &good), Some(Rejected::Unknown), "no token counts here");
}

/// The key pair of RFC 8037, appendix A: PKCS #8 in front of its secret, and its public part.
const ED_SECRET: &str = "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const ED_PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// A key pair of each kind: how it signs, and what a set has of it.
fn key_pairs() -> Vec<(Algorithm, EncodingKey, Jwk)> {
    let rsa = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    // What PKCS #8 wraps is behind its version, its algorithm and two lengths.
    let rsa = EncodingKey::from_rsa_der(&rsa.as_ref()[26..]);
    let random = aws_lc_rs::rand::SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ec = EncodingKey::from_ec_der(ec.as_ref());
    let (pairs, _) = ED_SECRET.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let ed = EncodingKey::from_ed_der(&pairs.iter().map(byte).collect::<Vec<u8>>());
    let ed_jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": ED_PUBLIC});
    let jwks = [
        Jwk::from_encoding_key(&rsa, Algorithm::RS256).unwrap(),
        Jwk::from_encoding_key(&ec, Algorithm::ES256).unwrap(),
        serde_json::from_value(ed_jwk).unwrap(),
    ];
    let algorithms = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let pairs = algorithms.into_iter().zip([rsa, ec, ed]).zip(jwks);
    let pair = |((algorithm, key), mut jwk): ((Algorithm, EncodingKey), Jwk)| {
        jwk.common.key_id = Some(format!("{algorithm:?}"));
        (algorithm, key, jwk)
    };
    pairs.map(pair).collect()
}

fn key_set(keys: &[&Jwk]) -> String {
    json!({ "keys": keys }).to_string()
}

const PUBLIC: &str =
    "[jwt]\nalgorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\njwks = \"keys.json\"\n";

#[test]
fn each_algorithm_goes_with_its_own_keys_only() {
    let desk = Desk::new();
    let pairs = key_pairs();
    let all = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let set = key_set(&pairs.iter().map(|(_, _, jwk)| jwk).collect::<Vec<_>>());
    let authenticator = desk.open(PUBLIC);
    let keys = KeySet::parse(set.as_bytes(), &all).unwrap();
    authenticator.use_keys(keys, &authenticator.state());
    for (algorithm, key, _) in &pairs {
        let sign = |kid: Option<&str>| {
            let header = Header { kid: kid.map(str::to_owned), ..Header::new(*algorithm) };
            encode(&header, &claims(&json!({})), key).unwrap()
        };
        assert_eq!(verdict(&authenticator, &sign(Some(&format!("{algorithm:?}")))), None);
        assert_eq!(verdict(&authenticator, &sign(None)), None, "it is alone of its kind");
        assert_eq!(verdict(&authenticator, &sign(Some("new"))), Some(Rejected::Unknown));
        let wrong = if *algorithm == Algorithm::RS256 { "ES256" } else { "RS256" };
        assert_eq!(verdict(&authenticator, &sign(Some(wrong))), Some(Rejected::Unknown));
    }
    // A public key as the secret of a symmetric algorithm, in each form in which it is at hand.
    let rsa = &pairs[0].2;
    let text = serde_json::to_value(rsa).unwrap();
    for secret in [rsa_text(&text, "n"), rsa_text(&text, "e"), text.to_string(), set] {
        let header = Header { kid: Some("RS256".to_owned()), ..Header::new(Algorithm::HS256) };
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = encode(&header, &claims(&json!({})), &key).unwrap();
        assert_eq!(verdict(&authenticator, &token), Some(Rejected::Algorithm));
        // Also where symmetric ones count: by their own secret.
        let both = desk.open(
            "[jwt]\nalgorithms = [\"HS256\", \"RS256\"]\njwks = \"keys.json\"\nsecret-file = \"secret\"\n",
        );
        let keys = KeySet::parse(key_set(&[rsa]).as_bytes(), &all).unwrap();
        both.use_keys(keys, &both.state());
        assert_eq!(verdict(&both, &token), Some(Rejected::Signature));
    }
}

fn rsa_text(jwk: &Value, member: &str) -> String {
    jwk[member].as_str().unwrap().to_owned()
}

#[test]
fn a_key_that_is_rotated_is_known_once_it_is_loaded() {
    let desk = Desk::new();
    let (old, new) = (key_pairs().remove(1), key_pairs().remove(1));
    let authenticator = desk.open(PUBLIC);
    let load = |jwk: &Jwk, id: &str| {
        let mut jwk = jwk.clone();
        jwk.common.key_id = Some(id.to_owned());
        let keys = KeySet::parse(key_set(&[&jwk]).as_bytes(), &[Algorithm::ES256]).unwrap();
        authenticator.use_keys(keys, &authenticator.state());
    };
    let sign = |key: &EncodingKey, id: &str| {
        let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims(&json!({})), key).unwrap()
    };
    load(&old.2, "1");
    let (first, second) = (sign(&old.1, "1"), sign(&new.1, "2"));
    assert_eq!(verdict(&authenticator, &first), None);
    assert_eq!(verdict(&authenticator, &second), Some(Rejected::Unknown));
    load(&new.2, "2");
    assert_eq!(verdict(&authenticator, &first), Some(Rejected::Unknown));
    assert_eq!(verdict(&authenticator, &second), None);
    // Another key of the same name is another key.
    assert_eq!(verdict(&authenticator, &sign(&old.1, "2")), Some(Rejected::Signature));
    // What was loaded for a file that has been replaced meanwhile is not used.
    let before = authenticator.state();
    authenticator.read_again().unwrap();
    let keys = KeySet::parse(key_set(&[&old.2]).as_bytes(), &[Algorithm::ES256]).unwrap();
    authenticator.use_keys(keys, &before);
    assert_eq!(verdict(&authenticator, &second), None, "those that were there stay");
}

#[test]
fn a_token_ends_with_the_key_that_signed_it() {
    let desk = Desk::new();
    let (old, new) = (key_pairs().remove(1), key_pairs().remove(1));
    let authenticator = desk.open(PUBLIC);
    let load = |keys: &[&Jwk]| {
        let keys = KeySet::parse(key_set(keys).as_bytes(), &[Algorithm::ES256]).unwrap();
        authenticator.use_keys(keys, &authenticator.state());
    };
    load(&[&old.2]);
    let header = Header { kid: Some("ES256".to_owned()), ..Header::new(Algorithm::ES256) };
    let token = encode(&header, &claims(&json!({})), &old.1).unwrap();
    let badge = authenticator.authenticate(&token).unwrap();
    // What it is called is no matter; whether it is there is.
    let mut renamed = old.2;
    renamed.common.key_id = Some("old".to_owned());
    load(&[&new.2, &renamed]);
    assert_eq!(review(&authenticator, &badge), "same");
    load(&[&new.2]);
    assert_eq!(review(&authenticator, &badge), "revoked");
    load(&[&new.2, &renamed]);
    // From another place nothing has come yet: nobody can tell.
    desk.write("auth.toml", &format!("{FILE}{}", PUBLIC.replace("keys.json", "others.json")));
    authenticator.read_again().unwrap();
    assert_eq!(review(&authenticator, &badge), "same");
    load(&[&new.2]);
    assert_eq!(review(&authenticator, &badge), "revoked");
    desk.write("auth.toml", FILE);
    authenticator.read_again().unwrap();
    assert_eq!(review(&authenticator, &badge), "revoked", "tokens count no more");

    // The secret of the others, whether it is the same file or not.
    let authenticator = desk.open(SYMMETRIC);
    let badge = authenticator.authenticate(&signed(&claims(&json!({})))).unwrap();
    desk.write("secret", &SECRET.replace("two", "TWO"));
    authenticator.read_again().unwrap();
    assert_eq!(review(&authenticator, &badge), "revoked");
    desk.write("second", SECRET);
    desk.write("auth.toml", &format!("{FILE}{}", SYMMETRIC.replace("\"secret\"", "\"second\"")));
    authenticator.read_again().unwrap();
    assert_eq!(review(&authenticator, &badge), "same");
}

/// Every token that was let in under one file, once the file is another: whoever would not be let in now is out.
#[test]
fn a_token_ends_when_another_issuer_or_audience_is_wanted() {
    let desk = Desk::new();
    let wanted = [
        "",
        "issuer = \"a\"\n",
        "issuer = [\"b\", \"c\"]\n",
        "audience = \"x\"\n",
        "issuer = \"a\"\naudience = [\"x\", \"y\"]\n",
        "issuer = [\"b\", \"a\"]\naudience = \"y\"\n",
    ];
    let words = |all: [&str; 2]| {
        let [first, second] = all.map(Value::from);
        [json!(null), first.clone(), second.clone(), json!([first, second]), json!([]), json!(7)]
    };
    let (issuers, audiences) = (words(["a", "b"]), words(["x", "y"]));
    let tokens: Vec<String> = issuers
        .iter()
        .flat_map(|iss| audiences.iter().map(move |aud| json!({"iss": iss, "aud": aud})))
        .map(|more| signed(&claims(&more)))
        .collect();
    let (mut ended, mut kept) = (0, 0);
    for (before, after) in wanted.iter().flat_map(|a| wanted.iter().map(move |b| (a, b))) {
        let authenticator = desk.open(&format!("{SYMMETRIC}{before}"));
        let badges: Vec<_> = tokens.iter().map(|token| authenticator.authenticate(token)).collect();
        desk.write("auth.toml", &format!("{FILE}{SYMMETRIC}{after}"));
        authenticator.read_again().unwrap();
        for (token, badge) in tokens.iter().zip(badges) {
            let Ok(badge) = badge else { continue };
            let expected = match verdict(&authenticator, token) {
                None => "same",
                Some(_) => "revoked",
            };
            let payload = token.split('.').nth(1).unwrap();
            assert_eq!(review(&authenticator, &badge), expected, "{before}{after}{payload}");
            if expected == "same" {
                kept += 1;
            } else {
                ended += 1;
            }
            assert!(before != after || expected == "same");
        }
    }
    assert!(ended > 50 && kept > 50, "{ended} ended, {kept} kept");
}

fn review(authenticator: &Authenticator, badge: &Badge) -> &'static str {
    match authenticator.review(badge) {
        Review::Same => "same",
        Review::Changed(now) if now.role.grant.see == badge.role.grant.see => {
            "changed, not its grant"
        }
        Review::Changed(_) => "changed",
        Review::Void(Rejected::Revoked) => "revoked",
        Review::Void(_) => "void",
    }
}

#[test]
fn passes_are_worth_what_the_files_say_now() {
    let desk = Desk::new();
    let authenticator = desk.open(SYMMETRIC);
    let named = signed(&claims(&json!({"jti": "1"})));
    let inline = signed(&claims(&json!({"jti": "2", "tickcast": {"see": ["*.trade"]}})));
    let badges = [KEY, &named, &inline].map(|shown| authenticator.authenticate(shown).unwrap());
    let reviews = || {
        authenticator.read_again().unwrap();
        [0, 1, 2].map(|at: usize| review(&authenticator, &badges[at]))
    };
    assert_eq!(reviews(), ["same", "same", "same"]);
    desk.write("auth.toml", &format!("{FILE}{SYMMETRIC}").replace("[\"*.*\"]", "[\"*.quote\"]"));
    assert_eq!(reviews(), ["changed", "changed", "same"]);
    let later =
        FILE.replacen("role = \"all\"", "role = \"all\"\nexpires = 2090-01-01T00:00:00Z", 1);
    desk.write("auth.toml", &format!("{later}{SYMMETRIC}"));
    assert_eq!(reviews(), ["changed, not its grant", "same", "same"]);
    desk.write(
        "auth.toml",
        &format!("{FILE}{SYMMETRIC}").replace("name = \"desk\"", "name = \"d\""),
    );
    assert_eq!(reviews(), ["revoked", "same", "same"]);
    let another = FILE.replace("c4bbcb1f", "c4bbcb1e");
    desk.write("auth.toml", &format!("{another}{SYMMETRIC}"));
    assert_eq!(reviews(), ["revoked", "same", "same"], "of the same name, and not the same key");
    desk.write("auth.toml", &format!("{FILE}{SYMMETRIC}"));
    assert_eq!(reviews(), ["same", "same", "same"]);
    for (revoked, expected) in [
        ("key desk", ["revoked", "same", "same"]),
        ("jti 1", ["same", "revoked", "same"]),
        ("sub alice", ["same", "revoked", "revoked"]),
        ("sub desk\nkey alice", ["same", "same", "same"]),
    ] {
        desk.write("revoked", revoked);
        authenticator.read_revocations().unwrap();
        assert_eq!([0, 1, 2].map(|at: usize| review(&authenticator, &badges[at])), expected);
    }
    // A bad file changes nothing.
    desk.write("revoked", "everybody");
    assert!(authenticator.read_revocations().is_err() && authenticator.read_again().is_err());
    assert_eq!(verdict(&authenticator, KEY), None);
    assert!(Authenticator::open(Path::new("no/such/file"), 0).is_err());
}
