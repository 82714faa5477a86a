//! The exchange's SBE, bit for bit: vectors made with Python's `struct` from the exchange's schema, and
//! the recorded day's sizes.

use tickcast_wire::exchange::sbe;
use tickcast_wire::{Channel, DepthHead, Level, Quote, Side, Tick, Trade};

use super::instrument;

const TS_US: u64 = 1_767_225_600_123_456;

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn entry(ticks: &[Tick]) -> Vec<u8> {
    let mut out = Vec::new();
    sbe::entry(&mut out, ticks, &instrument(-2, -5));
    out
}

#[test]
fn best_bid_ask() {
    let quote = Quote {
        bid_price: 6_543_210,
        bid_quantity: 125_000,
        ask_price: 6_543_220,
        ask_quantity: 80_000,
        update_id: 7_001_234_567,
    };
    let expected = "32 00 11 27 01 00 00 00 40 22 22 46 48 47 06 00 87 5c 4e a1 01 00 00 00 fe fb 6a d7 63 \
        00 00 00 00 00 48 e8 01 00 00 00 00 00 74 d7 63 00 00 00 00 00 80 38 01 00 00 00 00 00 07 42 54 43 \
        55 53 44 54";
    assert_eq!(entry(&[Tick::from_quote(0, TS_US * 1_000 + 999, &quote)]), bytes(expected));
}

#[test]
fn trades() {
    let trade = Trade {
        price: 6_543_210,
        quantity: 1_000,
        trade_id: 9_000_000_001,
        ts_trade_ns: TS_US * 1_000,
        buyer_is_maker: true,
    };
    let expected = "12 00 10 27 01 00 00 00 5f 24 22 46 48 47 06 00 40 22 22 46 48 47 06 00 fe fb 19 00 01 \
        00 00 00 01 1a 71 18 02 00 00 00 6a d7 63 00 00 00 00 00 e8 03 00 00 00 00 00 00 01 07 42 54 43 55 \
        53 44 54";
    let reported_us = u64::from_le_bytes([0x5f, 0x24, 0x22, 0x46, 0x48, 0x47, 6, 0]);
    assert_eq!(entry(&[Tick::from_trade(0, reported_us * 1_000, &trade)]), bytes(expected));
}

const DIFF: &str = "1a 00 13 27 01 00 00 00 c0 14 22 46 48 47 06 00 45 5c 4e a1 01 00 00 00 87 5c 4e a1 01 \
    00 00 00 fe fb 10 00 02 00 6a d7 63 00 00 00 00 00 48 e8 01 00 00 00 00 00 4c d7 63 00 00 00 00 00 00 \
    00 00 00 00 00 00 00 10 00 01 00 74 d7 63 00 00 00 00 00 80 38 01 00 00 00 00 00 07 42 54 43 55 53 44 \
    54";

/// The snapshot's root is the diff's without the first id, under its own template.
const SNAPSHOT: &str = "12 00 12 27 01 00 00 00 c0 14 22 46 48 47 06 00 87 5c 4e a1 01 00 00 00 fe fb 10 00 \
    02 00 6a d7 63 00 00 00 00 00 48 e8 01 00 00 00 00 00 4c d7 63 00 00 00 00 00 00 00 00 00 00 00 00 00 \
    10 00 01 00 74 d7 63 00 00 00 00 00 80 38 01 00 00 00 00 00 07 42 54 43 55 53 44 54";

#[test]
fn depth() {
    let ts_ns = u64::from_le_bytes([0xc0, 0x14, 0x22, 0x46, 0x48, 0x47, 6, 0]) * 1_000;
    let level = |side, price, quantity| Level { side, price, quantity };
    let levels = [
        level(Side::Bid, 6_543_210, 125_000),
        level(Side::Ask, 6_543_220, 80_000),
        level(Side::Bid, 6_543_180, 0),
    ];
    let mut group = Vec::new();
    Tick::push_depth(&mut group, 0, ts_ns, 7_001_234_501..=7_001_234_567, &levels);
    assert_eq!(entry(&group), bytes(DIFF));
    group.iter_mut().for_each(|tick| tick.kind = Channel::Depth20.code());
    assert_eq!(entry(&group), bytes(SNAPSHOT));

    let head = DepthHead {
        ts_event_ns: ts_ns,
        seq: 5,
        instrument: 0,
        ring_delay_ns: 3,
        first_update_id: 7_001_234_501,
        last_update_id: 7_001_234_567,
    };
    let (bids, asks) = ([(6_543_210, 125_000), (6_543_180, 0)], [(6_543_220, 80_000)]);
    let mut out = Vec::new();
    sbe::merged_depth(&mut out, &head, &bids, &asks, &instrument(-2, -5));
    assert_eq!(std::mem::take(&mut out), bytes(DIFF));
    sbe::partial_depth(&mut out, &head, &bids, &asks, &instrument(-2, -5));
    assert_eq!(out, bytes(SNAPSHOT));
}

#[test]
fn what_the_schema_has_no_template_for_is_not_written() {
    for tick in [
        Tick::from_status(0, 1, tickcast_wire::TradingStatus::Halted),
        Tick::from_epoch(1, 1),
        Tick::from_definition(&instrument(-2, -5), 1),
    ] {
        assert!(entry(&[tick]).is_empty());
    }
    assert!(entry(&[]).is_empty());
}

#[test]
fn sizes_are_those_that_were_reckoned() {
    let level = |side, at| Level { side, price: 6_543_210 + at, quantity: 1 };
    let both = |count: i64| -> Vec<Level> {
        (0..count).map(|at| level(if at % 2 == 0 { Side::Bid } else { Side::Ask }, at)).collect()
    };
    let mut group = Vec::new();
    Tick::push_depth(&mut group, 0, 1, 1..=2, &both(40));
    group.iter_mut().for_each(|tick| tick.kind = Channel::Depth20.code());
    assert_eq!(entry(&group).len(), 682, "twenty levels a side");
    group.clear();
    Tick::push_depth(&mut group, 0, 1, 1..=2, &both(31));
    assert_eq!(entry(&group).len(), 546, "31 changes");
}
