//! Events as the exchange's own SBE: schema 1, version 0, templates 10000 to 10003.
//!
//! Little-endian. Times are µs. Prices and quantities are mantissas as ticks have them, with the
//! instrument's exponents beside them. There is no envelope: the symbol is at the end.
//! From the exchange's schema `stream_1_0.xml`.

use zerocopy::little_endian::{I64, U16, U32};
use zerocopy::{Immutable, IntoBytes, Unaligned};

use crate::body::Side;
use crate::event::DepthHead;
use crate::instrument::Instrument;
use crate::tick::{Kind, Tick};
use crate::topic::Channel;

const SCHEMA_ID: u16 = 1;
const SCHEMA_VERSION: u16 = 0;

const TRADES: u16 = 10_000;
const BEST_BID_ASK: u16 = 10_001;
const DEPTH_SNAPSHOT: u16 = 10_002;
const DEPTH_DIFF: u16 = 10_003;

const HEADER_BYTES: usize = size_of::<Header>();

macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(IntoBytes, Immutable, Unaligned)]
        #[repr(C)]
        struct $name { $($field: $type,)* }
    )*};
}

layout! {
    Header {
        block_length: U16,
        template_id: U16,
        schema_id: U16,
        version: U16,
    }

    /// A group of [`TradeEntry`] and the symbol follow.
    TradesEvent {
        header: Header,
        event_time_us: I64,
        transact_time_us: I64,
        price_exponent: i8,
        quantity_exponent: i8,
    }

    /// A group's header whose count has 32 bits.
    LongGroup {
        block_length: U16,
        count: U32,
    }

    TradeEntry {
        id: I64,
        price: I64,
        quantity: I64,
        is_buyer_maker: u8,
    }

    /// The symbol follows.
    BestBidAskEvent {
        header: Header,
        event_time_us: I64,
        book_update_id: I64,
        price_exponent: i8,
        quantity_exponent: i8,
        bid_price: I64,
        bid_quantity: I64,
        ask_price: I64,
        ask_quantity: I64,
    }

    /// Groups of [`LevelEntry`], bids and asks, and the symbol follow.
    DepthSnapshotEvent {
        header: Header,
        event_time_us: I64,
        book_update_id: I64,
        price_exponent: i8,
        quantity_exponent: i8,
    }

    /// Groups of [`LevelEntry`], bids and asks, and the symbol follow.
    DepthDiffEvent {
        header: Header,
        event_time_us: I64,
        first_book_update_id: I64,
        last_book_update_id: I64,
        price_exponent: i8,
        quantity_exponent: i8,
    }

    Group {
        block_length: U16,
        count: U16,
    }

    LevelEntry {
        price: I64,
        quantity: I64,
    }
}

/// Appends the event of one entry: a tick, all ticks of a depth group, or of a partial book that is kept
/// as a group of its channel's kind, best levels first. Nothing is written for what this schema has no
/// event for.
///
/// # Panics
/// If a group has more than 65,535 levels on a side: hubs refuse such groups.
pub fn entry(out: &mut Vec<u8>, entry: &[Tick], instrument: &Instrument) {
    let Some(tick) = entry.last() else { return };
    let Ok(Kind::Data(channel)) = tick.kind() else { return };
    match channel {
        Channel::Trade => trade(out, tick, instrument),
        Channel::Quote => best_bid_ask(out, tick, instrument),
        Channel::Depth => {
            let (first, last) = entry[0].update_ids();
            diff_root(out, tick.ts_event_ns, first, last, instrument);
            group_sides(out, entry, instrument);
        }
        Channel::Depth5 | Channel::Depth10 | Channel::Depth20 => {
            snapshot_root(out, tick.ts_event_ns, tick.update_ids().1, instrument);
            group_sides(out, entry, instrument);
        }
        Channel::Ticker
        | Channel::Status
        | Channel::Bar(_)
        | Channel::AggTrade
        | Channel::Rolling(_)
        | Channel::Average => {}
    }
}

/// Appends one change set that stands for several depth groups.
///
/// # Panics
/// If a side has more than 65,535 levels.
pub fn merged_depth(
    out: &mut Vec<u8>,
    head: &DepthHead,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    instrument: &Instrument,
) {
    diff_root(out, head.ts_event_ns, head.first_update_id, head.last_update_id, instrument);
    both_sides(out, bids, asks, instrument);
}

/// Appends the best levels of each side, best first.
///
/// # Panics
/// If a side has more than 65,535 levels.
pub fn partial_depth(
    out: &mut Vec<u8>,
    head: &DepthHead,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    instrument: &Instrument,
) {
    snapshot_root(out, head.ts_event_ns, head.last_update_id, instrument);
    both_sides(out, bids, asks, instrument);
}

const fn header(template_id: u16, message_bytes: usize) -> Header {
    #[expect(clippy::cast_possible_truncation, reason = "the largest is 50 bytes")]
    let block_length = (message_bytes - HEADER_BYTES) as u16;
    Header {
        block_length: U16::new(block_length),
        template_id: U16::new(template_id),
        schema_id: U16::new(SCHEMA_ID),
        version: U16::new(SCHEMA_VERSION),
    }
}

const fn micros(ts_ns: u64) -> I64 {
    I64::new((ts_ns / 1_000).cast_signed())
}

const fn id(id: u64) -> I64 {
    I64::new(id.cast_signed())
}

fn trade(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument) {
    let trade = tick.trade();
    let root = TradesEvent {
        header: header(TRADES, size_of::<TradesEvent>()),
        event_time_us: micros(tick.ts_event_ns),
        transact_time_us: micros(trade.ts_trade_ns),
        price_exponent: instrument.price_exponent,
        quantity_exponent: instrument.quantity_exponent,
    };
    out.extend_from_slice(root.as_bytes());
    let block_length = U16::new(block_bytes::<TradeEntry>());
    out.extend_from_slice(LongGroup { block_length, count: U32::new(1) }.as_bytes());
    let entry = TradeEntry {
        id: id(trade.trade_id),
        price: I64::new(trade.price),
        quantity: I64::new(trade.quantity),
        is_buyer_maker: u8::from(trade.buyer_is_maker),
    };
    out.extend_from_slice(entry.as_bytes());
    symbol(out, instrument);
}

fn best_bid_ask(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument) {
    let quote = tick.quote();
    let root = BestBidAskEvent {
        header: header(BEST_BID_ASK, size_of::<BestBidAskEvent>()),
        event_time_us: micros(tick.ts_event_ns),
        book_update_id: id(quote.update_id),
        price_exponent: instrument.price_exponent,
        quantity_exponent: instrument.quantity_exponent,
        bid_price: I64::new(quote.bid_price),
        bid_quantity: I64::new(quote.bid_quantity),
        ask_price: I64::new(quote.ask_price),
        ask_quantity: I64::new(quote.ask_quantity),
    };
    out.extend_from_slice(root.as_bytes());
    symbol(out, instrument);
}

fn snapshot_root(out: &mut Vec<u8>, ts_ns: u64, update_id: u64, instrument: &Instrument) {
    let root = DepthSnapshotEvent {
        header: header(DEPTH_SNAPSHOT, size_of::<DepthSnapshotEvent>()),
        event_time_us: micros(ts_ns),
        book_update_id: id(update_id),
        price_exponent: instrument.price_exponent,
        quantity_exponent: instrument.quantity_exponent,
    };
    out.extend_from_slice(root.as_bytes());
}

fn diff_root(out: &mut Vec<u8>, ts_ns: u64, first: u64, last: u64, instrument: &Instrument) {
    let root = DepthDiffEvent {
        header: header(DEPTH_DIFF, size_of::<DepthDiffEvent>()),
        event_time_us: micros(ts_ns),
        first_book_update_id: id(first),
        last_book_update_id: id(last),
        price_exponent: instrument.price_exponent,
        quantity_exponent: instrument.quantity_exponent,
    };
    out.extend_from_slice(root.as_bytes());
}

fn group_sides(out: &mut Vec<u8>, group: &[Tick], instrument: &Instrument) {
    for side in [Side::Bid, Side::Ask] {
        let of_side =
            || group.iter().flat_map(Tick::depth_levels).filter(|level| level.side == side);
        levels(out, of_side().count(), of_side().map(|level| (level.price, level.quantity)));
    }
    symbol(out, instrument);
}

fn both_sides(
    out: &mut Vec<u8>,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    instrument: &Instrument,
) {
    levels(out, bids.len(), bids.iter().copied());
    levels(out, asks.len(), asks.iter().copied());
    symbol(out, instrument);
}

fn levels(out: &mut Vec<u8>, count: usize, levels: impl Iterator<Item = (i64, i64)>) {
    let count = u16::try_from(count).expect("hubs refuse groups of more levels");
    let block_length = U16::new(block_bytes::<LevelEntry>());
    out.extend_from_slice(Group { block_length, count: U16::new(count) }.as_bytes());
    out.reserve(usize::from(count) * size_of::<LevelEntry>());
    for (price, quantity) in levels {
        let entry = LevelEntry { price: I64::new(price), quantity: I64::new(quantity) };
        out.extend_from_slice(entry.as_bytes());
    }
}

/// Bytes of a group's entry.
const fn block_bytes<T>() -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "25 at most")]
    let bytes = size_of::<T>() as u16;
    bytes
}

/// A length of one byte, and the text.
fn symbol(out: &mut Vec<u8>, instrument: &Instrument) {
    let text = instrument.symbol.as_str().as_bytes();
    out.push(u8::try_from(text.len()).expect("a symbol has at most 32 bytes"));
    out.extend_from_slice(text);
}
