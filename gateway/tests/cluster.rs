//! Gateways on one bus, as processes of their own with a real server between them and the feed: the same
//! ticks everywhere, going on at another gateway, taking only what is wanted, and a bus that is away.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use bus::{Backend, Nats, Redis};
use serde_json::Value;
use support::bus_feed::{BUCKET_SIZE, Feed, INSTRUMENTS, book_after};
use support::bus_server::{BusKind, BusServer, Keeps};
use support::event_source::EventSource;
use support::process::{Gateway, PATIENCE, free_address, get, until};
use support::subscriber::{Message, Subscriber};
use support::view::{View, assert_same_books};
use wire::{Channel, FeedState, GapReason, Side};

const SBE: &str = "tickcast.v1.sbe";

/// Sets what is the same for all: a slow test machine must not be mistaken for a slow client.
fn arguments<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["--source", url, "--shards", "2", "--lag-age", "1h"];
    arguments.extend_from_slice(&["--slow-age", "1h"]);
    arguments.extend_from_slice(more);
    arguments
}

fn gateway(server: &BusServer, more: &[&str]) -> Gateway {
    let url = server.url();
    Gateway::start(&arguments(&url, more))
}

/// The topics of one channel of all instruments.
fn all(channel: &str) -> Vec<String> {
    (0..INSTRUMENTS).map(|id| format!("S{id}.{channel}")).collect()
}

fn subscribed(gateway: &Gateway, topics: &[String], more: &str) -> Subscriber {
    let mut subscriber = Subscriber::connect(gateway.listen, SBE);
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let ack = subscriber.subscribe(&topics, more);
    assert!(!ack.contains("\"ok\":false"), "{ack}");
    subscriber
}

/// Whether every instrument's channel has come to this number.
fn reached(view: &View, channel: Channel, seq: u64) -> bool {
    (0..INSTRUMENTS).all(|id| view.ledger.account(id, channel).last_seq >= seq)
}

/// The book that was built from what came must be the one that the feed had at that number.
fn assert_true_book(view: &View) {
    let (seq, text) = view.books.last_key_value().expect("a book came");
    let truth = book_after(*seq);
    let side = |side| truth.levels(side).collect::<Vec<_>>();
    assert_eq!(
        *text,
        format!("{:?} {:?}", side(Side::Bid), side(Side::Ask)),
        "the book after {seq}"
    );
}

/// Clients at three gateways, of wildcards and of names, each see the whole stream from where they began.
fn three_gateways_agree<B: Backend>(kind: BusKind) {
    let server = BusServer::start(kind);
    let feed = Feed::start::<B>(&server.url(), 77);
    let gateways: Vec<Gateway> = (0..3).map(|_| gateway(&server, &[])).collect();
    let clients: Vec<_> = gateways
        .iter()
        .flat_map(|gateway| {
            let books = subscribed(gateway, &["S3.depth".to_owned()], "");
            let named = subscribed(gateway, &all("trade"), "");
            let wild = subscribed(gateway, &["*.trade".to_owned(), "*.quote".to_owned()], "");
            [books, named, wild]
        })
        .collect();
    let target = feed.advance(150);
    let views: Vec<View> = thread::scope(|scope| {
        let followers: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(nth, mut client)| {
                scope.spawn(move || {
                    let mut view = View::default();
                    view.follow(&mut client, |view| match nth % 3 {
                        0 => view.books.last_key_value().is_some_and(|(seq, _)| *seq >= target),
                        _ => reached(view, Channel::Trade, target),
                    });
                    view
                })
            })
            .collect();
        followers.into_iter().map(|follower| follower.join().expect("its asserts hold")).collect()
    });
    for (nth, view) in views.iter().enumerate() {
        // That each number came once and in order is what its ledger asserts.
        assert!(view.ledger.gaps.is_empty(), "client {nth}: {:?}", view.ledger.gaps);
        assert_eq!(view.epoch, 77);
        if nth % 3 == 0 {
            assert_true_book(view);
        } else {
            let delivered = view.ledger.account(0, Channel::Trade).delivered;
            assert!(delivered > 50, "client {nth} has {delivered}");
        }
    }
    assert_same_books(&views[0], &views[3]);
    assert_same_books(&views[3], &views[6]);
    for gateway in &gateways {
        assert_eq!(gateway.metric("tickcast_bus_lost_total"), 0.0);
        assert_eq!(gateway.metric("tickcast_bus_malformed_total"), 0.0);
        until("ticks to be counted", || {
            (gateway.metric("tickcast_bus_ticks_total") > 100.0).then_some(())
        });
    }
}

#[test]
fn three_gateways_on_nats_give_everybody_the_same() {
    three_gateways_agree::<Nats>(BusKind::Nats);
}

#[test]
fn three_gateways_on_redis_give_everybody_the_same() {
    three_gateways_agree::<Redis>(BusKind::Redis);
}

/// The members of a command that go on where a view ended.
fn resume(view: &View, topics: &[(&str, u32, Channel)]) -> String {
    let numbers: Vec<String> = topics
        .iter()
        .map(|(name, id, channel)| {
            format!(r#""{name}":"{}""#, view.ledger.account(*id, *channel).last_seq)
        })
        .collect();
    format!(r#","resume":{{"epoch":"{}","topics":{{{}}}}}"#, view.epoch, numbers.join(","))
}

/// A client whose gateway dies goes on by number at one that has nobody else on these instruments.
fn goes_on_elsewhere<B: Backend>(kind: BusKind) {
    let server = BusServer::start(kind);
    let feed = Feed::start::<B>(&server.url(), 78);
    let mut one = gateway(&server, &[]);
    let other = gateway(&server, &[]);
    let topics = ["S2.trade".to_owned(), "S2.depth".to_owned()];
    let mut client = subscribed(&one, &topics, "");
    let mut view = View::default();
    let target = feed.advance(20);
    view.follow(&mut client, |view| view.ledger.account(2, Channel::Trade).last_seq >= target);
    assert_eq!(other.metric("tickcast_bus_buckets_wanted"), 0.0);
    one.process.kill();
    // What is still on its way from the dead gateway counts as received.
    while let Some(Message::Binary(bytes)) = client.next(Duration::from_secs(10)) {
        view.enter(&bytes);
    }
    feed.advance(30);

    let numbers =
        resume(&view, &[("S2.trade", 2, Channel::Trade), ("S2.depth", 2, Channel::Depth)]);
    let snapshots = view.books.len();
    let mut client = subscribed(&other, &topics, &numbers);
    let target = feed.advance(20);
    view.follow(&mut client, |view| {
        view.ledger.account(2, Channel::Trade).last_seq >= target
            && view.ledger.account(2, Channel::Depth).last_seq >= target
    });
    assert!(view.ledger.gaps.is_empty(), "{:?}", view.ledger.gaps);
    assert!(view.books.len() >= snapshots + 50, "every group since, and no snapshot instead");
    assert_true_book(&view);
    // Metrics of the source are some 50 ms old.
    until("what it takes to be counted", || {
        let is_counted = other.metric("tickcast_bus_buckets_wanted") == 1.0
            && other.metric("tickcast_bus_ticks_replayed_total") > 0.0;
        is_counted.then_some(())
    });

    // A number that was never given out is found out to be none.
    let beyond = r#","resume":{"epoch":"78","topics":{"S7.trade":"999999"}}"#;
    let mut client = subscribed(&other, &["S7.trade".to_owned()], beyond);
    let mut lost = View::default();
    lost.follow(&mut client, |view| view.trades > 5);
    let reasons: Vec<GapReason> = lost.ledger.gaps.iter().map(|gap| gap.reason).collect();
    assert_eq!(reasons, [GapReason::Reset]);
}

#[test]
fn a_client_that_loses_its_gateway_goes_on_at_another_on_nats() {
    goes_on_elsewhere::<Nats>(BusKind::Nats);
}

#[test]
fn a_client_that_loses_its_gateway_goes_on_at_another_on_redis() {
    goes_on_elsewhere::<Redis>(BusKind::Redis);
}

fn number(value: &Value) -> u64 {
    value.as_str().expect("64-bit integers are strings").parse().expect("digits")
}

/// Reads trades until one of this instrument has this number, or gaps; answers the numbers and the reasons.
fn trades(source: &mut EventSource, symbol: &str, until_seq: u64) -> (Vec<u64>, Vec<String>) {
    let (mut seqs, mut reasons) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + PATIENCE;
    while seqs.last().is_none_or(|seq| *seq < until_seq) || source.last_event_id.is_none() {
        assert!(Instant::now() < deadline, "{until_seq} does not come: {seqs:?}");
        for event in source.data() {
            match event["e"].as_str().expect("a name") {
                "trade" if event["s"] == symbol => seqs.push(number(&event["seq"])),
                "gap" => {
                    let gaps = event["gaps"].as_array().expect("a list");
                    let of_it = format!("{symbol}.trade");
                    let own = gaps.iter().filter(|gap| gap["topic"] == of_it.as_str());
                    reasons.extend(own.map(|gap| gap["reason"].as_str().unwrap_or("").to_owned()));
                }
                _ => {}
            }
        }
    }
    (seqs, reasons)
}

fn contiguous(seqs: &[u64]) -> bool {
    seqs.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

/// An event stream's id is good at every gateway if it has numbers; if it is a place in a ring, it is good at
/// that ring only, and anywhere else what was missed is announced.
#[test]
fn an_event_stream_goes_on_at_another_gateway_or_says_that_it_cannot() {
    let server = BusServer::start(BusKind::Nats);
    let feed = Feed::start::<Nats>(&server.url(), 79);
    let (one, other) = (gateway(&server, &[]), gateway(&server, &[]));

    let few = "topics=S0.trade,S4.trade";
    let (mut source, _) = EventSource::stream(one.listen, few, None);
    let (before, _) = trades(&mut source, "S4", feed.advance(10));
    let id = source.last_event_id.clone();
    drop(source);
    let target = feed.advance(20);
    let (mut source, _) = EventSource::stream(other.listen, few, id.as_deref());
    let (after, reasons) = trades(&mut source, "S4", target);
    let whole = [before, after].concat();
    assert!(contiguous(&whole) && reasons.is_empty(), "{whole:?} {reasons:?}");

    let many = "topics=*.trade";
    let (mut source, _) = EventSource::stream(one.listen, many, None);
    let (before, _) = trades(&mut source, "S4", feed.advance(10));
    let id = source.last_event_id.clone();
    drop(source);
    let target = feed.advance(20);
    let (mut source, _) = EventSource::stream(one.listen, many, id.as_deref());
    let (same, reasons) = trades(&mut source, "S4", target);
    let whole = [before, same].concat();
    assert!(contiguous(&whole) && reasons.is_empty(), "{whole:?} {reasons:?}");
    let (mut source, _) = EventSource::stream(other.listen, many, id.as_deref());
    let (elsewhere, reasons) = trades(&mut source, "S4", feed.advance(10));
    assert!(contiguous(&elsewhere), "{elsewhere:?}");
    assert_eq!(reasons, ["reset"]);
}

#[test]
fn a_gateway_takes_only_what_its_clients_want_and_lets_it_go_after_a_while() {
    let server = BusServer::start(BusKind::Nats);
    let feed = Feed::start::<Nats>(&server.url(), 80);
    let gateway = gateway(&server, &["--bus-linger", "2s"]);
    let everything = Gateway::start(&arguments(&server.url(), &["--bus-interest", "all"]));
    until("all buckets", || {
        (everything.metric("tickcast_bus_buckets_wanted") == f64::from(INSTRUMENTS / BUCKET_SIZE))
            .then_some(())
    });
    let ticks_before = gateway.metric("tickcast_bus_ticks_total");
    feed.advance(20);
    assert_eq!(gateway.metric("tickcast_bus_ticks_total"), ticks_before, "nobody wants anything");

    // The first subscriber gets the state and then everything, without a hole or a double.
    let topics = ["S0.trade".to_owned(), "S0.depth".to_owned(), "S1.quote".to_owned()];
    let mut client = subscribed(&gateway, &topics, "");
    let mut view = View::default();
    let target = feed.advance(30);
    view.follow(&mut client, |view| {
        [(0, Channel::Trade), (0, Channel::Depth), (1, Channel::Quote)]
            .into_iter()
            .all(|(id, channel)| view.ledger.account(id, channel).last_seq >= target)
    });
    assert!(view.ledger.gaps.is_empty(), "{:?}", view.ledger.gaps);
    assert_true_book(&view);
    until("what it takes to be counted", || {
        (gateway.metric("tickcast_bus_buckets_wanted") == 1.0).then_some(())
    });

    // The bus itself says what it has sent to whom.
    let subjects: Vec<String> = server
        .live_deliveries()
        .into_iter()
        .filter(|(_, _, count)| *count > 0)
        .map(|(_, subject, _)| subject)
        .collect();
    let of = |bucket: u32| {
        let subject = format!("tickcast.live.{bucket}");
        subjects.iter().filter(|known| **known == subject).count()
    };
    assert_eq!((of(0), of(1), of(2), of(3)), (2, 1, 1, 1), "{subjects:?}");

    // Plain HTTP for an instrument that nobody is subscribed to: it is fetched, and there a moment later.
    let (status, body) = get(gateway.listen, "/v1/snapshot/S6").expect("an answer");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("not_present"), "{body}");
    let body = until("the snapshot", || {
        get(gateway.listen, "/v1/snapshot/S6").filter(|(status, _)| *status == 200)
    });
    assert!(body.1.contains("\"book\""), "{}", body.1);

    drop(client);
    until("the buckets to be let go", || {
        (gateway.metric("tickcast_bus_buckets_wanted") == 0.0).then_some(())
    });
    let ticks = until("the last ticks", || {
        let before = gateway.metric("tickcast_bus_ticks_total");
        feed.advance(10);
        (gateway.metric("tickcast_bus_ticks_total") == before).then_some(before)
    });
    // Who comes back begins with the state again.
    let mut client = subscribed(&gateway, &topics, "");
    let mut view = View::default();
    let target = feed.advance(10);
    view.follow(&mut client, |view| view.ledger.account(0, Channel::Depth).last_seq >= target);
    assert!(view.ledger.gaps.is_empty(), "{:?}", view.ledger.gaps);
    assert_true_book(&view);
    until("ticks to be counted again", || {
        (gateway.metric("tickcast_bus_ticks_total") > ticks).then_some(())
    });
}

#[test]
fn a_bus_that_is_away_or_empty_is_said_and_what_was_missed_is_fetched() {
    let mut server = BusServer::reserve(BusKind::Nats, Keeps::Everything);
    let url = server.url();
    let silent = ["--feed-silent-after", "500ms"];
    let gateway = Gateway::spawn(free_address(), &arguments(&url, &silent));
    let not_ready = |part: &str| {
        until(part, || {
            let (status, body) = get(gateway.admin, "/readyz")?;
            (status == 503 && body.contains(part)).then_some(())
        });
    };
    not_ready("no feed yet");
    let mut early = Subscriber::connect(gateway.listen, SBE);
    let mut told = View::default();
    told.follow(&mut early, |view| !view.states.is_empty());
    assert_eq!(told.states[0].0, FeedState::Silent);

    server.run();
    not_ready("no feed has written a catalog yet");
    let feed = Feed::start::<Nats>(&url, 81);
    let ready = || get(gateway.admin, "/readyz").filter(|(status, _)| *status == 200).map(|_| ());
    until("readiness", ready);
    let mut client = subscribed(&gateway, &["*.trade".to_owned()], "");
    let mut view = View::default();
    let target = feed.advance(10);
    view.follow(&mut client, |view| reached(view, Channel::Trade, target));

    // The feed says nothing, and the bus dies.
    feed.pause(true);
    server.kill();
    not_ready("the feed is silent: nats://");
    view.follow(&mut client, |view| view.states.last().is_some_and(|s| s.0 == FeedState::Silent));
    server.run();
    feed.pause(false);
    let target = feed.advance(20);
    view.follow(&mut client, |view| reached(view, Channel::Trade, target));
    until("readiness", ready);
    assert!(view.ledger.gaps.is_empty(), "{:?}", view.ledger.gaps);
    view.follow(&mut client, |view| view.states.last().is_some_and(|s| s.0 == FeedState::Live));
    // Metrics of the source are some 50 ms old.
    until("the second connection to be counted", || {
        (gateway.metric("tickcast_bus_connections_total") >= 2.0).then_some(())
    });

    // Another epoch is announced, and begins with its first number for who is there.
    drop(feed);
    let feed = Feed::start::<Nats>(&url, 82);
    let target = feed.advance(20);
    view.follow(&mut client, |view| view.epoch == 82 && reached(view, Channel::Trade, target));
    assert!(view.ledger.gaps.iter().all(|gap| gap.reason == GapReason::Reset));
    assert_eq!(gateway.metric("tickcast_bus_lost_total"), 0.0);
}
