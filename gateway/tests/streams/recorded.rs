//! Byte for byte: recorded frames go through the real gateway and come out as they were.
//!
//! A client of the recorded combined streams must get, stream by stream, exactly the recorded frames, in
//! their order. Depth begins with the first event that the recorded snapshot links up with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;

use crate::book::RecordedDepth;
use crate::support::process::Gateway;
use crate::support::recordings;
use crate::support::subscriber::Message;
use crate::{PATIENCE, connect, json};

/// Recorded frames, by stream, and the snapshot's update id.
fn recorded(file: &str) -> (BTreeMap<String, Vec<String>>, u64) {
    let file = File::open(recordings().join(file)).expect("checked by recordings()");
    let (mut streams, mut snapshot) = (BTreeMap::<_, Vec<_>>::new(), 0);
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let line = line.expect("the recording is whole");
        let (_, frame) = line.split_once(' ').expect("receive time, space, frame");
        match frame.strip_prefix("{\"stream\":\"") {
            Some(rest) => {
                let (name, _) = rest.split_once('"').expect("a name ends");
                streams.entry(name.to_owned()).or_default().push(frame.to_owned());
            }
            None => snapshot = json(frame)["lastUpdateId"].as_u64().expect("a snapshot"),
        }
    }
    (streams, snapshot)
}

fn frames_are_as_they_were(file: &str) {
    let (mut expected, snapshot) = recorded(file);
    let depth = expected.keys().find(|name| name.contains("@depth")).expect("depth is recorded");
    let depth = depth.clone();
    expected
        .get_mut(&depth)
        .expect("found")
        .retain(|frame| json(frame)["data"]["u"].as_u64().expect("an id") > snapshot);
    let names: Vec<_> = expected.keys().cloned().collect();
    let gateway = Gateway::replaying(file, "max");
    let mut client = connect(&gateway, &format!("/stream?streams={}", names.join("/")));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let total: usize = expected.values().map(Vec::len).sum();
    let mut last = 0;
    for _ in 0..total {
        let frame = client.next_text(PATIENCE);
        let name = frame["{\"stream\":\"".len()..].split('"').next().expect("a name").to_owned();
        let count = seen.entry(name.clone()).or_default();
        assert_eq!(frame, expected[&name][*count], "{name} {count}");
        *count += 1;
        if name == depth {
            let ids = &json(&frame)["data"];
            let (first, end) = (ids["U"].as_u64().expect("U"), ids["u"].as_u64().expect("u"));
            assert!(last == 0 || first == last + 1, "{frame}");
            last = end;
        }
    }
    assert_eq!(seen.len(), names.len());
}

#[test]
fn recorded_frames_of_btcusdt_come_out_as_they_were() {
    frames_are_as_they_were("spot_btcusdt_20240808.gz");
}

#[test]
fn recorded_frames_of_ethusdt_come_out_as_they_were() {
    frames_are_as_they_were("spot_ethusdt_20240808.gz");
}

/// Builds the book that the stream's events make of the recorded snapshot, and compares it at each of
/// them with the recording's at the same update id: no level missing, and none that is not there.
fn books_are_the_recordings_at_every_step(file: &str, stream: &str) {
    let recorded = RecordedDepth::read(file);
    let (mut built, mut expected) = (recorded.snapshot.clone(), recorded.snapshot.clone());
    let end = recorded.last().id;
    let mut events = recorded.events.iter();
    let gateway = Gateway::replaying(file, "max");
    let mut client = connect(&gateway, &format!("/ws/{stream}"));
    let mut steps = 0;
    while built.id < end {
        let event = json(&client.next_text(PATIENCE));
        let first = event["U"].as_u64().expect("U");
        // The first one may begin with what the snapshot has.
        assert!(first == built.id + 1 || steps == 0 && first <= built.id + 1, "{event}");
        built.apply(&event);
        while expected.id < built.id {
            expected.apply(events.next().expect("the recording goes as far"));
        }
        assert_eq!(built, expected, "step {steps}");
        steps += 1;
    }
    if stream.contains("100ms") {
        assert_eq!(steps, recorded.events.len());
    } else {
        assert!(steps < recorded.events.len() / 2, "{steps} steps: nothing was gathered");
    }
}

#[test]
fn books_of_btcusdt_are_the_recordings_at_every_step() {
    books_are_the_recordings_at_every_step("spot_btcusdt_20240808.gz", "btcusdt@depth@100ms");
    books_are_the_recordings_at_every_step("spot_btcusdt_20240808.gz", "btcusdt@depth");
}

#[test]
fn books_of_ethusdt_are_the_recordings_at_every_step() {
    books_are_the_recordings_at_every_step("spot_ethusdt_20240808.gz", "ethusdt@depth@100ms");
    books_are_the_recordings_at_every_step("spot_ethusdt_20240808.gz", "ethusdt@depth");
}

/// The event in a recorded frame's envelope.
fn bare(frame: &str) -> &str {
    let (_, data) = frame.split_once("\"data\":").expect("an envelope");
    data.strip_suffix('}').expect("an envelope")
}

/// The same event with times in microseconds: the recorded ones are whole milliseconds.
fn in_micros(event: &str) -> String {
    let mut text = event.to_owned();
    for key in ["\"E\":", "\"T\":"] {
        let Some(at) = text.find(key) else { continue };
        let digits = text[at + key.len()..].find(',').expect("not the last");
        text.insert_str(at + key.len() + digits, "000");
    }
    text
}

fn bare_frames_are_as_they_were(query: &str, expected_of: fn(&str) -> String) {
    let file = "spot_ethusdt_20240808.gz";
    let (recorded, _) = recorded(file);
    let mut expected = ["ethusdt@trade", "ethusdt@bookTicker"]
        .map(|name| recorded[name].iter().map(|frame| expected_of(bare(frame))));
    let total: usize = expected.iter().map(ExactSizeIterator::len).sum();
    let gateway = Gateway::replaying(file, "max");
    let mut client = connect(&gateway, &format!("/ws/ethusdt@trade/ethusdt@bookTicker{query}"));
    for _ in 0..total {
        let event = client.next_text(PATIENCE);
        let stream = usize::from(!event.starts_with("{\"e\":\"trade\""));
        assert_eq!(Some(event), expected[stream].next());
    }
}

#[test]
fn bare_events_come_out_as_they_were() {
    bare_frames_are_as_they_were("", str::to_owned);
}

#[test]
fn events_in_microseconds_are_the_recorded_ones() {
    bare_frames_are_as_they_were("?timeUnit=MICROSECOND", in_micros);
}

/// A recorded decimal as a mantissa of eight places, the digits without the dot.
fn mantissa(value: &serde_json::Value) -> [u8; 8] {
    let digits = value.as_str().expect("decimals are strings").replace('.', "");
    digits.parse::<i64>().expect("it fits").to_le_bytes()
}

/// The exchange's binary message of a recorded trade, put together from its schema.
fn binary_trade(event: &serde_json::Value) -> Vec<u8> {
    let integer = |key: &str| event[key].as_i64().expect("an integer");
    let micros = |key: &str| (integer(key) * 1_000).to_le_bytes();
    let mut bytes = vec![18, 0, 0x10, 0x27, 1, 0, 0, 0];
    bytes.extend(micros("E").into_iter().chain(micros("T")));
    bytes.extend([0xF8, 0xF8, 25, 0, 1, 0, 0, 0]);
    bytes.extend(integer("t").to_le_bytes());
    bytes.extend(mantissa(&event["p"]).into_iter().chain(mantissa(&event["q"])));
    bytes.push(u8::from(event["m"] == true));
    bytes.push(7);
    bytes.extend(event["s"].as_str().expect("a symbol").bytes());
    bytes
}

#[test]
fn binary_trades_say_what_was_recorded() {
    let file = "spot_ethusdt_20240808.gz";
    let (recorded, _) = recorded(file);
    let gateway = Gateway::replaying(file, "max");
    let mut client = connect(&gateway, "/stream-sbe/ws/ethusdt@trade");
    for frame in &recorded["ethusdt@trade"] {
        let expected = binary_trade(&json(bare(frame)));
        assert_eq!(client.next(PATIENCE), Some(Message::Binary(expected)), "{frame}");
    }
}
