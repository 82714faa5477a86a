//! Recorded market data through ticks and books: digits survive, and a book made from a snapshot and
//! depth events shows, at every event, the best bid and offer that the venue's own quotes show.
//!
//! The recordings lie beside the repository, in `../shared/data`, or where TICKCAST_DATA says.

use std::io::Read as _;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use serde_json::Value;
use tickcast_wire::decimal::{parse_mantissa, write_decimal};
use tickcast_wire::{Book, Level, Side, Tick};

/// The exchange writes eight decimals, whatever the tick size.
const EXPONENT: i8 = -8;

fn recording(symbol: &str) -> Vec<Value> {
    let dir = std::env::var_os("TICKCAST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = dir.join(format!("spot_{symbol}_20240808.gz"));
    let file = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; set TICKCAST_DATA to the directory of the recordings", path.display())
    });
    let mut text = String::new();
    GzDecoder::new(file.as_slice()).read_to_string(&mut text).expect("a whole gzip file");
    let frame = |line: &str| {
        let (_, json) = line.split_once(' ').expect("receive time, space, frame");
        serde_json::from_str(json).expect("a frame is JSON")
    };
    text.lines().map(frame).collect()
}

/// A recorded decimal as mantissa; fails unless writing it gives the recorded digits again.
fn mantissa(value: &Value) -> i64 {
    let text = value.as_str().expect("decimals are strings");
    let mantissa = parse_mantissa(text, EXPONENT).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut written = Vec::new();
    write_decimal(&mut written, mantissa, EXPONENT);
    assert_eq!(written, text.as_bytes());
    mantissa
}

fn levels(event: &Value, bids: &str, asks: &str) -> Vec<Level> {
    let side = |name: &str, side| {
        let levels = event[name].as_array().expect("levels are an array");
        let level = move |level: &Value| Level {
            side,
            price: mantissa(&level[0]),
            quantity: mantissa(&level[1]),
        };
        levels.iter().map(level).collect::<Vec<Level>>()
    };
    [side(bids, Side::Bid), side(asks, Side::Ask)].concat()
}

/// Update id, bid and ask of a recorded quote.
type Best = (u64, (i64, i64), (i64, i64));

struct Truth {
    book: Book,
    compared: usize,
    largest_group: usize,
}

fn check(symbol: &str) -> Truth {
    let frames = recording(symbol);
    let stream = |suffix: &str| {
        let name = format!("{symbol}{suffix}");
        frames.iter().filter(move |frame| frame["stream"] == name.as_str()).map(|f| &f["data"])
    };
    let snapshot = frames.iter().find(|frame| frame["stream"].is_null()).expect("a snapshot");
    let mut last_id = snapshot["lastUpdateId"].as_u64().expect("an id");
    let quotes: Vec<Best> = stream("@bookTicker")
        .map(|quote| {
            let pair =
                |price: &str, quantity: &str| (mantissa(&quote[price]), mantissa(&quote[quantity]));
            (quote["u"].as_u64().expect("an id"), pair("b", "B"), pair("a", "A"))
        })
        .collect();

    let mut truth = Truth { book: Book::new(), compared: 0, largest_group: 0 };
    for level in levels(snapshot, "bids", "asks") {
        truth.book.apply(&level);
    }
    for event in stream("@depth@100ms") {
        let (first, last) = (event["U"].as_u64().unwrap(), event["u"].as_u64().unwrap());
        let changes = levels(event, "b", "a");
        truth.largest_group = truth.largest_group.max(changes.len());
        if last <= last_id {
            continue;
        }
        assert!(first <= last_id + 1, "a hole in the recording before {first}");
        last_id = last;
        let mut group = Vec::new();
        Tick::push_depth(&mut group, 0, 0, first..=last, &changes);
        for level in group.iter().flat_map(Tick::depth_levels) {
            truth.book.apply(&level);
        }
        assert!(!truth.book.is_crossed(), "crossed after {last}");
        let before = quotes.partition_point(|(id, _, _)| *id <= last);
        let Some((_, bid, ask)) = before.checked_sub(1).map(|at| quotes[at]) else { continue };
        assert_eq!(truth.book.best(Side::Bid), Some(bid), "best bid after {last}");
        assert_eq!(truth.book.best(Side::Ask), Some(ask), "best offer after {last}");
        truth.compared += 1;
    }
    truth
}

#[test]
fn btcusdt() {
    let truth = check("btcusdt");
    assert_eq!(truth.compared, 3_449);
    assert_eq!(truth.largest_group, 1_076, "as tick.rs says of GROUP_LEVELS_MAX");
    assert_eq!((truth.book.len(Side::Bid), truth.book.len(Side::Ask)), (1_209, 2_196));
}

#[test]
fn ethusdt() {
    assert_eq!(check("ethusdt").compared, 3_432);
}
