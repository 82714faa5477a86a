//! Bodies: what the kinds of ticks say, as typed values.
//!
//! Integers are mantissas; the instrument's exponents say where their decimal point is. Ticks are
//! made from these and read as these; decoders of the binary encoding give them too.

/// Best bid and offer. A side that is empty has quantity 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Best bid, price mantissa.
    pub bid_price: i64,
    /// Quantity mantissa at the best bid.
    pub bid_quantity: i64,
    /// Best offer, price mantissa.
    pub ask_price: i64,
    /// Quantity mantissa at the best offer.
    pub ask_quantity: i64,
    /// The venue's book update id; 0: unknown.
    pub update_id: u64,
}

/// One trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa.
    pub quantity: i64,
    /// The venue's trade id.
    pub trade_id: u64,
    /// When the match was made, ns since the epoch; `ts_event_ns` is when it was reported.
    pub ts_trade_ns: u64,
    /// Whether the buyer was the maker.
    pub buyer_is_maker: bool,
}

/// Side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Buyers.
    Bid,
    /// Sellers.
    Ask,
}

/// One price level, or its change: the new quantity, 0 if the level is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Side of the book.
    pub side: Side,
    /// Price mantissa.
    pub price: i64,
    /// Quantity mantissa, absolute.
    pub quantity: i64,
}

/// Statistics over the last 24 hours. The quote volume's mantissa has the price's exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticker {
    /// First price of the window.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub last: i64,
    /// Quantity of the last trade.
    pub last_quantity: i64,
    /// Traded quantity.
    pub volume: i64,
    /// Traded value, in the quote asset, at the price's exponent.
    pub quote_volume: i64,
    /// Price of the last trade before the window; 0: none.
    pub previous_close: i64,
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
    /// Price mantissa, the same of all.
    pub price: i64,
    /// Quantity mantissa of all together.
    pub quantity: i64,
    /// Number of the aggregate.
    pub agg_id: u64,
    /// Trade id of the first.
    pub first_trade_id: u64,
    /// Trade id of the last.
    pub last_trade_id: u64,
    /// When the match was made, ns since the epoch.
    pub ts_trade_ns: u64,
    /// Whether the buyers were the makers.
    pub buyer_is_maker: bool,
}

/// Statistics over the last hours; see [`Window`](crate::Window). Value mantissas as in [`Ticker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingTicker {
    /// Where the window begins, a whole minute, ns since the epoch.
    pub ts_open_ns: u64,
    /// First price of the window.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub last: i64,
    /// Traded quantity.
    pub volume: i64,
    /// Traded value.
    pub quote_volume: i64,
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
    /// Price mantissa, rounded down.
    pub price: i64,
    /// How many minutes the window has.
    pub minutes: u32,
    /// Time of the last trade contained, ns since the epoch.
    pub ts_trade_ns: u64,
}

/// Open, high, low, close of one interval. Value mantissas as in [`Ticker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Start of the interval, ns since the epoch.
    pub ts_open_ns: u64,
    /// First price.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub close: i64,
    /// Traded quantity.
    pub volume: i64,
    /// Traded value.
    pub quote_volume: i64,
    /// Traded quantity of taker buys.
    pub taker_volume: i64,
    /// Traded value of taker buys.
    pub taker_quote_volume: i64,
    /// Trade id of the first trade.
    pub first_trade_id: u64,
    /// Number of trades.
    pub trades: u64,
    /// Whether the interval is over.
    pub is_final: bool,
}

impl Bar {
    /// Trade id of the last trade: a venue numbers an instrument's trades without holes.
    #[must_use]
    pub const fn last_trade_id(&self) -> u64 {
        self.first_trade_id.saturating_add(self.trades.saturating_sub(1))
    }
}

/// What an instrument's market is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TradingStatus {
    /// Orders match.
    Trading = 1,
    /// Matching is suspended.
    Halted = 2,
    /// The session is over.
    Closed = 3,
}

impl TradingStatus {
    /// All statuses, by code.
    pub const ALL: [Self; 3] = [Self::Trading, Self::Halted, Self::Closed];

    /// The status with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::Trading,
            2 => Self::Halted,
            3 => Self::Closed,
            _ => return None,
        })
    }

    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trading => "trading",
            Self::Halted => "halted",
            Self::Closed => "closed",
        }
    }
}
