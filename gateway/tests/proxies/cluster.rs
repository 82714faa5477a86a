//! A cluster as it is deployed: nginx in front of three gateways on one bus. What a client publishes at one of them and what
//! the feed writes reaches three hundred clients, wherever the proxy has put them.

use std::time::Duration;

use serde_json::json;

use crate::balancer::{Balancer, Kind, Target};
use crate::crowd::Crowd;
use crate::publisher::{Publisher, trade};
use crate::support::bus_server::{BusKind, BusServer};
use crate::support::certificate::Certificate;
use crate::support::process::{Gateway, feed_sim, free_address, get, until};

/// Instruments that clients publish: C0, C1, …
const PUBLISHED: usize = 4;

/// What is published of each of them.
const EACH: u64 = 100;

const CLIENTS: usize = 300;

/// Long enough to play no part.
const LONG: Duration = Duration::from_mins(2);

/// The feed's first instruments.
const SYMBOLS: [&str; 6] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT", "DOGEUSDT"];

fn everybody_gets_what_is_theirs(kind: BusKind) {
    let bus = BusServer::start(kind);
    let url = bus.url();
    let market = ["--symbols", "6", "--rate", "500", "--published", "4", "--bus-bucket", "2"];
    let _feed = feed_sim(&[&["--out", &url][..], &market].concat());
    let certificate = Certificate::new();
    let proxied = Kind::Nginx.gateway_arguments(&certificate);
    let mut arguments = vec!["--source", &url, "--bus", &url, "--publish", "local"];
    // A slow machine must not be mistaken for a slow client, nor for a gateway that is gone.
    let patient = ["--shards", "1", "--lag-age", "1h", "--slow-age", "1h", "--heartbeat", "1m"];
    arguments.extend(patient);
    arguments.extend(proxied.iter().map(String::as_str));
    let nodes: Vec<Gateway> = (0..3).map(|_| Gateway::spawn(free_address(), &arguments)).collect();
    for node in &nodes {
        until("a node that is ready", || {
            get(node.admin, "/readyz").filter(|(status, _)| *status == 200)
        });
    }
    let targets: Vec<Target> = nodes.iter().map(Target::from).collect();
    let nginx = Balancer::start(Kind::Nginx, &targets, LONG, &certificate);

    let mut crowd = Crowd::new();
    let published: Vec<String> = (0..PUBLISHED).map(|n| format!("C{n}.trade")).collect();
    let mut lives = Vec::new();
    for nth in 0..CLIENTS {
        let topics = match nth % 10 {
            0 => vec!["*.trade".to_owned()],
            1 => published.clone(),
            _ => vec![
                format!("C{}.trade", nth % PUBLISHED),
                format!("{}.trade", SYMBOLS[nth % 6]),
                format!("{}.trade", SYMBOLS[(nth + 1) % 6]),
            ],
        };
        lives.push((crowd.seat(&nginx.url(), &topics, &certificate), topics));
    }
    let direct = |node: &Gateway| format!("ws://{}/v1/stream", node.listen);
    let watchers =
        [&nodes[1], &nodes[2]].map(|node| crowd.seat(&direct(node), &published, &certificate));
    for node in &nodes {
        let sessions = node.metric("tickcast_sessions");
        assert!((95.0..=106.0).contains(&sessions), "{kind:?}: {sessions} of {CLIENTS}");
    }

    // One client, at the first node; one trade of each instrument at a time.
    let mut publisher = Publisher::json(nodes[0].listen);
    for n in 1..=EACH {
        let ticks: Vec<_> = (0..PUBLISHED)
            .map(|at| {
                let mut tick = trade(&format!("C{at}"), &format!("{n}.00"));
                tick["trade_id"] = n.to_string().into();
                tick
            })
            .collect();
        let reply = publisher.ask(&json!({"op":"publish","id":n,"ticks":ticks}));
        for result in reply["results"].as_array().expect("an ack") {
            assert_eq!(result["seq"], n.to_string(), "{kind:?}: {reply}");
        }
    }
    // What is acknowledged is at the bus, and may still be on its way from there.
    let all = EACH * PUBLISHED as u64;
    for watcher in &watchers {
        until("all that was published", || (watcher.tape().sums.trades >= all).then_some(()));
    }
    crowd.catch_up(100);

    for watcher in watchers {
        let tape = watcher.tape();
        assert_eq!(tape.sums.trades, all, "{kind:?}");
        tape.assert_whole();
    }
    for (life, topics) in lives {
        let tape = life.tape();
        tape.assert_whole();
        let mut symbols = tape.symbols();
        assert!(symbols.iter().any(|symbol| symbol.starts_with('C')), "{topics:?}");
        if topics[0] != "*.trade" {
            symbols.retain(|symbol| !topics.contains(&format!("{symbol}.trade")));
            assert!(symbols.is_empty(), "{kind:?}: {symbols:?} did not belong to {topics:?}");
        }
    }
    assert_eq!(crowd.losses(), 0, "{kind:?}");
}

#[test]
fn three_hundred_clients_of_three_gateways_on_nats_get_each_trade_of_theirs_in_order() {
    everybody_gets_what_is_theirs(BusKind::Nats);
}

#[test]
fn three_hundred_clients_of_three_gateways_on_redis_get_each_trade_of_theirs_in_order() {
    everybody_gets_what_is_theirs(BusKind::Redis);
}
