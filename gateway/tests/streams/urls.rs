//! Every form of URL, and what a connection begins with at each.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::{PATIENCE, ask, connect, gateway, json, symbols};

#[test]
fn every_form_of_url_gives_its_streams_in_its_form() {
    let gateway = gateway(&[]);
    let names = symbols(&gateway);
    let (one, other) = (&names[0], &names[1]);
    let list = r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#;
    let quoted = |streams: &[String]| {
        let quoted: Vec<_> = streams.iter().map(|stream| format!("\"{stream}\"")).collect();
        format!(r#"{{"result":[{}],"id":3}}"#, quoted.join(","))
    };
    let (a, b) = (format!("{one}@trade"), format!("{other}@bookTicker"));
    let both = [a.clone(), b.clone()];
    let cases: Vec<(String, &[String], bool)> = vec![
        (format!("/ws/{a}"), &both[..1], false),
        (format!("/ws/{a}/{b}/"), &both, false),
        ("/ws".to_owned(), &[], false),
        ("/ws/17".to_owned(), &[], false),
        ("/stream.binance.local/ws/0".to_owned(), &[], false),
        (format!("/stream?streams={a}/{b}"), &both, true),
        ("/stream?streams=".to_owned(), &[], true),
        ("/stream".to_owned(), &[], true),
        (format!("/stream?streams={}%2F{}", a.replace('@', "%40"), b), &both, true),
        (format!("/stream?streams={a}/{b}?timeUnit=MICROSECOND"), &both, true),
        (format!("/ws/{a}?timeUnit=microsecond"), &both[..1], false),
    ];
    for (path, streams, is_combined) in cases {
        let mut client = connect(&gateway, &path);
        assert_eq!(ask(&mut client, list), quoted(streams), "{path}");
        let property =
            ask(&mut client, r#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#);
        assert_eq!(property, format!(r#"{{"result":{is_combined},"id":2}}"#), "{path}");
        if streams.is_empty() {
            let request = format!(r#"{{"method":"SUBSCRIBE","params":["{a}"],"id":"x"}}"#);
            assert_eq!(ask(&mut client, &request), r#"{"result":null,"id":"x"}"#);
        }
        let event = json(&client.next_text(PATIENCE));
        let event = if is_combined {
            assert!(streams.is_empty() || both.iter().any(|name| event["stream"] == **name));
            event["data"].clone()
        } else {
            event
        };
        if event["e"] == "trade" {
            let time = event["T"].as_u64().expect("a time");
            let is_micros = path.contains("timeUnit");
            assert_eq!(time > 100_000_000_000_000, is_micros, "{path}: {time}");
        }
    }
}

#[test]
fn as_many_streams_as_are_allowed_fit_into_one_request_and_one_more_does_not() {
    let gateway = gateway(&[]);
    let names = symbols(&gateway);
    // 25 bytes each, as the longest names of real symbols have.
    let many: Vec<String> = (0..1023).map(|n| format!("thousandcats{n:04}@trade")).collect();
    let path = format!("/stream?streams={}@trade/{}", names[0], many.join("/"));
    assert!(path.len() > 23_000, "{}", path.len());
    let mut client = connect(&gateway, &path);
    let event = client.next_text(PATIENCE);
    assert!(event.starts_with(&format!("{{\"stream\":\"{}@trade\"", names[0])), "{event}");
    let list = json(&ask(&mut client, r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#));
    assert_eq!(list["result"].as_array().map(Vec::len), Some(1024));
    let request = format!(r#"{{"method":"SUBSCRIBE","params":["{}@depth"],"id":4}}"#, names[0]);
    let refused = r#"{"error":{"code":4,"msg":"Too many subscriptions"},"id":4}"#;
    assert_eq!(ask(&mut client, &request), refused);
    let again = format!(r#"{{"method":"SUBSCRIBE","params":["{}@trade"],"id":5}}"#, names[0]);
    assert_eq!(ask(&mut client, &again), r#"{"result":null,"id":5}"#);
    let leave = r#"{"method":"UNSUBSCRIBE","params":["thousandcats0007@trade"],"id":6}"#;
    assert_eq!(ask(&mut client, leave), r#"{"result":null,"id":6}"#);
    assert_eq!(ask(&mut client, &request), r#"{"result":null,"id":4}"#);

    let too_many = format!("{path}/{}@depth", names[0]);
    assert_eq!(status(&gateway, &too_many), 400);
    assert_eq!(status(&gateway, "/stream?streams=@"), 400);
    assert_eq!(status(&gateway, "/nothing"), 404);
}

/// The status with which an upgrade is answered.
fn status(gateway: &crate::Gateway, path: &str) -> u16 {
    let mut stream = TcpStream::connect(gateway.listen).expect("the gateway accepts");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("the gateway reads");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("the gateway answers");
    std::str::from_utf8(&head[9..]).expect("digits").parse().expect("a status")
}

#[test]
fn upper_case_is_silent_unless_it_is_asked_for() {
    let gateway = gateway(&[]);
    let name = symbols(&gateway)[0].to_uppercase();
    let mut client = connect(&gateway, &format!("/ws/{name}@trade"));
    assert!(client.next(std::time::Duration::from_millis(500)).is_none());
    let gateway = crate::gateway(&["--exchange-any-case"]);
    let mut client = connect(&gateway, &format!("/stream?streams={name}@trade"));
    let event = client.next_text(PATIENCE);
    assert!(event.starts_with(&format!("{{\"stream\":\"{name}@trade\"")), "{event}");
}

#[test]
fn the_face_can_be_left_out() {
    let gateway = gateway(&["--exchange=false"]);
    assert_eq!(status(&gateway, "/ws"), 404);
    assert_eq!(status(&gateway, "/stream"), 404);
    assert_eq!(status(&gateway, "/v1/stream"), 101);
}
