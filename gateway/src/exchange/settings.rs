//! What an operator can set about the exchange-compatible face.

use std::sync::Arc;
use std::time::Duration;

use wire::exchange::control::ErrorShape;
use wire::exchange::{LegacyTradeIds, SymbolCase};

use crate::admission::Rates;

/// See the module's header. The defaults are the exchange's own limits.
#[derive(Clone, Debug)]
pub struct ExchangeSettings {
    /// Whether there is such a face.
    pub served: Served,
    /// Streams of one connection.
    pub streams_max: usize,
    /// Messages, pings and unasked pongs a second that a client may send, in bursts of as many; 0: any
    /// number.
    pub message_rate: u32,
    /// How often an address may connect in five minutes; 0: as often as it likes.
    pub connection_rate: u32,
    /// How often each has connected; shared by all shards.
    pub rates: Arc<Rates>,
    /// How old a connection may become, less up to a twenty-fourth, so that those opened together do not
    /// all come back together; `None`: as old as it likes.
    pub age_max: Option<Duration>,
    /// Whether clients are told of a drain before they are closed.
    pub shutdown_event: ShutdownEvent,
    /// What streams of symbols in upper case are.
    pub symbol_case: SymbolCase,
    /// Whether trades have the order ids that the exchange left out from 2024 on.
    pub trade_ids: LegacyTradeIds,
    /// How errors are written.
    pub errors: ErrorShape,
}

/// Whether the face is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It is.
    Yes,
    /// Its paths are not found.
    No,
}

/// Whether a drain is announced by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownEvent {
    /// `serverShutdown` is sent when a drain begins.
    Sent,
    /// It is not: clients older than the event take it for something else.
    Omitted,
}

impl ExchangeSettings {
    /// The time in which an address may connect so often.
    pub(crate) const RATE_WINDOW: Duration = Duration::from_secs(300);
}

impl Default for ExchangeSettings {
    fn default() -> Self {
        Self {
            served: Served::Yes,
            streams_max: 1_024,
            message_rate: 5,
            connection_rate: 300,
            rates: Arc::new(Rates::new(Self::RATE_WINDOW)),
            age_max: Some(Duration::from_hours(24)),
            shutdown_event: ShutdownEvent::Sent,
            symbol_case: SymbolCase::Lower,
            trade_ids: LegacyTradeIds::Omit,
            errors: ErrorShape::Nested,
        }
    }
}
