//! When credentials end: in time, before their time, and when the files say something else.

use serde_json::{Value, json};

use crate::support::credentials::{Credentials, SYMMETRIC, token};
use crate::support::event_source::{EventSource, Heard};
use crate::support::process::{Gateway, PATIENCE, until};
use crate::support::subscriber::{Message, Subscriber};
use crate::{ask, auth, bearer, end, native, reply};

fn start(text: &str, keys: &[(&str, &str, &str)]) -> (Credentials, Gateway) {
    let credentials = Credentials::new(text, keys);
    let gateway =
        Gateway::start(&["--shards", "2", "--symbols", "3", "--auth", credentials.path()]);
    gateway.wait_for_ticks();
    (credentials, gateway)
}

const ROLES: &str = "revoked-file = \"revoked\"\n[roles.all]\nsee = [\"*.*\"]\n";

/// The events of a stream until its end, by name.
fn close_of(mut source: EventSource) -> (bool, Value) {
    let mut is_warned = false;
    loop {
        match source.next() {
            Heard::Event(event) if event.name == "expiring" => is_warned = true,
            Heard::Event(event) if event.name == "close" => {
                return (is_warned, serde_json::from_str(&event.data).unwrap());
            }
            Heard::Event(_) | Heard::Comment(_) => {}
            Heard::End => panic!("a stream ends with a word"),
        }
    }
}

#[test]
fn who_refreshes_goes_on_and_who_does_not_is_closed() {
    let (_credentials, gateway) = start(&format!("{ROLES}{SYMMETRIC}"), &[]);
    // The longer they live, the busier a machine may be.
    let mut lives_s = [6, 12, 24, 48].into_iter();
    assert!(lives_s.any(|life_s| is_refreshed_in_time(&gateway, life_s)), "too late each time");
}

/// Clients whose token lives so long: one is refreshed when it is told to, and the others are closed at its end. `false`:
/// it was over before all of them had shown it, or before another was shown.
fn is_refreshed_in_time(gateway: &Gateway, life_s: u64) -> bool {
    let all = json!({"role": "all"});
    let short = token("alice", life_s, &all);
    let Ok((mut refreshed, _)) = native(gateway.listen, &bearer(&short)) else { return false };
    let (mut silent, _) = native(gateway.listen, "").unwrap();
    if auth(&mut silent, &short)["op"] != "ack" {
        return false;
    }
    let exchange = Subscriber::try_upgrade(gateway.listen, "/ws/btcusdt@trade", &bearer(&short));
    let Ok(mut exchange) = exchange else { return false };
    let source = EventSource::open_with(gateway.listen, "topics=BTCUSDT.trade", &bearer(&short));
    if !source.head.starts_with("HTTP/1.1 200") {
        return false;
    }
    for client in [&mut refreshed, &mut silent] {
        let expiring = reply(client);
        assert_eq!(expiring["op"], "expiring", "{expiring}");
        let in_ms = expiring["in_ms"].as_u64().unwrap();
        assert!((1..=life_s * 200).contains(&in_ms), "a fifth of {life_s} seconds: {expiring}");
    }
    let more = json!({"op": "auth", "token": token("alice", 600, &all)});
    refreshed.send(&more.to_string());
    match refreshed.next(PATIENCE) {
        Some(Message::Text(text)) => assert_eq!(text, r#"{"op":"ack"}"#),
        Some(Message::Close(4502) | Message::End) => return false,
        other => panic!("{other:?}"),
    }
    assert_eq!(end(&mut silent), (4502, "credential expired".to_owned()));
    assert_eq!(end(&mut exchange), (1008, "credential expired".to_owned()));
    let (is_warned, close) = close_of(source);
    assert!(is_warned && close["code"] == 4502, "{close}");
    assert_eq!(ask(&mut refreshed, &json!({"op": "ping"})), json!({"op": "pong"}));
    let refused = native(gateway.listen, &bearer(&short)).map(|_| ()).unwrap_err();
    assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("expired"), "{refused}");
    true
}

#[test]
fn what_is_revoked_is_closed_and_nothing_else() {
    let keys = [("desk", "open-sesame", "all"), ("eye", "another", "all")];
    let (credentials, gateway) = start(&format!("{ROLES}{SYMMETRIC}"), &keys);
    let token = |user: &str, id: &str| token(user, 600, &json!({"role": "all", "jti": id}));
    let of = |credential: &str| native(gateway.listen, &bearer(credential)).unwrap().0;
    let (alice, bob) = (token("alice", "1"), token("bob", "2"));
    let (mut desk, mut eye, mut first, mut second) =
        (of("open-sesame"), of("another"), of(&alice), of(&bob));
    let source = EventSource::open_with(gateway.listen, "topics=BTCUSDT.trade", &bearer(&alice));
    credentials.put("revoked", "jti 1\n");
    assert_eq!(end(&mut first), (4502, "credential revoked".to_owned()));
    assert_eq!(close_of(source).1["code"], 4502);
    credentials.put("revoked", "# who has left\njti 1\nkey desk\nsub bob\n");
    assert_eq!(end(&mut desk), (4502, "credential revoked".to_owned()));
    assert_eq!(end(&mut second), (4502, "credential revoked".to_owned()));
    assert_eq!(ask(&mut eye, &json!({"op": "ping"})), json!({"op": "pong"}));
    for revoked in ["open-sesame", &alice, &bob] {
        assert!(native(gateway.listen, &bearer(revoked)).is_err());
    }
    // A bad file changes nothing.
    credentials.put("revoked", "everybody\n");
    until("the bad file to be seen", || {
        (gateway.metric("tickcast_auth_revocation_failures_total") > 0.0).then_some(())
    });
    assert!(native(gateway.listen, &bearer(&alice)).is_err());
    assert_eq!(ask(&mut eye, &json!({"op": "ping"})), json!({"op": "pong"}));
}

#[test]
fn another_issuer_or_audience_ends_sessions_of_the_old_one() {
    let file = |wanted: &str| format!("{ROLES}{SYMMETRIC}{wanted}");
    let (credentials, gateway) = start(&file("issuer = [\"old\", \"new\"]\n"), &[]);
    let shown = |issuer: &str, more: &Value| {
        let mut claims = json!({"role": "all", "iss": issuer});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        bearer(&token("alice", 600, &claims))
    };
    let (old, new) = (shown("old", &json!({})), shown("new", &json!({})));
    let mut first = native(gateway.listen, &old).unwrap().0;
    let mut stays = native(gateway.listen, &new).unwrap().0;
    let mut exchange = Subscriber::try_upgrade(gateway.listen, "/ws/btcusdt@trade", &old).unwrap();
    let source = EventSource::open_with(gateway.listen, "topics=BTCUSDT.trade", &old);
    credentials.write(&file("issuer = \"new\"\n"), &[]);
    gateway.process.signal("-HUP");
    assert_eq!(end(&mut first), (4502, "credential revoked".to_owned()));
    assert_eq!(end(&mut exchange), (1008, "credential revoked".to_owned()));
    assert_eq!(close_of(source).1["code"], 4502);
    assert!(native(gateway.listen, &old).is_err());
    assert_eq!(ask(&mut stays, &json!({"op": "ping"})), json!({"op": "pong"}));
    // An audience, where there was none.
    credentials.write(&file("issuer = \"new\"\naudience = \"here\"\n"), &[]);
    gateway.process.signal("-HUP");
    assert_eq!(end(&mut stays), (4502, "credential revoked".to_owned()));
    let here = shown("new", &json!({"aud": ["there", "here"]}));
    assert!(native(gateway.listen, &here).is_ok() && native(gateway.listen, &new).is_err());
}

#[test]
fn another_file_holds_for_who_is_there() {
    let keys = [("desk", "open-sesame", "all"), ("eye", "another", "all")];
    let (credentials, gateway) = start(ROLES, &keys);
    let (mut desk, _) = native(gateway.listen, &bearer("open-sesame")).unwrap();
    let (mut eye, _) = native(gateway.listen, &bearer("another")).unwrap();
    let subscribe =
        json!({"op": "subscribe", "topics": ["BTCUSDT.trade", "ETHUSDT.trade", "*.quote"]});
    assert_eq!(ask(&mut desk, &subscribe)["op"], "ack");
    credentials.write(&ROLES.replace("[\"*.*\"]", "[\"BTC*.*\"]"), &keys[..1]);
    gateway.process.signal("-HUP");
    let revoked = reply(&mut desk);
    assert_eq!(revoked["op"], "revoked", "{revoked}");
    assert_eq!(revoked["topics"], json!(["ETHUSDT.trade"]));
    assert_eq!(revoked["narrowed"], json!(["*.quote"]));
    assert_eq!(end(&mut eye), (4502, "credential revoked".to_owned()));
    let ack =
        ask(&mut desk, &json!({"op": "subscribe", "topics": ["SOLUSDT.quote", "BTCUSDT.quote"]}));
    assert_eq!((&ack["results"][0]["ok"], &ack["results"][1]["ok"]), (&json!(false), &json!(true)));
    // A bad file changes nothing, and says so.
    credentials.put("auth.toml", "[roles.all]\nsees = []\n");
    gateway.process.signal("-HUP");
    until("the bad file to be seen", || {
        (gateway.metric("tickcast_auth_reload_failures_total") > 0.0).then_some(())
    });
    gateway.process.wait_for_log("did you mean `see`?");
    assert_eq!(ask(&mut desk, &json!({"op": "ping"})), json!({"op": "pong"}));
    assert!(native(gateway.listen, &bearer("open-sesame")).is_ok());
}
