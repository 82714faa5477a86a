//! Control: requests of every kind, replies and errors to the letter.

use tickcast_wire::exchange::control::{self, ErrorShape};
use tickcast_wire::exchange::{ControlError, Fault, Request, RequestId, TimeUnit};

/// The reply to a request that is taken, or its error.
fn reply(text: &str) -> String {
    let mut out = Vec::new();
    match Request::parse(text.as_bytes()) {
        Ok(Request::Subscribe { id, .. } | Request::Unsubscribe { id, .. }) => {
            control::done(&mut out, &id);
        }
        Ok(Request::SetCombined { id, .. }) => control::done(&mut out, &id),
        Ok(Request::List { id }) => {
            let names = ["btcusdt@trade", "ethusdt@depth@100ms"];
            control::list(&mut out, names.into_iter(), &id);
        }
        Ok(Request::GetCombined { id }) => control::property(&mut out, true, &id),
        Err(error) => control::error(&mut out, &error, ErrorShape::Nested),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn replies_are_the_documented_ones() {
    for (request, expected) in [
        (
            r#"{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@depth@100ms"],"id":7}"#,
            r#"{"result":null,"id":7}"#,
        ),
        (
            r#"{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":312}"#,
            r#"{"result":null,"id":312}"#,
        ),
        (
            r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#,
            r#"{"result":["btcusdt@trade","ethusdt@depth@100ms"],"id":3}"#,
        ),
        (
            r#"{"method":"LIST_SUBSCRIPTIONS","params":[],"id":3}"#,
            r#"{"result":["btcusdt@trade","ethusdt@depth@100ms"],"id":3}"#,
        ),
        (
            r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#,
            r#"{"result":null,"id":5}"#,
        ),
        (r#"{"method":"GET_PROPERTY","params":["combined"],"id":2}"#, r#"{"result":true,"id":2}"#),
    ] {
        assert_eq!(reply(request), expected, "{request}");
    }
    let mut out = Vec::new();
    control::list(&mut out, std::iter::empty::<&str>(), &RequestId::Null);
    control::property(&mut out, false, &RequestId::Integer(-1));
    assert_eq!(out, br#"{"result":[],"id":null}{"result":false,"id":-1}"#);
}

#[test]
fn ids_are_echoed_in_kind() {
    for id in [
        "1",
        "-1",
        "0",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "null",
        r#""""#,
        r#""123e4567-e89b-12d3-a456-426614174000""#,
        r#""a \"quoted\" id""#,
    ] {
        let request = format!(r#"{{"method":"SUBSCRIBE","params":[],"id":{id}}}"#);
        assert_eq!(reply(&request), format!(r#"{{"result":null,"id":{id}}}"#));
    }
    let error =
        r#"{"error":{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"}}"#;
    for id in [
        "1.5",
        "1e3",
        "18446744073709551616",
        "{}",
        "[1]",
        "true",
        r#""123e4567-e89b-12d3-a456-4266141740000""#,
    ] {
        assert_eq!(
            reply(&format!(r#"{{"id":{id},"method":"SUBSCRIBE","params":[]}}"#)),
            error,
            "{id}"
        );
    }
    assert_eq!(reply(r#"{"method":"SUBSCRIBE","params":["btcusdt@trade"]}"#), error);
}

#[test]
fn space_order_and_unknown_members_do_not_matter() {
    let request = "\n{ \"extra\": {\"deep\": [1, {}]}, \"id\" : \"x\",\t\"params\" : [ \"a@trade\" , \
                   \"b\\u0040trade\" ], \"method\": \"SUBSCRIBE\", \"timeUnit\": null } ";
    let streams = vec!["a@trade".to_owned(), "b@trade".to_owned()];
    let parsed = Request::parse(request.as_bytes()).unwrap();
    assert!(
        matches!(&parsed, Request::Subscribe { streams: s, .. } if *s == streams),
        "{parsed:?}"
    );
    assert_eq!(reply(request), r#"{"result":null,"id":"x"}"#);
    let off = Request::parse(br#"{"method":"SET_PROPERTY","params":["combined",false],"id":5}"#);
    assert_eq!(off, Ok(Request::SetCombined { id: RequestId::Integer(5), combined: false }));
}

#[test]
fn faults_have_the_documented_codes_and_texts() {
    let nested = |code: u8, msg: &str, id: &str| {
        format!(r#"{{"error":{{"code":{code},"msg":"{msg}"}}{id}}}"#)
    };
    let name = "Invalid request: property name must be a string";
    let many = "Invalid request: too many parameters";
    for (request, code, msg, id) in [
        (
            r#"{"method":"SET_PROPERTY","params":["other",true],"id":1}"#,
            0,
            "Unknown property",
            ",\"id\":1",
        ),
        (
            r#"{"method":"GET_PROPERTY","params":["other"],"id":1}"#,
            0,
            "Unknown property",
            ",\"id\":1",
        ),
        (
            r#"{"method":"SET_PROPERTY","params":["combined","true"],"id":1}"#,
            1,
            "Invalid value type: expected Boolean",
            ",\"id\":1",
        ),
        (
            r#"{"method":"SET_PROPERTY","params":["combined"],"id":1}"#,
            1,
            "Invalid value type: expected Boolean",
            ",\"id\":1",
        ),
        (r#"{"method":"SET_PROPERTY","params":[true],"id":1}"#, 2, name, ",\"id\":1"),
        (r#"{"method":"SET_PROPERTY","params":[],"id":1}"#, 2, name, ",\"id\":1"),
        (r#"{"method":"GET_PROPERTY","id":"g"}"#, 2, name, ",\"id\":\"g\""),
        (r#"{"method":"GET_PROPERTY","params":["combined",true],"id":1}"#, 2, many, ",\"id\":1"),
        (r#"{"method":"SET_PROPERTY","params":["combined",true,1],"id":1}"#, 2, many, ",\"id\":1"),
        (r#"{"method":"LIST_SUBSCRIPTIONS","params":["a"],"id":1}"#, 2, many, ",\"id\":1"),
        (
            r#"{"method":"SUBSCRIBE","params":["btcusdt@trade",5],"id":1}"#,
            2,
            "Invalid request: invalid stream",
            ",\"id\":1",
        ),
        (
            r#"{"method":"subscribe","params":["btcusdt@trade"],"id":1}"#,
            2,
            "Invalid request: unknown variant subscribe, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` at line 1 column 21",
            ",\"id\":1",
        ),
        (
            r#"{"params":["a@trade"],"id":1}"#,
            2,
            "Invalid request: missing field `method` at line 1 column 29",
            ",\"id\":1",
        ),
        (
            r#"{"method":"SUBSCRIBE","id":1}"#,
            2,
            "Invalid request: missing field `params` at line 1 column 29",
            ",\"id\":1",
        ),
        (
            r#"{"method":"SUBSCRIBE","params":"btcusdt@trade","id":1}"#,
            2,
            r#"Invalid request: invalid type: string \"btcusdt@trade\", expected a sequence at line 1 column 46"#,
            ",\"id\":1",
        ),
        (
            "[]",
            2,
            "Invalid request: invalid type: sequence, expected a request object at line 1 column 0",
            "",
        ),
        (
            "5",
            2,
            "Invalid request: invalid type: integer `5`, expected a request object at line 1 column 1",
            "",
        ),
        ("", 3, "Invalid JSON: EOF while parsing a value at line 1 column 0", ""),
        ("ping", 3, "Invalid JSON: expected value at line 1 column 1", ""),
        ("{\n  \"method\": nothing", 3, "Invalid JSON: expected ident at line 2 column 14", ""),
        (
            r#"{"method":"LIST_SUBSCRIPTIONS","id":1"#,
            3,
            "Invalid JSON: EOF while parsing an object at line 1 column 37",
            "",
        ),
        (
            r#"{"method":"LIST_SUBSCRIPTIONS","id":1}{}"#,
            3,
            "Invalid JSON: trailing characters at line 1 column 39",
            "",
        ),
    ] {
        assert_eq!(reply(request), nested(code, msg, id), "{request}");
    }
    let hostile = format!(r#"{{"method":{},"id":1}}"#, "[".repeat(100_000));
    let error = Request::parse(hostile.as_bytes()).unwrap_err();
    assert!(error.fault.is_malformed(), "{error}");
    let not_text = b"{\"method\":\"\xff\",\"id\":1}";
    assert_eq!(Request::parse(not_text).unwrap_err().fault.code(), 3);
}

#[test]
fn faults_of_streams_are_told_in_both_shapes() {
    let error = |fault| ControlError { id: Some(RequestId::Integer(7)), fault };
    let mut out = Vec::new();
    control::error(&mut out, &error(Fault::InvalidStream), ErrorShape::Nested);
    assert_eq!(
        String::from_utf8(std::mem::take(&mut out)).unwrap(),
        r#"{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":7}"#
    );
    control::error(&mut out, &error(Fault::TooManySubscriptions), ErrorShape::Union);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"error":{"code":4,"msg":"Too many subscriptions"},"code":4,"msg":"Too many subscriptions","id":7}"#
    );
}

#[test]
fn the_shutdown_is_announced_in_the_connections_unit() {
    let mut out = Vec::new();
    control::server_shutdown(&mut out, 1_767_225_600_000_999_999, TimeUnit::Millisecond);
    control::server_shutdown(&mut out, 1_767_225_600_000_999_999, TimeUnit::Microsecond);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"e":"serverShutdown","E":1767225600000}{"e":"serverShutdown","E":1767225600000999}"#
    );
}
