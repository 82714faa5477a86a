//! Rates, lagging, and what becomes of who does not read.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod harness;

use harness::{Bench, Seen};
use tickcast_hub::Limits;
use wire::{Channel, CloseCode, Encoding, GapReason};

const MS: u64 = 1_000_000;

#[test]
fn a_rate_is_kept_trades_are_complete_and_quotes_are_counted() {
    let mut bench = Bench::new(Limits::default(), 1);
    let conn = bench.client(Encoding::Sbe, &["S0.quote", "S0.trade"], r#","max_rate":10"#);
    bench.see(conn);
    let (mut quotes, mut quote_times, mut skipped, mut trades) = (0, Vec::new(), 0, Vec::new());
    for _ in 0..2_000 {
        bench.now_ns += MS;
        bench.quote(0);
        bench.trade(0);
        bench.hub.handle_timers(bench.now_ns);
        let seen = bench.see(conn);
        for seen in seen {
            match seen {
                Seen::Data(_, Channel::Quote, _) => {
                    quotes += 1;
                    quote_times.push(bench.now_ns);
                }
                Seen::Data(_, Channel::Trade, seq) => trades.push(seq),
                Seen::Gap(_, Channel::Quote, GapReason::Conflated, _, count) => skipped += count,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!((20..=21).contains(&quotes), "{quotes} quotes in two seconds at ten a second");
    assert!(quote_times.windows(2).all(|pair| pair[1] - pair[0] >= 100 * MS));
    let last_trade = *trades.last().unwrap();
    assert!(trades.iter().copied().eq(1..=last_trade), "no trade is missing");
    assert_eq!(skipped + quotes, last_trade, "every quote up to the last visit is accounted for");
}

#[test]
fn a_round_of_many_visits_delivers_each_topic_once() {
    const COUNT: u32 = 3_000;
    let mut bench = Bench::with_channels(Limits::default(), COUNT, &[Channel::Quote]);
    let conn = bench.client(Encoding::Sbe, &["*.quote"], r#","max_rate":1"#);
    bench.see(conn);
    for round in 0..3 {
        bench.now_ns += 1_000 * MS;
        bench.hub.handle_timers(bench.now_ns);
        (0..COUNT).for_each(|id| bench.quote(id));
        let mut counts = vec![0; COUNT as usize];
        let mut visits = 0;
        // The feed goes on while the round is delivered.
        while let Some((visited, _)) = bench.visit() {
            assert_eq!(visited, conn);
            let mut seen = Vec::new();
            harness::decode(&bench.out, &mut seen);
            for seen in seen {
                if let Seen::Data(id, ..) = seen {
                    counts[id as usize] += 1;
                }
            }
            visits += 1;
            (0..200).for_each(|n| bench.quote(n * 7 % COUNT));
        }
        assert!(visits > 5, "{visits}");
        assert!(counts.iter().all(|&count| count == 1), "round {round}: {counts:?}");
    }
}

#[test]
fn between_its_rounds_a_rated_connection_costs_no_visits() {
    let mut bench = Bench::new(Limits::default(), 1);
    bench.client(Encoding::Sbe, &["S0.quote"], r#","max_rate":10"#);
    bench.settle();
    bench.quote(0);
    bench.settle();
    let visits = bench.hub.counters().visits;
    for _ in 0..90 {
        bench.now_ns += MS;
        bench.quote(0);
        bench.hub.handle_timers(bench.now_ns);
        bench.settle();
    }
    assert_eq!(bench.hub.counters().visits, visits);
    let deadline_ns = bench.hub.next_deadline().expect("a round is due");
    assert!(deadline_ns > bench.now_ns && deadline_ns <= bench.now_ns + 10 * MS);
    bench.now_ns = deadline_ns;
    bench.hub.handle_timers(bench.now_ns);
    assert_eq!(bench.settle().0, 1);
}

#[test]
fn a_rated_topic_does_not_hold_up_others_of_the_connection() {
    let mut bench = Bench::new(Limits::default(), 2);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], r#","max_rate":1"#);
    bench.command(conn, r#"{"op":"subscribe","topics":["S1.quote"]}"#);
    bench.see(conn);
    bench.quote(0);
    bench.quote(1);
    assert_eq!(bench.see(conn).len(), 2);
    for seq in 2..50 {
        bench.now_ns += MS;
        bench.quote(0);
        bench.quote(1);
        assert_eq!(bench.see(conn), [Seen::Data(1, Channel::Quote, seq)]);
    }
    bench.now_ns += 1_000 * MS;
    bench.hub.handle_timers(bench.now_ns);
    assert_eq!(
        bench.see(conn),
        [
            Seen::Gap(0, Channel::Quote, GapReason::Conflated, 2, 47),
            Seen::Data(0, Channel::Quote, 49)
        ]
    );
}

#[test]
fn who_can_be_written_to_is_never_conflated_however_late_its_turn() {
    let limits = Limits { lag_entries_max: 10, lag_age_max_ns: MS, ..Limits::default() };
    let mut bench = Bench::new(limits, 1);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], "");
    bench.see(conn);
    for _ in 0..5_000 {
        bench.now_ns += MS;
        bench.quote(0);
    }
    let expected = (1..=5_000).map(|seq| Seen::Data(0, Channel::Quote, seq));
    assert!(bench.see(conn).into_iter().eq(expected));
    assert_eq!(bench.hub.counters().lagging, 0);
}

#[test]
fn a_short_stall_costs_nothing_a_long_one_conflates() {
    let limits = Limits { lag_entries_max: 100, ..Limits::default() };
    let mut bench = Bench::new(limits, 1);
    let conn = bench.client(Encoding::Sbe, &["S0.quote", "S0.trade", "S0.depth"], "");
    bench.see(conn);
    let stall = |bench: &mut Bench, count: i64| {
        bench.hub.handle_blocked(conn, bench.now_ns);
        for n in 0..count {
            bench.quote(0);
            bench.trade(0);
            bench.bids(0, [n % 5].into_iter());
        }
        assert_eq!(bench.settle().0, 0, "who is blocked is not visited");
        bench.hub.handle_writable(conn, bench.now_ns);
        bench.see(conn)
    };
    let seen = stall(&mut bench, 30);
    assert_eq!(seen.len(), 90);
    assert!(seen.iter().all(|seen| matches!(seen, Seen::Data(..))));

    let seen = stall(&mut bench, 50);
    assert_eq!(bench.hub.counters().lagging, 1);
    let trades = seen.iter().filter(|s| matches!(s, Seen::Data(_, Channel::Trade, _))).count();
    assert_eq!(trades, 50, "trades are never conflated");
    assert!(seen.contains(&Seen::Gap(0, Channel::Quote, GapReason::Conflated, 31, 49)));
    assert!(seen.contains(&Seen::Gap(0, Channel::Depth, GapReason::Conflated, 31, 49)));
    assert_eq!(bench.hub.counters().merges, 1);

    // It reads again: everything, one by one, as before.
    (0..5).for_each(|_| bench.quote(0));
    assert_eq!(bench.see(conn).len(), 5);
}

#[test]
fn a_merge_that_would_be_too_big_is_a_snapshot() {
    let limits = Limits { lag_entries_max: 1, merge_levels_max: 20, ..Limits::default() };
    let mut bench = Bench::new(limits, 1);
    let conn = bench.client(Encoding::Sbe, &["S0.depth"], "");
    bench.bids(0, 0..10);
    bench.see(conn);
    bench.hub.handle_blocked(conn, bench.now_ns);
    (0..5).for_each(|n| bench.bids(0, n * 10..n * 10 + 10));
    bench.hub.handle_writable(conn, bench.now_ns);
    let gap = Seen::Gap(0, Channel::Depth, GapReason::Conflated, 2, 4);
    assert_eq!(bench.see(conn), [gap, Seen::Book(0, 6, true)]);
    assert_eq!(bench.hub.counters().merges_refused, 1);
    bench.bids(0, 3..4);
    assert_eq!(bench.see(conn), [Seen::Data(0, Channel::Depth, 7)]);
}

#[test]
fn who_does_not_read_for_too_long_is_given_up() {
    let mut bench = Bench::new(Limits::default(), 1);
    let slow = bench.client(Encoding::Sbe, &["S0.quote"], "");
    let brief = bench.client(Encoding::Sbe, &["S0.quote"], "");
    bench.settle();
    bench.hub.handle_blocked(slow, bench.now_ns);
    bench.hub.handle_blocked(brief, bench.now_ns);
    let limit_ns = bench.hub.limits().slow_age_max_ns;
    assert_eq!(bench.hub.next_deadline(), Some(bench.now_ns + limit_ns));
    bench.now_ns += limit_ns - 1;
    bench.hub.handle_writable(brief, bench.now_ns);
    bench.hub.handle_timers(bench.now_ns);
    assert_eq!(bench.hub.next_close(), None);
    bench.now_ns += 1;
    bench.hub.handle_timers(bench.now_ns);
    assert_eq!(bench.hub.next_close(), Some((slow, CloseCode::SlowConsumer)));
    assert_eq!(bench.hub.next_close(), None);
    // It is not visited any more, writable or not, and its slot is free afterwards.
    bench.hub.handle_writable(slow, bench.now_ns);
    bench.quote(0);
    assert_eq!(bench.see(slow), []);
    bench.hub.disconnect(slow);
    assert_eq!(bench.hub.connections(), 1);
    assert_eq!(bench.connect(Encoding::Sbe), slow);
    assert_eq!(bench.hub.counters().slow_closes, 1);
}

#[test]
fn who_gets_too_far_behind_is_given_up() {
    let limits = Limits { slow_entries_max: 1_000, ..Limits::default() };
    let mut bench = Bench::new(limits, 1);
    let slow = bench.client(Encoding::Sbe, &["S0.quote"], "");
    bench.settle();
    bench.hub.handle_blocked(slow, bench.now_ns);
    (0..1_000).for_each(|_| bench.quote(0));
    bench.now_ns = bench.hub.next_deadline().unwrap();
    bench.hub.handle_timers(bench.now_ns);
    assert_eq!(bench.hub.next_close(), None);
    bench.quote(0);
    bench.now_ns = bench.hub.next_deadline().unwrap();
    bench.hub.handle_timers(bench.now_ns);
    assert_eq!(bench.hub.next_close(), Some((slow, CloseCode::SlowConsumer)));
}

#[test]
fn an_abandoned_visit_delivered_nothing() {
    let mut bench = Bench::new(Limits::default(), 1);
    let conn = bench.client(Encoding::Sbe, &["S0.quote", "S0.depth"], "");
    bench.quote(0);
    bench.bids(0, 0..5);
    let visited = bench.hub.next_visit(bench.now_ns).unwrap();
    let mut first = Vec::new();
    bench.hub.collect(visited, bench.now_ns, &mut first);
    bench.hub.abandon(visited);
    bench.hub.handle_blocked(conn, bench.now_ns);
    assert_eq!(bench.hub.counters().deliveries, 0);
    assert_eq!(bench.hub.next_visit(bench.now_ns), None);
    bench.hub.handle_writable(conn, bench.now_ns);
    let (_, visit) = bench.visit().unwrap();
    assert_eq!(bench.out, first, "the same bytes once more");
    assert_eq!((visit.entries, visit.more), (2, false));
    assert_eq!(bench.hub.counters().deliveries, 2);
}

#[test]
fn the_slowest_come_first() {
    let mut bench = Bench::new(Limits::default(), 1);
    let conns: Vec<_> = (0..4).map(|_| bench.client(Encoding::Sbe, &["S0.quote"], "")).collect();
    bench.settle();
    bench.hub.handle_blocked(conns[2], bench.now_ns);
    bench.now_ns += MS;
    bench.hub.handle_blocked(conns[1], bench.now_ns);
    (0..10).for_each(|_| bench.quote(0));
    bench.settle();
    bench.now_ns += MS;
    let mut views = Vec::new();
    bench.hub.slowest(3, bench.now_ns, &mut views);
    assert_eq!(views.len(), 3);
    assert_eq!((views[0].conn, views[0].blocked_ns, views[0].lag_entries), (conns[2], 2 * MS, 10));
    assert_eq!((views[1].conn, views[1].blocked_ns, views[1].lag_ns), (conns[1], MS, MS));
    assert_eq!((views[2].blocked_ns, views[2].lag_entries, views[2].topics), (0, 0, 1));
}
