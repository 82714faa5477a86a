//! A client of the exchange's protocol, of whose streams only one thing is asked: that nothing comes of
//! what it may not see.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use tickcast_hub::{Envelope, Format, Grant};
use wire::exchange::{Grammar, Schema, Stream, SymbolCase};
use wire::{Channel, Symbol};

use crate::random::Random;
use crate::trust::{assert_unnamed, symbol};

/// Streams of one symbol that the JSON formats have.
const OF_ONE: [&str; 14] = [
    "trade",
    "aggTrade",
    "bookTicker",
    "depth",
    "depth@100ms",
    "depth5",
    "depth10@100ms",
    "depth20@100ms",
    "ticker",
    "miniTicker",
    "ticker_1h",
    "kline_1s",
    "kline_1m",
    "avgPrice",
];

/// And those that the binary one has.
const OF_ONE_BINARY: [&str; 4] = ["trade", "bestBidAsk", "depth20", "depth"];

const OF_ALL: [&str; 4] = ["!bookTicker", "!miniTicker@arr", "!ticker@arr", "!ticker_1h@arr"];

pub struct Follower {
    pub format: Format,
    pub envelope: Envelope,
    pub grant: Arc<Grant>,
    /// What it is subscribed to.
    pub names: BTreeSet<String>,
    pub events: u64,
}

impl Follower {
    pub fn new(random: &mut Random, grant: Arc<Grant>) -> Self {
        let formats = [Format::ExchangeMillis, Format::ExchangeMicros, Format::ExchangeSbe];
        let raw = random.chance(25);
        Self {
            format: *random.pick(&formats),
            envelope: if raw { Envelope::Raw } else { Envelope::Combined },
            grant,
            names: BTreeSet::new(),
            events: 0,
        }
    }

    /// The name of some stream, and what it means.
    pub fn name(&self, random: &mut Random, symbols: u64) -> (String, Stream) {
        let of_one: &[&str] =
            if self.format == Format::ExchangeSbe { &OF_ONE_BINARY } else { &OF_ONE };
        let is_one = self.format == Format::ExchangeSbe || random.chance(80);
        let name = if is_one {
            let symbol = symbol(random.below(symbols)).as_str().to_lowercase();
            format!("{symbol}@{}", random.pick(of_one))
        } else {
            (*random.pick(&OF_ALL)).to_owned()
        };
        let stream = self.stream(&name);
        (name, stream)
    }

    pub fn stream(&self, name: &str) -> Stream {
        let schema = if self.format == Format::ExchangeSbe { Schema::Sbe } else { Schema::Json };
        Stream::parse(name, Grammar { schema, case: SymbolCase::Lower }).expect("a stream's name")
    }

    /// Reads a visit's bytes: frames, one behind the other.
    pub fn read(&mut self, mut rest: &[u8], symbols: u64) {
        assert_unnamed(rest, &self.grant, symbols);
        while let [first, short, ..] = *rest {
            assert!(matches!(first, 0x81 | 0x82), "a whole frame begins with {first:#x}");
            let (header, len) = match short {
                126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
                127 => (10, u64::from_be_bytes(rest[2..10].try_into().unwrap()) as usize),
                short => (2, usize::from(short)),
            };
            let payload = &rest[header..header + len];
            rest = &rest[header + len..];
            self.events += 1;
            if self.format != Format::ExchangeSbe {
                self.event(&serde_json::from_slice(payload).expect("events are JSON"));
            }
        }
        assert!(rest.is_empty());
    }

    fn event(&self, event: &Value) {
        if self.envelope == Envelope::Raw {
            return;
        }
        let name = event["stream"].as_str().expect("an envelope names its stream");
        assert!(self.names.contains(name), "{name} is not subscribed: {:?}", self.names);
        let stream = self.stream(name);
        assert!(self.grant.allows_stream(&stream), "{name} is not allowed: {:?}", self.grant);
        if let Stream::Every(channel) = stream {
            self.element(&event["data"], channel);
        }
    }

    fn element(&self, data: &Value, channel: Channel) {
        let symbol = Symbol::new(data["s"].as_str().expect("a symbol")).unwrap();
        assert!(self.grant.allows(&symbol, channel), "{symbol} under {:?}", self.grant);
    }
}
