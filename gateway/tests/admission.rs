//! Limits on who may connect and how much one connection may take: addresses, origins, age, rate, memory.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use support::process::{Gateway, get, until};
use support::process_view::resident_bytes;
use support::subscriber::{Message, Subscriber};

const PATIENCE: Duration = Duration::from_secs(60);

/// Asks for a WebSocket with these headers besides, and answers the status and the socket.
fn ask(address: SocketAddr, headers: &str) -> (Option<u16>, TcpStream) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // One that is refused at once may be gone already.
    let _ = write!(
        stream,
        "GET /v1/stream HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    (head.split(' ').nth(1).map(|status| status.parse().unwrap()), stream)
}

#[test]
fn an_address_has_so_many_connections_and_gets_them_back() {
    let gateway = Gateway::start(&["--address-connections", "3", "--shards", "2"]);
    let first = Subscriber::connect(gateway.listen, "tickcast.v1.json");
    let _second = Subscriber::connect(gateway.listen, "tickcast.v1.sbe");
    let (third, _held) = ask(gateway.listen, "");
    assert_eq!(third, Some(101));
    // Over all shards: whichever takes it closes it without an answer.
    assert_eq!(ask(gateway.listen, "").0, None);
    assert!(get(gateway.listen, "/v1/instruments").is_none(), "plain requests count as well");
    assert!(gateway.metric("tickcast_addresses_refused_total") >= 2.0);
    drop(first);
    until("a place to be free", || (ask(gateway.listen, "").0 == Some(101)).then_some(()));
}

#[test]
fn clients_behind_a_proxy_are_counted_one_by_one() {
    let gateway = Gateway::start(&["--address-connections", "1", "--trusted-proxies", "127.0.0.1"]);
    let of = |client: &str| ask(gateway.listen, &format!("X-Forwarded-For: {client}\r\n"));
    let (status, _held) = of("192.0.2.1");
    assert_eq!(status, Some(101));
    assert_eq!(of("192.0.2.1").0, Some(429));
    let (status, _other) = of("192.0.2.2");
    assert_eq!(status, Some(101));
    let (status, _network) = of("2001:db8:1:2::1");
    assert_eq!(status, Some(101));
    assert_eq!(of("2001:db8:1:2:9::9").0, Some(429), "a network of 64 bits is one client");
    assert_eq!(of("2001:db8:1:3::1").0, Some(101));
}

#[test]
fn an_address_connects_so_often() {
    let gateway = Gateway::start(&["--address-rate", "5", "--trusted-proxies", "127.0.0.1"]);
    let begun = Instant::now();
    let of = |client: &str| ask(gateway.listen, &format!("X-Forwarded-For: {client}\r\n")).0;
    let statuses: Vec<_> = (0..12).map(|_| of("192.0.2.1")).collect();
    let admitted = statuses.iter().filter(|status| **status == Some(101)).count();
    // A twelfth of a minute is one more.
    let more = usize::try_from(begun.elapsed().as_secs() / 12).unwrap() + 1;
    assert!((5..=5 + more).contains(&admitted), "{statuses:?}");
    assert_eq!(of("192.0.2.2"), Some(101));
}

#[test]
fn pages_of_foreign_origins_are_refused_where_origins_are_listed() {
    let gateway = Gateway::start(&["--stream-origins", "https://desk.example"]);
    let of = |origin: &str| ask(gateway.listen, &format!("Origin: {origin}\r\n")).0;
    assert_eq!(of("https://desk.example"), Some(101));
    assert_eq!(of(&format!("http://{}", gateway.listen)), Some(101), "the gateway's own");
    assert_eq!(of("https://evil.example"), Some(403));
    assert_eq!(of("null"), Some(403));
    assert_eq!(ask(gateway.listen, "").0, Some(101), "programs name none");
    assert_eq!(gateway.metric("tickcast_origins_refused_total"), 2.0);
}

#[test]
fn sessions_become_so_old_and_not_all_at_once() {
    let gateway =
        Gateway::start(&["--session-age", "4s", "--ping-interval", "1s", "--shards", "1"]);
    let begun = Instant::now();
    let mut native = Subscriber::connect(gateway.listen, "tickcast.v1.json");
    let mut lines = Vec::new();
    let code = loop {
        match native.next(PATIENCE) {
            Some(Message::Close(code)) => break code,
            Some(message) => lines.push(message),
            None => panic!("no close frame, but {lines:?}"),
        }
    };
    assert_eq!(code, 4006);
    assert!(begun.elapsed() > Duration::from_millis(3_500), "{:?}", begun.elapsed());
    let mut stream = TcpStream::connect(gateway.listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v1/sse?topics=*.quote HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("4006"), "{}", &text[text.len().saturating_sub(300)..]);
}

#[test]
fn a_connection_is_sent_so_many_bytes_a_second() {
    const RATE: u64 = 64 << 10;
    let gateway = Gateway::start(&[
        "--outbound-rate",
        &RATE.to_string(),
        "--source",
        "pulse",
        "--symbols",
        "100",
        "--rate",
        "20000",
        "--sndbuf",
        "32KiB",
        "--slow-age",
        "1h",
    ]);
    let (begun, mut bytes) = (Instant::now(), 0);
    let mut subscriber = Subscriber::connect(gateway.listen, "tickcast.v1.sbe");
    let _ = subscriber.subscribe(&["*.quote"], r#","mode":"conflate""#);
    while begun.elapsed() < Duration::from_secs(5) || bytes <= RATE {
        if let Some(Message::Binary(message)) = subscriber.next(Duration::from_secs(1)) {
            bytes += message.len() as u64;
        }
        assert!(begun.elapsed() < PATIENCE, "{bytes} bytes in {PATIENCE:?}: it starves");
    }
    let rate = bytes as f64 / begun.elapsed().as_secs_f64();
    // What the buffers held at the start came on top.
    assert!(rate < 2.0 * RATE as f64, "{rate} bytes a second instead of {RATE}");
}

#[test]
fn short_of_memory_new_sessions_are_refused_and_old_ones_closed() {
    // Any process has more than that.
    let gateway = Gateway::start(&["--memory-max", "1MiB", "--shards", "1"]);
    until("new sessions to be refused", || (ask(gateway.listen, "").0 == Some(503)).then_some(()));
    assert!(gateway.metric("tickcast_pressure_refused_total") >= 1.0);
    let (status, _) = get(gateway.admin, "/healthz").unwrap();
    assert_eq!(status, 200, "operators are not refused");
    let (status, _) = get(gateway.listen, "/v1/instruments").unwrap();
    assert_eq!(status, 200, "nor are plain requests, which end by themselves");
}

#[test]
fn beyond_the_ceiling_sessions_are_closed() {
    let idle = Gateway::start(&["--shards", "1", "--rate", "1"]);
    let metric = idle.metric("tickcast_process_resident_memory_bytes");
    assert!(metric > 0.0, "the process says how much it takes");
    let resident = resident_bytes(idle.process.pid());
    drop(idle);
    let ceiling = (resident + (6 << 20)).to_string();
    let gateway = Gateway::start(&["--memory-max", &ceiling, "--shards", "1", "--rate", "1"]);
    let mut subscriber = Subscriber::connect(gateway.listen, "tickcast.v1.json");
    // Requests that are never completed take some 20 KiB each.
    let hoarders: Vec<TcpStream> = (0..1_000)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.listen).unwrap();
            // The last of them may be sent away already.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nX-Long: ");
            let _ = stream.write_all(&[b'a'; 16 << 10]);
            stream
        })
        .collect();
    let code = loop {
        match subscriber.next(PATIENCE) {
            Some(Message::Close(code)) => break code,
            Some(_) => {}
            None => panic!("no close frame"),
        }
    };
    assert_eq!(code, 4003);
    assert!(gateway.metric("tickcast_closed_overloaded_total") >= 1.0);
    drop(hoarders);
}
