//! Market messages as the generator reads them: only what latency and accounting need.
//!
//! Binary messages are read at the protocol's fixed offsets and skipped by their block lengths, so a
//! later schema version is no obstacle; that is some nanoseconds a message. JSON is parsed in earnest
//! and costs a hundred times that: the report's own CPU figures say when it is the limit.

use std::collections::HashMap;

use serde::Deserialize;
use wire::sbe::{HEADER_BYTES, Template, snapshot_flags};
use wire::{Channel, GapReason};

use crate::generator::ledger::{Rule, TopicKey};

/// One message, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Data {
        topic: TopicKey,
        rule: Rule,
        seq: u64,
        ts_event_ns: u64,
        ring_delay_ns: u32,
    },
    Gap {
        topic: TopicKey,
        reason: GapReason,
        first_seq: u64,
        count: u64,
    },
    /// Definitions, heartbeats, feed status, templates of a later version.
    Other,
}

/// A WebSocket message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed market message")]
pub(crate) struct Malformed;

const BLOCK_LENGTH: usize = 0;
const TEMPLATE_ID: usize = 2;
const TS_EVENT: usize = 8;
const SEQ: usize = 16;
const INSTRUMENT: usize = 24;
const RING_DELAY: usize = 28;
/// PartialDepth: channel. DepthSnapshot: flags.
const BOOK_DETAIL: usize = 40;
const BAR_CHANNEL: usize = 120;
const GROUP_HEADER_BYTES: usize = 4;

const TRADE: u16 = Template::Trade.id();
const QUOTE: u16 = Template::Quote.id();
const DEPTH_UPDATE: u16 = Template::DepthUpdate.id();
const PARTIAL_DEPTH: u16 = Template::PartialDepth.id();
const DEPTH_SNAPSHOT: u16 = Template::DepthSnapshot.id();
const TICKER: u16 = Template::Ticker.id();
const BAR: u16 = Template::Bar.id();
const STATUS: u16 = Template::Status.id();
const GAP: u16 = Template::Gap.id();

/// Visits each message of a binary WebSocket message, in order.
pub(crate) fn read_sbe(payload: &[u8], mut visit: impl FnMut(Item)) -> Result<(), Malformed> {
    let mut rest = payload;
    while !rest.is_empty() {
        let template = u16_at(rest, TEMPLATE_ID).ok_or(Malformed)?;
        let block = HEADER_BYTES + usize::from(u16_at(rest, BLOCK_LENGTH).ok_or(Malformed)?);
        let head = rest.get(..block).ok_or(Malformed)?;
        let byte = |at: usize| head.get(at).copied().ok_or(Malformed);
        let (channel, rule, groups) = match template {
            QUOTE => (Channel::Quote.code(), Rule::Contiguous, 0),
            TRADE => (Channel::Trade.code(), Rule::Contiguous, 0),
            DEPTH_UPDATE => (Channel::Depth.code(), Rule::Contiguous, 2),
            PARTIAL_DEPTH => (byte(BOOK_DETAIL)?, Rule::Rising, 2),
            DEPTH_SNAPSHOT if byte(BOOK_DETAIL)? & snapshot_flags::FIRST != 0 => {
                (Channel::Depth.code(), Rule::Contiguous, 2)
            }
            DEPTH_SNAPSHOT => (Channel::Depth.code(), Rule::Part, 2),
            TICKER => (Channel::Ticker.code(), Rule::Contiguous, 0),
            BAR => (byte(BAR_CHANNEL)?, Rule::Contiguous, 0),
            STATUS => (Channel::Status.code(), Rule::Contiguous, 0),
            GAP => {
                rest = read_gaps(&rest[block..], &mut visit)?;
                continue;
            }
            _ => {
                visit(Item::Other);
                rest = &rest[block..];
                continue;
            }
        };
        let instrument = u32_at(head, INSTRUMENT).ok_or(Malformed)?;
        visit(Item::Data {
            topic: TopicKey::new(instrument, channel).ok_or(Malformed)?,
            rule,
            seq: u64_at(head, SEQ).ok_or(Malformed)?,
            ts_event_ns: u64_at(head, TS_EVENT).ok_or(Malformed)?,
            ring_delay_ns: u32_at(head, RING_DELAY).ok_or(Malformed)?,
        });
        rest = &rest[block..];
        for _ in 0..groups {
            let (_, _, behind) = group(rest)?;
            rest = behind;
        }
    }
    Ok(())
}

/// A group's entries, their size, and what stands behind it.
fn group(bytes: &[u8]) -> Result<(&[u8], usize, &[u8]), Malformed> {
    let entry = usize::from(u16_at(bytes, 0).ok_or(Malformed)?);
    let count = usize::from(u16_at(bytes, 2).ok_or(Malformed)?);
    let behind = bytes.get(GROUP_HEADER_BYTES..).ok_or(Malformed)?;
    let (entries, rest) = behind.split_at_checked(entry * count).ok_or(Malformed)?;
    Ok((entries, entry, rest))
}

fn read_gaps<'a>(bytes: &'a [u8], visit: &mut impl FnMut(Item)) -> Result<&'a [u8], Malformed> {
    let (entries, len, rest) = group(bytes)?;
    if len == 0 {
        return if entries.is_empty() { Ok(rest) } else { Err(Malformed) };
    }
    for entry in entries.chunks_exact(len) {
        let instrument = u32_at(entry, 16).ok_or(Malformed)?;
        let (channel, reason) = (entry.get(20), entry.get(21));
        visit(Item::Gap {
            topic: channel.and_then(|code| TopicKey::new(instrument, *code)).ok_or(Malformed)?,
            reason: reason.and_then(|code| GapReason::from_code(*code)).ok_or(Malformed)?,
            first_seq: u64_at(entry, 0).ok_or(Malformed)?,
            count: u64_at(entry, 8).ok_or(Malformed)?,
        });
    }
    Ok(rest)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Reads JSON messages; symbols become numbers of its own, one space per worker.
#[derive(Default)]
pub(crate) struct JsonReader {
    instruments: HashMap<Box<str>, u32>,
}

#[derive(Deserialize)]
struct Event<'a> {
    e: &'a str,
    s: Option<&'a str>,
    seq: Option<&'a str>,
    ts: Option<&'a str>,
    delay: Option<u32>,
    /// Of a snapshot.
    first: Option<bool>,
    gaps: Option<Vec<Gap<'a>>>,
}

#[derive(Deserialize)]
struct Gap<'a> {
    topic: &'a str,
    reason: &'a str,
    first: &'a str,
    count: &'a str,
}

impl JsonReader {
    /// Visits each event of a text WebSocket message, in order.
    pub(crate) fn read(
        &mut self,
        payload: &[u8],
        mut visit: impl FnMut(Item),
    ) -> Result<(), Malformed> {
        let events: Vec<Event<'_>> = serde_json::from_slice(payload).map_err(|_| Malformed)?;
        for event in events {
            for gap in event.gaps.iter().flatten() {
                let (symbol, channel) = gap.topic.rsplit_once('.').ok_or(Malformed)?;
                let channel = Channel::parse(channel).ok_or(Malformed)?;
                let mut reasons = GapReason::ALL.into_iter();
                visit(Item::Gap {
                    topic: self.topic(symbol, channel).ok_or(Malformed)?,
                    reason: reasons.find(|it| it.name() == gap.reason).ok_or(Malformed)?,
                    first_seq: gap.first.parse().map_err(|_| Malformed)?,
                    count: gap.count.parse().map_err(|_| Malformed)?,
                });
            }
            let (Some(symbol), Some(seq), Some(ts)) = (event.s, event.seq, event.ts) else {
                if event.gaps.is_none() {
                    visit(Item::Other);
                }
                continue;
            };
            let (channel, rule) = match event.e {
                "snapshot" if event.first == Some(true) => (Channel::Depth, Rule::Contiguous),
                "snapshot" => (Channel::Depth, Rule::Part),
                name => match Channel::parse(name).ok_or(Malformed)? {
                    partial if partial.partial_levels().is_some() => (partial, Rule::Rising),
                    channel => (channel, Rule::Contiguous),
                },
            };
            visit(Item::Data {
                topic: self.topic(symbol, channel).ok_or(Malformed)?,
                rule,
                seq: seq.parse().map_err(|_| Malformed)?,
                ts_event_ns: ts.parse().map_err(|_| Malformed)?,
                ring_delay_ns: event.delay.unwrap_or(0),
            });
        }
        Ok(())
    }

    fn topic(&mut self, symbol: &str, channel: Channel) -> Option<TopicKey> {
        let id = match self.instruments.get(symbol) {
            Some(id) => *id,
            None => {
                let id = u32::try_from(self.instruments.len()).ok()?;
                self.instruments.insert(symbol.into(), id);
                id
            }
        };
        TopicKey::new(id, channel.code())
    }
}

#[cfg(test)]
mod tests {
    use wire::{
        DepthHead, Encoding, GapEntry, Instrument, Interval, Kind, Level, Quote, Side,
        SnapshotPart, Symbol, Tick, Trade, TradingStatus,
    };

    use super::*;

    fn instrument() -> Instrument {
        Instrument {
            id: 0,
            symbol: Symbol::new("BTCUSDT").unwrap(),
            base_len: 3,
            price_exponent: -2,
            quantity_exponent: -5,
            tick_size: 1,
            lot_size: 1,
            channels: u64::MAX >> 40,
        }
    }

    /// One of everything, in one encoding.
    fn everything(encoding: Encoding) -> Vec<u8> {
        let instrument = instrument();
        let mut out = Vec::new();
        encoding.open(&mut out);
        encoding.definition(&mut out, &instrument, 7);
        let quote =
            Quote { bid_price: 1, bid_quantity: 2, ask_price: 3, ask_quantity: 4, update_id: 5 };
        let trade =
            Trade { price: 1, quantity: 2, trade_id: 3, ts_trade_ns: 4, buyer_is_maker: true };
        let bar = Tick::new(Kind::Data(Channel::Bar(Interval::SECOND)), 0, 1_004);
        let mut depth = Vec::new();
        let level = |price| Level { side: Side::Ask, price, quantity: 1 };
        Tick::push_depth(&mut depth, 0, 1_003, 1..=2, &[1, 2, 3, 4, 5].map(level));
        let singles = [
            Tick::from_quote(0, 1_001, &quote),
            Tick::from_trade(0, 1_002, &trade),
            Tick::from_status(0, 1_003, TradingStatus::Halted),
            bar,
        ];
        for (seq, mut tick) in (11..).zip(singles) {
            tick.seq = seq;
            encoding.separator(&mut out);
            encoding.entry(&mut out, &[tick], &instrument);
        }
        for tick in &mut depth {
            tick.seq = 20;
        }
        encoding.separator(&mut out);
        encoding.entry(&mut out, &depth, &instrument);
        let head = DepthHead {
            ts_event_ns: 1_005,
            seq: 30,
            instrument: 0,
            ring_delay_ns: 9,
            first_update_id: 1,
            last_update_id: 2,
        };
        encoding.separator(&mut out);
        encoding.depth_snapshot(&mut out, &head, SnapshotPart::First, &[(1, 1)], &[], &instrument);
        encoding.separator(&mut out);
        encoding.depth_snapshot(&mut out, &head, SnapshotPart::Last, &[], &[(2, 1)], &instrument);
        encoding.separator(&mut out);
        let channel = Channel::Depth5;
        encoding.partial_depth(&mut out, channel, &head, &[(1, 1)], &[(2, 1)], &instrument);
        let gap = GapEntry {
            instrument: 0,
            channel: Channel::Quote,
            reason: GapReason::Conflated,
            first_seq: 12,
            count: 88,
        };
        encoding.separator(&mut out);
        encoding.gap(&mut out, 1_006, &[gap, gap], |_| Some(instrument.symbol));
        encoding.separator(&mut out);
        encoding.heartbeat(&mut out, 1_007, 7);
        encoding.close(&mut out);
        out
    }

    fn expected() -> Vec<Item> {
        let topic = |channel: Channel| TopicKey::new(0, channel.code()).unwrap();
        let data = |channel, rule, seq, ts_event_ns, ring_delay_ns| Item::Data {
            topic: topic(channel),
            rule,
            seq,
            ts_event_ns,
            ring_delay_ns,
        };
        let gap = Item::Gap {
            topic: topic(Channel::Quote),
            reason: GapReason::Conflated,
            first_seq: 12,
            count: 88,
        };
        vec![
            Item::Other,
            data(Channel::Quote, Rule::Contiguous, 11, 1_001, 0),
            data(Channel::Trade, Rule::Contiguous, 12, 1_002, 0),
            data(Channel::Status, Rule::Contiguous, 13, 1_003, 0),
            data(Channel::Bar(Interval::SECOND), Rule::Contiguous, 14, 1_004, 0),
            data(Channel::Depth, Rule::Contiguous, 20, 1_003, 0),
            data(Channel::Depth, Rule::Contiguous, 30, 1_005, 9),
            data(Channel::Depth, Rule::Part, 30, 1_005, 9),
            data(Channel::Depth5, Rule::Rising, 30, 1_005, 9),
            gap,
            gap,
            Item::Other,
        ]
    }

    #[test]
    fn everything_binary_is_read() {
        let bytes = everything(Encoding::Sbe);
        let mut items = Vec::new();
        read_sbe(&bytes, |item| items.push(item)).unwrap();
        assert_eq!(items, expected());
    }

    #[test]
    fn everything_json_is_read() {
        let bytes = everything(Encoding::Json);
        let mut items = Vec::new();
        JsonReader::default().read(&bytes, |item| items.push(item)).unwrap();
        assert_eq!(items, expected());
    }

    #[test]
    fn no_cut_off_message_is_read_as_whole() {
        let bytes = everything(Encoding::Sbe);
        let mut ends = std::collections::HashSet::new();
        for cut in 0..bytes.len() {
            let mut items = 0;
            if read_sbe(&bytes[..cut], |_| items += 1).is_ok() {
                ends.insert(items);
            }
        }
        // Only at the ends of messages: 0 to 9 items, then the gap message of two entries.
        assert_eq!(ends.len(), 11, "{ends:?}");
    }
}
