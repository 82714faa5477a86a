//! Publishing through real gateways to real buses: who may, what is refused, what is acknowledged and when, and
//! that a number is never given twice.

#[path = "publishing/feed.rs"]
mod feed;
#[path = "publishing/log.rs"]
mod log;
#[path = "publishing/publisher.rs"]
mod publisher;
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Client, Draft, ErrorCode, Options, Taker};
use log::{EPOCH, Log};
use publisher::{Publisher, trade};
use serde_json::{Value, json};
use support::bus_server::{BUSES, BusKind, BusServer};
use support::credentials::Credentials;
use support::process::{Gateway, PATIENCE, get, until};
use support::subscriber::{Message, Subscriber};
use wire::{Quote, Tick, Trade, sbe};

/// A bus with a catalog, and a gateway at which anybody may publish to it.
fn start(kind: BusKind, more: &[&str]) -> (BusServer, Log, Gateway) {
    let server = BusServer::start(kind);
    let log = Log::begin(&server);
    let gateway = gateway(&server, more);
    (server, log, gateway)
}

/// A gateway that publishes to this bus, once it knows the catalog.
fn gateway(server: &BusServer, more: &[&str]) -> Gateway {
    let url = server.url();
    let mut arguments = vec!["--shards", "2", "--symbols", "2", "--bus", &url];
    if !more.contains(&"--publish") {
        arguments.extend(["--publish", "local"]);
    }
    arguments.extend(more);
    let gateway = Gateway::start(&arguments);
    until("the catalog to be known to all shards", || {
        gateway.process.log().contains("catalog is known").then_some(())
    });
    gateway
}

fn results(reply: &Value) -> Vec<Value> {
    assert_eq!(reply["op"], "ack", "{reply}");
    reply["results"].as_array().expect("an ack has results").clone()
}

/// The only result of a reply.
fn result(reply: &Value) -> Value {
    let results = results(reply);
    assert_eq!(results.len(), 1, "{reply}");
    results[0].clone()
}

#[test]
fn nobody_publishes_unless_the_settings_say_so() {
    let gateway = Gateway::start(&["--symbols", "2"]);
    let mut client = Publisher::json(gateway.listen);
    assert_eq!(client.hello["limits"].get("publish_rate"), None);
    let reply = client.ask(&json!({"op":"publish","id":1,"ticks":[trade("C0", "1.00")]}));
    assert_eq!((reply["op"].as_str(), reply["code"].as_u64()), (Some("error"), Some(7)), "{reply}");
    let reply = client.ask(&json!({"op":"auth","id":2,"token":"x"}));
    assert_eq!(reply["code"], 7, "{reply}");
}

#[test]
fn settings_that_do_not_go_together_are_refused_at_the_start() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(arguments)
            .output()
            .expect("the gateway starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["--publish", "local"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("publish = \"local\"") && said.contains("bus must be set"), "{said}");
    let (code, said) = run(&["--publish", "granted", "--bus", "nats://127.0.0.1:1"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("auth must be set"), "{said}");
    let (code, said) = run(&["--bus", "nats://127.0.0.1:70000"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("its port is a number from 1 to 65535"), "{said}");
}

#[test]
fn ticks_are_acknowledged_with_the_numbers_that_the_log_has() {
    for kind in BUSES {
        let (_server, log, gateway) = start(kind, &[]);
        let mut client = Publisher::json(gateway.listen);
        assert_eq!(client.hello["limits"]["publish_rate"], 1_000);
        assert_eq!(client.hello["limits"]["publish_in_flight"], 4_096);
        let quote = json!({"topic":"C1.quote","bid":"1.00","bid_quantity":"3","ts":"55"});
        let ticks = json!([trade("C0", "1.05"), quote, trade("C0", "1.10")]);
        let reply = client.ask(&json!({"op":"publish","id":"first","ticks":ticks}));
        assert_eq!(reply["id"], "first");
        let expected = json!([
            {"topic":"C0.trade","ok":true,"seq":"1"},
            {"topic":"C1.quote","ok":true,"seq":"1"},
            {"topic":"C0.trade","ok":true,"seq":"2"},
        ]);
        assert_eq!(reply["results"], expected, "{kind:?}");
        // The same, as a binary message on a connection whose events are binary.
        let mut client = Publisher::sbe(gateway.listen);
        let mut message = Vec::new();
        sbe::publish(&mut message, EPOCH, 9);
        let sale =
            Trade { price: 115, quantity: 2, trade_id: 77, ts_trade_ns: 5, buyer_is_maker: true };
        let sides =
            Quote { bid_price: 0, bid_quantity: 0, ask_price: 105, ask_quantity: 1, update_id: 0 };
        let instrument = log.instrument("C0");
        for tick in [Tick::from_trade(2, 6, &sale), Tick::from_quote(3, 0, &sides)] {
            sbe::entry(&mut message, &[tick], &instrument);
        }
        let reply = client.ask_binary(&message);
        assert_eq!(reply["id"], 9);
        let expected = json!([
            {"topic":"C0.trade","ok":true,"seq":"3"},
            {"topic":"C1.quote","ok":true,"seq":"2"},
        ]);
        assert_eq!(reply["results"], expected, "{kind:?}");
        let trades: Vec<(u64, i64, u64)> =
            log.topic("C0.trade").iter().map(|t| (t.seq, t.trade().price, t.ts_event_ns)).collect();
        assert_eq!((trades[0].1, trades[1].1, trades[2]), (105, 110, (3, 115, 6)));
        let quotes = log.topic("C1.quote");
        assert_eq!((quotes[0].ts_event_ns, quotes[0].quote().bid_quantity), (55, 3));
        assert!(quotes[1].ts_event_ns > 1_600_000_000_000_000_000, "the gateway's own time");
        assert!(log.trades_are_dense("C0"));
        assert!(gateway.metric("tickcast_publish_accepted_total") >= 5.0);
        until("images of what was published", || {
            (log.image("C0").is_some() && log.image("C1").is_some()).then_some(())
        });
        assert_eq!(log.image("C0").unwrap().last[0].seq, 3);
        assert!(get(gateway.admin, "/metrics").is_some_and(|(status, _)| status == 200));
    }
}

#[test]
fn bad_ticks_are_named_and_do_not_void_the_others() {
    let (_server, log, gateway) = start(BusKind::Redis, &[]);
    let mut client = Publisher::json(gateway.listen);
    let bad = [
        (json!({"topic":"c0.trade"}), 20),
        (json!({"topic":"NONE.trade","price":"1","quantity":"1","side":"buy"}), 21),
        (json!({"topic":"FEED.trade","price":"1","quantity":"1","side":"buy"}), 27),
        (json!({"topic":"C0.depth"}), 27),
        (json!({"topic":"C2.quote","bid":"1","bid_quantity":"1"}), 22),
        (json!({"topic":"C0.trade","price":"1","quantity":"1"}), 4),
        (json!({"topic":"C0.trade","price":"1.001","quantity":"1","side":"buy"}), 4),
        (json!({"topic":"C0.trade","price":"1.02","quantity":"1","side":"buy"}), 4),
        (json!({"topic":"C0.trade","price":"1","quantity":"0.5","side":"buy"}), 4),
        (json!({"topic":"C0.trade","price":1,"quantity":"1","side":"buy"}), 4),
    ];
    for (number, (tick, code)) in bad.iter().enumerate() {
        let ticks = json!([trade("C0", "2.00"), tick, trade("C0", "2.05")]);
        let reply = client.ask(&json!({"op":"publish","id":number,"ticks":ticks}));
        let results = results(&reply);
        assert_eq!((&results[0]["ok"], &results[2]["ok"]), (&json!(true), &json!(true)), "{reply}");
        assert_eq!((&results[1]["ok"], &results[1]["code"]), (&json!(false), &json!(code)));
        assert!(!results[1]["msg"].as_str().unwrap().is_empty());
        let alone = client.ask(&json!({"op":"publish","ticks":[tick]}));
        assert_eq!(result(&alone)["code"], *code, "{alone}");
    }
    assert_eq!(log.topic("C0.trade").len(), 2 * bad.len());
    assert!(log.trades_are_dense("C0"));
    for command in [json!({"op":"publish","id":1}), json!({"op":"publish","id":1,"ticks":[]})] {
        assert_eq!(client.ask(&command)["code"], 4);
    }
    let many = vec![trade("C0", "1.00"); 1_001];
    assert_eq!(client.ask(&json!({"op":"publish","id":1,"ticks":many}))["code"], 8);

    let mut client = Publisher::sbe(gateway.listen);
    let mut message = Vec::new();
    sbe::publish(&mut message, EPOCH + 1, 3);
    let sale = Trade { price: 5, quantity: 2, trade_id: 0, ts_trade_ns: 0, buyer_is_maker: true };
    sbe::entry(&mut message, &[Tick::from_trade(2, 0, &sale)], &log.instrument("C0"));
    let reply = client.ask_binary(&message);
    assert_eq!((reply["id"].as_u64(), reply["code"].as_u64()), (Some(3), Some(4)), "{reply}");
    assert_eq!(client.ask_binary(b"nonsense that is no message")["code"], 1);
}

#[test]
fn who_is_granted_it_publishes_what_is_granted() {
    let credentials = Credentials::new(
        "[roles.writer]\nsee = [\"*.*\"]\npublish = [\"C0.*\", \"!C0.quote\"]\n[roles.reader]\nsee = [\"*.*\"]\n",
        &[("desk", "open-sesame", "writer"), ("eye", "another", "reader")],
    );
    let (_server, log, gateway) =
        start(BusKind::Redis, &["--publish", "granted", "--auth", credentials.path()]);
    let mut client = Publisher::json(gateway.listen);
    let publish = json!({"op":"publish","id":1,"ticks":[trade("C0", "1.00")]});
    assert_eq!(client.ask(&publish)["code"], 7, "nothing is shown yet");
    for token in ["open", "open-sesame ", "# desk"] {
        // The third wrong one of a connection would be its last.
        let mut stranger = Publisher::json(gateway.listen);
        let reply = stranger.ask(&json!({"op":"auth","id":2,"token":token}));
        assert_eq!(reply["op"], "error", "{reply}");
        assert_eq!(stranger.ask(&publish)["code"], 7);
    }
    let auth = |client: &mut Publisher, token: &str| {
        let reply = client.ask(&json!({"op":"auth","id":3,"token":token}));
        assert_eq!(reply, json!({"op":"ack","id":3}));
    };
    auth(&mut client, "another");
    assert_eq!(client.ask(&publish)["code"], 7, "who may see may not write");
    auth(&mut client, "open-sesame");
    assert_eq!(result(&client.ask(&publish))["seq"], "1");
    let mut other = Publisher::json(gateway.listen);
    assert_eq!(other.ask(&publish)["code"], 7, "a key entitles the connection that shows it");
    assert!(gateway.metric("tickcast_auth_refused_unknown_total") >= 3.0);

    // What is not granted is refused alike, whether there is such a thing or not; by number it has no name.
    let by_number = log.instrument("C1").id;
    let ticks = json!([
        trade("C0", "1.00"),
        {"topic":"C0.quote","bid":"1.00","bid_quantity":"1","ask":"2.00","ask_quantity":"1"},
        trade("C1", "1.00"),
        trade("NOPE", "1.00"),
    ]);
    let found = results(&client.ask(&json!({"op":"publish","id":4,"ticks":ticks})));
    assert_eq!(found[0]["ok"], true, "{found:?}");
    for refused in &found[1..] {
        assert_eq!((&refused["code"], &refused["msg"]), (&found[1]["code"], &found[1]["msg"]));
        assert_eq!(refused["code"], 7);
    }
    let mut binary = Publisher::sbe(gateway.listen);
    auth(&mut binary, "open-sesame");
    let mut message = Vec::new();
    sbe::publish(&mut message, EPOCH, 5);
    let sale = Trade { price: 5, quantity: 2, trade_id: 0, ts_trade_ns: 0, buyer_is_maker: true };
    sbe::entry(&mut message, &[Tick::from_trade(by_number, 0, &sale)], &log.instrument("C1"));
    let refused = result(&binary.ask_binary(&message));
    assert_eq!(
        (refused["code"].as_u64(), &refused["topic"]),
        (Some(7), &json!(format!("{by_number}.trade")))
    );

    // Another file by SIGHUP holds for who is there already.
    credentials.write(
        "[roles.writer]\nsee = [\"*.*\"]\n[roles.reader]\npublish = [\"*.*\"]\n",
        &[("desk", "open-sesame", "writer"), ("eye", "fresh", "reader")],
    );
    gateway.process.signal("-HUP");
    until("the role to change", || (client.ask(&publish)["code"] == 7).then_some(()));
    auth(&mut other, "fresh");
    assert_eq!(result(&other.ask(&publish))["ok"], true);
}

#[test]
fn a_connection_publishes_so_many_ticks_a_second() {
    let (_server, log, gateway) = start(BusKind::Redis, &["--publish-rate", "10"]);
    let mut client = Publisher::json(gateway.listen);
    let burst = json!({"op":"publish","id":1,"ticks":vec![trade("C0", "1.00"); 20]});
    // Two at once; a machine that is busy in between is asked once more.
    let refused = until("a refusal", || {
        client.send(&burst);
        client.send(&burst);
        let replies = [client.reply(), client.reply()];
        let (taken, refused) = replies.into_iter().partition::<Vec<_>, _>(|it| it["op"] == "ack");
        assert!(taken.iter().all(|reply| results(reply).len() == 20), "{taken:?}");
        refused.into_iter().next()
    });
    assert_eq!((refused["code"].as_u64(), refused["name"].as_str()), (Some(9), Some("too_fast")));
    // Refusals cost nothing: it is soon allowed again.
    until("the rate to allow one more", || {
        let reply = client.ask(&json!({"op":"publish","id":2,"ticks":[trade("C0", "1.00")]}));
        (reply["op"] == "ack").then_some(())
    });
    assert!(log.trades_are_dense("C0"));
}

#[test]
fn a_bus_that_stalls_makes_publishers_wait_and_then_busy_and_loses_nothing() {
    for kind in BUSES {
        let (server, log, gateway) = start(kind, &["--publish-in-flight", "5"]);
        let mut client = Publisher::json(gateway.listen);
        let one = |id: u64| json!({"op":"publish","id":id,"ticks":[trade("C0", "1.00")]});
        assert_eq!(result(&client.ask(&one(0)))["seq"], "1");
        server.stall();
        for id in 1..=6 {
            client.send(&one(id));
        }
        // Only the one too many is answered.
        let reply = client.reply();
        assert_eq!(
            (reply["id"].as_u64(), reply["name"].as_str()),
            (Some(6), Some("busy")),
            "{reply}"
        );
        assert!(client.is_silent(Duration::from_millis(700)), "nothing is acknowledged early");
        server.go_on();
        let mut seqs: Vec<String> =
            (0..5).map(|_| result(&client.reply())["seq"].as_str().unwrap().to_owned()).collect();
        seqs.sort();
        assert_eq!(seqs, ["2", "3", "4", "5", "6"], "{kind:?}");
        assert_eq!(log.topic("C0.trade").len(), 6);
        assert!(log.trades_are_dense("C0"));
    }
}

#[test]
fn what_a_bus_does_not_take_in_time_is_said_and_never_doubled() {
    for kind in BUSES {
        // Longer than a busy machine takes for what does not stall.
        let (server, log, gateway) = start(kind, &["--publish-patience", "6s"]);
        let mut client = Publisher::json(gateway.listen);
        let one =
            |id: u64, price: &str| json!({"op":"publish","id":id,"ticks":[trade("C0", price)]});
        assert_eq!(result(&client.ask(&one(0, "1.00")))["seq"], "1");
        server.stall();
        client.send(&one(1, "1.05"));
        until("the first to be on its way", || {
            (gateway.metric("tickcast_publish_held") >= 1.0).then_some(())
        });
        std::thread::sleep(Duration::from_millis(500));
        client.send(&one(2, "1.10"));
        let mut outcomes = BTreeMap::new();
        for _ in 0..2 {
            let reply = client.reply();
            let name = result(&reply)["name"].as_str().unwrap_or("acknowledged").to_owned();
            outcomes.insert(reply["id"].as_u64().unwrap(), name);
        }
        // The first was on its way when the bus stopped; the second never left.
        assert_eq!(outcomes[&1], "uncertain", "{kind:?}: {outcomes:?}");
        assert_eq!(outcomes[&2], "unavailable", "{kind:?}: {outcomes:?}");
        server.go_on();
        until("the bus to take ticks again", || {
            (result(&client.ask(&one(3, "1.15")))["ok"] == true).then_some(())
        });
        assert!(log.trades_are_dense("C0"));
        let with_price = |price: i64| {
            log.topic("C0.trade").iter().filter(|tick| tick.trade().price == price).count()
        };
        assert!(with_price(105) <= 1, "{kind:?}: doubled");
        assert_eq!(with_price(110), 0, "{kind:?}: it was said not to be taken");
    }
}

#[test]
fn two_nodes_publish_to_one_topic_at_the_same_time() {
    for kind in BUSES {
        let (server, log, first) = start(kind, &["--publish-rate", "100k"]);
        let second = gateway(&server, &["--publish-rate", "100k"]);
        const EACH: u64 = 400;
        let threads: Vec<_> = [first.listen, second.listen]
            .into_iter()
            .map(|address| {
                std::thread::spawn(move || {
                    let mut client = Publisher::json(address);
                    let mut seqs = Vec::new();
                    for id in 0..EACH {
                        client.send(&json!({"op":"publish","id":id,"ticks":[trade("C0", "1.00")]}));
                        if id >= 20 {
                            seqs.push(result(&client.reply())["seq"].as_str().unwrap().to_owned());
                        }
                    }
                    for _ in 0..20 {
                        seqs.push(result(&client.reply())["seq"].as_str().unwrap().to_owned());
                    }
                    seqs.into_iter().map(|seq| seq.parse().unwrap()).collect::<Vec<u64>>()
                })
            })
            .collect();
        let mut seqs: Vec<u64> = Vec::new();
        for thread in threads {
            let of_one = thread.join().unwrap();
            assert!(of_one.is_sorted(), "{kind:?}: one client's ticks keep their order");
            seqs.extend(of_one);
        }
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=2 * EACH).collect::<Vec<u64>>(), "{kind:?}");
        assert_eq!(log.topic("C0.trade").len() as u64, 2 * EACH);
        assert!(log.trades_are_dense("C0"));
    }
}

#[test]
fn what_is_published_at_one_node_reaches_the_subscribers_of_every_node() {
    const LAST: u64 = 200;
    for kind in BUSES {
        let server = BusServer::start(kind);
        let _log = Log::begin(&server);
        let url = server.url();
        let more = ["--source", url.as_str(), "--publish-rate", "100k"];
        let nodes: Vec<Gateway> = (0..3).map(|_| gateway(&server, &more)).collect();
        let mut subscribers: Vec<Subscriber> = nodes
            .iter()
            .map(|node| {
                until("a node that is ready", || {
                    get(node.admin, "/readyz").filter(|(status, _)| *status == 200)
                });
                let mut subscriber = Subscriber::connect(node.listen, "tickcast.v1.json");
                let ack = subscriber.subscribe(&["C0.trade"], "");
                assert!(ack.contains("\"ok\":true"), "{kind:?}: {ack}");
                subscriber
            })
            .collect();
        let mut publisher = Publisher::json(nodes[0].listen);
        let mut publish = |seq: u64| {
            let command = json!({"op":"publish","id":seq,"ticks":[trade("C0", "1.00")]});
            assert_eq!(result(&publisher.ask(&command))["seq"], seq.to_string());
        };
        // Everybody has the first; from there on nothing may be missing, doubled or out of order.
        publish(1);
        let mut seen: Vec<Vec<u64>> =
            subscribers.iter_mut().map(|subscriber| trades_up_to(subscriber, 1)).collect();
        (2..=LAST).for_each(&mut publish);
        for (subscriber, seen) in subscribers.iter_mut().zip(&mut seen) {
            seen.extend(trades_up_to(subscriber, LAST));
            assert_eq!(*seen, (1..=LAST).collect::<Vec<u64>>(), "{kind:?}");
        }
    }
}

/// Numbers of the trades that come, until this one has come.
fn trades_up_to(subscriber: &mut Subscriber, last: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.last() != Some(&last) {
        let Some(Message::Text(text)) = subscriber.next(PATIENCE) else {
            panic!("it ended after {seqs:?}");
        };
        let events: Vec<Value> = serde_json::from_str(&text).expect("an array of events");
        let trades = events.iter().filter(|event| event["e"] == "trade");
        seqs.extend(trades.map(|event| event["seq"].as_str().unwrap().parse::<u64>().unwrap()));
        assert!(events.iter().all(|event| event["e"] != "gap"), "{text}");
    }
    seqs
}

/// Publishes trades with ids of their own one after the other until there are enough or the connection ends; answers the
/// number that each was acknowledged with, by id.
fn publish_all(address: SocketAddr, ids: Range<u64>, acknowledged: &AtomicU64) -> Vec<(u64, u64)> {
    let mut client = Publisher::json(address);
    let mut numbers = Vec::new();
    for id in ids {
        let mut tick = trade("C0", "1.00");
        tick["trade_id"] = id.to_string().into();
        client.send(&json!({"op":"publish","id":id,"ticks":[tick]}));
        let Some(reply) = client.reply_or_end() else { break };
        let seq = result(&reply)["seq"].as_str().expect("acknowledged").parse().expect("digits");
        numbers.push((id, seq));
        // Relaxed: a count that says nothing of other memory.
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    numbers
}

/// Two clients publish to one topic at two nodes, and one of these is killed: each tick has one number, what was
/// acknowledged is there, the other client does not notice, and at a third node everybody sees all of it in order.
#[test]
fn a_node_that_is_killed_while_two_publish_leaves_the_other_to_go_on() {
    const ENOUGH: u64 = 300;
    for kind in BUSES {
        let (server, log, mut first) = start(kind, &["--publish-rate", "100k"]);
        let second = gateway(&server, &["--publish-rate", "100k"]);
        let url = server.url();
        let third = gateway(&server, &["--source", &url]);
        until("a node that is ready", || {
            get(third.admin, "/readyz").filter(|(status, _)| *status == 200)
        });
        let mut watcher = Subscriber::connect(third.listen, "tickcast.v1.json");
        assert!(watcher.subscribe(&["C0.trade"], "").contains("\"ok\":true"));
        let mut seen = {
            publish_all(second.listen, 1..2, &AtomicU64::new(0));
            trades_up_to(&mut watcher, 1)
        };

        let (of_doomed, of_other) = (AtomicU64::new(0), AtomicU64::new(0));
        let (doomed, mut other) = std::thread::scope(|scope| {
            let doomed = scope.spawn(|| publish_all(first.listen, 1_000_000..u64::MAX, &of_doomed));
            let other = scope.spawn(|| publish_all(second.listen, 2..ENOUGH, &of_other));
            until("both to publish", || {
                let many = |count: &AtomicU64| count.load(Ordering::Relaxed) > 20;
                (many(&of_doomed) && many(&of_other)).then_some(())
            });
            first.process.kill();
            (doomed.join().expect("its asserts hold"), other.join().expect("its asserts hold"))
        });
        assert_eq!(other.len() as u64, ENOUGH - 2, "{kind:?}: all of the other's are acknowledged");
        // Whoever lost its node goes on at another.
        other.extend(publish_all(second.listen, ENOUGH..ENOUGH + 20, &of_other));

        let there = log.topic("C0.trade");
        assert!(log.trades_are_dense("C0"), "{kind:?}");
        let by_id: BTreeMap<u64, u64> =
            there.iter().map(|tick| (tick.trade().trade_id, tick.seq)).collect();
        assert_eq!(by_id.len(), there.len(), "{kind:?}: a tick is there twice");
        for (id, seq) in doomed.iter().chain(&other) {
            assert_eq!(by_id.get(id), Some(seq), "{kind:?}: acknowledged, and not there as said");
        }
        // What was on its way may be there without anybody having been told: one tick at most.
        let untold = there.len() - 1 - doomed.len() - other.len();
        assert!(untold <= 1, "{kind:?}: {untold}");
        let last = there.len() as u64;
        seen.extend(trades_up_to(&mut watcher, last));
        assert_eq!(seen, (1..=last).collect::<Vec<u64>>(), "{kind:?}");
    }
}

#[test]
fn the_client_library_publishes() {
    let (_server, log, gateway) = start(BusKind::Nats, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("ws://{}/v1/stream", gateway.listen);
        let mut client = Client::connect(&url, Options::new()).await.unwrap();
        let ticks = [
            Draft::trade("C0", "1.05", "2", Taker::Buyer).trade_id(5),
            Draft::quote("C0").bid("1.00", "1"),
            Draft::trade("FEED", "1.05", "2", Taker::Buyer),
        ];
        let results = client.publish(ticks).await.unwrap();
        assert_eq!((&results[0].outcome, &results[1].outcome), (&Ok(Some(1)), &Ok(Some(1))));
        let refusal = results[2].outcome.as_ref().unwrap_err();
        assert_eq!(refusal.code, Some(ErrorCode::NotPublishable));
    });
    assert_eq!(log.topic("C0.trade")[0].trade().trade_id, 5);
}
