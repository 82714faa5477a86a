//! Names: what they mean, and that what they mean has that name.

use tickcast_wire::exchange::{
    Array, Grammar, PartialLevels, Schema, Speed, Stream, StreamError, SymbolCase, View,
};
use tickcast_wire::{Channel, INTERVALS, Interval, Symbol, Window};

const SBE: Grammar = Grammar { schema: Schema::Sbe, case: SymbolCase::Lower };

fn parse(name: &str) -> Result<Stream, StreamError> {
    Stream::parse(name, Grammar::default())
}

fn btc(view: View) -> Stream {
    Stream::One(Symbol::new("BTCUSDT").unwrap(), view)
}

#[test]
fn every_documented_name_means_what_it_says() {
    let channel = |channel| btc(View::Channel(channel));
    let partial = |levels, speed| btc(View::Partial(levels, speed));
    let mut table = vec![
        ("btcusdt@trade".to_owned(), channel(Channel::Trade)),
        ("btcusdt@aggTrade".to_owned(), channel(Channel::AggTrade)),
        ("btcusdt@bookTicker".to_owned(), channel(Channel::Quote)),
        ("btcusdt@miniTicker".to_owned(), btc(View::MiniTicker)),
        ("btcusdt@ticker".to_owned(), channel(Channel::Ticker)),
        ("btcusdt@ticker_1h".to_owned(), channel(Channel::Rolling(Window::Hour))),
        ("btcusdt@ticker_4h".to_owned(), channel(Channel::Rolling(Window::FourHours))),
        ("btcusdt@ticker_1d".to_owned(), channel(Channel::Rolling(Window::Day))),
        ("btcusdt@avgPrice".to_owned(), channel(Channel::Average)),
        ("btcusdt@depth".to_owned(), btc(View::Depth(Speed::Slow))),
        ("btcusdt@depth@100ms".to_owned(), btc(View::Depth(Speed::Fast))),
        ("btcusdt@depth5".to_owned(), partial(PartialLevels::Five, Speed::Slow)),
        ("btcusdt@depth5@100ms".to_owned(), partial(PartialLevels::Five, Speed::Fast)),
        ("btcusdt@depth10".to_owned(), partial(PartialLevels::Ten, Speed::Slow)),
        ("btcusdt@depth10@100ms".to_owned(), partial(PartialLevels::Ten, Speed::Fast)),
        ("btcusdt@depth20".to_owned(), partial(PartialLevels::Twenty, Speed::Slow)),
        ("btcusdt@depth20@100ms".to_owned(), partial(PartialLevels::Twenty, Speed::Fast)),
        ("!bookTicker".to_owned(), Stream::Every(Channel::Quote)),
        ("!miniTicker@arr".to_owned(), Stream::Array(Array::MiniTicker)),
        ("!ticker@arr".to_owned(), Stream::Array(Array::Ticker)),
        ("!ticker_1h@arr".to_owned(), Stream::Array(Array::Rolling(Window::Hour))),
        ("!ticker_4h@arr".to_owned(), Stream::Array(Array::Rolling(Window::FourHours))),
        ("!ticker_1d@arr".to_owned(), Stream::Array(Array::Rolling(Window::Day))),
    ];
    for name in INTERVALS {
        let interval = Interval::parse(name).unwrap();
        table.push((format!("btcusdt@kline_{name}"), btc(View::of_bars(interval))));
        if !interval.by_utc8().is_by_utc() {
            let ahead = btc(View::of_bars(interval.by_utc8()));
            table.push((format!("btcusdt@kline_{name}@+08:00"), ahead));
        }
    }
    for (name, stream) in table {
        assert_eq!(parse(&name), Ok(stream), "{name}");
        assert_eq!(stream.name(Schema::Json).to_string(), name);
    }
}

#[test]
fn other_spellings_mean_the_same() {
    for (spelling, name) in [
        ("btcusdt@depth@1000ms", "btcusdt@depth"),
        ("btcusdt@depth10@1000ms", "btcusdt@depth10"),
        ("!miniTicker@arr@1000ms", "!miniTicker@arr"),
        ("!miniTicker@arr@3000ms", "!miniTicker@arr"),
        ("btcusdt@kline_1s@+08:00", "btcusdt@kline_1s"),
        ("btcusdt@kline_8h@+08:00", "btcusdt@kline_8h"),
    ] {
        assert_eq!(parse(spelling).unwrap().name(Schema::Json).to_string(), name, "{spelling}");
    }
}

#[test]
fn names_of_nothing_are_silent() {
    for name in [
        "btcusdt@nothing",
        "btcusdt@kline_7m",
        "btcusdt@kline_1H",
        "btcusdt@ticker_2h",
        "btcusdt@depth7",
        "btcusdt@depth@250ms",
        "btcusdt@depth5@100ms@100ms",
        "btcusdt@Trade",
        "btcusdt@referencePrice",
        "btcusdt@blockTrade",
        "BTCUSDT@trade",
        "BtcUsdt@trade",
        "币安人生usdt@trade",
        "a-symbol-that-is-longer-than-any-other@trade",
        "!nothing@arr",
        "!miniTicker@arr@fast",
        "!ticker_2h@arr",
    ] {
        assert_eq!(parse(name), Ok(Stream::Silent), "{name}");
    }
    assert_eq!(Stream::Silent.name(Schema::Json).to_string(), "");
}

#[test]
fn what_is_no_name_is_refused() {
    let long = format!("{}@trade", "a".repeat(200));
    for name in [
        "",
        "0",
        "17",
        "btcusdt",
        "@trade",
        "btcusdt@",
        "btcusdt@@trade",
        "btcusdt@depth@",
        "!",
        "!@arr",
        "!!ticker@arr",
        "!ticker@",
        "btc usdt@trade",
        "btcusdt@trade/ethusdt@trade",
        "btcusdt@tr\"ade",
        "btc!usdt@trade",
        &long,
    ] {
        assert_eq!(parse(name), Err(StreamError), "{name}");
    }
    assert_eq!(StreamError.to_string(), "invalid stream");
}

#[test]
fn upper_case_is_another_stream_unless_it_is_let_in() {
    let any = Grammar { case: SymbolCase::Any, ..Grammar::default() };
    let trade = btc(View::Channel(Channel::Trade));
    for name in ["BTCUSDT@trade", "BtcUsdt@trade", "btcusdt@trade"] {
        assert_eq!(Stream::parse(name, any), Ok(trade), "{name}");
    }
    assert_eq!(Stream::parse("BTCUSDT@TRADE", any), Ok(Stream::Silent));
    assert_eq!(trade.name(Schema::Json).to_string(), "btcusdt@trade");
}

#[test]
fn binary_streams_have_names_of_their_own() {
    for (name, view) in [
        ("btcusdt@trade", View::Channel(Channel::Trade)),
        ("btcusdt@bestBidAsk", View::Channel(Channel::Quote)),
        ("btcusdt@depth", View::Depth(Speed::Rapid)),
        ("btcusdt@depth20", View::Partial(PartialLevels::Twenty, Speed::Brisk)),
    ] {
        let stream = btc(view);
        assert_eq!(Stream::parse(name, SBE), Ok(stream), "{name}");
        assert_eq!(stream.name(Schema::Sbe).to_string(), name);
    }
    for name in ["btcusdt@bookTicker", "btcusdt@kline_1m", "!miniTicker@arr", "!bookTicker"] {
        assert_eq!(Stream::parse(name, SBE), Ok(Stream::Silent), "{name}");
    }
}
