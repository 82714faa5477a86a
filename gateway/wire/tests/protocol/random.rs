//! Whatever a tick says, both encodings say it too: random ticks are encoded, decoded and compared
//! with what was put in; decimals of the JSON are parsed back to their mantissas.

use proptest::prelude::*;
use serde_json::Value;
use tickcast_wire::decimal::parse_mantissa;
use tickcast_wire::sbe::{self, EventHead, Message};
use tickcast_wire::{
    Bar, Channel, DepthHead, Encoding, Instrument, Level, Quote, Side, Tick, Ticker, Trade,
};

use crate::cases::instruments;

prop_compose! {
    fn instrument()(price in -18i8..=0, quantity in -18i8..=0) -> Instrument {
        Instrument { price_exponent: price, quantity_exponent: quantity, ..instruments()[0] }
    }
}

prop_compose! {
    fn quotes()(bid_price: i64, bid_quantity: i64, ask_price: i64, ask_quantity: i64) -> Quote {
        Quote { bid_price, bid_quantity, ask_price, ask_quantity, update_id: 0 }
    }
}

prop_compose! {
    fn trades()(price: i64, quantity: i64, trade_id: u64, ts_trade_ns: u64, buyer_is_maker: bool)
    -> Trade {
        Trade { price, quantity, trade_id, ts_trade_ns, buyer_is_maker }
    }
}

prop_compose! {
    fn tickers()(m: [i64; 8], n: [u64; 3]) -> Ticker {
        Ticker {
            open: m[0], high: m[1], low: m[2], last: m[3], last_quantity: m[4], volume: m[5],
            quote_volume: m[6], previous_close: m[7],
            first_trade_id: n[0], last_trade_id: n[1], trades: n[2],
        }
    }
}

prop_compose! {
    fn bars()(m: [i64; 8], n: [u64; 3], is_final: bool) -> Bar {
        Bar {
            open: m[0], high: m[1], low: m[2], close: m[3], volume: m[4], quote_volume: m[5],
            taker_volume: m[6], taker_quote_volume: m[7],
            ts_open_ns: n[0], first_trade_id: n[1], trades: n[2], is_final,
        }
    }
}

fn levels() -> impl Strategy<Value = Vec<Level>> {
    let level =
        (any::<bool>(), any::<i64>(), any::<i64>()).prop_map(|(is_ask, price, quantity)| {
            let side = if is_ask { Side::Ask } else { Side::Bid };
            Level { side, price, quantity }
        });
    prop::collection::vec(level, 0..40)
}

fn side(levels: &[Level], side: Side) -> Vec<(i64, i64)> {
    let of_side = levels.iter().filter(|level| level.side == side);
    of_side.map(|level| (level.price, level.quantity)).collect()
}

fn json(ticks: &[Tick], instrument: &Instrument) -> Value {
    let mut out = Vec::new();
    Encoding::Json.entry(&mut out, ticks, instrument);
    serde_json::from_slice(&out).expect("an event is JSON")
}

fn binary(ticks: &[Tick], instrument: &Instrument) -> Vec<u8> {
    let mut out = Vec::new();
    Encoding::Sbe.entry(&mut out, ticks, instrument);
    out
}

fn price(value: &Value, instrument: &Instrument) -> i64 {
    parse_mantissa(value.as_str().unwrap(), instrument.price_exponent).unwrap()
}

fn quantity(value: &Value, instrument: &Instrument) -> i64 {
    parse_mantissa(value.as_str().unwrap(), instrument.quantity_exponent).unwrap()
}

fn pairs(value: &Value, instrument: &Instrument) -> Vec<(i64, i64)> {
    let pair = |pair: &Value| (price(&pair[0], instrument), quantity(&pair[1], instrument));
    value.as_array().unwrap().iter().map(pair).collect()
}

/// Stamps a tick with the values, and says what its head must be.
fn stamp(tick: &mut Tick, seq: u64, ts_ring_ns: u64) -> EventHead {
    (tick.seq, tick.ts_ring_ns) = (seq, ts_ring_ns);
    let delay_ns = ts_ring_ns.saturating_sub(tick.ts_event_ns);
    EventHead {
        ts_event_ns: tick.ts_event_ns,
        seq,
        instrument: tick.instrument,
        ring_delay_ns: u32::try_from(delay_ns).unwrap_or(u32::MAX),
    }
}

proptest! {
    #[test]
    fn quotes_survive(quote in quotes(), instrument in instrument(), ts: u64, ring: u64, seq: u64) {
        let mut tick = Tick::from_quote(instrument.id, ts, &quote);
        let head = stamp(&mut tick, seq, ring);
        let bytes = binary(&[tick], &instrument);
        let messages: Vec<_> = sbe::decode(&bytes).collect();
        prop_assert_eq!(messages, [Ok(Message::Quote(head, quote))]);

        let event = json(&[tick], &instrument);
        let (p, q) = (|name| price(&event[name], &instrument), |name| quantity(&event[name], &instrument));
        prop_assert_eq!([p("bid"), q("bid_qty")], [quote.bid_price, quote.bid_quantity]);
        prop_assert_eq!([p("ask"), q("ask_qty")], [quote.ask_price, quote.ask_quantity]);
    }

    #[test]
    fn trades_survive(trade in trades(), instrument in instrument(), ts: u64, ring: u64, seq: u64) {
        let mut tick = Tick::from_trade(instrument.id, ts, &trade);
        let head = stamp(&mut tick, seq, ring);
        let bytes = binary(&[tick], &instrument);
        let messages: Vec<_> = sbe::decode(&bytes).collect();
        prop_assert_eq!(messages, [Ok(Message::Trade(head, trade))]);

        let event = json(&[tick], &instrument);
        prop_assert_eq!(price(&event["price"], &instrument), trade.price);
        prop_assert_eq!(quantity(&event["qty"], &instrument), trade.quantity);
        prop_assert_eq!(&event["id"], &Value::from(trade.trade_id.to_string()));
        prop_assert_eq!(&event["ts_trade"], &Value::from(trade.ts_trade_ns.to_string()));
        prop_assert_eq!(event["maker"] == "bid", trade.buyer_is_maker);
    }

    #[test]
    fn tickers_and_bars_survive(
        ticker in tickers(), bar in bars(), code in 8u8..24, instrument in instrument(), seq: u64,
    ) {
        let channel = Channel::from_code(code).unwrap();
        let mut ticks = [
            Tick::from_ticker(instrument.id, 1, &ticker),
            Tick::from_bar(channel, instrument.id, 1, &bar),
        ];
        let [first, second] = &mut ticks;
        let (ticker_head, bar_head) = (stamp(first, seq, 5), stamp(second, seq, 0));
        let mut bytes = binary(&ticks[..1], &instrument);
        bytes.extend(binary(&ticks[1..], &instrument));
        let messages: Vec<_> = sbe::decode(&bytes).collect();
        prop_assert_eq!(
            messages,
            [Ok(Message::Ticker(ticker_head, ticker)), Ok(Message::Bar(bar_head, channel, bar))]
        );

        let event = json(&ticks[..1], &instrument);
        prop_assert_eq!(price(&event["quote_volume"], &instrument), ticker.quote_volume);
        prop_assert_eq!(quantity(&event["last_qty"], &instrument), ticker.last_quantity);
        let event = json(&ticks[1..], &instrument);
        prop_assert_eq!(event["e"].as_str(), Some(channel.name()));
        prop_assert_eq!(quantity(&event["taker_volume"], &instrument), bar.taker_volume);
        prop_assert_eq!(price(&event["taker_quote_volume"], &instrument), bar.taker_quote_volume);
        prop_assert_eq!(event["final"].as_bool(), Some(bar.is_final));
    }

    /// A group as ticks and the same levels as slices give the same bytes but for the flag that
    /// says which it was; nothing gets lost or out of order.
    #[test]
    fn depth_survives(levels in levels(), instrument in instrument(), first: u64, last: u64) {
        let mut ticks = Vec::new();
        Tick::push_depth(&mut ticks, instrument.id, 77, first..=last, &levels);
        let heads: Vec<EventHead> = ticks.iter_mut().map(|tick| stamp(tick, 3, 99)).collect();
        let (bids, asks) = (side(&levels, Side::Bid), side(&levels, Side::Ask));

        let bytes = binary(&ticks, &instrument);
        let messages: Vec<_> = sbe::decode(&bytes).collect();
        let [Ok(Message::DepthUpdate(update))] = messages.as_slice() else {
            return Err(TestCaseError::fail(format!("{messages:?}")));
        };
        prop_assert_eq!(update.head, heads[0]);
        prop_assert_eq!((update.first_update_id, update.last_update_id), (first, last));
        prop_assert_eq!(update.bids.len(), bids.len());
        prop_assert!(update.bids.clone().eq(bids.iter().copied()));
        prop_assert!(update.asks.clone().eq(asks.iter().copied()));

        let event = json(&ticks, &instrument);
        prop_assert_eq!(&pairs(&event["bids"], &instrument), &bids);
        prop_assert_eq!(&pairs(&event["asks"], &instrument), &asks);

        let head = DepthHead {
            ts_event_ns: 77, seq: 3, instrument: instrument.id, ring_delay_ns: 22,
            first_update_id: first, last_update_id: last,
        };
        let mut merged = Vec::new();
        Encoding::Sbe.merged_depth(&mut merged, &head, &bids, &asks, &instrument);
        prop_assert_eq!(std::mem::replace(&mut merged[48], 0), sbe::depth_flags::MERGED);
        prop_assert_eq!(&merged, &bytes);

        // A partial book kept as a group, and one written from slices.
        for tick in &mut ticks {
            tick.kind = Channel::Depth10.code();
        }
        for encoding in Encoding::ALL {
            let (mut kept, mut written) = (Vec::new(), Vec::new());
            encoding.entry(&mut kept, &ticks, &instrument);
            encoding.partial_depth(
                &mut written, Channel::Depth10, &head, &bids, &asks, &instrument,
            );
            prop_assert_eq!(kept, written);
        }
    }
}
