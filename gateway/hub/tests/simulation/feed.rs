//! A feed that makes ticks up and remembers the truth about them.

use std::collections::{BTreeMap, HashMap};

use wire::{
    AggTrade, Average, Bar, Channel, Instrument, InstrumentImage, Interval, Level, Quote,
    RollingTicker, Side, Symbol, Tick, Ticker, Trade, TradingStatus, Window, flags,
};

use crate::random::Random;
use crate::trust::symbol;

pub type Levels = Vec<(i64, i64)>;

/// What one number of one topic says.
#[derive(Clone, Debug)]
pub enum Truth {
    Tick(Tick),
    /// A depth group and the book after it, best first.
    Group {
        ticks: Vec<Tick>,
        bids: Levels,
        asks: Levels,
    },
}

/// Epoch, symbol, channel's code.
pub type Key = (u64, Symbol, u8);

pub const CHANNELS: [Channel; 10] = [
    Channel::Trade,
    Channel::Quote,
    Channel::Depth,
    Channel::Ticker,
    Channel::Status,
    Channel::Bar(Interval::SECOND),
    Channel::Bar(Interval::MINUTE),
    Channel::AggTrade,
    Channel::Rolling(Window::Hour),
    Channel::Average,
];

struct Listed {
    definition: Instrument,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    last: HashMap<u8, Tick>,
    depth_seq: u64,
    depth_ts_ns: u64,
    /// Records since its image was written.
    pub stale: bool,
}

pub struct Feed {
    pub random: Random,
    pub epoch: u64,
    instruments: Vec<Listed>,
    pub truth: HashMap<Key, Vec<Truth>>,
    instruments_max: u64,
    group_levels_max: u64,
    now_ns: u64,
}

impl Feed {
    pub fn new(seed: u64, instruments_max: u64, group_levels_max: u64) -> Self {
        Self {
            random: Random::new(seed ^ 0xFEED),
            epoch: 0,
            instruments: Vec::new(),
            truth: HashMap::new(),
            instruments_max,
            group_levels_max,
            now_ns: 1_000_000,
        }
    }

    /// Begins an epoch: its record and the first definitions.
    pub fn restart(&mut self, out: &mut Vec<Tick>) {
        self.epoch += 1 + self.random.below(1000);
        self.instruments.clear();
        out.push(Tick::from_epoch(self.epoch, self.now_ns));
        let count = self.random.range(1, self.instruments_max);
        for _ in 0..count {
            self.list(out);
        }
    }

    /// Defines one more instrument, under a symbol that is not taken.
    pub fn list(&mut self, out: &mut Vec<Tick>) {
        if self.instruments.len() as u64 >= self.instruments_max {
            return;
        }
        let taken: Vec<Symbol> = self.instruments.iter().map(|i| i.definition.symbol).collect();
        let symbol = loop {
            let symbol = symbol(self.random.below(self.symbols()));
            if !taken.contains(&symbol) {
                break symbol;
            }
        };
        let mut channels = 0;
        for channel in CHANNELS {
            if self.random.chance(75) {
                channels |= channel.bit();
            }
        }
        let definition = Instrument {
            id: self.instruments.len() as u32,
            symbol,
            base_len: 1,
            price_exponent: -2,
            quantity_exponent: -3,
            tick_size: 1,
            lot_size: 1,
            channels,
        };
        let mut tick = Tick::from_definition(&definition, self.now_ns);
        tick.ts_ring_ns = self.now_ns;
        out.push(tick);
        self.instruments.push(Listed {
            definition,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            last: HashMap::new(),
            depth_seq: 0,
            depth_ts_ns: 0,
            stale: true,
        });
    }

    /// How many symbols it may ever use: numbers from 0.
    pub fn symbols(&self) -> u64 {
        self.instruments_max + 2
    }

    pub fn newest(&self, epoch: u64, symbol: Symbol, channel: Channel) -> u64 {
        let source = if channel.partial_levels().is_some() { Channel::Depth } else { channel };
        self.truth.get(&(epoch, symbol, source.code())).map_or(0, |all| all.len() as u64)
    }

    pub fn definitions(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.iter().map(|listed| &listed.definition)
    }

    /// One event of some instrument.
    pub fn event(&mut self, out: &mut Vec<Tick>) {
        self.now_ns += self.random.range(1, 1000);
        let count = self.instruments.len() as u64;
        // Low numbers are popular.
        let end = self.random_end(count);
        let which = self.random.below(end) as usize;
        let definition = self.instruments[which].definition;
        let channels: Vec<Channel> = CHANNELS.into_iter().filter(|c| definition.has(*c)).collect();
        if channels.is_empty() {
            return;
        }
        let channel = *self.random.pick(&channels);
        let seq = self.newest(self.epoch, definition.symbol, channel) + 1;
        if channel == Channel::Depth {
            self.group(which, seq, out);
        } else {
            let mut tick = self.tick(definition.id, channel, seq);
            tick.seq = seq;
            tick.ts_ring_ns = self.now_ns + 5;
            out.push(tick);
            self.instruments[which].last.insert(channel.code(), tick);
            let key = (self.epoch, definition.symbol, channel.code());
            self.truth.entry(key).or_default().push(Truth::Tick(tick));
        }
        self.instruments[which].stale = true;
    }

    fn random_end(&mut self, count: u64) -> u64 {
        if self.random.chance(60) { count.min(2) } else { count }
    }

    fn tick(&mut self, id: u32, channel: Channel, seq: u64) -> Tick {
        let ts_ns = self.now_ns;
        let mut value = || self.random.range(1, 1_000_000) as i64;
        match channel {
            Channel::Trade => Tick::from_trade(
                id,
                ts_ns,
                &Trade {
                    price: value(),
                    quantity: value(),
                    trade_id: 1000 + seq,
                    ts_trade_ns: ts_ns - 1,
                    buyer_is_maker: value() % 2 == 0,
                },
            ),
            Channel::Quote => Tick::from_quote(
                id,
                ts_ns,
                &Quote {
                    bid_price: value(),
                    bid_quantity: value(),
                    ask_price: value(),
                    ask_quantity: value(),
                    update_id: 0,
                },
            ),
            Channel::Ticker => Tick::from_ticker(
                id,
                ts_ns,
                &Ticker {
                    open: value(),
                    high: value(),
                    low: value(),
                    last: value(),
                    last_quantity: value(),
                    volume: value(),
                    quote_volume: value(),
                    previous_close: value(),
                    first_trade_id: value() as u64,
                    last_trade_id: value() as u64,
                    trades: value() as u64,
                },
            ),
            Channel::Status => {
                let all = [TradingStatus::Trading, TradingStatus::Halted, TradingStatus::Closed];
                Tick::from_status(id, ts_ns, all[value() as usize % 3])
            }
            Channel::AggTrade => Tick::from_agg_trade(
                id,
                ts_ns,
                &AggTrade {
                    price: value(),
                    quantity: value(),
                    agg_id: 1000 + seq,
                    first_trade_id: value() as u64,
                    last_trade_id: value() as u64,
                    ts_trade_ns: ts_ns - 1,
                    buyer_is_maker: value() % 2 == 0,
                },
            ),
            Channel::Rolling(window) => Tick::from_rolling(
                window,
                id,
                ts_ns,
                &RollingTicker {
                    ts_open_ns: ts_ns / 1000,
                    open: value(),
                    high: value(),
                    low: value(),
                    last: value(),
                    volume: value(),
                    quote_volume: value(),
                    first_trade_id: value() as u64,
                    last_trade_id: value() as u64,
                    trades: value() as u64,
                },
            ),
            Channel::Average => {
                let (price, ts_trade_ns) = (value(), ts_ns - 1);
                Tick::from_average(id, ts_ns, &Average { price, minutes: 5, ts_trade_ns })
            }
            _ => Tick::from_bar(
                channel,
                id,
                ts_ns,
                &Bar {
                    ts_open_ns: ts_ns / 1000,
                    open: value(),
                    high: value(),
                    low: value(),
                    close: value(),
                    volume: value(),
                    quote_volume: value(),
                    taker_volume: value(),
                    taker_quote_volume: value(),
                    first_trade_id: value() as u64,
                    trades: value() as u64,
                    is_final: value() % 8 == 0,
                },
            ),
        }
    }

    fn group(&mut self, which: usize, seq: u64, out: &mut Vec<Tick>) {
        let replaces = self.random.chance(3);
        let most = if self.random.chance(20) { self.group_levels_max } else { 6 };
        let count = self.random.below(most.min(self.group_levels_max) + 1);
        let levels: Vec<Level> = (0..count)
            .map(|_| Level {
                side: if self.random.chance(50) { Side::Bid } else { Side::Ask },
                price: self.random.range(1, 40) as i64,
                quantity: if self.random.chance(30) { 0 } else { self.random.range(1, 99) as i64 },
            })
            .collect();
        let listed = &mut self.instruments[which];
        let start = out.len();
        let id = listed.definition.id;
        Tick::push_depth(out, id, self.now_ns, seq * 10..=seq * 10 + 9, &levels);
        for tick in &mut out[start..] {
            tick.seq = seq;
            tick.ts_ring_ns = self.now_ns + 7;
            tick.flags |= if replaces { flags::REPLACES_BOOK } else { 0 };
        }
        if replaces {
            listed.bids.clear();
            listed.asks.clear();
        }
        for level in &levels {
            let side = if level.side == Side::Bid { &mut listed.bids } else { &mut listed.asks };
            if level.quantity == 0 {
                side.remove(&level.price);
            } else {
                side.insert(level.price, level.quantity);
            }
        }
        (listed.depth_seq, listed.depth_ts_ns) = (seq, self.now_ns);
        let bids = listed.bids.iter().rev().map(|(p, q)| (*p, *q)).collect();
        let asks = listed.asks.iter().map(|(p, q)| (*p, *q)).collect();
        let key = (self.epoch, listed.definition.symbol, Channel::Depth.code());
        let group = Truth::Group { ticks: out[start..].to_vec(), bids, asks };
        self.truth.entry(key).or_default().push(group);
    }

    /// Images of the instruments that changed since their last one.
    pub fn checkpoint(&mut self, mut write: impl FnMut(usize, InstrumentImage)) {
        for (slot, listed) in self.instruments.iter_mut().enumerate() {
            if std::mem::take(&mut listed.stale) {
                let mut last: Vec<Tick> = listed.last.values().copied().collect();
                last.sort_by_key(|tick| tick.kind);
                write(
                    slot,
                    InstrumentImage {
                        epoch: self.epoch,
                        presence: wire::Presence::Attached,
                        definition: listed.definition,
                        last,
                        depth_seq: listed.depth_seq,
                        update_id: listed.depth_seq * 10 + 9,
                        ts_event_ns: listed.depth_ts_ns,
                        bids: listed.bids.iter().rev().map(|(p, q)| (*p, *q)).collect(),
                        asks: listed.asks.iter().map(|(p, q)| (*p, *q)).collect(),
                    },
                );
            }
        }
    }
}
