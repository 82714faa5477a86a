//! Events: what [`Client::next`](crate::Client::next) returns. Symbols are resolved, values exact.
//!
//! Times are ns since 1970: `ts_event_ns` by the venue's clock, others as said.

use std::fmt;
use std::time::Duration;

use wire::{Channel, FeedState, GapReason, Instrument, Side, SnapshotPart, Symbol, TradingStatus};

use crate::decimal::Decimal;
use crate::error::{LostReason, Refusal};

/// Something that happened: in a market, to the feed, to the connection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection is there: the first, and after each [`Event::Disconnected`] another.
    Connected(Connected),
    /// The connection is lost; another is being made.
    Disconnected(Disconnected),
    /// A topic that was subscribed before the connection was lost is not any more.
    Refused(Refused),
    /// The credential of this connection ends soon; [`Client::auth`](crate::Client::auth) shows another.
    Expiring {
        /// From when the server said so.
        within: Duration,
    },
    /// The credential allows less than it did.
    Revoked(Revoked),
    /// One trade.
    Trade(Trade),
    /// Best bid and offer.
    Quote(Quote),
    /// Changes of a book.
    Depth(Depth),
    /// A whole book, or a part of it.
    DepthSnapshot(DepthSnapshot),
    /// The best levels of a book.
    PartialDepth(PartialDepth),
    /// Statistics over 24 hours.
    Ticker(Ticker),
    /// Open, high, low, close of an interval.
    Bar(Bar),
    /// Trading, halted, closed.
    Status(Status),
    /// Consecutive trades of one taker order at one price.
    AggTrade(AggTrade),
    /// Statistics over the last hours.
    RollingTicker(RollingTicker),
    /// The average price of the last minutes.
    Average(Average),
    /// Sequence numbers of a topic that do not come.
    Gap(Gap),
    /// What an instrument is; before its first event in an epoch.
    Definition(Instrument),
    /// Nothing else to say.
    Heartbeat {
        /// The gateway's clock.
        ts_ns: u64,
        /// The epoch of sequence numbers.
        epoch: u64,
    },
    /// What became of the feed.
    FeedStatus {
        /// The gateway's clock.
        ts_ns: u64,
        /// The epoch of sequence numbers from now on.
        epoch: u64,
        /// What became of it.
        state: FeedState,
    },
}

impl Event {
    /// Where it comes from, if it is market data.
    #[must_use]
    pub const fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Trade(Trade { origin, .. })
            | Self::Quote(Quote { origin, .. })
            | Self::Depth(Depth { origin, .. })
            | Self::DepthSnapshot(DepthSnapshot { origin, .. })
            | Self::PartialDepth(PartialDepth { origin, .. })
            | Self::Ticker(Ticker { origin, .. })
            | Self::Bar(Bar { origin, .. })
            | Self::Status(Status { origin, .. })
            | Self::AggTrade(AggTrade { origin, .. })
            | Self::RollingTicker(RollingTicker { origin, .. })
            | Self::Average(Average { origin, .. }) => Some(origin),
            _ => None,
        }
    }
}

/// Topic, number and times of a piece of market data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The instrument's symbol.
    pub symbol: Symbol,
    /// The channel; with the symbol it is the topic.
    pub channel: Channel,
    /// Number within topic and epoch.
    pub seq: u64,
    /// When it happened.
    pub ts_event_ns: u64,
    /// From then until it entered the gateway's ring; saturated at 4.29 s.
    pub ring_delay_ns: u32,
}

/// A connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The epoch of sequence numbers; 0: the gateway has no feed yet.
    pub epoch: u64,
    /// How many times the connection was lost before.
    pub reconnects: u64,
}

/// A connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnected {
    /// Why.
    pub reason: LostReason,
    /// When the next is tried.
    pub retry_in: Duration,
}

/// A topic that could not be subscribed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// As it was subscribed.
    pub topic: String,
    /// Why not.
    pub refusal: Refusal,
}

/// What a credential does not allow any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Topics and wildcards that are not subscribed any more.
    pub topics: Vec<String>,
    /// Wildcards that reach fewer instruments from now on.
    pub narrowed: Vec<String>,
    /// Topics beyond the thousand that the server names; they end, and are asked for again after a reconnect.
    pub more: u64,
}

/// One trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Topic, number, times.
    pub origin: Origin,
    /// Price.
    pub price: Decimal,
    /// Quantity.
    pub quantity: Decimal,
    /// The venue's trade id.
    pub trade_id: u64,
    /// When the match was made, by the venue's clock; `ts_event_ns` is when it was reported.
    pub ts_trade_ns: u64,
    /// Side of the order that was in the book; the other side's came and took it.
    pub maker: Side,
}

/// A price and the quantity at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Price.
    pub price: Decimal,
    /// Quantity; in changes of a book 0 means that the level is gone.
    pub quantity: Decimal,
}

/// Best bid and offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Topic, number, times.
    pub origin: Origin,
    /// Best bid; quantity 0 if there is none.
    pub bid: Level,
    /// Best offer; quantity 0 if there is none.
    pub ask: Level,
}

/// Levels of one side of a book.
#[derive(Clone, PartialEq, Eq)]
pub struct Levels {
    pub(crate) price_exponent: i8,
    pub(crate) quantity_exponent: i8,
    pub(crate) mantissas: Vec<(i64, i64)>,
}

impl Levels {
    /// The levels, in the order in which they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Level> + '_ {
        self.mantissas.iter().map(|&(price, quantity)| Level {
            price: Decimal::new(price, self.price_exponent),
            quantity: Decimal::new(quantity, self.quantity_exponent),
        })
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.mantissas.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mantissas.is_empty()
    }

    /// Price and quantity mantissas, for those who know the exponents.
    #[must_use]
    pub fn mantissas(&self) -> &[(i64, i64)] {
        &self.mantissas
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |level: Level| format!("{} x {}", level.quantity, level.price);
        f.debug_list().entries(self.iter().map(text)).finish()
    }
}

/// Changes of a book, to be applied together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Topic, number, times.
    pub origin: Origin,
    /// The venue's first update id contained.
    pub first_update_id: u64,
    /// The venue's last update id contained.
    pub last_update_id: u64,
    /// Whether several of the venue's events are merged; a gap has announced how many.
    pub is_merged: bool,
    /// Whether the levels are the whole book from now on.
    pub replaces_book: bool,
    /// Changed bids: new quantities, 0 for a level that is gone.
    pub bids: Levels,
    /// Changed offers.
    pub asks: Levels,
}

/// A whole book, or a part of one: big books come in several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthSnapshot {
    /// Topic, times, and the number of the last change contained.
    pub origin: Origin,
    /// Which part.
    pub part: SnapshotPart,
    /// The venue's last update id contained.
    pub update_id: u64,
    /// Bids, best first.
    pub bids: Levels,
    /// Offers, best first.
    pub asks: Levels,
}

/// The best levels of a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialDepth {
    /// Topic, times, and the number of the depth change after which the book is so.
    pub origin: Origin,
    /// The venue's last update id contained.
    pub update_id: u64,
    /// Bids, best first.
    pub bids: Levels,
    /// Offers, best first.
    pub asks: Levels,
}

/// Statistics over the last 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticker {
    /// Topic, number, times.
    pub origin: Origin,
    /// First price of the window.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub last: Decimal,
    /// Quantity of the last trade.
    pub last_quantity: Decimal,
    /// Traded quantity.
    pub volume: Decimal,
    /// Traded value.
    pub quote_volume: Decimal,
    /// Price of the last trade before the window; zero: none.
    pub previous_close: Decimal,
    /// Trade id of the first trade in the window.
    pub first_trade_id: u64,
    /// Trade id of the last trade in the window.
    pub last_trade_id: u64,
    /// Number of trades.
    pub trades: u64,
}

/// Consecutive trades of one taker order at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggTrade {
    /// Topic, number, times.
    pub origin: Origin,
    /// Price.
    pub price: Decimal,
    /// Quantity of all together.
    pub quantity: Decimal,
    /// Number of the aggregate.
    pub agg_id: u64,
    /// Trade id of the first.
    pub first_trade_id: u64,
    /// Trade id of the last.
    pub last_trade_id: u64,
    /// When the match was made, by the venue's clock.
    pub ts_trade_ns: u64,
    /// Side of the orders that were in the book.
    pub maker: Side,
}

/// Statistics over the last hours: how many, the channel in `origin` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingTicker {
    /// Topic, number, times.
    pub origin: Origin,
    /// Where the window begins: a whole minute.
    pub ts_open_ns: u64,
    /// First price of the window.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub last: Decimal,
    /// Traded quantity.
    pub volume: Decimal,
    /// Traded value.
    pub quote_volume: Decimal,
    /// Trade id of the first trade in the window.
    pub first_trade_id: u64,
    /// Trade id of the last trade in the window.
    pub last_trade_id: u64,
    /// Number of trades.
    pub trades: u64,
}

/// The average price of the last minutes, weighted by quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Average {
    /// Topic, number, times.
    pub origin: Origin,
    /// Price.
    pub price: Decimal,
    /// How many minutes the window has.
    pub minutes: u32,
    /// Time of the last trade contained.
    pub ts_trade_ns: u64,
}

/// Open, high, low, close of one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Topic, number, times.
    pub origin: Origin,
    /// Start of the interval.
    pub ts_open_ns: u64,
    /// First price.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub close: Decimal,
    /// Traded quantity.
    pub volume: Decimal,
    /// Traded value.
    pub quote_volume: Decimal,
    /// Traded quantity of taker buys.
    pub taker_volume: Decimal,
    /// Traded value of taker buys.
    pub taker_quote_volume: Decimal,
    /// Trade id of the first trade.
    pub first_trade_id: u64,
    /// Number of trades.
    pub trades: u64,
    /// Whether the interval is over and the bar will not change any more.
    pub is_final: bool,
}

/// A market's trading status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Topic, number, times.
    pub origin: Origin,
    /// Trading, halted, closed.
    pub status: TradingStatus,
}

/// Numbers of one topic that do not come one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The instrument's symbol.
    pub symbol: Symbol,
    /// The channel.
    pub channel: Channel,
    /// Why. After [`GapReason::Conflated`] the newest follows and nothing needs repair.
    pub reason: GapReason,
    /// The first number that does not come.
    pub first_seq: u64,
    /// How many; 0 only for [`GapReason::Reset`].
    pub count: u64,
}

impl Gap {
    /// The last number that does not come.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.first_seq.saturating_add(self.count).saturating_sub(1)
    }
}
