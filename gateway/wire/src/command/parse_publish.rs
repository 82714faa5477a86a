//! Parsing of the ticks in a JSON `publish`.

use simd_json::prelude::*;
use simd_json::tape::Value;

use super::parse::{excerpt, is_given, unexpected, unsigned};
use super::publish::{
    Amount, BadDraft, Draft, DraftBody, DraftError, Publish, Subject, check_count, topic,
};
use super::{CommandId, Excerpt, Fault, Place};
use crate::body::Side;
use crate::decimal::Decimal;
use crate::topic::Channel;

const DECIMAL: &str = "a decimal number in a string, such as \"12.50\"";
const TIME: &str = "nanoseconds since 1970, such as \"1723075200123456789\"";

/// The known fields of a tick, unread.
#[derive(Default)]
struct Fields<'tape, 'input> {
    topic: Option<Value<'tape, 'input>>,
    ts: Option<Value<'tape, 'input>>,
    price: Option<Value<'tape, 'input>>,
    quantity: Option<Value<'tape, 'input>>,
    side: Option<Value<'tape, 'input>>,
    trade_id: Option<Value<'tape, 'input>>,
    ts_trade: Option<Value<'tape, 'input>>,
    bid: Option<Value<'tape, 'input>>,
    bid_quantity: Option<Value<'tape, 'input>>,
    ask: Option<Value<'tape, 'input>>,
    ask_quantity: Option<Value<'tape, 'input>>,
}

pub(super) fn publish(
    id: Option<CommandId>,
    ticks: Option<Value<'_, '_>>,
) -> Result<Publish, Fault> {
    const EXPECTED: &str = "an array of ticks such as {\"topic\":\"C0.trade\",\"price\":\"12.34\",\"quantity\":\"5\",\"side\":\"buy\"}";
    let missing = Fault::Missing { field: "ticks", expected: EXPECTED };
    let value = ticks.filter(is_given).ok_or(missing)?;
    let array = value.as_array().ok_or_else(|| unexpected("ticks", EXPECTED, value))?;
    check_count(array.len())?;
    let mut ticks = Vec::with_capacity(array.len());
    for (index, element) in array.iter().enumerate() {
        let object = element.as_object().ok_or_else(|| Fault::Unexpected {
            field: Place::Element("ticks", index),
            expected: "an object with topic, price and so on",
            found: excerpt(element),
        })?;
        let mut fields = Fields::default();
        let mut twice = None;
        for (name, value) in object.iter() {
            let (name, slot) = match name {
                "topic" => ("topic", &mut fields.topic),
                "ts" => ("ts", &mut fields.ts),
                "price" => ("price", &mut fields.price),
                "quantity" => ("quantity", &mut fields.quantity),
                "side" => ("side", &mut fields.side),
                "trade_id" => ("trade_id", &mut fields.trade_id),
                "ts_trade" => ("ts_trade", &mut fields.ts_trade),
                "bid" => ("bid", &mut fields.bid),
                "bid_quantity" => ("bid_quantity", &mut fields.bid_quantity),
                "ask" => ("ask", &mut fields.ask),
                "ask_quantity" => ("ask_quantity", &mut fields.ask_quantity),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                twice = Some(Fault::Twice { field: Place::Field(name) });
            }
        }
        ticks.push(draft(&fields, twice));
    }
    Ok(Publish { id, epoch: None, ticks })
}

fn draft(fields: &Fields<'_, '_>, twice: Option<Fault>) -> Result<Draft, BadDraft> {
    const TOPIC: &str = "a string such as \"C0.trade\"";
    let text = fields.topic.as_ref().and_then(|topic| topic.as_str());
    let bad = |error| BadDraft { topic: Excerpt::new(text.unwrap_or_default()), error };
    let (symbol, channel) = match (text, fields.topic) {
        (Some(text), _) => topic(text).map_err(bad)?,
        (None, Some(found)) => {
            return Err(bad(DraftError::Field(unexpected("topic", TOPIC, found))));
        }
        (None, None) => {
            let missing = Fault::Missing { field: "topic", expected: TOPIC };
            return Err(bad(DraftError::Field(missing)));
        }
    };
    let field = |fault| bad(DraftError::Field(fault));
    if let Some(twice) = twice {
        return Err(field(twice));
    }
    let body = match channel {
        Channel::Trade => trade(fields).map_err(field)?,
        _ => quote(fields).map_err(field)?,
    };
    let ts_event_ns = number("ts", TIME, fields.ts).map_err(field)?;
    Ok(Draft { subject: Subject::Symbol(symbol), ts_event_ns, body })
}

fn trade(fields: &Fields<'_, '_>) -> Result<DraftBody, Fault> {
    const SIDE: &str = "\"buy\" or \"sell\", whichever took";
    const ID: &str = "an id of 64 bits, such as \"3721000001\"";
    let required = |field, value: Option<Value<'_, '_>>| {
        amount(field, value)?.ok_or(Fault::Missing { field, expected: DECIMAL })
    };
    let side = fields.side.filter(is_given);
    let side = side.ok_or(Fault::Missing { field: "side", expected: SIDE })?;
    Ok(DraftBody::Trade {
        price: required("price", fields.price)?,
        quantity: required("quantity", fields.quantity)?,
        maker: match side.as_str() {
            Some("buy") => Side::Ask,
            Some("sell") => Side::Bid,
            _ => return Err(unexpected("side", SIDE, side)),
        },
        trade_id: number("trade_id", ID, fields.trade_id)?,
        ts_trade_ns: number("ts_trade", TIME, fields.ts_trade)?,
    })
}

fn quote(fields: &Fields<'_, '_>) -> Result<DraftBody, Fault> {
    let side = |names: [&'static str; 2], price, quantity| match (
        amount(names[0], price)?,
        amount(names[1], quantity)?,
    ) {
        (Some(price), Some(quantity)) => Ok(Some((price, quantity))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Fault::Missing { field: names[1], expected: DECIMAL }),
        (None, Some(_)) => Err(Fault::Missing { field: names[0], expected: DECIMAL }),
    };
    Ok(DraftBody::Quote {
        bid: side(["bid", "bid_quantity"], fields.bid, fields.bid_quantity)?,
        ask: side(["ask", "ask_quantity"], fields.ask, fields.ask_quantity)?,
    })
}

fn amount(field: &'static str, value: Option<Value<'_, '_>>) -> Result<Option<Amount>, Fault> {
    let Some(value) = value.filter(is_given) else { return Ok(None) };
    // A JSON number is a float to most who write one: it would have lost digits before it came here.
    let decimal = value.as_str().and_then(|text| Decimal::parse(text).ok());
    decimal
        .map(|decimal| Some(Amount::Decimal(decimal)))
        .ok_or_else(|| unexpected(field, DECIMAL, value))
}

/// A number of 64 bits; 0 if it is not given.
fn number(
    field: &'static str,
    expected: &'static str,
    value: Option<Value<'_, '_>>,
) -> Result<u64, Fault> {
    let Some(value) = value.filter(is_given) else { return Ok(0) };
    unsigned(value).ok_or_else(|| unexpected(field, expected, value))
}
