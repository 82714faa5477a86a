//! What it costs to encode the two kinds of ticks that are nearly all of the traffic, and to parse
//! a command. Buffers are reused, as in a shard.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickcast_wire::command::{Buffers, Command};
use tickcast_wire::{Channel, Encoding, Instrument, Kind, Quote, Symbol, Tick, Trade, sbe};

fn instrument() -> Instrument {
    Instrument {
        id: 1,
        symbol: Symbol::new("BTCUSDT").expect("a symbol"),
        base_len: 3,
        price_exponent: -2,
        quantity_exponent: -5,
        tick_size: 1,
        lot_size: 1,
        channels: Channel::Trade.bit() | Channel::Quote.bit(),
    }
}

fn published(mut tick: Tick) -> Tick {
    tick.seq = 1_234_567;
    tick.ts_ring_ns = tick.ts_event_ns + 12_345;
    tick
}

fn quote() -> Tick {
    let quote = Quote {
        bid_price: 6_183_763,
        bid_quantity: 378_826,
        ask_price: 6_183_764,
        ask_quantity: 61_000,
        update_id: 50_000_000_000,
    };
    published(Tick::from_quote(1, 1_723_075_200_123_456_789, &quote))
}

fn trade() -> Tick {
    let trade = Trade {
        price: 6_183_763,
        quantity: 1_337,
        trade_id: 3_721_000_001,
        ts_trade_ns: 1_723_075_200_123_000_000,
        buyer_is_maker: true,
    };
    published(Tick::from_trade(1, 1_723_075_200_123_456_789, &trade))
}

fn encode(criterion: &mut Criterion) {
    let instrument = instrument();
    let mut group = criterion.benchmark_group("encode");
    for (name, tick) in [("quote", quote()), ("trade", trade())] {
        assert!(matches!(tick.kind(), Ok(Kind::Data(_))));
        for encoding in Encoding::ALL {
            let mut out = Vec::with_capacity(1024);
            encoding.entry(&mut out, &[tick], &instrument);
            group.throughput(Throughput::Bytes(u64::try_from(out.len()).unwrap_or(u64::MAX)));
            group.bench_function(format!("{name}/{}", encoding.name()), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    encoding.entry(&mut out, black_box(&[tick]), black_box(&instrument));
                    black_box(out.as_slice());
                });
            });
        }
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let (mut frame, instrument) = (Vec::new(), instrument());
    for tick in [quote(), trade()] {
        Encoding::Sbe.entry(&mut frame, &[tick], &instrument);
    }
    criterion.bench_function("decode/quote+trade", |bencher| {
        bencher.iter(|| sbe::decode(black_box(&frame)).filter(Result::is_ok).count());
    });
}

fn parse(criterion: &mut Criterion) {
    let mut buffers = Buffers::new();
    let mut group = criterion.benchmark_group("command");
    for (name, text) in [
        ("ping", r#"{"op":"ping","id":1}"#.to_owned()),
        (
            "subscribe",
            r#"{"op":"subscribe","id":1,"topics":["BTCUSDT.trade","*.quote"]}"#.to_owned(),
        ),
        ("subscribe_100", subscribe(100)),
    ] {
        let mut scratch = Vec::with_capacity(text.len());
        group.throughput(Throughput::Bytes(u64::try_from(text.len()).unwrap_or(u64::MAX)));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                // The parser writes into its input, as it does into a shard's read buffer.
                scratch.clear();
                scratch.extend_from_slice(text.as_bytes());
                Command::parse(black_box(&mut scratch), &mut buffers)
            });
        });
    }
    group.finish();
}

fn subscribe(topics: usize) -> String {
    let topics: Vec<String> = (0..topics).map(|i| format!("\"S{i}.quote\"")).collect();
    format!(r#"{{"op":"subscribe","id":1,"topics":[{}]}}"#, topics.join(","))
}

criterion_group!(benches, encode, decode, parse);
criterion_main!(benches);
