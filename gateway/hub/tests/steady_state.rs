//! In steady state a hub does not allocate: not for ticks, not for visits, whatever the clients do
//! short of subscribing.
//!
//! Connections of every kind are subscribed and warmed up until the log has come round several times;
//! then ticks, visits, stalls, abandoned messages and timers go on under a counting allocator.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod harness;

use harness::Bench;
use tickcast_hub::{ConnId, Envelope, Format, Limits};
use wire::{Encoding, Level, Side};

const INSTRUMENTS: u32 = 20;

/// One round: a few ticks of each kind, then turns, of which some end in a full socket.
fn round(bench: &mut Bench, n: u64, blocked: &mut Vec<ConnId>, levels: &mut Vec<Level>) {
    bench.now_ns += 1_000_000;
    for id in 0..INSTRUMENTS {
        bench.quote(id);
        if n.is_multiple_of(500) {
            bench.ticker(id);
        }
        if (n + u64::from(id)).is_multiple_of(3) {
            bench.trade(id);
        }
        if (n + u64::from(id)).is_multiple_of(4) {
            levels.clear();
            levels.extend((0..(n % 23)).map(|i| Level {
                side: if i % 2 == 0 { Side::Bid } else { Side::Ask },
                price: ((n * 7 + i * 13) % 50) as i64,
                quantity: ((n + i) % 4) as i64,
            }));
            bench.depth(id, levels, 0);
        }
    }
    bench.hub.handle_timers(bench.now_ns);
    for turn in 0..60 {
        let Some(conn) = bench.hub.next_visit(bench.now_ns) else { break };
        bench.out.clear();
        let visit = bench.hub.collect(conn, bench.now_ns, &mut bench.out);
        if visit.bytes > 0 && (n + turn).is_multiple_of(11) {
            bench.hub.abandon(conn);
            bench.hub.handle_blocked(conn, bench.now_ns);
            blocked.push(conn);
        } else {
            bench.hub.commit(conn);
        }
    }
    if n.is_multiple_of(40) {
        for conn in blocked.drain(..) {
            bench.hub.handle_writable(conn, bench.now_ns);
        }
    }
}

#[test]
fn ticks_and_visits_do_not_allocate() {
    watch(0);
}

#[test]
fn paced_visits_do_not_allocate() {
    watch(2_000_000);
}

fn watch(visit_interval_ns: u64) {
    let limits = Limits {
        log_entries: 1 << 10,
        log_ticks: 1 << 12,
        arena_bytes: [1 << 14, 1 << 15],
        group_levels_max: 64,
        lag_entries_max: 200,
        slow_age_max_ns: u64::MAX / 2,
        // Both kinds of turns: those in which connections wait, and those in which they are due.
        visit_interval_ns,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits, INSTRUMENTS);
    let topics = [
        "S0.quote",
        "S1.trade",
        "S2.depth",
        "S3.depth5",
        "*.quote",
        "*.trade",
        "*.depth",
        "*.depth20",
    ];
    for encoding in Encoding::ALL {
        for more in ["", r#","mode":"conflate""#, r#","max_rate":50"#] {
            for topic in topics {
                bench.client(encoding, &[topic], more);
            }
            bench.client(
                encoding,
                &["S5.quote", "S6.quote", "S5.trade", "S5.depth", "S1.ticker"],
                more,
            );
        }
    }
    for format in [Format::ExchangeMillis, Format::ExchangeMicros, Format::ExchangeSbe] {
        for envelope in [Envelope::Raw, Envelope::Combined] {
            bench.stream_client(format, envelope, &["s7@trade"]);
            bench.stream_client(
                format,
                envelope,
                &["s1@trade", "s2@depth", "s3@depth20", "s5@depth@100ms", "s5@depth5@100ms"],
            );
            bench.stream_client(
                format,
                envelope,
                &["!ticker@arr", "!miniTicker@arr", "!bookTicker"],
            );
            bench.stream_client(format, envelope, &["s2@depth", "s2@depth@1000ms", "s2@ticker"]);
        }
    }
    let (mut blocked, mut levels) = (Vec::with_capacity(1_000), Vec::with_capacity(64));
    for n in 0..3_000 {
        round(&mut bench, n, &mut blocked, &mut levels);
    }
    let before = *bench.hub.counters();
    let info = allocation_counter::measure(|| {
        for n in 3_000..6_000 {
            round(&mut bench, n, &mut blocked, &mut levels);
        }
    });
    let after = *bench.hub.counters();
    assert!(after.deliveries - before.deliveries > 100_000, "{after:?}");
    assert!(after.merges > before.merges && after.visits_abandoned > before.visits_abandoned);
    assert!(after.timers > before.timers && after.encodings_again > 0);
    // A book snapshot is memory of its own, shared by all who need it: it is counted, and nothing
    // else may allocate.
    let snapshots = after.book_snapshots_encoded - before.book_snapshots_encoded;
    assert!(info.count_total <= snapshots * 16, "{info:?} for {snapshots} snapshots");
    let info = allocation_counter::measure(|| {
        for n in 6_000..6_200 {
            bench.now_ns += 1_000_000;
            (0..INSTRUMENTS).for_each(|id| bench.quote(id));
            (0..INSTRUMENTS).for_each(|id| bench.trade(id));
            bench.hub.handle_timers(bench.now_ns + n);
            for _ in 0..100 {
                let Some(conn) = bench.hub.next_visit(bench.now_ns) else { break };
                bench.out.clear();
                bench.hub.collect(conn, bench.now_ns, &mut bench.out);
                bench.hub.commit(conn);
            }
        }
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}
