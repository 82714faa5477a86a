//! What an idle connection costs the real binary, so that it does not grow unnoticed.
//!
//! The measurement proper is `bench memory` on a release build (`bench/record/`); this one has room
//! for what differs between machines, and none for another buffer in each connection.

mod support;

use std::time::Duration;

use support::process::{Gateway, PATIENCE, until};
use support::subscriber::Subscriber;

const CONNECTIONS: usize = 5_000;

/// Three times what was measured: 212 bytes.
const BYTES_MAX: usize = 600;

/// The proportional set size of a process, bytes.
fn pss(pid: u32) -> usize {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = text.lines().find(|line| line.starts_with("Pss:")).expect("it has a size");
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn subscribers(gateway: &Gateway, count: usize) -> Vec<Subscriber> {
    let subscribe = |number: usize| {
        let mut subscriber = Subscriber::connect(gateway.listen, "tickcast.v1.sbe");
        let topic = format!("S{}.quote", number % 10);
        let ack = subscriber.subscribe(&[&topic], "");
        assert!(ack.contains(r#""op":"ack""#), "{ack}");
        subscriber
    };
    (0..count).map(subscribe).collect()
}

#[test]
fn an_idle_connection_costs_some_hundred_bytes() {
    let limit = sys::raise_open_files_limit().unwrap();
    assert!(limit > CONNECTIONS + 500, "{limit} open files do not suffice for this test");
    let source = ["--source", "pulse", "--symbols", "10", "--rate", "1", "--shards", "1"];
    let quiet = ["--heartbeat", "60s", "--ping-interval", "60s", "--pong-timeout", "10m"];
    let gateway = Gateway::start(&[&source[..], &quiet[..]].concat());
    let pid = gateway.process.pid();
    // What is set up once, with the first connections, is not a connection's.
    let _first = subscribers(&gateway, 200);
    std::thread::sleep(Duration::from_secs(1));
    let before = pss(pid);
    let _others = subscribers(&gateway, CONNECTIONS);
    // What their handshakes took is given back when no more come.
    let mut each = usize::MAX;
    until(&format!("{BYTES_MAX} bytes or fewer for each connection within {PATIENCE:?}"), || {
        each = each.min(pss(pid).saturating_sub(before) / CONNECTIONS);
        (each <= BYTES_MAX).then_some(())
    });
}
