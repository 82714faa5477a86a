//! Heartbeats, pings, the end of patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway::shard::counters::Counter;

use super::client::{Client, Heard, PING, PONG};
use super::follower::Follower;
use super::rig::Rig;

#[test]
fn quiet_connections_get_heartbeats_and_busy_ones_do_not() {
    // The longer the interval is, the busier a machine may be.
    let mut intervals = (0..8).map(|nth| Duration::from_millis(100) * 2_u32.pow(nth));
    assert!(intervals.any(are_told_apart), "the busy one was never busy for long enough");
}

/// One gets a quote a twentieth of the interval after the other. Whether they came in time; then the one that has
/// them must not hear a heartbeat.
fn are_told_apart(heartbeat: Duration) -> bool {
    let mut rig = Rig::with(|settings| settings.heartbeat = heartbeat);
    let mut quiet = Client::subscribed(rig.address, &["S1.quote"]);
    let mut busy = Client::subscribed(rig.address, &["S0.quote"]);
    let mut at_quiet = Follower::default();
    let mut at_busy = Follower::default();
    let mut published = Instant::now();
    let mut longest = Duration::ZERO;
    for nth in 0..60 {
        let before = std::mem::replace(&mut published, Instant::now());
        let seq = rig.market.quote(0);
        rig.market.wake();
        at_busy.follow(&mut busy, (0, wire::Channel::Quote), seq);
        if nth == 0 {
            // What was before the first quote does not count.
            at_busy.heartbeats = 0;
        } else {
            // Between two quotes was no more than from before the one until behind the other.
            longest = longest.max(before.elapsed());
        }
        std::thread::sleep(heartbeat / 20);
    }
    while at_quiet.heartbeats < 4 {
        at_quiet.take(&quiet.frame());
    }
    let is_in_time = longest < heartbeat;
    assert!(!is_in_time || at_busy.heartbeats == 0, "{longest:?} were enough");
    is_in_time
}

#[test]
fn silent_clients_are_pinged_and_those_that_do_not_answer_are_closed() {
    const INTERVAL: Duration = Duration::from_millis(200);
    let rig = Rig::with(|settings| {
        settings.ping_interval = INTERVAL;
        // Long enough for an answer from a busy machine.
        settings.pong_timeout = Duration::from_secs(8);
    });
    let began = Instant::now();
    let mut dead = Client::sbe(rig.address);
    let mut alive = Client::sbe(rig.address);
    let is_over = Arc::new(AtomicBool::new(false));
    let pings = {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            let mut pings = 0;
            // Relaxed: a flag that says nothing of other memory.
            while !is_over.load(Ordering::Relaxed) {
                let frame = alive.frame();
                assert_eq!(frame.first, PING);
                alive.send(PONG, &frame.payload);
                pings += 1;
            }
            (pings, alive)
        })
    };
    assert_eq!(dead.expect_close(), 4004);
    assert_eq!(rig.count(Counter::CloseTimeout), 1);
    rig.wait_until("only one is left", |report| report.sessions == 1);
    is_over.store(true, Ordering::Relaxed);
    let (pings, _alive) = pings.join().unwrap();
    let most = began.elapsed().as_millis() / INTERVAL.as_millis() + 2;
    assert!(pings >= 3 && pings <= most, "{pings} pings, at most {most}");
}

#[test]
fn paced_frames_are_apart_and_miss_nothing() {
    const INTERVAL: Duration = Duration::from_millis(50);
    let mut rig = Rig::with(|settings| settings.hub.visit_interval_ns = 50_000_000);
    let mut client = Client::subscribed(rig.address, &["S0.quote"]);
    let began = Instant::now();
    let is_over = Arc::new(AtomicBool::new(false));
    let market = {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            // Relaxed: a flag that says nothing of other memory.
            while !is_over.load(Ordering::Relaxed) {
                rig.market.quote(0);
                rig.market.wake();
                std::thread::sleep(Duration::from_millis(1));
            }
            rig
        })
    };
    let (mut follower, mut frames) = (Follower::default(), 0);
    while follower.topic(0, wire::Channel::Quote).last < 300 || frames < 10 {
        follower.take(&client.frame());
        frames += 1;
    }
    // However late this thread is, so many intervals must have passed on the shard. The first frames
    // answer the subscription.
    assert!(began.elapsed() >= INTERVAL * (frames - 3), "{frames} in {:?}", began.elapsed());
    let seen = follower.topic(0, wire::Channel::Quote);
    assert_eq!((seen.skipped, follower.reasons.len()), (0, 0));
    is_over.store(true, Ordering::Relaxed);
    drop(market.join().unwrap());
}

#[test]
fn a_client_without_a_subscription_is_closed_after_a_while() {
    let rig = Rig::with(|settings| {
        settings.heartbeat = Duration::from_millis(100);
        // Long enough to subscribe, on a busy machine too.
        settings.idle_timeout = Duration::from_secs(4);
    });
    let mut subscribed = Client::subscribed(rig.address, &["S0.quote"]);
    let mut idle = Client::sbe(rig.address);
    assert_eq!(idle.expect_close(), 4005);
    assert_eq!(rig.count(Counter::CloseIdle), 1);
    // One that has unsubscribed has as long again.
    let began = Instant::now();
    subscribed.send(super::client::TEXT, b"{\"op\":\"unsubscribe\",\"topics\":[\"S0.quote\"]}");
    assert_eq!(subscribed.expect_close(), 4005);
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
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
