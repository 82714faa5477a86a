//! Trades and aggregate trades: from the history.

use std::io::Write as _;

use wire::{Channel, Instrument, Trade};

use super::error::RestError;
use super::parameters::Parameters;
use super::text::{array, milliseconds, price, quantity, value};
use super::{Answered, Desk};
use crate::history::{History, Span};

/// How many are given where it is not said, and at most; of klines, too.
pub(super) const LIMIT_DEFAULT: usize = 500;
pub(super) const LIMIT_MAX: usize = 1000;

impl Desk<'_> {
    pub(super) fn history(&self) -> Result<&History, RestError> {
        self.market.history().ok_or(RestError::NoHistory)
    }
}

/// The last trades, or those from an id on.
pub(super) fn trades(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    let symbol = given.symbol()?;
    let limit = given.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let from_id = given.number("fromId")?;
    let instrument = desk.entitled(&symbol, Channel::Trade)?;
    let all = Span { from_ns: None, to_ns: None, limit: usize::MAX };
    let trades = desk.history()?.trades(desk.market.epoch(), instrument.id, all);
    let wanted = slice(&trades, from_id, limit, |trade| trade.trade_id);
    let mut out = Vec::with_capacity(2 + 160 * wanted.len());
    array(&mut out, wanted.iter(), |out, trade| write_trade(out, trade, &instrument));
    Ok(out)
}

/// The first ones from an id on, or the last ones.
fn slice<T>(items: &[T], from_id: Option<u64>, limit: usize, id: impl Fn(&T) -> u64) -> &[T] {
    match from_id {
        Some(from_id) => {
            let start = items.partition_point(|item| id(item) < from_id);
            &items[start..(start + limit).min(items.len())]
        }
        None => &items[items.len().saturating_sub(limit)..],
    }
}

fn write_trade(out: &mut Vec<u8>, trade: &Trade, instrument: &Instrument) -> bool {
    let written = write!(
        out,
        "{{\"id\":{},\"price\":\"{}\",\"qty\":\"{}\",\"quoteQty\":\"{}\",\"time\":{},\"isBuyerMaker\":{},\
         \"isBestMatch\":true}}",
        trade.trade_id,
        price(trade.price, instrument),
        quantity(trade.quantity, instrument),
        value(trade.price, trade.quantity, instrument),
        milliseconds(trade.ts_trade_ns),
        trade.buyer_is_maker,
    );
    written.is_ok()
}

/// Aggregate trades: the last ones, those from an id on, or those within a time.
pub(super) fn aggregates(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    let symbol = given.symbol()?;
    let limit = given.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let from_id = given.number("fromId")?;
    let span = given.span(if from_id.is_some() { usize::MAX } else { limit })?;
    if from_id.is_some() && (span.from_ns.is_some() || span.to_ns.is_some()) {
        return Err(RestError::Combination);
    }
    let instrument = desk.entitled(&symbol, Channel::AggTrade)?;
    let trades = desk.history()?.aggregates(desk.market.epoch(), instrument.id, span);
    let wanted = slice(&trades, from_id, limit, |trade| trade.agg_id);
    // Without an id they are those of the span, which has its own beginning.
    let wanted = if from_id.is_some() { wanted } else { &trades[..] };
    let mut out = Vec::with_capacity(2 + 160 * wanted.len());
    array(&mut out, wanted.iter(), |out, trade| {
        let written = write!(
            out,
            "{{\"a\":{},\"p\":\"{}\",\"q\":\"{}\",\"f\":{},\"l\":{},\"T\":{},\"m\":{},\"M\":true}}",
            trade.agg_id,
            price(trade.price, &instrument),
            quantity(trade.quantity, &instrument),
            trade.first_trade_id,
            trade.last_trade_id,
            milliseconds(trade.ts_trade_ns),
            trade.buyer_is_maker,
        );
        written.is_ok()
    });
    Ok(out)
}
