//! Depth, and the best bid and offer: from the hub's book and newest quote, with the update ids that streams
//! carry.

use std::io::Write as _;

use wire::{Channel, Instrument};

use super::error::RestError;
use super::parameters::Parameters;
use super::text::{array, price, quantity};
use super::{Answered, Desk};

/// Levels of each side where it is not said, and at most.
const LEVELS_DEFAULT: usize = 100;
const LEVELS_MAX: usize = 5000;

/// `{"lastUpdateId":…,"bids":[["price","quantity"],…],"asks":[…]}`, best first.
pub(super) fn depth(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    let symbol = given.symbol()?;
    let levels = given.limit(LEVELS_DEFAULT, LEVELS_MAX)?;
    let instrument = desk.present(&symbol)?;
    if desk.market.levels_max(&instrument) == 0 {
        return Err(RestError::NotEntitled);
    }
    let best = desk.market.best_levels(&instrument, levels).ok_or(RestError::Fetching)?;
    let mut out = Vec::with_capacity(64 + 40 * (best.bids.len() + best.asks.len()));
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{{\"lastUpdateId\":{},\"bids\":", best.update_id);
    side(&mut out, &best.bids, &instrument);
    out.extend_from_slice(b",\"asks\":");
    side(&mut out, &best.asks, &instrument);
    out.push(b'}');
    Ok(out)
}

fn side(out: &mut Vec<u8>, levels: &[(i64, i64)], instrument: &Instrument) {
    array(out, levels.iter(), |out, &(level, left)| {
        let (level, left) = (price(level, instrument), quantity(left, instrument));
        write!(out, "[\"{level}\",\"{left}\"]").is_ok()
    });
}

/// `{"symbol":…,"bidPrice":…,"bidQty":…,"askPrice":…,"askQty":…}`, or an array of them.
pub(super) fn best(given: &Parameters<'_>, desk: &Desk<'_>) -> Answered {
    desk.one_or_many(given, &[Channel::Quote], |out, instrument| {
        let Some(tick) = desk.market.newest(instrument, Channel::Quote) else { return false };
        let quote = tick.quote();
        let written = write!(
            out,
            "{{\"symbol\":\"{}\",\"bidPrice\":\"{}\",\"bidQty\":\"{}\",\"askPrice\":\"{}\",\"askQty\":\"{}\"}}",
            instrument.symbol,
            price(quote.bid_price, instrument),
            quantity(quote.bid_quantity, instrument),
            price(quote.ask_price, instrument),
            quantity(quote.ask_quantity, instrument),
        );
        written.is_ok()
    })
}
