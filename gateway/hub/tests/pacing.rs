//! The pace of visits: what comes within the interval goes in one message, and nothing is skipped for it.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod harness;

use harness::{Bench, Seen};
use tickcast_hub::Limits;
use wire::{Channel, Encoding, FeedState};

const MS: u64 = 1_000_000;

fn paced(interval_ns: u64) -> Bench {
    Bench::new(Limits { visit_interval_ns: interval_ns, ..Limits::default() }, 2)
}

#[test]
fn visits_are_an_interval_apart_and_deliver_everything() {
    let mut bench = paced(50 * MS);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], "");
    bench.see(conn);
    let (mut times, mut seqs) = (Vec::new(), Vec::new());
    for _ in 0..1_000 {
        bench.now_ns += MS;
        bench.quote(0);
        let seen = bench.see(conn);
        if !seen.is_empty() {
            times.push(bench.now_ns);
        }
        seqs.extend(seen.into_iter().map(|seen| match seen {
            Seen::Data(0, Channel::Quote, seq) => seq,
            other => panic!("{other:?}"),
        }));
    }
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 50 * MS), "{times:?}");
    assert_eq!(times.len(), 20);
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "one by one, none skipped");
    assert_eq!(bench.hub.counters().skipped_conflated, 0);
}

#[test]
fn the_first_tick_after_a_rest_goes_at_once() {
    let mut bench = paced(50 * MS);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], "");
    assert_eq!(bench.see(conn), [Seen::Definition(0)]);
    for _ in 0..3 {
        bench.quote(0);
        assert_eq!(bench.see(conn).len(), 1);
        bench.now_ns += 200 * MS;
    }
}

#[test]
fn the_deadline_is_when_the_first_is_due_who_has_something() {
    let mut bench = paced(50 * MS);
    let early = bench.client(Encoding::Sbe, &["S0.quote"], "");
    let late = bench.client(Encoding::Sbe, &["S1.quote"], "");
    bench.settle();
    let begin_ns = bench.now_ns + 100 * MS;
    bench.now_ns = begin_ns;
    bench.quote(0);
    assert_eq!(bench.see(early).len(), 1);
    bench.now_ns += 10 * MS;
    bench.quote(1);
    assert_eq!(bench.see(late).len(), 1);
    assert_eq!(bench.hub.next_deadline(), None, "nobody has anything");
    bench.quote(1);
    assert_eq!(bench.hub.next_visit(bench.now_ns), None);
    assert_eq!(bench.hub.next_deadline(), Some(begin_ns + 60 * MS));
    bench.quote(0);
    assert_eq!(bench.hub.next_deadline(), Some(begin_ns + 50 * MS));
    bench.now_ns = begin_ns + 50 * MS;
    assert_eq!(bench.hub.next_visit(bench.now_ns), Some(early));
}

#[test]
fn what_is_asked_for_or_must_be_told_does_not_wait() {
    let mut bench = paced(1_000 * MS);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], "");
    bench.quote(0);
    bench.quote(1);
    bench.see(conn);
    bench.quote(0);
    assert_eq!(bench.see(conn), [], "it waits");
    bench.command(conn, r#"{"op":"subscribe","topics":["S1.quote"]}"#);
    let seen = bench.see(conn);
    assert!(seen.contains(&Seen::Data(1, Channel::Quote, 1)), "{seen:?}");
    assert!(seen.contains(&Seen::Data(0, Channel::Quote, 2)), "what had come goes along: {seen:?}");
    bench.quote(0);
    assert_eq!(bench.see(conn), [], "it waits again");
    bench.hub.handle_feed(FeedState::Silent, bench.now_ns);
    assert!(bench.see(conn).contains(&Seen::Feed(FeedState::Silent)));
}

#[test]
fn more_than_a_message_takes_follows_without_a_pause() {
    let mut bench = paced(1_000 * MS);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], "");
    bench.see(conn);
    (0..2_000).for_each(|_| bench.quote(0));
    assert_eq!(bench.see(conn).len(), 2_000);
}

#[test]
fn a_log_that_fills_ends_the_wait_before_anything_is_lost() {
    let limits = Limits {
        visit_interval_ns: 1_000 * MS,
        log_entries: 1 << 10,
        log_ticks: 1 << 12,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits, 1);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], "");
    bench.see(conn);
    let mut count = 0;
    for _ in 0..10_000 {
        bench.quote(0);
        count += bench.see(conn).len();
    }
    assert!(count > 9_500, "{count}");
    let counters = bench.hub.counters();
    assert_eq!((counters.skipped_lost, counters.skipped_conflated), (0, 0));
    assert!(counters.waits_cut > 30, "{counters:?}");
}

#[test]
fn a_rate_goes_on_beside_the_pace() {
    let mut bench = paced(30 * MS);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], r#","max_rate":10"#);
    bench.see(conn);
    let mut times = Vec::new();
    for _ in 0..1_000 {
        bench.now_ns += MS;
        bench.quote(0);
        bench.hub.handle_timers(bench.now_ns);
        if !bench.see(conn).is_empty() {
            times.push(bench.now_ns);
        }
    }
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 100 * MS), "{times:?}");
    assert_eq!(times.len(), 10);
}
