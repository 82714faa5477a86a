//! Shards: one thread, one runtime, one hub, one listener, and its share of the connections each.
//!
//! Shards share nothing on the way of a tick: each reads the ring by itself, and a connection lives
//! and dies on the shard that accepted it. [`start()`] brings them up; [`Control`] is how the rest of
//! the process speaks to them; the loop is in `event_loop`, and the order within one of its turns is
//! the design (`docs/ARCHITECTURE.md`).

pub mod counters;
mod draining;
mod event_loop;
mod intake;
mod interest;
pub(crate) mod limits;
mod report;
mod routes;
pub mod settings;
mod start;
mod thrift;
mod trace;

pub use interest::InterestTable;
pub use report::{ConnectionReport, RingPosition, ShardReport};
pub use routes::{Answer, Routes, ShardQuery};
pub use settings::{Access, Echo, Origins, SendBackend, ShardSettings, Spin};
pub use start::{
    Control, DescriptorTable, Order, Post, Pressure, ShardHandle, ShardSpec, StartError, start,
};
pub(crate) use trace::Trace;
pub use trace::{Journey, Read, SentTimes, TraceOrder};
