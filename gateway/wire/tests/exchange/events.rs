//! Events as JSON: key order, decimals, units, to the letter.

use tickcast_wire::exchange::{Array, LegacyTradeIds, Style, TimeUnit, json};
use tickcast_wire::{
    AggTrade, Average, Bar, Channel, DepthHead, Instrument, Level, Quote, RollingTicker, Side,
    Tick, Ticker, Trade, Window,
};

use super::instrument;

const MS: u64 = 1_000_000;

const BEST: Quote = Quote {
    bid_price: 6_543_210,
    bid_quantity: 125_000,
    ask_price: 6_543_220,
    ask_quantity: 80_000,
    update_id: 7_001_234_567,
};

fn styled(ticks: &[Tick], instrument: &Instrument, style: Style) -> String {
    let mut out = Vec::new();
    json::entry(&mut out, ticks, instrument, Some(&BEST), style);
    String::from_utf8(out).unwrap()
}

fn written(tick: Tick) -> String {
    styled(&[tick], &instrument(-2, -5), Style::default())
}

fn in_micros(tick: Tick) -> String {
    let style = Style { unit: TimeUnit::Microsecond, ..Style::default() };
    styled(&[tick], &instrument(-2, -5), style)
}

fn trade() -> Tick {
    let trade = Trade {
        price: 6_543_210,
        quantity: 1_000,
        trade_id: 9_000_000_001,
        ts_trade_ns: 1_767_225_600_123 * MS,
        buyer_is_maker: true,
    };
    Tick::from_trade(0, 1_767_225_600_124 * MS + 567_890, &trade)
}

#[test]
fn a_trade() {
    assert_eq!(
        written(trade()),
        r#"{"e":"trade","E":1767225600124,"s":"BTCUSDT","t":9000000001,"p":"65432.10000000","q":"0.01000000","T":1767225600123,"m":true,"M":true}"#
    );
    assert_eq!(
        in_micros(trade()),
        r#"{"e":"trade","E":1767225600124567,"s":"BTCUSDT","t":9000000001,"p":"65432.10000000","q":"0.01000000","T":1767225600123000,"m":true,"M":true}"#
    );
    let legacy = Style { trade_ids: LegacyTradeIds::Append, ..Style::default() };
    assert_eq!(
        styled(&[trade()], &instrument(-2, -5), legacy),
        r#"{"e":"trade","E":1767225600124,"s":"BTCUSDT","t":9000000001,"p":"65432.10000000","q":"0.01000000","T":1767225600123,"m":true,"M":true,"b":0,"a":0}"#
    );
}

#[test]
fn an_aggregate_trade() {
    let trade = AggTrade {
        price: 6_543_210,
        quantity: 5_200,
        agg_id: 3_300_000_007,
        first_trade_id: 9_000_000_001,
        last_trade_id: 9_000_000_003,
        ts_trade_ns: 1_767_225_600_123 * MS,
        buyer_is_maker: false,
    };
    assert_eq!(
        written(Tick::from_agg_trade(0, 1_767_225_600_125 * MS, &trade)),
        r#"{"e":"aggTrade","E":1767225600125,"s":"BTCUSDT","a":3300000007,"p":"65432.10000000","q":"0.05200000","f":9000000001,"l":9000000003,"T":1767225600123,"m":false,"M":true}"#
    );
}

#[test]
fn a_best_bid_and_offer_has_neither_name_nor_time() {
    assert_eq!(
        written(Tick::from_quote(0, 1, &BEST)),
        r#"{"u":7001234567,"s":"BTCUSDT","b":"65432.10000000","B":"1.25000000","a":"65432.20000000","A":"0.80000000"}"#
    );
}

fn ticker() -> Tick {
    let ticker = Ticker {
        open: 6_401_000,
        high: 6_590_000,
        low: 6_380_055,
        last: 6_543_210,
        last_quantity: 1_000,
        volume: 1_821_143_310,
        quote_volume: 118_123_456_789,
        previous_close: 6_400_999,
        first_trade_id: 8_998_000_000,
        last_trade_id: 9_000_000_001,
        trades: 2_000_002,
    };
    Tick::from_ticker(0, 1_767_225_601_001 * MS, &ticker)
}

const TICKER: &str = r#"{"e":"24hrTicker","E":1767225601001,"s":"BTCUSDT","p":"1422.10000000","P":"2.222","w":"64862.25226778","x":"64009.99000000","c":"65432.10000000","Q":"0.01000000","b":"65432.10000000","B":"1.25000000","a":"65432.20000000","A":"0.80000000","o":"64010.00000000","h":"65900.00000000","l":"63800.55000000","v":"18211.43310000","q":"1181234567.89000000","O":1767139201001,"C":1767225601001,"F":8998000000,"L":9000000001,"n":2000002}"#;
const MINI: &str = r#"{"e":"24hrMiniTicker","E":1767225601001,"s":"BTCUSDT","c":"65432.10000000","o":"64010.00000000","h":"65900.00000000","l":"63800.55000000","v":"18211.43310000","q":"1181234567.89000000"}"#;

#[test]
fn tickers_of_a_day() {
    assert_eq!(written(ticker()), TICKER);
    let mut out = Vec::new();
    json::mini_ticker(&mut out, &ticker(), &instrument(-2, -5), TimeUnit::Millisecond);
    assert_eq!(String::from_utf8(out).unwrap(), MINI);
    let mut out = Vec::new();
    json::entry(&mut out, &[ticker()], &instrument(-2, -5), None, Style::default());
    let unquoted = String::from_utf8(out).unwrap();
    assert!(
        unquoted.contains(r#""b":"0.00000000","B":"0.00000000","a":"0.00000000","A":"0.00000000""#)
    );
}

#[test]
fn arrays_are_what_their_elements_are() {
    let (tick, instrument) = (ticker(), instrument(-2, -5));
    let array = |of, count| {
        let mut out = Vec::new();
        let elements = std::iter::repeat_n((&tick, &instrument, Some(&BEST)), count);
        json::array(&mut out, of, elements, TimeUnit::Millisecond);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(array(Array::MiniTicker, 2), format!("[{MINI},{MINI}]"));
    assert_eq!(array(Array::Ticker, 1), format!("[{TICKER}]"));
    assert_eq!(array(Array::MiniTicker, 0), "[]");
}

#[test]
fn a_rolling_ticker() {
    let rolling = RollingTicker {
        ts_open_ns: 1_767_222_000_000 * MS,
        open: 6_540_000,
        high: 6_544_100,
        low: 6_530_000,
        last: 6_533_460,
        volume: 300_000,
        quote_volume: 19_620_000,
        first_trade_id: 8_999_990_000,
        last_trade_id: 9_000_000_001,
        trades: 10_002,
    };
    let rest = r#","E":1767225601001,"s":"BTCUSDT","p":"-65.40000000","P":"-0.100","o":"65400.00000000","h":"65441.00000000","l":"65300.00000000","c":"65334.60000000","w":"65400.00000000","v":"3.00000000","q":"196200.00000000","O":1767222000000,"C":1767225601001,"F":8999990000,"L":9000000001,"n":10002}"#;
    for (window, name) in
        [(Window::Hour, "1hTicker"), (Window::FourHours, "4hTicker"), (Window::Day, "1dTicker")]
    {
        let tick = Tick::from_rolling(window, 0, 1_767_225_601_001 * MS, &rolling);
        assert_eq!(written(tick), format!(r#"{{"e":"{name}"{rest}"#));
    }
}

fn bar(name: &str, ts_open_ns: u64) -> Tick {
    let bar = Bar {
        ts_open_ns,
        open: 6_543_210,
        high: 6_544_100,
        low: 6_543_000,
        close: 6_544_000,
        volume: 321_000,
        quote_volume: 21_004_111,
        taker_volume: 190_000,
        taker_quote_volume: 12_432_100,
        first_trade_id: 9_000_000_001,
        trades: 40,
        is_final: name == "bar_1M",
    };
    Tick::from_bar(Channel::parse(name).unwrap(), 0, 1_767_225_602_000 * MS, &bar)
}

#[test]
fn bars() {
    assert_eq!(
        written(bar("bar_1m", 1_767_225_600_000 * MS)),
        r#"{"e":"kline","E":1767225602000,"s":"BTCUSDT","k":{"t":1767225600000,"T":1767225659999,"s":"BTCUSDT","i":"1m","f":9000000001,"L":9000000040,"o":"65432.10000000","c":"65440.00000000","h":"65441.00000000","l":"65430.00000000","v":"3.21000000","n":40,"x":false,"q":"210041.11000000","V":"1.90000000","Q":"124321.00000000","B":"0"}}"#
    );
    // January 2026 has 31 days; in µs the last moment is one µs before February.
    let month = in_micros(bar("bar_1M", 1_767_225_600_000 * MS));
    assert!(month.contains(r#""t":1767225600000000,"T":1769903999999999,"s":"BTCUSDT","i":"1M""#));
    assert!(month.contains(r#""x":true"#), "{month}");
}

#[test]
fn an_average_price() {
    let average = Average { price: 6_540_012, minutes: 5, ts_trade_ns: 1_767_225_602_871 * MS };
    assert_eq!(
        written(Tick::from_average(0, 1_767_225_603_000 * MS, &average)),
        r#"{"e":"avgPrice","E":1767225603000,"s":"BTCUSDT","i":"5m","w":"65400.12000000","T":1767225602871}"#
    );
}

const DIFF: &str = r#"{"e":"depthUpdate","E":1767225600120,"s":"BTCUSDT","U":7001234501,"u":7001234567,"b":[["65432.10000000","1.25000000"],["65431.80000000","0.00000000"]],"a":[["65432.20000000","0.80000000"]]}"#;
const PARTIAL: &str = r#"{"lastUpdateId":7001234567,"bids":[["65432.10000000","1.25000000"],["65431.80000000","0.00000000"]],"asks":[["65432.20000000","0.80000000"]]}"#;

#[test]
fn changes_of_a_book_and_its_best_levels() {
    let level = |side, price, quantity| Level { side, price, quantity };
    let changes = [
        level(Side::Bid, 6_543_210, 125_000),
        level(Side::Ask, 6_543_220, 80_000),
        level(Side::Bid, 6_543_180, 0),
    ];
    let ts_ns = 1_767_225_600_120 * MS;
    let mut group = Vec::new();
    Tick::push_depth(&mut group, 0, ts_ns, 7_001_234_501..=7_001_234_567, &changes);
    assert_eq!(styled(&group, &instrument(-2, -5), Style::default()), DIFF);
    group.iter_mut().for_each(|tick| tick.kind = Channel::Depth10.code());
    assert_eq!(styled(&group, &instrument(-2, -5), Style::default()), PARTIAL);

    let head = DepthHead {
        ts_event_ns: ts_ns,
        seq: 1,
        instrument: 0,
        ring_delay_ns: 0,
        first_update_id: 7_001_234_501,
        last_update_id: 7_001_234_567,
    };
    let (bids, asks) = ([(6_543_210, 125_000), (6_543_180, 0)], [(6_543_220, 80_000)]);
    let mut out = Vec::new();
    let unit = TimeUnit::Millisecond;
    json::merged_depth(&mut out, &head, &bids, &asks, &instrument(-2, -5), unit);
    assert_eq!(String::from_utf8(std::mem::take(&mut out)).unwrap(), DIFF);
    json::partial_depth(&mut out, head.last_update_id, &bids, &asks, &instrument(-2, -5));
    assert_eq!(String::from_utf8(std::mem::take(&mut out)).unwrap(), PARTIAL);
    json::partial_depth(&mut out, 5, &[], &[], &instrument(-2, -5));
    assert_eq!(out, br#"{"lastUpdateId":5,"bids":[],"asks":[]}"#);

    let mut silent = Vec::new();
    Tick::push_depth(&mut silent, 0, ts_ns, 8..=9, &[]);
    assert!(
        styled(&silent, &instrument(-2, -5), Style::default()).ends_with(r#""u":9,"b":[],"a":[]}"#)
    );
}

#[test]
fn decimals_have_eight_places_or_as_many_as_the_instrument() {
    let text = |mantissa, exponent| {
        let mut out = Vec::new();
        json::write_padded(&mut out, mantissa, exponent);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(text(6_543_210, -2), "65432.10000000");
    assert_eq!(text(6_543_210_000_000, -8), "65432.10000000");
    assert_eq!(text(7, 0), "7.00000000");
    assert_eq!(text(0, 0), "0.00000000");
    assert_eq!(text(-5, -1), "-0.50000000");
    assert_eq!(text(123_456_789_012, -10), "12.3456789012");
    assert_eq!(text(i64::MIN, -18), "-9.223372036854775808");
}

#[test]
fn quotients_are_exact_to_the_last_place_and_never_overflow() {
    assert_eq!(json::thousandths_of_a_percent(1, 3), 33_333);
    assert_eq!(json::thousandths_of_a_percent(2, 3), 66_667);
    assert_eq!(json::thousandths_of_a_percent(-2, 3), -66_667);
    assert_eq!(json::thousandths_of_a_percent(5, 0), 0);
    assert_eq!(json::thousandths_of_a_percent(i64::MAX, 1), i64::MAX);
    // 10 / 3 with prices of two places and quantities of five.
    assert_eq!(json::average_price(1_000, 300_000, 0, &instrument(-2, -5)), (333_333_333, -8));
    assert_eq!(json::average_price(10, 3, 0, &instrument(0, 0)), (333_333_333, -8));
    assert_eq!(json::average_price(10, 3, 4, &instrument(-18, 0)), (3, -18));
    assert_eq!(json::average_price(10, 0, 4, &instrument(-2, -5)), (4, -2), "no volume");
    let huge = json::average_price(i64::MAX, 1, 4, &instrument(0, -18));
    assert_eq!(huge, (4, 0), "beyond 64 bits");
}

#[test]
fn what_has_no_event_is_not_written() {
    for tick in [
        Tick::from_status(0, 1, tickcast_wire::TradingStatus::Halted),
        Tick::from_epoch(1, 1),
        Tick::from_definition(&instrument(-2, -5), 1),
    ] {
        assert_eq!(written(tick), "");
    }
    assert_eq!(styled(&[], &instrument(-2, -5), Style::default()), "");
}
