//! A frame: one recorded message of the venue, parsed into integers.
//!
//! The four kinds of frame that market data is made of: trade, best bid and offer, depth event, and
//! the depth snapshot of the venue's REST interface (which names no symbol). Formats: the venue's
//! `web-socket-streams.md` and `rest-api.md`. Members that the venue documents are kept; others, such
//! as the order ids that trades had until June 2024, are skipped.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use wire::decimal::{DecimalError, parse_mantissa};
use wire::{GROUP_LEVELS_MAX, Level, Quote, Side, Trade};

use super::error::Fault;

/// The venue writes all prices and quantities with eight decimals. Keeping all eight keeps its text
/// digit for digit.
pub(super) const EXPONENT: i8 = -8;

/// What a frame says. The levels of the last two are in [`Parser::levels`], bids first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Trade { ts_event_ns: u64, trade: Trade },
    Quote(Quote),
    Depth { ts_event_ns: u64, first_update_id: u64, last_update_id: u64 },
    Snapshot { last_update_id: u64 },
}

/// Parses frames, reusing its memory.
pub(super) struct Parser {
    buffers: simd_json::Buffers,
    levels: Vec<Level>,
    symbol: String,
}

/// The members of all kinds of frame; which must be there, the stream's name says.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    stream: Option<&'a str>,
    #[serde(borrow)]
    data: Option<Payload<'a>>,
    #[serde(rename = "lastUpdateId")]
    last_update_id: Option<u64>,
    #[serde(borrow)]
    bids: Option<Field<'a>>,
    #[serde(borrow)]
    asks: Option<Field<'a>>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "E")]
    event_time: Option<u64>,
    #[serde(rename = "s")]
    symbol: Option<&'a str>,
    #[serde(rename = "t")]
    trade_id: Option<u64>,
    #[serde(rename = "p")]
    price: Option<&'a str>,
    #[serde(rename = "q")]
    quantity: Option<&'a str>,
    #[serde(rename = "T")]
    trade_time: Option<u64>,
    #[serde(rename = "m")]
    buyer_is_maker: Option<bool>,
    #[serde(rename = "U")]
    first_update_id: Option<u64>,
    #[serde(rename = "u")]
    last_update_id: Option<u64>,
    #[serde(rename = "b", borrow)]
    bid: Option<Field<'a>>,
    #[serde(rename = "B")]
    bid_quantity: Option<&'a str>,
    #[serde(rename = "a", borrow)]
    ask: Option<Field<'a>>,
    #[serde(rename = "A")]
    ask_quantity: Option<&'a str>,
}

/// `b` and `a`: a price in bookTicker, levels in depth, an order id in old trades.
enum Field<'a> {
    Price(&'a str),
    Levels(Vec<Pair<'a>>),
    OrderId,
}

/// `[price, quantity]`; the venue once documented a third element, which is skipped.
struct Pair<'a> {
    price: &'a str,
    quantity: &'a str,
}

impl Parser {
    pub(super) fn new() -> Self {
        Self { buffers: simd_json::Buffers::new(4096), levels: Vec::new(), symbol: String::new() }
    }

    /// The levels of the last depth event or snapshot: bids, then asks, in the venue's order.
    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The symbol that the last frame named; empty: it named none, as snapshots do.
    pub(super) fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Parses one frame; its text is overwritten.
    pub(super) fn parse(&mut self, text: &mut [u8]) -> Result<Frame, Fault> {
        let Self { buffers, levels, symbol } = self;
        symbol.clear();
        levels.clear();
        let envelope: Envelope<'_> =
            simd_json::serde::from_slice_with_buffers(text, buffers).map_err(Fault::Json)?;
        let Some(stream) = envelope.stream else {
            return parse_snapshot(&envelope, levels);
        };
        let unknown = || Fault::Stream(stream.to_owned());
        let (base, channel) = stream.split_once('@').ok_or_else(unknown)?;
        let kind = Kind::of(channel).ok_or_else(unknown)?;
        let frame = kind.name();
        let data = envelope.data.as_ref().ok_or(Fault::Member { frame, member: "data" })?;
        symbol.push_str(require(data.symbol, frame, "s")?);
        if !base.eq_ignore_ascii_case(symbol) {
            return Err(Fault::Symbol { expected: base.to_uppercase(), found: symbol.clone() });
        }
        match kind {
            Kind::Trade => parse_trade(data),
            Kind::Quote => parse_quote(data),
            Kind::Depth => parse_depth(data, levels),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Trade,
    Quote,
    Depth,
}

impl Kind {
    fn of(channel: &str) -> Option<Self> {
        match channel {
            "trade" => Some(Self::Trade),
            "bookTicker" => Some(Self::Quote),
            "depth" => Some(Self::Depth),
            _ => channel.strip_prefix("depth@")?.ends_with("ms").then_some(Self::Depth),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Quote => "bookTicker",
            Self::Depth => "depthUpdate",
        }
    }
}

fn parse_trade(data: &Payload<'_>) -> Result<Frame, Fault> {
    let frame = "trade";
    Ok(Frame::Trade {
        ts_event_ns: time_ns(data.event_time, frame, "E")?,
        trade: Trade {
            price: mantissa(require(data.price, frame, "p")?)?,
            quantity: mantissa(require(data.quantity, frame, "q")?)?,
            trade_id: require(data.trade_id, frame, "t")?,
            ts_trade_ns: time_ns(data.trade_time, frame, "T")?,
            buyer_is_maker: require(data.buyer_is_maker, frame, "m")?,
        },
    })
}

fn parse_quote(data: &Payload<'_>) -> Result<Frame, Fault> {
    let frame = "bookTicker";
    let price = |field: &Option<Field<'_>>, member| match field {
        Some(Field::Price(text)) => mantissa(text),
        _ => Err(Fault::Member { frame, member }),
    };
    Ok(Frame::Quote(Quote {
        bid_price: price(&data.bid, "b")?,
        bid_quantity: mantissa(require(data.bid_quantity, frame, "B")?)?,
        ask_price: price(&data.ask, "a")?,
        ask_quantity: mantissa(require(data.ask_quantity, frame, "A")?)?,
        update_id: require(data.last_update_id, frame, "u")?,
    }))
}

fn parse_depth(data: &Payload<'_>, levels: &mut Vec<Level>) -> Result<Frame, Fault> {
    let frame = "depthUpdate";
    let ts_event_ns = time_ns(data.event_time, frame, "E")?;
    let first = require(data.first_update_id, frame, "U")?;
    let last = require(data.last_update_id, frame, "u")?;
    if first > last {
        return Err(Fault::UpdateIds { first, last });
    }
    push_levels(levels, Side::Bid, data.bid.as_ref(), frame, "b")?;
    push_levels(levels, Side::Ask, data.ask.as_ref(), frame, "a")?;
    Ok(Frame::Depth { ts_event_ns, first_update_id: first, last_update_id: last })
}

fn parse_snapshot(envelope: &Envelope<'_>, levels: &mut Vec<Level>) -> Result<Frame, Fault> {
    let Some(last_update_id) = envelope.last_update_id else {
        return Err(Fault::Member { frame: "combined-stream", member: "stream" });
    };
    let frame = "snapshot";
    push_levels(levels, Side::Bid, envelope.bids.as_ref(), frame, "bids")?;
    push_levels(levels, Side::Ask, envelope.asks.as_ref(), frame, "asks")?;
    Ok(Frame::Snapshot { last_update_id })
}

fn push_levels(
    out: &mut Vec<Level>,
    side: Side,
    field: Option<&Field<'_>>,
    frame: &'static str,
    member: &'static str,
) -> Result<(), Fault> {
    let Some(Field::Levels(levels)) = field else {
        return Err(Fault::Member { frame, member });
    };
    if out.len() + levels.len() > GROUP_LEVELS_MAX {
        return Err(Fault::Levels(out.len() + levels.len()));
    }
    for Pair { price, quantity } in levels {
        out.push(Level { side, price: mantissa(price)?, quantity: mantissa(quantity)? });
    }
    Ok(())
}

fn require<T>(value: Option<T>, frame: &'static str, member: &'static str) -> Result<T, Fault> {
    value.ok_or(Fault::Member { frame, member })
}

fn mantissa(text: &str) -> Result<i64, Fault> {
    let not_negative = |mantissa: i64| match mantissa {
        0.. => Ok(mantissa),
        _ => Err(DecimalError::Character),
    };
    parse_mantissa(text, EXPONENT)
        .and_then(not_negative)
        .map_err(|error| Fault::Decimal { text: text.to_owned(), error })
}

/// The venue's times are in ms, or in µs on connections that asked for it: from 10^14 on it is µs (as
/// ms that would be the year 5138, as µs it is 1973).
fn time_ns(time: Option<u64>, frame: &'static str, member: &'static str) -> Result<u64, Fault> {
    let fault = Fault::Member { frame, member };
    let Some(time) = time else { return Err(fault) };
    let unit_ns = if time < 100_000_000_000_000 { 1_000_000 } else { 1_000 };
    time.checked_mul(unit_ns).ok_or(fault)
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a price or an array of [price, quantity]")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Price(text))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Field::OrderId)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::OrderId)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut levels = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(GROUP_LEVELS_MAX));
        while let Some(level) = seq.next_element::<Pair<'de>>()? {
            if levels.len() > GROUP_LEVELS_MAX {
                return Err(A::Error::custom("more price levels than a depth event can have"));
            }
            levels.push(level);
        }
        Ok(Field::Levels(levels))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pair<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PairVisitor)
    }
}

struct PairVisitor;

impl<'de> Visitor<'de> for PairVisitor {
    type Value = Pair<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of price and quantity")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let price = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let quantity = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Pair { price, quantity })
    }
}
