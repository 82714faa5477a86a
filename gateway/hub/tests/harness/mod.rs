//! A hub with a feed in front and a shell around it, for tests that say what happens tick by tick.

#![allow(dead_code, unreachable_pub, reason = "shared by tests, none of which uses all of it")]

use tickcast_hub::{ConnId, Envelope, Format, Hub, Limits, Visit};
use wire::command::{Buffers, Command};
use wire::exchange::{Grammar, Stream, SymbolCase};
use wire::sbe::Message;
use wire::{
    Bar, Channel, Encoding, GapReason, Instrument, Interval, Level, Position, Quote, Side, Tick,
    Ticker, Trade, flags,
};

/// Everything a test needs.
pub struct Bench {
    pub hub: Hub,
    pub now_ns: u64,
    /// Next number by instrument and channel.
    seqs: Vec<[u64; wire::CHANNEL_COUNT]>,
    buffers: Buffers,
    pub out: Vec<u8>,
    batch: Vec<Tick>,
}

/// What a client saw, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Instrument, channel, number.
    Data(u32, Channel, u64),
    /// A part of a snapshot: instrument, number, whether it is complete with it.
    Book(u32, u64, bool),
    /// Instrument, channel, reason, first number, count.
    Gap(u32, Channel, GapReason, u64, u64),
    Definition(u32),
    Feed(wire::FeedState),
}

pub const ALL: [Channel; 5] =
    [Channel::Trade, Channel::Quote, Channel::Depth, Channel::Ticker, Channel::Status];

pub fn instrument(id: u32, channels: &[Channel]) -> Instrument {
    Instrument::numbered(id, channels.iter().fold(0, |bits, channel| bits | channel.bit()))
}

impl Bench {
    /// A hub in its first epoch that knows so many instruments.
    pub fn new(limits: Limits, instruments: u32) -> Self {
        Self::with_channels(limits, instruments, &ALL)
    }

    pub fn with_channels(limits: Limits, instruments: u32, channels: &[Channel]) -> Self {
        let mut bench = Self {
            hub: Hub::new(limits),
            now_ns: 1,
            seqs: Vec::new(),
            buffers: Buffers::new(),
            out: Vec::new(),
            batch: Vec::new(),
        };
        bench.epoch(7, instruments, channels);
        bench
    }

    pub fn epoch(&mut self, epoch: u64, instruments: u32, channels: &[Channel]) {
        self.hub.handle_record(&Tick::from_epoch(epoch, 0), self.now_ns);
        self.seqs = vec![[0; wire::CHANNEL_COUNT]; instruments as usize];
        for id in 0..instruments {
            let tick = Tick::from_definition(&instrument(id, channels), 0);
            self.hub.handle_record(&tick, self.now_ns);
        }
    }

    pub fn next_seq(&mut self, id: u32, channel: Channel) -> u64 {
        let seq = &mut self.seqs[id as usize][usize::from(channel.code())];
        *seq += 1;
        *seq
    }

    /// Takes a number as if a tick had come; the hub does not get it.
    pub fn lose(&mut self, id: u32, channel: Channel) {
        self.next_seq(id, channel);
    }

    pub fn quote(&mut self, id: u32) {
        let seq = self.next_seq(id, Channel::Quote);
        let price = seq as i64 + 100;
        let quote = Quote {
            bid_price: price,
            bid_quantity: 5,
            ask_price: price + 1,
            ask_quantity: 6,
            update_id: seq,
        };
        let tick = Tick { seq, ..Tick::from_quote(id, self.now_ns, &quote) };
        self.hub.handle_record(&tick, self.now_ns);
    }

    pub fn trade(&mut self, id: u32) {
        let seq = self.next_seq(id, Channel::Trade);
        let trade = Trade {
            price: 100,
            quantity: 1,
            trade_id: seq,
            ts_trade_ns: self.now_ns,
            buyer_is_maker: false,
        };
        let tick = Tick { seq, ..Tick::from_trade(id, self.now_ns, &trade) };
        self.hub.handle_record(&tick, self.now_ns);
    }

    pub fn ticker(&mut self, id: u32) {
        let seq = self.next_seq(id, Channel::Ticker);
        let ticker = Ticker {
            open: 100,
            high: 300,
            low: 100,
            last: 200,
            last_quantity: 1,
            volume: 5000,
            quote_volume: 7000,
            previous_close: 100,
            first_trade_id: 1,
            last_trade_id: seq,
            trades: seq,
        };
        let tick = Tick { seq, ..Tick::from_ticker(id, self.now_ns, &ticker) };
        self.hub.handle_record(&tick, self.now_ns);
    }

    /// Time goes on, and what is due is done.
    pub fn pass(&mut self, ns: u64) {
        self.now_ns += ns;
        self.hub.handle_timers(self.now_ns);
    }

    pub fn bar(&mut self, id: u32, interval: Interval, trades: u64, is_final: bool) {
        let seq = self.next_seq(id, Channel::Bar(interval));
        let tick = Tick { seq, ..self.bar_of(id, interval, trades, is_final) };
        self.hub.handle_record(&tick, self.now_ns);
    }

    /// A bar of now, which the hub does not get, without a number.
    pub fn bar_of(&self, id: u32, interval: Interval, trades: u64, is_final: bool) -> Tick {
        let bar = Bar {
            ts_open_ns: interval.around(self.now_ns).0,
            open: 100,
            high: 300,
            low: 100,
            close: 200,
            volume: 5000,
            quote_volume: 7000,
            taker_volume: 1000,
            taker_quote_volume: 2000,
            first_trade_id: 1,
            trades,
            is_final,
        };
        Tick::from_bar(Channel::Bar(interval), id, self.now_ns, &bar)
    }

    /// A depth group that sets these bids.
    pub fn bids(&mut self, id: u32, prices: impl Iterator<Item = i64>) {
        let levels: Vec<Level> =
            prices.map(|price| Level { side: Side::Bid, price, quantity: price + 1 }).collect();
        self.depth(id, &levels, 0);
    }

    pub fn depth(&mut self, id: u32, levels: &[Level], extra: u8) {
        let seq = self.next_seq(id, Channel::Depth);
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        Tick::push_depth(&mut batch, id, self.now_ns, seq..=seq, levels);
        for tick in &mut batch {
            tick.seq = seq;
            tick.flags |= extra & flags::REPLACES_BOOK;
            self.hub.handle_record(tick, self.now_ns);
        }
        self.batch = batch;
    }

    pub fn connect(&mut self, encoding: Encoding) -> ConnId {
        self.hub.connect(encoding, self.now_ns).expect("there is room")
    }

    /// Sends a command as a client would and answers the reply.
    pub fn command(&mut self, conn: ConnId, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let command = Command::parse(&mut bytes, &mut self.buffers).expect("a command");
        let mut reply = Vec::new();
        self.hub.handle_command(conn, &command, self.now_ns, &mut reply);
        String::from_utf8(reply).unwrap()
    }

    /// A connection subscribed to these topics; `more` are further fields of the command.
    pub fn client(&mut self, encoding: Encoding, topics: &[&str], more: &str) -> ConnId {
        let conn = self.connect(encoding);
        let names: Vec<String> = topics.iter().map(|topic| format!("\"{topic}\"")).collect();
        let text = format!(r#"{{"op":"subscribe","topics":[{}]{more}}}"#, names.join(","));
        let reply = self.command(conn, &text);
        assert!(!reply.contains("\"ok\":false"), "{reply}");
        conn
    }

    /// A client of the exchange's protocol with these streams.
    pub fn stream_client(&mut self, format: Format, envelope: Envelope, names: &[&str]) -> ConnId {
        let conn = self.hub.connect(format, self.now_ns).expect("there is room");
        self.hub.set_envelope(conn, envelope);
        for name in names {
            self.add_stream(conn, format, name);
        }
        conn
    }

    pub fn add_stream(&mut self, conn: ConnId, format: Format, name: &str) {
        let grammar = Grammar { schema: format.schema(), case: SymbolCase::Lower };
        let stream = Stream::parse(name, grammar).expect("a stream's name");
        self.hub.add_stream(conn, name, stream, 1024).expect("there is room");
    }

    /// Visits until nobody's turn is left, and answers the frames' payloads that this connection got.
    pub fn frames(&mut self, conn: ConnId) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some((visited, _)) = self.visit() {
            let mut rest = if visited == conn { &self.out[..] } else { &[] };
            while let [first, short, ..] = *rest {
                assert!(matches!(first, 0x81 | 0x82), "a whole frame begins with {first:#x}");
                let (header, len) = match short {
                    126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
                    127 => (10, u64::from_be_bytes(rest[2..10].try_into().unwrap()) as usize),
                    short => (2, usize::from(short)),
                };
                frames.push(rest[header..header + len].to_vec());
                rest = &rest[header + len..];
            }
        }
        frames
    }

    /// The same as texts.
    pub fn events(&mut self, conn: ConnId) -> Vec<String> {
        let frames = self.frames(conn).into_iter();
        frames.map(|frame| String::from_utf8(frame).expect("JSON is text")).collect()
    }

    /// A connection that goes on with this topic after a stream that ended there.
    pub fn client_after(&mut self, topic: &str, position: &Position) -> ConnId {
        let conn = self.connect(Encoding::Json);
        let mut text = format!(r#"{{"op":"subscribe","topics":["{topic}"]}}"#).into_bytes();
        let Ok(Command::Subscribe(subscribe)) = Command::parse(&mut text, &mut self.buffers) else {
            panic!("{topic} is no topic");
        };
        let mut reply = Vec::new();
        self.hub.handle_return(conn, subscribe, Some(position), self.now_ns, &mut reply);
        let reply = String::from_utf8(reply).unwrap();
        assert!(!reply.contains("\"ok\":false"), "{reply}");
        conn
    }

    /// Where the connection is, if that can be said.
    pub fn position(&self, conn: ConnId) -> Option<Position> {
        let mut text = Vec::new();
        let is_known = self.hub.write_position(conn, &mut text);
        is_known.then(|| Position::parse(std::str::from_utf8(&text).unwrap()).unwrap())
    }

    /// Visits whoever's turn it is; the message is in `out`.
    pub fn visit(&mut self) -> Option<(ConnId, Visit)> {
        let conn = self.hub.next_visit(self.now_ns)?;
        self.out.clear();
        let visit = self.hub.collect(conn, self.now_ns, &mut self.out);
        self.hub.commit(conn);
        Some((conn, visit))
    }

    /// Visits until nobody's turn is left, and adds up: visits, looks, and the most looks of one.
    pub fn settle(&mut self) -> (u64, u64, u32) {
        let (mut visits, mut looks, mut most) = (0, 0, 0);
        while let Some((_, visit)) = self.visit() {
            visits += 1;
            looks += u64::from(visit.examined);
            most = most.max(visit.examined);
        }
        (visits, looks, most)
    }

    /// Visits until nobody's turn is left, and answers what this SBE connection saw.
    pub fn see(&mut self, conn: ConnId) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some((visited, _)) = self.visit() {
            if visited == conn {
                decode(&self.out, &mut seen);
            }
        }
        seen
    }
}

pub fn decode(bytes: &[u8], seen: &mut Vec<Seen>) {
    for message in wire::sbe::decode(bytes) {
        let message = message.expect("what the hub writes can be read");
        match &message {
            Message::Gap(gap) => seen.extend(gap.entries.clone().map(|gap| {
                Seen::Gap(gap.instrument, gap.channel, gap.reason, gap.first_seq, gap.count)
            })),
            Message::Definition { instrument, .. } => seen.push(Seen::Definition(instrument.id)),
            Message::FeedStatus { state, .. } => seen.push(Seen::Feed(*state)),
            Message::DepthSnapshot(snapshot) => {
                let head = snapshot.head;
                seen.push(Seen::Book(head.instrument, head.seq, snapshot.part.is_last()));
            }
            other => {
                let (head, channel) = (other.head().unwrap(), other.channel().unwrap());
                seen.push(Seen::Data(head.instrument, channel, head.seq));
            }
        }
    }
}
