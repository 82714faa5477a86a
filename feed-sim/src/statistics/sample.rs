//! A sample: what one instrument of a feed said over some time, as series of numbers.
//!
//! Nothing is judged here. Prices and quantities become floats in the instrument's own units, which is
//! right for statistics and for nothing else.

use wire::{Channel, Instrument, Kind, Symbol, Tick};

use crate::feed::{Feed, FeedError, Next};

/// Which time is taken for a tick's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// When it happened: a simulation's batches are due a little later.
    Event,
    /// When it is due: a replay's are due when they were received, and its events have ms.
    Due,
}

/// Best bid and offer at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuotePoint {
    /// Ns since the feed's start.
    pub at_ns: u64,
    /// Best bid.
    pub bid: f64,
    /// Best offer.
    pub ask: f64,
    /// Quantity at the best bid.
    pub bid_quantity: f64,
    /// Quantity at the best offer.
    pub ask_quantity: f64,
}

/// A trade at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TradePoint {
    /// Ns since the feed's start.
    pub at_ns: u64,
    /// Ns since the epoch, by the venue: equal for all fills of an order.
    pub ts_trade_ns: u64,
    /// Traded quantity.
    pub quantity: f64,
    /// Whether the buyer was the maker.
    pub buyer_is_maker: bool,
}

/// What one instrument said.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its name.
    pub symbol: Symbol,
    /// Quotes in order.
    pub quotes: Vec<QuotePoint>,
    /// Trades in order.
    pub trades: Vec<TradePoint>,
    /// Depth groups in order: when, and how many level changes.
    pub groups: Vec<(u64, u32)>,
    /// Ticks of market data, all channels: records in a ring.
    pub ticks: u64,
    /// Whether the depth group being read is one that replaces the book.
    introducing: bool,
    price_unit: f64,
    quantity_unit: f64,
}

impl Sample {
    /// Samples of all instruments of a feed, to its end or for `length_ns` of its time. Books that
    /// introduce an instrument do not count.
    ///
    /// # Errors
    /// If the feed breaks off.
    pub fn take(
        feed: &mut dyn Feed,
        arrival: Arrival,
        length_ns: Option<u64>,
    ) -> Result<Vec<Self>, Box<FeedError>> {
        let mut samples: Vec<Self> = feed.instruments().iter().map(Self::new).collect();
        let mut ticks = Vec::new();
        let mut origin_ns = None;
        loop {
            ticks.clear();
            let due_ns = match feed.next(&mut ticks) {
                Next::At(due_ns) => due_ns,
                Next::End | Next::Restart => return Ok(samples),
                Next::Failed(error) => return Err(error),
            };
            if length_ns.is_some_and(|length_ns| due_ns > length_ns) {
                return Ok(samples);
            }
            for tick in &ticks {
                let origin_ns = *origin_ns.get_or_insert(tick.ts_event_ns);
                let at_ns = match arrival {
                    Arrival::Event => tick.ts_event_ns.saturating_sub(origin_ns),
                    Arrival::Due => due_ns,
                };
                let index = usize::try_from(tick.instrument).unwrap_or(usize::MAX);
                if let Some(sample) = samples.get_mut(index) {
                    sample.push(tick, at_ns);
                }
            }
        }
    }

    fn new(instrument: &Instrument) -> Self {
        let unit = |exponent: i8| 10f64.powi(i32::from(exponent));
        Self {
            symbol: instrument.symbol,
            quotes: Vec::new(),
            trades: Vec::new(),
            groups: Vec::new(),
            ticks: 0,
            introducing: false,
            price_unit: unit(instrument.price_exponent),
            quantity_unit: unit(instrument.quantity_exponent),
        }
    }

    fn push(&mut self, tick: &Tick, at_ns: u64) {
        match tick.kind() {
            Ok(Kind::Data(Channel::Quote)) => {
                let quote = tick.quote();
                self.quotes.push(QuotePoint {
                    at_ns,
                    bid: quote.bid_price as f64 * self.price_unit,
                    ask: quote.ask_price as f64 * self.price_unit,
                    bid_quantity: quote.bid_quantity as f64 * self.quantity_unit,
                    ask_quantity: quote.ask_quantity as f64 * self.quantity_unit,
                });
            }
            Ok(Kind::Data(Channel::Trade)) => {
                let trade = tick.trade();
                self.trades.push(TradePoint {
                    at_ns,
                    ts_trade_ns: trade.ts_trade_ns,
                    quantity: trade.quantity as f64 * self.quantity_unit,
                    buyer_is_maker: trade.buyer_is_maker,
                });
            }
            Ok(Kind::Data(Channel::Depth)) => {
                if tick.begins() {
                    self.introducing = tick.flags & wire::flags::REPLACES_BOOK != 0;
                }
                if self.introducing {
                    return;
                }
                if tick.begins() {
                    self.groups.push((at_ns, 0));
                }
                if let Some((_, levels)) = self.groups.last_mut() {
                    *levels += u32::from(tick.levels);
                }
            }
            _ => {}
        }
        self.ticks += 1;
    }
}
