//! What travels: ticks, topics, commands, events and their encodings.
//!
//! Pure: no socket, no clock, no thread. Everything here is plain data and the functions between its
//! forms. `docs/protocol/` is the same in prose, with the SBE schema and the golden vectors.

#![forbid(unsafe_code)]

mod body;
mod book;
mod close;
pub mod command;
pub mod decimal;
mod encoding;
mod event;
pub mod exchange;
pub mod frame;
pub mod image;
mod instrument;
mod interval;
pub mod json;
pub mod position;
pub mod reply;
pub mod sbe;
mod tick;
mod topic;

pub use body::{
    AggTrade, Average, Bar, Level, Quote, RollingTicker, Side, Ticker, Trade, TradingStatus,
};
pub use book::Book;
pub use close::{Advice, CloseCode};
pub use command::{Command, CommandError, CommandId, Mode, SnapshotPolicy};
pub use encoding::Encoding;
pub use event::{DepthHead, FeedState, GapEntry, GapReason, SnapshotPart};
pub use image::{ImageError, InstrumentImage};
pub use instrument::{DECIMALS_MAX, Instrument, SYMBOL_MAX, Symbol, SymbolError};
pub use interval::{INTERVALS, Interval};
pub use position::Position;
pub use reply::ErrorCode;
pub use tick::{
    GROUP_LEVELS_MAX, Kind, LEVELS_PER_TICK, Presence, TICK_WORDS, Tick, TickError, flags,
};
pub use topic::{CHANNEL_COUNT, Channel, NATIVE_CHANNELS, Pattern, PatternError, Window};

/// The SBE schema of the binary encoding, as it stands in `docs/protocol/`. Tests hold the encoders
/// to it.
pub const SCHEMA_XML: &str = include_str!("../../../docs/protocol/tickcast-1.xml");
