//! Sweeps: a cluster grows in one dimension until something does not hold any more.

use std::fmt;

use crate::plan::{Fault, Memory, Plan};
use crate::world::{Report, World};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Gateways on the bus.
    Nodes,
    /// Ticks a second of the feed.
    Rate,
    /// Instruments, and with them topics and buckets, at the same rate of ticks.
    Instruments,
    /// Clients of each gateway.
    Clients,
}

/// What did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The bus's cores.
    Server,
    /// The bus's network.
    Network,
    /// Gateways' threads for the bus.
    Thread,
    /// Gateways' shards.
    Shards,
}

/// How long ticks may take to nodes, p99, ns: an order above what an idle bus needs.
const NODE_NS_MAX: u64 = 50_000_000;

/// To the last client of a node, p99, ns.
const CLIENT_NS_MAX: u64 = 250_000_000;

/// Where a dimension ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The largest that held, and what it was like.
    pub held: Option<(u64, Report)>,
    /// The first that did not, and what was used up; none: all that were tried held.
    pub broke: Option<(u64, Limit)>,
}

impl Dimension {
    /// The plan with so much of it.
    #[must_use]
    pub fn set(self, plan: &Plan, value: u64) -> Plan {
        let mut plan = plan.clone();
        let narrow = || u32::try_from(value).expect("a sensible size");
        match self {
            Self::Nodes => plan.nodes = usize::try_from(value).expect("a sensible size"),
            Self::Rate => plan.rate = value,
            Self::Instruments => plan.instruments = narrow(),
            Self::Clients => plan.clients = value,
        }
        plan
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nodes => "gateways",
            Self::Rate => "ticks a second",
            Self::Instruments => "instruments",
            Self::Clients => "clients a gateway",
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "bus, cores",
            Self::Network => "bus, network",
            Self::Thread => "gateway, bus thread",
            Self::Shards => "gateway, shards",
        })
    }
}

/// Tries these values, in order, until one does not hold.
///
/// # Panics
/// If anything is lost silently, doubled or reordered: a cluster that is overloaded is late, and no more.
pub fn sweep(plan: &Plan, dimension: Dimension, values: impl IntoIterator<Item = u64>) -> Found {
    let mut found = Found { held: None, broke: None };
    for value in values {
        let report = World::new(dimension.set(plan, value)).run();
        let is_late = report.node_ns.at(990) > NODE_NS_MAX
            || report.client_ns.at(990) > CLIENT_NS_MAX
            || report.overflows > 0
            || report.dropped > 0;
        if is_late {
            found.broke = Some((value, limit(&report)));
            return found;
        }
        found.held = Some((value, report));
    }
    found
}

/// What is used up most.
fn limit(report: &Report) -> Limit {
    let parts = [
        (report.server_busy, Limit::Server),
        (report.network_busy, Limit::Network),
        (report.thread_busy, Limit::Thread),
        (report.shards_busy, Limit::Shards),
    ];
    let most = parts.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
    most.expect("there are four").1
}

/// The bus ends for a second, keeps what it had, and all gateways come back: what that was like.
#[must_use]
pub fn storm(plan: &Plan) -> Report {
    let restart = Fault::Restart { after_ns: 1_000_000_000, memory: Memory::Kept };
    let at_ns = plan.span_ns / 3;
    World::new(Plan { faults: vec![(at_ns, restart)], ..plan.clone() }).run()
}
