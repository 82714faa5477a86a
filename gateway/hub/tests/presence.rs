//! Instruments that are not always in the stream: who waits for them, what goes on when they come, and
//! what the shell is told of interest in them.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod harness;

use harness::{ALL, Bench, Seen, instrument};
use tickcast_hub::{ConnId, Interest, Limits, Scope};
use wire::{Channel, Encoding, GapReason, InstrumentImage, Kind, Presence, Tick};

fn small() -> Limits {
    Limits { log_entries: 64, log_ticks: 256, group_levels_max: 64, ..Limits::default() }
}

/// A hub whose instruments are all known, and not in the stream.
fn left_out(instruments: u32) -> Bench {
    let mut bench = Bench::new(small(), 0);
    bench.epoch(8, instruments, &ALL);
    (0..instruments).for_each(|id| detach(&mut bench, id));
    bench
}

fn detach(bench: &mut Bench, id: u32) {
    bench.hub.handle_record(&Tick::from_presence(id, Presence::Detached, 0), bench.now_ns);
    assert_eq!(bench.hub.next_image(), None);
}

/// The instrument is in the stream from here on; an image knows these numbers of its trades, quotes and
/// depth.
fn attach(bench: &mut Bench, id: u32, [trade, quote, depth]: [u64; 3]) {
    let tick = |channel, seq| Tick { seq, ..Tick::new(Kind::Data(channel), id, 0) };
    let last = [tick(Channel::Trade, trade), tick(Channel::Quote, quote)];
    bench.hub.handle_record(&Tick::from_presence(id, Presence::Attached, 0), bench.now_ns);
    assert_eq!(bench.hub.next_image(), Some(id));
    let image = InstrumentImage {
        epoch: bench.hub.epoch(),
        definition: instrument(id, &ALL),
        presence: Presence::Attached,
        last: last.into_iter().filter(|tick| tick.seq > 0).collect(),
        depth_seq: depth,
        update_id: depth,
        ts_event_ns: 0,
        bids: if depth > 0 { vec![(2, 7)] } else { vec![] },
        asks: vec![],
    };
    bench.hub.handle_image(&image, bench.now_ns);
    bench.hub.handle_recovered(bench.now_ns);
    assert_eq!(bench.hub.next_image(), None);
}

/// So many ticks of each of the three channels went by elsewhere.
fn pass(bench: &mut Bench, id: u32, count: u64) {
    for channel in [Channel::Trade, Channel::Quote, Channel::Depth] {
        (0..count).for_each(|_| bench.lose(id, channel));
    }
}

fn live(bench: &mut Bench, id: u32) {
    bench.trade(id);
    bench.quote(id);
    bench.bids(id, 1..3);
}

fn resumed(bench: &mut Bench, topic: &str, seq: u64) -> ConnId {
    let resume = format!(r#","resume":{{"epoch":"8","topics":{{"{topic}":"{seq}"}}}}"#);
    bench.client(Encoding::Sbe, &[topic], &resume)
}

const fn trade(seq: u64) -> Seen {
    Seen::Data(0, Channel::Trade, seq)
}

#[test]
fn the_first_subscriber_gets_the_state_and_then_live_without_a_hole_or_a_double() {
    let mut bench = left_out(1);
    pass(&mut bench, 0, 6);
    let topics = ["S0.trade", "S0.quote", "S0.depth", "S0.depth5"];
    let conn = bench.client(Encoding::Sbe, &topics, "");
    let all = bench.client(Encoding::Sbe, &["*.quote"], "");
    let silent = bench.client(Encoding::Sbe, &["S0.trade"], r#","snapshot":false"#);
    assert!(!bench.hub.is_attached(0));
    assert_eq!(bench.see(conn), [Seen::Definition(0)]);
    assert_eq!(bench.position(all), None, "it is still to get the state");

    // The past concerns nobody here.
    live(&mut bench, 0);
    assert_eq!((bench.see(conn), bench.see(all), bench.see(silent)), (vec![], vec![], vec![]));
    // The image knows as much of trades, more of quotes; the book cannot be had but from it.
    attach(&mut bench, 0, [7, 9, 7]);
    (0..2).for_each(|_| bench.lose(0, Channel::Quote));
    assert_eq!(
        bench.see(conn),
        [
            trade(7),
            Seen::Data(0, Channel::Quote, 9),
            Seen::Book(0, 7, true),
            Seen::Data(0, Channel::Depth5, 7),
        ]
    );
    live(&mut bench, 0);
    let now = [trade(8), Seen::Data(0, Channel::Quote, 10)];
    let books = [Seen::Data(0, Channel::Depth, 8), Seen::Data(0, Channel::Depth5, 8)];
    assert_eq!(bench.see(conn), [&now[..], &books[..]].concat());
    let counters = bench.hub.counters();
    assert_eq!((counters.attaches, counters.detaches), (1, 1));
    assert_eq!(counters.ticks_missing, 1, "a quote in a hole that the image had");
    assert!(bench.hub.is_attached(0));
}

#[test]
fn wildcards_and_silent_subscribers_are_served_when_it_comes_too() {
    let mut bench = left_out(2);
    let all = bench.client(Encoding::Sbe, &["*.trade"], "");
    let silent = bench.client(Encoding::Sbe, &["S0.trade"], r#","snapshot":false"#);
    let silent_all = bench.client(Encoding::Sbe, &["*.trade"], r#","snapshot":false"#);
    bench.settle();
    pass(&mut bench, 0, 4);
    live(&mut bench, 0);
    attach(&mut bench, 0, [5, 5, 5]);
    let mut seen = |conn| {
        let mut seen = Vec::new();
        while let Some((visited, _)) = bench.visit() {
            if visited == conn {
                harness::decode(&bench.out, &mut seen);
            }
        }
        live(&mut bench, 0);
        seen
    };
    assert_eq!(seen(all), [trade(5)]);
    assert_eq!(seen(silent), [trade(6)]);
    assert_eq!(seen(silent_all), [trade(7)]);
    assert_eq!(bench.position(all), None, "the other instrument is not there yet");
    attach(&mut bench, 1, [0, 0, 0]);
    bench.settle();
    assert!(bench.position(all).is_some());
}

#[test]
fn a_number_that_a_client_names_counts_although_nobody_here_knows_it() {
    let mut bench = left_out(1);
    pass(&mut bench, 0, 4);
    let within = resumed(&mut bench, "S0.trade", 5);
    let before = resumed(&mut bench, "S0.trade", 2);
    let beyond = resumed(&mut bench, "S0.trade", 9);
    assert_eq!(bench.see(within), [Seen::Definition(0)]);
    // The past begins with 5.
    (0..3).for_each(|_| live(&mut bench, 0));
    let conns = [within, before, beyond];
    let mut seen = [vec![], vec![], vec![]];
    while let Some((conn, _)) = bench.visit() {
        let nth = conns.iter().position(|known| *known == conn).unwrap();
        harness::decode(&bench.out, &mut seen[nth]);
    }
    let [within_seen, before_seen, beyond_seen] = seen;
    assert_eq!(within_seen, [trade(6), trade(7)]);
    let gap = Seen::Gap(0, Channel::Trade, GapReason::Resume, 3, 2);
    assert_eq!(before_seen, [gap, trade(5), trade(6), trade(7)]);
    assert_eq!(beyond_seen, []);

    attach(&mut bench, 0, [7, 7, 7]);
    // That there is no 9 shows now.
    let reset = Seen::Gap(0, Channel::Trade, GapReason::Reset, 1, 0);
    assert_eq!(bench.see(beyond), [Seen::Definition(0), reset, trade(7)]);
    assert_eq!(bench.hub.counters().resumes_void, 1);
    live(&mut bench, 0);
    assert_eq!(bench.see(before), [trade(8)]);
}

#[test]
fn a_book_goes_on_from_its_past_without_a_snapshot_if_nothing_is_missing() {
    let mut bench = left_out(1);
    pass(&mut bench, 0, 4);
    let within = resumed(&mut bench, "S0.depth", 5);
    bench.see(within);
    (0..3).for_each(|_| live(&mut bench, 0));
    let depth = |seq| Seen::Data(0, Channel::Depth, seq);
    assert_eq!(bench.see(within), [depth(6), depth(7)]);
    let before = resumed(&mut bench, "S0.depth", 2);
    assert_eq!(bench.see(before), [Seen::Definition(0)], "without a book there is nothing to say");
    attach(&mut bench, 0, [7, 7, 7]);
    let gap = Seen::Gap(0, Channel::Depth, GapReason::Resume, 3, 4);
    assert_eq!(bench.see(before), [gap, Seen::Book(0, 7, true)]);
    live(&mut bench, 0);
    assert_eq!(bench.see(within), [depth(8)]);
}

#[test]
fn what_comes_back_brings_the_past_again_that_the_log_has_lost() {
    let mut bench = left_out(2);
    attach(&mut bench, 0, [0, 0, 0]);
    (0..3).for_each(|_| live(&mut bench, 0));
    detach(&mut bench, 0);
    // It is in the log yet: what comes again is dropped, in all.
    let again = Tick { seq: 2, ..Tick::new(Kind::Data(Channel::Trade), 0, 0) };
    bench.hub.handle_record(&again, bench.now_ns);
    assert_eq!(bench.hub.counters().ticks_repeated, 1);
    attach(&mut bench, 1, [0, 0, 0]);
    (0..40).for_each(|_| live(&mut bench, 1));

    let conn = resumed(&mut bench, "S0.trade", 1);
    assert_eq!(bench.see(conn), [Seen::Definition(0)], "nobody says that 2 and 3 are lost");
    for seq in 2..=5 {
        bench.hub.handle_record(&Tick { seq, ..again }, bench.now_ns);
    }
    attach(&mut bench, 0, [5, 3, 3]);
    assert_eq!(bench.see(conn), [trade(2), trade(3), trade(4), trade(5)]);
    assert_eq!(bench.hub.counters().ticks_missing, 0);
}

#[test]
fn a_new_epoch_ends_all_waiting_for_the_old_one() {
    let mut bench = left_out(1);
    let conn = bench.client(Encoding::Sbe, &["S0.trade"], "");
    let silent = bench.client(Encoding::Sbe, &["S0.trade"], r#","snapshot":false"#);
    bench.settle();
    bench.epoch(9, 1, &ALL);
    bench.trade(0);
    let feed = Seen::Feed(wire::FeedState::Restarted);
    let reset = Seen::Gap(0, Channel::Trade, GapReason::Reset, 1, 0);
    assert_eq!(bench.see(conn), [feed, Seen::Definition(0), reset, trade(1)]);
    bench.trade(0);
    assert_eq!(bench.see(silent), [trade(2)]);
}

/// A ring with an order of its own has no entry's place in another one.
#[test]
fn a_place_in_one_order_is_a_reset_in_another_and_numbers_are_not() {
    let mut bench = Bench::new(small(), 10);
    bench.hub.handle_order(77);
    let all = bench.client(Encoding::Sbe, &["*.trade"], "");
    let one = bench.client(Encoding::Sbe, &["S0.trade"], "");
    bench.trade(0);
    bench.settle();
    let (entry, numbers) = (bench.position(all).unwrap(), bench.position(one).unwrap());
    bench.hub.disconnect(all);
    bench.hub.disconnect(one);
    bench.trade(0);
    let after = |bench: &mut Bench, topic: &str, position| {
        let conn = bench.client_after(topic, position);
        bench.settle();
        let text = String::from_utf8(bench.out.clone()).unwrap();
        bench.hub.disconnect(conn);
        assert!(text.contains("\"2\""), "{text}");
        text.contains("reset")
    };
    assert!(!after(&mut bench, "*.trade", &entry), "at the same ring it goes on");
    bench.hub.handle_order(78);
    assert!(after(&mut bench, "*.trade", &entry), "at another it is a reset");
    assert!(!after(&mut bench, "S0.trade", &numbers));
}

fn interests(bench: &mut Bench) -> Vec<Interest> {
    std::iter::from_fn(|| bench.hub.next_interest()).collect()
}

#[test]
fn interest_is_told_when_it_begins_and_ends_and_not_in_between() {
    let mut bench = left_out(3);
    let (begins, ends) =
        (|id| Interest::Begins(Scope::Instrument(id)), |id| Interest::Ends(Scope::Instrument(id)));
    assert_eq!(interests(&mut bench), []);
    let one = bench.client(Encoding::Sbe, &["S1.trade", "S1.quote"], "");
    let other = bench.client(Encoding::Sbe, &["S1.trade", "S1.trade", "S2.depth5"], "");
    assert_eq!(interests(&mut bench), [begins(2), begins(1)]);
    bench.command(one, r#"{"op":"unsubscribe","topics":["S1.trade","S1.quote"]}"#);
    assert_eq!(interests(&mut bench), []);
    bench.hub.disconnect(other);
    bench.hub.disconnect(one);
    assert_eq!(interests(&mut bench), [ends(2), ends(1)]);
    let brief = bench.client(Encoding::Sbe, &["S0.trade"], "");
    bench.hub.disconnect(brief);
    assert_eq!(interests(&mut bench), [], "it came and went between two questions");
    bench.hub.touch(2);
    assert_eq!(interests(&mut bench), [begins(2), ends(2)]);

    // In another epoch the same symbol may have another id, or none.
    bench.client(Encoding::Sbe, &["S0.trade", "S2.trade"], "");
    assert_eq!(interests(&mut bench), [begins(2), begins(0)]);
    bench.epoch(9, 2, &ALL);
    assert_eq!(interests(&mut bench), [ends(2)], "there is none, and 0 is still wanted");
    bench.epoch(10, 3, &ALL);
    assert_eq!(interests(&mut bench), [begins(2)]);
}

#[test]
fn a_wildcard_is_interest_in_its_channel() {
    let mut bench = left_out(2);
    let trades = Scope::Channel(Channel::Trade);
    let one = bench.client(Encoding::Sbe, &["*.trade"], "");
    let other = bench.client(Encoding::Sbe, &["*.trade", "*.depth10"], "");
    let books = Scope::Channel(Channel::Depth10);
    let mut changes = interests(&mut bench);
    changes.sort_by_key(|change| *change != Interest::Begins(trades));
    assert_eq!(changes, [Interest::Begins(trades), Interest::Begins(books)]);
    bench.command(one, r#"{"op":"unsubscribe","topics":["*.trade"]}"#);
    assert_eq!(interests(&mut bench), []);
    bench.epoch(9, 2, &ALL);
    assert_eq!(interests(&mut bench), [], "a channel is the same in every epoch");
    bench.hub.disconnect(other);
    assert_eq!(interests(&mut bench).len(), 2);
}
