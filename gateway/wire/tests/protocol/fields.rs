//! Decoded messages as JSON values in the schema's terms: names as in the schema, 64-bit integers as
//! strings, enum values and flags by name. It is what an SBE decoder that knows nothing of us says.

use serde_json::{Map, Value, json};
use tickcast_wire::sbe::{EventHead, Levels, Message};
use tickcast_wire::{Bar, Channel, Instrument, RollingTicker, Ticker};

/// The template's name and the fields.
pub(crate) fn message(message: &Message<'_>) -> Value {
    let (template, fields) = match message.clone() {
        Message::Trade(event, trade) => (
            "Trade",
            head(
                &event,
                json!({
                    "price": trade.price.to_string(), "quantity": trade.quantity.to_string(),
                    "tradeId": trade.trade_id.to_string(), "tsTrade": trade.ts_trade_ns.to_string(),
                    "makerSide": if trade.buyer_is_maker { "BID" } else { "ASK" },
                }),
            ),
        ),
        Message::Quote(event, quote) => (
            "Quote",
            head(
                &event,
                json!({
                    "bidPrice": quote.bid_price.to_string(),
                    "bidQuantity": quote.bid_quantity.to_string(),
                    "askPrice": quote.ask_price.to_string(),
                    "askQuantity": quote.ask_quantity.to_string(),
                }),
            ),
        ),
        Message::DepthUpdate(update) => (
            "DepthUpdate",
            head(
                &update.head,
                json!({
                    "firstUpdateId": update.first_update_id.to_string(),
                    "lastUpdateId": update.last_update_id.to_string(),
                    "flags": names([("MERGED", update.is_merged), ("REPLACES_BOOK", update.replaces_book)]),
                    "bids": levels(update.bids), "asks": levels(update.asks),
                }),
            ),
        ),
        Message::PartialDepth(partial) => (
            "PartialDepth",
            head(
                &partial.head,
                json!({
                    "updateId": partial.update_id.to_string(), "channel": channel(partial.channel),
                    "bids": levels(partial.bids), "asks": levels(partial.asks),
                }),
            ),
        ),
        Message::DepthSnapshot(snapshot) => (
            "DepthSnapshot",
            head(
                &snapshot.head,
                json!({
                    "updateId": snapshot.update_id.to_string(),
                    "flags": names([("FIRST", snapshot.part.is_first()), ("LAST", snapshot.part.is_last())]),
                    "bids": levels(snapshot.bids), "asks": levels(snapshot.asks),
                }),
            ),
        ),
        Message::Ticker(event, ticker) => ("Ticker", head(&event, ticker_fields(&ticker))),
        Message::Bar(event, of, bar) => ("Bar", head(&event, bar_fields(of, &bar))),
        Message::Status(event, status) => {
            ("Status", head(&event, json!({ "status": status.name().to_uppercase() })))
        }
        Message::AggTrade(event, trade) => (
            "AggTrade",
            head(
                &event,
                json!({
                    "price": trade.price.to_string(), "quantity": trade.quantity.to_string(),
                    "aggId": trade.agg_id.to_string(),
                    "firstTradeId": trade.first_trade_id.to_string(),
                    "lastTradeId": trade.last_trade_id.to_string(),
                    "tsTrade": trade.ts_trade_ns.to_string(),
                    "makerSide": if trade.buyer_is_maker { "BID" } else { "ASK" },
                }),
            ),
        ),
        Message::Rolling(event, of, ticker) => {
            ("RollingTicker", head(&event, rolling_fields(of, &ticker)))
        }
        Message::Average(event, average) => (
            "Average",
            head(
                &event,
                json!({
                    "price": average.price.to_string(),
                    "tsTrade": average.ts_trade_ns.to_string(), "minutes": average.minutes,
                }),
            ),
        ),
        Message::Gap(gap) => {
            let entry = |entry: tickcast_wire::GapEntry| {
                json!({
                    "firstSeq": entry.first_seq.to_string(), "count": entry.count.to_string(),
                    "instrument": entry.instrument, "channel": channel(entry.channel),
                    "reason": entry.reason.name().to_uppercase(),
                })
            };
            let gaps: Vec<Value> = gap.entries.map(entry).collect();
            ("Gap", json!({ "ts": gap.ts_ns.to_string(), "gaps": gaps }))
        }
        Message::Heartbeat { ts_ns, epoch } => {
            ("Heartbeat", json!({ "ts": ts_ns.to_string(), "epoch": epoch.to_string() }))
        }
        Message::Definition { instrument, epoch } => ("Definition", definition(&instrument, epoch)),
        Message::FeedStatus { ts_ns, epoch, state } => (
            "FeedStatus",
            json!({
                "ts": ts_ns.to_string(), "epoch": epoch.to_string(),
                "state": state.name().to_uppercase(),
            }),
        ),
        Message::Publish { epoch, request } => {
            ("Publish", json!({ "epoch": epoch.to_string(), "request": request.to_string() }))
        }
        other => panic!("a message without fields here: {other:?}"),
    };
    json!({ "template": template, "fields": fields })
}

fn head(event: &EventHead, fields: Value) -> Value {
    let mut all = Map::new();
    all.insert("tsEvent".into(), event.ts_event_ns.to_string().into());
    all.insert("seq".into(), event.seq.to_string().into());
    all.insert("instrument".into(), event.instrument.into());
    all.insert("ringDelay".into(), event.ring_delay_ns.into());
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    all.extend(fields);
    Value::Object(all)
}

fn levels(levels: Levels<'_>) -> Vec<Value> {
    let level = |(price, quantity): (i64, i64)| json!({ "price": price.to_string(), "quantity": quantity.to_string() });
    levels.map(level).collect()
}

fn names(flags: [(&str, bool); 2]) -> Vec<&str> {
    flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
}

fn channel(channel: Channel) -> String {
    channel.name().replace("1M", "1MONTH").to_uppercase()
}

fn ticker_fields(ticker: &Ticker) -> Value {
    json!({
        "open": ticker.open.to_string(), "high": ticker.high.to_string(),
        "low": ticker.low.to_string(), "last": ticker.last.to_string(),
        "lastQuantity": ticker.last_quantity.to_string(), "volume": ticker.volume.to_string(),
        "quoteVolume": ticker.quote_volume.to_string(),
        "previousClose": ticker.previous_close.to_string(),
        "firstTradeId": ticker.first_trade_id.to_string(),
        "lastTradeId": ticker.last_trade_id.to_string(), "trades": ticker.trades.to_string(),
    })
}

fn rolling_fields(of: Channel, ticker: &RollingTicker) -> Value {
    json!({
        "tsOpen": ticker.ts_open_ns.to_string(), "open": ticker.open.to_string(),
        "high": ticker.high.to_string(), "low": ticker.low.to_string(),
        "last": ticker.last.to_string(), "volume": ticker.volume.to_string(),
        "quoteVolume": ticker.quote_volume.to_string(),
        "firstTradeId": ticker.first_trade_id.to_string(),
        "lastTradeId": ticker.last_trade_id.to_string(), "trades": ticker.trades.to_string(),
        "channel": channel(of),
    })
}

fn bar_fields(of: Channel, bar: &Bar) -> Value {
    json!({
        "tsOpen": bar.ts_open_ns.to_string(), "open": bar.open.to_string(),
        "high": bar.high.to_string(), "low": bar.low.to_string(), "close": bar.close.to_string(),
        "volume": bar.volume.to_string(), "quoteVolume": bar.quote_volume.to_string(),
        "takerVolume": bar.taker_volume.to_string(),
        "takerQuoteVolume": bar.taker_quote_volume.to_string(),
        "firstTradeId": bar.first_trade_id.to_string(), "trades": bar.trades.to_string(),
        "channel": channel(of), "isFinal": if bar.is_final { "TRUE" } else { "FALSE" },
    })
}

fn definition(instrument: &Instrument, epoch: u64) -> Value {
    let channels = Channel::all().filter(|channel| instrument.has(*channel));
    json!({
        "epoch": epoch.to_string(), "instrument": instrument.id,
        "channels": channels.map(channel).collect::<Vec<String>>(),
        "tickSize": instrument.tick_size.to_string(), "lotSize": instrument.lot_size.to_string(),
        "priceExponent": instrument.price_exponent,
        "quantityExponent": instrument.quantity_exponent,
        "baseLength": instrument.base_len, "symbol": instrument.symbol.as_str(),
    })
}
