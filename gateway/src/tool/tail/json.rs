//! Events as JSON objects, in the names and forms of `tickcast.v1.json` (see `docs/protocol/`): 64-bit
//! integers and decimals are strings. A gap has one object for each topic, a definition only its
//! exponents. The connection's own are `connected`, `disconnected` and `refused`.

use std::fmt::{Display, Write as _};

use client::{Bar, Event, Levels, Origin, RollingTicker, Side, Ticker};

/// Appends the event's object.
pub(super) fn write(out: &mut String, event: &Event) {
    let object = match event.origin() {
        Some(origin) => market(out, event, origin),
        None => other(out, event),
    };
    if let Some(object) = object {
        object.close();
    }
}

fn market<'a>(out: &'a mut String, event: &Event, origin: &Origin) -> Option<Object<'a>> {
    let name = match event {
        Event::DepthSnapshot(_) => "snapshot",
        _ => origin.channel.name(),
    };
    let object = Object::open(out, name)
        .text("s", origin.symbol)
        .text("seq", origin.seq)
        .text("ts", origin.ts_event_ns)
        .bare("delay", origin.ring_delay_ns);
    Some(match event {
        Event::Trade(trade) => object
            .text("price", trade.price)
            .text("qty", trade.quantity)
            .text("id", trade.trade_id)
            .text("ts_trade", trade.ts_trade_ns)
            .text("maker", side_name(trade.maker)),
        Event::Quote(quote) => object
            .text("bid", quote.bid.price)
            .text("bid_qty", quote.bid.quantity)
            .text("ask", quote.ask.price)
            .text("ask_qty", quote.ask.quantity),
        Event::Depth(depth) => object
            .text("first_id", depth.first_update_id)
            .text("last_id", depth.last_update_id)
            .bare("merged", depth.is_merged)
            .bare("replaces", depth.replaces_book)
            .levels("bids", &depth.bids)
            .levels("asks", &depth.asks),
        Event::DepthSnapshot(snapshot) => object
            .text("update_id", snapshot.update_id)
            .bare("first", snapshot.part.is_first())
            .bare("last", snapshot.part.is_last())
            .levels("bids", &snapshot.bids)
            .levels("asks", &snapshot.asks),
        Event::PartialDepth(partial) => object
            .text("update_id", partial.update_id)
            .levels("bids", &partial.bids)
            .levels("asks", &partial.asks),
        Event::Ticker(ticker) => write_ticker(object, ticker),
        Event::Bar(bar) => write_bar(object, bar),
        Event::Status(status) => object.text("status", status.status.name()),
        Event::AggTrade(trade) => object
            .text("price", trade.price)
            .text("qty", trade.quantity)
            .text("id", trade.agg_id)
            .text("first_id", trade.first_trade_id)
            .text("last_id", trade.last_trade_id)
            .text("ts_trade", trade.ts_trade_ns)
            .text("maker", side_name(trade.maker)),
        Event::RollingTicker(ticker) => write_rolling(object, ticker),
        Event::Average(average) => object
            .text("price", average.price)
            .bare("minutes", average.minutes)
            .text("ts_trade", average.ts_trade_ns),
        _ => object,
    })
}

const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Bid => "bid",
        Side::Ask => "ask",
    }
}

fn write_ticker<'a>(object: Object<'a>, ticker: &Ticker) -> Object<'a> {
    object
        .text("open", ticker.open)
        .text("high", ticker.high)
        .text("low", ticker.low)
        .text("last", ticker.last)
        .text("last_qty", ticker.last_quantity)
        .text("volume", ticker.volume)
        .text("quote_volume", ticker.quote_volume)
        .text("prev_close", ticker.previous_close)
        .text("first_id", ticker.first_trade_id)
        .text("last_id", ticker.last_trade_id)
        .text("trades", ticker.trades)
}

fn write_rolling<'a>(object: Object<'a>, ticker: &RollingTicker) -> Object<'a> {
    object
        .text("ts_open", ticker.ts_open_ns)
        .text("open", ticker.open)
        .text("high", ticker.high)
        .text("low", ticker.low)
        .text("last", ticker.last)
        .text("volume", ticker.volume)
        .text("quote_volume", ticker.quote_volume)
        .text("first_id", ticker.first_trade_id)
        .text("last_id", ticker.last_trade_id)
        .text("trades", ticker.trades)
}

fn write_bar<'a>(object: Object<'a>, bar: &Bar) -> Object<'a> {
    object
        .text("ts_open", bar.ts_open_ns)
        .text("open", bar.open)
        .text("high", bar.high)
        .text("low", bar.low)
        .text("close", bar.close)
        .text("volume", bar.volume)
        .text("quote_volume", bar.quote_volume)
        .text("taker_volume", bar.taker_volume)
        .text("taker_quote_volume", bar.taker_quote_volume)
        .text("first_id", bar.first_trade_id)
        .text("trades", bar.trades)
        .bare("final", bar.is_final)
}

fn other<'a>(out: &'a mut String, event: &Event) -> Option<Object<'a>> {
    Some(match event {
        Event::Gap(gap) => Object::open(out, "gap")
            .text("topic", format_args!("{}.{}", gap.symbol, gap.channel.name()))
            .text("reason", gap.reason.name())
            .text("first", gap.first_seq)
            .text("count", gap.count),
        Event::Heartbeat { ts_ns, epoch } => {
            Object::open(out, "heartbeat").text("ts", ts_ns).text("epoch", epoch)
        }
        Event::FeedStatus { ts_ns, epoch, state } => Object::open(out, "feed")
            .text("ts", ts_ns)
            .text("epoch", epoch)
            .text("state", state.name()),
        Event::Definition(instrument) => Object::open(out, "definition")
            .text("s", instrument.symbol)
            .bare("price_exponent", instrument.price_exponent)
            .bare("quantity_exponent", instrument.quantity_exponent),
        Event::Connected(connected) => Object::open(out, "connected")
            .text("epoch", connected.epoch)
            .text("reconnects", connected.reconnects),
        Event::Disconnected(lost) => Object::open(out, "disconnected")
            .text("reason", &lost.reason)
            .bare("retry_ms", lost.retry_in.as_millis()),
        Event::Refused(refused) => {
            Object::open(out, "refused").text("topic", &refused.topic).text("msg", &refused.refusal)
        }
        _ => return None,
    })
}

/// An object that is being written.
struct Object<'a>(&'a mut String);

impl<'a> Object<'a> {
    fn open(out: &'a mut String, name: &str) -> Self {
        out.push('{');
        Self(out).member("e", &format!("\"{name}\""))
    }

    /// A string.
    fn text(self, name: &str, value: impl Display) -> Self {
        let value = serde_json::Value::String(value.to_string());
        self.bare(name, value)
    }

    /// A small number or a boolean.
    fn bare(self, name: &str, value: impl Display) -> Self {
        self.0.push(',');
        self.member(name, &value)
    }

    fn member(self, name: &str, value: &impl Display) -> Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "\"{name}\":{value}");
        self
    }

    fn levels(self, name: &str, levels: &Levels) -> Self {
        let pairs =
            levels.iter().map(|level| [level.price.to_string(), level.quantity.to_string()]);
        let pairs: Vec<_> = pairs.map(serde_json::Value::from_iter).collect();
        self.bare(name, serde_json::Value::Array(pairs))
    }

    fn close(self) {
        self.0.push('}');
    }
}

#[cfg(test)]
mod tests {
    use client::{Channel, Decimal, Symbol, Trade};

    use super::*;

    #[test]
    fn a_trade_is_as_the_protocol_has_it() {
        let origin = Origin {
            symbol: Symbol::new("BTCUSDT").unwrap(),
            channel: Channel::Trade,
            seq: 4711,
            ts_event_ns: 1_723_075_200_123_456_789,
            ring_delay_ns: 8250,
        };
        let trade = Trade {
            origin,
            price: Decimal::new(6_183_763, -2),
            quantity: Decimal::new(1_337, -5),
            trade_id: 3_721_000_001,
            ts_trade_ns: 1_723_075_200_123_000_000,
            maker: Side::Bid,
        };
        let mut out = String::new();
        write(&mut out, &Event::Trade(trade));
        // The protocol's own example.
        let page = include_str!("../../../../docs/protocol/README.md");
        assert!(page.contains(&out), "{out}");
    }
}
