//! Every way in: what is asked for, where it is shown, and what who has none is told.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::credentials::Credentials;
use crate::support::event_source::EventSource;
use crate::support::process::{Gateway, PATIENCE, get, get_with, until};
use crate::support::subscriber::Subscriber;
use crate::{ask, auth, bearer, end, native};

const ROLES: &str =
    "[roles.all]\nsee = [\"*.*\"]\n[roles.btc]\nsee = [\"BTC*.trade\", \"BTC*.depth5\"]\n";
const KEYS: [(&str, &str, &str); 2] = [("desk", "open-sesame", "all"), ("eye", "half-open", "btc")];

fn start(more: &[&str]) -> (Credentials, Gateway) {
    let credentials = Credentials::new(ROLES, &KEYS);
    let mut arguments = vec!["--shards", "1", "--symbols", "4", "--auth", credentials.path()];
    arguments.extend(more);
    let gateway = Gateway::start(&arguments);
    until("the feed", || {
        let (_, _, body) = get_with(gateway.listen, "/v1/instruments", &bearer("open-sesame"))?;
        body.contains("BTCUSDT").then_some(())
    });
    (credentials, gateway)
}

/// The description of all routes, and an address of each that has its required parameters.
fn described(gateway: &Gateway) -> Vec<(String, Value)> {
    let (_, body) = get(gateway.listen, "/v1/openapi.json").unwrap();
    let described: Value = serde_json::from_str(&body).unwrap();
    let routes = described["paths"].as_object().unwrap().iter();
    let routes = routes.map(|(path, operations)| {
        let (mut path, mut query) = (path.clone(), Vec::new());
        for parameter in operations["get"]["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let Some(example) = parameter["example"].as_str() else { continue };
            if parameter["in"] == "path" {
                path = path.replace(&format!("{{{name}}}"), example);
            } else if parameter["required"] == true || name == "symbol" {
                query.push(format!("{name}={example}"));
            }
        }
        (format!("{path}?{}", query.join("&")), operations["get"].clone())
    });
    routes.collect()
}

#[test]
fn routes_are_described_as_refusing_what_they_refuse() {
    let (_credentials, gateway) = start(&[]);
    let (mut unauthorized, mut forbidden) = (0, 0);
    for (path, operation) in described(&gateway) {
        let (status, _, _) = get_with(gateway.listen, &path, "").unwrap();
        // No security at all: a file of the page.
        let is_open = operation["security"].as_array().is_some_and(Vec::is_empty);
        assert_eq!(status, if is_open { 200 } else { 401 }, "{path}");
        assert_eq!(operation["responses"]["401"].is_null(), is_open, "{path}");
        unauthorized += usize::from(status == 401);
        // It is known, and may see some of this instrument. A stream would have no end.
        if path.starts_with("/v1/sse") {
            continue;
        }
        let (status, _, _) = get_with(gateway.listen, &path, &bearer("half-open")).unwrap();
        let status = status.to_string();
        assert!(!operation["responses"][&status].is_null(), "{path}: {status}");
        forbidden += usize::from(status == "403");
    }
    assert!(unauthorized > 15 && forbidden > 1, "{unauthorized}, {forbidden}");
}

#[test]
fn plain_http_asks_for_a_credential_but_for_the_files_of_the_page() {
    let (_credentials, gateway) = start(&["--log-level", "trace"]);
    for path in ["/", "/v1/schema.xml", "/v1/openapi.json"] {
        assert_eq!(get(gateway.listen, path).unwrap().0, 200, "{path}");
    }
    let paths = [
        "/v1/instruments",
        "/v1/snapshot/BTCUSDT",
        "/v1/bars/BTCUSDT",
        "/v1/trades/BTCUSDT",
        "/v1/status",
        "/v1/sse?topics=BTCUSDT.trade",
        "/v1/no-such-thing",
        "/api/v3/ping",
        "/api/v3/exchangeInfo",
        "/api/v3/depth?symbol=BTCUSDT",
    ];
    for path in paths {
        let (status, head, body) = get_with(gateway.listen, path, "").unwrap();
        assert_eq!(status, 401, "{path}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("www-authenticate: bearer realm=\"tickcast\"\r\n"), "{path}: {head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        if path.starts_with("/api/v3") {
            assert_eq!(body["code"], -2015, "{path}: {body}");
        } else {
            assert_eq!(body["error"]["code"], "unauthorized", "{path}: {body}");
        }
    }
    for (headers, status, said) in [
        (bearer("open-sesame"), 200, ""),
        ("X-MBX-APIKEY: open-sesame\r\n".to_owned(), 200, ""),
        ("x-api-key: open-sesame\r\n".to_owned(), 200, ""),
        ("Authorization: Basic eDp5\r\nX-API-Key: open-sesame\r\n".to_owned(), 200, ""),
        ("Authorization: Basic eDp5\r\n".to_owned(), 401, "realm=\"tickcast\"\r\n"),
        (bearer("sesame"), 401, "error=\"invalid_token\""),
        (bearer("open-sesame") + "X-Api-Key: other\r\n", 401, "error=\"invalid_request\""),
    ] {
        for path in ["/v1/instruments", "/api/v3/time"] {
            let (found, head, _) = get_with(gateway.listen, path, &headers).unwrap();
            assert_eq!(found, status, "{headers}");
            assert!(head.contains(said), "{headers}: {head}");
        }
    }
    // A query is no place for a credential unless that is allowed.
    let (status, _) = get(gateway.listen, "/v1/instruments?token=open-sesame").unwrap();
    assert_eq!(status, 401);
    assert!(gateway.metric("tickcast_auth_refused_missing_total") >= 10.0);
    assert!(gateway.metric("tickcast_auth_refused_malformed_total") >= 2.0);
    let log = gateway.process.log();
    assert!(!log.contains("sesame"), "no credential gets into the log: {log}");
}

#[test]
fn a_credential_in_the_query_counts_where_that_is_allowed_and_is_never_logged() {
    let (_credentials, gateway) = start(&["--auth-query", "--log-level", "trace"]);
    for path in [
        "/v1/instruments?token=open-sesame",
        "/v1/snapshot/BTCUSDT?levels=5&token=open%2Dsesame",
        "/v1/bars/BTCUSDT?token=open-sesame&limit=1",
        "/api/v3/depth?symbol=BTCUSDT&token=open-sesame",
    ] {
        let (status, body) = get(gateway.listen, path).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
    }
    let (_, ack) =
        EventSource::stream(gateway.listen, "topics=BTCUSDT.trade&token=open-sesame", None);
    assert_eq!(ack["results"][0]["ok"], true);
    for path in ["/ws/btcusdt@trade?token=open-sesame", "/v1/stream?token=open-sesame"] {
        let mut client = Subscriber::try_upgrade(gateway.listen, path, "").unwrap();
        assert!(client.next(PATIENCE).is_some());
        assert!(
            Subscriber::try_upgrade(gateway.listen, &path.replace("open", "shut"), "").is_err()
        );
    }
    let log = gateway.process.log();
    assert!(!log.contains("sesame"), "no credential gets into the log: {log}");
}

#[test]
fn a_native_client_is_let_in_and_gets_nothing_before_it_has_shown_something() {
    let (_credentials, gateway) = start(&["--handshake-timeout", "10m"]);
    let (mut client, hello) = native(gateway.listen, "").unwrap();
    assert_eq!(hello["auth"], "required", "{hello}");
    assert_eq!(ask(&mut client, &json!({"op": "ping", "id": 1})), json!({"op": "pong", "id": 1}));
    for command in [
        json!({"op": "subscribe", "id": 2, "topics": ["BTCUSDT.trade", "*.quote"]}),
        json!({"op": "unsubscribe", "id": 2, "topics": ["BTCUSDT.trade"]}),
        json!({"op": "list", "id": 2}),
        json!({"op": "publish", "id": 2, "ticks": [{"topic": "BTCUSDT.trade", "price": "1", "quantity": "1", "side": "buy"}]}),
    ] {
        let refused = ask(&mut client, &command);
        assert_eq!(
            (&refused["id"], &refused["name"]),
            (&json!(2), &json!("not_entitled")),
            "{refused}"
        );
    }
    assert_eq!(auth(&mut client, "shut-sesame")["name"], "not_entitled");
    assert_eq!(auth(&mut client, "half-open"), json!({"op": "ack"}));
    let ack = ask(
        &mut client,
        &json!({"op": "subscribe", "topics": ["BTCUSDT.trade", "ETHUSDT.trade", "NOPE.trade"]}),
    );
    let of = |at: usize| (ack["results"][at]["ok"].clone(), ack["results"][at]["name"].clone());
    assert_eq!(of(0), (json!(true), Value::Null), "{ack}");
    assert_eq!(
        (of(1), of(2)),
        ((json!(false), json!("not_entitled")), (json!(false), json!("not_entitled")))
    );
    assert_eq!(ack["results"][1]["msg"], ack["results"][2]["msg"]);
    // Another credential in place of the first.
    assert_eq!(auth(&mut client, "open-sesame"), json!({"op": "ack"}));
    let ack = ask(&mut client, &json!({"op": "subscribe", "topics": ["ETHUSDT.trade"]}));
    assert_eq!(ack["results"][0]["ok"], true);
}

#[test]
fn who_shows_nothing_in_time_is_not_kept() {
    // Long enough for a busy machine to show something.
    let (_credentials, gateway) = start(&["--handshake-timeout", "6s"]);
    let (mut client, _) = native(gateway.listen, "").unwrap();
    assert_eq!(auth(&mut client, "half-open"), json!({"op": "ack"}));
    let (mut silent, _) = native(gateway.listen, "").unwrap();
    assert_eq!(end(&mut silent), (4502, "no credential in time".to_owned()));
    assert_eq!(ask(&mut client, &json!({"op": "ping"})), json!({"op": "pong"}), "who has stays");
    assert_eq!(gateway.metric("tickcast_closed_not_entitled_total"), 1.0);
}

#[test]
fn a_credential_in_the_handshake_is_worth_the_same() {
    let (_credentials, gateway) = start(&[]);
    let (mut client, hello) = native(gateway.listen, &bearer("half-open")).unwrap();
    assert_eq!(hello["auth"], "accepted");
    let ack =
        ask(&mut client, &json!({"op": "subscribe", "topics": ["BTCUSDT.trade", "ETHUSDT.trade"]}));
    assert_eq!((&ack["results"][0]["ok"], &ack["results"][1]["ok"]), (&json!(true), &json!(false)));
    let refused = native(gateway.listen, &bearer("shut")).map(|_| ()).unwrap_err();
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    assert!(refused.contains("www-authenticate: Bearer realm"), "{refused}");
}

#[test]
fn the_exchanges_clients_and_event_streams_show_theirs_in_the_request() {
    let (_credentials, gateway) = start(&[]);
    for path in
        ["/ws/btcusdt@trade", "/stream?streams=btcusdt@trade", "/stream-sbe/ws/btcusdt@trade"]
    {
        let refused = Subscriber::try_upgrade(gateway.listen, path, "").map(|_| ()).unwrap_err();
        assert!(refused.starts_with("HTTP/1.1 401"), "{path}: {refused}");
        let mut client =
            Subscriber::try_upgrade(gateway.listen, path, "X-MBX-APIKEY: half-open\r\n").unwrap();
        assert!(client.next(PATIENCE).is_some());
    }
    let mut source = EventSource::open_with(
        gateway.listen,
        "topics=BTCUSDT.trade,ETHUSDT.trade",
        &bearer("half-open"),
    );
    assert!(source.head.starts_with("HTTP/1.1 200"), "{}", source.head);
    let hello: Value = serde_json::from_str(&source.event().data).unwrap();
    assert_eq!(hello["auth"], "accepted");
    let ack: Value = serde_json::from_str(&source.event().data).unwrap();
    assert_eq!((&ack["results"][0]["ok"], &ack["results"][1]["ok"]), (&json!(true), &json!(false)));
    let source = EventSource::open_with(gateway.listen, "topics=BTCUSDT.trade", &bearer("shut"));
    assert!(source.head.starts_with("HTTP/1.1 401"), "{}", source.head);
}

#[test]
fn a_gateway_without_credentials_asks_for_none_and_stays_on_its_machine() {
    let gateway = Gateway::start(&["--shards", "1"]);
    let (mut client, hello) = native(gateway.listen, &bearer("whatever")).unwrap();
    assert_eq!(hello.get("auth"), None, "{hello}");
    let refused = auth(&mut client, "whatever");
    assert_eq!(refused["msg"], "auth: this gateway asks for no credentials");
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["--listen", listen, "--admin-listen", "127.0.0.1:0"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("a loopback address, or auth = FILE"), "{said}");
    }
    let bad = Credentials::new("[roles.all]\nsea = []\n", &[]);
    let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--auth", bad.path()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("line 2: unknown key `roles.all.sea`; did you mean `see`?"), "{said}");
}
