//! Bars as clients of the exchange get them: how often, by which clock, and that the last of each is told.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "numbers of tests are small"
)]

mod harness;

use harness::{Bench, instrument};
use serde_json::Value;
use tickcast_hub::{Envelope, Format, Limits};
use wire::position::Reached;
use wire::{Channel, Encoding, InstrumentImage, Interval, Tick};

const MS: u64 = 1_000_000;
const MILLIS: Format = Format::ExchangeMillis;

fn json(event: &str) -> Value {
    serde_json::from_str(event).expect("an event is JSON")
}

#[test]
fn bars_of_a_minute_and_more_come_every_two_seconds_and_when_they_are_final() {
    let (second, minute) = (Interval::SECOND, Interval::MINUTE);
    let day = Interval::parse("1d").unwrap().by_utc8();
    let channels = [second, minute, day].map(Channel::Bar);
    let mut bench = Bench::with_channels(Limits::default(), 1, &channels);
    bench.now_ns = 1_723_161_240_000 * MS + 1;
    bench.hub.handle_timers(bench.now_ns);
    let conn = bench.stream_client(
        MILLIS,
        Envelope::Combined,
        &["s0@kline_1s", "s0@kline_1m", "s0@kline_1d@+08:00"],
    );
    let told = |bench: &mut Bench| -> Vec<(String, u64, bool)> {
        let shown = |event: &String| {
            let event = json(event);
            let kline = &event["data"]["k"];
            let name = event["stream"].as_str().unwrap().to_owned();
            (name, kline["n"].as_u64().unwrap(), kline["x"].as_bool().unwrap())
        };
        bench.events(conn).iter().map(shown).collect()
    };
    let shown = |name: &str, n, is_final| (format!("s0@kline_{name}"), n, is_final);
    for trades in 1..=4 {
        for interval in [second, minute, day] {
            bench.bar(0, interval, trades, false);
        }
        assert_eq!(told(&mut bench), [shown("1s", trades, false)], "each of a second");
        bench.pass(1000 * MS);
        let both = [shown("1m", trades, false), shown("1d@+08:00", trades, false)];
        assert_eq!(told(&mut bench), both[..if trades % 2 == 0 { 2 } else { 0 }]);
    }
    bench.bar(0, minute, 5, false);
    bench.bar(0, minute, 6, true);
    assert_eq!(told(&mut bench), [shown("1m", 6, true)], "its last at once");
    bench.pass(5000 * MS);
    assert_eq!(told(&mut bench), [], "nothing waits that is told already, nothing changed");
    let (start_ns, _) = day.around(bench.now_ns);
    bench.bar(0, day, 7, true);
    let event = json(&bench.events(conn)[0]);
    assert_eq!(event["data"]["k"]["i"], "1d");
    assert_eq!(event["data"]["k"]["t"].as_u64(), Some(start_ns / MS));
    assert_eq!(start_ns / MS % 86_400_000, 57_600_000);
}

/// The ring and images are read in turn after a lap: a final bar of the ring may be older than what an image knows.
#[test]
fn final_bars_are_told_after_a_lap_whoever_knows_of_them() {
    let channel = Channel::Bar(Interval::MINUTE);
    let mut bench = Bench::with_channels(Limits::default(), 1, &[channel]);
    let conn = bench.stream_client(MILLIS, Envelope::Raw, &["s0@kline_1m"]);
    let told = |bench: &mut Bench| -> Vec<(u64, bool)> {
        let shown = |event: &String| {
            let kline = &json(event)["k"];
            (kline["n"].as_u64().unwrap(), kline["x"].as_bool().unwrap())
        };
        bench.events(conn).iter().map(shown).collect()
    };
    let image = |bench: &Bench, seq, trades, is_final| InstrumentImage {
        epoch: 7,
        presence: wire::Presence::Attached,
        definition: instrument(0, &[channel]),
        last: vec![Tick { seq, ..bench.bar_of(0, Interval::MINUTE, trades, is_final) }],
        depth_seq: 0,
        update_id: 0,
        ts_event_ns: 0,
        bids: vec![],
        asks: vec![],
    };
    bench.bar(0, Interval::MINUTE, 1, false);
    bench.pass(2000 * MS);
    assert_eq!(told(&mut bench), [(1, false)]);

    bench.hub.handle_lapped(1, bench.now_ns);
    let running = image(&bench, 4, 2, false);
    bench.hub.handle_image(&running, bench.now_ns);
    bench.bar(0, Interval::MINUTE, 6, true);
    assert_eq!(told(&mut bench), [(6, true)], "of the ring");
    bench.lose(0, channel);
    bench.lose(0, channel);
    bench.hub.handle_recovered(bench.now_ns);
    bench.pass(2000 * MS);
    assert_eq!(told(&mut bench), [(2, false)], "of the image");

    bench.hub.handle_lapped(1, bench.now_ns);
    let last = image(&bench, 5, 8, true);
    bench.hub.handle_image(&last, bench.now_ns);
    bench.lose(0, channel);
    bench.hub.handle_recovered(bench.now_ns);
    assert_eq!(told(&mut bench), [(8, true)], "of the image, at once");
    bench.pass(5000 * MS);
    assert_eq!(told(&mut bench), [], "once");
}

#[test]
fn positions_of_native_streams_pass_over_bars_by_utc8() {
    let day = Interval::parse("1d").unwrap();
    let channels = [day, day.by_utc8()].map(Channel::Bar);
    let mut bench = Bench::with_channels(Limits::default(), 1, &channels);
    let native = bench.client(Encoding::Json, &["*.bar_1d"], r#","snapshot":false"#);
    bench.settle();
    for trades in 1..=3 {
        bench.bar(0, day, trades, false);
        bench.bar(0, day.by_utc8(), trades, false);
    }
    bench.settle();
    let position = bench.position(native).expect("it can be told");
    let last = (0, channels[0], 3);
    assert_eq!(position.reached, Reached::Entry { order: 0, last });
}
