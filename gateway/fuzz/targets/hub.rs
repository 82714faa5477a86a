//! Sequences of operations on a hub: records, clients that come, ask, stall and go, time that passes.
//!
//! The simulation in `gateway/hub/tests` knows what each client must get; this looks for sequences that
//! nobody thought of, and asks only that what is sent can be read.

use std::sync::Arc;

use hub::{ConnId, Envelope, Format, Grant, Hub, Limits, Rules};
use wire::command::{Buffers, Command, Mode, SnapshotPolicy, Subscribe};
use wire::exchange::{Grammar, Stream, SymbolCase};
use wire::{FeedState, InstrumentImage, Pattern, Position, TICK_WORDS, Tick};

/// One operation; numbers choose among what there is.
enum Step {
    Connect(u8),
    Disconnect(u8),
    Command(u8, String),
    Subscribe(u8, u8, Every),
    Unsubscribe(u8, u8),
    Return(u8, u8),
    AddStream(u8, u8),
    AddStreamNamed(u8, String),
    RemoveStream(u8, u8),
    Envelope(u8, Envelope),
    Epoch(u8),
    Define(u8),
    Record(Box<[u64; TICK_WORDS]>),
    Quote(u8, u16),
    Trade(u8, u16),
    Depth(u8, u16, Vec<(u8, u8)>),
    Image(Vec<u64>),
    Lapped(u16),
    Recovered,
    Feed(FeedState),
    Pass(u32),
    Visit(Outcome),
    Writable(u8),
    Entitle(u8, u8),
}

/// What becomes of a visit's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Sent,
    Blocked,
}

/// The mode of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    One,
    Newest,
}

/// Steps out of bytes: one says which it is, those behind it what with.
struct Steps<'a>(&'a [u8]);

impl Steps<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn pair(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn bytes(&mut self, most: usize) -> &[u8] {
        let length = usize::from(self.byte()).min(most).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes(255)).into_owned()
    }

    fn words(&mut self) -> Vec<u64> {
        super::words(self.bytes(255)).collect()
    }
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.byte() % 25 {
            0 => Step::Connect(self.byte()),
            1 => Step::Disconnect(self.byte()),
            2 => Step::Command(self.byte(), self.text()),
            3 => {
                let (which, topic) = (self.byte(), self.byte());
                let mode = if topic >= 128 { Every::Newest } else { Every::One };
                Step::Subscribe(which, topic, mode)
            }
            4 => Step::Unsubscribe(self.byte(), self.byte()),
            5 => Step::Return(self.byte(), self.byte()),
            6 => Step::AddStream(self.byte(), self.byte()),
            7 => Step::AddStreamNamed(self.byte(), self.text()),
            8 => Step::RemoveStream(self.byte(), self.byte()),
            9 => Step::Envelope(self.byte(), Envelope::Combined),
            10 => Step::Envelope(self.byte(), Envelope::Raw),
            11 => Step::Epoch(self.byte()),
            12 => Step::Define(self.byte()),
            13 => {
                let mut words = [0; TICK_WORDS];
                words.iter_mut().zip(self.words()).for_each(|(word, given)| *word = given);
                Step::Record(Box::new(words))
            }
            14 => Step::Quote(self.byte(), self.pair()),
            15 => Step::Trade(self.byte(), self.pair()),
            16 => {
                let (which, update) = (self.byte(), self.pair());
                let levels = self.bytes(64).chunks_exact(2).map(|level| (level[0], level[1]));
                Step::Depth(which, update, levels.collect())
            }
            17 => Step::Image(self.words()),
            18 => Step::Lapped(self.pair()),
            19 => Step::Recovered,
            20 => {
                let state = if self.byte() & 1 == 0 { FeedState::Live } else { FeedState::Silent };
                Step::Feed(state)
            }
            21 => Step::Pass(u32::from(self.pair()) << (self.byte() % 16)),
            22 => {
                let is_sent = !self.byte().is_multiple_of(4);
                Step::Visit(if is_sent { Outcome::Sent } else { Outcome::Blocked })
            }
            23 => Step::Writable(self.byte()),
            _ => Step::Entitle(self.byte(), self.byte()),
        })
    }
}

const TOPICS: [&str; 8] =
    ["S0.trade", "S0.quote", "S0.depth", "S1.depth5", "S1.trade", "*.quote", "*.depth", "*.trade"];

const STREAMS: [&str; 12] = [
    "s0@trade",
    "s0@aggTrade",
    "s0@bookTicker",
    "s1@depth@100ms",
    "s1@depth",
    "s0@depth5",
    "s0@kline_1m",
    "s2@trade",
    "!bookTicker",
    "!miniTicker@arr",
    "s0@miniTicker",
    "s0@bestBidAsk",
];

pub fn run(bytes: &[u8]) {
    let limits = Limits {
        log_entries: 64,
        log_ticks: 256,
        arena_bytes: [1 << 14; 2],
        group_levels_max: 64,
        ..Limits::default()
    };
    let mut hub = Hub::new(limits);
    let mut world = World { now_ns: 1, seqs: [[0; 3]; 4], conns: Vec::new(), position: None };
    hub.handle_recovered(world.now_ns);
    for step in Steps(bytes).take(400) {
        world.take(step, &mut hub);
    }
}

struct World {
    now_ns: u64,
    /// Newest number by instrument and channel: trade, quote, depth.
    seqs: [[u64; 3]; 4],
    conns: Vec<(ConnId, Format)>,
    /// Where an event stream was last.
    position: Option<Position>,
}

impl World {
    fn take(&mut self, step: Step, hub: &mut Hub) {
        match step {
            Step::Connect(which) => {
                let format = Format::ALL[usize::from(which) % Format::ALL.len()];
                if self.conns.len() < 8
                    && let Ok(conn) = hub.connect(format, self.now_ns)
                {
                    self.conns.push((conn, format));
                }
            }
            Step::Disconnect(which) => {
                if !self.conns.is_empty() {
                    let at = usize::from(which) % self.conns.len();
                    hub.disconnect(self.conns.swap_remove(at).0);
                }
            }
            Step::Command(which, text) => self.command(which, text, hub),
            Step::Subscribe(which, topic, every) => {
                let topic = TOPICS[usize::from(topic) % TOPICS.len()];
                let mode = if every == Every::One { "every" } else { "conflate" };
                let text =
                    format!(r#"{{"op":"subscribe","id":1,"topics":["{topic}"],"mode":"{mode}"}}"#);
                self.command(which, text, hub);
            }
            Step::Unsubscribe(which, topic) => {
                let topic = TOPICS[usize::from(topic) % TOPICS.len()];
                self.command(which, format!(r#"{{"op":"unsubscribe","topics":["{topic}"]}}"#), hub);
            }
            Step::Return(which, topic) => self.come_back(which, topic, hub),
            Step::AddStream(which, stream) => {
                self.add_stream(which, STREAMS[usize::from(stream) % STREAMS.len()], hub);
            }
            Step::AddStreamNamed(which, name) => self.add_stream(which, &name, hub),
            Step::RemoveStream(which, stream) => {
                if let Some((conn, _)) = self.exchange_client(which) {
                    hub.remove_stream(conn, STREAMS[usize::from(stream) % STREAMS.len()]);
                }
            }
            Step::Envelope(which, envelope) => {
                if let Some((conn, _)) = self.exchange_client(which) {
                    hub.set_envelope(conn, envelope);
                }
            }
            Step::Epoch(epoch) => {
                self.seqs = [[0; 3]; 4];
                hub.handle_record(&Tick::from_epoch(epoch.into(), self.now_ns), self.now_ns);
            }
            Step::Define(which) => {
                let id = u32::from(which % 4);
                let symbol = wire::Symbol::new(&format!("S{id}")).expect("it is one");
                let instrument = wire::Instrument {
                    id,
                    symbol,
                    base_len: 0,
                    price_exponent: -2,
                    quantity_exponent: -3,
                    tick_size: 1,
                    lot_size: 1,
                    channels: 0b111,
                };
                hub.handle_record(&Tick::from_definition(&instrument, self.now_ns), self.now_ns);
            }
            Step::Record(words) => hub.handle_record(&Tick::from_words(*words), self.now_ns),
            Step::Quote(which, price) => {
                let quote = wire::Quote {
                    bid_price: i64::from(price),
                    bid_quantity: 1,
                    ask_price: i64::from(price) + 1,
                    ask_quantity: 1,
                    update_id: 0,
                };
                self.record(which, 1, hub, |id, now_ns| vec![Tick::from_quote(id, now_ns, &quote)]);
            }
            Step::Trade(which, price) => {
                let trade = wire::Trade {
                    price: i64::from(price),
                    quantity: 1,
                    trade_id: 1,
                    ts_trade_ns: self.now_ns,
                    buyer_is_maker: false,
                };
                self.record(which, 0, hub, |id, now_ns| vec![Tick::from_trade(id, now_ns, &trade)]);
            }
            Step::Depth(which, update, levels) => {
                let levels: Vec<wire::Level> =
                    levels.iter().map(|&(price, quantity)| level(price, quantity)).collect();
                let update_id = u64::from(update);
                self.record(which, 2, hub, |id, now_ns| {
                    let mut ticks = Vec::new();
                    Tick::push_depth(&mut ticks, id, now_ns, update_id..=update_id, &levels);
                    ticks
                });
            }
            Step::Image(words) => {
                if let Ok(image) = InstrumentImage::decode(&words) {
                    hub.handle_image(&image, self.now_ns);
                }
            }
            Step::Lapped(lost) => hub.handle_lapped(u64::from(lost), self.now_ns),
            Step::Recovered => hub.handle_recovered(self.now_ns),
            Step::Feed(state) => hub.handle_feed(state, self.now_ns),
            Step::Pass(ns) => {
                self.now_ns += u64::from(ns);
                hub.handle_timers(self.now_ns);
            }
            Step::Visit(outcome) => self.visit(outcome, hub),
            Step::Entitle(which, grant) => self.entitle(which, grant, hub),
            Step::Writable(which) => {
                if let Some((conn, _)) = self.conns.get(usize::from(which)) {
                    hub.handle_writable(*conn, self.now_ns);
                }
            }
        }
        while let Some((conn, _code)) = hub.next_close() {
            self.conns.retain(|(known, _)| *known != conn);
            hub.disconnect(conn);
        }
    }

    fn command(&mut self, which: u8, text: String, hub: &mut Hub) {
        let client = self.conns.get(usize::from(which)).filter(|(_, format)| !format.is_exchange());
        let Some((conn, _)) = client else { return };
        let mut text = text.into_bytes();
        let mut reply = Vec::new();
        if let Ok(command) = Command::parse(&mut text, &mut Buffers::default()) {
            hub.handle_command(*conn, &command, self.now_ns, &mut reply);
            serde_json::from_slice::<serde_json::Value>(&reply).expect("a reply is a JSON value");
        }
    }

    /// A connection of the exchange's face.
    fn exchange_client(&self, which: u8) -> Option<(ConnId, Format)> {
        self.conns.get(usize::from(which)).copied().filter(|(_, format)| format.is_exchange())
    }

    fn add_stream(&self, which: u8, name: &str, hub: &mut Hub) {
        let Some((conn, format)) = self.exchange_client(which) else { return };
        let grammar = Grammar { schema: format.schema(), case: SymbolCase::Any };
        if let Ok(stream) = Stream::parse(name, grammar) {
            let _ = hub.add_stream(conn, name, stream, 6);
            assert!(hub.streams(conn).len() <= 6);
        }
    }

    /// Another grant: each bit is a rule, or a bound.
    fn entitle(&self, which: u8, bits: u8, hub: &mut Hub) {
        let Some((conn, _)) = self.conns.get(usize::from(which)) else { return };
        let rules = ["*.*", "S0.*", "*.quote", "!S1.*", "!*.trade", "S1.depth*"];
        let chosen = rules.iter().zip(0..).filter(|(_, bit)| bits >> bit & 1 == 1);
        let grant = Grant {
            see: Rules::parse(chosen.map(|(rule, _)| rule)).expect("they are rules"),
            depth_levels: (bits & 64 != 0).then_some(5),
            mode: if bits & 128 == 0 { Mode::Every } else { Mode::Conflate },
            ..Grant::nothing()
        };
        let mut told = Vec::new();
        hub.entitle(*conn, Arc::new(grant), self.now_ns, &mut told);
        if !told.is_empty() {
            is_json(&told);
        }
    }

    /// A client of event streams, which says where it was.
    fn come_back(&mut self, which: u8, topic: u8, hub: &mut Hub) {
        let Some((conn, Format::Json)) = self.conns.get(usize::from(which)).copied() else {
            return;
        };
        if hub.is_subscribed(conn) {
            return;
        }
        let topic = Pattern::parse(TOPICS[usize::from(topic) % TOPICS.len()]).expect("it is one");
        let subscribe = Subscribe {
            id: None,
            topics: vec![Ok(topic)],
            mode: Mode::Every,
            max_rate: None,
            snapshot: SnapshotPolicy::Send,
            resume: None,
        };
        let mut reply = Vec::new();
        hub.handle_return(conn, subscribe, self.position.as_ref(), self.now_ns, &mut reply);
        serde_json::from_slice::<serde_json::Value>(&reply).expect("a reply is a JSON value");
    }

    fn record(
        &mut self,
        which: u8,
        channel: usize,
        hub: &mut Hub,
        make: impl FnOnce(u32, u64) -> Vec<Tick>,
    ) {
        let id = which % 4;
        let seq = &mut self.seqs[usize::from(id)][channel];
        *seq += 1;
        for mut tick in make(u32::from(id), self.now_ns) {
            tick.seq = *seq;
            tick.ts_ring_ns = self.now_ns;
            hub.handle_record(&tick, self.now_ns);
        }
    }

    fn visit(&mut self, outcome: Outcome, hub: &mut Hub) {
        let Some(conn) = hub.next_visit(self.now_ns) else { return };
        let mut out = Vec::new();
        let visit = hub.collect(conn, self.now_ns, &mut out);
        assert_eq!(visit.bytes, out.len());
        let format = self.conns.iter().find(|(known, _)| *known == conn).map(|(_, format)| *format);
        if !out.is_empty() {
            match format.expect("only who is connected has a turn") {
                Format::Sbe => assert!(wire::sbe::decode(&out).all(|message| message.is_ok())),
                Format::Json => is_json(&out),
                exchange => frames(&out, exchange),
            }
        }
        if outcome == Outcome::Sent {
            hub.commit(conn);
            let mut text = Vec::new();
            if format == Some(Format::Json) && hub.write_position(conn, &mut text) {
                let text = String::from_utf8(text).expect("a position is text");
                self.position = Some(Position::parse(&text).expect("a position can be read"));
            }
        } else {
            hub.abandon(conn);
            hub.handle_blocked(conn, self.now_ns);
        }
    }
}

fn is_json(text: &[u8]) {
    serde_json::from_slice::<serde_json::Value>(text).expect("a message is a JSON value");
}

/// Events of the exchange's protocol come each in a frame of its own.
fn frames(mut out: &[u8], format: Format) {
    while let [first, second, rest @ ..] = out {
        assert_eq!(*first, format.frame_first());
        let (length, rest) = match *second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => {
                let length = u64::from_be_bytes(*rest.first_chunk().expect("a length"));
                (usize::try_from(length).expect("it lies in memory"), &rest[8..])
            }
            short => (usize::from(short), rest),
        };
        let (event, rest) = rest.split_at(length);
        if format != Format::ExchangeSbe {
            is_json(event);
        }
        out = rest;
    }
    assert!(out.is_empty(), "half a header");
}

fn level(price: u8, quantity: u8) -> wire::Level {
    let side = if price < 128 { wire::Side::Bid } else { wire::Side::Ask };
    wire::Level { side, price: i64::from(price) + 1, quantity: i64::from(quantity) }
}
