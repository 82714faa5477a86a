//! Limits, liveness and ends.

use std::time::{Duration, Instant};

use crate::support::process::until;
use crate::support::subscriber::frame;
use crate::{Message, PATIENCE, Subscriber, ask, connect, end, gateway, json, symbols};

#[test]
fn six_messages_in_a_second_are_too_many() {
    let gateway = gateway(&["--exchange-message-rate", "5"]);
    let mut client = connect(&gateway, "/ws");
    // In one write: what comes later is allowed later.
    let six: Vec<u8> = (0..6)
        .map(|id| format!(r#"{{"method":"LIST_SUBSCRIPTIONS","id":{id}}}"#))
        .flat_map(|text| frame(0x81, text.as_bytes()))
        .collect();
    client.send_raw(&six);
    for id in 0..5 {
        assert_eq!(client.next_text(PATIENCE), format!(r#"{{"result":[],"id":{id}}}"#));
    }
    assert_eq!(end(&mut client), (1008, "Too many requests".to_owned()));
}

#[test]
fn who_answers_no_ping_is_closed_and_who_does_is_not() {
    // Long enough for an answer from a busy machine.
    let gateway = gateway(&["--ping-interval", "200ms", "--pong-timeout", "8s"]);
    let started = Instant::now();
    let mut silent = connect(&gateway, "/ws");
    silent.answers_pings = false;
    let mut lively = connect(&gateway, "/ws");
    // That it speaks is no pong.
    let list = r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#;
    loop {
        silent.send(list);
        silent.send_frame(0x8a, b"unasked");
        match silent.next(Duration::from_millis(100)) {
            Some(Message::Close(code)) => {
                assert_eq!((code, silent.close_reason.as_str()), (1008, "Pong timeout"));
                break;
            }
            Some(Message::Text(_)) | None => {}
            other => panic!("{other:?}"),
        }
        assert!(lively.next(Duration::from_millis(50)).is_none());
        assert!(started.elapsed() < PATIENCE);
    }
    assert!(started.elapsed() >= Duration::from_millis(7_900), "{:?}", started.elapsed());
    assert_eq!(ask(&mut lively, list), r#"{"result":[],"id":3}"#);
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let gateway = gateway(&[]);
    let mut client = connect(&gateway, "/ws");
    client.send_frame(0x89, b"are you there");
    until("a pong", || {
        let _ = client.next(Duration::from_millis(50));
        (client.last_pong == b"are you there").then_some(())
    });
}

#[test]
fn an_address_connects_so_often_and_no_more() {
    let gateway = gateway(&["--exchange-connections", "3"]);
    let clients: Vec<_> = (0..3).map(|_| connect(&gateway, "/ws")).collect();
    let refused = Subscriber::try_upgrade(gateway.listen, "/ws", "").err();
    let refused = refused.expect("the fourth is refused");
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    drop(clients);
}

#[test]
fn a_connection_ends_when_it_is_old() {
    let gateway = gateway(&["--exchange-age", "1s"]);
    let started = Instant::now();
    let mut client = connect(&gateway, "/ws");
    assert_eq!(end(&mut client), (1001, String::new()));
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
}

#[test]
fn a_drain_is_announced_where_it_may_be() {
    for (announces, value) in
        [(true, "--exchange-shutdown-event=true"), (false, "--exchange-shutdown-event=false")]
    {
        let arguments = [value, "--drain-window", "1s"];
        let mut gateway = gateway(&arguments);
        let name = symbols(&gateway)[0].clone();
        let mut raw = connect(&gateway, "/ws");
        let mut combined = connect(&gateway, &format!("/stream?streams={name}@kline_1M"));
        ask(&mut raw, r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#);
        ask(&mut combined, r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#);
        gateway.process.terminate();
        let mut told = Vec::new();
        for client in [&mut raw, &mut combined] {
            loop {
                match client.next(PATIENCE) {
                    Some(Message::Text(text)) if text.contains("serverShutdown") => told.push(text),
                    Some(Message::Text(_)) => {}
                    Some(Message::Close(code)) => {
                        assert_eq!(code, 1001);
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        if announces {
            assert!(told[0].starts_with(r#"{"e":"serverShutdown","E":"#), "{told:?}");
            assert_eq!(json(&told[1])["stream"], "!serverShutdown");
            assert_eq!(json(&told[1])["data"]["e"], "serverShutdown");
        } else {
            assert!(told.is_empty(), "{told:?}");
        }
    }
}
