//! What clients publish: as JSON, as binary messages, well and badly.

use proptest::prelude::*;
use serde_json::json;
use tickcast_wire::command::{Buffers, Command, CommandId, Publish, TICKS_PER_PUBLISH_MAX};
use tickcast_wire::sbe::{self, Template};
use tickcast_wire::{
    Channel, ErrorCode, Instrument, Quote, Symbol, Tick, Trade, TradingStatus, flags,
};

const NOW_NS: u64 = 1_000;

fn instrument() -> Instrument {
    Instrument {
        id: 3,
        symbol: Symbol::new("C0").unwrap(),
        base_len: 0,
        price_exponent: -2,
        quantity_exponent: -1,
        tick_size: 5,
        lot_size: 0,
        channels: Channel::Trade.bit() | Channel::Quote.bit(),
    }
}

fn publish(text: &str) -> Publish {
    match Command::parse(&mut text.as_bytes().to_vec(), &mut Buffers::new()) {
        Ok(Command::Publish(publish)) => publish,
        other => panic!("{text}: {other:?}"),
    }
}

/// The tick that the fields make, or why they make none.
fn tick(fields: &str) -> Result<Tick, (ErrorCode, String)> {
    let publish = publish(&format!(r#"{{"op":"publish","ticks":[{{{fields}}}]}}"#));
    let refused = |error: &tickcast_wire::command::DraftError| (error.code(), error.to_string());
    let draft = publish.ticks[0].as_ref().map_err(|bad| refused(&bad.error))?;
    draft.tick(&instrument(), NOW_NS).map_err(|error| refused(&error))
}

#[test]
fn a_trade_and_a_quote_with_everything() {
    let trade = tick(
        r#""topic":"C0.trade","price":"12.350","quantity":"7","side":"buy","trade_id":"18446744073709551615","ts":"50","ts_trade":40,"later":[]"#,
    )
    .unwrap();
    let expected = Trade {
        price: 1_235,
        quantity: 70,
        trade_id: u64::MAX,
        ts_trade_ns: 40,
        buyer_is_maker: false,
    };
    assert_eq!((trade.trade(), trade.ts_event_ns, trade.instrument), (expected, 50, 3));
    assert_eq!(trade.seq, 0, "numbers are the sequencer's");
    let sale = tick(r#""topic":"C0.trade","price":"12.35","quantity":"7","side":"sell""#).unwrap();
    assert_ne!(sale.flags & flags::BUYER_IS_MAKER, 0);
    assert_eq!((sale.ts_event_ns, sale.trade().ts_trade_ns), (NOW_NS, NOW_NS));
    assert_eq!(sale.trade().trade_id, 0);
    let quote = tick(r#""topic":"C0.quote","ask":"1.05","ask_quantity":"0.1","bid":null"#).unwrap();
    let expected =
        Quote { bid_price: 0, bid_quantity: 0, ask_price: 105, ask_quantity: 1, update_id: 0 };
    assert_eq!(quote.quote(), expected);
}

#[test]
fn bad_ticks_say_what_is_wrong_and_do_not_void_the_others() {
    const TRADE: &str = r#""topic":"C0.trade","price":"12.35","quantity":"7","side":"buy""#;
    for (fields, code, message) in [
        ("", ErrorCode::BadField, r#"topic: missing, expected a string such as "C0.trade""#),
        (
            r#""topic":5"#,
            ErrorCode::BadField,
            r#"topic: expected a string such as "C0.trade", found 5"#,
        ),
        (
            r#""topic":"c0.trade""#,
            ErrorCode::BadTopic,
            "a symbol consists of A-Z, 0-9, '.', '_' and '-'",
        ),
        (r#""topic":"C0""#, ErrorCode::BadTopic, "a topic is written SYMBOL.channel or *.channel"),
        (
            r#""topic":"C0.depth""#,
            ErrorCode::NotPublishable,
            "depth is made by the gateway's feed: clients publish trade and quote",
        ),
        (
            r#""topic":"*.trade""#,
            ErrorCode::NotPublishable,
            "a wildcard is made by the gateway's feed: clients publish trade and quote",
        ),
        (
            r#""topic":"C0.trade""#,
            ErrorCode::BadField,
            r#"side: missing, expected "buy" or "sell", whichever took"#,
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"1""#,
            ErrorCode::BadField,
            r#"price: missing, expected a decimal number in a string, such as "12.50""#,
        ),
        (
            r#""topic":"C0.trade","side":"bid","quantity":"1","price":"1""#,
            ErrorCode::BadField,
            r#"side: expected "buy" or "sell", whichever took, found "bid""#,
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"1","price":12.35"#,
            ErrorCode::BadField,
            r#"price: expected a decimal number in a string, such as "12.50", found 12.35"#,
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"1","price":"1e3""#,
            ErrorCode::BadField,
            r#"price: expected a decimal number in a string, such as "12.50", found "1e3""#,
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"1","price":"12.345""#,
            ErrorCode::BadField,
            "price: more decimal places than the exponent has (2 decimal places)",
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"1","price":"9223372036854775807""#,
            ErrorCode::BadField,
            "price: decimal number out of range (2 decimal places)",
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"1","price":"12.34""#,
            ErrorCode::BadField,
            "price: must be a multiple of 0.05",
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"0","price":"12.35""#,
            ErrorCode::BadField,
            "quantity: must be above zero",
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"1","price":"-12.35""#,
            ErrorCode::BadField,
            "price: must be above zero",
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"1","price":"1","trade_id":-1"#,
            ErrorCode::BadField,
            r#"trade_id: expected an id of 64 bits, such as "3721000001", found -1"#,
        ),
        (
            r#""topic":"C0.trade","side":"buy","quantity":"1","price":"1","ts":"now""#,
            ErrorCode::BadField,
            r#"ts: expected nanoseconds since 1970, such as "1723075200123456789", found "now""#,
        ),
        (
            r#""topic":"C0.trade","price":"1","price":"2""#,
            ErrorCode::BadField,
            "price: given twice",
        ),
        (
            r#""topic":"C0.quote","bid":"1""#,
            ErrorCode::BadField,
            r#"bid_quantity: missing, expected a decimal number in a string, such as "12.50""#,
        ),
        (
            r#""topic":"C0.quote","bid":"2","bid_quantity":"1","ask":"1.95","ask_quantity":"1""#,
            ErrorCode::BadField,
            "bid: above the ask",
        ),
    ] {
        assert_eq!(tick(fields), Err((code, message.to_owned())), "{fields}");
        let text =
            format!(r#"{{"op":"publish","id":1,"ticks":[{{{TRADE}}},{{{fields}}},{{{TRADE}}}]}}"#);
        let publish = publish(&text);
        let made: Vec<bool> = publish
            .ticks
            .iter()
            .map(|draft| draft.as_ref().is_ok_and(|draft| draft.tick(&instrument(), 1).is_ok()))
            .collect();
        assert_eq!(made, [true, false, true], "{fields}");
    }
}

#[test]
fn commands_that_publish_nothing_or_too_much_are_refused_whole() {
    let refused = |text: String| {
        let refused = Command::parse(&mut text.into_bytes(), &mut Buffers::new()).unwrap_err();
        (refused.id, refused.code(), refused.to_string())
    };
    let id = Some(CommandId::Integer(4));
    let of = |ticks: serde_json::Value| json!({"op":"publish","id":4,"ticks":ticks}).to_string();
    let (found, code, message) = refused(of(json!([])));
    assert_eq!((found, code), (id, ErrorCode::BadField));
    assert_eq!(message, "ticks: expected at least one tick, found none");
    let (_, code, message) = refused(of(json!(vec![json!({}); TICKS_PER_PUBLISH_MAX + 1])));
    assert_eq!(code, ErrorCode::TooManyTicks);
    assert_eq!(message, "ticks: at most 1000 ticks in a command, found 1001");
    let (_, code, message) = refused(of(json!([{}, "C0.trade"])));
    assert_eq!(code, ErrorCode::BadField);
    assert_eq!(
        message,
        r#"ticks[1]: expected an object with topic, price and so on, found "C0.trade""#
    );
    let (_, code, message) = refused(r#"{"op":"publish"}"#.to_owned());
    assert_eq!(code, ErrorCode::BadField);
    assert!(message.starts_with("ticks: missing, expected an array of ticks such as {"));
}

/// A binary message of these ticks.
fn binary(ticks: &[Tick]) -> Vec<u8> {
    let mut out = Vec::new();
    sbe::publish(&mut out, 9, u64::MAX);
    for tick in ticks {
        sbe::entry(&mut out, &[*tick], &instrument());
    }
    out
}

fn a_trade() -> Tick {
    let trade = Trade { price: 5, quantity: 1, trade_id: 7, ts_trade_ns: 0, buyer_is_maker: true };
    Tick::from_trade(3, 0, &trade)
}

#[test]
fn binary_messages_are_commands() {
    let Ok(Command::Publish(publish)) = Command::parse_binary(&binary(&[a_trade(), a_trade()]))
    else {
        panic!("no publish")
    };
    assert_eq!((publish.id, publish.epoch), (Some(CommandId::Unsigned(u64::MAX)), Some(9)));
    let made = publish.ticks[1].as_ref().unwrap().tick(&instrument(), NOW_NS).unwrap();
    assert_eq!((made.ts_event_ns, made.trade().ts_trade_ns), (NOW_NS, NOW_NS));
    assert_eq!((made.trade().price, made.trade().buyer_is_maker), (5, true));
}

#[test]
fn binary_messages_that_are_wrong_are_named() {
    let code = |bytes: &[u8]| Command::parse_binary(bytes).unwrap_err().code();
    assert_eq!(code(b""), ErrorCode::Malformed);
    assert_eq!(code(b"{\"op\":\"ping\"}"), ErrorCode::Malformed);
    assert_eq!(code(&binary(&[])), ErrorCode::BadField);
    assert_eq!(code(&binary(&vec![a_trade(); 1001])), ErrorCode::TooManyTicks);
    let whole = binary(&[a_trade()]);
    assert_eq!(code(&whole[..whole.len() - 1]), ErrorCode::Malformed);
    assert_eq!(code(&whole[24..]), ErrorCode::Malformed, "it does not begin with Publish");
    let refused = Command::parse_binary(&whole[..whole.len() - 1]).unwrap_err();
    assert_eq!(refused.id, Some(CommandId::Unsigned(u64::MAX)));

    // One that is no tick, and one with a side that is none, do not void the others.
    let status = Tick::from_status(3, 0, TradingStatus::Halted);
    let mut bytes = binary(&[status, a_trade(), a_trade()]);
    let side = bytes.len() - usize::from(Template::Trade.block_length()) - 9;
    bytes[side] = 7;
    let Ok(Command::Publish(publish)) = Command::parse_binary(&bytes) else { panic!("refused") };
    let codes: Vec<Option<ErrorCode>> = publish
        .ticks
        .iter()
        .map(|draft| draft.as_ref().err().map(|bad| bad.error.code()))
        .collect();
    assert_eq!(codes, [Some(ErrorCode::NotPublishable), Some(ErrorCode::BadField), None]);
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..120), at in 0usize..80, byte: u8) {
        let _ = Command::parse_binary(&bytes);
        let mut changed = binary(&[a_trade()]);
        changed[at] = byte;
        changed.append(&mut bytes);
        if let Ok(Command::Publish(publish)) = Command::parse_binary(&changed) {
            for draft in publish.ticks.into_iter().flatten() {
                let _ = draft.tick(&instrument(), 1);
            }
        }
    }
}
