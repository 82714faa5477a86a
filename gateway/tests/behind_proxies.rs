//! What the real binary believes of load balancers in front of it: PROXY headers and requests' headers,
//! from those that are listed and from others, whole, in pieces and malformed, in front of TLS too.
//!
//! Real proxies are in `proxies.rs`; here the test is the proxy, since real ones send nothing malformed.

mod support;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use support::certificate::Certificate;
use support::process::{Gateway, free_address, get, until};

const UPGRADE: &str = "GET /v1/stream HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tickcast.v1.json\r\n";

/// A gateway that believes the loopback addresses but those from 127.0.0.8 on.
fn gateway(more: &[&str]) -> Gateway {
    let mut arguments =
        vec!["--source", "pulse", "--symbols", "2", "--rate", "10", "--shards", "1"];
    arguments.extend_from_slice(&["--trusted-proxies", "127.0.0.0/29"]);
    arguments.extend_from_slice(more);
    Gateway::start(&arguments)
}

/// Connects from a given address of the machine's own.
fn connect_from(source: &str, to: SocketAddr) -> TcpStream {
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Asks for a WebSocket with these lines in its head, and returns the status.
fn upgrade(stream: &mut (impl std::io::Read + std::io::Write), lines: &str) -> u16 {
    write!(stream, "{UPGRADE}{lines}\r\n").unwrap();
    status(stream)
}

/// The status of an answer; 0 if there is none.
fn status(stream: &mut impl std::io::Read) -> u16 {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return 0,
        }
    }
    let head = String::from_utf8(head).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The one connection that there is, as operators see it: who, and through whom.
fn seen(gateway: &Gateway) -> (String, Option<String>) {
    until("one connection", || {
        let (_, body) = get(gateway.admin, "/connections?top=5")?;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let connections = body["connections"].as_array()?;
        let [connection] = connections.as_slice() else { return None };
        let remote = connection["remote"].as_str()?.to_owned();
        Some((remote, connection["via"].as_str().map(str::to_owned)))
    })
}

fn until_none_is_left(gateway: &Gateway) {
    until("no sessions", || (gateway.metric("tickcast_sessions") == 0.0).then_some(()));
}

const TCP4: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 443\r\n";

/// The same in version 2, with a TLV of three bytes behind it that no receiver needs to know.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x12\xCB\x00\x71\x09\xC0\x00\x02\x02\x12\x67\x01\xBB\xE0\x00\x03abc";

#[test]
fn a_listed_proxy_says_who_its_client_is_in_either_version_and_any_pieces() {
    let gateway = gateway(&["--proxy-protocol", "on"]);
    for header in [TCP4, BINARY] {
        for piece in [1, 7, 1000] {
            let mut stream = connect_from("127.0.0.2", gateway.listen);
            for part in header.chunks(piece) {
                stream.write_all(part).unwrap();
            }
            assert_eq!(upgrade(&mut stream, ""), 101);
            let (remote, via) = seen(&gateway);
            assert_eq!(remote, "203.0.113.9:4711");
            assert_eq!(via, Some(stream.local_addr().unwrap().to_string()));
            drop(stream);
            until_none_is_left(&gateway);
        }
    }
}

#[test]
fn a_proxy_that_speaks_for_itself_is_the_client() {
    let gateway = gateway(&["--proxy-protocol", "on"]);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
    for header in [&b"PROXY UNKNOWN\r\n"[..], local] {
        let mut stream = connect_from("127.0.0.2", gateway.listen);
        stream.write_all(header).unwrap();
        assert_eq!(upgrade(&mut stream, ""), 101);
        assert_eq!(seen(&gateway), (stream.local_addr().unwrap().to_string(), None));
        drop(stream);
        until_none_is_left(&gateway);
    }
}

#[test]
fn whoever_is_not_listed_is_refused_with_or_without_a_header() {
    let gateway = gateway(&["--proxy-protocol", "on"]);
    for header in [TCP4, b""] {
        let mut stream = connect_from("127.0.0.9", gateway.listen);
        // It may be closed before it has written.
        let _ = stream.write_all(header);
        let _ = write!(stream, "{UPGRADE}\r\n");
        assert_eq!(status(&mut stream), 0);
    }
    assert_eq!(gateway.metric("tickcast_proxies_refused_total"), 2.0);
    assert_eq!(gateway.metric("tickcast_sessions_opened_total"), 0.0);
}

#[test]
fn headers_that_are_missing_or_malformed_end_the_connection() {
    let gateway = gateway(&["--proxy-protocol", "on", "--handshake-timeout", "30s"]);
    let endless = [b"PROXY TCP4 ", [b'1'; 120].as_slice()].concat();
    let huge = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xFF\xFF\xCB\x00\x71\x09".to_vec();
    let cases: [Vec<u8>; 6] = [
        format!("{UPGRADE}\r\n").into_bytes(),
        b"PROXY TCP4 203.0.113.9 192.0.2.2 4711\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 70000\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x04\xCB\x00\x71\x09".to_vec(),
        endless,
        huge,
    ];
    for (refused, header) in (1..).zip(&cases) {
        let mut stream = connect_from("127.0.0.2", gateway.listen);
        let _ = stream.write_all(header);
        assert_eq!(status(&mut stream), 0, "{header:?}");
        let count = || gateway.metric("tickcast_proxy_headers_refused_total");
        until("the count", || (count() >= f64::from(refused)).then_some(()));
        assert_eq!(count(), f64::from(refused), "{header:?}");
    }
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for_beyond_the_handshakes_time() {
    let gateway = gateway(&["--proxy-protocol", "on", "--handshake-timeout", "500ms"]);
    let began = Instant::now();
    let mut stream = connect_from("127.0.0.2", gateway.listen);
    stream.write_all(&TCP4[..20]).unwrap();
    assert_eq!(status(&mut stream), 0);
    assert!(began.elapsed() >= Duration::from_millis(500));
    assert_eq!(gateway.metric("tickcast_handshakes_timed_out_total"), 1.0);
}

#[test]
fn tls_begins_behind_the_header() {
    let certificate = Certificate::new();
    let (chain, key) = (certificate.file("chain.pem"), certificate.file("key.pem"));
    let gateway = gateway(&["--proxy-protocol", "on", "--tls-cert", &chain, "--tls-key", &key]);
    let mut socket = connect_from("127.0.0.2", gateway.listen);
    // In one piece with the client's first record, as a busy proxy sends it.
    let mut tls = ClientConnection::new(certificate.client(), Certificate::name()).unwrap();
    let mut first = BINARY.to_vec();
    tls.write_tls(&mut first).unwrap();
    socket.write_all(&first).unwrap();
    let mut stream = StreamOwned::new(tls, socket);
    assert_eq!(upgrade(&mut stream, ""), 101);
    assert_eq!(seen(&gateway).0, "203.0.113.9:4711");
}

#[test]
fn without_the_setting_a_header_is_no_request() {
    let gateway = gateway(&[]);
    let mut stream = connect_from("127.0.0.2", gateway.listen);
    stream.write_all(TCP4).unwrap();
    let _ = write!(stream, "{UPGRADE}\r\n");
    assert_eq!(status(&mut stream), 400);
}

#[test]
fn requests_name_their_client_where_a_listed_proxy_brings_them() {
    let gateway = gateway(&[]);
    let cases = [
        ("127.0.0.2", "X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\n", Some("203.0.113.9")),
        ("127.0.0.2", "X-Forwarded-For: 203.0.113.9, 127.0.0.3\r\n", Some("203.0.113.9")),
        ("127.0.0.2", "X-Forwarded-For: 2001:db8::9\r\n", Some("2001:db8::9")),
        ("127.0.0.2", "X-Forwarded-For: nobody\r\n", None),
        ("127.0.0.2", "Forwarded: for=203.0.113.9\r\n", None),
        ("127.0.0.2", "", None),
        ("127.0.0.9", "X-Forwarded-For: 203.0.113.9\r\n", None),
    ];
    for (from, lines, client) in cases {
        let mut stream = connect_from(from, gateway.listen);
        assert_eq!(upgrade(&mut stream, lines), 101);
        let peer = stream.local_addr().unwrap().to_string();
        let expected = match client {
            Some(client) => (client.to_owned(), Some(peer)),
            None => (peer, None),
        };
        assert_eq!(seen(&gateway), expected, "{from} {lines}");
        drop(stream);
        until_none_is_left(&gateway);
    }
}

#[test]
fn event_streams_and_the_standard_header_know_clients_too() {
    let gateway = gateway(&["--forwarded-header", "forwarded", "--log-level", "debug"]);
    let mut stream = connect_from("127.0.0.2", gateway.listen);
    let lines =
        "X-Forwarded-For: 198.51.100.1\r\nForwarded: for=\"[2001:db8::9]:4711\";proto=https\r\n";
    write!(stream, "GET /v1/sse?topics=S0.quote HTTP/1.1\r\nHost: test\r\n{lines}\r\n").unwrap();
    assert_eq!(status(&mut stream), 200);
    assert_eq!(seen(&gateway).0, "[2001:db8::9]:4711");
    until("a line of the log", || gateway.process.log().contains("2001:db8::9").then_some(()));
}

#[test]
fn the_outer_of_two_proxies_is_heard_through_the_inner() {
    let gateway = gateway(&["--proxy-protocol", "on"]);
    let mut stream = connect_from("127.0.0.2", gateway.listen);
    stream.write_all(b"PROXY TCP4 127.0.0.3 127.0.0.2 4711 443\r\n").unwrap();
    assert_eq!(upgrade(&mut stream, "X-Forwarded-For: 203.0.113.9\r\n"), 101);
    assert_eq!(seen(&gateway).0, "203.0.113.9");
    drop(stream);
    until_none_is_left(&gateway);
    // One that is not listed is a client, whatever it writes.
    let mut stream = connect_from("127.0.0.2", gateway.listen);
    stream.write_all(TCP4).unwrap();
    assert_eq!(upgrade(&mut stream, "X-Forwarded-For: 198.51.100.1\r\n"), 101);
    assert_eq!(seen(&gateway).0, "203.0.113.9:4711");
}

#[test]
fn a_listener_of_version_six_knows_proxies_of_version_four() {
    let port = free_address().port();
    let listen: SocketAddr = format!("[::]:{port}").parse().unwrap();
    let gateway = Gateway::spawn(
        listen,
        &[
            "--source",
            "pulse",
            "--shards",
            "1",
            "--trusted-proxies",
            "127.0.0.0/29",
            "--anonymous",
            "anywhere",
        ],
    );
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = connect_from("127.0.0.2", to);
    assert_eq!(upgrade(&mut stream, "X-Forwarded-For: 203.0.113.9\r\n"), 101);
    assert_eq!(seen(&gateway).0, "203.0.113.9");
}
