//! Real data, exactly once: recorded days of an exchange go through the real gateway to a real socket.
//!
//! A client of `*.trade` must get every recorded trade once, in order, price and quantity digit for
//! digit. A client of `*.depth` that builds the book from the snapshot and the changes must have, at
//! every change set, the best bid and offer that the independently recorded quotes show.
//!
//! The recording is read here by other code than the gateway's, so that no mistake can cancel itself.
//! At full speed this takes seconds; at the recorded speed about six minutes, in parallel.

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;
use support::process::Gateway;
use support::subscriber::{Message, Subscriber};
use wire::sbe::{self, Message as Event};
use wire::{Book, Channel, Level, Side};

const BTCUSDT: &str = "spot_btcusdt_20240808.gz";
const ETHUSDT: &str = "spot_ethusdt_20240808.gz";

/// The frames of a recording, as JSON.
fn frames(file: &str) -> impl Iterator<Item = Value> {
    let file = File::open(support::recordings().join(file)).expect("checked by recordings()");
    BufReader::new(GzDecoder::new(file)).lines().map(|line| {
        let line = line.expect("the recording is whole");
        let (_, json) = line.split_once(' ').expect("receive time, space, frame");
        serde_json::from_str(json).expect("the recording is JSON")
    })
}

fn text(value: &Value) -> String {
    value.as_str().expect("prices are texts").to_owned()
}

/// A mantissa with eight decimals, as the exchange writes it.
fn decimal(mantissa: i64) -> String {
    assert!(mantissa >= 0, "prices and quantities are not negative here");
    format!("{}.{:08}", mantissa / 100_000_000, mantissa % 100_000_000)
}

/// A gateway that replays a recording when somebody subscribes, and a subscriber of the channel.
fn replay(file: &str, speed: &str, channel: &str) -> (Gateway, Subscriber) {
    let gateway = Gateway::replaying(file, speed);
    let mut subscriber = Subscriber::connect(gateway.listen, "tickcast.v1.sbe");
    let ack = subscriber.subscribe(&[&format!("*.{channel}")], "");
    assert!(ack.contains("\"op\":\"ack\"") && !ack.contains("\"ok\":false"), "{ack}");
    (gateway, subscriber)
}

/// Hands every event to `handle` until it says that it has seen enough.
fn follow(subscriber: &mut Subscriber, mut handle: impl FnMut(Event<'_>) -> bool) {
    loop {
        match subscriber.next(Duration::from_secs(60)) {
            Some(Message::Binary(bytes)) => {
                for event in sbe::decode(&bytes) {
                    let event = event.expect("the gateway's messages decode");
                    if let Event::Gap(gap) = event {
                        panic!("a client that keeps up gets no gap: {:?}", gap.entries);
                    }
                    if handle(event) {
                        return;
                    }
                }
            }
            Some(Message::Text(_)) => {}
            other => panic!("the stream stopped early: {other:?}"),
        }
    }
}

/// Trade id, price, quantity, trade time in ms, whether the buyer was the maker.
type RecordedTrade = (u64, String, String, u64, bool);

fn every_trade_arrives_once(file: &str, speed: &str) {
    let expected: Vec<RecordedTrade> = frames(file)
        .filter(|frame| frame["stream"].as_str().is_some_and(|name| name.ends_with("@trade")))
        .map(|frame| {
            let trade = &frame["data"];
            (
                trade["t"].as_u64().expect("an id"),
                text(&trade["p"]),
                text(&trade["q"]),
                trade["T"].as_u64().expect("a time"),
                trade["m"].as_bool().expect("a side"),
            )
        })
        .collect();
    assert!(expected.len() > 6_000, "{} trades recorded", expected.len());

    let (_gateway, mut subscriber) = replay(file, speed, "trade");
    let mut seen = 0;
    follow(&mut subscriber, |event| {
        let Event::Trade(head, trade) = event else { return false };
        let got = (
            trade.trade_id,
            decimal(trade.price),
            decimal(trade.quantity),
            trade.ts_trade_ns / 1_000_000,
            trade.buyer_is_maker,
        );
        assert_eq!(got, expected[seen], "trade {seen} of {file}");
        seen += 1;
        assert_eq!(head.seq, seen as u64, "numbers have no holes");
        seen == expected.len()
    });
    // Nothing may come after the last one.
    while let Some(message) = subscriber.next(Duration::from_secs(1)) {
        if let Message::Binary(bytes) = message {
            let doubled = sbe::decode(&bytes)
                .any(|event| event.expect("decodes").channel() == Some(Channel::Trade));
            assert!(!doubled, "a trade that was not recorded");
        }
    }
}

/// Update id, and `(price, quantity)` of best bid and offer.
type RecordedQuote = (u64, (String, String), (String, String));

fn the_book_agrees_with_the_quotes(file: &str, speed: &str, comparisons: usize) {
    let quotes: Vec<RecordedQuote> = frames(file)
        .filter(|frame| frame["stream"].as_str().is_some_and(|name| name.ends_with("@bookTicker")))
        .map(|frame| {
            let quote = &frame["data"];
            (
                quote["u"].as_u64().expect("an id"),
                (text(&quote["b"]), text(&quote["B"])),
                (text(&quote["a"]), text(&quote["A"])),
            )
        })
        .collect();

    let (_gateway, mut subscriber) = replay(file, speed, "depth");
    let mut book = Book::new();
    let mut last_update_id = None;
    let mut compared = 0;
    follow(&mut subscriber, |event| {
        let update = match event {
            Event::DepthUpdate(update) => update,
            Event::DepthSnapshot(snapshot) => {
                if snapshot.part.is_first() {
                    book.clear();
                }
                apply(&mut book, Side::Bid, snapshot.bids);
                apply(&mut book, Side::Ask, snapshot.asks);
                last_update_id = Some(snapshot.update_id);
                return false;
            }
            _ => return false,
        };
        assert!(!update.is_merged, "a client that keeps up gets every group");
        if update.replaces_book {
            book.clear();
        } else if let Some(last) = last_update_id {
            let chained = update.first_update_id <= last + 1 && update.last_update_id > last;
            assert!(chained, "{last} is followed by {}", update.first_update_id);
        }
        last_update_id = Some(update.last_update_id);
        let replaces = update.replaces_book;
        apply(&mut book, Side::Bid, update.bids);
        apply(&mut book, Side::Ask, update.asks);
        if replaces {
            return false;
        }
        let at = quotes.partition_point(|(id, ..)| *id <= update.last_update_id);
        let (_, bid, ask) = &quotes[at.checked_sub(1).expect("a quote came before the book")];
        let best = |side| {
            let (price, quantity) = book.best(side).expect("neither side is empty");
            (decimal(price), decimal(quantity))
        };
        assert_eq!((&best(Side::Bid), &best(Side::Ask)), (bid, ask), "change set {compared}");
        compared += 1;
        compared == comparisons
    });
    // Nothing may come after the last one.
    while let Some(message) = subscriber.next(Duration::from_secs(1)) {
        if let Message::Binary(bytes) = message {
            let more = sbe::decode(&bytes)
                .any(|event| event.expect("decodes").channel() == Some(Channel::Depth));
            assert!(!more, "a change set that was not recorded");
        }
    }
}

fn apply(book: &mut Book, side: Side, levels: impl Iterator<Item = (i64, i64)>) {
    for (price, quantity) in levels {
        book.apply(&Level { side, price, quantity });
    }
}

#[test]
fn btcusdt_trades_at_full_speed() {
    every_trade_arrives_once(BTCUSDT, "max");
}

#[test]
fn ethusdt_trades_at_full_speed() {
    every_trade_arrives_once(ETHUSDT, "max");
}

#[test]
fn btcusdt_book_at_full_speed() {
    the_book_agrees_with_the_quotes(BTCUSDT, "max", 3_449);
}

#[test]
fn ethusdt_book_at_full_speed() {
    the_book_agrees_with_the_quotes(ETHUSDT, "max", 3_432);
}

/// Four gateways at once: the recordings are six minutes long.
#[test]
fn all_of_it_at_the_recorded_speed() {
    std::thread::scope(|scope| {
        scope.spawn(|| every_trade_arrives_once(BTCUSDT, "1"));
        scope.spawn(|| every_trade_arrives_once(ETHUSDT, "1"));
        scope.spawn(|| the_book_agrees_with_the_quotes(BTCUSDT, "1", 3_449));
        scope.spawn(|| the_book_agrees_with_the_quotes(ETHUSDT, "1", 3_432));
    });
}
