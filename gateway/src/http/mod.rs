//! The public port: accepting, TLS handshakes, HTTP, and the upgrade to WebSocket.
//!
//! Everything before a session exists happens here, in one task per connection on the shard's
//! runtime, with hyper and tokio-rustls, within time-outs. A task ends by handing its socket over as an
//! [`Arrival`](crate::session::Arrival); from then on no task is involved. Plain requests are answered
//! by the shard's [`Routes`](crate::shard::Routes).

mod accept;
mod bare_quotes;
mod budget;
mod conversation;
mod cors;
mod forwarded;
mod front;
mod proxy_header;
pub(crate) mod query;
mod ration;
mod upgrade;
mod waiting;

pub(crate) use accept::accept;
pub(crate) use conversation::serve;
pub(crate) use forwarded::Remote;
pub(crate) use front::Front;
pub(crate) use proxy_header::{Missing, ProxyHeaderError, meaning, missing};
