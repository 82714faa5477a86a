//! Sessions of one user: the newest stay, over all shards and ways in, and nobody is put out for ever.

use serde_json::json;

use crate::support::credentials::{Credentials, SYMMETRIC, token};
use crate::support::event_source::{EventSource, Heard};
use crate::support::process::{Gateway, PATIENCE, until};
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
