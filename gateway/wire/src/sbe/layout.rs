//! Layout of the binary messages: one packed struct per template, header included.
//!
//! `docs/protocol/tickcast-1.xml` says the same to other people's tools; the tests
//! in `sbe/schema.rs` hold the two together field by field. Structs have alignment 1, so that
//! messages can stand back to back, and no padding.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The `id` of the SBE schema.
pub const SCHEMA_ID: u16 = 7101;

/// The `version` of the SBE schema. Fields are only ever added at the end of blocks; a new kind of
/// message is a new template and goes only to clients that negotiated its version.
pub const SCHEMA_VERSION: u16 = 1;

/// Bytes of the message header.
pub const HEADER_BYTES: usize = size_of::<Header>();

/// Bits of the field `flags` of DepthUpdate.
pub mod depth_flags {
    /// Several groups are merged into this change set.
    pub const MERGED: u8 = 1;
    /// The levels replace the book instead of changing it.
    pub const REPLACES_BOOK: u8 = 1 << 1;
}

/// Bits of the field `flags` of DepthSnapshot.
pub mod snapshot_flags {
    /// The snapshot begins here.
    pub const FIRST: u8 = 1;
    /// The snapshot is complete with this.
    pub const LAST: u8 = 1 << 1;
}

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Template {
    /// One trade.
    Trade = 1,
    /// Best bid and offer.
    Quote = 2,
    /// Changes of the book.
    DepthUpdate = 3,
    /// The best levels of each side.
    PartialDepth = 4,
    /// The whole book, or a part of it.
    DepthSnapshot = 5,
    /// Statistics over 24 hours.
    Ticker = 6,
    /// Open, high, low, close of an interval.
    Bar = 7,
    /// Trading status of an instrument.
    Status = 8,
    /// Consecutive trades of one taker order at one price.
    AggTrade = 9,
    /// Statistics over the last hours.
    RollingTicker = 10,
    /// The average price of the last minutes.
    Average = 11,
    /// Sequence numbers that are skipped.
    Gap = 20,
    /// Nothing else to say.
    Heartbeat = 21,
    /// What an instrument id means.
    Definition = 22,
    /// What became of the feed.
    FeedStatus = 23,
    /// From clients: the messages behind it are ticks to be published.
    Publish = 40,
}

impl Template {
    /// All templates, by id.
    pub const ALL: [Self; 16] = [
        Self::Trade,
        Self::Quote,
        Self::DepthUpdate,
        Self::PartialDepth,
        Self::DepthSnapshot,
        Self::Ticker,
        Self::Bar,
        Self::Status,
        Self::AggTrade,
        Self::RollingTicker,
        Self::Average,
        Self::Gap,
        Self::Heartbeat,
        Self::Definition,
        Self::FeedStatus,
        Self::Publish,
    ];

    /// The template's id in message headers.
    #[must_use]
    pub const fn id(self) -> u16 {
        self as u16
    }

    /// The template with this id, if there is one.
    #[must_use]
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|template| template.id() == id)
    }

    /// Bytes of the root block, as in the header.
    #[must_use]
    pub const fn block_length(self) -> u16 {
        let bytes = match self {
            Self::Trade => size_of::<TradeMessage>(),
            Self::Quote => size_of::<QuoteMessage>(),
            Self::DepthUpdate => size_of::<DepthUpdateMessage>(),
            Self::PartialDepth | Self::DepthSnapshot => size_of::<BookMessage>(),
            Self::Ticker => size_of::<TickerMessage>(),
            Self::Bar => size_of::<BarMessage>(),
            Self::Status => size_of::<StatusMessage>(),
            Self::AggTrade => size_of::<AggTradeMessage>(),
            Self::RollingTicker => size_of::<RollingTickerMessage>(),
            Self::Average => size_of::<AverageMessage>(),
            Self::Gap => size_of::<GapMessage>(),
            Self::Heartbeat => size_of::<HeartbeatMessage>(),
            Self::Definition => size_of::<DefinitionMessage>(),
            Self::FeedStatus => size_of::<FeedStatusMessage>(),
            Self::Publish => size_of::<PublishMessage>(),
        };
        #[expect(clippy::cast_possible_truncation, reason = "the largest is 122 bytes")]
        let block_length = (bytes - HEADER_BYTES) as u16;
        block_length
    }
}

macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
        #[repr(C)]
        pub(crate) struct $name { $(pub(crate) $field: $type,)* }

        #[cfg(test)]
        impl $name {
            /// Name, offset and size of each field.
            pub(crate) fn fields() -> Vec<(&'static str, usize, usize)> {
                vec![$((
                    stringify!($field),
                    std::mem::offset_of!($name, $field),
                    size_of::<$type>(),
                ),)*]
            }
        }
    )*};
}

layout! {
    /// SBE's standard message header.
    Header {
        block_length: U16,
        template_id: U16,
        schema_id: U16,
        version: U16,
    }

    /// SBE's group header.
    GroupHeader {
        block_length: U16,
        num_in_group: U16,
    }

    /// What the root of every market-data message begins with, header included.
    Head {
        header: Header,
        ts_event: U64,
        seq: U64,
        instrument: U32,
        ring_delay: U32,
    }

    TradeMessage {
        head: Head,
        price: I64,
        quantity: I64,
        trade_id: U64,
        ts_trade: U64,
        maker_side: u8,
    }

    QuoteMessage {
        head: Head,
        bid_price: I64,
        bid_quantity: I64,
        ask_price: I64,
        ask_quantity: I64,
    }

    /// Groups of [`LevelEntry`] follow: bids, asks.
    DepthUpdateMessage {
        head: Head,
        first_update_id: U64,
        last_update_id: U64,
        flags: u8,
    }

    /// PartialDepth, whose `detail` is the channel, and DepthSnapshot, whose `detail` is flags.
    /// Groups of [`LevelEntry`] follow: bids, asks.
    BookMessage {
        head: Head,
        update_id: U64,
        detail: u8,
    }

    LevelEntry {
        price: I64,
        quantity: I64,
    }

    TickerMessage {
        head: Head,
        open: I64,
        high: I64,
        low: I64,
        last: I64,
        last_quantity: I64,
        volume: I64,
        quote_volume: I64,
        previous_close: I64,
        first_trade_id: U64,
        last_trade_id: U64,
        trades: U64,
    }

    BarMessage {
        head: Head,
        ts_open: U64,
        open: I64,
        high: I64,
        low: I64,
        close: I64,
        volume: I64,
        quote_volume: I64,
        taker_volume: I64,
        taker_quote_volume: I64,
        first_trade_id: U64,
        trades: U64,
        channel: u8,
        is_final: u8,
    }

    StatusMessage {
        head: Head,
        status: u8,
    }

    AggTradeMessage {
        head: Head,
        price: I64,
        quantity: I64,
        agg_id: U64,
        first_trade_id: U64,
        last_trade_id: U64,
        ts_trade: U64,
        maker_side: u8,
    }

    RollingTickerMessage {
        head: Head,
        ts_open: U64,
        open: I64,
        high: I64,
        low: I64,
        last: I64,
        volume: I64,
        quote_volume: I64,
        first_trade_id: U64,
        last_trade_id: U64,
        trades: U64,
        channel: u8,
    }

    AverageMessage {
        head: Head,
        price: I64,
        ts_trade: U64,
        minutes: U32,
    }

    /// A group of [`GapItem`] follows.
    GapMessage {
        header: Header,
        ts: U64,
    }

    GapItem {
        first_seq: U64,
        count: U64,
        instrument: U32,
        channel: u8,
        reason: u8,
    }

    HeartbeatMessage {
        header: Header,
        ts: U64,
        epoch: U64,
    }

    DefinitionMessage {
        header: Header,
        epoch: U64,
        instrument: U32,
        channels: U32,
        tick_size: I64,
        lot_size: I64,
        price_exponent: i8,
        quantity_exponent: i8,
        base_length: u8,
        symbol: [u8; 32],
    }

    FeedStatusMessage {
        header: Header,
        ts: U64,
        epoch: U64,
        state: u8,
    }

    PublishMessage {
        header: Header,
        epoch: U64,
        request: U64,
    }
}

// The contract's fixed points; the rest is checked against the schema in tests.
const _: () = assert!(size_of::<QuoteMessage>() == 64);
const _: () = assert!(std::mem::offset_of!(Head, ts_event) == 8);
const _: () = assert!(std::mem::offset_of!(Head, seq) == 16);
const _: () = assert!(std::mem::offset_of!(Head, instrument) == 24);
const _: () = assert!(std::mem::offset_of!(Head, ring_delay) == 28);
const _: () = assert!(size_of::<Head>() == 32);
