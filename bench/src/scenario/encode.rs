//! `encode`: bytes and time of one message, for each kind of message and each encoding.
//!
//! Messages are typical ones of a large venue. The buffer is reused, as in a shard's arena.
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Deserialize;
use wire::{
    Bar, Channel, DepthHead, Encoding, Instrument, Interval, Level, Quote, Side, Symbol, Tick,
    Ticker, Trade,
};

use super::{Options, Scenario, ScenarioError};
use crate::cpu;
use crate::record::{Offered, Record, Run, Table, float};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    rounds: u32,
    duration: f64,
    core: usize,
}

const TS_EVENT_NS: u64 = 1_723_075_200_123_456_789;

/// Levels of each side of the partial book, and in the depth event together.
const LEVELS: i64 = 20;

/// Messages between two looks at the clock.
const CHUNK: u64 = 256;

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let settings: Settings = scenario.settings()?;
    let duration = options.duration.unwrap_or(settings.duration);
    if !(0.001..=60.0).contains(&duration) {
        return Err(scenario.senseless("duration is 0.001 to 60 seconds"));
    }
    // A machine without that core runs it on what it has; the record says how many there are.
    let _ = cpu::pin(&[settings.core]);
    let messages = messages();
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for message in &messages {
            for encoding in Encoding::ALL {
                let (ns, bytes) = cost(encoding, message, Duration::from_secs_f64(duration));
                record.runs.push(Run {
                    server: encoding.name().to_owned(),
                    variant: message.name.to_owned(),
                    round,
                    offered: Offered { duration_s: duration, ..Offered::default() },
                    report: None,
                    server_usage: None,
                    failures: Vec::new(),
                    extra: BTreeMap::from([
                        ("encode_ns".to_owned(), ns),
                        ("message_bytes".to_owned(), bytes),
                    ]),
                });
            }
        }
    }
    record.summarise();
    record.tables.push(table(record, &messages));
    Ok(())
}

/// A message to encode.
struct Message {
    name: &'static str,
    content: Content,
}

enum Content {
    /// An entry of the log: a tick, or the ticks of a depth event.
    Entry(Vec<Tick>),
    /// The best levels of both sides.
    Partial { bids: Vec<(i64, i64)>, asks: Vec<(i64, i64)> },
}

/// Nanoseconds and bytes of a message.
fn cost(encoding: Encoding, message: &Message, duration: Duration) -> (f64, f64) {
    let instrument = instrument();
    let mut out = Vec::with_capacity(16 << 10);
    let (mut encoded, start) = (0, Instant::now());
    while start.elapsed() < duration {
        for _ in 0..CHUNK {
            out.clear();
            encode(&mut out, encoding, black_box(&message.content), black_box(&instrument));
            black_box(out.as_slice());
        }
        encoded += CHUNK;
    }
    let ns = start.elapsed().as_secs_f64() * 1e9 / float(encoded.max(1));
    (ns, float(out.len() as u64))
}

fn encode(out: &mut Vec<u8>, encoding: Encoding, content: &Content, instrument: &Instrument) {
    match content {
        Content::Entry(ticks) => encoding.entry(out, ticks, instrument),
        Content::Partial { bids, asks } => {
            let head = DepthHead {
                ts_event_ns: TS_EVENT_NS,
                seq: 1_234_567,
                instrument: instrument.id,
                ring_delay_ns: 12_345,
                first_update_id: 50_000_000_000,
                last_update_id: 50_000_000_019,
            };
            encoding.partial_depth(out, Channel::Depth20, &head, bids, asks, instrument);
        }
    }
}

fn instrument() -> Instrument {
    Instrument {
        id: 1,
        symbol: Symbol::new("BTCUSDT").expect("a constant that is a symbol"),
        base_len: 3,
        price_exponent: -2,
        quantity_exponent: -5,
        tick_size: 1,
        lot_size: 1,
        channels: Channel::Trade.bit() | Channel::Quote.bit(),
    }
}

fn messages() -> Vec<Message> {
    let mut depth = Vec::new();
    let levels: Vec<Level> = (0..LEVELS).map(level).collect();
    Tick::push_depth(&mut depth, 1, TS_EVENT_NS, 50_000_000_000..=50_000_000_019, &levels);
    let side = |sign: i64| -> Vec<(i64, i64)> {
        (0..LEVELS).map(|i| (6_183_763 + sign * (i + 1) * 3, 37_882 * (i + 1))).collect()
    };
    [
        ("trade", Content::Entry(vec![Tick::from_trade(1, TS_EVENT_NS, &trade())])),
        ("quote", Content::Entry(vec![Tick::from_quote(1, TS_EVENT_NS, &quote())])),
        ("ticker", Content::Entry(vec![Tick::from_ticker(1, TS_EVENT_NS, &ticker())])),
        ("bar", Content::Entry(vec![bar()])),
        ("depth, 20 changed levels", Content::Entry(depth)),
        ("depth20, the best 20 of each side", Content::Partial { bids: side(-1), asks: side(1) }),
    ]
    .map(|(name, content)| Message { name, content: published(content) })
    .into()
}

/// Numbered and stamped, as ticks are that come out of a ring.
fn published(mut content: Content) -> Content {
    if let Content::Entry(ticks) = &mut content {
        for tick in ticks {
            tick.seq = 1_234_567;
            tick.ts_ring_ns = tick.ts_event_ns + 12_345;
        }
    }
    content
}

const fn trade() -> Trade {
    Trade {
        price: 6_183_763,
        quantity: 1_337,
        trade_id: 3_721_000_001,
        ts_trade_ns: 1_723_075_200_123_000_000,
        buyer_is_maker: true,
    }
}

const fn quote() -> Quote {
    Quote {
        bid_price: 6_183_763,
        bid_quantity: 378_826,
        ask_price: 6_183_764,
        ask_quantity: 61_000,
        update_id: 50_000_000_000,
    }
}

const fn ticker() -> Ticker {
    Ticker {
        open: 6_001_100,
        high: 6_250_099,
        low: 5_990_001,
        last: 6_183_763,
        last_quantity: 1_337,
        volume: 2_345_678_901,
        quote_volume: 145_000_123_456,
        previous_close: 6_001_099,
        first_trade_id: 3_719_000_000,
        last_trade_id: 3_721_000_001,
        trades: 2_000_002,
    }
}

fn bar() -> Tick {
    let bar = Bar {
        ts_open_ns: 1_723_075_200_000_000_000,
        open: 6_183_000,
        high: 6_184_444,
        low: 6_182_910,
        close: 6_183_763,
        volume: 12_345_678,
        quote_volume: 763_000_123,
        taker_volume: 6_345_678,
        taker_quote_volume: 381_000_123,
        first_trade_id: 3_720_990_000,
        trades: 10_002,
        is_final: false,
    };
    Tick::from_bar(Channel::Bar(Interval::MINUTE), 1, TS_EVENT_NS, &bar)
}

/// The one after the other a bid and an ask.
fn level(index: i64) -> Level {
    let (side, price) = match index % 2 {
        0 => (Side::Bid, 6_183_763 - index * 3),
        _ => (Side::Ask, 6_183_764 + index * 3),
    };
    Level { side, price, quantity: 37_882 * (index + 1) }
}

fn table(record: &Record, messages: &[Message]) -> Table {
    let mut columns = vec![String::new()];
    for encoding in Encoding::ALL {
        columns.push(format!("{}, bytes", encoding.name()));
        columns.push(format!("{}, ns (lowest–highest)", encoding.name()));
    }
    columns.push("JSON ÷ SBE, bytes".to_owned());
    columns.push("JSON ÷ SBE, ns".to_owned());
    let rows = messages.iter().map(|message| {
        let figure = |encoding: Encoding, name: &str| {
            let summary = record.summary_of(encoding.name(), message.name);
            summary.and_then(|one| one.figures.get(name).copied()).unwrap_or_default()
        };
        let mut row = vec![message.name.to_owned()];
        for encoding in Encoding::ALL {
            let (bytes, ns) = (figure(encoding, "message_bytes"), figure(encoding, "encode_ns"));
            row.push(format!("{:.0}", bytes.median));
            row.push(format!("{:.1} ({:.1}–{:.1})", ns.median, ns.min, ns.max));
        }
        for name in ["message_bytes", "encode_ns"] {
            let [json, sbe] =
                [Encoding::Json, Encoding::Sbe].map(|encoding| figure(encoding, name).median);
            row.push(format!("{:.2}", json / sbe));
        }
        row
    });
    Table {
        title: "One message, without what a WebSocket puts around it".to_owned(),
        columns,
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_message_is_encoded_both_ways() {
        for message in messages() {
            let bytes = Encoding::ALL.map(|encoding| {
                let mut out = Vec::new();
                encode(&mut out, encoding, &message.content, &instrument());
                let (ns, bytes) = cost(encoding, &message, Duration::from_micros(100));
                assert!(ns > 0.0);
                assert_eq!(bytes, float(out.len() as u64), "the last is like the first");
                if encoding == Encoding::Json {
                    serde_json::from_slice::<serde_json::Value>(&out).expect("JSON");
                }
                out.len()
            });
            assert!(bytes.iter().all(|bytes| *bytes > 40), "{}: {bytes:?}", message.name);
        }
    }

    #[test]
    fn a_quote_is_64_bytes() {
        let messages = messages();
        let quote = messages.iter().find(|message| message.name == "quote").unwrap();
        let (_, bytes) = cost(Encoding::Sbe, quote, Duration::from_micros(100));
        assert_eq!(bytes, 64.0);
    }
}
