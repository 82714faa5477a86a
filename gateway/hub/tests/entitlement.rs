//! What connections get under a grant, and what they are told when it is replaced, case by case. That
//! nothing of what is denied ever leaves the hub, the simulation shows.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "numbers of tests are small"
)]

mod harness;

use std::num::NonZeroU32;
use std::sync::Arc;

use harness::{ALL, Bench, Seen};
use tickcast_hub::{ConnId, Envelope, Format, Grant, Limits, Rules};
use wire::command::Mode;
use wire::position::Reached;
use wire::{Channel, Encoding, Position};

fn bench() -> Bench {
    Bench::new(Limits { log_entries: 1 << 12, log_ticks: 1 << 13, ..Limits::default() }, 3)
}

fn grant(rules: &[&str]) -> Grant {
    Grant { see: Rules::parse(rules).unwrap(), ..Grant::nothing() }
}

fn entitle(bench: &mut Bench, conn: ConnId, grant: Grant) -> String {
    let mut reply = Vec::new();
    bench.hub.entitle(conn, Arc::new(grant), bench.now_ns, &mut reply);
    String::from_utf8(reply).unwrap()
}

/// What was delivered of quotes, by instrument.
fn quotes(bench: &mut Bench, conn: ConnId) -> Vec<u32> {
    let quote = |seen: Seen| match seen {
        Seen::Data(id, Channel::Quote, _) => Some(id),
        _ => None,
    };
    bench.see(conn).into_iter().filter_map(quote).collect()
}

#[test]
fn what_exists_and_what_does_not_are_refused_alike() {
    let mut bench = bench();
    let conn = bench.connect(Encoding::Sbe);
    assert_eq!(entitle(&mut bench, conn, grant(&["S1.quote"])), "");
    for op in ["subscribe", "unsubscribe"] {
        let text = format!(r#"{{"op":"{op}","topics":["S0.quote","NONE.quote","S1.trade"]}}"#);
        let reply = bench.command(conn, &text);
        let refusal = r#""ok":false,"code":7,"name":"not_entitled","msg":"the connection's credentials do not allow it""#;
        assert_eq!(reply.matches(refusal).count(), 3, "{reply}");
    }
    let reply = bench.command(conn, r#"{"op":"subscribe","topics":["S1.quote","*.trade"]}"#);
    assert!(reply.contains(r#"{"topic":"S1.quote","ok":true"#), "{reply}");
    assert!(reply.contains(r#"{"topic":"*.trade","ok":false,"code":7"#), "{reply}");
}

#[test]
fn a_wildcard_has_what_is_allowed_in_each_epoch() {
    let mut bench = bench();
    let conn = bench.connect(Encoding::Sbe);
    entitle(&mut bench, conn, grant(&["*.quote", "!S1.*"]));
    bench.command(conn, r#"{"op":"subscribe","topics":["*.quote"]}"#);
    (0..3).for_each(|id| bench.quote(id));
    assert_eq!(quotes(&mut bench, conn), [0, 2]);
    bench.epoch(8, 5, &ALL);
    (0..5).for_each(|id| bench.quote(id));
    let seen = bench.see(conn);
    assert!(!seen.contains(&Seen::Definition(1)) && seen.contains(&Seen::Definition(4)));
    let is_data = |seen: &&Seen| matches!(seen, Seen::Data(..));
    assert_eq!(seen.iter().filter(is_data).count(), 4, "{seen:?}");
    // Nobody is visited for what nobody may see.
    bench.quote(1);
    assert_eq!(bench.settle(), (0, 0, 0));
}

#[test]
fn what_a_new_grant_does_not_allow_ends_and_is_told() {
    let mut bench = bench();
    let topics = ["S0.trade", "S1.trade", "S1.depth", "*.quote", "*.ticker"];
    let conn = bench.client(Encoding::Sbe, &topics, "");
    bench.settle();
    let told = entitle(&mut bench, conn, grant(&["S1.*", "!*.ticker"]));
    let text = r#"{"op":"revoked","topics":["S0.trade","*.ticker"],"narrowed":["*.quote"]}"#;
    assert_eq!(told, text);
    for id in 0..3 {
        (0..2).for_each(|_| bench.quote(id));
        bench.trade(id);
        bench.ticker(id);
    }
    let ids = bench.see(conn).into_iter().map(|seen| match seen {
        Seen::Data(id, ..) | Seen::Book(id, ..) | Seen::Definition(id) => id,
        Seen::Gap(id, ..) => id,
        Seen::Feed(_) => panic!("nothing became of the feed"),
    });
    assert!(ids.eq([1, 1, 1]), "two quotes and a trade");
    let list = bench.command(conn, r#"{"op":"list"}"#);
    assert_eq!(list.matches("topic\":").count(), 3, "{list}");
    assert_eq!(bench.hub.counters().topics_revoked, 2);

    // The same once more is no news; a wider one begins with the present state of what it adds.
    assert_eq!(entitle(&mut bench, conn, grant(&["S1.*", "!*.ticker"])), "");
    assert_eq!(entitle(&mut bench, conn, grant(&["*.quote", "S1.*"])), "");
    assert_eq!(quotes(&mut bench, conn), [0, 2]);
    assert_eq!(entitle(&mut bench, conn, Grant::nothing()).matches("S1").count(), 2);
    assert!(!bench.hub.is_subscribed(conn));
}

#[test]
fn a_book_that_is_half_sent_is_not_sent_to_its_end() {
    let limits = Limits { log_entries: 1 << 12, log_ticks: 1 << 13, ..Limits::default() };
    for topic in ["S0.depth", "*.depth"] {
        let mut bench = Bench::new(Limits { visit_bytes: 512, ..limits }, 2);
        bench.bids(0, 1..200);
        let conn = bench.client(Encoding::Sbe, &[topic], "");
        let mut seen = Vec::new();
        while seen.is_empty() {
            bench.visit().expect("there is a book for it");
            harness::decode(&bench.out, &mut seen);
            seen.retain(|seen| matches!(seen, Seen::Book(..)));
        }
        assert_eq!(seen, [Seen::Book(0, 1, false)]);
        assert!(entitle(&mut bench, conn, grant(&["S1.depth"])).contains(topic));
        bench.bids(0, 1..20);
        let after = bench.see(conn);
        assert!(after.iter().all(|seen| *seen == Seen::Definition(1)), "{topic}: {after:?}");
    }
}

#[test]
fn a_grant_holds_back_modes_and_rates() {
    let mut bench = bench();
    let conn = bench.connect(Encoding::Json);
    let slow = Grant { max_rate: NonZeroU32::new(10), ..Grant::everything() };
    entitle(&mut bench, conn, slow.clone());
    bench.command(conn, r#"{"op":"subscribe","topics":["S0.quote"]}"#);
    bench.command(conn, r#"{"op":"subscribe","topics":["S1.quote"],"max_rate":5}"#);
    bench.command(conn, r#"{"op":"subscribe","topics":["S2.quote"],"max_rate":50}"#);
    let list = bench.command(conn, r#"{"op":"list"}"#);
    let rates = [r#""mode":"every","max_rate":10"#, r#""mode":"every","max_rate":5"#];
    assert_eq!(rates.map(|rate| list.matches(rate).count()), [2, 1], "{list}");

    // Of what is subscribed already it holds back the same.
    let conn = bench.client(Encoding::Json, &["S0.quote"], "");
    assert_eq!(entitle(&mut bench, conn, Grant { mode: Mode::Conflate, ..slow }), "");
    let list = bench.command(conn, r#"{"op":"list"}"#);
    assert!(list.contains(r#""mode":"conflate","max_rate":10"#), "{list}");
    bench.settle();
    let deliveries = bench.hub.counters().deliveries;
    for _ in 0..10 {
        bench.quote(0);
        bench.settle();
    }
    assert!(bench.hub.counters().deliveries - deliveries <= 3, "two connections, once each");
}

#[test]
fn who_asks_again_and_again_gets_no_more_than_the_rate() {
    const SECOND_NS: u64 = 1_000_000_000;
    let mut bench = bench();
    let conn = bench.connect(Encoding::Sbe);
    let slow = Grant { max_rate: NonZeroU32::new(1), ..Grant::everything() };
    entitle(&mut bench, conn, slow);
    for topic in ["S0.quote", "*.quote"] {
        let subscribe = format!(r#"{{"op":"subscribe","topics":["{topic}"]}}"#);
        let unsubscribe = subscribe.replace("subscribe", "unsubscribe");
        bench.quote(0);
        assert!(bench.command(conn, &subscribe).contains(r#""ok":true"#));
        assert!(
            !quotes(&mut bench, conn).is_empty(),
            "a subscription begins with the present state"
        );
        let until_ns = bench.now_ns + SECOND_NS;
        while bench.now_ns + SECOND_NS / 20 < until_ns {
            bench.now_ns += SECOND_NS / 50;
            bench.quote(0);
            let again = bench.command(conn, &subscribe);
            assert!(again.contains(r#""name":"too_many_commands""#), "{again}");
            bench.command(conn, &unsubscribe);
            let again = bench.command(conn, &subscribe);
            assert!(again.contains(r#""name":"too_many_commands""#), "{again}");
            assert!(quotes(&mut bench, conn).is_empty(), "{topic}");
        }
        bench.now_ns = until_ns + SECOND_NS;
        assert!(bench.command(conn, &subscribe).contains(r#""ok":true"#));
        assert!(!quotes(&mut bench, conn).is_empty());
        bench.command(conn, &unsubscribe);
        bench.now_ns += SECOND_NS;
    }
    // Whose rate is not bounded asks as often as commands may come.
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], "");
    let again = bench.command(conn, r#"{"op":"subscribe","topics":["S0.quote"]}"#);
    assert!(again.contains(r#""ok":true"#), "{again}");
}

#[test]
fn streams_that_are_not_allowed_end_by_name() {
    for envelope in [Envelope::Raw, Envelope::Combined] {
        let mut bench = bench();
        let names = ["s0@trade", "s1@trade", "!bookTicker", "!ticker@arr", "none@trade"];
        let conn = bench.stream_client(Format::ExchangeMillis, envelope, &names);
        bench.settle();
        let told = entitle(&mut bench, conn, grant(&["S1.*"]));
        let bare = r#"{"e":"streamsRevoked","streams":["s0@trade","!ticker@arr","none@trade"]}"#;
        match envelope {
            Envelope::Raw => assert_eq!(told, bare),
            Envelope::Combined => {
                assert_eq!(told, format!(r#"{{"stream":"!streamsRevoked","data":{bare}}}"#));
            }
        }
        (0..3).for_each(|id| {
            bench.trade(id);
            bench.quote(id);
        });
        let events = bench.events(conn);
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(events.iter().all(|event| event.contains(r#""s":"S1""#)), "{events:?}");
        assert_eq!(bench.hub.streams(conn), ["s1@trade", "!bookTicker"]);
    }
}

#[test]
fn a_place_that_is_used_again_begins_with_the_default() {
    let mut bench = bench();
    bench.hub.use_default_grant(Arc::new(Grant::nothing()));
    let conn = bench.connect(Encoding::Sbe);
    let subscribe = r#"{"op":"subscribe","topics":["S0.quote"]}"#;
    assert!(bench.command(conn, subscribe).contains("not_entitled"));
    entitle(&mut bench, conn, Grant::everything());
    assert!(bench.command(conn, subscribe).contains("\"ok\":true"));
    bench.hub.disconnect(conn);
    assert_eq!(bench.connect(Encoding::Sbe), conn);
    assert!(bench.command(conn, subscribe).contains("not_entitled"));
}

#[test]
fn nothing_of_a_connection_that_is_gone_is_left_to_the_next() {
    let mut bench = bench();
    let conn = bench.connect(Encoding::Sbe);
    entitle(&mut bench, conn, grant(&["S0.*"]));
    bench.command(conn, r#"{"op":"subscribe","topics":["*.quote"]}"#);
    bench.settle();
    bench.hub.disconnect(conn);
    assert_eq!(bench.client(Encoding::Sbe, &["S1.trade"], ""), conn);
    bench.settle();
    bench.quote(0);
    assert_eq!(bench.settle(), (0, 0, 0), "its wildcard is gone with it");
}

#[test]
fn a_position_at_what_is_denied_is_no_position() {
    let mut bench = bench();
    let everything = bench.client(Encoding::Json, &["*.quote"], "");
    (0..3).for_each(|id| bench.quote(id));
    bench.settle();
    let position = bench.position(everything).expect("it can be told");
    let Reached::Entry { order, last } = position.reached else { panic!("{position:?}") };
    assert_eq!(last, (2, Channel::Quote, 1));
    let nowhere = Reached::Entry { order, last: (9, Channel::Quote, 1) };
    let nowhere = Position { reached: nowhere, ..position };
    let mut resets = |rules: &[&str], position: &Position| {
        bench.hub.use_default_grant(Arc::new(grant(rules)));
        let before = bench.hub.counters().resets;
        let conn = bench.client_after("*.quote", position);
        bench.settle();
        bench.hub.disconnect(conn);
        bench.hub.counters().resets - before
    };
    assert_eq!(resets(&["S0.quote", "S2.quote"], &position), 0);
    assert_eq!(resets(&["S0.quote"], &position), 1);
    assert_eq!(resets(&["S0.quote"], &nowhere), 1);
}
