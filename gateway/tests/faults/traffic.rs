//! What a node takes of the bus: nothing of buckets that none of its clients wants, and how much it takes too much of those
//! that they do, by the size of buckets.

use std::time::Duration;

use crate::support::bus_server::{BUSES, BusKind, BusServer};
use crate::support::process::{Gateway, Process, feed_sim, until};
use crate::support::subscriber::Subscriber;
use crate::table::{Plan, write_row};

const INSTRUMENTS: u32 = 256;

/// What the clients of one node want: instruments that are neither busy nor idle, far from each other.
const WANTED: [u32; 4] = [10, 74, 138, 202];

/// What was taken of the bus by a node.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Taken {
    ticks: f64,
    batches: f64,
    bytes: f64,
}

impl Taken {
    fn by(gateway: &Gateway) -> Self {
        Self {
            ticks: gateway.metric("tickcast_bus_ticks_total"),
            batches: gateway.metric("tickcast_bus_batches_total"),
            bytes: gateway.metric("tickcast_bus_received_bytes_total"),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            ticks: self.ticks - before.ticks,
            batches: self.batches - before.batches,
            bytes: self.bytes - before.bytes,
        }
    }
}

/// Of each bucket, how many nodes the bus delivers it to, by its own account.
fn deliveries(bus: &BusServer, buckets: u32) -> Vec<u64> {
    match bus.kind() {
        BusKind::Nats => {
            let subjects = bus.live_deliveries();
            let of = |bucket: u32| {
                let name = format!("tickcast.live.{bucket}");
                subjects.iter().filter(|(_, subject, count)| *subject == name && *count > 0).count()
            };
            (0..buckets).map(|bucket| of(bucket) as u64).collect()
        }
        BusKind::Redis => {
            let channels: Vec<String> =
                (0..buckets).map(|bucket| format!("tickcast:{{b{bucket}}}:live")).collect();
            let answer = bus.ask_redis(&[&["PUBSUB", "NUMSUB"], &*words(&channels)].concat());
            answer.lines().skip(1).step_by(2).map(|count| count.parse().unwrap()).collect()
        }
    }
}

fn words(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// The share of the stream that the node of few takes, and ticks in a message of all of it.
fn measure(kind: BusKind, size: u32) -> (f64, f64) {
    let plan = Plan::chosen();
    let bus = BusServer::start(kind);
    let url = bus.url();
    let (rate, bucket) = (plan.rate.to_string(), size.to_string());
    let market = ["--source", plan.traffic, "--symbols", "256", "--rate", &rate];
    let feed = feed_sim(&[&["--out", &url, "--bus-bucket", &bucket][..], &market].concat());
    let node =
        |more: &[&str]| Gateway::start(&[&["--source", &url, "--shards", "1"][..], more].concat());
    let (all, few, none) = (node(&["--bus-interest", "all"]), node(&[]), node(&[]));
    let symbols = symbols(&few);
    let topics: Vec<String> =
        WANTED.iter().map(|id| format!("{}.quote", symbols[*id as usize])).collect();
    let mut client = Subscriber::connect(few.listen, "tickcast.v1.sbe");
    let ack = client.subscribe(&words(&topics), "");
    assert!(!ack.contains("\"ok\":false"), "{ack}");
    let wanted: Vec<u32> = WANTED.iter().map(|id| id / size).collect();
    let buckets_wanted =
        f64::from(u32::try_from(wanted.len()).unwrap()).min(f64::from(INSTRUMENTS / size));
    until("what is wanted", || {
        let has = |gateway: &Gateway, many: f64| {
            gateway.metric("tickcast_bus_buckets_wanted") == many
                && gateway.metric("tickcast_bus_buckets_behind") == 0.0
        };
        (has(&few, buckets_wanted) && has(&all, f64::from(INSTRUMENTS / size))).then_some(())
    });
    // Both are asked while nothing comes, so that what they have taken since is of the same time.
    let before = taken_meanwhile(&feed, &all, &few);
    // What the feed has not said meanwhile it says at once.
    std::thread::sleep(Duration::from_millis(500));
    let even = Taken::by(&all);
    std::thread::sleep(plan.outage);
    let even = Taken::by(&all).since(even);
    let after = taken_meanwhile(&feed, &all, &few);
    let (whole, part) = (after.0.since(before.0), after.1.since(before.1));

    let by_bus = deliveries(&bus, INSTRUMENTS / size);
    for (bucket, nodes) in (0..).zip(&by_bus) {
        let expected = if wanted.contains(&bucket) { 2 } else { 1 };
        // A bucket that is idle meanwhile is delivered to nobody.
        assert!(*nodes <= expected, "{kind:?}, {size}: bucket {bucket} went to {nodes}");
    }
    assert!(by_bus.contains(&2), "{by_bus:?}");
    assert_eq!(none.metric("tickcast_bus_batches_total"), 0.0, "nobody there wants anything");

    let (share, of_message) = (part.ticks / whole.ticks, even.ticks / even.batches);
    let wanted = f64::from(u32::try_from(WANTED.len()).unwrap());
    write_row(&format!(
        "| {kind:?} | {size} | {of_message:.1} | {:.0} | {:.1} | {:.1} % | {:.2} % | {:.0} |",
        whole.bytes / whole.batches,
        part.ticks / part.batches,
        100.0 * share,
        100.0 * wanted / f64::from(INSTRUMENTS),
        part.bytes / plan.outage.as_secs_f64(),
    ));
    (share, of_message)
}

/// What both nodes have taken of all that the feed has said by now. It says nothing until they are asked.
fn taken_meanwhile(feed: &Process, all: &Gateway, few: &Gateway) -> (Taken, Taken) {
    let taken = || (Taken::by(all), Taken::by(few));
    feed.stall();
    let mut last = taken();
    let settled = until("everything to be taken", || {
        std::thread::sleep(Duration::from_millis(500));
        let before = std::mem::replace(&mut last, taken());
        (before == last).then_some(last)
    });
    feed.go_on();
    settled
}

/// Symbols by id.
fn symbols(gateway: &Gateway) -> Vec<String> {
    let (_, body) =
        crate::support::process::get(gateway.listen, "/v1/instruments").expect("an answer");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let listed = body["instruments"].as_array().expect("a list");
    listed.iter().map(|each| each["s"].as_str().expect("a symbol").to_owned()).collect()
}

#[test]
fn a_node_takes_no_bucket_that_nobody_wants_and_the_larger_they_are_the_more_too_much() {
    for kind in BUSES {
        // A feed that is late, on a busy machine, says more at once: that may happen, and not each time.
        let has_larger_messages = (0..4).any(|_| {
            let [one, sixteen, all] = [1, 16, 256].map(|size| measure(kind, size));
            assert!(one.0 < sixteen.0 && sixteen.0 < all.0, "{one:?} {sixteen:?} {all:?}");
            assert!(all.0 > 0.8, "one bucket is everything: {all:?}");
            one.1 < sixteen.1 && one.1 < all.1
        });
        assert!(has_larger_messages, "{kind:?}");
    }
}
