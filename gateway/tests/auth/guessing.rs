//! Those who try credentials: they are heard, in their turn, and nobody waits for them.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::credentials::{Credentials, SYMMETRIC, token};
use crate::support::process::{Gateway, PATIENCE};
use crate::{auth, end, native, reply};

fn start() -> (Credentials, Gateway) {
    let text = format!("[roles.all]\nsee = [\"*.*\"]\n{SYMMETRIC}");
    let credentials = Credentials::new(&text, &[("desk", "open-sesame", "all")]);
    // Who waits its turn on a busy machine is not mistaken for one that says nothing.
    let patient = ["--handshake-timeout", "10m"];
    let market = ["--shards", "1", "--symbols", "2", "--auth", credentials.path()];
    let gateway = Gateway::start(&[&patient[..], &market].concat());
    gateway.wait_for_ticks();
    (credentials, gateway)
}

#[test]
fn the_third_wrong_credential_of_a_stranger_is_the_last() {
    let (_credentials, gateway) = start();
    let (mut stranger, _) = native(gateway.listen, "").unwrap();
    let forged = format!("{}x", token("alice", 600, &json!({"role": "all"})));
    for wrong in ["shut-sesame", &forged, "open-says-me"] {
        assert_eq!(auth(&mut stranger, wrong)["name"], "not_entitled");
    }
    assert_eq!(end(&mut stranger), (4502, "not entitled".to_owned()));
    // Who slips twice is forgiven; so is a client that was let in, whose next token is a wrong one.
    let (mut client, _) = native(gateway.listen, "").unwrap();
    for (shown, answer) in [
        ("shut-sesame", "error"),
        ("shut-sesame", "error"),
        ("open-sesame", "ack"),
        ("shut-sesame", "error"),
        ("shut-sesame", "error"),
        ("shut-sesame", "error"),
        ("open-sesame", "ack"),
    ] {
        assert_eq!(auth(&mut client, shown)["op"], answer, "{shown}");
    }
    assert_eq!(gateway.metric("tickcast_closed_not_entitled_total"), 1.0);
}

#[test]
fn a_crowd_of_forged_tokens_waits_its_turn_and_ticks_do_not() {
    const CONNECTIONS: usize = 20;
    const REQUESTS: usize = 100;
    let (_credentials, gateway) = start();
    let (mut client, _) = native(gateway.listen, &crate::bearer("open-sesame")).unwrap();
    client.send(&json!({"op": "subscribe", "topics": ["*.quote"]}).to_string());
    assert_eq!(reply(&mut client)["op"], "ack");
    let forged = format!("{}x", token("alice", 600, &json!({"role": "all"})));
    let request = format!(
        "GET /v1/instruments HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {forged}\r\n\r\n"
    );
    let last = request.replace("Host", "Connection: close\r\nHost");
    let all = request.repeat(REQUESTS - 1) + &last;
    let crowd: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (all, listen) = (all.clone(), gateway.listen);
            std::thread::spawn(move || {
                let mut socket = TcpStream::connect(listen).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut writing = socket.try_clone().unwrap();
                let writer = std::thread::spawn(move || writing.write_all(all.as_bytes()));
                let mut answers = String::new();
                socket.read_to_string(&mut answers).unwrap();
                writer.join().unwrap().unwrap();
                answers.matches("HTTP/1.1 401").count()
            })
        })
        .collect();
    while !crowd.iter().all(std::thread::JoinHandle::is_finished) {
        assert!(client.next(PATIENCE).is_some(), "the subscriber goes on");
    }
    for one in crowd {
        assert_eq!(one.join().unwrap(), REQUESTS, "each is answered");
    }
    let refused = gateway.metric("tickcast_auth_refused_forged_total");
    assert_eq!(refused, (CONNECTIONS * REQUESTS) as f64);
    assert!(gateway.metric("tickcast_requests_paced_total") > 0.0);
}
