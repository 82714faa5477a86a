//! The forms in which events are written: the two native encodings, and those of the exchange's
//! protocol.
//!
//! It only dispatches. What an event of the exchange's protocol is not, a gap, a definition, the feed's
//! state, part of a book, has no form there and writes nothing.

use wire::exchange::{LegacyTradeIds, Schema, Stream, Style, TimeUnit, View, json, sbe};
use wire::{
    Channel, DepthHead, Encoding, FeedState, GapEntry, Instrument, Quote, Symbol, Tick, frame,
};

use crate::instruments::Instruments;
use crate::log::Log;
use crate::topics::{Newest, Shows, Topics};

/// How the events of a connection are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Format {
    /// The native binary encoding.
    Sbe,
    /// The native text encoding.
    Json,
    /// The exchange's text events, times in milliseconds.
    ExchangeMillis,
    /// The same, times in microseconds.
    ExchangeMicros,
    /// The exchange's binary events.
    ExchangeSbe,
}

/// How many formats there are.
pub(crate) const FORMATS: usize = Format::ALL.len();

/// How many of them are native: the first ones.
pub(crate) const NATIVE: usize = Encoding::ALL.len();

/// What an entry is written with, besides its ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<'a> {
    pub(crate) shows: Shows,
    slot: u32,
    instruments: &'a Instruments,
    topics: &'a Topics,
    trade_ids: LegacyTradeIds,
}

impl<'a> Described<'a> {
    /// What entries of this topic are written with.
    #[inline]
    pub(crate) fn new(
        topic: u32,
        topics: &'a Topics,
        instruments: &'a Instruments,
        trade_ids: LegacyTradeIds,
    ) -> Self {
        let known = topics.get(topic);
        Self { shows: known.shows, slot: known.slot, instruments, topics, trade_ids }
    }

    #[inline]
    pub(crate) fn instrument(&self) -> &'a Instrument {
        &self.instruments.get(self.slot).definition
    }

    /// The stream that the topic is.
    pub(crate) fn stream(&self) -> Stream {
        self.shows.stream(self.instrument().symbol)
    }

    /// The best bid and offer of an instrument, as its ticker shows them.
    fn best(&self, slot: u32, log: &Log) -> Option<Quote> {
        let topic = self.instruments.get(slot).topic(Channel::Quote)?;
        match self.topics.newest(topic) {
            Newest::Nothing => None,
            Newest::Entry(at) => Some(log.ticks(at)[0].quote()),
            Newest::Kept(tick) => Some(tick.quote()),
        }
    }
}

impl Format {
    /// All formats, in the order of [`Format::index`].
    pub const ALL: [Self; 5] =
        [Self::Sbe, Self::Json, Self::ExchangeMillis, Self::ExchangeMicros, Self::ExchangeSbe];

    /// A dense number, for tables per format; native ones come first, numbered as their encodings.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sbe => "sbe",
            Self::Json => "json",
            Self::ExchangeMillis => "exchange-ms",
            Self::ExchangeMicros => "exchange-us",
            Self::ExchangeSbe => "exchange-sbe",
        }
    }

    /// Whether the events are those of the exchange's protocol, each in a frame of its own.
    #[must_use]
    pub const fn is_exchange(self) -> bool {
        self.index() >= NATIVE
    }

    /// Which names streams have where this is the format.
    #[must_use]
    pub const fn schema(self) -> Schema {
        match self {
            Self::ExchangeSbe => Schema::Sbe,
            _ => Schema::Json,
        }
    }

    /// The first byte of the frames that its events are in.
    #[must_use]
    pub const fn frame_first(self) -> u8 {
        match self {
            Self::Sbe | Self::ExchangeSbe => frame::BINARY,
            Self::Json | Self::ExchangeMillis | Self::ExchangeMicros => frame::TEXT,
        }
    }
}

impl Format {
    /// The native encoding, if it is one.
    pub(crate) const fn native(self) -> Option<Encoding> {
        match self {
            Self::Sbe => Some(Encoding::Sbe),
            Self::Json => Some(Encoding::Json),
            Self::ExchangeMillis | Self::ExchangeMicros | Self::ExchangeSbe => None,
        }
    }

    /// What a level takes at most in this format, as far as levels usually are.
    pub(crate) const fn level_bytes(self) -> usize {
        match self {
            Self::Sbe | Self::ExchangeSbe => 16,
            Self::Json | Self::ExchangeMillis | Self::ExchangeMicros => 48,
        }
    }
}

impl From<Encoding> for Format {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Sbe => Self::Sbe,
            Encoding::Json => Self::Json,
        }
    }
}

/// What a format writes with.
enum Writer {
    Native(Encoding),
    ExchangeJson(TimeUnit),
    ExchangeSbe,
}

impl Format {
    const fn writer(self) -> Writer {
        match self {
            Self::Sbe => Writer::Native(Encoding::Sbe),
            Self::Json => Writer::Native(Encoding::Json),
            Self::ExchangeMillis => Writer::ExchangeJson(TimeUnit::Millisecond),
            Self::ExchangeMicros => Writer::ExchangeJson(TimeUnit::Microsecond),
            Self::ExchangeSbe => Writer::ExchangeSbe,
        }
    }

    /// Begins a message.
    pub(crate) fn open(self, out: &mut Vec<u8>) {
        if let Some(encoding) = self.native() {
            encoding.open(out);
        }
    }

    /// Goes between two events.
    pub(crate) fn separator(self, out: &mut Vec<u8>) {
        if let Some(encoding) = self.native() {
            encoding.separator(out);
        }
    }

    /// Ends a message.
    pub(crate) fn close(self, out: &mut Vec<u8>) {
        if let Some(encoding) = self.native() {
            encoding.close(out);
        }
    }

    /// Appends one entry. Those of arrays are ticks of many instruments, whose best bids and offers are put
    /// into `bests` for the while.
    pub(crate) fn entry(
        self,
        out: &mut Vec<u8>,
        ticks: &[Tick],
        described: &Described<'_>,
        log: &Log,
        bests: &mut Vec<Option<Quote>>,
    ) {
        let instrument = described.instrument();
        let unit = match self.writer() {
            Writer::Native(encoding) => return encoding.entry(out, ticks, instrument),
            Writer::ExchangeSbe => return sbe::entry(out, ticks, instrument),
            Writer::ExchangeJson(unit) => unit,
        };
        match described.shows {
            Shows::Array(array) => {
                let slot_of = |tick: &Tick| described.instruments.by_id(tick.instrument);
                bests.clear();
                bests.extend(ticks.iter().map(|tick| described.best(slot_of(tick)?, log)));
                let elements = ticks.iter().zip(&*bests).filter_map(|(tick, best)| {
                    let known = described.instruments.get(slot_of(tick)?);
                    Some((tick, &known.definition, best.as_ref()))
                });
                json::array(out, array, elements, unit);
            }
            Shows::View(View::MiniTicker) => {
                if let [tick, ..] = ticks {
                    json::mini_ticker(out, tick, instrument, unit);
                }
            }
            Shows::View(view) => {
                let best = match view {
                    View::Channel(Channel::Ticker) => described.best(described.slot, log),
                    _ => None,
                };
                let style = Style { unit, trade_ids: described.trade_ids };
                json::entry(out, ticks, instrument, best.as_ref(), style);
            }
        }
    }

    /// Appends one change set that stands for several depth groups.
    pub(crate) fn merged_depth(
        self,
        out: &mut Vec<u8>,
        head: &DepthHead,
        bids: &[(i64, i64)],
        asks: &[(i64, i64)],
        instrument: &Instrument,
    ) {
        match self.writer() {
            Writer::Native(encoding) => encoding.merged_depth(out, head, bids, asks, instrument),
            Writer::ExchangeJson(unit) => {
                json::merged_depth(out, head, bids, asks, instrument, unit);
            }
            Writer::ExchangeSbe => sbe::merged_depth(out, head, bids, asks, instrument),
        }
    }

    /// Appends the best levels of each side, best first.
    pub(crate) fn partial_depth(
        self,
        out: &mut Vec<u8>,
        head: &DepthHead,
        bids: &[(i64, i64)],
        asks: &[(i64, i64)],
        described: &Described<'_>,
    ) {
        let instrument = described.instrument();
        match self.writer() {
            Writer::Native(encoding) => {
                let channel = described.shows.channel();
                encoding.partial_depth(out, channel, head, bids, asks, instrument);
            }
            Writer::ExchangeJson(_) => {
                json::partial_depth(out, head.last_update_id, bids, asks, instrument);
            }
            Writer::ExchangeSbe => sbe::partial_depth(out, head, bids, asks, instrument),
        }
    }

    /// Appends which sequence numbers are skipped and why.
    pub(crate) fn gap(
        self,
        out: &mut Vec<u8>,
        ts_ns: u64,
        entries: &[GapEntry],
        symbol_of: impl Fn(u32) -> Option<Symbol>,
    ) {
        if let Some(encoding) = self.native() {
            encoding.gap(out, ts_ns, entries, symbol_of);
        }
    }

    /// Appends an instrument's definition.
    pub(crate) fn definition(self, out: &mut Vec<u8>, instrument: &Instrument, epoch: u64) {
        if let Some(encoding) = self.native() {
            encoding.definition(out, instrument, epoch);
        }
    }

    /// Appends what became of the feed.
    pub(crate) fn feed_status(self, out: &mut Vec<u8>, ts_ns: u64, epoch: u64, state: FeedState) {
        if let Some(encoding) = self.native() {
            encoding.feed_status(out, ts_ns, epoch, state);
        }
    }
}
