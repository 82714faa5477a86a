//! Signals under load: ending, and reading files again.

use std::time::{Duration, Instant};

use crate::bystanders::Bystanders;
use crate::crowd::{Crowd, knock};
use crate::gateway;
use crate::support::certificate::Certificate;
use crate::support::process::until;
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
