//! The two encodings of events, chosen per connection by WebSocket subprotocol.
//!
//! Hubs call this; it only dispatches to [`crate::sbe`] and [`crate::json`]. A WebSocket message is
//! `open`, events with `separator` between them, `close`: nothing at all in SBE, whose messages say
//! how long they are, and an array in JSON.

use crate::event::{DepthHead, FeedState, GapEntry, SnapshotPart};
use crate::instrument::{Instrument, Symbol};
use crate::tick::Tick;
use crate::topic::Channel;
use crate::{json, sbe};

/// How events are written to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `tickcast.v1.sbe`: binary messages of one or more SBE messages.
    Sbe,
    /// `tickcast.v1.json`: text messages, each an array of objects.
    Json,
}

impl Encoding {
    /// All encodings, in the order of [`Encoding::index`].
    pub const ALL: [Self; 2] = [Self::Sbe, Self::Json];

    /// A dense number, for tables per encoding.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The WebSocket subprotocol.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Sbe => "tickcast.v1.sbe",
            Self::Json => "tickcast.v1.json",
        }
    }

    /// The encoding of this WebSocket subprotocol, if it is one of ours.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.subprotocol() == name)
    }

    /// The short name, as in `hello`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sbe => "sbe",
            Self::Json => "json",
        }
    }

    /// Begins a WebSocket message.
    pub fn open(self, out: &mut Vec<u8>) {
        if self == Self::Json {
            out.push(b'[');
        }
    }

    /// Goes between two events.
    pub fn separator(self, out: &mut Vec<u8>) {
        if self == Self::Json {
            out.push(b',');
        }
    }

    /// Ends a WebSocket message.
    pub fn close(self, out: &mut Vec<u8>) {
        if self == Self::Json {
            out.push(b']');
        }
    }

    /// Appends one entry: a tick, or all ticks of a depth group.
    pub fn entry(self, out: &mut Vec<u8>, entry: &[Tick], instrument: &Instrument) {
        match self {
            Self::Sbe => sbe::entry(out, entry, instrument),
            Self::Json => json::entry(out, entry, instrument),
        }
    }

    /// Appends one change set that stands for several depth groups.
    pub fn merged_depth(
        self,
        out: &mut Vec<u8>,
        head: &DepthHead,
        bids: &[(i64, i64)],
        asks: &[(i64, i64)],
        instrument: &Instrument,
    ) {
        match self {
            Self::Sbe => sbe::merged_depth(out, head, bids, asks, instrument),
            Self::Json => json::merged_depth(out, head, bids, asks, instrument),
        }
    }

    /// Appends the best levels of each side, best first.
    pub fn partial_depth(
        self,
        out: &mut Vec<u8>,
        channel: Channel,
        head: &DepthHead,
        bids: &[(i64, i64)],
        asks: &[(i64, i64)],
        instrument: &Instrument,
    ) {
        match self {
            Self::Sbe => sbe::partial_depth(out, channel, head, bids, asks, instrument),
            Self::Json => json::partial_depth(out, channel, head, bids, asks, instrument),
        }
    }

    /// Appends a part of a book snapshot, best levels first.
    pub fn depth_snapshot(
        self,
        out: &mut Vec<u8>,
        head: &DepthHead,
        part: SnapshotPart,
        bids: &[(i64, i64)],
        asks: &[(i64, i64)],
        instrument: &Instrument,
    ) {
        match self {
            Self::Sbe => sbe::depth_snapshot(out, head, part, bids, asks, instrument),
            Self::Json => json::depth_snapshot(out, head, part, bids, asks, instrument),
        }
    }

    /// Appends which sequence numbers are skipped and why.
    pub fn gap(
        self,
        out: &mut Vec<u8>,
        ts_ns: u64,
        entries: &[GapEntry],
        symbol_of: impl Fn(u32) -> Option<Symbol>,
    ) {
        match self {
            Self::Sbe => sbe::gap(out, ts_ns, entries, symbol_of),
            Self::Json => json::gap(out, ts_ns, entries, symbol_of),
        }
    }

    /// Appends an instrument's definition.
    pub fn definition(self, out: &mut Vec<u8>, instrument: &Instrument, epoch: u64) {
        match self {
            Self::Sbe => sbe::definition(out, instrument, epoch),
            Self::Json => json::definition(out, instrument, epoch),
        }
    }

    /// Appends a sign of life.
    pub fn heartbeat(self, out: &mut Vec<u8>, ts_ns: u64, epoch: u64) {
        match self {
            Self::Sbe => sbe::heartbeat(out, ts_ns, epoch),
            Self::Json => json::heartbeat(out, ts_ns, epoch),
        }
    }

    /// Appends what became of the feed.
    pub fn feed_status(self, out: &mut Vec<u8>, ts_ns: u64, epoch: u64, state: FeedState) {
        match self {
            Self::Sbe => sbe::feed_status(out, ts_ns, epoch, state),
            Self::Json => json::feed_status(out, ts_ns, epoch, state),
        }
    }
}
