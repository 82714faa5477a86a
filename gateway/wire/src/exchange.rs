//! The protocol of Binance's spot market streams, in which existing clients already speak: stream names,
//! control requests and replies, events as JSON and as the exchange's own SBE.
//!
//! Only forms, no behaviour: which connection gets what and when is for hubs and sessions. A stream
//! name is mapped to a [`View`] of an instrument, or to an array over all instruments, once, at the
//! edge. The facts are from the exchange's `web-socket-streams.md` and `sbe-market-data-streams.md`.

pub mod control;
pub mod json;
pub mod sbe;
mod stream;
mod view;

pub use control::{ControlError, Fault, Request, RequestId};
pub use json::{LegacyTradeIds, Style, TimeUnit};
pub use stream::{Grammar, Name, Schema, Stream, StreamError, SymbolCase};
pub use view::{Array, PartialLevels, Speed, VIEW_COUNT, View};
