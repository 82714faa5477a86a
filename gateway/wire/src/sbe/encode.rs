//! Encoders of the binary messages. Trades and quotes, which are nearly all of the traffic, are one
//! struct of known size copied to the end of the buffer.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{I64, U16, U32, U64};

use super::layout::{
    AggTradeMessage, AverageMessage, BarMessage, BookMessage, DefinitionMessage,
    DepthUpdateMessage, FeedStatusMessage, GapItem, GapMessage, GroupHeader, Head, Header,
    HeartbeatMessage, LevelEntry, PublishMessage, QuoteMessage, RollingTickerMessage, SCHEMA_ID,
    SCHEMA_VERSION, StatusMessage, Template, TickerMessage, TradeMessage, depth_flags,
    snapshot_flags,
};
use crate::body::Side;
use crate::event::{DepthHead, FeedState, GapEntry, SnapshotPart};
use crate::instrument::{Instrument, SYMBOL_MAX, Symbol};
use crate::tick::{GROUP_LEVELS_MAX, Kind, Tick, flags};
use crate::topic::{Channel, NATIVE_CHANNELS};

/// The most entries of any group, as in the schema. More gaps become several messages.
const GROUP_ENTRIES_MAX: usize = GROUP_LEVELS_MAX;

/// Appends the message of one entry: a tick, or all ticks of a depth group. A partial book is one too
/// if it is kept as a group of its channel's kind, best levels first.
///
/// Nothing is written for what is not market data: control records are not entries.
///
/// # Panics
/// If a depth group has more than [`GROUP_LEVELS_MAX`] levels on a side: hubs refuse such groups.
pub fn entry(out: &mut Vec<u8>, entry: &[Tick], _instrument: &Instrument) {
    let Some(tick) = entry.last() else { return };
    let Ok(Kind::Data(channel)) = tick.kind() else { return };
    match channel {
        Channel::Quote => quote(out, tick),
        Channel::Trade => trade(out, tick),
        Channel::Depth => depth_group(out, entry),
        Channel::Ticker => ticker(out, tick),
        Channel::Bar(_) => bar(out, channel, tick),
        Channel::Status => status(out, tick),
        Channel::AggTrade => agg_trade(out, tick),
        Channel::Rolling(_) => rolling(out, channel, tick),
        Channel::Average => average(out, tick),
        Channel::Depth5 | Channel::Depth10 | Channel::Depth20 => partial_group(out, channel, entry),
    }
}

const fn header(template: Template) -> Header {
    Header {
        block_length: U16::new(template.block_length()),
        template_id: U16::new(template.id()),
        schema_id: U16::new(SCHEMA_ID),
        version: U16::new(SCHEMA_VERSION),
    }
}

fn head(template: Template, tick: &Tick) -> Head {
    Head {
        header: header(template),
        ts_event: U64::new(tick.ts_event_ns),
        seq: U64::new(tick.seq),
        instrument: U32::new(tick.instrument),
        ring_delay: U32::new(tick.ring_delay_ns()),
    }
}

fn depth_head(template: Template, head: &DepthHead) -> Head {
    Head {
        header: header(template),
        ts_event: U64::new(head.ts_event_ns),
        seq: U64::new(head.seq),
        instrument: U32::new(head.instrument),
        ring_delay: U32::new(head.ring_delay_ns),
    }
}

fn quote(out: &mut Vec<u8>, tick: &Tick) {
    let quote = tick.quote();
    let message = QuoteMessage {
        head: head(Template::Quote, tick),
        bid_price: I64::new(quote.bid_price),
        bid_quantity: I64::new(quote.bid_quantity),
        ask_price: I64::new(quote.ask_price),
        ask_quantity: I64::new(quote.ask_quantity),
    };
    out.extend_from_slice(message.as_bytes());
}

fn trade(out: &mut Vec<u8>, tick: &Tick) {
    let trade = tick.trade();
    let message = TradeMessage {
        head: head(Template::Trade, tick),
        price: I64::new(trade.price),
        quantity: I64::new(trade.quantity),
        trade_id: U64::new(trade.trade_id),
        ts_trade: U64::new(trade.ts_trade_ns),
        maker_side: side_code(if trade.buyer_is_maker { Side::Bid } else { Side::Ask }),
    };
    out.extend_from_slice(message.as_bytes());
}

pub(super) const fn side_code(side: Side) -> u8 {
    match side {
        Side::Bid => 0,
        Side::Ask => 1,
    }
}

fn depth_group(out: &mut Vec<u8>, group: &[Tick]) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let (first_update_id, last_update_id) = first.update_ids();
    let replaces = first.flags & flags::REPLACES_BOOK != 0;
    let message = DepthUpdateMessage {
        head: head(Template::DepthUpdate, last),
        first_update_id: U64::new(first_update_id),
        last_update_id: U64::new(last_update_id),
        flags: if replaces { depth_flags::REPLACES_BOOK } else { 0 },
    };
    out.extend_from_slice(message.as_bytes());
    group_sides(out, group);
}

/// A partial book that the hub keeps like a depth group.
fn partial_group(out: &mut Vec<u8>, channel: Channel, group: &[Tick]) {
    let Some(last) = group.last() else { return };
    let message = BookMessage {
        head: head(Template::PartialDepth, last),
        update_id: U64::new(last.update_ids().1),
        detail: channel.code(),
    };
    out.extend_from_slice(message.as_bytes());
    group_sides(out, group);
}

fn group_sides(out: &mut Vec<u8>, group: &[Tick]) {
    for side in [Side::Bid, Side::Ask] {
        let count = group.iter().map(|tick| side_len(tick, side)).sum();
        group_header(out, size_of::<LevelEntry>(), count);
        for tick in group {
            for level in tick.depth_levels().filter(|level| level.side == side) {
                push_level(out, (level.price, level.quantity));
            }
        }
    }
}

/// How many of the tick's levels are of the side.
fn side_len(tick: &Tick, side: Side) -> usize {
    tick.depth_levels().filter(|level| level.side == side).count()
}

fn group_header(out: &mut Vec<u8>, entry_bytes: usize, count: usize) {
    assert!(count <= GROUP_ENTRIES_MAX, "{count} entries in one group");
    let block_length = u16::try_from(entry_bytes).expect("entries are at most 22 bytes");
    let num_in_group = u16::try_from(count).expect("checked above");
    let header =
        GroupHeader { block_length: U16::new(block_length), num_in_group: U16::new(num_in_group) };
    out.extend_from_slice(header.as_bytes());
    out.reserve(count * entry_bytes);
}

fn push_level(out: &mut Vec<u8>, (price, quantity): (i64, i64)) {
    let entry = LevelEntry { price: I64::new(price), quantity: I64::new(quantity) };
    out.extend_from_slice(entry.as_bytes());
}

fn level_groups(out: &mut Vec<u8>, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
    for side in [bids, asks] {
        group_header(out, size_of::<LevelEntry>(), side.len());
        for &level in side {
            push_level(out, level);
        }
    }
}

/// Appends one change set that stands for several depth groups.
///
/// # Panics
/// If a side has more than [`GROUP_LEVELS_MAX`] levels.
pub fn merged_depth(
    out: &mut Vec<u8>,
    head: &DepthHead,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    _instrument: &Instrument,
) {
    let message = DepthUpdateMessage {
        head: depth_head(Template::DepthUpdate, head),
        first_update_id: U64::new(head.first_update_id),
        last_update_id: U64::new(head.last_update_id),
        flags: depth_flags::MERGED,
    };
    out.extend_from_slice(message.as_bytes());
    level_groups(out, bids, asks);
}

/// Appends the best levels of each side, best first.
///
/// # Panics
/// If a side has more than [`GROUP_LEVELS_MAX`] levels.
pub fn partial_depth(
    out: &mut Vec<u8>,
    channel: Channel,
    head: &DepthHead,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    _instrument: &Instrument,
) {
    let message = BookMessage {
        head: depth_head(Template::PartialDepth, head),
        update_id: U64::new(head.last_update_id),
        detail: channel.code(),
    };
    out.extend_from_slice(message.as_bytes());
    level_groups(out, bids, asks);
}

/// Appends a part of a book snapshot, best levels first.
///
/// # Panics
/// If a side has more than [`GROUP_LEVELS_MAX`] levels.
pub fn depth_snapshot(
    out: &mut Vec<u8>,
    head: &DepthHead,
    part: SnapshotPart,
    bids: &[(i64, i64)],
    asks: &[(i64, i64)],
    _instrument: &Instrument,
) {
    let first = if part.is_first() { snapshot_flags::FIRST } else { 0 };
    let last = if part.is_last() { snapshot_flags::LAST } else { 0 };
    let message = BookMessage {
        head: depth_head(Template::DepthSnapshot, head),
        update_id: U64::new(head.last_update_id),
        detail: first | last,
    };
    out.extend_from_slice(message.as_bytes());
    level_groups(out, bids, asks);
}

fn ticker(out: &mut Vec<u8>, tick: &Tick) {
    let ticker = tick.ticker();
    let message = TickerMessage {
        head: head(Template::Ticker, tick),
        open: I64::new(ticker.open),
        high: I64::new(ticker.high),
        low: I64::new(ticker.low),
        last: I64::new(ticker.last),
        last_quantity: I64::new(ticker.last_quantity),
        volume: I64::new(ticker.volume),
        quote_volume: I64::new(ticker.quote_volume),
        previous_close: I64::new(ticker.previous_close),
        first_trade_id: U64::new(ticker.first_trade_id),
        last_trade_id: U64::new(ticker.last_trade_id),
        trades: U64::new(ticker.trades),
    };
    out.extend_from_slice(message.as_bytes());
}

fn bar(out: &mut Vec<u8>, channel: Channel, tick: &Tick) {
    let bar = tick.bar();
    let message = BarMessage {
        head: head(Template::Bar, tick),
        ts_open: U64::new(bar.ts_open_ns),
        open: I64::new(bar.open),
        high: I64::new(bar.high),
        low: I64::new(bar.low),
        close: I64::new(bar.close),
        volume: I64::new(bar.volume),
        quote_volume: I64::new(bar.quote_volume),
        taker_volume: I64::new(bar.taker_volume),
        taker_quote_volume: I64::new(bar.taker_quote_volume),
        first_trade_id: U64::new(bar.first_trade_id),
        trades: U64::new(bar.trades),
        channel: channel.code(),
        is_final: u8::from(bar.is_final),
    };
    out.extend_from_slice(message.as_bytes());
}

fn agg_trade(out: &mut Vec<u8>, tick: &Tick) {
    let trade = tick.agg_trade();
    let message = AggTradeMessage {
        head: head(Template::AggTrade, tick),
        price: I64::new(trade.price),
        quantity: I64::new(trade.quantity),
        agg_id: U64::new(trade.agg_id),
        first_trade_id: U64::new(trade.first_trade_id),
        last_trade_id: U64::new(trade.last_trade_id),
        ts_trade: U64::new(trade.ts_trade_ns),
        maker_side: side_code(if trade.buyer_is_maker { Side::Bid } else { Side::Ask }),
    };
    out.extend_from_slice(message.as_bytes());
}

fn rolling(out: &mut Vec<u8>, channel: Channel, tick: &Tick) {
    let ticker = tick.rolling();
    let message = RollingTickerMessage {
        head: head(Template::RollingTicker, tick),
        ts_open: U64::new(ticker.ts_open_ns),
        open: I64::new(ticker.open),
        high: I64::new(ticker.high),
        low: I64::new(ticker.low),
        last: I64::new(ticker.last),
        volume: I64::new(ticker.volume),
        quote_volume: I64::new(ticker.quote_volume),
        first_trade_id: U64::new(ticker.first_trade_id),
        last_trade_id: U64::new(ticker.last_trade_id),
        trades: U64::new(ticker.trades),
        channel: channel.code(),
    };
    out.extend_from_slice(message.as_bytes());
}

fn average(out: &mut Vec<u8>, tick: &Tick) {
    let average = tick.average();
    let message = AverageMessage {
        head: head(Template::Average, tick),
        price: I64::new(average.price),
        ts_trade: U64::new(average.ts_trade_ns),
        minutes: U32::new(average.minutes),
    };
    out.extend_from_slice(message.as_bytes());
}

fn status(out: &mut Vec<u8>, tick: &Tick) {
    let Ok(status) = tick.status() else { return };
    let message = StatusMessage { head: head(Template::Status, tick), status: status as u8 };
    out.extend_from_slice(message.as_bytes());
}

/// Appends which sequence numbers are skipped and why; several messages if there are very many.
/// Symbols are for the JSON twin of this function: here instruments are numbers.
pub fn gap(
    out: &mut Vec<u8>,
    ts_ns: u64,
    entries: &[GapEntry],
    _symbol_of: impl Fn(u32) -> Option<Symbol>,
) {
    for entries in entries.chunks(GROUP_ENTRIES_MAX) {
        let message = GapMessage { header: header(Template::Gap), ts: U64::new(ts_ns) };
        out.extend_from_slice(message.as_bytes());
        group_header(out, size_of::<GapItem>(), entries.len());
        for entry in entries {
            let item = GapItem {
                first_seq: U64::new(entry.first_seq),
                count: U64::new(entry.count),
                instrument: U32::new(entry.instrument),
                channel: entry.channel.code(),
                reason: entry.reason.code(),
            };
            out.extend_from_slice(item.as_bytes());
        }
    }
}

/// Appends what an instrument id means in this epoch.
pub fn definition(out: &mut Vec<u8>, instrument: &Instrument, epoch: u64) {
    let text = instrument.symbol.as_str().as_bytes();
    let mut symbol = [0; SYMBOL_MAX];
    symbol[..text.len()].copy_from_slice(text);
    let message = DefinitionMessage {
        header: header(Template::Definition),
        epoch: U64::new(epoch),
        instrument: U32::new(instrument.id),
        channels: U32::new(u32::try_from(instrument.channels & NATIVE_CHANNELS).unwrap_or(0)),
        tick_size: I64::new(instrument.tick_size),
        lot_size: I64::new(instrument.lot_size),
        price_exponent: instrument.price_exponent,
        quantity_exponent: instrument.quantity_exponent,
        base_length: instrument.base_len,
        symbol,
    };
    out.extend_from_slice(message.as_bytes());
}

/// Appends a sign of life.
pub fn heartbeat(out: &mut Vec<u8>, ts_ns: u64, epoch: u64) {
    let message = HeartbeatMessage {
        header: header(Template::Heartbeat),
        ts: U64::new(ts_ns),
        epoch: U64::new(epoch),
    };
    out.extend_from_slice(message.as_bytes());
}

/// Appends what became of the feed.
pub fn feed_status(out: &mut Vec<u8>, ts_ns: u64, epoch: u64, state: FeedState) {
    let message = FeedStatusMessage {
        header: header(Template::FeedStatus),
        ts: U64::new(ts_ns),
        epoch: U64::new(epoch),
        state: state.code(),
    };
    out.extend_from_slice(message.as_bytes());
}

/// Appends what a client's binary message begins with. Trades and quotes, as [`entry`] writes them,
/// stand behind it; their numbers are the gateway's to give.
pub fn publish(out: &mut Vec<u8>, epoch: u64, request: u64) {
    let message = PublishMessage {
        header: header(Template::Publish),
        epoch: U64::new(epoch),
        request: U64::new(request),
    };
    out.extend_from_slice(message.as_bytes());
}
