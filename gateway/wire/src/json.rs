//! The text encoding, `tickcast.v1.json`: the same events as [`crate::sbe`] as JSON objects.
//!
//! Every function appends one object; [`Encoding`](crate::Encoding) puts the array around them.
//! `e` names the event, for market data the channel, so that `s` and `e` together are the topic.
//! Decimals and 64-bit integers are strings and exact. Nothing is formatted through `fmt`, and
//! nothing is allocated besides the buffer's own growth.

use crate::body::{Bar, Side, Trade};
use crate::decimal::write_decimal;
use crate::event::{DepthHead, FeedState, GapEntry, SnapshotPart};
use crate::instrument::{Instrument, Symbol};
use crate::tick::{Kind, Tick, flags};
use crate::topic::Channel;

/// Room for any event without levels, so that its buffer grows at most once.
const EVENT_BYTES: usize = 512;

/// Appends the object of one entry: a tick, or all ticks of a depth group. A partial book is one too
/// if it is kept as a group of its channel's kind, best levels first.
///
/// Nothing is written for what is not market data: control records are not entries.
pub fn entry(out: &mut Vec<u8>, entry: &[Tick], instrument: &Instrument) {
    let Some(tick) = entry.last() else { return };
    let Ok(Kind::Data(channel)) = tick.kind() else { return };
    match channel {
        Channel::Quote => quote(out, tick, instrument),
        Channel::Trade => trade(out, tick, instrument),
        Channel::Depth => depth_group(out, entry, instrument),
        Channel::Ticker => ticker(out, tick, instrument),
        Channel::Bar(_) => bar(out, channel, tick, instrument),
        Channel::Status => status(out, tick, instrument),
        Channel::AggTrade => agg_trade(out, tick, instrument),
        Channel::Rolling(_) => rolling(out, channel, tick, instrument),
        Channel::Average => average(out, tick, instrument),
        Channel::Depth5 | Channel::Depth10 | Channel::Depth20 => {
            partial_group(out, channel, entry, instrument);
        }
    }
}

/// `{"e":"…","s":"…","seq":"…","ts":"…","delay":…`
fn head(out: &mut Vec<u8>, name: &str, instrument: &Instrument, head: &DepthHead) {
    out.reserve(EVENT_BYTES);
    out.extend_from_slice(b"{\"e\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"s\":\"");
    out.extend_from_slice(instrument.symbol.as_str().as_bytes());
    out.extend_from_slice(b"\",\"seq\":\"");
    integer(out, head.seq);
    out.extend_from_slice(b"\",\"ts\":\"");
    integer(out, head.ts_event_ns);
    out.extend_from_slice(b"\",\"delay\":");
    integer(out, u64::from(head.ring_delay_ns));
}

fn tick_head(out: &mut Vec<u8>, channel: Channel, tick: &Tick, instrument: &Instrument) {
    head(out, channel.name(), instrument, &depth_head(tick, tick.update_ids()));
}

const fn depth_head(tick: &Tick, update_ids: (u64, u64)) -> DepthHead {
    DepthHead {
        ts_event_ns: tick.ts_event_ns,
        seq: tick.seq,
        instrument: tick.instrument,
        ring_delay_ns: tick.ring_delay_ns(),
        first_update_id: update_ids.0,
        last_update_id: update_ids.1,
    }
}

fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `,"name":"digits"`; `key` is everything up to the digits.
fn field(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    integer(out, value);
    out.push(b'"');
}

fn decimal(out: &mut Vec<u8>, key: &[u8], mantissa: i64, exponent: i8) {
    out.extend_from_slice(key);
    write_decimal(out, mantissa, exponent);
    out.push(b'"');
}

/// A truth value; `key` is everything before it.
pub(crate) fn boolean(out: &mut Vec<u8>, key: &[u8], value: bool) {
    out.extend_from_slice(key);
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn quote(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument) {
    let quote = tick.quote();
    let (price, quantity) = (instrument.price_exponent, instrument.quantity_exponent);
    tick_head(out, Channel::Quote, tick, instrument);
    decimal(out, b",\"bid\":\"", quote.bid_price, price);
    decimal(out, b",\"bid_qty\":\"", quote.bid_quantity, quantity);
    decimal(out, b",\"ask\":\"", quote.ask_price, price);
    decimal(out, b",\"ask_qty\":\"", quote.ask_quantity, quantity);
    out.push(b'}');
}

fn trade(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument) {
    let trade = tick.trade();
    tick_head(out, Channel::Trade, tick, instrument);
    out.push(b',');
    trade_members(out, &trade, instrument);
}

/// Appends a trade without the head of an event, as an object of its own.
pub fn trade_object(out: &mut Vec<u8>, trade: &Trade, instrument: &Instrument) {
    out.push(b'{');
    trade_members(out, trade, instrument);
}

/// The members of a trade, and the end of its object.
fn trade_members(out: &mut Vec<u8>, trade: &Trade, instrument: &Instrument) {
    decimal(out, b"\"price\":\"", trade.price, instrument.price_exponent);
    decimal(out, b",\"qty\":\"", trade.quantity, instrument.quantity_exponent);
    field(out, b",\"id\":\"", trade.trade_id);
    field(out, b",\"ts_trade\":\"", trade.ts_trade_ns);
    maker(out, trade.buyer_is_maker);
}

/// The last member of trades, and their end.
fn maker(out: &mut Vec<u8>, buyer_is_maker: bool) {
    let maker: &[u8] = if buyer_is_maker { b"bid" } else { b"ask" };
    out.extend_from_slice(b",\"maker\":\"");
    out.extend_from_slice(maker);
    out.extend_from_slice(b"\"}");
}

fn depth_group(out: &mut Vec<u8>, group: &[Tick], instrument: &Instrument) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let replaces = first.flags & flags::REPLACES_BOOK != 0;
    let event = depth_head(last, first.update_ids());
    update_head(out, &event, Merge::Single, replaces, instrument);
    group_sides(out, group, instrument);
}

/// A partial book that the hub keeps like a depth group.
fn partial_group(out: &mut Vec<u8>, channel: Channel, group: &[Tick], instrument: &Instrument) {
    let Some(last) = group.last() else { return };
    tick_head(out, channel, last, instrument);
    field(out, b",\"update_id\":\"", last.update_ids().1);
    group_sides(out, group, instrument);
}

fn group_sides(out: &mut Vec<u8>, group: &[Tick], instrument: &Instrument) {
    for side in [Side::Bid, Side::Ask] {
        let levels = group.iter().flat_map(Tick::depth_levels).filter(|level| level.side == side);
        side_levels(out, side, levels.map(|level| (level.price, level.quantity)), instrument);
    }
    out.push(b'}');
}

/// Whether a change set is one group or stands for several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    Single,
    Merged,
}

fn update_head(
    out: &mut Vec<u8>,
    event: &DepthHead,
    merge: Merge,
    replaces: bool,
    instrument: &Instrument,
) {
    head(out, Channel::Depth.name(), instrument, event);
    field(out, b",\"first_id\":\"", event.first_update_id);
    field(out, b",\"last_id\":\"", event.last_update_id);
    boolean(out, b",\"merged\":", merge == Merge::Merged);
    boolean(out, b",\"replaces\":", replaces);
}

/// `,"bids":[["price","quantity"],…]`
fn side_levels(
    out: &mut Vec<u8>,
    side: Side,
    levels: impl Iterator<Item = (i64, i64)>,
    instrument: &Instrument,
) {
    out.extend_from_slice(match side {
        Side::Bid => b",\"bids\":[",
        Side::Ask => b",\"asks\":[",
    });
    let mut open: &[u8] = b"[\"";
    for (price, quantity) in levels {
        out.extend_from_slice(open);
        write_decimal(out, price, instrument.price_exponent);
        out.extend_from_slice(b"\",\"");
        write_decimal(out, quantity, instrument.quantity_exponent);
        out.extend_from_slice(b"\"]");
        open = b",[\"";
    }
    out.push(b']');
}

fn both_sides(
    out: &mut Vec<u8>,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    instrument: &Instrument,
) {
    side_levels(out, Side::Bid, bids.iter().copied(), instrument);
    side_levels(out, Side::Ask, asks.iter().copied(), instrument);
    out.push(b'}');
}

/// Appends one change set that stands for several depth groups.
pub fn merged_depth(
    out: &mut Vec<u8>,
    head: &DepthHead,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    instrument: &Instrument,
) {
    update_head(out, head, Merge::Merged, false, instrument);
    both_sides(out, bids, asks, instrument);
}

/// Appends the best levels of each side, best first.
pub fn partial_depth(
    out: &mut Vec<u8>,
    channel: Channel,
    head: &DepthHead,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    instrument: &Instrument,
) {
    self::head(out, channel.name(), instrument, head);
    field(out, b",\"update_id\":\"", head.last_update_id);
    both_sides(out, bids, asks, instrument);
}

/// Appends a part of a book snapshot, best levels first.
pub fn depth_snapshot(
    out: &mut Vec<u8>,
    head: &DepthHead,
    part: SnapshotPart,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    instrument: &Instrument,
) {
    self::head(out, "snapshot", instrument, head);
    field(out, b",\"update_id\":\"", head.last_update_id);
    boolean(out, b",\"first\":", part.is_first());
    boolean(out, b",\"last\":", part.is_last());
    both_sides(out, bids, asks, instrument);
}

fn ticker(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument) {
    let ticker = tick.ticker();
    let (price, quantity) = (instrument.price_exponent, instrument.quantity_exponent);
    tick_head(out, Channel::Ticker, tick, instrument);
    decimal(out, b",\"open\":\"", ticker.open, price);
    decimal(out, b",\"high\":\"", ticker.high, price);
    decimal(out, b",\"low\":\"", ticker.low, price);
    decimal(out, b",\"last\":\"", ticker.last, price);
    decimal(out, b",\"last_qty\":\"", ticker.last_quantity, quantity);
    decimal(out, b",\"volume\":\"", ticker.volume, quantity);
    decimal(out, b",\"quote_volume\":\"", ticker.quote_volume, price);
    decimal(out, b",\"prev_close\":\"", ticker.previous_close, price);
    field(out, b",\"first_id\":\"", ticker.first_trade_id);
    field(out, b",\"last_id\":\"", ticker.last_trade_id);
    field(out, b",\"trades\":\"", ticker.trades);
    out.push(b'}');
}

fn bar(out: &mut Vec<u8>, channel: Channel, tick: &Tick, instrument: &Instrument) {
    let bar = tick.bar();
    tick_head(out, channel, tick, instrument);
    out.push(b',');
    bar_members(out, &bar, instrument);
}

/// Appends a bar without the head of an event, as an object of its own.
pub fn bar_object(out: &mut Vec<u8>, bar: &Bar, instrument: &Instrument) {
    out.push(b'{');
    bar_members(out, bar, instrument);
}

/// The members of a bar, and the end of its object.
fn bar_members(out: &mut Vec<u8>, bar: &Bar, instrument: &Instrument) {
    let (price, quantity) = (instrument.price_exponent, instrument.quantity_exponent);
    field(out, b"\"ts_open\":\"", bar.ts_open_ns);
    decimal(out, b",\"open\":\"", bar.open, price);
    decimal(out, b",\"high\":\"", bar.high, price);
    decimal(out, b",\"low\":\"", bar.low, price);
    decimal(out, b",\"close\":\"", bar.close, price);
    decimal(out, b",\"volume\":\"", bar.volume, quantity);
    decimal(out, b",\"quote_volume\":\"", bar.quote_volume, price);
    decimal(out, b",\"taker_volume\":\"", bar.taker_volume, quantity);
    decimal(out, b",\"taker_quote_volume\":\"", bar.taker_quote_volume, price);
    field(out, b",\"first_id\":\"", bar.first_trade_id);
    field(out, b",\"trades\":\"", bar.trades);
    boolean(out, b",\"final\":", bar.is_final);
    out.push(b'}');
}

fn agg_trade(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument) {
    let trade = tick.agg_trade();
    tick_head(out, Channel::AggTrade, tick, instrument);
    decimal(out, b",\"price\":\"", trade.price, instrument.price_exponent);
    decimal(out, b",\"qty\":\"", trade.quantity, instrument.quantity_exponent);
    field(out, b",\"id\":\"", trade.agg_id);
    field(out, b",\"first_id\":\"", trade.first_trade_id);
    field(out, b",\"last_id\":\"", trade.last_trade_id);
    field(out, b",\"ts_trade\":\"", trade.ts_trade_ns);
    maker(out, trade.buyer_is_maker);
}

fn rolling(out: &mut Vec<u8>, channel: Channel, tick: &Tick, instrument: &Instrument) {
    let ticker = tick.rolling();
    let (price, quantity) = (instrument.price_exponent, instrument.quantity_exponent);
    tick_head(out, channel, tick, instrument);
    field(out, b",\"ts_open\":\"", ticker.ts_open_ns);
    decimal(out, b",\"open\":\"", ticker.open, price);
    decimal(out, b",\"high\":\"", ticker.high, price);
    decimal(out, b",\"low\":\"", ticker.low, price);
    decimal(out, b",\"last\":\"", ticker.last, price);
    decimal(out, b",\"volume\":\"", ticker.volume, quantity);
    decimal(out, b",\"quote_volume\":\"", ticker.quote_volume, price);
    field(out, b",\"first_id\":\"", ticker.first_trade_id);
    field(out, b",\"last_id\":\"", ticker.last_trade_id);
    field(out, b",\"trades\":\"", ticker.trades);
    out.push(b'}');
}

fn average(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument) {
    let average = tick.average();
    tick_head(out, Channel::Average, tick, instrument);
    decimal(out, b",\"price\":\"", average.price, instrument.price_exponent);
    out.extend_from_slice(b",\"minutes\":");
    integer(out, u64::from(average.minutes));
    field(out, b",\"ts_trade\":\"", average.ts_trade_ns);
    out.push(b'}');
}

fn status(out: &mut Vec<u8>, tick: &Tick, instrument: &Instrument) {
    let Ok(status) = tick.status() else { return };
    tick_head(out, Channel::Status, tick, instrument);
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(status.name().as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Appends which sequence numbers are skipped and why. An instrument without a symbol (there is
/// none: definitions precede first use) would be written as `#id`.
pub fn gap(
    out: &mut Vec<u8>,
    ts_ns: u64,
    entries: &[GapEntry],
    symbol_of: impl Fn(u32) -> Option<Symbol>,
) {
    field(out, b"{\"e\":\"gap\",\"ts\":\"", ts_ns);
    out.extend_from_slice(b",\"gaps\":[");
    let mut open: &[u8] = b"{\"topic\":\"";
    for entry in entries {
        out.extend_from_slice(open);
        match symbol_of(entry.instrument) {
            Some(symbol) => out.extend_from_slice(symbol.as_str().as_bytes()),
            None => {
                out.push(b'#');
                integer(out, u64::from(entry.instrument));
            }
        }
        out.push(b'.');
        out.extend_from_slice(entry.channel.name().as_bytes());
        out.extend_from_slice(b"\",\"reason\":\"");
        out.extend_from_slice(entry.reason.name().as_bytes());
        field(out, b"\",\"first\":\"", entry.first_seq);
        field(out, b",\"count\":\"", entry.count);
        out.push(b'}');
        open = b",{\"topic\":\"";
    }
    out.extend_from_slice(b"]}");
}

/// Appends what a symbol means in this epoch.
pub fn definition(out: &mut Vec<u8>, instrument: &Instrument, epoch: u64) {
    let symbol = instrument.symbol.as_str();
    let base = symbol.get(..usize::from(instrument.base_len)).unwrap_or_default();
    out.extend_from_slice(b"{\"e\":\"definition\",\"s\":\"");
    out.extend_from_slice(symbol.as_bytes());
    out.extend_from_slice(b"\",\"instrument\":");
    integer(out, u64::from(instrument.id));
    field(out, b",\"epoch\":\"", epoch);
    out.extend_from_slice(b",\"base\":\"");
    out.extend_from_slice(base.as_bytes());
    out.extend_from_slice(b"\",\"price_exponent\":");
    write_decimal(out, i64::from(instrument.price_exponent), 0);
    out.extend_from_slice(b",\"quantity_exponent\":");
    write_decimal(out, i64::from(instrument.quantity_exponent), 0);
    decimal(out, b",\"tick_size\":\"", instrument.tick_size, instrument.price_exponent);
    decimal(out, b",\"lot_size\":\"", instrument.lot_size, instrument.quantity_exponent);
    out.extend_from_slice(b",\"channels\":[");
    let mut open: &[u8] = b"\"";
    for channel in Channel::all().filter(|channel| channel.is_native() && instrument.has(*channel))
    {
        out.extend_from_slice(open);
        out.extend_from_slice(channel.name().as_bytes());
        out.push(b'"');
        open = b",\"";
    }
    out.extend_from_slice(b"]}");
}

/// Appends a sign of life.
pub fn heartbeat(out: &mut Vec<u8>, ts_ns: u64, epoch: u64) {
    field(out, b"{\"e\":\"heartbeat\",\"ts\":\"", ts_ns);
    field(out, b",\"epoch\":\"", epoch);
    out.push(b'}');
}

/// Appends what became of the feed.
pub fn feed_status(out: &mut Vec<u8>, ts_ns: u64, epoch: u64, state: FeedState) {
    field(out, b"{\"e\":\"feed\",\"ts\":\"", ts_ns);
    field(out, b",\"epoch\":\"", epoch);
    out.extend_from_slice(b",\"state\":\"");
    out.extend_from_slice(state.name().as_bytes());
    out.extend_from_slice(b"\"}");
}
