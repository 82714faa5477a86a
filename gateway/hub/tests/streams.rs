//! Clients of the exchange's protocol: what they get, in which frames, and when.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "numbers of tests are small"
)]

mod harness;

use std::collections::BTreeMap;

use harness::{Bench, instrument};
use serde_json::Value;
use tickcast_hub::{ConnId, Envelope, Format, Limits};
use wire::{Channel, CloseCode, Encoding, Level, Side, Tick};

const MS: u64 = 1_000_000;
const MILLIS: Format = Format::ExchangeMillis;

fn bench() -> Bench {
    Bench::new(Limits::default(), 2)
}

fn json(event: &str) -> Value {
    serde_json::from_str(event).expect("an event is JSON")
}

fn ask(price: i64, quantity: i64) -> Level {
    Level { side: Side::Ask, price, quantity }
}

#[test]
fn an_event_is_a_frame_of_its_own_and_encoded_once_for_all() {
    let mut bench = bench();
    bench.trade(0);
    let one = bench.stream_client(MILLIS, Envelope::Raw, &["s0@trade"]);
    let other = bench.stream_client(MILLIS, Envelope::Raw, &["s0@trade", "s1@trade"]);
    assert!(bench.events(one).is_empty(), "nothing is sent of what was before");
    let before = bench.hub.counters().encodings;
    bench.now_ns = 5 * MS;
    bench.trade(0);
    bench.trade(0);
    let event = |id: u64| {
        format!(
            r#"{{"e":"trade","E":5,"s":"S0","t":{id},"p":"1.00000000","q":"0.00100000","T":5,"m":false,"M":true}}"#
        )
    };
    let mut seen: BTreeMap<ConnId, Vec<String>> = BTreeMap::new();
    while let Some((conn, visit)) = bench.visit() {
        assert_eq!(visit.entries, 2);
        let out = bench.out.clone();
        let text = |frame: &[u8]| String::from_utf8(wire::frame::payload(frame).to_vec()).unwrap();
        let (first, second) = out.split_at(out.len() / 2);
        seen.insert(conn, vec![text(first), text(second)]);
    }
    let expected = vec![event(2), event(3)];
    assert_eq!(seen, BTreeMap::from([(one, expected.clone()), (other, expected)]));
    assert_eq!(bench.hub.counters().encodings - before, 2);
}

#[test]
fn envelopes_bear_the_names_that_clients_used() {
    let mut bench = bench();
    let conn = bench.stream_client(
        MILLIS,
        Envelope::Combined,
        &["s0@bookTicker", "s1@depth", "s1@depth@1000ms", "s0@trade"],
    );
    bench.quote(0);
    let events = bench.events(conn);
    assert_eq!(
        events,
        [
            r#"{"stream":"s0@bookTicker","data":{"u":1,"s":"S0","b":"1.01000000","B":"0.00500000","a":"1.02000000","A":"0.00600000"}}"#
        ]
    );
    bench.depth(1, &[ask(7, 1)], 0);
    let names: Vec<_> = bench.events(conn).iter().map(|e| json(e)["stream"].clone()).collect();
    assert_eq!(names, ["s1@depth", "s1@depth@1000ms"]);
    bench.hub.remove_stream(conn, "s1@depth");
    bench.pass(1000 * MS);
    bench.depth(1, &[ask(7, 2)], 0);
    let names: Vec<_> = bench.events(conn).iter().map(|e| json(e)["stream"].clone()).collect();
    assert_eq!(names, ["s1@depth@1000ms"]);
    bench.add_stream(conn, MILLIS, "s1@depth");
    bench.hub.remove_stream(conn, "s1@depth@1000ms");
    bench.pass(1000 * MS);
    bench.depth(1, &[ask(7, 4)], 0);
    let names: Vec<_> = bench.events(conn).iter().map(|e| json(e)["stream"].clone()).collect();
    assert_eq!(names, ["s1@depth"]);
    bench.hub.remove_stream(conn, "s1@depth");
    bench.hub.remove_stream(conn, "s1@never");
    assert_eq!(bench.hub.streams(conn), ["s0@bookTicker", "s0@trade"]);
    bench.pass(1000 * MS);
    bench.depth(1, &[ask(7, 3)], 0);
    assert!(bench.events(conn).is_empty());
    bench.hub.set_envelope(conn, Envelope::Raw);
    bench.trade(0);
    assert!(bench.events(conn)[0].starts_with(r#"{"e":"trade""#));
}

#[test]
fn a_stream_of_an_unknown_instrument_begins_when_that_is_defined() {
    let mut bench = bench();
    let conn = bench.stream_client(MILLIS, Envelope::Raw, &["s2@trade", "s2@depth5", "x@y"]);
    let other = bench.stream_client(MILLIS, Envelope::Raw, &["s2@trade"]);
    bench.hub.disconnect(other);
    assert_eq!(bench.hub.streams(conn), ["s2@trade", "s2@depth5", "x@y"]);
    let definition = instrument(2, &harness::ALL);
    bench.hub.handle_record(&Tick::from_definition(&definition, 0), bench.now_ns);
    let mut trade = |seq| {
        let trade = wire::Trade {
            price: 1,
            quantity: 1,
            trade_id: seq,
            ts_trade_ns: 0,
            buyer_is_maker: true,
        };
        let tick = Tick { seq, ..Tick::from_trade(2, 0, &trade) };
        bench.hub.handle_record(&tick, bench.now_ns);
        bench.events(conn)
    };
    assert_eq!(trade(1).len(), 1);
    assert_eq!(trade(2).len(), 1);
    // A new epoch defines everything anew: streams go on.
    bench.epoch(8, 2, &harness::ALL);
    bench.trade(0);
    assert!(bench.events(conn).is_empty());
    bench.hub.handle_record(&Tick::from_definition(&definition, 0), bench.now_ns);
    bench.hub.remove_stream(conn, "s2@trade");
    bench.add_stream(conn, MILLIS, "s0@trade");
    bench.trade(0);
    assert_eq!(bench.events(conn).len(), 1);
}

/// First and last update id of a depth event.
fn ids(event: &str) -> (u64, u64) {
    let event = json(event);
    (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap())
}

#[test]
fn changes_are_gathered_over_the_cadence_and_their_ids_stay_contiguous() {
    let mut bench = bench();
    let fast = bench.stream_client(MILLIS, Envelope::Raw, &["s0@depth@100ms"]);
    let slow = bench.stream_client(Format::ExchangeMicros, Envelope::Raw, &["s0@depth"]);
    let (mut fast_events, mut slow_events) = (Vec::new(), Vec::new());
    let mut book = BTreeMap::new();
    for step in 0..1000 {
        let level = ask(100 + step * 7 % 13, step % 4);
        book.insert(level.price, level.quantity);
        bench.depth(0, &[level], 0);
        bench.pass(5 * MS);
        let mut rounds: BTreeMap<ConnId, Vec<String>> = BTreeMap::new();
        while let Some((conn, _)) = bench.visit() {
            let mut rest = &bench.out[..];
            while !rest.is_empty() {
                let payload = wire::frame::payload(rest);
                let len = json_len(payload);
                let text = String::from_utf8(payload[..len].to_vec()).unwrap();
                rounds.entry(conn).or_default().push(text);
                rest = &payload[len..];
            }
        }
        fast_events.extend(rounds.remove(&fast).unwrap_or_default());
        slow_events.extend(rounds.remove(&slow).unwrap_or_default());
    }
    // Five seconds.
    assert!((50..=52).contains(&fast_events.len()), "{}", fast_events.len());
    assert!((5..=7).contains(&slow_events.len()), "{}", slow_events.len());
    for events in [&fast_events, &slow_events] {
        let mut last = 0;
        let mut built = BTreeMap::new();
        for event in events {
            let (first, end) = ids(event);
            assert_eq!(first, last + 1, "{event}");
            last = end;
            for level in json(event)["a"].as_array().unwrap() {
                let number = |at: usize| {
                    level[at].as_str().unwrap().replace('.', "").parse::<i64>().unwrap()
                };
                built.insert(number(0) / 1_000_000, number(1) / 100_000);
            }
        }
        assert!(last > 780, "{last}");
        if last == 1000 {
            assert_eq!(built, book);
        }
    }
}

/// The length of the first JSON document in these bytes.
fn json_len(bytes: &[u8]) -> usize {
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    documents.next().expect("a document").expect("JSON");
    documents.byte_offset()
}

#[test]
fn groups_that_come_at_the_cadence_are_passed_on_one_by_one() {
    // As recorded: 100 ms and a millisecond or two, or a multiple, however fast they are replayed.
    for clock_ns in [0, MS, 10 * MS, 100 * MS, 1000 * MS] {
        let mut bench = bench();
        let conn = bench.stream_client(MILLIS, Envelope::Raw, &["s0@depth@100ms"]);
        let mut ts_ns = 7_000_000_000_000_u64;
        let mut seen = Vec::new();
        for step in 0..200u64 {
            ts_ns += [100, 99, 101, 200, 100, 95][step as usize % 6] * MS;
            let mut group = Vec::new();
            let ids = step * 10 + 1..=step * 10 + 10;
            Tick::push_depth(&mut group, 0, ts_ns, ids, &[ask(5, step as i64 % 3)]);
            let seq = bench.next_seq(0, Channel::Depth);
            for mut tick in group {
                tick.seq = seq;
                bench.hub.handle_record(&tick, bench.now_ns);
            }
            bench.pass(clock_ns);
            seen.extend(bench.events(conn));
        }
        let ids: Vec<_> = seen.iter().map(|event| ids(event)).collect();
        let expected: Vec<_> = (0..200).map(|step| (step * 10 + 1, step * 10 + 10)).collect();
        assert_eq!(ids, expected, "{clock_ns}");
    }
}

#[test]
fn best_levels_come_at_the_cadence_and_arrays_every_second() {
    let mut bench = bench();
    let partial = bench.stream_client(MILLIS, Envelope::Raw, &["s0@depth5@100ms"]);
    for step in 0..8 {
        bench.depth(0, &[ask(10 + step, 1)], 0);
    }
    let first = bench.events(partial);
    assert_eq!(first, [r#"{"lastUpdateId":1,"bids":[],"asks":[["0.10000000","0.00100000"]]}"#]);
    bench.pass(100 * MS);
    let event = &bench.events(partial)[0];
    assert_eq!(json(event)["lastUpdateId"], 8);
    assert_eq!(json(event)["asks"].as_array().unwrap().len(), 5);
    bench.pass(500 * MS);
    assert!(bench.events(partial).is_empty(), "nothing changed");

    bench.ticker(0);
    let array =
        bench.stream_client(MILLIS, Envelope::Combined, &["!miniTicker@arr@3000ms", "s1@ticker"]);
    let mini = bench.stream_client(MILLIS, Envelope::Raw, &["s1@miniTicker"]);
    bench.pass(1000 * MS);
    assert!(bench.events(array).is_empty(), "what was there before is not told");
    bench.ticker(1);
    bench.ticker(1);
    assert_eq!(bench.events(mini).len(), 2);
    bench.pass(1000 * MS);
    bench.ticker(0);
    bench.pass(1000 * MS);
    let mut seen = Vec::new();
    while let Some((conn, _)) = bench.visit() {
        assert_eq!(conn, array);
        seen.push(String::from_utf8_lossy(&bench.out).into_owned());
    }
    let seen = seen.concat();
    assert!(
        seen.contains(r#"{"stream":"!miniTicker@arr@3000ms","data":[{"e":"24hrMiniTicker""#),
        "{seen}"
    );
    assert!(bench.hub.streams(array).len() == 2);
}

#[test]
fn who_falls_off_the_log_gets_the_newest_or_a_jump_or_is_closed() {
    let limits =
        Limits { log_entries: 64, log_ticks: 128, group_levels_max: 64, ..Limits::default() };
    let mut bench = Bench::new(limits, 2);
    let quotes = bench.stream_client(MILLIS, Envelope::Raw, &["s0@bookTicker"]);
    let trades = bench.stream_client(MILLIS, Envelope::Raw, &["s0@trade"]);
    let depth = bench.stream_client(MILLIS, Envelope::Raw, &["s0@depth@100ms", "s0@depth5@100ms"]);
    for conn in [quotes, trades, depth] {
        bench.hub.handle_blocked(conn, bench.now_ns);
    }
    bench.trade(0);
    bench.depth(0, &[ask(1, 1)], 0);
    for _ in 0..200 {
        bench.quote(0);
    }
    for conn in [quotes, trades, depth] {
        bench.hub.handle_writable(conn, bench.now_ns);
    }
    assert!(bench.events(trades).is_empty());
    assert_eq!(bench.hub.next_close(), Some((trades, CloseCode::SlowConsumer)));
    bench.hub.disconnect(trades);
    bench.quote(0);
    bench.pass(100 * MS);
    bench.depth(0, &[ask(2, 1)], 0);
    let mut seen: BTreeMap<ConnId, Vec<u8>> = BTreeMap::new();
    while let Some((conn, _)) = bench.visit() {
        seen.entry(conn).or_default().extend_from_slice(&bench.out);
    }
    let text = |conn| String::from_utf8_lossy(&seen[&conn]).into_owned();
    assert!(text(quotes).contains(r#""u":201,"#), "{}", text(quotes));
    assert!(text(depth).contains(r#""U":2,"u":2"#), "{}", text(depth));
    assert!(text(depth).contains(r#"{"lastUpdateId":"#), "{}", text(depth));
}

#[test]
fn a_slow_client_gets_changes_merged_without_a_break() {
    let mut bench = bench();
    let conn =
        bench.stream_client(MILLIS, Envelope::Combined, &["s0@depth@100ms", "s0@bookTicker"]);
    bench.depth(0, &[ask(1, 1)], 0);
    assert_eq!(bench.events(conn).len(), 1);
    bench.hub.handle_blocked(conn, bench.now_ns);
    for step in 0..200 {
        bench.pass(100 * MS);
        bench.depth(0, &[ask(1 + step % 5, 1 + step)], 0);
        bench.quote(0);
    }
    bench.hub.handle_writable(conn, bench.now_ns);
    let events = bench.events(conn);
    assert_eq!(events.len(), 2, "{events:?}");
    let depth = events.iter().map(|event| json(event)).find(|e| e["data"]["e"] == "depthUpdate");
    let depth = depth.expect("one is of the book");
    assert_eq!((&depth["data"]["U"], &depth["data"]["u"]), (&2.into(), &201.into()));
    assert_eq!(depth["data"]["a"].as_array().unwrap().len(), 5);
}

#[test]
fn binary_streams_replace_a_quote_that_was_not_delivered() {
    let mut bench = bench();
    let format = Format::ExchangeSbe;
    let conn =
        bench.stream_client(format, Envelope::Combined, &["s0@bestBidAsk", "s0@trade", "s0@depth"]);
    for _ in 0..5 {
        bench.quote(0);
        bench.trade(0);
        bench.depth(0, &[ask(3, 1)], 0);
        bench.pass(20 * MS);
    }
    let templates: Vec<u16> =
        bench.frames(conn).iter().map(|frame| u16::from_le_bytes([frame[2], frame[3]])).collect();
    let count = |template| templates.iter().filter(|&&t| t == template).count();
    assert_eq!((count(10_000), count(10_001), count(10_003)), (5, 1, 5), "{templates:?}");
}

#[test]
fn binary_books_come_at_cadences_of_their_own() {
    let mut bench = bench();
    let format = Format::ExchangeSbe;
    let changes = bench.stream_client(format, Envelope::Raw, &["s0@depth"]);
    let levels = bench.stream_client(format, Envelope::Raw, &["s0@depth20"]);
    let (mut ids, mut books) = (Vec::new(), 0);
    for step in 0..1000 {
        bench.depth(0, &[ask(100 + step % 7, 1 + step)], 0);
        bench.pass(MS);
        while let Some((conn, visit)) = bench.visit() {
            assert_eq!(visit.entries, 1);
            if conn == levels {
                books += 1;
                continue;
            }
            assert_eq!(conn, changes);
            let event = wire::frame::payload(&bench.out);
            let id = |at: usize| i64::from_le_bytes(event[at..at + 8].try_into().unwrap());
            // Behind the header and the time of a DepthDiffStreamEvent.
            ids.push((id(16), id(24)));
        }
    }
    // A second: 20 ms and 50 ms apart, besides the first one.
    assert!((50..=51).contains(&ids.len()), "{}", ids.len());
    assert!((20..=21).contains(&books), "{books}");
    assert!(ids.windows(2).all(|pair| pair[1].0 == pair[0].1 + 1), "{ids:?}");
}

#[test]
fn a_book_that_is_replaced_shows_in_the_ids_only() {
    let mut bench = bench();
    let json = bench.stream_client(MILLIS, Envelope::Raw, &["s0@depth@100ms"]);
    let sbe = bench.stream_client(Format::ExchangeSbe, Envelope::Raw, &["s0@depth"]);
    for extra in [0, wire::flags::REPLACES_BOOK, 0] {
        bench.now_ns += 100 * MS;
        bench.depth(0, &[ask(3, 1)], extra);
    }
    let mut seen: BTreeMap<ConnId, Vec<u8>> = BTreeMap::new();
    while let Some((conn, _)) = bench.visit() {
        seen.entry(conn).or_default().extend_from_slice(&bench.out);
    }
    let text = String::from_utf8_lossy(&seen[&json]);
    assert!(text.contains(r#""U":1,"u":1"#) && text.contains(r#""U":3,"u":3"#), "{text}");
    assert!(!text.contains(r#""U":2"#), "{text}");
    assert_eq!(seen[&sbe].iter().filter(|byte| **byte == 0x82).count(), 2);
}

#[test]
fn all_quotes_of_all_instruments_are_one_stream() {
    let mut bench = bench();
    let conn = bench.stream_client(MILLIS, Envelope::Combined, &["!bookTicker"]);
    bench.quote(0);
    bench.quote(1);
    let events = bench.events(conn);
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(
        events.iter().all(|event| event.starts_with(r#"{"stream":"!bookTicker","data":{"u":1"#))
    );
    bench.hub.remove_stream(conn, "!bookTicker");
    bench.quote(0);
    assert!(bench.events(conn).is_empty());
}

#[test]
fn an_instrument_that_is_named_beside_all_of_them_comes_under_both_names() {
    let mut bench = bench();
    let names = |events: Vec<String>| -> Vec<String> {
        events.iter().map(|e| json(e)["stream"].as_str().unwrap().to_owned()).collect()
    };
    for streams in [["s0@bookTicker", "!bookTicker"], ["!bookTicker", "s0@bookTicker"]] {
        let conn = bench.stream_client(MILLIS, Envelope::Combined, &streams);
        bench.quote(0);
        bench.quote(1);
        let both = ["!bookTicker", "s0@bookTicker", "!bookTicker"];
        assert_eq!(names(bench.events(conn)), both);
        bench.hub.remove_stream(conn, "s0@bookTicker");
        bench.quote(0);
        assert_eq!(names(bench.events(conn)), ["!bookTicker"]);
        bench.add_stream(conn, MILLIS, "s0@bookTicker");
        bench.hub.remove_stream(conn, "!bookTicker");
        bench.quote(0);
        bench.quote(1);
        assert_eq!(names(bench.events(conn)), ["s0@bookTicker"]);
        bench.add_stream(conn, MILLIS, "!bookTicker");
        // Bare events do not say what they are of: once is enough.
        bench.hub.set_envelope(conn, Envelope::Raw);
        bench.quote(0);
        assert_eq!(bench.events(conn).len(), 1);
        bench.hub.disconnect(conn);
    }
}

#[test]
fn positions_of_native_streams_pass_over_views() {
    let position = |streams: &[&str]| {
        let mut bench = bench();
        bench.stream_client(MILLIS, Envelope::Raw, streams);
        let native = bench.client(Encoding::Json, &["*.trade", "*.depth"], r#","snapshot":false"#);
        bench.settle();
        for step in 0..20 {
            bench.trade(0);
            bench.depth(0, &[ask(step, 1)], 0);
            bench.depth(1, &[ask(step, 1)], 0);
            bench.ticker(0);
            bench.pass(30 * MS);
            bench.settle();
        }
        bench.pass(1000 * MS);
        bench.settle();
        let derived = bench.hub.counters().entries_derived;
        (bench.position(native).expect("it can be told"), derived)
    };
    let (alone, none) = position(&[]);
    let streams = ["s0@depth@100ms", "s1@depth@100ms", "s0@miniTicker", "!ticker@arr", "s1@depth5"];
    let (beside, some) = position(&streams);
    assert!(none == 0 && some > 20, "{none} {some}");
    assert_eq!(beside, alone);
}

#[test]
fn what_is_too_much_is_refused() {
    let mut bench = bench();
    let conn = bench.stream_client(MILLIS, Envelope::Raw, &["s0@trade"]);
    let stream = wire::exchange::Stream::Silent;
    assert!(bench.hub.add_stream(conn, "s0@trade", stream, 1).is_ok());
    assert!(bench.hub.add_stream(conn, "s1@trade", stream, 1).is_err());
}

#[test]
fn trades_that_a_lap_took_end_the_connection() {
    let mut bench = bench();
    let trades = bench.stream_client(MILLIS, Envelope::Raw, &["s0@trade"]);
    let quotes = bench.stream_client(MILLIS, Envelope::Raw, &["s0@bookTicker"]);
    bench.trade(0);
    bench.quote(0);
    // What the feed itself does not have is nobody's loss here, and shows in the ids.
    bench.lose(0, Channel::Trade);
    bench.trade(0);
    assert_eq!(bench.frames(trades).len(), 2);
    assert_eq!(bench.hub.next_close(), None);

    bench.hub.handle_lapped(2, bench.now_ns);
    bench.lose(0, Channel::Trade);
    bench.lose(0, Channel::Quote);
    bench.trade(0);
    bench.quote(0);
    bench.hub.handle_recovered(bench.now_ns);
    assert_eq!(bench.frames(trades).len(), 0);
    assert_eq!(bench.hub.next_close(), Some((trades, wire::CloseCode::InternalError)));
    assert_eq!(bench.hub.next_close(), None, "{quotes:?} goes on");
    let counters = bench.hub.counters();
    assert_eq!((counters.lapped_closes, counters.slow_closes), (1, 0));

    // Who comes after it has lost nothing.
    let later = bench.stream_client(MILLIS, Envelope::Raw, &["s0@trade"]);
    bench.trade(0);
    assert_eq!((bench.frames(later).len(), bench.hub.next_close()), (1, None));
}
