//! The plan of a simulation: how large the cluster is, what it carries, and what goes wrong when.

use crate::costs::{Costs, GatewayCosts};

/// How those that lost the bus wait before they try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// As the bus crate does: a bound that doubles, and any part of it.
    Jittered,
    /// The bound itself, so that all try in the same moments.
    Plain,
    /// At once, again and again, every so many ns.
    Fixed(u64),
}

/// What becomes of the bus's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It is on disk.
    Kept,
    /// It was in memory.
    Lost,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bus's server ends and begins again.
    Restart {
        /// After so long.
        after_ns: u64,
        /// With what it had, or without.
        memory: Memory,
    },
    /// The bus does nothing for so long, and keeps its connections.
    Stall {
        /// So long.
        ns: u64,
    },
    /// Nothing gets from this node to the bus or back for so long.
    Cut {
        /// Which gateway.
        node: usize,
        /// So long.
        ns: u64,
    },
    /// The network between writer and bus, likewise.
    CutWriter {
        /// So long.
        ns: u64,
    },
    /// A node does nothing for so long: its inbox fills.
    Freeze {
        /// Which gateway.
        node: usize,
        /// So long.
        ns: u64,
    },
    /// A gateway ends and another begins in its place, with the same clients.
    Replace {
        /// Which gateway.
        node: usize,
    },
}

/// How what reaches clients is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// By what it costs.
    Costed,
    /// Through the real feeder, ring and hub, to so many clients of each node that check every message.
    Real(usize),
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Everything that is random follows from it.
    pub seed: u64,
    /// Gateways.
    pub nodes: usize,
    /// Instruments of the feed.
    pub instruments: u32,
    /// Instruments in a bucket.
    pub bucket_size: u32,
    /// Instruments that clients write.
    pub published: u32,
    /// Nodes whose clients publish, the first so many.
    pub publishers: usize,
    /// Ticks that each of them publishes a second.
    pub publish_rate: u64,
    /// Ticks of the feed a second.
    pub rate: u64,
    /// Clients of each node: what they subscribe to is what the node wants, and each tick goes to its
    /// subscribers.
    pub clients: u64,
    /// Instruments that a client subscribes to, all channels of each.
    pub topics: u64,
    /// How unequal instruments are, as the exponent of Zipf's law, in hundredths; 0: they are equal.
    pub skew: u32,
    /// How long the market runs, ns. What is on its way then is delivered.
    pub span_ns: u64,
    /// When what is measured begins, ns: the beginning is not.
    pub warm_up_ns: u64,
    /// How long ticks are gathered, ns.
    pub batch_age_ns: u64,
    /// How much of the past nodes read at first, ns.
    pub history_ns: u64,
    /// How long the bus keeps entries, ns.
    pub retention_ns: u64,
    /// Servers that share the buckets.
    pub shards: u32,
    /// What the bus costs.
    pub costs: Costs,
    /// What a gateway costs.
    pub gateway: GatewayCosts,
    /// How nodes wait before they connect again.
    pub backoff: Backoff,
    /// How clients are followed.
    pub delivery: Delivery,
    /// What goes wrong, and when, ns.
    pub faults: Vec<(u64, Fault)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            nodes: 10,
            instruments: 500,
            bucket_size: 16,
            published: 0,
            publishers: 0,
            publish_rate: 0,
            rate: 10_000,
            clients: 10_000,
            topics: 10,
            skew: 100,
            span_ns: 2_000_000_000,
            warm_up_ns: 500_000_000,
            batch_age_ns: 1_000_000,
            history_ns: 0,
            retention_ns: 60_000_000_000,
            shards: 1,
            costs: Costs::NATS,
            gateway: GatewayCosts::MEASURED,
            backoff: Backoff::Jittered,
            delivery: Delivery::Costed,
            faults: Vec::new(),
        }
    }
}

impl Plan {
    /// The part of all subscriptions and all ticks that each instrument has, the most popular first.
    #[must_use]
    pub fn popularity(&self) -> Vec<f64> {
        let exponent = f64::from(self.skew) / 100.0;
        let weights: Vec<f64> =
            (1..=self.instruments).map(|rank| f64::from(rank).powf(-exponent)).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }
}
