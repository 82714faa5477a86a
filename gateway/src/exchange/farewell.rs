//! What the exchange's clients are told when they are closed: its codes and reasons, as far as they are
//! known.

use wire::CloseCode;

use crate::shard::counters::Counter;

/// The code and reason of a close frame, and what counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Farewell {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) counter: Counter,
}

/// Policy violation (RFC 6455, section 7.4.1): what the exchange closes with for whatever a client did.
const POLICY: u16 = 1008;

/// A message that is no request; the answer before it says why.
pub(crate) const INVALID_REQUEST: Farewell =
    Farewell { code: POLICY, reason: "Invalid request", counter: Counter::CloseInvalidRequest };

/// What a client of this face is told, where one of the native protocol would be told `code` with this reason.
pub(crate) const fn farewell(code: CloseCode, said: &'static str, counter: Counter) -> Farewell {
    let (code, reason) = match code {
        CloseCode::PongTimeout => (POLICY, "Pong timeout"),
        CloseCode::CommandFlood => (POLICY, "Too many requests"),
        CloseCode::SlowConsumer => (POLICY, "Slow consumer"),
        CloseCode::Draining | CloseCode::GoingAway | CloseCode::Aged => (1001, ""),
        // RFC 6455's registry: try again later.
        CloseCode::Overloaded => (1013, "Try again later"),
        other if other.code() < 4000 => (other.code(), said),
        _ => (POLICY, said),
    };
    Farewell { code, reason, counter }
}
