//! Plain HTTP on the public port of the real binary: the page, instruments, snapshots, the schema.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use support::process::{Gateway, PATIENCE, until};

/// An answer, as far as these tests look at it.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn ask(gateway: &Gateway, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(gateway.listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\n{headers}Connection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn simulator() -> Gateway {
    Gateway::start(&["--shards", "2", "--symbols", "5"])
}

#[test]
fn the_page_is_served_with_its_parts_and_may_do_nothing_else() {
    let gateway = simulator();
    let page = ask(&gateway, "GET", "/", "");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"));
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert!(page.body.contains("<title>Tickcast</title>"));
    let script = page.body.split("src=\"").nth(1).and_then(|part| part.split('"').next()).unwrap();
    let style = page.body.split('"').find(|part| part.ends_with(".css")).unwrap();
    for (path, kind, keeping) in [
        (script, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"),
        (style, "text/css; charset=utf-8", "public, max-age=31536000, immutable"),
        ("/licenses.md", "text/plain; charset=utf-8", "no-cache"),
        ("/v1/schema.xml", "application/xml", "no-cache"),
    ] {
        let part = ask(&gateway, "GET", path, "");
        assert_eq!((part.status, part.header("content-type")), (200, Some(kind)), "{path}");
        assert_eq!(part.header("cache-control"), Some(keeping), "{path}");
        let tag = part.header("etag").unwrap();
        let again = ask(&gateway, "GET", path, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
    }
}

#[test]
fn the_status_is_shown_to_this_machine_and_to_others_only_if_told_so() {
    let gateway = simulator();
    let status = until("a status", || {
        let answer = ask(&gateway, "GET", "/v1/status", "");
        // The first question has it gathered.
        assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
        // A shard that is late, on a busy machine, is left out of one.
        let status = (answer.status == 200).then(|| answer.json())?;
        (status["shards"].as_array()?.len() == 2).then_some(status)
    });
    assert_eq!(status["feed"]["state"], "live");
    assert!(status["shards"][0]["ticks"].is_u64() && status["shards"][0]["slowest"].is_array());
    assert!(!status.to_string().contains("127.0.0.1"), "no addresses: {status}");
    for hidden in [&["--public-status", "off"][..], &["--trusted-proxies", "127.0.0.1"]] {
        let gateway = Gateway::start(&[&["--symbols", "5"], hidden].concat());
        let answer = ask(&gateway, "GET", "/v1/status", "");
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &"not_served".into()));
    }
}

#[test]
fn a_head_request_has_the_head_and_no_body() {
    let gateway = simulator();
    let whole = ask(&gateway, "GET", "/", "");
    let head = ask(&gateway, "HEAD", "/", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()));
}

#[test]
fn instruments_and_snapshots_agree_with_each_other() {
    let gateway = simulator();
    let list = ask(&gateway, "GET", "/v1/instruments", "").json();
    let instruments = list["instruments"].as_array().unwrap();
    assert_eq!(instruments.len(), 5);
    let symbol = instruments[0]["s"].as_str().unwrap();
    let snapshot = until("a book", || {
        let answer = ask(&gateway, "GET", &format!("/v1/snapshot/{symbol}?levels=5"), "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        Some(answer.json()).filter(|snapshot| !snapshot["book"].is_null())
    });
    assert_eq!(snapshot["epoch"], list["epoch"]);
    let (bids, asks) = (&snapshot["book"]["bids"], &snapshot["book"]["asks"]);
    assert!(bids.as_array().unwrap().len() <= 5);
    let price = |level: &serde_json::Value| level[0].as_str().unwrap().parse::<f64>().unwrap();
    assert!(price(&bids[0]) < price(&asks[0]), "a book is not crossed: {snapshot}");
    assert!(price(&bids[0]) > price(&bids[1]), "best first: {snapshot}");
    let quote = snapshot["last"].as_array().unwrap().iter().find(|event| event["e"] == "quote");
    assert!(quote.unwrap()["seq"].as_str().unwrap().parse::<u64>().unwrap() > 0);
}

/// The commands with curl in a page of the documentation, as arguments, for this gateway.
fn commands(page: &str, gateway: &Gateway) -> Vec<Vec<String>> {
    let of_line = |line: &str| {
        let (options, url) = line.trim_start().strip_prefix("curl ")?.split_once('\'')?;
        let url = url.trim_end_matches('\'').replace("127.0.0.1:9443", &gateway.listen.to_string());
        Some(options.split_whitespace().map(str::to_owned).chain([url]).collect())
    };
    page.lines().filter_map(of_line).collect()
}

#[test]
fn curl_is_enough_for_every_command_of_the_documentation() {
    let gateway = simulator();
    let curl = |arguments: &[String]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "5"]).args(arguments);
        curl.output().unwrap_or_else(|error| panic!("{curl:?}: {error}"))
    };
    let plain = commands(include_str!("../../docs/protocol/http.md"), &gateway);
    assert!(plain.len() >= 8, "{plain:?}");
    for arguments in plain {
        // A market of a moment has no ticker yet, and says so.
        let body = until("an answer", || {
            let output = curl(&arguments);
            output.status.success().then_some(output.stdout)
        });
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body.is_object() || body.is_array(), "{arguments:?}: {body}");
    }
    let streams = commands(include_str!("../../docs/protocol/event-stream.md"), &gateway);
    assert!(!streams.is_empty());
    for arguments in streams {
        until(&format!("the events of {arguments:?}"), || {
            let output = curl(&arguments);
            let events = String::from_utf8_lossy(&output.stdout).into_owned();
            // It does not end, so that curl ends it; on a busy machine before everything has come.
            assert_eq!(output.status.code(), Some(28), "{arguments:?}: {events}");
            let parts = ["event: hello\n", "event: ack\n", "\ndata: [{", "\nid: "];
            parts.iter().all(|part| events.contains(part)).then_some(())
        });
    }
}

#[test]
fn every_shard_answers_alike() {
    let gateway = simulator();
    let first = ask(&gateway, "GET", "/v1/instruments", "").body;
    for _ in 0..10 {
        assert_eq!(ask(&gateway, "GET", "/v1/instruments", "").body, first);
    }
}

#[test]
fn what_is_not_there_is_said_in_json() {
    let gateway = simulator();
    let post = ask(&gateway, "POST", "/v1/instruments", "");
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(post.json()["error"]["code"], "method_not_allowed");
    for (method, path, status, code) in [
        ("GET", "/v2/nothing", 404, "not_found"),
        ("GET", "/v1/echo", 404, "not_found"),
        ("GET", "/v1/snapshot/NOPE", 404, "unknown_symbol"),
        ("GET", "/v1/snapshot/NOPE?levels=x", 400, "bad_parameter"),
    ] {
        let answer = ask(&gateway, method, path, "");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
        assert_eq!(answer.json()["error"]["code"], code, "{method} {path}");
    }
}
