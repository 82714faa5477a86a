//! What is shared between clients, and what one client costs.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod harness;

use harness::{Bench, Seen};
use tickcast_hub::{CONNECTION_BYTES_MAX, Limits};
use wire::{Channel, Encoding};

#[test]
fn an_entry_is_encoded_once_per_encoding_and_never_if_nobody_gets_it() {
    let mut bench = Bench::new(Limits::default(), 2);
    for _ in 0..100 {
        bench.client(Encoding::Sbe, &["S0.quote"], "");
    }
    bench.client(Encoding::Json, &["*.quote"], "");
    bench.settle();
    for _ in 0..50 {
        bench.quote(0);
        bench.quote(1);
        bench.settle();
    }
    let c = *bench.hub.counters();
    // S0 in both, S1 in JSON only.
    assert_eq!(c.encodings, 50 * 3);
    assert_eq!(c.deliveries, 50 * 102);

    // What is conflated away is not encoded at all.
    let mut bench = Bench::new(Limits::default(), 1);
    bench.client(Encoding::Sbe, &["S0.quote"], r#","mode":"conflate""#);
    bench.settle();
    (0..1_000).for_each(|_| bench.quote(0));
    bench.settle();
    assert_eq!((bench.hub.counters().encodings, bench.hub.counters().skipped_conflated), (1, 999));
}

#[test]
fn a_book_snapshot_is_encoded_once_for_all_who_need_it_and_travels_in_parts() {
    let mut bench = Bench::new(Limits::default(), 1);
    bench.bids(0, 0..5_000);
    let conns: Vec<_> =
        (0..50).map(|_| bench.client(Encoding::Sbe, &["S0.depth", "S0.trade"], "")).collect();
    let mut seen = vec![Vec::new(); conns.len()];
    let mut visits = 0;
    while let Some((conn, visit)) = bench.visit() {
        assert!(visit.bytes <= bench.hub.limits().visit_bytes);
        harness::decode(&bench.out, &mut seen[conns.iter().position(|c| *c == conn).unwrap()]);
        visits += 1;
        // Trades do not wait for the book.
        if visits == 60 {
            bench.trade(0);
        }
    }
    assert_eq!(bench.hub.counters().book_snapshots_encoded, 1);
    assert_eq!(bench.hub.counters().book_snapshots, 50);
    for seen in seen {
        let parts: Vec<_> = seen.iter().filter(|s| matches!(s, Seen::Book(..))).collect();
        assert_eq!(parts.len(), 10);
        assert_eq!(parts[9], &Seen::Book(0, 1, true));
        let trade = seen.iter().position(|s| matches!(s, Seen::Data(_, Channel::Trade, 1)));
        assert!(trade.unwrap() < seen.len() - 1, "the trade came before the last part");
    }
}

#[test]
fn snapshots_of_who_does_not_read_are_taken_back_when_memory_is_needed() {
    let limits = Limits { snapshot_bytes_max: 200_000, ..Limits::default() };
    let mut bench = Bench::new(limits, 20);
    (0..20).for_each(|id| bench.bids(id, 0..5_000));
    let mut blocked = Vec::new();
    for id in 0..20 {
        let conn = bench.client(Encoding::Sbe, &[&format!("S{id}.depth")], "");
        // It takes the first part and reads no more.
        for _ in 0..50 {
            let Some((visited, visit)) = bench.visit() else { break };
            if visited == conn && visit.bytes > 0 {
                break;
            }
        }
        bench.hub.handle_blocked(conn, bench.now_ns);
        blocked.push(conn);
    }
    assert!(bench.hub.counters().transfers_revoked >= 9, "{:?}", bench.hub.counters());
    // When they read again, each gets its whole book, from the beginning.
    let mut complete = 0;
    for conn in blocked {
        bench.hub.handle_writable(conn, bench.now_ns);
        let seen = bench.see(conn);
        complete += u32::from(matches!(seen.last(), Some(Seen::Book(_, 1, true))));
    }
    assert_eq!(complete, 20);
}

#[test]
fn an_idle_connection_with_one_topic_costs_what_the_limits_say() {
    const COUNT: usize = 15_000;
    let mut bench = Bench::new(Limits::default(), 100);
    let names: Vec<String> = (0..100).map(|id| format!("S{id}.quote")).collect();
    // Command parsing and replies are the shell's; their memory is not counted here.
    let mut commands: Vec<_> = Vec::new();
    let mut buffers = wire::command::Buffers::new();
    for name in &names {
        let mut text = format!(r#"{{"op":"subscribe","topics":["{name}"]}}"#).into_bytes();
        commands.push(wire::command::Command::parse(&mut text, &mut buffers).unwrap());
    }
    let mut reply = Vec::with_capacity(1_000);
    for id in 0..100 {
        bench.quote(id);
    }
    bench.client(Encoding::Sbe, &["*.quote"], "");
    bench.settle();
    let info = allocation_counter::measure(|| {
        for n in 0..COUNT {
            let conn = bench.connect(Encoding::Sbe);
            reply.clear();
            bench.hub.handle_command(conn, &commands[n % 100], 0, &mut reply);
            bench.settle();
        }
    });
    let per_connection = info.bytes_current as usize / COUNT;
    println!("{per_connection} bytes a connection");
    assert!(per_connection <= CONNECTION_BYTES_MAX, "{per_connection} bytes a connection");
}
