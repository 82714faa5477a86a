//! What a worker is told and what it says: the lines that pass between parent and workers.
//!
//! One JSON object a line. The parent writes a [`Plan`] to a worker's standard input, then
//! [`Order`]s; the worker writes [`Note`]s to its standard output. When its input ends, the parent is
//! gone and the worker ends too.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cpu::CpuUse;
use crate::generator::dialect::Dialect;
use crate::generator::tally::{Accounting, Arrivals, LastArrivals, Traffic, Window};
use crate::generator::target::Target;
use crate::latency::Latency;

/// Everything about a load that a worker needs. Connection `n` of the load belongs to the worker
/// `n mod workers`, so that a share of connections singled out by number is spread over all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) worker: u64,
    pub(crate) workers: u64,
    /// Of the whole load.
    pub(crate) connections: u64,
    pub(crate) target: Target,
    pub(crate) dialect: Dialect,
    pub(crate) subprotocol: Option<String>,
    /// Templates; none: connections subscribe to nothing.
    pub(crate) topics: Option<String>,
    pub(crate) topics_per_connection: u64,
    pub(crate) mode: Option<String>,
    pub(crate) max_rate: Option<u32>,
    pub(crate) ramp: Ramp,
    pub(crate) stall: Option<Stall>,
    pub(crate) slow: Option<Slow>,
    pub(crate) arrivals: Arrivals,
    pub(crate) after_close: AfterClose,
    /// Core to pin to.
    pub(crate) cpu: Option<usize>,
    /// Root certificate of a TLS server beyond loopback.
    pub(crate) root: Option<PathBuf>,
}

/// Why a connection does not read all that comes, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Stalling(Stall),
    Slow(Slow),
}

impl Held {
    pub(crate) const fn receive_buffer(self) -> Option<usize> {
        match self {
            Self::Stalling(stall) => stall.receive_buffer,
            Self::Slow(slow) => slow.receive_buffer,
        }
    }
}

impl Plan {
    /// What holds connection `number` back, if anything does.
    pub(crate) fn held(&self, number: u64) -> Option<Held> {
        let stalling = self.stall.map_or(0, |stall| stall.connections);
        if let Some(stall) = self.stall.filter(|_| number < stalling) {
            return Some(Held::Stalling(stall));
        }
        let slow = self.slow.filter(|slow| number < stalling.saturating_add(slow.connections));
        slow.map(Held::Slow)
    }
}

/// How connections are opened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ramp {
    /// Connects a second, of the whole load.
    pub(crate) rate: f64,
    /// The most that one worker has under way at once.
    pub(crate) concurrency: usize,
    /// After so long, what is not open has failed.
    pub(crate) patience_ms: u64,
}

/// Connections that stop reading for a while: those with the lowest numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stall {
    pub(crate) connections: u64,
    /// After the window's begin.
    pub(crate) after_ms: u64,
    /// After the window's begin; none: never.
    pub(crate) resume_ms: Option<u64>,
    /// Their sockets' receive buffers, bytes; none: as the kernel sees fit, which is megabytes that a
    /// stalled reader swallows before the server notices.
    pub(crate) receive_buffer: Option<usize>,
}

/// Connections on slow links: those with the next numbers behind the stalled ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slow {
    pub(crate) connections: u64,
    /// As much as each reads, once it is open.
    pub(crate) bytes_per_s: u64,
    /// As a [`Stall`]'s.
    pub(crate) receive_buffer: Option<usize>,
}

/// What a worker does about a connection that the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AfterClose {
    Leave,
    /// Connect again, after a random part of a pause that doubles.
    Reconnect,
}

/// The parent's word to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Measure(Window),
    /// Open no more; what is open counts.
    Enough,
    /// Cut all connections and open them again, at once.
    Cut,
    /// Report and end.
    Finish,
}

/// A worker's word to the parent.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Note {
    Progress(Progress),
    /// Each connection is open or has failed.
    Ready(Progress),
    /// It knows what is measured.
    Heard,
    Report(Box<WorkerReport>),
    /// It cannot work at all.
    Fatal(String),
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) started: u64,
    /// Open and subscribed at this moment.
    pub(crate) open: u64,
    /// Of those, have received something since they opened.
    pub(crate) receiving: u64,
    pub(crate) failed: u64,
    pub(crate) closed: u64,
    pub(crate) messages: u64,
    /// Of those, due inside the measured window.
    pub(crate) in_window: u64,
    pub(crate) bytes: u64,
}

/// What became of a worker's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Connections {
    pub(crate) wanted: u64,
    /// Were open and subscribed at some time.
    pub(crate) opened: u64,
    /// Open at the end.
    pub(crate) open: u64,
    /// Of those opened, received at least one market message.
    pub(crate) received: u64,
    /// Topics on which something came, over all connections open at the end.
    pub(crate) topics_received: u64,
    /// The fewest and most messages that a healthy connection open to the end received.
    pub(crate) fewest: Option<u64>,
    pub(crate) most: Option<u64>,
    pub(crate) reconnects: u64,
    /// Reason to number: of failures before and closes after opening.
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) closes: BTreeMap<String, u64>,
}

/// How a worker's connections came back after they had been open and were not, by the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    /// The first close of an open connection.
    pub(crate) broke_ns: Option<u64>,
    /// All were open again, and receiving again.
    pub(crate) open_ns: Option<u64>,
    pub(crate) receiving_ns: Option<u64>,
}

/// What a worker found.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WorkerReport {
    pub(crate) worker: u64,
    pub(crate) connections: Connections,
    pub(crate) traffic: Traffic,
    pub(crate) accounting: Accounting,
    pub(crate) healthy: Latency,
    pub(crate) stalled: Latency,
    pub(crate) from_ring: Latency,
    pub(crate) ring_delay: Latency,
    pub(crate) last_arrivals: LastArrivals,
    pub(crate) recovery: Recovery,
    /// From the connect to the last ack.
    pub(crate) handshake: Latency,
    /// From the first connect until the last connection was open.
    pub(crate) ramp_ns: u64,
    /// Between the window's begin and end, and what lay between when the worker looked: a busy one sees
    /// the end late.
    pub(crate) cpu: CpuUse,
    pub(crate) wall_ns: u64,
    /// The window's own length: ticks are counted by when they were due.
    pub(crate) window_ns: u64,
}
