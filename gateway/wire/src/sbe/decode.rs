//! The decoder: an iterator over the messages of one binary WebSocket message.
//!
//! It never panics and copies no group. A newer gateway may append fields to root blocks and to
//! group entries: they are skipped by the lengths in the message. It may not append groups to
//! templates that exist, and sends new templates only to clients that negotiated their version:
//! SBE 1.0 gives a message no total length, so that a decoder that does not know the template
//! cannot find the next message. Meeting one all the same ends the iteration with
//! [`DecodeError::UnknownTemplate`]. A value without meaning is an error too, but the message's
//! length is known, so the iteration goes on behind it.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::encode::side_code;
use super::layout::{
    AggTradeMessage, AverageMessage, BarMessage, BookMessage, DefinitionMessage,
    DepthUpdateMessage, FeedStatusMessage, GapItem, GapMessage, GroupHeader, HEADER_BYTES, Head,
    Header, HeartbeatMessage, LevelEntry, PublishMessage, QuoteMessage, RollingTickerMessage,
    SCHEMA_ID, StatusMessage, Template, TickerMessage, TradeMessage, depth_flags, snapshot_flags,
};
use super::message::{
    DepthSnapshot, DepthUpdate, Entries, EventHead, Gap, GapEntries, Levels, Message, PartialDepth,
};
use crate::body::{
    AggTrade, Average, Bar, Quote, RollingTicker, Side, Ticker, Trade, TradingStatus,
};
use crate::event::{FeedState, SnapshotPart};
use crate::instrument::{DECIMALS_MAX, Instrument, Symbol};
use crate::topic::{Channel, NATIVE_CHANNELS};

/// Why bytes are not messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end within a message.
    #[error("the bytes end within a message: {needed} needed, {found} left")]
    Truncated {
        /// So many more bytes of the message must be there.
        needed: usize,
        /// So many are.
        found: usize,
    },
    /// The message is of another schema.
    #[error("a message of schema {0} instead of {SCHEMA_ID}")]
    Schema(u16),
    /// The template is not known, and hence not where the next message begins.
    #[error("unknown template {template} of schema version {version}")]
    UnknownTemplate {
        /// Its id.
        template: u16,
        /// The schema version in the header.
        version: u16,
    },
    /// A block is shorter than its known fields.
    #[error("a block of {found} bytes in {template:?} is too short: {needed} needed")]
    BlockTooShort {
        /// The message's template.
        template: Template,
        /// Bytes of the known fields.
        needed: usize,
        /// The block's length.
        found: usize,
    },
    /// A value has no meaning. The next message can be decoded all the same.
    #[error("field {field} of {template:?} has a value without meaning")]
    Value {
        /// The message's template.
        template: Template,
        /// The field, as in the schema.
        field: &'static str,
    },
}

/// The messages in `bytes`, which is the payload of one binary WebSocket message.
#[must_use]
pub const fn decode(bytes: &[u8]) -> Messages<'_> {
    Messages { bytes }
}

/// Iterator over messages that stand back to back.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    bytes: &'a [u8],
}

impl<'a> Messages<'a> {
    /// The bytes behind the last message, from which iteration would go on.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let mut cursor = match Cursor::new(self.bytes) {
            Ok(cursor) => cursor,
            Err(error) => {
                self.bytes = &[];
                return Some(Err(error));
            }
        };
        let message = cursor.message();
        self.bytes = match message {
            Ok(_) | Err(DecodeError::Value { .. }) => cursor.rest,
            Err(_) => &[],
        };
        Some(message)
    }
}

impl std::iter::FusedIterator for Messages<'_> {}

/// One message being decoded: what is behind its header and root block.
struct Cursor<'a> {
    template: Template,
    /// Header and root block.
    root: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let truncated = |needed| DecodeError::Truncated { needed, found: bytes.len() };
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| truncated(HEADER_BYTES))?;
        if header.schema_id.get() != SCHEMA_ID {
            return Err(DecodeError::Schema(header.schema_id.get()));
        }
        let (id, version) = (header.template_id.get(), header.version.get());
        let template =
            Template::from_id(id).ok_or(DecodeError::UnknownTemplate { template: id, version })?;
        let needed = usize::from(template.block_length());
        let found = usize::from(header.block_length.get());
        if found < needed {
            return Err(DecodeError::BlockTooShort { template, needed, found });
        }
        let length = HEADER_BYTES + found;
        let (root, rest) = bytes.split_at_checked(length).ok_or(truncated(length))?;
        Ok(Self { template, root, rest })
    }

    fn value(&self, field: &'static str) -> DecodeError {
        DecodeError::Value { template: self.template, field }
    }

    /// The known part of the root, which [`Cursor::new`] has found to be there.
    fn read<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, DecodeError> {
        let (root, _) = T::read_from_prefix(self.root).map_err(|_| DecodeError::Truncated {
            needed: size_of::<T>(),
            found: self.root.len(),
        })?;
        Ok(root)
    }

    /// Takes a group off, of whose entries at least `known` bytes must be there.
    fn group(&mut self, known: usize) -> Result<Entries<'a>, DecodeError> {
        let truncated =
            |needed, found: &[u8]| DecodeError::Truncated { needed, found: found.len() };
        let (header, rest) = GroupHeader::read_from_prefix(self.rest)
            .map_err(|_| truncated(size_of::<GroupHeader>(), self.rest))?;
        let stride = usize::from(header.block_length.get());
        let length = stride * usize::from(header.num_in_group.get());
        if header.num_in_group.get() > 0 && stride < known {
            let template = self.template;
            return Err(DecodeError::BlockTooShort { template, needed: known, found: stride });
        }
        let (entries, rest) = rest.split_at_checked(length).ok_or(truncated(length, rest))?;
        self.rest = rest;
        Ok(Entries::new(entries, stride))
    }

    fn levels(&mut self) -> Result<Levels<'a>, DecodeError> {
        self.group(size_of::<LevelEntry>()).map(Levels)
    }

    fn message(&mut self) -> Result<Message<'a>, DecodeError> {
        match self.template {
            Template::Trade => self.trade(),
            Template::Quote => self.quote(),
            Template::DepthUpdate => self.depth_update(),
            Template::PartialDepth => self.partial_depth(),
            Template::DepthSnapshot => self.depth_snapshot(),
            Template::Ticker => self.ticker(),
            Template::Bar => self.bar(),
            Template::Status => self.status(),
            Template::AggTrade => self.agg_trade(),
            Template::RollingTicker => self.rolling(),
            Template::Average => self.average(),
            Template::Gap => self.gap(),
            Template::Heartbeat => {
                let root: HeartbeatMessage = self.read()?;
                Ok(Message::Heartbeat { ts_ns: root.ts.get(), epoch: root.epoch.get() })
            }
            Template::Definition => self.definition(),
            Template::FeedStatus => {
                let root: FeedStatusMessage = self.read()?;
                let state = FeedState::from_code(root.state).ok_or(self.value("state"))?;
                Ok(Message::FeedStatus { ts_ns: root.ts.get(), epoch: root.epoch.get(), state })
            }
            Template::Publish => {
                let root: PublishMessage = self.read()?;
                Ok(Message::Publish { epoch: root.epoch.get(), request: root.request.get() })
            }
        }
    }

    fn trade(&self) -> Result<Message<'a>, DecodeError> {
        let root: TradeMessage = self.read()?;
        let trade = Trade {
            price: root.price.get(),
            quantity: root.quantity.get(),
            trade_id: root.trade_id.get(),
            ts_trade_ns: root.ts_trade.get(),
            buyer_is_maker: self.buyer_is_maker(root.maker_side)?,
        };
        Ok(Message::Trade(head(&root.head), trade))
    }

    fn buyer_is_maker(&self, maker_side: u8) -> Result<bool, DecodeError> {
        match maker_side {
            side if side == side_code(Side::Bid) => Ok(true),
            side if side == side_code(Side::Ask) => Ok(false),
            _ => Err(self.value("makerSide")),
        }
    }

    fn quote(&self) -> Result<Message<'a>, DecodeError> {
        let root: QuoteMessage = self.read()?;
        let quote = Quote {
            bid_price: root.bid_price.get(),
            bid_quantity: root.bid_quantity.get(),
            ask_price: root.ask_price.get(),
            ask_quantity: root.ask_quantity.get(),
            update_id: 0,
        };
        Ok(Message::Quote(head(&root.head), quote))
    }

    fn depth_update(&mut self) -> Result<Message<'a>, DecodeError> {
        let root: DepthUpdateMessage = self.read()?;
        Ok(Message::DepthUpdate(DepthUpdate {
            head: head(&root.head),
            first_update_id: root.first_update_id.get(),
            last_update_id: root.last_update_id.get(),
            is_merged: root.flags & depth_flags::MERGED != 0,
            replaces_book: root.flags & depth_flags::REPLACES_BOOK != 0,
            bids: self.levels()?,
            asks: self.levels()?,
        }))
    }

    fn partial_depth(&mut self) -> Result<Message<'a>, DecodeError> {
        let root: BookMessage = self.read()?;
        // The groups first: a bad channel must not hide where the next message begins.
        let (bids, asks) = (self.levels()?, self.levels()?);
        let channel = Channel::from_code(root.detail)
            .filter(|channel| channel.partial_levels().is_some())
            .ok_or(self.value("channel"))?;
        let (head, update_id) = (head(&root.head), root.update_id.get());
        Ok(Message::PartialDepth(PartialDepth { head, channel, update_id, bids, asks }))
    }

    fn depth_snapshot(&mut self) -> Result<Message<'a>, DecodeError> {
        let root: BookMessage = self.read()?;
        let is_first = root.detail & snapshot_flags::FIRST != 0;
        let is_last = root.detail & snapshot_flags::LAST != 0;
        Ok(Message::DepthSnapshot(DepthSnapshot {
            head: head(&root.head),
            part: SnapshotPart::from_ends(is_first, is_last),
            update_id: root.update_id.get(),
            bids: self.levels()?,
            asks: self.levels()?,
        }))
    }

    fn ticker(&self) -> Result<Message<'a>, DecodeError> {
        let root: TickerMessage = self.read()?;
        let ticker = Ticker {
            open: root.open.get(),
            high: root.high.get(),
            low: root.low.get(),
            last: root.last.get(),
            last_quantity: root.last_quantity.get(),
            volume: root.volume.get(),
            quote_volume: root.quote_volume.get(),
            previous_close: root.previous_close.get(),
            first_trade_id: root.first_trade_id.get(),
            last_trade_id: root.last_trade_id.get(),
            trades: root.trades.get(),
        };
        Ok(Message::Ticker(head(&root.head), ticker))
    }

    fn bar(&self) -> Result<Message<'a>, DecodeError> {
        let root: BarMessage = self.read()?;
        let channel = match Channel::from_native_code(root.channel) {
            Some(channel @ Channel::Bar(_)) => channel,
            _ => return Err(self.value("channel")),
        };
        let bar = Bar {
            ts_open_ns: root.ts_open.get(),
            open: root.open.get(),
            high: root.high.get(),
            low: root.low.get(),
            close: root.close.get(),
            volume: root.volume.get(),
            quote_volume: root.quote_volume.get(),
            taker_volume: root.taker_volume.get(),
            taker_quote_volume: root.taker_quote_volume.get(),
            first_trade_id: root.first_trade_id.get(),
            trades: root.trades.get(),
            is_final: match root.is_final {
                0 => false,
                1 => true,
                _ => return Err(self.value("isFinal")),
            },
        };
        Ok(Message::Bar(head(&root.head), channel, bar))
    }

    fn agg_trade(&self) -> Result<Message<'a>, DecodeError> {
        let root: AggTradeMessage = self.read()?;
        let trade = AggTrade {
            price: root.price.get(),
            quantity: root.quantity.get(),
            agg_id: root.agg_id.get(),
            first_trade_id: root.first_trade_id.get(),
            last_trade_id: root.last_trade_id.get(),
            ts_trade_ns: root.ts_trade.get(),
            buyer_is_maker: self.buyer_is_maker(root.maker_side)?,
        };
        Ok(Message::AggTrade(head(&root.head), trade))
    }

    fn rolling(&self) -> Result<Message<'a>, DecodeError> {
        let root: RollingTickerMessage = self.read()?;
        let channel = Channel::from_code(root.channel)
            .filter(|channel| matches!(channel, Channel::Rolling(_)))
            .ok_or(self.value("channel"))?;
        let ticker = RollingTicker {
            ts_open_ns: root.ts_open.get(),
            open: root.open.get(),
            high: root.high.get(),
            low: root.low.get(),
            last: root.last.get(),
            volume: root.volume.get(),
            quote_volume: root.quote_volume.get(),
            first_trade_id: root.first_trade_id.get(),
            last_trade_id: root.last_trade_id.get(),
            trades: root.trades.get(),
        };
        Ok(Message::Rolling(head(&root.head), channel, ticker))
    }

    fn average(&self) -> Result<Message<'a>, DecodeError> {
        let root: AverageMessage = self.read()?;
        let average = Average {
            price: root.price.get(),
            minutes: root.minutes.get(),
            ts_trade_ns: root.ts_trade.get(),
        };
        Ok(Message::Average(head(&root.head), average))
    }

    fn status(&self) -> Result<Message<'a>, DecodeError> {
        let root: StatusMessage = self.read()?;
        let status = TradingStatus::from_code(root.status.into()).ok_or(self.value("status"))?;
        Ok(Message::Status(head(&root.head), status))
    }

    fn gap(&mut self) -> Result<Message<'a>, DecodeError> {
        let root: GapMessage = self.read()?;
        let entries = self.group(size_of::<GapItem>())?;
        if GapEntries::unchecked(entries).any(|entry| entry.is_none()) {
            return Err(self.value("gaps"));
        }
        Ok(Message::Gap(Gap { ts_ns: root.ts.get(), entries: GapEntries(entries) }))
    }

    fn definition(&self) -> Result<Message<'a>, DecodeError> {
        let root: DefinitionMessage = self.read()?;
        let text = root.symbol.split(|&byte| byte == 0).next().unwrap_or_default();
        let symbol = std::str::from_utf8(text).ok().and_then(|text| Symbol::new(text).ok());
        let exponent = |exponent: i8, field| {
            let valid = exponent <= 0 && exponent.unsigned_abs() <= DECIMALS_MAX;
            if valid { Ok(exponent) } else { Err(self.value(field)) }
        };
        if usize::from(root.base_length) > text.len() {
            return Err(self.value("baseLength"));
        }
        let instrument = Instrument {
            id: root.instrument.get(),
            symbol: symbol.ok_or(self.value("symbol"))?,
            base_len: root.base_length,
            price_exponent: exponent(root.price_exponent, "priceExponent")?,
            quantity_exponent: exponent(root.quantity_exponent, "quantityExponent")?,
            tick_size: root.tick_size.get(),
            lot_size: root.lot_size.get(),
            // Channels of a newer gateway are none that this client could name.
            channels: u64::from(root.channels.get()) & NATIVE_CHANNELS,
        };
        Ok(Message::Definition { instrument, epoch: root.epoch.get() })
    }
}

const fn head(head: &Head) -> EventHead {
    EventHead {
        ts_event_ns: head.ts_event.get(),
        seq: head.seq.get(),
        instrument: head.instrument.get(),
        ring_delay_ns: head.ring_delay.get(),
    }
}
