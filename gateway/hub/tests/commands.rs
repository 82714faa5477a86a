//! Commands and their answers, resume, epochs, and what precedes what.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod harness;

use harness::{Bench, Seen, instrument};
use tickcast_hub::{ConnectError, Limits};
use wire::{Channel, Encoding, FeedState, GapReason, InstrumentImage, Tick};

fn small() -> Limits {
    Limits {
        log_entries: 64,
        log_ticks: 256,
        group_levels_max: 64,
        topics_per_connection_max: 4,
        classes_per_connection_max: 2,
        ..Limits::default()
    }
}

#[test]
fn one_bad_topic_does_not_void_the_others() {
    let mut bench = Bench::with_channels(small(), 2, &[Channel::Quote, Channel::Depth]);
    bench.quote(1);
    let conn = bench.connect(Encoding::Sbe);
    let reply = bench.command(
        conn,
        r#"{"op":"subscribe","id":7,"topics":["S1.quote","S9.quote","S0.trade","nonsense","S0.depth10","*.trade"]}"#,
    );
    let results = r#""results":[{"topic":"S1.quote","ok":true,"seq":"1"},{"topic":"S9.quote","ok":false,"code":21,"name":"unknown_instrument","msg":"there is no such instrument"},{"topic":"S0.trade","ok":false,"code":22,"name":"unknown_channel","msg":"the instrument has no such channel: it has quote, depth, depth5, depth10, depth20"},{"topic":"nonsense","ok":false,"code":20,"name":"bad_topic","msg":"a topic is written SYMBOL.channel or *.channel"},{"topic":"S0.depth10","ok":true,"seq":"0"},{"topic":"*.trade","ok":true}]}"#;
    assert_eq!(reply, format!(r#"{{"op":"ack","id":7,{results}"#));
    assert_eq!(bench.hub.counters().topics_refused, 3);
    let list = bench.command(conn, r#"{"op":"list"}"#);
    assert_eq!(
        list,
        r#"{"op":"list","topics":[{"topic":"S0.depth10","mode":"every"},{"topic":"S1.quote","mode":"every"},{"topic":"*.trade","mode":"every"}]}"#
    );
    let reply =
        bench.command(conn, r#"{"op":"unsubscribe","topics":["S1.quote","S0.quote","*.trade"]}"#);
    assert!(reply.contains(r#""topic":"S0.quote","ok":false,"code":23"#), "{reply}");
    assert!(bench.hub.is_subscribed(conn));
    bench.command(conn, r#"{"op":"unsubscribe","topics":["S0.depth10"]}"#);
    assert!(!bench.hub.is_subscribed(conn));
    bench.quote(1);
    assert_eq!(bench.see(conn), []);
}

/// Clients that reconnect to a gateway that has just started are early: nobody may tell them that
/// there is no such instrument, for that would be final.
#[test]
fn an_instrument_that_is_not_defined_yet_is_not_said_not_to_exist() {
    const SUBSCRIBE: &str = r#"{"op":"subscribe","topics":["S1.quote"]}"#;
    let limits = small();
    let mut bench = Bench::new(limits, 0);
    bench.hub = tickcast_hub::Hub::new(limits);
    let conn = bench.connect(Encoding::Json);
    let early = bench.command(conn, SUBSCRIBE);
    assert!(early.contains(r#""ok":false,"code":26,"name":"unavailable""#), "no feed: {early}");
    bench.epoch(7, 1, &[Channel::Quote]);
    let early = bench.command(conn, SUBSCRIBE);
    assert!(early.contains(r#""code":26"#), "in the middle of the definitions: {early}");
    bench.quote(0);
    let late = bench.command(conn, SUBSCRIBE);
    assert!(late.contains(r#""code":21"#), "data flows, so all is defined: {late}");
    bench.epoch(8, 1, &[Channel::Quote]);
    bench.now_ns += 2_000_000_000;
    let late = bench.command(conn, SUBSCRIBE);
    assert!(late.contains(r#""code":21"#), "nothing more came for long: {late}");
}

#[test]
fn the_other_commands_are_answered() {
    let mut bench = Bench::new(small(), 1);
    let conn = bench.connect(Encoding::Json);
    assert_eq!(bench.command(conn, r#"{"op":"ping","id":"x"}"#), r#"{"op":"pong","id":"x"}"#);
    for (command, msg) in [
        (r#"{"op":"auth","id":1,"token":"t"}"#, "asks for no credentials"),
        (
            r#"{"op":"publish","id":1,"ticks":[{"topic":"S0.trade","price":"1","quantity":"1","side":"buy"}]}"#,
            "not entitled",
        ),
    ] {
        let reply = bench.command(conn, command);
        assert!(reply.starts_with(r#"{"op":"error","id":1,"code":7"#), "{reply}");
        assert!(reply.contains(msg), "{reply}");
    }
}

#[test]
fn limits_of_a_connection_are_said() {
    let mut bench = Bench::new(Limits { connections_max: 1, ..small() }, 6);
    let conn = bench.client(Encoding::Sbe, &["S0.quote", "S1.quote", "S2.quote", "S3.quote"], "");
    assert_eq!(bench.hub.connect(Encoding::Sbe, 0), Err(ConnectError::Full(1)));
    let reply = bench.command(conn, r#"{"op":"subscribe","topics":["S4.quote","S3.quote"]}"#);
    assert!(reply.contains(r#""topic":"S4.quote","ok":false,"code":24"#), "{reply}");
    assert!(reply.contains(r#""topic":"S3.quote","ok":true"#), "{reply}");
    let reply = bench.command(conn, r#"{"op":"subscribe","max_rate":1,"topics":["S3.quote"]}"#);
    assert!(reply.contains("true"), "{reply}");
    let reply = bench.command(conn, r#"{"op":"subscribe","max_rate":2,"topics":["S2.quote"]}"#);
    assert!(reply.contains("at most 2 different modes and rates"), "{reply}");
    let limits = Limits { wildcard_states_max: 5, ..small() };
    let mut bench = Bench::new(limits, 6);
    let conn = bench.connect(Encoding::Sbe);
    let reply = bench.command(conn, r#"{"op":"subscribe","topics":["*.quote"]}"#);
    assert!(reply.contains(r#""ok":false,"code":26"#), "{reply}");
    assert_eq!(bench.hub.counters().wildcards_refused, 1);
}

#[test]
fn definitions_and_present_states_come_first_and_bind_when_sent() {
    let mut bench = Bench::new(small(), 2);
    bench.quote(0);
    bench.bids(0, 0..3);
    let conn = bench.client(Encoding::Sbe, &["S0.quote", "S0.depth", "S0.depth5", "S1.quote"], "");
    // What is newest when the turn comes counts, not what was when it was asked for.
    bench.quote(0);
    bench.bids(0, 3..5);
    assert_eq!(
        bench.see(conn),
        [
            Seen::Definition(0),
            Seen::Data(0, Channel::Quote, 2),
            Seen::Book(0, 2, true),
            Seen::Data(0, Channel::Depth5, 2),
            Seen::Definition(1),
        ]
    );
    bench.bids(0, 1..2);
    assert_eq!(
        bench.see(conn),
        [Seen::Data(0, Channel::Depth, 3), Seen::Data(0, Channel::Depth5, 3)]
    );
}

#[test]
fn without_a_snapshot_the_next_one_is_the_first() {
    let mut bench = Bench::new(small(), 1);
    bench.quote(0);
    bench.bids(0, 0..3);
    let conn = bench.client(Encoding::Sbe, &["S0.quote", "S0.depth"], r#","snapshot":false"#);
    bench.quote(0);
    bench.quote(0);
    assert_eq!(
        bench.see(conn),
        [
            Seen::Definition(0),
            // Changes of an unknown book say nothing: depth begins with one all the same.
            Seen::Book(0, 1, true),
            Seen::Data(0, Channel::Quote, 2),
            Seen::Data(0, Channel::Quote, 3),
        ]
    );
}

#[test]
fn a_resume_goes_on_where_it_was() {
    let mut bench = Bench::new(small(), 1);
    (0..10).for_each(|_| bench.trade(0));
    let resume = r#","resume":{"epoch":"7","topics":{"S0.trade":"8"}}"#;
    let conn = bench.client(Encoding::Sbe, &["S0.trade"], resume);
    let data = |seq| Seen::Data(0, Channel::Trade, seq);
    assert_eq!(bench.see(conn), [Seen::Definition(0), data(9), data(10)]);

    // The same under a wildcard.
    let conn = bench.client(Encoding::Sbe, &["*.trade"], resume);
    assert_eq!(bench.see(conn), [Seen::Definition(0), data(9), data(10)]);

    // What has left the log is counted.
    (0..100).for_each(|_| bench.trade(0));
    let conn = bench.client(Encoding::Sbe, &["S0.trade"], resume);
    let seen = bench.see(conn);
    assert_eq!(seen[1..3], [Seen::Gap(0, Channel::Trade, GapReason::Resume, 9, 38), data(47)]);
    assert_eq!(seen.len(), 2 + 64);
}

#[test]
fn what_a_resume_conflates_is_not_what_has_left_the_log() {
    let mut bench = Bench::new(small(), 1);
    (0..10).for_each(|_| bench.quote(0));
    let resume = r#","mode":"conflate","resume":{"epoch":"7","topics":{"S0.quote":"4"}}"#;
    let gap = |reason, count| Seen::Gap(0, Channel::Quote, reason, 5, count);
    for topic in ["S0.quote", "*.quote"] {
        let conn = bench.client(Encoding::Sbe, &[topic], resume);
        let newest = Seen::Data(0, Channel::Quote, 10);
        let conflated = gap(GapReason::Conflated, 5);
        assert_eq!(bench.see(conn), [Seen::Definition(0), conflated, newest], "{topic}");
    }
    (0..100).for_each(|_| bench.quote(0));
    for topic in ["S0.quote", "*.quote"] {
        let conn = bench.client(Encoding::Sbe, &[topic], resume);
        let newest = Seen::Data(0, Channel::Quote, 110);
        let gone = gap(GapReason::Resume, 105);
        assert_eq!(bench.see(conn), [Seen::Definition(0), gone, newest], "{topic}");
    }
}

#[test]
fn a_resume_from_the_future_is_refused_and_one_of_another_epoch_is_a_reset() {
    let mut bench = Bench::new(small(), 2);
    bench.trade(0);
    bench.trade(1);
    let conn = bench.connect(Encoding::Sbe);
    let reply = bench.command(
        conn,
        r#"{"op":"subscribe","topics":["S0.trade","S1.trade"],"resume":{"epoch":"7","topics":{"S0.trade":"2","S1.trade":"1"}}}"#,
    );
    assert!(reply.contains(r#"{"topic":"S0.trade","ok":false,"code":25"#), "{reply}");
    assert!(reply.contains(r#"{"topic":"S1.trade","ok":true,"seq":"1"}"#), "{reply}");
    let resume = r#","resume":{"epoch":"6","topics":{"S0.trade":"99"}}"#;
    let conn = bench.client(Encoding::Sbe, &["S0.trade"], resume);
    assert_eq!(
        bench.see(conn),
        [
            Seen::Definition(0),
            Seen::Gap(0, Channel::Trade, GapReason::Reset, 1, 0),
            Seen::Data(0, Channel::Trade, 1),
        ]
    );
}

#[test]
fn subscriptions_by_symbol_outlive_an_epoch() {
    let mut bench = Bench::new(small(), 2);
    (0..5).for_each(|_| bench.trade(1));
    let exact = bench.client(Encoding::Sbe, &["S1.trade"], "");
    let all = bench.client(Encoding::Sbe, &["*.trade"], "");
    bench.settle();
    // The same symbol comes back with another number, and the epoch's first trades are not skipped.
    bench.hub.handle_record(&Tick::from_epoch(8, 0), 0);
    let mut back = instrument(0, &[Channel::Trade]);
    back.symbol = instrument(1, &[]).symbol;
    bench.hub.handle_record(&Tick::from_definition(&back, 0), 0);
    bench.epoch(8, 1, &[]);
    bench.trade(0);
    bench.trade(0);
    let mut seen = vec![(exact, Vec::new()), (all, Vec::new())];
    while let Some((conn, _)) = bench.visit() {
        let (_, seen) = seen.iter_mut().find(|(other, _)| *other == conn).unwrap();
        harness::decode(&bench.out, seen);
    }
    for (_, seen) in seen {
        assert_eq!(
            seen,
            [
                Seen::Feed(FeedState::Restarted),
                Seen::Definition(0),
                Seen::Gap(0, Channel::Trade, GapReason::Reset, 1, 0),
                Seen::Data(0, Channel::Trade, 1),
                Seen::Data(0, Channel::Trade, 2),
            ]
        );
    }
}

#[test]
fn an_exact_topic_has_precedence_over_a_wildcard_and_hands_over_to_it() {
    let mut bench = Bench::new(small(), 2);
    let conn = bench.client(Encoding::Sbe, &["*.trade"], "");
    bench.command(conn, r#"{"op":"subscribe","topics":["S0.trade"]}"#);
    bench.see(conn);
    bench.trade(0);
    bench.trade(1);
    let data = |id, seq| Seen::Data(id, Channel::Trade, seq);
    assert_eq!(bench.see(conn), [data(0, 1), data(1, 1)], "once, not twice");
    bench.trade(0);
    bench.command(conn, r#"{"op":"unsubscribe","topics":["S0.trade"]}"#);
    bench.trade(0);
    assert_eq!(bench.see(conn), [data(0, 2), data(0, 3)]);
}

#[test]
fn a_wildcard_takes_over_what_an_exact_topic_had_not_delivered() {
    let mut bench = Bench::new(small(), 2);
    let conn = bench.client(Encoding::Sbe, &["*.trade"], "");
    bench.command(conn, r#"{"op":"subscribe","topics":["S0.trade"],"max_rate":1}"#);
    bench.see(conn);
    let data = |id, seq| Seen::Data(id, Channel::Trade, seq);
    bench.trade(0);
    assert_eq!(bench.see(conn), [data(0, 1)]);
    // The exact subscription waits for its next round; the wildcard's cursor goes on.
    bench.trade(0);
    bench.trade(1);
    assert_eq!(bench.see(conn), [data(1, 1)]);
    bench.command(conn, r#"{"op":"unsubscribe","topics":["S0.trade"]}"#);
    assert_eq!(bench.see(conn), [data(0, 2)]);
}

#[test]
fn a_wildcard_is_told_of_quiet_instruments_in_every_epoch() {
    let mut bench = Bench::new(small(), 3);
    let conn = bench.client(Encoding::Sbe, &["*.quote"], "");
    bench.see(conn);
    bench.epoch(8, 2, &harness::ALL);
    let reset = |id| Seen::Gap(id, Channel::Quote, GapReason::Reset, 1, 0);
    let restarted = Seen::Feed(FeedState::Restarted);
    // Gap entries wait for the next event or the end, whichever comes first.
    assert_eq!(
        bench.see(conn),
        [restarted, Seen::Definition(0), reset(0), Seen::Definition(1), reset(1)]
    );
    bench.hub.handle_record(&Tick::from_definition(&instrument(2, &harness::ALL), 0), 0);
    assert_eq!(bench.see(conn)[0], Seen::Definition(2));
}

#[test]
fn an_image_may_tell_of_an_epoch_before_its_record_comes() {
    let mut bench = Bench::new(small(), 1);
    let conn = bench.client(Encoding::Sbe, &["S0.trade"], "");
    bench.trade(0);
    bench.see(conn);
    let definition = instrument(0, &harness::ALL);
    let mut image = InstrumentImage {
        epoch: 8,
        presence: wire::Presence::Attached,
        definition,
        last: vec![],
        depth_seq: 0,
        update_id: 0,
        ts_event_ns: 0,
        bids: vec![],
        asks: vec![],
    };
    bench.hub.handle_lapped(1, 0);
    bench.hub.handle_image(&image, 0);
    assert_eq!(bench.hub.epoch(), 8);
    // A shell that does not look for the epoch's beginning in the ring lets through what is older.
    (0..40).for_each(|_| bench.trade(0));
    bench.see(conn);
    // When the record comes, everything of the epoch follows: what was taken is put right.
    bench.epoch(8, 1, &harness::ALL);
    bench.trade(0);
    assert_eq!(
        bench.see(conn),
        [
            Seen::Feed(FeedState::Restarted),
            Seen::Definition(0),
            Seen::Gap(0, Channel::Trade, GapReason::Reset, 1, 0),
            Seen::Data(0, Channel::Trade, 1),
        ]
    );
    // The same record again means nothing, and an image of what is over is ignored.
    bench.hub.handle_record(&Tick::from_epoch(8, 0), 0);
    image.epoch = 7;
    bench.hub.handle_image(&image, 0);
    assert_eq!((bench.hub.epoch(), bench.hub.counters().images_ignored), (8, 1));
    bench.trade(0);
    assert_eq!(bench.see(conn), [Seen::Data(0, Channel::Trade, 2)]);
}

#[test]
fn the_state_of_the_feed_is_told_to_everybody() {
    let mut bench = Bench::new(small(), 1);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], "");
    let idle = bench.connect(Encoding::Sbe);
    bench.settle();
    bench.hub.handle_feed(FeedState::Silent, 0);
    bench.hub.handle_feed(FeedState::Silent, 0);
    assert_eq!(bench.see(idle), [Seen::Feed(FeedState::Silent)]);
    let late = bench.connect(Encoding::Sbe);
    assert_eq!(bench.see(late), [Seen::Feed(FeedState::Silent)]);
    bench.hub.handle_feed(FeedState::Live, 0);
    assert_eq!(bench.see(conn), [Seen::Feed(FeedState::Live)]);
    let later = bench.connect(Encoding::Sbe);
    assert_eq!(bench.see(later), [], "a feed that is well needs no mention");
}

#[test]
fn a_broken_group_is_dropped_whole_and_the_book_waits_for_a_replacement() {
    let mut bench = Bench::new(small(), 1);
    let conn = bench.client(Encoding::Sbe, &["S0.depth"], "");
    bench.bids(0, 0..3);
    bench.see(conn);
    // The second group loses its end: it is dropped when the third one begins.
    let levels: Vec<_> =
        (0..6).map(|price| wire::Level { side: wire::Side::Bid, price, quantity: 9 }).collect();
    let mut ticks = Vec::new();
    Tick::push_depth(&mut ticks, 0, 0, 2..=2, &levels);
    ticks[0].seq = bench.next_seq(0, Channel::Depth);
    bench.hub.handle_record(&ticks[0], 0);
    bench.bids(0, 1..2);
    let c = bench.hub.counters();
    assert_eq!((c.groups_broken, c.books_broken, c.ticks_missing), (1, 1, 1));
    assert_eq!(bench.see(conn), [], "changes of an unknown book are not delivered");
    bench.depth(0, &levels, wire::flags::REPLACES_BOOK);
    assert_eq!(
        bench.see(conn),
        [Seen::Gap(0, Channel::Depth, GapReason::Lapped, 2, 2), Seen::Book(0, 4, true)]
    );
    bench.bids(0, 1..2);
    assert_eq!(bench.see(conn), [Seen::Data(0, Channel::Depth, 5)]);
}

#[test]
fn a_lap_is_announced_with_exact_counts_and_the_book_is_right_again() {
    let mut bench = Bench::new(small(), 1);
    let conn = bench.client(Encoding::Sbe, &["S0.trade", "S0.quote", "S0.depth"], "");
    bench.trade(0);
    bench.quote(0);
    bench.bids(0, 0..3);
    bench.see(conn);
    for channel in [Channel::Trade, Channel::Quote, Channel::Depth] {
        (0..4).for_each(|_| bench.lose(0, channel));
    }
    bench.hub.handle_lapped(12, bench.now_ns);
    let mut quote = Tick::new(wire::Kind::Data(Channel::Quote), 0, 0);
    quote.seq = 5;
    let mut trade = Tick::new(wire::Kind::Data(Channel::Trade), 0, 0);
    trade.seq = 5;
    let image = InstrumentImage {
        epoch: 7,
        presence: wire::Presence::Attached,
        definition: instrument(0, &harness::ALL),
        last: vec![trade, quote],
        depth_seq: 5,
        update_id: 5,
        ts_event_ns: 0,
        bids: vec![(2, 7), (1, 4)],
        asks: vec![],
    };
    bench.hub.handle_image(&image, bench.now_ns);
    // A trade that is still in the ring is delivered, although the image knew it.
    assert_eq!(bench.see(conn), []);
    bench.trade(0);
    bench.hub.handle_recovered(bench.now_ns);
    let lapped = |channel, first, count| Seen::Gap(0, channel, GapReason::Lapped, first, count);
    assert_eq!(
        bench.see(conn),
        [
            lapped(Channel::Trade, 2, 4),
            Seen::Data(0, Channel::Trade, 6),
            lapped(Channel::Quote, 2, 3),
            Seen::Data(0, Channel::Quote, 5),
            lapped(Channel::Depth, 2, 3),
            Seen::Book(0, 5, true),
        ]
    );
}

#[test]
fn recovery_ends_by_itself_if_nobody_says_so() {
    let mut bench = Bench::new(small(), 1);
    let conn = bench.client(Encoding::Sbe, &["S0.quote"], "");
    bench.see(conn);
    bench.hub.handle_lapped(3, bench.now_ns);
    let mut quote = Tick::new(wire::Kind::Data(Channel::Quote), 0, 0);
    quote.seq = 3;
    let image = InstrumentImage {
        epoch: 7,
        presence: wire::Presence::Attached,
        definition: instrument(0, &harness::ALL),
        last: vec![quote],
        depth_seq: 0,
        update_id: 0,
        ts_event_ns: 0,
        bids: vec![],
        asks: vec![],
    };
    bench.hub.handle_image(&image, bench.now_ns);
    bench.now_ns = bench.hub.next_deadline().expect("recovery has a deadline");
    bench.hub.handle_timers(bench.now_ns);
    assert_eq!(
        bench.see(conn),
        [Seen::Gap(0, Channel::Quote, GapReason::Lapped, 1, 2), Seen::Data(0, Channel::Quote, 3)]
    );
}
