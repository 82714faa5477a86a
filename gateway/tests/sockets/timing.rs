//! Heartbeats, pings, the end of patience.

use std::time::{Duration, Instant};

use gateway::shard::counters::Counter;

use super::client::{Client, Heard, PING, PONG};
use super::follower::Follower;
use super::rig::Rig;

#[test]
fn quiet_connections_get_heartbeats_and_busy_ones_do_not() {
    let mut rig = Rig::with(|settings| settings.heartbeat = Duration::from_millis(200));
    let mut quiet = Client::subscribed(rig.address, &["S1.quote"]);
    let mut busy = Client::subscribed(rig.address, &["S0.quote"]);
    let began = Instant::now();
    let mut at_quiet = Follower::default();
    let mut at_busy = Follower::default();
    while began.elapsed() < Duration::from_millis(1500) {
        let seq = rig.market.quote(0);
        rig.market.wake();
        at_busy.follow(&mut busy, (0, wire::Channel::Quote), seq);
        std::thread::sleep(Duration::from_millis(20));
    }
    while at_quiet.heartbeats < 4 {
        at_quiet.take(&quiet.frame());
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(at_busy.heartbeats, 0);
}

#[test]
fn silent_clients_are_pinged_and_those_that_do_not_answer_are_closed() {
    let rig = Rig::with(|settings| {
        settings.ping_interval = Duration::from_millis(200);
        settings.pong_timeout = Duration::from_millis(700);
    });
    let mut alive = Client::sbe(rig.address);
    let mut dead = Client::sbe(rig.address);
    let began = Instant::now();
    let mut pings = 0;
    while began.elapsed() < Duration::from_millis(1500) {
        let frame = alive.frame();
        assert_eq!(frame.first, PING);
        alive.send(PONG, &frame.payload);
        pings += 1;
    }
    assert!((3..=9).contains(&pings), "{pings} pings");
    assert_eq!(dead.expect_close(), 4004);
    assert_eq!(rig.count(Counter::CloseTimeout), 1);
    rig.wait_until("only one is left", |report| report.sessions == 1);
}

#[test]
fn paced_frames_are_apart_and_miss_nothing() {
    const INTERVAL: Duration = Duration::from_millis(50);
    let mut rig = Rig::with(|settings| settings.hub.visit_interval_ns = 50_000_000);
    let mut client = Client::subscribed(rig.address, &["S0.quote"]);
    let began = Instant::now();
    let market = std::thread::spawn(move || {
        for _ in 0..600 {
            rig.market.quote(0);
            rig.market.wake();
            std::thread::sleep(Duration::from_millis(1));
        }
        rig
    });
    let (mut follower, mut frames) = (Follower::default(), 0);
    while follower.topic(0, wire::Channel::Quote).last < 600 {
        follower.take(&client.frame());
        frames += 1;
    }
    // However late this thread is, so many intervals must have passed on the shard. The first frames
    // answer the subscription.
    assert!(began.elapsed() >= INTERVAL * (frames - 3), "{frames} in {:?}", began.elapsed());
    assert!(frames >= 3, "{frames} frames");
    let seen = follower.topic(0, wire::Channel::Quote);
    assert_eq!((seen.skipped, follower.reasons.len()), (0, 0));
    drop(market.join().unwrap());
}

#[test]
fn a_client_without_a_subscription_is_closed_after_a_while() {
    let rig = Rig::with(|settings| {
        settings.heartbeat = Duration::from_millis(100);
        settings.idle_timeout = Duration::from_millis(500);
    });
    let mut subscribed = Client::subscribed(rig.address, &["S0.quote"]);
    let mut idle = Client::sbe(rig.address);
    assert_eq!(idle.expect_close(), 4005);
    assert_eq!(rig.count(Counter::CloseIdle), 1);
    // One that has unsubscribed has as long again.
    let began = Instant::now();
    subscribed.send(super::client::TEXT, b"{\"op\":\"unsubscribe\",\"topics\":[\"S0.quote\"]}");
    assert_eq!(subscribed.expect_close(), 4005);
    assert!(began.elapsed() > Duration::from_millis(300), "{:?}", began.elapsed());
}

#[test]
fn a_client_that_does_not_end_its_side_is_not_waited_for() {
    let rig = Rig::with(|settings| settings.close_grace = Duration::from_millis(300));
    let mut client = Client::sbe(rig.address);
    client.send(super::client::BINARY, b"x");
    assert_eq!(client.frame().close_code(), 1003);
    // No answer, and the socket stays open.
    rig.wait_until("the session is cut", |report| report.sessions == 0);
    assert!(matches!(client.hear(), Heard::Reset | Heard::End));
}
