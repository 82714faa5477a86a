//! `/api/v3` of the real binary: the exchange's forms, with the numbers of the stream.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use support::process::{Gateway, until};

/// Status, head and body of an answer.
fn ask(gateway: &Gateway, path: &str, headers: &str) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(gateway.listen).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n{headers}Connection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    (status, head.to_ascii_lowercase(), body)
}

fn body(gateway: &Gateway, path: &str) -> Value {
    let (status, _, body) = ask(gateway, path, "");
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn decimal(value: &Value) -> f64 {
    let text = value.as_str().unwrap_or_else(|| panic!("decimals are strings: {value}"));
    let digits = text.split_once('.').unwrap_or_else(|| panic!("no point: {text}")).1;
    assert!(digits.len() >= 8, "eight decimals: {text}");
    text.parse().unwrap()
}

fn simulator(more: &[&str]) -> (Gateway, String) {
    // Tests ask until something is there, as often as it takes.
    let unlimited = ["--shards", "2", "--symbols", "3", "--exchange-weight", "0"];
    let gateway = Gateway::start(&[&unlimited, more].concat());
    let info = body(&gateway, "/api/v3/exchangeInfo");
    let symbol = info["symbols"][0]["symbol"].as_str().unwrap().to_owned();
    // A whole bar of a second, so that everything has been told once.
    until("a past", || {
        let bars = body(&gateway, &format!("/api/v3/klines?symbol={symbol}&interval=1s"));
        let tickers = ask(&gateway, &format!("/api/v3/ticker/24hr?symbol={symbol}"), "");
        (bars.as_array().unwrap().len() >= 3 && tickers.0 == 200).then_some(())
    });
    (gateway, symbol)
}

#[test]
fn symbols_have_what_clients_read_out_of_them() {
    let (gateway, symbol) = simulator(&[]);
    assert_eq!(body(&gateway, "/api/v3/ping"), serde_json::json!({}));
    let time = body(&gateway, "/api/v3/time")["serverTime"].as_u64().unwrap();
    assert!(time > 1_700_000_000_000, "milliseconds: {time}");
    let info = body(&gateway, "/api/v3/exchangeInfo");
    assert_eq!(info["symbols"].as_array().unwrap().len(), 3);
    for one in info["symbols"].as_array().unwrap() {
        let (base, quote) =
            (one["baseAsset"].as_str().unwrap(), one["quoteAsset"].as_str().unwrap());
        assert_eq!(format!("{base}{quote}"), one["symbol"].as_str().unwrap());
        assert_eq!(one["status"], "TRADING");
        let filters: Vec<&str> = one["filters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|filter| filter["filterType"].as_str().unwrap())
            .collect();
        assert_eq!(filters, ["PRICE_FILTER", "LOT_SIZE", "NOTIONAL"]);
        assert!(decimal(&one["filters"][0]["tickSize"]) > 0.0);
        assert_eq!(one["permissionSets"][0][0], "SPOT");
    }
    let one = body(&gateway, &format!("/api/v3/exchangeInfo?symbol={symbol}"));
    assert_eq!(one["symbols"], serde_json::json!([info["symbols"][0]]));
    let encoded = format!("/api/v3/exchangeInfo?symbols=%5B%22{symbol}%22%5D");
    assert_eq!(body(&gateway, &encoded)["symbols"], one["symbols"]);
}

#[test]
fn books_trades_and_bars_are_those_of_the_gateway() {
    let (gateway, symbol) = simulator(&[]);
    let book = body(&gateway, &format!("/api/v3/depth?symbol={symbol}&limit=7"));
    let prices = |side: &str| -> Vec<f64> {
        book[side].as_array().unwrap().iter().map(|level| decimal(&level[0])).collect()
    };
    let (bids, asks) = (prices("bids"), prices("asks"));
    assert!(bids.len() == 7 && bids.is_sorted_by(|a, b| a > b), "{bids:?}");
    assert!(asks.len() == 7 && asks.is_sorted_by(|a, b| a < b), "{asks:?}");
    assert!(bids[0] < asks[0]);
    let id = book["lastUpdateId"].as_u64().unwrap();
    until("a later book", || {
        let later = body(&gateway, &format!("/api/v3/depth?symbol={symbol}"));
        (later["lastUpdateId"].as_u64().unwrap() > id).then_some(())
    });

    let trades = body(&gateway, &format!("/api/v3/trades?symbol={symbol}&limit=5"));
    let trades = trades.as_array().unwrap();
    assert!(!trades.is_empty() && trades.len() <= 5);
    for trade in trades {
        let value = decimal(&trade["price"]) * decimal(&trade["qty"]);
        let told = decimal(&trade["quoteQty"]);
        assert!((value - told).abs() <= value * 1e-9 + 1e-8, "{trade}");
    }
    let first = trades[0]["id"].as_u64().unwrap();
    let again =
        body(&gateway, &format!("/api/v3/historicalTrades?symbol={symbol}&fromId={first}&limit=1"));
    assert_eq!(again, serde_json::json!([trades[0]]));

    let path = format!("/api/v3/aggTrades?symbol={symbol}&limit=5");
    let aggregates = until("aggregate trades", || {
        let found = body(&gateway, &path);
        (found.as_array().unwrap().len() == 5).then_some(found)
    });
    let numbers = |name: &str| -> Vec<u64> {
        aggregates.as_array().unwrap().iter().map(|one| one[name].as_u64().unwrap()).collect()
    };
    let (first_ids, last_ids) = (numbers("f"), numbers("l"));
    assert!(numbers("a").windows(2).all(|pair| pair[1] == pair[0] + 1), "{aggregates}");
    assert!(first_ids.iter().zip(&last_ids).all(|(first, last)| first <= last), "{aggregates}");
    assert!(first_ids[1..].iter().zip(&last_ids).all(|(first, last)| *first == last + 1));

    let bars = body(&gateway, &format!("/api/v3/klines?symbol={symbol}&interval=1s&limit=3"));
    let first = bars[0][0].as_u64().unwrap();
    let native = format!("/v1/bars/{symbol}?interval=1s&from={first}000000&limit=1");
    let native = &body(&gateway, &native)["bars"][0];
    let bar = &bars[0];
    assert_eq!(bar.as_array().unwrap().len(), 12);
    for (at, name) in [(1, "open"), (2, "high"), (3, "low"), (4, "close"), (5, "volume")] {
        let told: f64 = native[name].as_str().unwrap().parse().unwrap();
        assert!((decimal(&bar[at]) - told).abs() < 1e-9, "{name}: {bar} {native}");
    }
    assert_eq!(bar[6].as_u64().unwrap(), first + 999);
    assert_eq!(bar[8].to_string(), native["trades"].as_str().unwrap());
    let within =
        format!("/api/v3/uiKlines?symbol={symbol}&interval=1s&startTime={first}&endTime={first}");
    assert_eq!(body(&gateway, &within), serde_json::json!([bar]));
    let minutes = body(&gateway, &format!("/api/v3/klines?symbol={symbol}&interval=3m"));
    assert_eq!(minutes[0][0].as_u64().unwrap() % 180_000, 0, "gathered from minutes: {minutes}");
}

#[test]
fn klines_have_no_holes_where_nobody_trades() {
    let (gateway, symbol) = simulator(&["--rate", "100"]);
    let path = format!("/api/v3/klines?symbol={symbol}&interval=1s");
    let quiet = until("a second without a trade, and one with trades behind it", || {
        let bars = body(&gateway, &path);
        let bars = bars.as_array().unwrap();
        let opened: Vec<u64> = bars.iter().map(|bar| bar[0].as_u64().unwrap()).collect();
        assert!(opened.windows(2).all(|pair| pair[1] == pair[0] + 1000), "{opened:?}");
        let quiet = bars.iter().position(|bar| bar[8] == 0).filter(|at| *at > 0)?;
        bars[quiet..].iter().any(|bar| bar[8] != 0).then(|| bars[quiet - 1..=quiet].to_vec())
    });
    let (before, quiet) = (&quiet[0], &quiet[1]);
    assert!((1..=4).all(|at| quiet[at] == before[4]), "it stays at the last price: {quiet}");
    assert_eq!(decimal(&quiet[5]), 0.0);
    let opened = &quiet[0];
    let alone = body(&gateway, &format!("{path}&startTime={opened}&endTime={opened}"));
    assert_eq!(alone, serde_json::json!([quiet]));
}

#[test]
fn tickers_are_one_or_many() {
    let (gateway, symbol) = simulator(&[]);
    let day = body(&gateway, &format!("/api/v3/ticker/24hr?symbol={symbol}"));
    let change = decimal(&day["lastPrice"]) - decimal(&day["openPrice"]);
    assert!((decimal(&day["priceChange"]) - change).abs() < 1e-6, "{day}");
    assert!(decimal(&day["highPrice"]) >= decimal(&day["weightedAvgPrice"]), "{day}");
    assert!(decimal(&day["bidPrice"]) < decimal(&day["askPrice"]), "{day}");
    assert_eq!(
        day["closeTime"].as_u64().unwrap() - day["openTime"].as_u64().unwrap(),
        24 * 3_600_000
    );
    let mini = body(&gateway, &format!("/api/v3/ticker/24hr?symbol={symbol}&type=MINI"));
    assert!(mini["priceChange"].is_null() && decimal(&mini["lastPrice"]) > 0.0, "{mini}");
    for path in ["24hr", "price", "bookTicker"] {
        let several = until("all to have traded", || {
            let all = body(&gateway, &format!("/api/v3/ticker/{path}"));
            (all.as_array().unwrap().len() == 3).then_some(all)
        });
        assert_eq!(several[0]["symbol"], symbol.as_str());
        // As people write it, and as programs do.
        for mark in ["\"", "%22"] {
            let some =
                body(&gateway, &format!("/api/v3/ticker/{path}?symbols=[{mark}{symbol}{mark}]"));
            assert_eq!(some.as_array().unwrap().len(), 1, "{path}");
        }
    }
    let hour = body(&gateway, &format!("/api/v3/ticker?symbol={symbol}&windowSize=1h"));
    assert!(hour["bidPrice"].is_null() && decimal(&hour["volume"]) > 0.0, "{hour}");
    assert_eq!(hour["openTime"].as_u64().unwrap() % 60_000, 0, "{hour}");
    let today = body(&gateway, &format!("/api/v3/ticker/tradingDay?symbol={symbol}"));
    assert_eq!(today["openTime"].as_u64().unwrap() % 86_400_000, 0, "{today}");
    // By a clock that is eight hours ahead.
    let path = format!("/api/v3/ticker/tradingDay?symbol={symbol}&timeZone=8");
    let today = body(&gateway, &path);
    assert_eq!(today["openTime"].as_u64().unwrap() % 86_400_000, 57_600_000, "{today}");
    let path = format!("/api/v3/klines?symbol={symbol}&interval=1d&timeZone=%2B08:00");
    let days = body(&gateway, &path);
    let opened = days[0][0].as_u64().unwrap();
    assert_eq!(opened % 86_400_000, 57_600_000, "{days}");
    assert_eq!(days[0][6], opened + 86_399_999, "{days}");
    let average = body(&gateway, &format!("/api/v3/avgPrice?symbol={symbol}"));
    assert!(average["mins"] == 5 && decimal(&average["price"]) > 0.0, "{average}");
}

#[test]
fn refusals_have_the_exchanges_codes() {
    let (gateway, symbol) = simulator(&[]);
    for (path, status, code, part) in [
        ("depth".to_owned(), 400, -1102, "'symbol' was not sent"),
        ("depth?symbol=NOPE".to_owned(), 400, -1121, "Invalid symbol."),
        ("depth?symbol=btcusdt".to_owned(), 400, -1100, "Illegal characters"),
        (format!("depth?symbol={symbol}&limit=x"), 400, -1100, "'limit'"),
        (format!("klines?symbol={symbol}"), 400, -1102, "'interval'"),
        (format!("klines?symbol={symbol}&interval=7m"), 400, -1120, "Invalid interval."),
        (format!("ticker?symbol={symbol}&windowSize=9d"), 400, -1130, "'windowSize'"),
        (format!("ticker/price?symbol={symbol}&symbols=[]"), 400, -1128, "Combination"),
        ("account".to_owned(), 404, -1000, "No such endpoint."),
    ] {
        let (found, head, body) = ask(&gateway, &format!("/api/v3/{path}"), "");
        assert_eq!((found, &body["code"]), (status, &code.into()), "{path}: {body}");
        assert!(body["msg"].as_str().unwrap().contains(part), "{path}: {body}");
        assert!(head.contains("content-type: application/json"), "{head}");
    }
    let mut post = TcpStream::connect(gateway.listen).unwrap();
    write!(post, "POST /api/v3/userDataStream HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut refused = String::new();
    post.read_to_string(&mut refused).unwrap();
    assert!(
        refused.starts_with("HTTP/1.1 405") && refused.contains("allow: GET, HEAD"),
        "{refused}"
    );
    assert!(
        refused.ends_with(r#"{"code":-1000,"msg":"This endpoint is read with GET."}"#),
        "{refused}"
    );
    let (status, _, _) = ask(&gateway, "/api/v3/exchangeInfo", "Accept: application/sbe\r\n");
    assert_eq!(status, 406);
    let both = "Accept: application/sbe, application/json\r\n";
    assert_eq!(ask(&gateway, "/api/v3/exchangeInfo", both).0, 200);
}

#[test]
fn a_client_that_asks_too_much_is_told_when_to_come_back() {
    let gateway = Gateway::start(&["--symbols", "1", "--exchange-weight", "50"]);
    let mut sums = Vec::new();
    // A minute of the clock may end meanwhile.
    let refused = until("a refusal", || {
        let (status, head, body) = ask(&gateway, "/api/v3/exchangeInfo", "");
        let line = head.lines().find_map(|line| line.strip_prefix("x-mbx-used-weight-1m: "));
        sums.push(line.unwrap().parse::<u64>().unwrap());
        (status == 429).then_some((head, body))
    });
    assert!(sums.windows(2).any(|pair| pair[1] == pair[0] + 20), "{sums:?}");
    assert_eq!(refused.1["code"], -1003);
    let after = refused.0.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=60).contains(&after.parse::<u64>().unwrap()), "{after}");
}
