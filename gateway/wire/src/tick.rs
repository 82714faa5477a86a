//! The tick: the fixed-size record that travels from a feed through the ring into the logs.
//!
//! A tick is 15 little-endian words, 120 bytes: with the ring's own slot sequence number exactly two
//! cache lines. It is plain integers throughout (mantissas, never floats) and keeps what the venue
//! said, so that the venue's own frames can be written again from it byte for byte.
//!
//! Words 0 to 3 are the same for all ticks; the body's meaning depends on the tick's [`Kind`]. The
//! typed views ([`Quote`], [`Trade`], …) are how code reads and writes bodies.
//!
//! A venue's depth event has many level changes. It travels as a *group*: consecutive ticks of one
//! topic with one sequence number, the first flagged [`flags::BEGIN`], the last [`flags::END`],
//! up to four levels in each. A group is applied, delivered and merged whole or not at all.
//!
//! What a tick is not: what clients receive. Their binary messages are in [`crate::sbe`].

mod kind;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::body::{
    AggTrade, Average, Bar, Level, Quote, RollingTicker, Side, Ticker, Trade, TradingStatus,
};
use crate::instrument::{DECIMALS_MAX, Instrument, SYMBOL_MAX, Symbol};
use crate::topic::{CHANNEL_COUNT, Channel, Window};
pub use kind::{Kind, Presence};

#[cfg(not(target_endian = "little"))]
compile_error!("ticks are little-endian in memory; big-endian hosts are not supported");

/// Words in a tick.
pub const TICK_WORDS: usize = 15;

/// Level changes that fit in one tick of a depth group.
pub const LEVELS_PER_TICK: usize = 4;

/// The most level changes of one group; the recordings' largest has 1,076. At 2 KiB of ticks per 64
/// levels a group of this size is 480 KiB, a small part of any log.
pub const GROUP_LEVELS_MAX: usize = 16_384;

/// Bits of [`Tick::flags`].
pub mod flags {
    /// First tick of a group.
    pub const BEGIN: u8 = 1;
    /// Last tick of a group; a group of one has both.
    pub const END: u8 = 1 << 1;
    /// Trade: the buyer was the maker, that is, a sell order hit the bid.
    pub const BUYER_IS_MAKER: u8 = 1 << 2;
    /// Depth: the group replaces the book instead of changing it (a venue's own snapshot).
    pub const REPLACES_BOOK: u8 = 1 << 3;
    /// Bar: the interval is over and the bar will not change any more.
    pub const FINAL: u8 = 1 << 4;
    /// Definition and presence: the instrument is [`Detached`](super::Presence::Detached).
    pub const DETACHED: u8 = 1 << 5;
}

/// One record of the stream. Layout is a contract between processes: see `docs/protocol/`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Tick {
    /// When it happened, by the venue's clock (for `pulse`: when it was due), ns since the epoch.
    pub ts_event_ns: u64,
    /// When it entered the ring, by the feed's clock, ns since the epoch.
    pub ts_ring_ns: u64,
    /// Number within its topic and epoch, from 1, without holes.
    pub seq: u64,
    /// The instrument's id.
    pub instrument: u32,
    /// A [`Kind`]'s code: a channel's, or a control record's.
    pub kind: u8,
    /// A set of [`flags`].
    pub flags: u8,
    /// Depth: how many of the four levels are used. Bars and others: 0.
    pub levels: u8,
    /// Depth: bit i is set if level i is an ask.
    pub sides: u8,
    /// What the kind says it is.
    pub body: [u64; 11],
}

/// Why a record is not a valid tick. Records come from shared memory and buses: nothing is assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TickError {
    /// The kind's code means nothing.
    #[error("unknown kind of tick {0:#04x}")]
    Kind(u8),
    /// Partial depth is derived from books where it is served: it never travels as ticks.
    #[error("{0} is derived from depth and never published")]
    Derived(Channel),
    /// More levels than fit.
    #[error("a tick has at most 4 levels, not {0}")]
    Levels(u8),
    /// A definition whose symbol or exponents are not valid.
    #[error("malformed instrument definition")]
    Definition,
    /// A status code without meaning.
    #[error("unknown trading status {0}")]
    Status(u64),
}

impl Tick {
    /// A tick of this kind with an empty body; `ts_ring_ns` and `seq` are set when it is published.
    #[must_use]
    pub const fn new(kind: Kind, instrument: u32, ts_event_ns: u64) -> Self {
        Self {
            ts_event_ns,
            ts_ring_ns: 0,
            seq: 0,
            instrument,
            kind: kind.code(),
            flags: flags::BEGIN | flags::END,
            levels: 0,
            sides: 0,
            body: [0; 11],
        }
    }

    /// The tick as the ring's words.
    #[must_use]
    pub fn to_words(self) -> [u64; TICK_WORDS] {
        zerocopy::transmute!(self)
    }

    /// The tick that these words are. Every pattern is one; [`Tick::validate`] says if it has meaning.
    #[must_use]
    pub fn from_words(words: [u64; TICK_WORDS]) -> Self {
        zerocopy::transmute!(words)
    }

    /// What the tick is about.
    ///
    /// # Errors
    /// If the code means nothing.
    pub const fn kind(&self) -> Result<Kind, TickError> {
        match Kind::from_code(self.kind) {
            Some(kind) => Ok(kind),
            None => Err(TickError::Kind(self.kind)),
        }
    }

    /// Checks everything that can be wrong in a record written by another process.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn validate(&self) -> Result<Kind, TickError> {
        let kind = self.kind()?;
        match kind {
            Kind::Data(channel) if channel.partial_levels().is_some() => {
                return Err(TickError::Derived(channel));
            }
            Kind::Data(Channel::Depth) if usize::from(self.levels) > LEVELS_PER_TICK => {
                return Err(TickError::Levels(self.levels));
            }
            Kind::Data(Channel::Status) => {
                self.status()?;
            }
            Kind::Definition => {
                self.definition()?;
            }
            _ => {}
        }
        Ok(kind)
    }

    /// From the event to the ring, ns; 0 if the clocks disagree, saturated at 4.29 s.
    #[must_use]
    pub const fn ring_delay_ns(&self) -> u32 {
        let delay_ns = self.ts_ring_ns.saturating_sub(self.ts_event_ns);
        #[expect(clippy::cast_possible_truncation, reason = "not above u32::MAX in this branch")]
        if delay_ns < u32::MAX as u64 { delay_ns as u32 } else { u32::MAX }
    }

    /// Whether a group begins here. Ticks of other channels than depth are groups of one.
    #[must_use]
    pub const fn begins(&self) -> bool {
        self.flags & flags::BEGIN != 0
    }

    /// Whether a group ends here.
    #[must_use]
    pub const fn ends(&self) -> bool {
        self.flags & flags::END != 0
    }

    /// A quote.
    #[must_use]
    pub fn from_quote(instrument: u32, ts_event_ns: u64, quote: &Quote) -> Self {
        let mut tick = Self::new(Kind::Data(Channel::Quote), instrument, ts_event_ns);
        tick.body[0] = quote.bid_price.cast_unsigned();
        tick.body[1] = quote.bid_quantity.cast_unsigned();
        tick.body[2] = quote.ask_price.cast_unsigned();
        tick.body[3] = quote.ask_quantity.cast_unsigned();
        tick.body[4] = quote.update_id;
        tick
    }

    /// The body read as a quote.
    #[must_use]
    pub const fn quote(&self) -> Quote {
        Quote {
            bid_price: self.body[0].cast_signed(),
            bid_quantity: self.body[1].cast_signed(),
            ask_price: self.body[2].cast_signed(),
            ask_quantity: self.body[3].cast_signed(),
            update_id: self.body[4],
        }
    }

    /// A trade.
    #[must_use]
    pub fn from_trade(instrument: u32, ts_event_ns: u64, trade: &Trade) -> Self {
        let mut tick = Self::new(Kind::Data(Channel::Trade), instrument, ts_event_ns);
        tick.body[0] = trade.price.cast_unsigned();
        tick.body[1] = trade.quantity.cast_unsigned();
        tick.body[2] = trade.trade_id;
        tick.body[3] = trade.ts_trade_ns;
        if trade.buyer_is_maker {
            tick.flags |= flags::BUYER_IS_MAKER;
        }
        tick
    }

    /// The body read as a trade.
    #[must_use]
    pub const fn trade(&self) -> Trade {
        Trade {
            price: self.body[0].cast_signed(),
            quantity: self.body[1].cast_signed(),
            trade_id: self.body[2],
            ts_trade_ns: self.body[3],
            buyer_is_maker: self.flags & flags::BUYER_IS_MAKER != 0,
        }
    }

    /// One depth group: appends its ticks to `out`, bids and asks in the order given. An event
    /// without levels is still a group: its ids count.
    ///
    /// `first_update_id..=last_update_id` are the venue's book update ids that the event spans.
    pub fn push_depth(
        out: &mut Vec<Self>,
        instrument: u32,
        ts_event_ns: u64,
        update_ids: std::ops::RangeInclusive<u64>,
        levels: &[Level],
    ) {
        let start = out.len();
        let mut chunks = levels.chunks(LEVELS_PER_TICK);
        loop {
            let chunk = chunks.next();
            if chunk.is_none() && out.len() > start {
                break;
            }
            let mut tick = Self::new(Kind::Data(Channel::Depth), instrument, ts_event_ns);
            tick.flags = 0;
            tick.body[0] = *update_ids.start();
            tick.body[1] = *update_ids.end();
            for (i, level) in chunk.unwrap_or_default().iter().enumerate() {
                tick.body[2 + 2 * i] = level.price.cast_unsigned();
                tick.body[3 + 2 * i] = level.quantity.cast_unsigned();
                tick.sides |= u8::from(level.side == Side::Ask) << i;
                tick.levels += 1;
            }
            out.push(tick);
        }
        out[start].flags |= flags::BEGIN;
        out.last_mut().expect("pushed above").flags |= flags::END;
    }

    /// First and last of the venue's update ids that this depth group spans.
    #[must_use]
    pub const fn update_ids(&self) -> (u64, u64) {
        (self.body[0], self.body[1])
    }

    /// The level changes in this tick of a depth group.
    pub fn depth_levels(&self) -> impl Iterator<Item = Level> + '_ {
        (0..usize::from(self.levels).min(LEVELS_PER_TICK)).map(|i| Level {
            side: if self.sides >> i & 1 == 0 { Side::Bid } else { Side::Ask },
            price: self.body[2 + 2 * i].cast_signed(),
            quantity: self.body[3 + 2 * i].cast_signed(),
        })
    }

    /// A 24-hour ticker.
    #[must_use]
    pub fn from_ticker(instrument: u32, ts_event_ns: u64, ticker: &Ticker) -> Self {
        let mut tick = Self::new(Kind::Data(Channel::Ticker), instrument, ts_event_ns);
        tick.body = [
            ticker.open.cast_unsigned(),
            ticker.high.cast_unsigned(),
            ticker.low.cast_unsigned(),
            ticker.last.cast_unsigned(),
            ticker.last_quantity.cast_unsigned(),
            ticker.volume.cast_unsigned(),
            ticker.quote_volume.cast_unsigned(),
            ticker.previous_close.cast_unsigned(),
            ticker.first_trade_id,
            ticker.last_trade_id,
            ticker.trades,
        ];
        tick
    }

    /// The body read as a 24-hour ticker.
    #[must_use]
    pub const fn ticker(&self) -> Ticker {
        let b = &self.body;
        Ticker {
            open: b[0].cast_signed(),
            high: b[1].cast_signed(),
            low: b[2].cast_signed(),
            last: b[3].cast_signed(),
            last_quantity: b[4].cast_signed(),
            volume: b[5].cast_signed(),
            quote_volume: b[6].cast_signed(),
            previous_close: b[7].cast_signed(),
            first_trade_id: b[8],
            last_trade_id: b[9],
            trades: b[10],
        }
    }

    /// An aggregate trade.
    #[must_use]
    pub const fn from_agg_trade(instrument: u32, ts_event_ns: u64, trade: &AggTrade) -> Self {
        let mut tick = Self::new(Kind::Data(Channel::AggTrade), instrument, ts_event_ns);
        tick.body[0] = trade.price.cast_unsigned();
        tick.body[1] = trade.quantity.cast_unsigned();
        tick.body[2] = trade.agg_id;
        tick.body[3] = trade.ts_trade_ns;
        tick.body[4] = trade.first_trade_id;
        tick.body[5] = trade.last_trade_id;
        if trade.buyer_is_maker {
            tick.flags |= flags::BUYER_IS_MAKER;
        }
        tick
    }

    /// The body read as an aggregate trade.
    #[must_use]
    pub const fn agg_trade(&self) -> AggTrade {
        AggTrade {
            price: self.body[0].cast_signed(),
            quantity: self.body[1].cast_signed(),
            agg_id: self.body[2],
            ts_trade_ns: self.body[3],
            first_trade_id: self.body[4],
            last_trade_id: self.body[5],
            buyer_is_maker: self.flags & flags::BUYER_IS_MAKER != 0,
        }
    }

    /// A ticker of this window.
    #[must_use]
    pub const fn from_rolling(
        window: Window,
        instrument: u32,
        ts_event_ns: u64,
        ticker: &RollingTicker,
    ) -> Self {
        let mut tick = Self::new(Kind::Data(Channel::Rolling(window)), instrument, ts_event_ns);
        tick.body = [
            ticker.open.cast_unsigned(),
            ticker.high.cast_unsigned(),
            ticker.low.cast_unsigned(),
            ticker.last.cast_unsigned(),
            ticker.ts_open_ns,
            ticker.volume.cast_unsigned(),
            ticker.quote_volume.cast_unsigned(),
            0,
            ticker.first_trade_id,
            ticker.last_trade_id,
            ticker.trades,
        ];
        tick
    }

    /// The body read as a rolling ticker.
    #[must_use]
    pub const fn rolling(&self) -> RollingTicker {
        let b = &self.body;
        RollingTicker {
            ts_open_ns: b[4],
            open: b[0].cast_signed(),
            high: b[1].cast_signed(),
            low: b[2].cast_signed(),
            last: b[3].cast_signed(),
            volume: b[5].cast_signed(),
            quote_volume: b[6].cast_signed(),
            first_trade_id: b[8],
            last_trade_id: b[9],
            trades: b[10],
        }
    }

    /// An average price.
    #[must_use]
    pub const fn from_average(instrument: u32, ts_event_ns: u64, average: &Average) -> Self {
        let mut tick = Self::new(Kind::Data(Channel::Average), instrument, ts_event_ns);
        tick.body[0] = average.price.cast_unsigned();
        tick.body[1] = average.minutes as u64;
        tick.body[2] = average.ts_trade_ns;
        tick
    }

    /// The body read as an average price; minutes beyond 32 bits stay at the limit.
    #[must_use]
    pub const fn average(&self) -> Average {
        #[expect(clippy::cast_possible_truncation, reason = "not above u32::MAX in this branch")]
        let minutes = if self.body[1] < u32::MAX as u64 { self.body[1] as u32 } else { u32::MAX };
        Average { price: self.body[0].cast_signed(), minutes, ts_trade_ns: self.body[2] }
    }

    /// A bar of the channel's interval.
    ///
    /// # Panics
    /// If the channel is not a bar channel: the caller chose it.
    #[must_use]
    pub fn from_bar(channel: Channel, instrument: u32, ts_event_ns: u64, bar: &Bar) -> Self {
        assert!(matches!(channel, Channel::Bar(_)), "{channel} is not a bar channel");
        let mut tick = Self::new(Kind::Data(channel), instrument, ts_event_ns);
        if bar.is_final {
            tick.flags |= flags::FINAL;
        }
        tick.body = [
            bar.ts_open_ns,
            bar.open.cast_unsigned(),
            bar.high.cast_unsigned(),
            bar.low.cast_unsigned(),
            bar.close.cast_unsigned(),
            bar.volume.cast_unsigned(),
            bar.quote_volume.cast_unsigned(),
            bar.taker_volume.cast_unsigned(),
            bar.taker_quote_volume.cast_unsigned(),
            bar.first_trade_id,
            bar.trades,
        ];
        tick
    }

    /// The body read as a bar.
    #[must_use]
    pub const fn bar(&self) -> Bar {
        let b = &self.body;
        Bar {
            ts_open_ns: b[0],
            open: b[1].cast_signed(),
            high: b[2].cast_signed(),
            low: b[3].cast_signed(),
            close: b[4].cast_signed(),
            volume: b[5].cast_signed(),
            quote_volume: b[6].cast_signed(),
            taker_volume: b[7].cast_signed(),
            taker_quote_volume: b[8].cast_signed(),
            first_trade_id: b[9],
            trades: b[10],
            is_final: self.flags & flags::FINAL != 0,
        }
    }

    /// A change of an instrument's trading status.
    #[must_use]
    pub const fn from_status(instrument: u32, ts_event_ns: u64, status: TradingStatus) -> Self {
        let mut tick = Self::new(Kind::Data(Channel::Status), instrument, ts_event_ns);
        tick.body[0] = status as u64;
        tick
    }

    /// The body read as a trading status.
    ///
    /// # Errors
    /// If the code has no meaning.
    pub const fn status(&self) -> Result<TradingStatus, TickError> {
        match TradingStatus::from_code(self.body[0]) {
            Some(status) => Ok(status),
            None => Err(TickError::Status(self.body[0])),
        }
    }

    /// Defines an instrument.
    #[must_use]
    pub fn from_definition(instrument: &Instrument, ts_event_ns: u64) -> Self {
        let mut tick = Self::new(Kind::Definition, instrument.id, ts_event_ns);
        let text = instrument.symbol.as_str().as_bytes();
        let mut symbol = [0u8; SYMBOL_MAX];
        symbol[..text.len()].copy_from_slice(text);
        let words: [u64; SYMBOL_MAX / 8] = zerocopy::transmute!(symbol);
        tick.body[..4].copy_from_slice(&words);
        tick.body[4] = u64::from_le_bytes([
            u8::try_from(text.len()).expect("a symbol has at most 32 bytes"),
            instrument.base_len,
            instrument.price_exponent.cast_unsigned(),
            instrument.quantity_exponent.cast_unsigned(),
            0,
            0,
            0,
            0,
        ]);
        tick.body[5] = instrument.tick_size.cast_unsigned();
        tick.body[6] = instrument.lot_size.cast_unsigned();
        tick.body[7] = instrument.channels;
        tick
    }

    /// The body read as an instrument's definition.
    ///
    /// # Errors
    /// If the symbol, an exponent or the channels are not valid.
    pub fn definition(&self) -> Result<Instrument, TickError> {
        let words = [self.body[0], self.body[1], self.body[2], self.body[3]];
        let symbol: [u8; SYMBOL_MAX] = zerocopy::transmute!(words);
        let [len, base_len, price, quantity, ..] = self.body[4].to_le_bytes();
        let text = symbol.get(..usize::from(len)).ok_or(TickError::Definition)?;
        let text = std::str::from_utf8(text).map_err(|_| TickError::Definition)?;
        let exponent = |byte: u8| {
            let exponent = byte.cast_signed();
            let valid = exponent <= 0 && exponent.unsigned_abs() <= DECIMALS_MAX;
            if valid { Ok(exponent) } else { Err(TickError::Definition) }
        };
        let channels = self.body[7];
        if base_len > len || channels >> CHANNEL_COUNT != 0 {
            return Err(TickError::Definition);
        }
        Ok(Instrument {
            id: self.instrument,
            symbol: Symbol::new(text).map_err(|_| TickError::Definition)?,
            base_len,
            price_exponent: exponent(price)?,
            quantity_exponent: exponent(quantity)?,
            tick_size: self.body[5].cast_signed(),
            lot_size: self.body[6].cast_signed(),
            channels,
        })
    }

    /// The begin of an epoch.
    #[must_use]
    pub const fn from_epoch(epoch: u64, ts_event_ns: u64) -> Self {
        let mut tick = Self::new(Kind::Epoch, 0, ts_event_ns);
        tick.body[0] = epoch;
        tick
    }

    /// The epoch that begins with this tick.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.body[0]
    }

    /// Says whether the stream has an instrument's data from here on.
    #[must_use]
    pub const fn from_presence(instrument: u32, presence: Presence, ts_event_ns: u64) -> Self {
        Self::new(Kind::Presence, instrument, ts_event_ns).with_presence(presence)
    }

    /// The same definition or presence record with this presence.
    #[must_use]
    pub const fn with_presence(mut self, presence: Presence) -> Self {
        self.flags = match presence {
            Presence::Attached => self.flags & !flags::DETACHED,
            Presence::Detached => self.flags | flags::DETACHED,
        };
        self
    }

    /// Whether the stream has the data of the instrument that this record defines, or is about.
    #[must_use]
    pub const fn presence(&self) -> Presence {
        if self.flags & flags::DETACHED == 0 { Presence::Attached } else { Presence::Detached }
    }
}
