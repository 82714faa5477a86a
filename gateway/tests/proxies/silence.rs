//! Silence: heartbeats keep proxies from ending idle connections, and a connection that is cut without a word
//! is noticed by both ends.

use std::time::{Duration, Instant};

use cable::Cable;

use crate::balancer::{Balancer, KINDS, Kind, Target};
use crate::crowd::Crowd;
use crate::support::certificate::Certificate;
use crate::support::process::{Gateway, until};
use crate::visitor::Visitor;

/// After how much silence the proxies of these tests end a connection.
const SILENCE_MAX: Duration = Duration::from_secs(8);

/// Longer than any time in these tests.
const LONG: Duration = Duration::from_mins(2);

/// What a busy machine may add to a documented time. The times that would pass if nobody noticed are
/// far beyond: two minutes in the proxies, a quarter of an hour in the kernel.
const SLACK: Duration = Duration::from_secs(20);

fn gateway(kind: Kind, certificate: &Certificate, more: &[&str]) -> Gateway {
    // A thousand instruments that take turns: the last one's first quote comes after a quarter of an hour.
    let mut arguments =
        vec!["--source", "pulse", "--symbols", "1000", "--rate", "1", "--shards", "1"];
    let proxied = kind.gateway_arguments(certificate);
    arguments.extend(proxied.iter().map(String::as_str));
    arguments.extend_from_slice(more);
    Gateway::start(&arguments)
}

fn subscribe(visitor: &mut Visitor) {
    visitor.upgrade();
    visitor.say(r#"{"op":"subscribe","id":1,"topics":["S999.quote"]}"#);
    visitor.hear_until("\"op\":\"ack\"");
}

#[test]
fn heartbeats_keep_idle_connections_for_longer_than_the_proxys_idle_time() {
    let certificate = Certificate::new();
    std::thread::scope(|scope| {
        for kind in KINDS {
            let certificate = &certificate;
            scope.spawn(move || {
                let beats = ["--heartbeat", "1s", "--ping-interval", "1m", "--pong-timeout", "2m"];
                let gateway = gateway(kind, certificate, &beats);
                let target = Target::from(&gateway);
                let balancer = Balancer::start(kind, &[target; 2], SILENCE_MAX, certificate);
                let mut socket = Visitor::connect("127.0.0.5", balancer.address, certificate);
                subscribe(&mut socket);
                let mut stream = Visitor::connect("127.0.0.5", balancer.address, certificate);
                stream.get("/v1/sse?topics=S999.quote");
                assert!(socket.stays(SILENCE_MAX * 2), "{kind:?} ended a WebSocket");
                assert!(stream.stays(SILENCE_MAX), "{kind:?} ended an event stream");
                assert_eq!(gateway.metric("tickcast_sessions"), 2.0, "{kind:?}");
            });
        }
    });
}

#[test]
fn without_heartbeats_the_proxys_idle_time_ends_them() {
    let certificate = Certificate::new();
    std::thread::scope(|scope| {
        for kind in KINDS {
            let certificate = &certificate;
            scope.spawn(move || {
                let mute =
                    ["--heartbeat", "10m", "--ping-interval", "10m", "--pong-timeout", "11m"];
                let gateway = gateway(kind, certificate, &mute);
                let target = Target::from(&gateway);
                let balancer = Balancer::start(kind, &[target; 2], SILENCE_MAX, certificate);
                let mut socket = Visitor::connect("127.0.0.5", balancer.address, certificate);
                subscribe(&mut socket);
                let mut stream = Visitor::connect("127.0.0.5", balancer.address, certificate);
                stream.get("/v1/sse?topics=S999.quote");
                assert!(!socket.stays(LONG), "{kind:?} keeps a silent WebSocket");
                assert!(!stream.stays(LONG), "{kind:?} keeps a silent event stream");
                let sessions = || gateway.metric("tickcast_sessions");
                until("the gateway to know", || (sessions() == 0.0).then_some(()));
            });
        }
    });
}

/// The times of both ends in the tests of cuts: clients give up after twice the heartbeat, gateways after the
/// pong time-out and then the grace for an answer to their goodbye.
const TIMES: [&str; 8] =
    ["--heartbeat", "1s", "--ping-interval", "1s", "--pong-timeout", "3s", "--close-grace", "1s"];
const CLIENT_NOTICES: Duration = Duration::from_secs(2);
const GATEWAY_NOTICES: Duration = Duration::from_secs(4);

/// Waits until the gateway has given a session up because it heard nothing.
fn time_to_timeout(gateway: &Gateway, since: Instant) -> Duration {
    until("the gateway to notice", || {
        let is_over = gateway.metric("tickcast_closed_timeout_total") >= 1.0
            && gateway.metric("tickcast_sessions") == 0.0;
        is_over.then(|| since.elapsed())
    })
}

fn until_sessions(gateway: &Gateway, sessions: f64) {
    until(&format!("{sessions} sessions"), || {
        (gateway.metric("tickcast_sessions") == sessions).then_some(())
    });
}

fn assert_within(kind: Kind, who: &str, took: Duration, documented: Duration) {
    println!("{kind:?}: {who} noticed after {} ms", took.as_millis());
    assert!(
        took <= documented + SLACK,
        "{kind:?}: {who} took {took:?}, documented: {documented:?}"
    );
}

#[test]
fn a_cut_between_client_and_proxy_is_noticed_by_both_ends() {
    let certificate = Certificate::new();
    for kind in KINDS {
        let gateway = gateway(kind, &certificate, &TIMES);
        let target = Target::from(&gateway);
        let balancer = Balancer::start(kind, &[target; 2], LONG, &certificate);
        let cable = Cable::to(balancer.address);
        let mut crowd = Crowd::new();
        let url = format!("wss://{}/v1/stream", cable.address);
        crowd.add(1, &url, "S999.quote", &certificate);
        until_sessions(&gateway, 1.0);
        let since = Instant::now();
        cable.cut();
        assert_within(kind, "the client", crowd.time_to_loss(since), CLIENT_NOTICES);
        assert_within(kind, "the gateway", time_to_timeout(&gateway, since), GATEWAY_NOTICES);
    }
}

#[test]
fn a_cut_between_proxy_and_gateway_is_noticed_and_the_client_comes_back_through_the_other() {
    let certificate = Certificate::new();
    for kind in KINDS {
        let (far, near) =
            (gateway(kind, &certificate, &TIMES), gateway(kind, &certificate, &TIMES));
        let cable = Cable::to(far.listen);
        let behind_cable = Target { listen: cable.address, admin: far.admin };
        let targets = [behind_cable, Target::from(&near)];
        let balancer = Balancer::start(kind, &targets, LONG, &certificate);
        let mut crowd = Crowd::new();
        crowd.add(2, &balancer.url(), "S999.quote", &certificate);
        // One that has given up on a busy machine comes back, to where nobody is.
        until_sessions(&far, 1.0);
        until_sessions(&near, 1.0);
        let since = Instant::now();
        cable.cut();
        assert_within(kind, "the client", crowd.time_to_loss(since), CLIENT_NOTICES);
        assert_within(kind, "the gateway", time_to_timeout(&far, since), GATEWAY_NOTICES);
        until_sessions(&near, 2.0);
    }
}
