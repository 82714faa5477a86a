//! What subscribers get while all is well.

use std::time::{Duration, Instant};

use gateway::shard::counters::Counter;
use gateway::shard::{SendBackend, ShardReport, Spin};
use wire::{Channel, CloseCode};

use super::client::{Client, Frame, PING, PONG, TEXT, UPGRADE};
use super::follower::Follower;
use super::rig::Rig;

#[test]
fn a_subscriber_gets_every_quote_in_order() {
    every_quote_in_order(SendBackend::OneByOne);
}

pub(crate) fn every_quote_in_order(backend: SendBackend) {
    let mut rig = Rig::with(|settings| settings.send_backend = backend);
    let mut client = Client::subscribed(rig.address, &["S3.quote"]);
    let mut follower = Follower::default();
    rig.market.quote(3);
    rig.market.wake();
    follower.follow(&mut client, (3, Channel::Quote), 1);
    for _ in 0..999 {
        rig.market.quote(3);
        rig.market.quote(4);
        rig.market.wake();
    }
    follower.follow(&mut client, (3, Channel::Quote), 1000);
    let seen = follower.topic(3, Channel::Quote);
    assert_eq!((seen.delivered, seen.skipped), (1000, 0));
    assert_eq!(follower.topic(4, Channel::Quote).delivered, 0);
}

#[test]
fn thousands_of_subscribers_get_everything_and_ticks_share_sends() {
    everything_to_everybody(SendBackend::OneByOne);
}

pub(crate) fn everything_to_everybody(backend: SendBackend) -> ShardReport {
    const CLIENTS: usize = 500;
    const QUOTES: u64 = 2000;
    let mut rig = Rig::with(|settings| settings.send_backend = backend);
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|_| Client::subscribed(rig.address, &["S0.quote"])).collect();
    rig.market.quote(0);
    rig.market.wake();
    let mut followers: Vec<Follower> = Vec::new();
    for client in &mut clients {
        let mut follower = Follower::default();
        follower.follow(client, (0, Channel::Quote), 1);
        followers.push(follower);
    }
    let reader = std::thread::spawn(move || {
        for (client, follower) in clients.iter_mut().zip(&mut followers) {
            follower.follow(client, (0, Channel::Quote), QUOTES);
            let seen = follower.topic(0, Channel::Quote);
            assert_eq!((seen.delivered, seen.skipped), (QUOTES, 0));
        }
    });
    for batch in 0..QUOTES / 10 {
        for _ in u64::from(batch == 0)..10 {
            rig.market.quote(0);
        }
        rig.market.wake();
        std::thread::sleep(Duration::from_micros(500));
    }
    reader.join().unwrap();
    let report = rig.report();
    let sends = report.counters[Counter::Sends];
    assert_eq!(report.hub.deliveries, QUOTES * CLIENTS as u64);
    assert!(sends <= QUOTES / 10 * 2 * CLIENTS as u64, "{sends} sends");
    report
}

#[test]
fn a_visit_carries_what_came_after_the_connection_was_due() {
    // The first of many subscribers is visited when the batch is read, the last after all others.
    // Ticks published meanwhile reach the last ones in the same message as the first tick.
    const CLIENTS: usize = 600;
    let mut rig = Rig::start();
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|_| Client::subscribed(rig.address, &["S0.quote"])).collect();
    // Whether the publisher has its turn between two visits is up to the machine: more rounds give it more chances.
    let (mut messages, mut passes) = (0, 0);
    for round in 1..=400u64 {
        for _ in 0..10 {
            rig.market.quote(0);
            rig.market.wake();
            std::thread::sleep(Duration::from_micros(200));
        }
        for client in &mut clients {
            let mut follower = Follower::default();
            while follower.topic(0, Channel::Quote).last < round * 10 {
                follower.take(&client.frame());
                messages += 1;
            }
            passes += 1;
        }
        if round >= 20 && messages < passes * 9 {
            break;
        }
    }
    assert!(messages < passes * 9, "{messages} messages for {passes} times ten quotes");
}

#[test]
fn the_same_in_json_is_text() {
    let mut rig = Rig::start();
    let mut client = Client::connect(rig.address);
    let response = client.request("/v1/stream", UPGRADE);
    assert!(response.starts_with("HTTP/1.1 101") && !response.contains("protocol"), "{response}");
    assert!(client.frame().text().contains("\"encoding\":\"json\""));
    client.subscribe(&["S1.quote"]);
    rig.market.quote(1);
    rig.market.wake();
    let quote = loop {
        let frame = client.frame();
        let events: serde_json::Value = serde_json::from_str(frame.text()).unwrap();
        let mut events = events.as_array().unwrap().iter();
        if let Some(quote) = events.find(|event| event["e"] == "quote") {
            break quote.clone();
        }
    };
    assert_eq!(
        (&quote["s"], &quote["bid"], &quote["seq"]),
        (&"S1".into(), &"0.01".into(), &"1".into())
    );
}

#[test]
fn an_ack_comes_before_the_data_that_it_announces() {
    let mut rig = Rig::start();
    for _ in 0..5 {
        rig.market.quote(0);
    }
    rig.market.wake();
    rig.wait_until("the quotes are known", |report| report.hub.entries >= 5);
    let mut client = Client::sbe(rig.address);
    client.subscribe(&["S0.quote"]);
    let mut follower = Follower::default();
    follower.follow(&mut client, (0, Channel::Quote), 5);
    assert_eq!(follower.topic(0, Channel::Quote).delivered, 1, "the newest one, as a snapshot");
}

#[test]
fn pings_are_answered_with_what_they_carry_even_inside_of_a_message() {
    let rig = Rig::start();
    let mut client = Client::sbe(rig.address);
    client.send(0x01, b"{\"op\":\"pi");
    client.send(PING, b"are you there");
    assert_eq!(client.frame(), Frame { first: PONG, payload: b"are you there".to_vec() });
    client.send(0x80, b"ng\",\"id\":\"x\"}");
    assert_eq!(client.frame().text(), "{\"op\":\"pong\",\"id\":\"x\"}");
}

#[test]
fn commands_that_come_with_the_handshake_are_not_lost() {
    let rig = Rig::start();
    let mut client = Client::connect(rig.address);
    let mut bytes = format!("GET /v1/stream HTTP/1.1\r\nHost: test\r\n{UPGRADE}\r\n").into_bytes();
    for id in 0..50 {
        let command = format!("{{\"op\":\"ping\",\"id\":{id}}}");
        bytes.extend(super::client::frame(TEXT, command.as_bytes()));
    }
    client.write(&bytes);
    assert!(client.response().starts_with("HTTP/1.1 101"));
    assert!(client.frame().text().contains("hello"));
    for id in 0..50 {
        assert_eq!(client.frame().text(), format!("{{\"op\":\"pong\",\"id\":{id}}}"));
    }
}

#[test]
fn a_command_byte_by_byte_is_a_command() {
    let rig = Rig::start();
    let mut client = Client::sbe(rig.address);
    for byte in super::client::frame(TEXT, b"{\"op\":\"ping\",\"id\":7}") {
        client.write(&[byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.frame().text(), "{\"op\":\"pong\",\"id\":7}");
    assert_eq!(rig.report().kept_bytes, 0);
}

#[test]
fn a_tick_wakes_a_sleeping_shard() {
    let mut rig = Rig::start();
    let mut client = Client::subscribed(rig.address, &["S0.quote"]);
    let mut follower = Follower::default();
    // A machine that is busy is late now and then, and not each time.
    let is_woken = (0..20).any(|_| {
        let mut worst = Duration::ZERO;
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(5));
            let began = Instant::now();
            let seq = rig.market.quote(0);
            rig.market.wake();
            follower.follow(&mut client, (0, Channel::Quote), seq);
            worst = worst.max(began.elapsed());
        }
        worst < Duration::from_millis(500) && rig.count(Counter::Parks) >= 50
    });
    assert!(is_woken, "it sleeps until a timer, or not at all");
}

#[test]
fn a_spinning_shard_serves_ticks_sockets_and_timers_and_sleeps_at_last() {
    let mut rig = Rig::with(|settings| {
        settings.spin = Spin::Adaptive(Duration::from_millis(1));
        settings.heartbeat = Duration::from_millis(100);
    });
    let mut client = Client::subscribed(rig.address, &["S0.quote"]);
    let mut follower = Follower::default();
    for seq in 1..=200 {
        rig.market.quote(0);
        rig.market.wake();
        follower.follow(&mut client, (0, Channel::Quote), seq);
    }
    client.send(PING, b"while it spins");
    while client.frame().first != PONG {}
    while follower.heartbeats < 2 {
        follower.take(&client.frame());
    }
    assert!(rig.count(Counter::Parks) > 0);
}

#[test]
fn a_client_that_closes_is_answered_with_its_own_code() {
    let rig = Rig::start();
    let mut client = Client::subscribed(rig.address, &["S0.quote"]);
    client.send(super::client::CLOSE, &CloseCode::Normal.code().to_be_bytes());
    assert_eq!(client.expect_close(), 1000);
    rig.wait_until("the session is gone", |report| report.sessions == 0);
    assert_eq!(rig.count(Counter::CloseByPeer), 1);
    assert_eq!(rig.report().hub.disconnects, 1);
}
