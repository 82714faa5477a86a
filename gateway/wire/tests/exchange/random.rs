//! Any values: events stay JSON with every number in it, and no request panics.

use proptest::prelude::*;
use serde_json::Value;
use tickcast_wire::decimal::parse_mantissa;
use tickcast_wire::exchange::{Grammar, Request, Schema, Stream, Style, SymbolCase, json};
use tickcast_wire::{Bar, Channel, Level, Side, Tick, Ticker, Trade};

use super::instrument;

fn event(ticks: &[Tick], exponents: (i8, i8)) -> Value {
    let mut out = Vec::new();
    json::entry(&mut out, ticks, &instrument(exponents.0, exponents.1), None, Style::default());
    serde_json::from_slice(&out).unwrap()
}

fn mantissa(value: &Value, exponent: i8) -> i64 {
    let text = value.as_str().unwrap();
    assert!(text.split_once('.').unwrap().1.len() >= 8, "{text}");
    parse_mantissa(text, exponent).unwrap()
}

proptest! {
    #[test]
    fn trades_say_what_their_ticks_say(
        price: i64, quantity: i64, trade_id: u64, ts_trade_ns: u64, ts_ns: u64, buyer_is_maker: bool,
        exponents in (-18i8..=0, -18i8..=0),
    ) {
        let trade = Trade { price, quantity, trade_id, ts_trade_ns, buyer_is_maker };
        let event = event(&[Tick::from_trade(0, ts_ns, &trade)], exponents);
        prop_assert_eq!(mantissa(&event["p"], exponents.0), price);
        prop_assert_eq!(mantissa(&event["q"], exponents.1), quantity);
        prop_assert_eq!(event["t"].as_u64(), Some(trade_id));
        prop_assert_eq!(event["T"].as_u64(), Some(ts_trade_ns / 1_000_000));
        prop_assert_eq!(event["E"].as_u64(), Some(ts_ns / 1_000_000));
        prop_assert_eq!(event["m"].as_bool(), Some(buyer_is_maker));
    }

    #[test]
    fn tickers_and_bars_of_any_numbers_are_json(
        n: [i64; 8], ids: [u64; 3], exponents in (-18i8..=0, -18i8..=0), code in 8u8..24,
    ) {
        let ticker = Ticker {
            open: n[0], high: n[1], low: n[2], last: n[3], last_quantity: n[4], volume: n[5],
            quote_volume: n[6], previous_close: n[7], first_trade_id: ids[0],
            last_trade_id: ids[1], trades: ids[2],
        };
        let told = event(&[Tick::from_ticker(0, ids[0], &ticker)], exponents);
        prop_assert_eq!(mantissa(&told["h"], exponents.0), ticker.high);
        prop_assert_eq!(mantissa(&told["v"], exponents.1), ticker.volume);
        prop_assert_eq!(told["n"].as_u64(), Some(ticker.trades));
        let bar = Bar {
            ts_open_ns: ids[0], open: n[0], high: n[1], low: n[2], close: n[3], volume: n[4],
            quote_volume: n[5], taker_volume: n[6], taker_quote_volume: n[7],
            first_trade_id: ids[1], trades: ids[2], is_final: false,
        };
        let channel = Channel::from_code(code).unwrap();
        let told = event(&[Tick::from_bar(channel, 0, ids[1], &bar)], exponents);
        prop_assert_eq!(mantissa(&told["k"]["Q"], exponents.0), bar.taker_quote_volume);
        prop_assert_eq!(told["k"]["n"].as_u64(), Some(bar.trades));
        prop_assert!(told["k"]["T"].as_u64() >= told["k"]["t"].as_u64());
    }

    #[test]
    fn levels_keep_their_order(
        levels in prop::collection::vec((any::<bool>(), any::<i64>(), any::<i64>()), 0..20),
        ids: (u64, u64), exponents in (-18i8..=0, -18i8..=0),
    ) {
        let levels: Vec<Level> = levels
            .into_iter()
            .map(|(is_bid, price, quantity)| {
                Level { side: if is_bid { Side::Bid } else { Side::Ask }, price, quantity }
            })
            .collect();
        let mut group = Vec::new();
        Tick::push_depth(&mut group, 0, 1, ids.0..=ids.1, &levels);
        let event = event(&group, exponents);
        prop_assert_eq!((event["U"].as_u64(), event["u"].as_u64()), (Some(ids.0), Some(ids.1)));
        for (side, key) in [(Side::Bid, "b"), (Side::Ask, "a")] {
            let told: Vec<(i64, i64)> = event[key].as_array().unwrap().iter()
                .map(|l| (mantissa(&l[0], exponents.0), mantissa(&l[1], exponents.1)))
                .collect();
            let of_side: Vec<(i64, i64)> = levels.iter().filter(|l| l.side == side)
                .map(|l| (l.price, l.quantity))
                .collect();
            prop_assert_eq!(told, of_side);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC*", bytes: Vec<u8>) {
        let _ = Request::parse(text.as_bytes());
        let _ = Request::parse(&bytes);
        for schema in [Schema::Json, Schema::Sbe] {
            for case in [SymbolCase::Lower, SymbolCase::Any] {
                let _ = Stream::parse(&text, Grammar { schema, case });
                let _ = Stream::parse(&format!("{text}@trade"), Grammar { schema, case });
            }
        }
    }

    #[test]
    fn what_a_name_means_has_a_name_that_means_it(
        name in "(btc|a[.]b|x_1-)@(trade|aggTrade|depth|depth5|depth20|kline_1m|ticker|ticker_1h|bestBidAsk)(@100ms|@1000ms)?",
    ) {
        for schema in [Schema::Json, Schema::Sbe] {
            let grammar = Grammar { schema, case: SymbolCase::Lower };
            let stream = Stream::parse(&name, grammar).unwrap();
            if stream != Stream::Silent {
                let canonical = stream.name(schema).to_string();
                prop_assert_eq!(Stream::parse(&canonical, grammar), Ok(stream));
            }
        }
    }
}
