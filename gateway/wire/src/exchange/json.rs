//! Events as the exchange's JSON, one object for each, bare: envelopes are for sessions to add.
//!
//! Prices and quantities have eight decimals, more only where the instrument has more; nothing is
//! rounded besides what is a quotient by definition: averages and percentages. Key order is the
//! exchange's, so that recorded frames come out as they were, byte for byte.

use crate::body::{Quote, Side};
use crate::decimal::write_decimal;
use crate::event::DepthHead;
use crate::instrument::Instrument;
use crate::interval::Interval;
use crate::json::boolean;
use crate::tick::{Kind, Tick};
use crate::topic::Channel;

mod ticker;

pub use ticker::{array, average as average_price, thousandths_of_a_percent};

/// The decimals of all prices and quantities.
const PLACES: i8 = 8;

/// Room for any event without levels, so that its buffer grows at most once.
const EVENT_BYTES: usize = 640;

/// The unit of all times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// Milliseconds.
    #[default]
    Millisecond,
    /// Microseconds.
    Microsecond,
}

impl TimeUnit {
    /// A time in this unit, rounded down.
    #[must_use]
    pub const fn of_ns(self, ts_ns: u64) -> u64 {
        ts_ns / self.ns()
    }

    const fn ns(self) -> u64 {
        match self {
            Self::Millisecond => 1_000_000,
            Self::Microsecond => 1_000,
        }
    }
}

/// Whether trades bear the order ids that the exchange left out from June 2024 on. Clients older than
/// that may insist on them; they are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LegacyTradeIds {
    /// They do not.
    #[default]
    Omit,
    /// `"b":0,"a":0` at the end.
    Append,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Style {
    /// The unit of all times.
    pub unit: TimeUnit,
    /// Whether trades bear order ids.
    pub trade_ids: LegacyTradeIds,
}

/// Appends the event of one entry: a tick, all ticks of a depth group, or of a partial book that is kept
/// as a group of its channel's kind, best levels first.
///
/// `best` is the instrument's best bid and offer, which the 24-hour ticker shows; without, it shows
/// zeros. Nothing is written for what this protocol has no event for: status and control records.
pub fn entry(
    out: &mut Vec<u8>,
    entry: &[Tick],
    instrument: &Instrument,
    best: Option<&Quote>,
    style: Style,
) {
    let Some(tick) = entry.last() else { return };
    let Ok(Kind::Data(channel)) = tick.kind() else { return };
    match channel {
        Channel::Quote => quote(out, tick, instrument),
        Channel::Trade => trade(out, tick, instrument, style),
        Channel::AggTrade => agg_trade(out, tick, instrument, style.unit),
        Channel::Depth => depth_group(out, entry, instrument, style.unit),
        Channel::Depth5 | Channel::Depth10 | Channel::Depth20 => {
            partial_group(out, entry, instrument);
        }
        Channel::Ticker => ticker::day(out, tick, instrument, best, style.unit),
        Channel::Rolling(window) => ticker::rolling(out, window, tick, instrument, style.unit),
        Channel::Bar(interval) => bar(out, interval, tick, instrument, style.unit),
        Channel::Average => average(out, tick, instrument, style.unit),
        Channel::Status => {}
    }
}

/// Appends the mini ticker of a 24-hour ticker's tick.
pub fn mini_ticker(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument, unit: TimeUnit) {
    ticker::mini(out, tick, instrument, unit);
}

/// Appends one change set that stands for several depth groups.
pub fn merged_depth(
    out: &mut Vec<u8>,
    head: &DepthHead,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    instrument: &Instrument,
    unit: TimeUnit,
) {
    update_head(out, head.ts_event_ns, head.first_update_id, head.last_update_id, instrument, unit);
    levels(out, b",\"b\":[", bids.iter().copied(), instrument);
    levels(out, b",\"a\":[", asks.iter().copied(), instrument);
    out.push(b'}');
}

/// Appends the best levels of each side, best first. It is the same as the answer to a question for the
/// book, whose levels may be any number.
pub fn partial_depth(
    out: &mut Vec<u8>,
    last_update_id: u64,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    instrument: &Instrument,
) {
    integer(out, b"{\"lastUpdateId\":", last_update_id);
    levels(out, b",\"bids\":[", bids.iter().copied(), instrument);
    levels(out, b",\"asks\":[", asks.iter().copied(), instrument);
    out.push(b'}');
}

/// Appends a price or quantity as text without quotes, as all are written: eight decimals, or more where
/// the exponent has more.
pub fn write_padded(out: &mut Vec<u8>, mantissa: i64, exponent: i8) {
    const ZEROS: &[u8; 8] = b"00000000";
    write_decimal(out, mantissa, exponent);
    if exponent >= 0 {
        out.push(b'.');
    }
    let missing = PLACES.saturating_add(exponent.min(0));
    out.extend_from_slice(&ZEROS[..usize::try_from(missing).unwrap_or(0)]);
}

/// `{"e":"name","E":time,"s":"SYMBOL"`
fn head(out: &mut Vec<u8>, name: &str, ts_ns: u64, instrument: &Instrument, unit: TimeUnit) {
    out.reserve(EVENT_BYTES);
    out.extend_from_slice(b"{\"e\":\"");
    out.extend_from_slice(name.as_bytes());
    integer(out, b"\",\"E\":", unit.of_ns(ts_ns));
    symbol(out, b",\"s\":\"", instrument);
}

fn symbol(out: &mut Vec<u8>, key: &[u8], instrument: &Instrument) {
    out.extend_from_slice(key);
    out.extend_from_slice(instrument.symbol.as_str().as_bytes());
    out.push(b'"');
}

/// A number; `key` is everything up to its digits.
fn integer(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A decimal and its closing quote; `key` is everything up to its digits.
fn decimal(out: &mut Vec<u8>, key: &[u8], mantissa: i64, exponent: i8) {
    out.extend_from_slice(key);
    write_padded(out, mantissa, exponent);
    out.push(b'"');
}

/// `["price","quantity"],…]`; `key` is everything up to the first level.
fn levels(
    out: &mut Vec<u8>,
    key: &[u8],
    levels: impl Iterator<Item = (i64, i64)>,
    instrument: &Instrument,
) {
    out.extend_from_slice(key);
    let mut open: &[u8] = b"[\"";
    for (price, quantity) in levels {
        decimal(out, open, price, instrument.price_exponent);
        decimal(out, b",\"", quantity, instrument.quantity_exponent);
        out.push(b']');
        open = b",[\"";
    }
    out.push(b']');
}

fn group_levels(
    out: &mut Vec<u8>,
    key: &[u8],
    group: &[Tick],
    side: Side,
    instrument: &Instrument,
) {
    let of_side = group.iter().flat_map(Tick::depth_levels).filter(|level| level.side == side);
    levels(out, key, of_side.map(|level| (level.price, level.quantity)), instrument);
}

/// No `e` and no `E`: clients know it by that.
fn quote(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument) {
    let quote = tick.quote();
    let (price, quantity) = (instrument.price_exponent, instrument.quantity_exponent);
    out.reserve(EVENT_BYTES);
    integer(out, b"{\"u\":", quote.update_id);
    symbol(out, b",\"s\":\"", instrument);
    decimal(out, b",\"b\":\"", quote.bid_price, price);
    decimal(out, b",\"B\":\"", quote.bid_quantity, quantity);
    decimal(out, b",\"a\":\"", quote.ask_price, price);
    decimal(out, b",\"A\":\"", quote.ask_quantity, quantity);
    out.push(b'}');
}

fn trade(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument, style: Style) {
    let trade = tick.trade();
    head(out, "trade", tick.ts_event_ns, instrument, style.unit);
    integer(out, b",\"t\":", trade.trade_id);
    decimal(out, b",\"p\":\"", trade.price, instrument.price_exponent);
    decimal(out, b",\"q\":\"", trade.quantity, instrument.quantity_exponent);
    integer(out, b",\"T\":", style.unit.of_ns(trade.ts_trade_ns));
    boolean(out, b",\"m\":", trade.buyer_is_maker);
    out.extend_from_slice(match style.trade_ids {
        LegacyTradeIds::Omit => b",\"M\":true}",
        LegacyTradeIds::Append => b",\"M\":true,\"b\":0,\"a\":0}",
    });
}

fn agg_trade(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument, unit: TimeUnit) {
    let trade = tick.agg_trade();
    head(out, "aggTrade", tick.ts_event_ns, instrument, unit);
    integer(out, b",\"a\":", trade.agg_id);
    decimal(out, b",\"p\":\"", trade.price, instrument.price_exponent);
    decimal(out, b",\"q\":\"", trade.quantity, instrument.quantity_exponent);
    integer(out, b",\"f\":", trade.first_trade_id);
    integer(out, b",\"l\":", trade.last_trade_id);
    integer(out, b",\"T\":", unit.of_ns(trade.ts_trade_ns));
    boolean(out, b",\"m\":", trade.buyer_is_maker);
    out.extend_from_slice(b",\"M\":true}");
}

fn update_head(
    out: &mut Vec<u8>,
    ts_event_ns: u64,
    first_update_id: u64,
    last_update_id: u64,
    instrument: &Instrument,
    unit: TimeUnit,
) {
    head(out, "depthUpdate", ts_event_ns, instrument, unit);
    integer(out, b",\"U\":", first_update_id);
    integer(out, b",\"u\":", last_update_id);
}

fn depth_group(out: &mut Vec<u8>, group: &[Tick], instrument: &Instrument, unit: TimeUnit) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let (first_update_id, last_update_id) = first.update_ids();
    update_head(out, last.ts_event_ns, first_update_id, last_update_id, instrument, unit);
    group_levels(out, b",\"b\":[", group, Side::Bid, instrument);
    group_levels(out, b",\"a\":[", group, Side::Ask, instrument);
    out.push(b'}');
}

/// A partial book that the hub keeps like a depth group.
fn partial_group(out: &mut Vec<u8>, group: &[Tick], instrument: &Instrument) {
    let Some(last) = group.last() else { return };
    integer(out, b"{\"lastUpdateId\":", last.update_ids().1);
    group_levels(out, b",\"bids\":[", group, Side::Bid, instrument);
    group_levels(out, b",\"asks\":[", group, Side::Ask, instrument);
    out.push(b'}');
}

fn bar(
    out: &mut Vec<u8>,
    interval: Interval,
    tick: &Tick,
    instrument: &Instrument,
    unit: TimeUnit,
) {
    let bar = tick.bar();
    let (price, quantity) = (instrument.price_exponent, instrument.quantity_exponent);
    head(out, "kline", tick.ts_event_ns, instrument, unit);
    integer(out, b",\"k\":{\"t\":", unit.of_ns(bar.ts_open_ns));
    // The last moment of the interval in the unit of times.
    integer(out, b",\"T\":", unit.of_ns(interval.around(bar.ts_open_ns).1).saturating_sub(1));
    symbol(out, b",\"s\":\"", instrument);
    out.extend_from_slice(b",\"i\":\"");
    out.extend_from_slice(interval.name().as_bytes());
    integer(out, b"\",\"f\":", bar.first_trade_id);
    integer(out, b",\"L\":", bar.last_trade_id());
    decimal(out, b",\"o\":\"", bar.open, price);
    decimal(out, b",\"c\":\"", bar.close, price);
    decimal(out, b",\"h\":\"", bar.high, price);
    decimal(out, b",\"l\":\"", bar.low, price);
    decimal(out, b",\"v\":\"", bar.volume, quantity);
    integer(out, b",\"n\":", bar.trades);
    boolean(out, b",\"x\":", bar.is_final);
    decimal(out, b",\"q\":\"", bar.quote_volume, price);
    decimal(out, b",\"V\":\"", bar.taker_volume, quantity);
    decimal(out, b",\"Q\":\"", bar.taker_quote_volume, price);
    out.extend_from_slice(b",\"B\":\"0\"}}");
}

fn average(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument, unit: TimeUnit) {
    let average = tick.average();
    head(out, "avgPrice", tick.ts_event_ns, instrument, unit);
    integer(out, b",\"i\":\"", u64::from(average.minutes));
    decimal(out, b"m\",\"w\":\"", average.price, instrument.price_exponent);
    integer(out, b",\"T\":", unit.of_ns(average.ts_trade_ns));
    out.push(b'}');
}
