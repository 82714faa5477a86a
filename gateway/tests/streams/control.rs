//! Requests, their answers to the letter, and what is said of those that are none.

use crate::{PATIENCE, ask, connect, end, gateway, json, symbols};

#[test]
fn ids_come_back_in_kind_whatever_stands_around_them() {
    let gateway = gateway(&[]);
    let mut client = connect(&gateway, "/ws");
    let uuid = "\"9c3b1c2e-4f4b-4d57-9c59-3a1ff3f0a8b1\"";
    for id in ["1", "0", "-1", "9223372036854775807", "null", "\"a\"", uuid] {
        let expected = format!(r#"{{"result":null,"id":{id}}}"#);
        let subscribe = format!(r#"{{"method":"SUBSCRIBE","params":["x@y"],"id":{id}}}"#);
        assert_eq!(ask(&mut client, &subscribe), expected);
        let spaced = format!(
            " {{ \"id\" : {id} ,\n \"more\":{{\"a\":[1,2]}}, \"params\" : [ \"x@y\" ] , \"method\" : \"UNSUBSCRIBE\" }} "
        );
        assert_eq!(ask(&mut client, &spaced), expected);
    }
    let set = r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#;
    assert_eq!(ask(&mut client, set), r#"{"result":null,"id":5}"#);
    let get = r#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#;
    assert_eq!(ask(&mut client, get), r#"{"result":true,"id":2}"#);
    let list = r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#;
    assert_eq!(ask(&mut client, list), r#"{"result":[],"id":3}"#);
}

#[test]
fn what_is_no_request_is_answered_as_the_exchange_does() {
    let gateway = gateway(&[]);
    // Refused, and the connection goes on.
    let mut client = connect(&gateway, "/ws");
    for (request, answer) in [
        (
            r#"{"method":"SET_PROPERTY","params":["x",true],"id":1}"#,
            r#"{"error":{"code":0,"msg":"Unknown property"},"id":1}"#,
        ),
        (
            r#"{"method":"SET_PROPERTY","params":["combined",7],"id":1}"#,
            r#"{"error":{"code":1,"msg":"Invalid value type: expected Boolean"},"id":1}"#,
        ),
        (
            r#"{"method":"GET_PROPERTY","params":[7],"id":1}"#,
            r#"{"error":{"code":2,"msg":"Invalid request: property name must be a string"},"id":1}"#,
        ),
        (
            r#"{"method":"GET_PROPERTY","params":["combined",1],"id":1}"#,
            r#"{"error":{"code":2,"msg":"Invalid request: too many parameters"},"id":1}"#,
        ),
        (
            r#"{"method":"LIST_SUBSCRIPTIONS","params":["x"],"id":1}"#,
            r#"{"error":{"code":2,"msg":"Invalid request: too many parameters"},"id":1}"#,
        ),
    ] {
        assert_eq!(ask(&mut client, request), answer, "{request}");
    }
    // An id that cannot be echoed.
    for id in
        [r#","id":1.5"#, r#","id":{}"#, "", r#","id":"0123456789012345678901234567890123456""#]
    {
        let request = format!(r#"{{"method":"LIST_SUBSCRIPTIONS"{id}}}"#);
        let answer = ask(&mut client, &request);
        assert!(answer.contains("request ID must be an unsigned integer"), "{id}: {answer}");
    }
    // Malformed: answered, then closed.
    for (request, part) in [
        (
            r#"{"method":"NOPE","id":1}"#,
            "Invalid request: unknown variant NOPE, expected one of `SUBSCRIBE`",
        ),
        (
            r#"{"params":["a@trade"],"id":1}"#,
            "Invalid request: missing field `method` at line 1 column",
        ),
        (
            r#"{"method":"SUBSCRIBE","params":["nothing"],"id":1}"#,
            r#""msg":"Invalid request: invalid stream"},"id":1}"#,
        ),
        ("hello", "Invalid JSON: expected value at line 1 column 1"),
        ("", "Invalid JSON"),
    ] {
        let mut client = connect(&gateway, "/stream");
        client.send(request);
        let answer = client.next_text(PATIENCE);
        assert!(answer.contains(part), "{request}: {answer}");
        assert!(json(&answer)["error"]["code"].as_u64().is_some(), "{answer}");
        assert_eq!(end(&mut client), (1008, "Invalid request".to_owned()), "{request}");
    }
    let flat = crate::gateway(&["--exchange-flat-errors"]);
    let mut client = connect(&flat, "/ws");
    let answer = ask(&mut client, r#"{"method":"SET_PROPERTY","params":["x",true],"id":1}"#);
    let expected =
        r#"{"error":{"code":0,"msg":"Unknown property"},"code":0,"msg":"Unknown property","id":1}"#;
    assert_eq!(answer, expected);
}

#[test]
fn binary_streams_have_answers_in_text_and_events_without_envelopes() {
    let gateway = gateway(&[]);
    let name = &symbols(&gateway)[0];
    let mut client =
        connect(&gateway, &format!("/stream-sbe/stream?streams={name}@trade/{name}@depth20"));
    let mut templates = [0_u32; 2];
    let deadline = std::time::Instant::now() + PATIENCE;
    while templates.contains(&0) {
        assert!(std::time::Instant::now() < deadline, "{templates:?}");
        if let Some(crate::Message::Binary(event)) = client.next(PATIENCE) {
            assert_eq!(event[4..6], [1, 0], "schema 1");
            match u16::from_le_bytes([event[2], event[3]]) {
                10_000 => templates[0] += 1,
                10_002 => templates[1] += 1,
                other => panic!("template {other}"),
            }
        }
    }
    client.send(r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#);
    let list = loop {
        match client.next(PATIENCE) {
            Some(crate::Message::Text(text)) => break text,
            Some(crate::Message::Binary(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list, format!(r#"{{"result":["{name}@trade","{name}@depth20"],"id":3}}"#));
}

#[test]
fn every_stream_of_an_instrument_that_the_feed_has_brings_events() {
    let gateway = gateway(&[]);
    let names = symbols(&gateway);
    let one = &names[0];
    let mut wanted: Vec<String> = [
        "trade",
        "bookTicker",
        "depth",
        "depth@100ms",
        "depth5",
        "depth10@100ms",
        "depth20",
        "ticker",
        "miniTicker",
        "kline_1m",
    ]
    .iter()
    .map(|channel| format!("{one}@{channel}"))
    .collect();
    wanted.extend(["!miniTicker@arr", "!ticker@arr", "!bookTicker"].map(str::to_owned));
    let mut client = connect(&gateway, &format!("/stream?streams={}", wanted.join("/")));
    let deadline = std::time::Instant::now() + PATIENCE;
    while !wanted.is_empty() {
        assert!(std::time::Instant::now() < deadline, "nothing came of {wanted:?}");
        let event = json(&client.next_text(PATIENCE));
        // A stream of one instrument has precedence over the one of all.
        wanted.retain(|name| event["stream"] != **name);
        if wanted.len() == 1 && wanted[0] == "!bookTicker" {
            ask(
                &mut client,
                &format!(r#"{{"method":"UNSUBSCRIBE","params":["{one}@bookTicker"],"id":1}}"#),
            );
        }
    }
}
