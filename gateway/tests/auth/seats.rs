//! Sessions of one user: the newest stay, over all shards and ways in, and nobody is put out for ever. And plain requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::json;

use crate::support::credentials::{Credentials, SYMMETRIC, token};
use crate::support::event_source::{EventSource, Heard};
use crate::support::process::{Gateway, PATIENCE, get_with, until};
use crate::support::subscriber::Subscriber;
use crate::{ask, auth, bearer, end, native};

#[test]
fn the_oldest_session_makes_room_for_the_newest() {
    let text = format!("[roles.two]\nsee = [\"*.*\"]\nsessions = 2\n{SYMMETRIC}");
    let credentials = Credentials::new(&text, &[("desk", "open-sesame", "two")]);
    let gateway =
        Gateway::start(&["--shards", "2", "--symbols", "2", "--auth", credentials.path()]);
    gateway.wait_for_ticks();
    let key = bearer("open-sesame");
    let ping = json!({"op": "ping"});
    let mut exchange = Subscriber::try_upgrade(gateway.listen, "/ws/btcusdt@trade", &key).unwrap();
    // The answer to an upgrade comes before its session is open, what the session says after.
    assert!(exchange.next(PATIENCE).is_some());
    let mut source = EventSource::open_with(gateway.listen, "topics=BTCUSDT.trade", &key);
    assert_eq!(source.event().name, "hello");
    let (mut third, _) = native(gateway.listen, &key).unwrap();
    assert_eq!(end(&mut exchange), (1008, "replaced by a newer session".to_owned()));
    // Shown later it counts from then on.
    let (mut fourth, _) = native(gateway.listen, "").unwrap();
    assert_eq!(ask(&mut third, &ping), json!({"op": "pong"}));
    assert_eq!(auth(&mut fourth, "open-sesame")["op"], "ack");
    let close = loop {
        match source.next() {
            Heard::Event(event) if event.name == "close" => {
                assert_eq!(event.retry_ms, Some(3_600_000), "browsers come back of themselves");
                break event.data;
            }
            Heard::Event(_) | Heard::Comment(_) => {}
            Heard::End => panic!("a stream ends with a word"),
        }
    };
    assert!(close.contains("4503"), "{close}");
    // The same credential again takes no other place, and another user none of these.
    assert_eq!(auth(&mut third, "open-sesame")["op"], "ack");
    let of_desk = token("desk", 600, &json!({"role": "two"}));
    let (mut namesake, _) = native(gateway.listen, &bearer(&of_desk)).unwrap();
    for client in [&mut third, &mut fourth, &mut namesake] {
        assert_eq!(ask(client, &ping), json!({"op": "pong"}));
    }
    // Who leaves makes room.
    drop(fourth);
    until("the fourth to be gone", || (gateway.metric("tickcast_sessions") <= 2.0).then_some(()));
    let (mut fifth, _) = native(gateway.listen, &key).unwrap();
    for client in [&mut third, &mut fifth] {
        assert_eq!(ask(client, &ping), json!({"op": "pong"}));
    }
    // Who becomes somebody else takes a place there and leaves its own.
    assert_eq!(auth(&mut third, &of_desk)["op"], "ack");
    let (mut sixth, _) = native(gateway.listen, &key).unwrap();
    for client in [&mut third, &mut fifth, &mut sixth, &mut namesake] {
        assert_eq!(ask(client, &ping), json!({"op": "pong"}));
    }
    assert_eq!(gateway.metric("tickcast_closed_replaced_total"), 2.0);
}

#[test]
fn clients_that_come_back_regardless_do_not_put_each_other_out_for_ever() {
    let text = "[roles.one]\nsee = [\"*.*\"]\nsessions = 1\n";
    let credentials = Credentials::new(text, &[("desk", "open-sesame", "one")]);
    let gateway = Gateway::start(&["--symbols", "2", "--auth", credentials.path()]);
    gateway.wait_for_ticks();
    let key = bearer("open-sesame");
    let connect = || Subscriber::try_upgrade(gateway.listen, "/ws/btcusdt@trade", &key).unwrap();
    let mut holder = connect();
    let mut times = 0;
    let reason = loop {
        let closed = || gateway.metric("tickcast_closed_replaced_total");
        let before = closed();
        let mut next = connect();
        // One of the two is closed: the older, until that has happened often enough.
        until("one of them to go", || (closed() > before).then_some(()));
        if gateway.metric("tickcast_auth_refused_crowded_total") > 0.0 {
            break end(&mut next);
        }
        assert_eq!(end(&mut holder), (1008, "replaced by a newer session".to_owned()));
        holder = next;
        times += 1;
        assert!(times < 100, "for ever");
    };
    assert_eq!(reason, (1008, "sessions of this user replace each other".to_owned()));
    assert!(times >= 12, "{times}");
    assert!(holder.next(PATIENCE).is_some(), "who is there stays");
    let (mut native, _) = native(gateway.listen, "").unwrap();
    assert_eq!(auth(&mut native, "open-sesame")["op"], "ack");
    assert_eq!(end(&mut native), (4503, "sessions of this user replace each other".to_owned()));
}

/// What so many requests at once over each of two connections are answered: the statuses, and one answer of the last.
fn statuses(gateway: &Gateway, path: &str, key: &str, each: usize) -> (usize, usize, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{}\r\n", bearer(key));
    let last = request.replace("Host", "Connection: close\r\nHost");
    let all = request.repeat(each - 1) + &last;
    let mut connections = [(); 2].map(|()| TcpStream::connect(gateway.listen).unwrap());
    connections.iter_mut().for_each(|it| it.write_all(all.as_bytes()).unwrap());
    let mut text = String::new();
    for connection in &mut connections {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.read_to_string(&mut text).unwrap();
    }
    let count = |status: &str| text.matches(&format!("HTTP/1.1 {status}")).count();
    let refusal = text.split("HTTP/1.1 ").find(|answer| answer.starts_with("429"));
    (count("200"), count("429"), refusal.unwrap_or_default().to_owned())
}

#[test]
fn plain_requests_of_a_user_count_together_whatever_connection_they_come_by() {
    const EACH: usize = 50;
    let roles = "[roles.slow]\nsee = [\"*.*\"]\nrequests = 1\n[roles.free]\nsee = [\"*.*\"]\n";
    let keys = [("desk", "open-sesame", "slow"), ("eye", "another", "free")];
    let credentials = Credentials::new(roles, &keys);
    let arguments = ["--shards", "2", "--symbols", "2", "--exchange-weight", "0"];
    let gateway = Gateway::start(&[&arguments[..], &["--auth", credentials.path()]].concat());
    let begun = Instant::now();
    let mut answered = 0;
    for (path, expected) in
        [("/v1/instruments", "\"too_many_requests\""), ("/api/v3/exchangeInfo", "-1003")]
    {
        let (accepted, refused, refusal) = statuses(&gateway, path, "open-sesame", EACH);
        assert_eq!(accepted + refused, 2 * EACH, "{path}");
        assert!(refusal.contains(expected) && refusal.contains("retry-after: 1"), "{refusal}");
        answered += accepted;
    }
    // One to begin with, and one for each second since.
    let most = 1 + usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    assert!((1..=most).contains(&answered), "{answered} of {most}");
    assert_eq!(statuses(&gateway, "/v1/instruments", "another", EACH).0, 2 * EACH);
    until("the user's next second", || {
        (get_with(gateway.listen, "/v1/instruments", &bearer("open-sesame"))?.0 == 200)
            .then_some(())
    });
    assert!(gateway.metric("tickcast_auth_refused_too_often_total") > 0.0);
}
