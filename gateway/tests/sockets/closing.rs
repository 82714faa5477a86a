//! Draining and stopping.

use std::time::{Duration, Instant};

use gateway::shard::Control;
use gateway::shard::counters::Counter;

use super::client::{Client, UPGRADE};
use super::rig::Rig;

#[test]
fn a_drain_closes_everybody_paced_with_4001_and_takes_nobody() {
    let is_paced = |(first, last): (Duration, Duration)| {
        assert!(last > Duration::from_millis(600), "{last:?}: all at once");
        first < Duration::from_millis(500) && last < Duration::from_secs(3)
    };
    // A machine that is busy is late, and not each time.
    assert!((0..20).any(|_| is_paced(drain())), "never in time");
}

/// Has a shard of a hundred clients drain in a second; says when the first of them and the last heard of it.
fn drain() -> (Duration, Duration) {
    let rig = Rig::start();
    let mut clients: Vec<Client> =
        (0..100).map(|_| Client::subscribed(rig.address, &["S0.quote"])).collect();
    let mut before = Client::connect(rig.address);
    assert!(before.request("/", "").starts_with("HTTP/1.1 200"));
    let began = Instant::now();
    rig.shard().send(Control::Drain(Duration::from_secs(1)));
    let mut ends = Vec::new();
    for client in &mut clients {
        assert_eq!(client.expect_close(), 4001);
        ends.push(began.elapsed());
    }
    rig.wait_until("all are gone", |report| report.sessions == 0);
    assert_eq!(rig.count(Counter::CloseDrain), 100);

    before.body("GET /".len());
    assert!(before.request("/v1/stream", UPGRADE).starts_with("HTTP/1.1 503"));
    assert!(std::net::TcpStream::connect(rig.address).is_err(), "nobody listens any more");
    (ends[0], *ends.last().unwrap())
}

#[test]
fn a_stop_says_going_away() {
    let rig = Rig::start();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::sbe(rig.address)).collect();
    drop(rig);
    for client in &mut clients {
        assert_eq!(client.expect_close(), 1001);
    }
}
