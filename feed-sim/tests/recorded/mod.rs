//! The recordings, and the venue's frames written from ticks.
//!
//! The recordings lie beside the repository in `shared/data`; `TICKCAST_DATA` names another place.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::VecDeque;
use std::env;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use wire::exchange::{Schema, Speed, Stream, Style, View, json};
use wire::{Channel, Instrument, Kind, Side, Tick, flags};

pub(crate) const BTC: &str = "spot_btcusdt_20240808.gz";
pub(crate) const ETH: &str = "spot_ethusdt_20240808.gz";

pub(crate) fn recording(name: &str) -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = env::var_os("TICKCAST_DATA").map_or(beside, PathBuf::from).join(name);
    assert!(path.exists(), "{} is missing: set TICKCAST_DATA", path.display());
    path
}

/// The lines of a recording: receive time and frame, read without the code under test.
pub(crate) fn lines(name: &str) -> Vec<(u64, String)> {
    let mut text = String::new();
    let file = std::fs::File::open(recording(name)).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(time, frame)| (time.parse().unwrap(), frame.to_owned()))
        .collect()
}

/// Frames written from ticks, each kind in its order.
pub(crate) struct Frames {
    /// trade, bookTicker, depth, snapshot.
    queues: [VecDeque<String>; 4],
}

impl Frames {
    /// Whether the next of the frames of this one's kind is this one; takes it if so.
    pub(crate) fn take(&mut self, frame: &str) -> bool {
        let queue = &mut self.queues[kind(frame)];
        let is_next = queue.front().is_some_and(|next| next == frame);
        if is_next {
            queue.pop_front();
        }
        is_next
    }

    pub(crate) fn is_next(&self, frame: &str) -> bool {
        self.queues[kind(frame)].front().is_some_and(|next| next == frame)
    }

    pub(crate) fn left(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }
}

fn kind(frame: &str) -> usize {
    if frame.contains("@trade\"") {
        0
    } else if frame.contains("@bookTicker\"") {
        1
    } else if frame.contains("@depth") {
        2
    } else {
        3
    }
}

/// Writes the venue's frames of one instrument, as it sends them on a connection that asked for
/// `@depth@100ms`.
pub(crate) fn frames(ticks: &[Tick], instrument: &Instrument) -> Frames {
    let mut queues = [const { VecDeque::new() }; 4];
    let mut group = Vec::new();
    for tick in ticks {
        group.push(*tick);
        if tick.ends() {
            let frame = frame(&group, instrument);
            queues[kind(&frame)].push_back(frame);
            group.clear();
        }
    }
    Frames { queues }
}

fn frame(entry: &[Tick], instrument: &Instrument) -> String {
    let first = &entry[0];
    let mut out = Vec::new();
    let view = match first.kind().unwrap() {
        Kind::Data(Channel::Depth) if first.flags & flags::REPLACES_BOOK != 0 => {
            let side = |side| -> Vec<(i64, i64)> {
                let levels = entry.iter().flat_map(Tick::depth_levels).filter(|l| l.side == side);
                levels.map(|level| (level.price, level.quantity)).collect()
            };
            let (bids, asks) = (side(Side::Bid), side(Side::Ask));
            json::partial_depth(&mut out, first.update_ids().1, &bids, &asks, instrument);
            return String::from_utf8(out).unwrap();
        }
        Kind::Data(Channel::Depth) => View::Depth(Speed::Fast),
        Kind::Data(channel) => View::Channel(channel),
        other => panic!("no frame of {other:?}"),
    };
    json::entry(&mut out, entry, instrument, None, Style::default());
    let name = Stream::One(instrument.symbol, view).name(Schema::Json);
    format!(r#"{{"stream":"{name}","data":{}}}"#, String::from_utf8(out).unwrap())
}
