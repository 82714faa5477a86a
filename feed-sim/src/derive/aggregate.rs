//! Aggregate trades: what one taker order took at one price, as one.
//!
//! A venue says which trades belong together only by what they have in common: consecutive ids, one
//! price, one side, one moment. Numbers of aggregates are counted from 1 in each epoch.

use wire::{AggTrade, Tick, Trade};

/// One instrument's aggregates.
#[derive(Debug, Default)]
pub(super) struct Aggregates {
    open: Option<Open>,
    /// How many there were, the open one included.
    count: u64,
}

#[derive(Debug)]
struct Open {
    trade: AggTrade,
    /// When the last of them was reported.
    ts_event_ns: u64,
    /// The feed's time of the last of them.
    at_ns: u64,
}

impl Aggregates {
    /// Adds a trade; gives the aggregate that is complete with it, and says whether it opened one where
    /// none was.
    pub(super) fn add(
        &mut self,
        instrument: u32,
        ts_event_ns: u64,
        trade: &Trade,
        at_ns: u64,
    ) -> (Option<Tick>, bool) {
        if let Some(open) = &mut self.open
            && open.continues(trade)
        {
            open.trade.quantity = open.trade.quantity.saturating_add(trade.quantity);
            open.trade.last_trade_id = trade.trade_id;
            (open.ts_event_ns, open.at_ns) = (ts_event_ns, at_ns);
            return (None, false);
        }
        let complete = self.take(instrument);
        self.count += 1;
        let trade = AggTrade {
            price: trade.price,
            quantity: trade.quantity,
            agg_id: self.count,
            first_trade_id: trade.trade_id,
            last_trade_id: trade.trade_id,
            ts_trade_ns: trade.ts_trade_ns,
            buyer_is_maker: trade.buyer_is_maker,
        };
        self.open = Some(Open { trade, ts_event_ns, at_ns });
        (complete, complete.is_none())
    }

    /// Takes the open aggregate off.
    pub(super) fn take(&mut self, instrument: u32) -> Option<Tick> {
        let open = self.open.take()?;
        Some(Tick::from_agg_trade(instrument, open.ts_event_ns, &open.trade))
    }

    /// The feed's time of the last trade of the open aggregate.
    pub(super) fn open_at_ns(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.at_ns)
    }
}

impl Open {
    const fn continues(&self, trade: &Trade) -> bool {
        self.trade.price == trade.price
            && self.trade.buyer_is_maker == trade.buyer_is_maker
            && self.trade.ts_trade_ns == trade.ts_trade_ns
            && self.trade.last_trade_id.wrapping_add(1) == trade.trade_id
    }
}
