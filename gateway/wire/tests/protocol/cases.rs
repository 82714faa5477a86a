//! What the golden vectors say: one case for each kind of message, and for each edge of it.

use tickcast_wire::{
    AggTrade, Average, Bar, Channel, DepthHead, Encoding, FeedState, GapEntry, GapReason,
    Instrument, Kind, Level, Quote, RollingTicker, Side, SnapshotPart, Symbol, Tick, Ticker, Trade,
    TradingStatus, Window, flags,
};

/// Events written one after the other into one WebSocket message.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) events: Vec<Event>,
    /// Bytes that a newer schema would have added at the end of every block; not in JSON.
    pub(crate) unknown_bytes: usize,
    /// From a client: the command in JSON that says the same.
    pub(crate) command: Option<&'static str>,
}

impl Case {
    /// Whether it is what this version of the gateway sends.
    pub(crate) const fn is_sent(&self) -> bool {
        self.unknown_bytes == 0 && self.command.is_none()
    }
}

pub(crate) type Event = Box<dyn Fn(Encoding, &mut Vec<u8>)>;

pub(crate) const EPOCH: u64 = 0xE90C_0000_0000_0001;
const TS_NS: u64 = 1_723_075_200_123_456_789;

/// The instruments of all vectors: a usual one, and one at the limits.
pub(crate) fn instruments() -> [Instrument; 2] {
    let channels = |names: &[&str]| {
        let bit = |name: &&str| Channel::parse(name).expect("a channel").bit();
        names.iter().map(bit).sum()
    };
    let usual = Instrument {
        id: 0,
        symbol: Symbol::new("BTCUSDT").unwrap(),
        base_len: 3,
        price_exponent: -2,
        quantity_exponent: -5,
        tick_size: 1,
        lot_size: 1,
        channels: channels(&["trade", "quote", "depth", "depth5", "ticker", "status", "bar_1m"]),
    };
    let odd = Instrument {
        id: u32::MAX,
        symbol: Symbol::new("A-SYMBOL.OF_32-BYTES.0123456789X").unwrap(),
        base_len: 0,
        price_exponent: -18,
        quantity_exponent: 0,
        tick_size: 0,
        lot_size: 1_000,
        channels: channels(&["trade", "bar_1M", "agg_trade", "ticker_1h", "average"]),
    };
    [usual, odd]
}

fn published(mut tick: Tick, seq: u64) -> Tick {
    tick.seq = seq;
    tick.ts_ring_ns = tick.ts_event_ns.saturating_add(8_250);
    tick
}

fn entry(ticks: Vec<Tick>) -> Event {
    let wanted = ticks[0].instrument;
    let instrument = instruments().into_iter().find(|instrument| instrument.id == wanted).unwrap();
    Box::new(move |encoding, out| encoding.entry(out, &ticks, &instrument))
}

fn tick(tick: Tick, seq: u64) -> Event {
    entry(vec![published(tick, seq)])
}

fn group(update_ids: std::ops::RangeInclusive<u64>, set: u8, levels: &[Level]) -> Event {
    let mut ticks = Vec::new();
    Tick::push_depth(&mut ticks, 0, TS_NS, update_ids, levels);
    for tick in &mut ticks {
        *tick = published(*tick, 9);
        tick.flags |= set;
    }
    entry(ticks)
}

fn level(side: Side, price: i64, quantity: i64) -> Level {
    Level { side, price, quantity }
}

fn depth_head() -> DepthHead {
    DepthHead {
        ts_event_ns: TS_NS,
        seq: 12,
        instrument: 0,
        ring_delay_ns: 8_250,
        first_update_id: 50_000_000_001,
        last_update_id: 50_000_000_033,
    }
}

const BIDS: &[(i64, i64)] = &[(6_183_763, 378_826), (6_183_700, 100_000), (6_183_000, 5)];
const ASKS: &[(i64, i64)] = &[(6_183_764, 61_000), (6_200_000, 7)];

fn quote() -> Quote {
    Quote {
        bid_price: 6_183_763,
        bid_quantity: 378_826,
        ask_price: 6_183_764,
        ask_quantity: 61_000,
        update_id: 50_000_000_033,
    }
}

fn trade() -> Trade {
    Trade {
        price: 6_183_763,
        quantity: 1_337,
        trade_id: 3_721_000_001,
        ts_trade_ns: 1_723_075_200_123_000_000,
        buyer_is_maker: true,
    }
}

fn bar(is_final: bool) -> Bar {
    Bar {
        ts_open_ns: 1_723_075_140_000_000_000,
        open: 6_180_000,
        high: 6_190_050,
        low: 6_179_999,
        close: 6_183_763,
        volume: 1_234_567,
        quote_volume: 76_342_612,
        taker_volume: 700_001,
        taker_quote_volume: 43_286_402,
        first_trade_id: 3_720_999_900,
        trades: 101,
        is_final,
    }
}

fn publish(request: u64) -> Event {
    Box::new(move |encoding, out| {
        if encoding == Encoding::Sbe {
            tickcast_wire::sbe::publish(out, EPOCH, request);
        }
    })
}

fn gap_entry(channel: Channel, reason: GapReason, first_seq: u64, count: u64) -> GapEntry {
    GapEntry { instrument: 0, channel, reason, first_seq, count }
}

fn gap(entries: Vec<GapEntry>) -> Event {
    let symbol_of = |id| instruments().iter().find(|it| it.id == id).map(|it| it.symbol);
    Box::new(move |encoding, out| encoding.gap(out, TS_NS, &entries, symbol_of))
}

fn definition(index: usize) -> Event {
    Box::new(move |encoding, out| encoding.definition(out, &instruments()[index], EPOCH))
}

fn merged() -> Event {
    let instrument = instruments()[0];
    Box::new(move |encoding, out| {
        encoding.merged_depth(out, &depth_head(), BIDS, &[(6_183_764, 0)], &instrument);
    })
}

fn partial() -> Event {
    let instrument = instruments()[0];
    Box::new(move |encoding, out| {
        encoding.partial_depth(out, Channel::Depth5, &depth_head(), BIDS, ASKS, &instrument);
    })
}

/// As hubs keep it: a group of ticks of the channel's kind.
fn empty_partial() -> Event {
    let mut partial = Tick::new(Kind::Data(Channel::Depth20), 0, TS_NS);
    partial.body[1] = 50_000_000_034;
    tick(partial, 13)
}

fn snapshot(part: SnapshotPart, bids: &'static [(i64, i64)], asks: &'static [(i64, i64)]) -> Event {
    let instrument = instruments()[0];
    Box::new(move |encoding, out| {
        encoding.depth_snapshot(out, &depth_head(), part, bids, asks, &instrument);
    })
}

fn case(name: &'static str, about: &'static str, events: Vec<Event>) -> Case {
    Case { name, about, events, unknown_bytes: 0, command: None }
}

/// All cases. The first of each event is its example in the document.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = ticks();
    cases.extend(derived());
    cases.extend(books());
    cases.extend(notices());
    cases
}

fn ticks() -> Vec<Case> {
    let other = Trade {
        price: i64::MIN,
        quantity: i64::MAX,
        trade_id: u64::MAX,
        ts_trade_ns: 0,
        buyer_is_maker: false,
    };
    let mut extreme = Tick::from_trade(u32::MAX, 0, &other);
    extreme.seq = u64::MAX;
    extreme.ts_ring_ns = u64::MAX;
    let no_asks = Quote { ask_price: 0, ask_quantity: 0, ..quote() };
    let below_zero = Quote { bid_price: -5, ask_price: 0, ..quote() };
    let ticker = Ticker {
        open: 6_010_000,
        high: 6_290_000,
        low: 5_999_999,
        last: 6_183_763,
        last_quantity: 1_337,
        volume: 2_512_345_678,
        quote_volume: 155_345_678_901,
        previous_close: 6_009_999,
        first_trade_id: 3_719_000_000,
        last_trade_id: 3_721_000_001,
        trades: 2_000_002,
    };
    let (minute, month) = (Channel::parse("bar_1m").unwrap(), Channel::parse("bar_1M").unwrap());
    let status = |status| Tick::from_status(0, TS_NS, status);
    vec![
        case(
            "trade",
            "A trade whose maker was the buyer.",
            vec![tick(Tick::from_trade(0, TS_NS, &trade()), 4_711)],
        ),
        case(
            "trade-extremes",
            "Every integer at an end of its range: ids, mantissas, 18 decimals and none, a delay \
             that is saturated; the maker was the seller.",
            vec![entry(vec![extreme])],
        ),
        case("quote", "Best bid and offer.", vec![tick(Tick::from_quote(0, TS_NS, &quote()), 12)]),
        case(
            "quote-odd",
            "A quote with no offers, and one with a negative and a zero price.",
            vec![
                tick(Tick::from_quote(0, TS_NS, &no_asks), 13),
                tick(Tick::from_quote(0, TS_NS, &below_zero), 14),
            ],
        ),
        case(
            "ticker",
            "Statistics over 24 hours.",
            vec![tick(Tick::from_ticker(0, TS_NS, &ticker), 60)],
        ),
        case(
            "bar",
            "A minute that is over, and a month that is not: 1m and 1M differ in case only.",
            vec![
                tick(Tick::from_bar(minute, 0, TS_NS, &bar(true)), 7),
                tick(Tick::from_bar(month, u32::MAX, TS_NS, &bar(false)), 8),
            ],
        ),
        case(
            "status",
            "An instrument halts, resumes and closes.",
            vec![
                tick(status(TradingStatus::Halted), 2),
                tick(status(TradingStatus::Trading), 3),
                tick(status(TradingStatus::Closed), 4),
            ],
        ),
    ]
}

fn derived() -> Vec<Case> {
    let agg_trade = AggTrade {
        price: 6_183_763,
        quantity: 5_200,
        agg_id: 3_300_000_007,
        first_trade_id: 3_721_000_001,
        last_trade_id: 3_721_000_003,
        ts_trade_ns: 1_723_075_200_123_000_000,
        buyer_is_maker: true,
    };
    let of_seller = AggTrade {
        price: i64::MIN,
        quantity: i64::MAX,
        agg_id: u64::MAX,
        buyer_is_maker: false,
        ..agg_trade
    };
    let rolling = RollingTicker {
        ts_open_ns: 1_723_071_600_000_000_000,
        open: 6_170_000,
        high: 6_190_050,
        low: 6_169_999,
        last: 6_183_763,
        volume: 98_765_432,
        quote_volume: 6_105_345_678,
        first_trade_id: 3_720_900_000,
        last_trade_id: 3_721_000_003,
        trades: 100_004,
    };
    let average =
        |price, minutes| Average { price, minutes, ts_trade_ns: 1_723_075_199_871_000_000 };
    vec![
        case(
            "agg-trade",
            "Trades of one order at one price, and one at the ends of ranges.",
            vec![
                tick(Tick::from_agg_trade(0, TS_NS, &agg_trade), 815),
                tick(Tick::from_agg_trade(u32::MAX, TS_NS, &of_seller), 816),
            ],
        ),
        case(
            "rolling-ticker",
            "Statistics over one hour, four, and a day.",
            Window::ALL
                .map(|window| tick(Tick::from_rolling(window, 0, TS_NS, &rolling), 77))
                .into(),
        ),
        case(
            "average",
            "The average price of five minutes, and one at the ends of ranges.",
            vec![
                tick(Tick::from_average(0, TS_NS, &average(6_181_234, 5)), 33),
                tick(Tick::from_average(u32::MAX, TS_NS, &average(i64::MIN, u32::MAX)), 34),
            ],
        ),
    ]
}

fn books() -> Vec<Case> {
    let (bid, ask) = (Side::Bid, Side::Ask);
    let changes = [
        level(bid, 6_183_763, 378_826),
        level(ask, 6_183_764, 0),
        level(ask, 6_183_765, 1),
        level(bid, 6_183_700, 0),
        level(ask, 6_200_000, 2_500_000),
        level(ask, 6_200_001, 3),
    ];
    vec![
        case(
            "depth-update",
            "Six changes of a book, as the venue sent them; in ticks they are two records.",
            vec![group(50_000_000_001..=50_000_000_007, 0, &changes)],
        ),
        case(
            "depth-update-odd",
            "An event without changes whose ids count all the same; one that replaces the book.",
            vec![
                group(50_000_000_008..=50_000_000_009, 0, &[]),
                group(50_000_000_010..=50_000_000_010, flags::REPLACES_BOOK, &changes[..1]),
            ],
        ),
        case("depth-merged", "Several events merged into one change set.", vec![merged()]),
        case("partial-depth", "The best five levels, of which there are fewer.", vec![partial()]),
        case("partial-depth-empty", "A book that has no levels left.", vec![empty_partial()]),
        case(
            "depth-snapshot",
            "A snapshot in one message.",
            vec![snapshot(SnapshotPart::Whole, BIDS, ASKS)],
        ),
        case(
            "depth-snapshot-parts",
            "A snapshot in three messages.",
            vec![
                snapshot(SnapshotPart::First, &BIDS[..2], &ASKS[..1]),
                snapshot(SnapshotPart::Middle, &BIDS[2..], &[]),
                snapshot(SnapshotPart::Last, &[], &ASKS[1..]),
            ],
        ),
    ]
}

fn notices() -> Vec<Case> {
    let odd_bar = GapEntry {
        instrument: u32::MAX,
        channel: Channel::parse("bar_1M").unwrap(),
        reason: GapReason::Resume,
        first_seq: 1,
        count: u64::MAX,
    };
    vec![
        case(
            "gap",
            "Four topics that skip numbers, and one that begins anew.",
            vec![gap(vec![
                gap_entry(Channel::Quote, GapReason::Conflated, 13, 41),
                gap_entry(Channel::Trade, GapReason::Lost, 4_712, 3),
                gap_entry(Channel::Depth, GapReason::Lapped, 10, 1),
                odd_bar,
                gap_entry(Channel::Status, GapReason::Reset, 1, 0),
            ])],
        ),
        case(
            "heartbeat",
            "A sign of life.",
            vec![Box::new(|encoding, out| encoding.heartbeat(out, TS_NS, EPOCH))],
        ),
        case(
            "definition",
            "A usual instrument, and one at the limits.",
            vec![definition(0), definition(1)],
        ),
        case(
            "feed-status",
            "All that can become of a feed.",
            FeedState::ALL
                .map(|state| {
                    Box::new(move |encoding: Encoding, out: &mut Vec<u8>| {
                        encoding.feed_status(out, TS_NS, EPOCH, state);
                    }) as Event
                })
                .into(),
        ),
        case(
            "frame",
            "What a visit delivers: a definition, a gap, what follows it, a trade.",
            vec![
                definition(0),
                gap(vec![gap_entry(Channel::Quote, GapReason::Conflated, 1, 11)]),
                tick(Tick::from_quote(0, TS_NS, &quote()), 12),
                tick(Tick::from_trade(0, TS_NS, &trade()), 4_711),
            ],
        ),
        Case {
            name: "newer-schema",
            about: "What a newer gateway would send: five bytes of fields not known yet at the end \
                    of every root block and of every group entry.",
            events: vec![
                tick(Tick::from_quote(0, TS_NS, &quote()), 12),
                merged(),
                gap(vec![gap_entry(Channel::Trade, GapReason::Lost, 4_712, 3)]),
                tick(Tick::from_trade(0, TS_NS, &trade()), 4_711),
            ],
            unknown_bytes: 5,
            command: None,
        },
        Case {
            name: "publish",
            about: "What a client sends to publish a trade and a quote without bids, with numbers \
                    left 0; json is the command that says the same.",
            events: vec![
                publish(7),
                entry(vec![Tick::from_trade(0, TS_NS, &trade())]),
                entry(vec![Tick::from_quote(
                    0,
                    TS_NS,
                    &Quote { bid_price: 0, bid_quantity: 0, ..quote() },
                )]),
            ],
            unknown_bytes: 0,
            command: Some(concat!(
                r#"{"op":"publish","id":7,"ticks":[{"topic":"BTCUSDT.trade","ts":"1723075200123456789","#,
                r#""price":"61837.63","quantity":"0.01337","side":"sell","trade_id":"3721000001","#,
                r#""ts_trade":"1723075200123000000"},{"topic":"BTCUSDT.quote","#,
                r#""ts":"1723075200123456789","ask":"61837.64","ask_quantity":"0.61"}]}"#,
            )),
        },
    ]
}
