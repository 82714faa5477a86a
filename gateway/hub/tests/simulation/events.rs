//! What clients get, decoded from SBE or JSON into one form.

use serde_json::Value;
use wire::sbe::Message;
use wire::{Channel, FeedState, GapReason, Instrument, SnapshotPart, Symbol, Tick, TradingStatus};

use crate::feed::Levels;

/// An instrument as an event names it: by number in SBE, by symbol in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Id(u32),
    Symbol(Symbol),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Definition { symbol: Symbol, id: u32, epoch: u64 },
    Feed { epoch: u64, state: FeedState },
    Gap { of: Named, channel: Channel, reason: GapReason, first: u64, count: u64 },
    Data { of: Named, channel: Channel, seq: u64, body: Body },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A value's fields in the order of the wire.
    Value(Vec<i64>),
    Update {
        merged: bool,
        replaces: bool,
        first_id: u64,
        last_id: u64,
        bids: Levels,
        asks: Levels,
    },
    Partial {
        bids: Levels,
        asks: Levels,
    },
    Snapshot {
        part: SnapshotPart,
        bids: Levels,
        asks: Levels,
    },
}

/// The fields that a client sees of a tick.
pub fn fields(channel: Channel, tick: &Tick) -> Vec<i64> {
    match channel {
        Channel::Trade => {
            let t = tick.trade();
            let maker = i64::from(t.buyer_is_maker);
            vec![t.price, t.quantity, t.trade_id as i64, t.ts_trade_ns as i64, maker]
        }
        Channel::Quote => {
            let q = tick.quote();
            vec![q.bid_price, q.bid_quantity, q.ask_price, q.ask_quantity]
        }
        Channel::Ticker => {
            let t = tick.ticker();
            vec![
                t.open,
                t.high,
                t.low,
                t.last,
                t.last_quantity,
                t.volume,
                t.quote_volume,
                t.previous_close,
                t.first_trade_id as i64,
                t.last_trade_id as i64,
                t.trades as i64,
            ]
        }
        Channel::Bar(_) => {
            let b = tick.bar();
            vec![
                b.ts_open_ns as i64,
                b.open,
                b.high,
                b.low,
                b.close,
                b.volume,
                b.quote_volume,
                b.taker_volume,
                b.taker_quote_volume,
                b.first_trade_id as i64,
                b.trades as i64,
                i64::from(b.is_final),
            ]
        }
        Channel::Status => vec![tick.status().unwrap() as i64],
        Channel::AggTrade => {
            let t = tick.agg_trade();
            let ids = [t.agg_id, t.first_trade_id, t.last_trade_id, t.ts_trade_ns];
            let [id, first, last, ts_trade_ns] = ids.map(|id| id as i64);
            let maker = i64::from(t.buyer_is_maker);
            vec![t.price, t.quantity, id, first, last, ts_trade_ns, maker]
        }
        Channel::Rolling(_) => {
            let t = tick.rolling();
            let [open_ns, first, last, trades] =
                [t.ts_open_ns, t.first_trade_id, t.last_trade_id, t.trades].map(|id| id as i64);
            let volumes = [t.volume, t.quote_volume];
            vec![
                open_ns, t.open, t.high, t.low, t.last, volumes[0], volumes[1], first, last, trades,
            ]
        }
        Channel::Average => {
            let a = tick.average();
            vec![a.price, i64::from(a.minutes), a.ts_trade_ns as i64]
        }
        _ => unreachable!("books are not values"),
    }
}

pub fn decode_sbe(bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    for message in wire::sbe::decode(bytes) {
        let message = message.expect("the hub writes what the decoder reads");
        let head = message.head().copied();
        let channel = message.channel();
        let data = |body| {
            let head = head.unwrap();
            Event::Data {
                of: Named::Id(head.instrument),
                channel: channel.unwrap(),
                seq: head.seq,
                body,
            }
        };
        let value = |tick: Tick| data(Body::Value(fields(channel.unwrap(), &tick)));
        events.push(match &message {
            Message::Trade(_, trade) => value(Tick::from_trade(0, 0, trade)),
            Message::Quote(_, quote) => value(Tick::from_quote(0, 0, quote)),
            Message::Ticker(_, ticker) => value(Tick::from_ticker(0, 0, ticker)),
            Message::Bar(_, channel, bar) => value(Tick::from_bar(*channel, 0, 0, bar)),
            Message::AggTrade(_, trade) => value(Tick::from_agg_trade(0, 0, trade)),
            Message::Rolling(_, Channel::Rolling(window), ticker) => {
                value(Tick::from_rolling(*window, 0, 0, ticker))
            }
            Message::Average(_, average) => value(Tick::from_average(0, 0, average)),
            Message::Status(_, status) => value(Tick::from_status(0, 0, *status)),
            Message::DepthUpdate(update) => data(Body::Update {
                merged: update.is_merged,
                replaces: update.replaces_book,
                first_id: update.first_update_id,
                last_id: update.last_update_id,
                bids: update.bids.clone().collect(),
                asks: update.asks.clone().collect(),
            }),
            Message::PartialDepth(partial) => data(Body::Partial {
                bids: partial.bids.clone().collect(),
                asks: partial.asks.clone().collect(),
            }),
            Message::DepthSnapshot(snapshot) => data(Body::Snapshot {
                part: snapshot.part,
                bids: snapshot.bids.clone().collect(),
                asks: snapshot.asks.clone().collect(),
            }),
            Message::Gap(gap) => {
                events.extend(gap.entries.clone().map(|gap| Event::Gap {
                    of: Named::Id(gap.instrument),
                    channel: gap.channel,
                    reason: gap.reason,
                    first: gap.first_seq,
                    count: gap.count,
                }));
                continue;
            }
            Message::Definition { instrument: Instrument { id, symbol, .. }, epoch } => {
                Event::Definition { symbol: *symbol, id: *id, epoch: *epoch }
            }
            Message::FeedStatus { epoch, state, .. } => {
                Event::Feed { epoch: *epoch, state: *state }
            }
            other => panic!("unexpected {other:?}"),
        });
    }
    events
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}

/// A decimal's mantissa: it has all its digits.
fn mantissa(value: &Value) -> i64 {
    value.as_str().expect("decimals are texts").replace('.', "").parse().expect("digits")
}

fn number(value: &Value, key: &str) -> u64 {
    text(value, key).parse().unwrap_or_else(|_| panic!("{key} in {value}"))
}

fn levels(value: &Value) -> Levels {
    let all = value.as_array().expect("levels are an array");
    all.iter().map(|level| (mantissa(&level[0]), mantissa(&level[1]))).collect()
}

pub fn decode_json(bytes: &[u8]) -> Vec<Event> {
    let all: Value = serde_json::from_slice(bytes).expect("the hub writes JSON");
    let mut events = Vec::new();
    for event in all.as_array().expect("a message is an array") {
        match text(event, "e") {
            "definition" => events.push(Event::Definition {
                symbol: Symbol::new(text(event, "s")).unwrap(),
                id: event["instrument"].as_u64().unwrap() as u32,
                epoch: number(event, "epoch"),
            }),
            "feed" => events.push(Event::Feed {
                epoch: number(event, "epoch"),
                state: FeedState::ALL
                    .into_iter()
                    .find(|s| s.name() == text(event, "state"))
                    .unwrap(),
            }),
            "gap" => {
                for gap in event["gaps"].as_array().unwrap() {
                    let (symbol, channel) = text(gap, "topic").rsplit_once('.').unwrap();
                    events.push(Event::Gap {
                        of: Named::Symbol(Symbol::new(symbol).unwrap()),
                        channel: Channel::parse(channel).unwrap(),
                        reason: GapReason::ALL
                            .into_iter()
                            .find(|r| r.name() == text(gap, "reason"))
                            .unwrap(),
                        first: number(gap, "first"),
                        count: number(gap, "count"),
                    });
                }
            }
            name => events.push(data(name, event)),
        }
    }
    events
}

fn data(name: &str, event: &Value) -> Event {
    let channel = if name == "snapshot" { Channel::Depth } else { Channel::parse(name).unwrap() };
    let flag = |key: &str| event[key].as_bool().unwrap();
    let pick =
        |names: &[&str]| -> Vec<i64> { names.iter().map(|n| mantissa(&event[*n])).collect() };
    let body = match channel {
        Channel::Depth if name == "snapshot" => Body::Snapshot {
            part: SnapshotPart::from_ends(flag("first"), flag("last")),
            bids: levels(&event["bids"]),
            asks: levels(&event["asks"]),
        },
        Channel::Depth => Body::Update {
            merged: flag("merged"),
            replaces: flag("replaces"),
            first_id: number(event, "first_id"),
            last_id: number(event, "last_id"),
            bids: levels(&event["bids"]),
            asks: levels(&event["asks"]),
        },
        Channel::Depth5 | Channel::Depth10 | Channel::Depth20 => {
            Body::Partial { bids: levels(&event["bids"]), asks: levels(&event["asks"]) }
        }
        Channel::Trade => {
            let mut fields = pick(&["price", "qty", "id", "ts_trade"]);
            fields.push(i64::from(text(event, "maker") == "bid"));
            Body::Value(fields)
        }
        Channel::Quote => Body::Value(pick(&["bid", "bid_qty", "ask", "ask_qty"])),
        Channel::Ticker => Body::Value(pick(&[
            "open",
            "high",
            "low",
            "last",
            "last_qty",
            "volume",
            "quote_volume",
            "prev_close",
            "first_id",
            "last_id",
            "trades",
        ])),
        Channel::Bar(_) => {
            let mut fields = pick(&[
                "ts_open",
                "open",
                "high",
                "low",
                "close",
                "volume",
                "quote_volume",
                "taker_volume",
                "taker_quote_volume",
                "first_id",
                "trades",
            ]);
            fields.push(i64::from(flag("final")));
            Body::Value(fields)
        }
        Channel::Status => {
            let status = match text(event, "status") {
                "trading" => TradingStatus::Trading,
                "halted" => TradingStatus::Halted,
                _ => TradingStatus::Closed,
            };
            Body::Value(vec![status as i64])
        }
        Channel::AggTrade => {
            let mut fields = pick(&["price", "qty", "id", "first_id", "last_id", "ts_trade"]);
            fields.push(i64::from(text(event, "maker") == "bid"));
            Body::Value(fields)
        }
        Channel::Rolling(_) => Body::Value(pick(&[
            "ts_open",
            "open",
            "high",
            "low",
            "last",
            "volume",
            "quote_volume",
            "first_id",
            "last_id",
            "trades",
        ])),
        Channel::Average => {
            let mut fields = pick(&["price"]);
            fields.push(event["minutes"].as_i64().unwrap());
            fields.extend(pick(&["ts_trade"]));
            Body::Value(fields)
        }
    };
    let of = Named::Symbol(Symbol::new(text(event, "s")).unwrap());
    Event::Data { of, channel, seq: number(event, "seq"), body }
}
