//! Byte for byte: recorded frames go through the real gateway and come out as they were.
//!
//! A client of the recorded combined streams must get, stream by stream, exactly the recorded frames, in
//! their order. Depth begins with the first event that the recorded snapshot links up with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;

use crate::support::process::Gateway;
use crate::support::recordings;
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
    let source = format!("replay:{}", recordings().join(file).display());
    let gateway = Gateway::start(&[
        "--source",
        &source,
        "--speed",
        "max",
        "--replay-start",
        "first-subscriber",
        "--shards",
        "1",
        // A slow test machine must not make the gateway merge what should be compared one by one.
        "--lag-age",
        "1h",
        "--slow-age",
        "1h",
    ]);
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
