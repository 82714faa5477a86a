//! Which gateway gets whom: least connections, readiness, and what becomes of those whose gateway dies or drains.

use std::time::Duration;

use crate::balancer::{Balancer, KINDS, Kind, Target};
use crate::crowd::{Crowd, knock};
use crate::support::certificate::Certificate;
use crate::support::process::{Gateway, free_address, until};

/// Long enough to play no part.
const LONG: Duration = Duration::from_mins(1);

fn arguments(kind: Kind, certificate: &Certificate) -> Vec<String> {
    let source = ["--source", "pulse", "--symbols", "10", "--rate", "100", "--shards", "1"];
    let mut arguments: Vec<String> = source.iter().map(|word| (*word).to_owned()).collect();
    arguments.extend(["--drain-window", "1s"].map(str::to_owned));
    arguments.extend(kind.gateway_arguments(certificate));
    arguments
}

/// Two gateways, of which the second one does not run yet, and a proxy in front of both.
struct Site {
    kind: Kind,
    arguments: Vec<String>,
    certificate: Certificate,
    first: Gateway,
    second: Target,
    balancer: Balancer,
}

impl Site {
    fn start(kind: Kind) -> Self {
        let certificate = Certificate::new();
        let arguments = arguments(kind, &certificate);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let first = Gateway::start(&words);
        let second = Target { listen: free_address(), admin: free_address() };
        let targets = [Target::from(&first), second];
        let balancer = Balancer::start(kind, &targets, LONG, &certificate);
        Self { kind, arguments, certificate, first, second, balancer }
    }

    /// Starts a gateway where the proxy looks for one, and waits until the proxy sends somebody there.
    fn start_at(&self, target: Target) -> Gateway {
        let (listen, admin) = (target.listen.to_string(), target.admin.to_string());
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.args(["--listen", &listen, "--admin-listen", &admin]).args(&self.arguments);
        let gateway = Gateway::over(command, target.listen, target.admin);
        while gateway.metric("tickcast_sessions_opened_total") == 0.0 {
            knock(&self.balancer.url(), &self.certificate);
            std::thread::sleep(Duration::from_millis(100));
        }
        until_sessions(&gateway, 0);
        gateway
    }
}

fn until_sessions(gateway: &Gateway, sessions: u32) {
    let sessions = f64::from(sessions);
    until(&format!("{sessions} sessions"), || {
        (gateway.metric("tickcast_sessions") == sessions).then_some(())
    });
}

fn three_hundred_are_spread(kind: Kind) {
    let site = Site::start(kind);
    let mut crowd = Crowd::new();
    // The proxy tries both, and none of the clients notices that one does not answer.
    crowd.add(100, &site.balancer.url(), "*.quote", &site.certificate);
    until_sessions(&site.first, 100);
    let second = site.start_at(site.second);
    until_sessions(&site.first, 100);
    crowd.add(200, &site.balancer.url(), "*.quote", &site.certificate);
    let (first, second) = until("300 sessions", || {
        let sessions = |gateway: &Gateway| gateway.metric("tickcast_sessions");
        let both = (sessions(&site.first), sessions(&second));
        (both.0 + both.1 >= 300.0).then_some(both)
    });
    // In turns it would be 200 to 100. The proxy's count may lag behind by those who have just gone.
    assert!((first - second).abs() <= 6.0, "{:?}: {first} and {second}", site.kind);
    crowd.wait_for_quotes();
    assert_eq!(crowd.losses(), 0);
}

#[test]
fn nginx_spreads_three_hundred_clients_by_least_connections() {
    three_hundred_are_spread(Kind::Nginx);
}

#[test]
fn haproxy_spreads_three_hundred_clients_by_least_connections() {
    three_hundred_are_spread(Kind::Haproxy);
}

#[test]
fn passthrough_spreads_three_hundred_clients_by_least_connections() {
    three_hundred_are_spread(Kind::NginxPassthrough);
    three_hundred_are_spread(Kind::HaproxyPassthrough);
}

#[test]
fn clients_of_a_gateway_that_dies_or_drains_come_back_through_the_other() {
    for kind in KINDS {
        let mut site = Site::start(kind);
        let mut second = site.start_at(site.second);
        let mut crowd = Crowd::new();
        crowd.add(40, &site.balancer.url(), "*.quote", &site.certificate);
        let at_first = site.first.metric("tickcast_sessions");
        assert!((15.0..=25.0).contains(&at_first), "{kind:?}: {at_first} of 40");

        // A crash: connections are reset.
        site.first.process.kill();
        until_sessions(&second, 40);
        crowd.wait_for_quotes();
        until("those who lost their gateway", || (crowd.losses() >= 15).then_some(()));

        // It comes back, and the other one is told to go: clients are closed one after another.
        let again = Target::from(&site.first);
        let first = site.start_at(again);
        assert_eq!(second.process.terminate(), Some(0), "{kind:?}: everybody is gone in time");
        until_sessions(&first, 40);
        crowd.wait_for_quotes();
    }
}

#[test]
fn haproxy_sends_nobody_to_a_gateway_that_is_not_ready() {
    let certificate = Certificate::new();
    for kind in [Kind::Haproxy, Kind::HaproxyPassthrough] {
        let arguments = arguments(kind, &certificate);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ready = Gateway::start(&words);
        let mut without_feed = words.clone();
        assert_eq!(without_feed[0], "--source");
        without_feed[1] = "shm:/dev/shm/tickcast-no-such-ring";
        let unready = Gateway::spawn(free_address(), &without_feed);
        let targets = [Target::from(&unready), Target::from(&ready)];
        let balancer = Balancer::start(kind, &targets, LONG, &certificate);
        balancer.wait_for_health(0, false);
        balancer.wait_for_health(1, true);
        let mut crowd = Crowd::new();
        crowd.add(20, &balancer.url(), "S0.quote", &certificate);
        assert_eq!(ready.metric("tickcast_sessions"), 20.0, "{kind:?}");
        assert_eq!(unready.metric("tickcast_sessions"), 0.0, "{kind:?}");
    }
}
