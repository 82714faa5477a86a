//! The recordings, and the venue's frames written from ticks.
//!
//! The recordings lie beside the repository in `shared/data`; `TICKCAST_DATA` names another place.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::VecDeque;
use std::env;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use wire::decimal::write_decimal;
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
    let tick = &entry[0];
    let price = |mantissa| decimal(mantissa, instrument.price_exponent);
    let quantity = |mantissa| decimal(mantissa, instrument.quantity_exponent);
    let symbol = instrument.symbol.as_str();
    let lower = symbol.to_lowercase();
    let ms = |ns: u64| ns / 1_000_000;
    match tick.kind().unwrap() {
        Kind::Data(Channel::Trade) => {
            let t = tick.trade();
            format!(
                r#"{{"stream":"{lower}@trade","data":{{"e":"trade","E":{},"s":"{symbol}","t":{},"p":"{}","q":"{}","T":{},"m":{},"M":true}}}}"#,
                ms(tick.ts_event_ns),
                t.trade_id,
                price(t.price),
                quantity(t.quantity),
                ms(t.ts_trade_ns),
                t.buyer_is_maker
            )
        }
        Kind::Data(Channel::Quote) => {
            let q = tick.quote();
            format!(
                r#"{{"stream":"{lower}@bookTicker","data":{{"u":{},"s":"{symbol}","b":"{}","B":"{}","a":"{}","A":"{}"}}}}"#,
                q.update_id,
                price(q.bid_price),
                quantity(q.bid_quantity),
                price(q.ask_price),
                quantity(q.ask_quantity)
            )
        }
        Kind::Data(Channel::Depth) => {
            let side = |side| {
                let levels = entry.iter().flat_map(Tick::depth_levels).filter(|l| l.side == side);
                let levels: Vec<String> = levels
                    .map(|l| format!(r#"["{}","{}"]"#, price(l.price), quantity(l.quantity)))
                    .collect();
                levels.join(",")
            };
            let (bids, asks) = (side(Side::Bid), side(Side::Ask));
            let (first, last) = tick.update_ids();
            if tick.flags & flags::REPLACES_BOOK != 0 {
                return format!(r#"{{"lastUpdateId":{last},"bids":[{bids}],"asks":[{asks}]}}"#);
            }
            format!(
                r#"{{"stream":"{lower}@depth@100ms","data":{{"e":"depthUpdate","E":{},"s":"{symbol}","U":{first},"u":{last},"b":[{bids}],"a":[{asks}]}}}}"#,
                ms(tick.ts_event_ns)
            )
        }
        other => panic!("no frame of {other:?}"),
    }
}

fn decimal(mantissa: i64, exponent: i8) -> String {
    let mut out = Vec::new();
    write_decimal(&mut out, mantissa, exponent);
    String::from_utf8(out).unwrap()
}
