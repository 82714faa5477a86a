//! Tokens at the real binary: by a secret, and by keys that an issuer rotates.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::support::credentials::{Credentials, SYMMETRIC, sign, token};
use crate::support::process::{Gateway, until};
use crate::{ask, auth, bearer, native};

/// A server that has one answer at a time.
struct Issuer {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<u32>>,
}

impl Issuer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, asked) = (Arc::<Mutex<String>>::default(), Arc::<Mutex<u32>>::default());
        let (its_answer, its_asked) = (Arc::clone(&answer), Arc::clone(&asked));
        // It ends with the process: there is nothing to tidy up.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 4096]);
                *its_asked.lock().unwrap() += 1;
                let body = its_answer.lock().unwrap().clone();
                let status = if body.is_empty() { "500 Sorry" } else { "200 OK" };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        Self { address, answer, asked }
    }

    fn answers(&self, keys: &[&Signer]) {
        let keys: Vec<&Jwk> = keys.iter().map(|signer| &signer.public).collect();
        *self.answer.lock().unwrap() = json!({ "keys": keys }).to_string();
    }

    fn fails(&self) {
        self.answer.lock().unwrap().clear();
    }
}

/// A key pair with a name.
struct Signer {
    name: &'static str,
    key: EncodingKey,
    public: Jwk,
}

impl Signer {
    fn new(name: &'static str) -> Self {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EncodingKey::from_ec_der(pair.as_ref());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        public.common.key_id = Some(name.to_owned());
        Self { name, key, public }
    }

    fn token(&self) -> String {
        let header = Header { kid: Some(self.name.to_owned()), ..Header::new(Algorithm::ES256) };
        sign(&header, &self.key, "alice", 600, &json!({"role": "all"}))
    }
}

#[test]
fn a_token_is_worth_its_role_or_the_one_it_has_within() {
    let text = format!(
        "[roles.all]\nsee = [\"*.*\"]\n[roles.late]\nsee = [\"*.*\"]\ndelay = \"15m\"\n{SYMMETRIC}"
    );
    let credentials = Credentials::new(&text, &[]);
    let gateway =
        Gateway::start(&["--shards", "1", "--symbols", "3", "--auth", credentials.path()]);
    let subscribe = json!({"op": "subscribe", "topics": ["BTCUSDT.trade", "ETHUSDT.trade"]});
    for (claims, expected) in [
        (json!({"role": "all"}), [true, true]),
        (json!({"role": "all", "tickcast": {"see": ["ETH*.*"]}}), [false, true]),
        (json!({"tickcast": {"see": ["*.*", "!ETH*.*"]}}), [true, false]),
    ] {
        let (mut client, _) =
            native(gateway.listen, &bearer(&token("alice", 600, &claims))).unwrap();
        let allowed = until("the instruments", || {
            let ack = ask(&mut client, &subscribe);
            let names = [0, 1].map(|at: usize| ack["results"][at]["name"].clone());
            (!names.contains(&json!("unavailable")))
                .then(|| [0, 1].map(|at: usize| ack["results"][at]["ok"] == true))
        });
        assert_eq!(allowed, expected, "{claims}");
    }
    for (claims, life_s, status) in [
        (json!({"role": "none"}), 600, "403"),
        (json!({"role": "late"}), 600, "403"),
        (json!({"role": "all", "nbf": 9_999_999_999_u64}), 600, "401"),
        (json!({"role": "all"}), 0, "401"),
    ] {
        let refused = native(gateway.listen, &bearer(&token("alice", life_s, &claims)));
        let refused = refused.map(|_| ()).unwrap_err();
        assert!(refused.starts_with(&format!("HTTP/1.1 {status}")), "{claims}: {refused}");
    }
    let late = bearer(&token("alice", 600, &json!({"role": "late"})));
    let refused = native(gateway.listen, &late).map(|_| ()).unwrap_err();
    assert!(refused.contains("delayed by 15 minutes"), "{refused}");
    let text = format!(
        "[roles.all]\nsee = [\"*.*\"]\n[roles.late]\nsee = [\"*.*\"]\ndelay = \"15m\"\n{SYMMETRIC}"
    );
    credentials.write(&text, &[]);
    // What counts is how old data is by the time it gets out.
    for (age, is_enough) in [("899s", true), ("898s", false)] {
        let arguments = ["--shards", "1", "--delay", "1s", "--source-age", age];
        let delayed = Gateway::start(&[&arguments[..], &["--auth", credentials.path()]].concat());
        assert_eq!(native(delayed.listen, &late).is_ok(), is_enough, "{age}");
    }
}

#[test]
fn keys_that_an_issuer_rotates_are_loaded_when_a_token_names_them() {
    let began = Instant::now();
    let (issuer, [first, second, third]) = (Issuer::start(), ["1", "2", "3"].map(Signer::new));
    issuer.answers(&[&first]);
    let text = format!(
        "[roles.all]\nsee = [\"*.*\"]\n[jwt]\nalgorithms = \"ES256\"\nrefresh = \"1h\"\njwks = \"http://{}/keys\"\n",
        issuer.address
    );
    let credentials = Credentials::new(&text, &[]);
    let gateway = Gateway::start(&["--shards", "2", "--auth", credentials.path()]);
    let is_accepted = |signer: &Signer| {
        let (mut client, _) = native(gateway.listen, "").unwrap();
        auth(&mut client, &signer.token())["op"] == "ack"
    };
    // A gateway does not wait for a slow issuer for ever.
    until("the first key", || is_accepted(&first).then_some(()));
    assert!(!is_accepted(&second));
    issuer.answers(&[&first, &second]);
    until("the second key", || is_accepted(&second).then_some(()));
    assert!(is_accepted(&first) && !is_accepted(&third));
    // While the issuer does not answer, what is known holds; and made-up names do not have it asked all the time.
    issuer.fails();
    until("a load that fails", || {
        assert!(!is_accepted(&third) && is_accepted(&first) && is_accepted(&second));
        (gateway.metric("tickcast_auth_key_failures_total") > 0.0).then_some(())
    });
    // Every five seconds, at most.
    let most = 3 + began.elapsed().as_secs() / 5;
    assert!(u64::from(*issuer.asked.lock().unwrap()) <= most, "more than {most} times");
    // SIGHUP asks anew; keys of a place that is not named any more are gone.
    issuer.answers(&[&third]);
    gateway.process.signal("-HUP");
    until("the third key", || is_accepted(&third).then_some(()));
    assert!(!is_accepted(&first));
    credentials.put("keys.json", &json!({"keys": [first.public]}).to_string());
    credentials.write(&text.replace(&format!("http://{}/keys", issuer.address), "keys.json"), &[]);
    gateway.process.signal("-HUP");
    until("the key in the file", || is_accepted(&first).then_some(()));
    assert!(!is_accepted(&third));
}
