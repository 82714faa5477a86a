//! Signals under load: ending, and reading files again.

use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bystanders::Bystanders;
use crate::crowd::{Crowd, knock};
use crate::gateway;
use crate::support::certificate::Certificate;
use crate::support::process::{Gateway, until};
use crate::support::subscriber::Message;

#[test]
fn a_drain_under_load_tells_everybody_and_cuts_nothing_off_before() {
    let mut gateway = gateway(&["--rate", "5000", "--drain-window", "2s"]);
    let bystanders = Bystanders::at(gateway.listen, 30);
    let began = Instant::now();
    gateway.process.signal("-TERM");
    let mut codes = Vec::new();
    for life in bystanders.lives() {
        life.assert_whole();
        codes.push(life.end.expect("it has ended"));
    }
    // 1001 is for those whose turn has not come when the time is over, as it may be on a busy machine.
    let is_told = |end: &Message| matches!(end, Message::Close(4001 | 1001));
    assert!(codes.iter().all(is_told), "{codes:?}");
    assert_eq!(gateway.process.wait(), Some(0));
    println!("30 connections at 5,000 ticks a second drained in {:?}", began.elapsed());
}

#[test]
fn certificates_are_replaced_under_load_and_nobody_loses_a_connection_or_a_tick() {
    const RELOADS: usize = 20;
    let certificate = Certificate::new();
    let (chain, key) = (certificate.file("chain.pem"), certificate.file("key.pem"));
    let gateway = gateway(&[
        "--source",
        "sim",
        "--rate",
        "5000",
        "--tls-cert",
        &chain,
        "--tls-key",
        &key,
        "--heartbeat",
        "15s",
    ]);
    let url = format!("wss://localhost:{}/v1/stream", gateway.listen.port());
    let mut crowd = Crowd::new();
    let topics = ["*.trade".to_owned()];
    let lives: Vec<_> = (0..20).map(|_| crowd.seat(&url, &topics, &certificate)).collect();
    crowd.catch_up(20);
    crowd.watch();
    let mut newest = Certificate::new();
    for round in 1..=RELOADS {
        if round > 1 {
            newest = Certificate::new();
        }
        for (from, to) in [("chain.pem", &chain), ("key.pem", &key)] {
            std::fs::copy(newest.file(from), to).unwrap();
        }
        gateway.process.signal("-HUP");
        until("the certificate to be read again", || {
            let count = gateway.metric("tickcast_certificate_reloads_total");
            (count >= f64::from(u32::try_from(round).unwrap())).then_some(())
        });
        assert!(knock(&url, &newest), "who comes now sees the new one");
    }
    assert!(!knock(&url, &certificate), "nobody is shown the first one any more");
    std::thread::sleep(Duration::from_millis(500));
    crowd.catch_up(100);
    for life in &lives {
        life.tape().assert_whole();
    }
    assert_eq!(gateway.metric("tickcast_certificate_failures_total"), 0.0);
    assert_eq!(crowd.losses(), 0);
}

/// A gateway with a configuration file that is rewritten.
struct Rewritten {
    gateway: Gateway,
    file: PathBuf,
    _folder: TempDir,
    signals: u32,
}

impl Rewritten {
    fn with(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text).unwrap();
        // So much that ticks flow all the time, and that hundreds of clients in one thread of a busy machine keep up.
        let feed = ["--source", "sim", "--derive", "none", "--rate", "200", "--heartbeat", "1m"];
        let more = [&["--config", file.to_str().unwrap()], &feed[..]].concat();
        Self { gateway: gateway(&more), file, _folder: folder, signals: 0 }
    }

    /// Says this from now on, and waits until it was read.
    fn say(&mut self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
        self.gateway.process.signal("-HUP");
        self.signals += 1;
        until("the configuration to be read again", || {
            let both = ["tickcast_config_reloads_total", "tickcast_config_failures_total"];
            let count: f64 = both.map(|name| self.gateway.metric(name)).iter().sum();
            (count >= f64::from(self.signals)).then_some(())
        });
    }
}

#[test]
fn the_configuration_is_replaced_under_load_and_nobody_loses_a_connection_or_a_tick() {
    const HEALTHY: usize = 200;
    let certificates = [Certificate::new(), Certificate::new()];
    // Room for one more, or for nobody.
    let text = |more: bool, certificate: &Certificate| {
        let most = if more { HEALTHY + 20 } else { HEALTHY };
        let (chain, key) = (certificate.file("chain.pem"), certificate.file("key.pem"));
        format!("tls-cert = \"{chain}\"\ntls-key = \"{key}\"\naddress-connections = {most}\n")
    };
    let mut world = Rewritten::with(&text(true, &certificates[0]));
    let url = format!("wss://localhost:{}/v1/stream", world.gateway.listen.port());
    let mut crowd = Crowd::new();
    crowd.add(HEALTHY, &url, "*.trade", &certificates[0]);
    crowd.catch_up(20);
    crowd.watch();
    let (mut broken, mut admits) = (0, true);
    for round in 1..=20 {
        let certificate = &certificates[round % 2];
        if round % 5 == 0 {
            broken += 1;
            let slip = format!("# Line 1.\n{}", text(!admits, certificate));
            world.say(&slip.replace("address-connections", "address-conections"));
            let place = format!("`address-conections` from {} line 4", world.file.display());
            world.gateway.process.wait_for_log(&place);
            world.gateway.process.wait_for_log("did you mean `address-connections`?");
            assert_eq!(world.gateway.metric("tickcast_config_failures_total"), f64::from(broken));
            // Neither the limit nor the certificate of the round before has given way.
            let before = &certificates[(round - 1) % 2];
            assert_eq!(knock(&url, before), admits, "round {round}");
            assert!(!knock(&url, certificate), "round {round}");
            continue;
        }
        crowd.catch_up(5);
        admits = !admits;
        let fixed = "log-entries = 65536\nsend-backend = \"epoll\"\nshards = 2\n";
        world.say(&(text(admits, certificate) + fixed));
        // A shard is told, and does it with its next turn.
        until("the limit in force", || (knock(&url, certificate) == admits).then_some(()));
        assert_eq!(knock(&url, certificate), admits, "round {round}");
    }
    // The number of shards is a flag's, which goes before the file.
    world.gateway.process.wait_for_log("needs a restart: send-backend, log-entries");
    std::thread::sleep(Duration::from_millis(500));
    crowd.catch_up(40);
    for life in crowd.lives() {
        life.tape().assert_whole();
    }
    assert_eq!(crowd.losses(), 0);
    assert_eq!(world.gateway.metric("tickcast_config_reloads_total"), 16.0);
    assert_eq!(world.gateway.metric("tickcast_certificate_failures_total"), 0.0);
    assert!(world.gateway.metric("tickcast_addresses_refused_total") > 7.0);
}

#[test]
fn a_new_age_and_a_new_level_of_the_log_reach_those_who_are_there() {
    let mut world = Rewritten::with("");
    let bystanders = Bystanders::at(world.gateway.listen, 3);
    assert!(!world.gateway.process.log().contains("DEBUG"));
    // No age was said before: theirs begins now. Who was there before there was a limit is not counted.
    world.say("session-age = \"1h\"\nlog-level = \"debug\"\naddress-connections = 1\n");
    let first = TcpStream::connect(world.gateway.listen).unwrap();
    until("a line that only debug has", || {
        let _second = TcpStream::connect(world.gateway.listen).unwrap();
        let log = world.gateway.process.log();
        (log.contains("DEBUG") && log.contains("an address is refused")).then_some(())
    });
    drop(first);
    bystanders.noticed_nothing();
    let mut world = Rewritten::with("session-age = \"1h\"\n");
    let bystanders = Bystanders::at(world.gateway.listen, 3);
    world.say("");
    world.say("session-age = \"2s\"\nping-interval = \"1s\"\n");
    let ends: Vec<_> = bystanders.lives().into_iter().map(|life| life.end).collect();
    assert!(ends.iter().all(|end| matches!(end, Some(Message::Close(4006)))), "{ends:?}");
}
