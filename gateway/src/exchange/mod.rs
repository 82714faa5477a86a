//! The exchange-compatible face: `/ws` and `/stream`, for the clients that already exist.
//!
//! They speak the protocol of Binance's spot market streams, whose forms are in [`wire::exchange`]. A
//! session of this face is like any other: a cursor into its shard's log, here in the exchange's formats.
//! What differs is how it is asked (streams by name, in the URL or by messages), that nothing is sent
//! but events and answers, and the limits and close codes, which are the exchange's.
//!
//! Called by the HTTP front, for requests, and by sessions. It keeps no state.

mod control;
mod farewell;
mod request;
mod settings;

pub(crate) use control::{Handled, begin, handle, shutdown};
pub(crate) use farewell::{Farewell, INVALID_REQUEST, farewell};
pub(crate) use request::{Endpoint, Opening, Refusal, parse};
pub use settings::{ExchangeSettings, Served, ShutdownEvent};
