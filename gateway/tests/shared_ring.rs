//! Feeds and gateways as processes of their own, joined by a ring in shared memory: joining late,
//! being lapped, and either of them dying.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use support::process::{Gateway, Process, feed_sim, free_address, until};
use support::ring_file::RingFile;
use support::subscriber::Subscriber;
use support::view::{View, assert_same_books};
use wire::{Channel, FeedState, GapReason};

const SBE: &str = "tickcast.v1.sbe";

/// A market in this ring. Trades are one tick in several, so the rate is that of all ticks.
fn market(ring: &RingFile, seed: u64, rate: u64, capacity: u64) -> Process {
    let feed = feed_sim(&[
        "--out",
        &ring.url(),
        "--symbols",
        "4",
        "--seed",
        &seed.to_string(),
        "--rate",
        &rate.to_string(),
        "--ring-capacity",
        &capacity.to_string(),
    ]);
    until("the ring's file", || ring.path().exists().then_some(()));
    feed
}

fn gateway(ring: &RingFile, more: &[&str]) -> Gateway {
    let source = ring.url();
    // A slow test machine must not be mistaken for a slow client.
    let mut arguments =
        vec!["--source", &source, "--shards", "1", "--lag-age", "1h", "--slow-age", "1h"];
    arguments.extend_from_slice(more);
    Gateway::start(&arguments)
}

#[test]
fn a_gateway_that_joins_late_is_right_at_once() {
    let ring = RingFile::new("late");
    // The ring holds a few seconds; the book is older than that, so it must come from its image.
    let _feed = market(&ring, 7, 4_000, 4_096);
    let early = gateway(&ring, &[]);
    let mut early_subscriber = Subscriber::connect(early.listen, SBE);
    early_subscriber.subscribe(&["BTCUSDT.depth", "*.quote"], "");
    let mut early_view = View::default();
    early_view.follow(&mut early_subscriber, |view| view.books.len() > 30);

    // One that is lapped on a busy machine says so, which is looked at below: then another one joins.
    let joined = (0..20).any(|_| {
        let late = gateway(&ring, &[]);
        let late_view = joins_late(&late);
        early_view.follow(&mut early_subscriber, |view| {
            view.books.keys().last() >= late_view.books.keys().last()
        });
        if late.metric("tickcast_ring_lapped_total") > 0.0 {
            return false;
        }
        assert!(late_view.ledger.gaps.is_empty(), "{:?}", late_view.ledger.gaps);
        assert_same_books(&early_view, &late_view);
        true
    });
    assert!(joined, "it is lapped each time");
}

/// What a client sees who comes to a gateway that has just joined.
fn joins_late(late: &Gateway) -> View {
    let mut late_subscriber = Subscriber::connect(late.listen, SBE);
    late_subscriber.subscribe(&["BTCUSDT.depth", "*.quote"], "");
    let mut late_view = View::default();
    // Book and last values are there before anything new can have happened in a quiet instrument.
    late_view.follow(&mut late_subscriber, |view| {
        !view.books.is_empty()
            && (0..4).all(|id| view.ledger.account(id, Channel::Quote).last_seq > 0)
    });
    late_view.follow(&mut late_subscriber, |view| view.books.len() > 20);
    late_view
}

#[test]
fn a_lapped_shard_says_so_and_is_right_again() {
    let ring = RingFile::new("lapped");
    let _feed = market(&ring, 8, 15_000, 4_096);
    let steady = gateway(&ring, &[]);
    let lapped = gateway(&ring, &[]);
    let topics = ["BTCUSDT.depth", "*.quote", "*.trade"];
    let mut steady_subscriber = Subscriber::connect(steady.listen, SBE);
    let mut lapped_subscriber = Subscriber::connect(lapped.listen, SBE);
    steady_subscriber.subscribe(&topics, "");
    lapped_subscriber.subscribe(&topics, "");
    let mut lapped_view = View::default();
    // The number up to which the steady one is followed; 0 while it is not known.
    let newest = AtomicU64::new(0);
    let steady_view = std::thread::scope(|scope| {
        let steady = scope.spawn(|| {
            let mut view = View::default();
            view.follow(&mut steady_subscriber, |view| {
                let newest = newest.load(Ordering::Relaxed);
                newest > 0 && view.books.keys().last().is_some_and(|seq| *seq >= newest)
            });
            view
        });
        lapped_view.follow(&mut lapped_subscriber, |view| view.trades > 20 && view.books.len() > 3);

        // Stopped for four times as much as the ring holds, the gateway cannot but be lapped.
        lapped.process.stall();
        until_written(&ring, 4 * 4_096);
        lapped.process.go_on();

        lapped_view.follow(&mut lapped_subscriber, |view| {
            view.ledger.gaps.iter().any(|gap| gap.reason == GapReason::Lapped)
        });
        let at = lapped_view.books.len();
        lapped_view.follow(&mut lapped_subscriber, |view| view.books.len() > at + 15);
        let last = *lapped_view.books.keys().last().expect("just counted");
        newest.store(last, Ordering::Relaxed);
        steady.join().expect("the steady one keeps account, too")
    });
    // The ledger has checked on the way that every number is delivered or counted once.
    let missed: u64 = lapped_view.ledger.accounts().map(|(_, account)| account.skipped).sum();
    assert!(missed > 100, "a second of the market was missed: {missed}");
    assert!(lapped.metric("tickcast_ring_lapped_total") > 0.0, "and it is counted");
    assert_same_books(&steady_view, &lapped_view);
}

#[test]
fn a_feed_that_is_killed_and_restarted_is_a_new_epoch() {
    let ring = RingFile::new("feed");
    let mut feed = market(&ring, 9, 2_000, 65_536);
    let mut gateway = gateway(&ring, &["--feed-silent-after", "500ms"]);
    let mut subscriber = Subscriber::connect(gateway.listen, SBE);
    subscriber.subscribe(&["*.trade", "*.quote", "BTCUSDT.depth"], "");
    let mut view = View::default();
    view.follow(&mut subscriber, |view| view.trades > 20);
    let first_epoch = view.epoch;

    feed.kill();
    view.follow(&mut subscriber, |view| view.states.iter().any(|s| s.0 == FeedState::Silent));
    let _feed = market(&ring, 10, 2_000, 65_536);
    view.follow(&mut subscriber, |view| view.states.iter().any(|s| s.0 == FeedState::Restarted));
    let (before, books) = (view.trades, view.books.len());
    view.follow(&mut subscriber, |view| view.trades > before + 20 && view.books.len() > books + 3);
    assert_ne!(view.epoch, first_epoch, "numbers of the old epoch mean nothing in the new one");
    assert!(gateway.process.is_running(), "the gateway was not restarted");
}

#[test]
fn a_gateway_that_is_killed_loses_and_doubles_no_trade_that_the_ring_still_has() {
    let ring = RingFile::new("gateway");
    let _feed = market(&ring, 11, 2_000, 262_144);
    let address = free_address();
    let source = ring.url();
    let arguments =
        ["--source", source.as_str(), "--shards", "1", "--lag-age", "1h", "--slow-age", "1h"];
    let mut first = Gateway::spawn(address, &arguments);
    let mut subscriber = until("a ready gateway", || {
        support::process::get(first.admin, "/readyz")
            .filter(|(status, _)| *status == 200)
            .map(|_| Subscriber::connect(address, SBE))
    });
    subscriber.subscribe(&["*.trade"], "");
    let mut view = View::default();
    view.follow(&mut subscriber, |view| view.trades > 50);
    first.process.kill();

    let second = Gateway::spawn(address, &arguments);
    until("a ready gateway", || {
        support::process::get(second.admin, "/readyz").filter(|(status, _)| *status == 200)
    });
    let mut subscriber = Subscriber::connect(address, SBE);
    subscriber.subscribe(&["*.trade"], &resume(&view));
    let before = view.trades;
    view.follow(&mut subscriber, |view| view.trades > before + 200);
    // The ledger would have refused a doubled or a silently missing number.
    assert!(view.ledger.gaps.is_empty(), "the ring still had them: {:?}", view.ledger.gaps);
}

#[test]
fn what_the_ring_no_longer_has_is_in_an_announced_gap() {
    let ring = RingFile::new("gone");
    let _feed = market(&ring, 12, 15_000, 4_096);
    let mut first = gateway(&ring, &[]);
    let mut subscriber = Subscriber::connect(first.listen, SBE);
    subscriber.subscribe(&["*.trade"], "");
    let mut view = View::default();
    view.follow(&mut subscriber, |view| view.trades > 50);
    first.process.kill();
    until_written(&ring, 2 * 4_096);

    let second = gateway(&ring, &[]);
    let mut subscriber = Subscriber::connect(second.listen, SBE);
    subscriber.subscribe(&["*.trade"], &resume(&view));
    let before = view.trades;
    view.follow(&mut subscriber, |view| view.trades > before + 200);
    let gaps = &view.ledger.gaps;
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap.count > 0), "{gaps:?}");
    assert!(gaps.iter().all(|gap| gap.channel == Channel::Trade), "{gaps:?}");
}

/// The `resume` member of a subscribe command that goes on where the view ends.
fn resume(view: &View) -> String {
    let topics: Vec<String> = view
        .symbols
        .iter()
        .map(|(id, symbol)| (symbol, view.ledger.account(*id, Channel::Trade).last_seq))
        .filter(|(_, seq)| *seq > 0)
        .map(|(symbol, seq)| format!(r#""{symbol}.trade":"{seq}""#))
        .collect();
    format!(r#","resume":{{"epoch":"{}","topics":{{{}}}}}"#, view.epoch, topics.join(","))
}

/// Waits until the feed has written so many more records.
fn until_written(ring: &RingFile, records: u64) {
    let ring = ring::Ring::open(ring.path()).expect("a feed's ring");
    let target = ring.head() + records;
    until("the feed to go on", || (ring.head() >= target).then_some(()));
}

#[test]
fn the_books_symbol_is_defined() {
    let ring = RingFile::new("symbol");
    let _feed = market(&ring, 13, 1_000, 65_536);
    let gateway = gateway(&ring, &[]);
    let mut subscriber = Subscriber::connect(gateway.listen, SBE);
    let ack = subscriber.subscribe(&["BTCUSDT.quote", "NOSUCH.quote"], "");
    assert!(ack.contains(r#""topic":"NOSUCH.quote","ok":false"#), "{ack}");
    let mut view = View::default();
    view.follow(&mut subscriber, |view| !view.symbols.is_empty());
    let id = view.instrument("BTCUSDT");
    view.follow(&mut subscriber, |view| view.ledger.account(id, Channel::Quote).last_seq > 0);
}
