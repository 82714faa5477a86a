//! Catching up is linear in the backlog, in visits of bounded length.
//!
//! Looks are what costs: entries, links, topics and instruments that a visit touches. Every case
//! counts them and holds them against what there was to catch up with.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod harness;

use harness::{Bench, Seen};
use tickcast_hub::Limits;
use wire::{Channel, Encoding, GapReason};

/// A client that reads is never taken for lagging, whatever it missed: it has to get everything.
fn patient() -> Limits {
    Limits { lag_entries_max: u64::MAX, lag_age_max_ns: u64::MAX, ..Limits::default() }
}

#[test]
fn a_cursor_a_million_entries_behind_gets_them_all_in_bounded_visits() {
    const BACKLOG: u64 = 1_000_000;
    let mut bench = Bench::with_channels(patient(), 1_000, &[Channel::Quote]);
    let conn = bench.client(Encoding::Sbe, &["*.quote"], "");
    bench.settle();
    bench.hub.handle_blocked(conn, bench.now_ns);
    for n in 0..BACKLOG {
        bench.quote((n % 1_000) as u32);
    }
    bench.hub.handle_writable(conn, bench.now_ns);
    let deliveries = bench.hub.counters().deliveries;
    let (visits, looks, most) = bench.settle();
    assert_eq!(bench.hub.counters().deliveries - deliveries, BACKLOG);
    assert_eq!(bench.hub.counters().skipped_conflated, 0);
    assert!(most as usize <= bench.hub.limits().visit_entries);
    // 255 quotes fit into one message.
    assert_eq!(visits, BACKLOG.div_ceil(255) + u64::from(BACKLOG.is_multiple_of(255)));
    // Every entry once, and once more the one that did not fit into each message.
    assert!(looks <= BACKLOG + visits, "{looks} looks");
}

#[test]
fn who_resumes_a_million_entries_back_finds_its_place_and_goes_on() {
    const BACKLOG: u64 = 1_000_000;
    let mut bench = Bench::with_channels(patient(), 1, &[Channel::Trade]);
    for _ in 0..BACKLOG {
        bench.trade(0);
    }
    // All but the last hundred are known: the place has to be searched from the oldest entry.
    let resume =
        format!(r#","resume":{{"epoch":"7","topics":{{"S0.trade":"{}"}}}}"#, BACKLOG - 100);
    bench.client(Encoding::Sbe, &["S0.trade"], &resume);
    let (mut looks, mut visits, mut seen) = (0, 0, Vec::new());
    while let Some((_, visit)) = bench.visit() {
        (looks, visits) = (looks + u64::from(visit.examined), visits + 1);
        harness::decode(&bench.out, &mut seen);
        assert!(visit.examined as usize <= bench.hub.limits().visit_entries);
    }
    let expected = (BACKLOG - 99..=BACKLOG).map(|seq| Seen::Data(0, Channel::Trade, seq));
    assert!(seen.iter().filter(|s| matches!(s, Seen::Data(..))).cloned().eq(expected));
    assert!(looks <= BACKLOG + 3 * visits, "{looks} looks in {visits} visits");
}

#[test]
fn a_stream_that_breaks_off_while_it_is_introduced_goes_on_where_the_one_before_ended() {
    const COUNT: u32 = 200;
    const NEW: u32 = 50;
    let mut bench = Bench::with_channels(patient(), COUNT, &[Channel::Quote]);
    for n in 0..10_000 {
        bench.quote(n % COUNT);
    }
    let first = bench.client(Encoding::Json, &["*.quote"], "");
    bench.settle();
    let position = bench.position(first).expect("it has everything");
    for n in 0..NEW {
        bench.quote(n % COUNT);
    }
    bench.settle();
    let second = bench.client_after("*.quote", &position);
    let (mut places, mut deliveries, mut looks) = (Vec::new(), 0, 0);
    while let Some((_, visit)) = bench.visit() {
        deliveries += visit.entries;
        looks += u64::from(visit.examined);
        places.push((bench.position(second).expect("each message says its place"), deliveries));
    }
    assert!(places.len() > 2, "definitions take more than one message");
    assert_eq!(deliveries, NEW);
    // Each instrument and each new entry once, and what did not fit into a message once more: what is
    // before the place is not looked at.
    assert!(looks <= u64::from(COUNT + NEW) + 20, "{looks} looks");
    for (position, known) in places {
        bench.client_after("*.quote", &position);
        let mut deliveries = 0;
        while let Some((_, visit)) = bench.visit() {
            deliveries += visit.entries;
        }
        assert_eq!(deliveries, NEW - known, "after {position:?}");
    }
}

#[test]
fn a_lagging_client_of_many_instruments_jumps_instead() {
    let limits = Limits { lag_entries_max: 100, ..Limits::default() };
    let mut bench = Bench::with_channels(limits, 1_000, &[Channel::Quote]);
    let conn = bench.client(Encoding::Sbe, &["*.quote"], "");
    bench.settle();
    bench.hub.handle_blocked(conn, bench.now_ns);
    for n in 0..200_000u32 {
        bench.quote(n % 1_000);
    }
    bench.hub.handle_writable(conn, bench.now_ns);
    let deliveries = bench.hub.counters().deliveries;
    let (visits, looks, _) = bench.settle();
    let c = bench.hub.counters();
    assert_eq!(c.deliveries - deliveries, 1_000, "the newest of each");
    assert_eq!(c.skipped_conflated, 199_000);
    // Each visit looks at the topics and at what it sends: not at the 200,000 entries.
    assert!(looks <= visits * 1_000 + 3_000, "{looks} looks in {visits} visits");
}

#[test]
fn a_thousand_topics_cost_what_is_new_or_a_thousand() {
    let mut bench = Bench::with_channels(patient(), 2_000, &[Channel::Quote]);
    let topics: Vec<String> = (0..1_000).map(|id| format!("S{id}.quote")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let conn = bench.client(Encoding::Sbe, &topics, "");
    let (_, looks, most) = bench.settle();
    assert!(looks < 2_500 && most as usize <= bench.hub.limits().visit_entries, "{looks}");

    // One new entry: along the log.
    bench.quote(5);
    assert_eq!(bench.settle().1, 1);
    // A hundred thousand entries of others, one of its own: along the links.
    for n in 0..100_000u32 {
        bench.quote(1_000 + n % 1_000);
    }
    bench.quote(5);
    assert_eq!(bench.see(conn), [Seen::Data(5, Channel::Quote, 2)]);
    bench.quote(6);
    let (visits, looks, _) = bench.settle();
    assert_eq!((visits, looks), (1, 1), "the cursor has moved on");
}

#[test]
fn a_wildcard_over_ten_thousand_instruments_is_introduced_step_by_step() {
    const COUNT: u32 = 10_000;
    let mut bench = Bench::with_channels(patient(), COUNT, &[Channel::Quote]);
    (0..COUNT).for_each(|id| bench.quote(id));
    let conn = bench.client(Encoding::Sbe, &["*.quote"], "");
    let other = bench.client(Encoding::Sbe, &["S7.quote"], "");
    // The other one does not wait for the ten thousand.
    let mut turns = Vec::new();
    while let Some((visited, visit)) = bench.visit() {
        assert!(visit.bytes <= bench.hub.limits().visit_bytes);
        turns.push(visited);
    }
    assert!(turns.iter().position(|turn| *turn == other).unwrap() <= 1);
    let c = *bench.hub.counters();
    assert_eq!(c.snapshots, u64::from(COUNT) + 1);
    // Once each, once more for what did not fit into each of the messages.
    assert!(c.examined <= u64::from(COUNT) + 2 * c.visits + 2, "{} looks", c.examined);

    // Then one tick costs one look, and a thousand cost a thousand.
    bench.quote(77);
    assert_eq!(bench.see(conn), [Seen::Data(77, Channel::Quote, 2)]);
    (0..1_000).for_each(|id| bench.quote(id));
    let (_, looks, _) = bench.settle();
    assert!(looks <= 1_000 + 20, "{looks} looks");
}

#[test]
fn a_topic_whose_last_tick_left_the_log_long_ago_is_served() {
    let limits = Limits { log_entries: 1 << 10, log_ticks: 1 << 12, ..patient() };
    let mut bench = Bench::with_channels(limits, 2, &[Channel::Quote, Channel::Trade]);
    let old = bench.client(Encoding::Sbe, &["S0.quote", "S0.trade"], "");
    bench.settle();
    (0..3).for_each(|_| bench.quote(0));
    (0..3).for_each(|_| bench.trade(0));
    bench.see(old);
    // It does not read while two more of each come, and then leave the log.
    bench.hub.handle_blocked(old, bench.now_ns);
    (0..2).for_each(|_| bench.quote(0));
    (0..2).for_each(|_| bench.trade(0));
    (0..5_000).for_each(|_| bench.quote(1));

    // A newcomer gets the last value at once.
    let new = bench.client(Encoding::Sbe, &["S0.quote"], "");
    let looks = bench.hub.counters().examined;
    let seen = bench.see(new);
    assert_eq!(seen, [Seen::Definition(0), Seen::Data(0, Channel::Quote, 5)]);
    assert!(bench.hub.counters().examined - looks <= 3);

    // Who missed it gets the newest quote, and of trades the count.
    bench.hub.handle_writable(old, bench.now_ns);
    let looks = bench.hub.counters().examined;
    let seen = bench.see(old);
    assert_eq!(
        seen,
        [
            Seen::Gap(0, Channel::Trade, GapReason::Lost, 4, 2),
            Seen::Gap(0, Channel::Quote, GapReason::Conflated, 4, 1),
            Seen::Data(0, Channel::Quote, 5),
        ]
    );
    assert!(bench.hub.counters().examined - looks <= 8);
}

#[test]
fn a_visit_never_looks_at_more_than_its_budget() {
    let limits = Limits { visit_entries: 64, ..patient() };
    let mut bench = Bench::new(limits, 300);
    let conn = bench.client(Encoding::Sbe, &["*.quote", "*.trade", "S1.depth", "S2.ticker"], "");
    for n in 0..20_000u32 {
        bench.quote(n % 300);
        bench.trade(n % 7);
        if n % 500 == 0 {
            bench.hub.handle_blocked(conn, bench.now_ns);
        }
        if n % 500 == 400 {
            bench.hub.handle_writable(conn, bench.now_ns);
        }
        if n % 3 == 0
            && let Some((_, visit)) = bench.visit()
        {
            assert!(visit.examined <= 64);
        }
    }
    let (_, _, most) = bench.settle();
    assert!(most <= 64);
    assert_eq!(bench.hub.counters().skipped_conflated, 0);
}
