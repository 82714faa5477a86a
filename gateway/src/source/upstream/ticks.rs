//! Ticks again of what a gateway sent: the numbers, times and ids that they had in its ring.
//!
//! What the protocol does not carry does not come back: a quote's update id, and how bids and asks were
//! mixed within a depth group. Neither changes a byte of what clients get.

use client::{
    AggTrade, Average, Bar, Depth, Event, Origin, Quote, RollingTicker, Side, Ticker, Trade,
};
use wire::{Channel, Level, Tick, flags};

/// Appends the ticks of an event of this instrument; none if it is a snapshot, or no market data.
pub(super) fn push(out: &mut Vec<Tick>, instrument: u32, event: &Event) {
    let Some(origin) = event.origin() else { return };
    let (begin, at_ns) = (out.len(), origin.ts_event_ns);
    match event {
        Event::Trade(event) => out.push(Tick::from_trade(instrument, at_ns, &trade(event))),
        Event::Quote(event) => out.push(Tick::from_quote(instrument, at_ns, &quote(event))),
        Event::Ticker(event) => out.push(Tick::from_ticker(instrument, at_ns, &ticker(event))),
        Event::Bar(event) => {
            out.push(Tick::from_bar(event.origin.channel, instrument, at_ns, &bar(event)));
        }
        Event::Status(event) => out.push(Tick::from_status(instrument, at_ns, event.status)),
        Event::AggTrade(event) => {
            out.push(Tick::from_agg_trade(instrument, at_ns, &agg_trade(event)));
        }
        Event::RollingTicker(event) => {
            let Channel::Rolling(window) = event.origin.channel else { return };
            out.push(Tick::from_rolling(window, instrument, at_ns, &rolling(event)));
        }
        Event::Average(event) => out.push(Tick::from_average(instrument, at_ns, &average(event))),
        Event::Depth(event) => push_depth(out, instrument, event),
        _ => return,
    }
    for tick in &mut out[begin..] {
        tick.seq = origin.seq;
        tick.ts_ring_ns = entered_ring_ns(origin);
    }
}

/// When it entered the first gateway's ring, or a time that gives the same delay.
const fn entered_ring_ns(origin: &Origin) -> u64 {
    origin.ts_event_ns.saturating_add(origin.ring_delay_ns as u64)
}

fn push_depth(out: &mut Vec<Tick>, instrument: u32, event: &Depth) {
    let side = |side, levels: &client::Levels| {
        let levels = levels.mantissas().to_vec();
        levels.into_iter().map(move |(price, quantity)| Level { side, price, quantity })
    };
    let levels: Vec<Level> =
        side(Side::Bid, &event.bids).chain(side(Side::Ask, &event.asks)).collect();
    let begin = out.len();
    let update_ids = event.first_update_id..=event.last_update_id;
    Tick::push_depth(out, instrument, event.origin.ts_event_ns, update_ids, &levels);
    if event.replaces_book {
        out[begin..].iter_mut().for_each(|tick| tick.flags |= flags::REPLACES_BOOK);
    }
}

fn trade(event: &Trade) -> wire::Trade {
    wire::Trade {
        price: event.price.mantissa,
        quantity: event.quantity.mantissa,
        trade_id: event.trade_id,
        ts_trade_ns: event.ts_trade_ns,
        buyer_is_maker: event.maker == Side::Bid,
    }
}

const fn quote(event: &Quote) -> wire::Quote {
    wire::Quote {
        bid_price: event.bid.price.mantissa,
        bid_quantity: event.bid.quantity.mantissa,
        ask_price: event.ask.price.mantissa,
        ask_quantity: event.ask.quantity.mantissa,
        update_id: 0,
    }
}

const fn ticker(event: &Ticker) -> wire::Ticker {
    wire::Ticker {
        open: event.open.mantissa,
        high: event.high.mantissa,
        low: event.low.mantissa,
        last: event.last.mantissa,
        last_quantity: event.last_quantity.mantissa,
        volume: event.volume.mantissa,
        quote_volume: event.quote_volume.mantissa,
        previous_close: event.previous_close.mantissa,
        first_trade_id: event.first_trade_id,
        last_trade_id: event.last_trade_id,
        trades: event.trades,
    }
}

fn agg_trade(event: &AggTrade) -> wire::AggTrade {
    wire::AggTrade {
        price: event.price.mantissa,
        quantity: event.quantity.mantissa,
        agg_id: event.agg_id,
        first_trade_id: event.first_trade_id,
        last_trade_id: event.last_trade_id,
        ts_trade_ns: event.ts_trade_ns,
        buyer_is_maker: event.maker == Side::Bid,
    }
}

const fn rolling(event: &RollingTicker) -> wire::RollingTicker {
    wire::RollingTicker {
        ts_open_ns: event.ts_open_ns,
        open: event.open.mantissa,
        high: event.high.mantissa,
        low: event.low.mantissa,
        last: event.last.mantissa,
        volume: event.volume.mantissa,
        quote_volume: event.quote_volume.mantissa,
        first_trade_id: event.first_trade_id,
        last_trade_id: event.last_trade_id,
        trades: event.trades,
    }
}

const fn average(event: &Average) -> wire::Average {
    wire::Average {
        price: event.price.mantissa,
        minutes: event.minutes,
        ts_trade_ns: event.ts_trade_ns,
    }
}

const fn bar(event: &Bar) -> wire::Bar {
    wire::Bar {
        ts_open_ns: event.ts_open_ns,
        open: event.open.mantissa,
        high: event.high.mantissa,
        low: event.low.mantissa,
        close: event.close.mantissa,
        volume: event.volume.mantissa,
        quote_volume: event.quote_volume.mantissa,
        taker_volume: event.taker_volume.mantissa,
        taker_quote_volume: event.taker_quote_volume.mantissa,
        first_trade_id: event.first_trade_id,
        trades: event.trades,
        is_final: event.is_final,
    }
}
