//! What things cost: the figures that a simulation or a model of capacity begins with.
//!
//! Costs of processing are measured on one machine and bandwidths are assumptions about another; where each figure
//! comes from is in docs/CAPACITY.md. Nothing here is measured by itself.

/// How many cores a bus's server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threading {
    /// One for everything: Redis.
    One,
    /// One for appending to a stream, and so many for everything else: NATS.
    Many(u32),
}

/// What a bus costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// Its name.
    pub name: &'static str,
    /// How many cores its server uses.
    pub threading: Threading,
    /// To append a batch, beside its bytes, ns.
    pub append_ns: u64,
    /// Each byte of a batch that is appended, ps.
    pub append_byte_ps: u64,
    /// To send a batch on to one subscriber, beside its bytes, ns.
    pub deliver_ns: u64,
    /// Each byte of that, ps.
    pub deliver_byte_ps: u64,
    /// To answer a question: a read, images, a position, beside the bytes, ns.
    pub answer_ns: u64,
    /// Each byte of an answer, ps.
    pub answer_byte_ps: u64,
    /// To accept a connection, ns.
    pub connect_ns: u64,
    /// Bytes a second that its network takes in all.
    pub network_bytes: u64,
    /// Bytes a second to or from one node.
    pub link_bytes: u64,
    /// One way, ns.
    pub latency_ns: u64,
    /// At most so much more, ns.
    pub jitter_ns: u64,
    /// Bytes that may wait for one subscriber; beyond it the server closes its connection.
    pub output_bytes: u64,
}

impl Costs {
    /// NATS with `JetStream` in memory: output bound as by default (`max_pending`, 64 MB).
    pub const NATS: Self = Self {
        name: "nats",
        threading: Threading::Many(4),
        append_ns: 25_000,
        append_byte_ps: 2_000,
        deliver_ns: 3_000,
        deliver_byte_ps: 500,
        answer_ns: 30_000,
        answer_byte_ps: 1_000,
        connect_ns: 100_000,
        network_bytes: 1_250_000_000,
        link_bytes: 1_250_000_000,
        latency_ns: 100_000,
        jitter_ns: 50_000,
        output_bytes: 64 << 20,
    };

    /// Redis in memory: output bound as by default (`client-output-buffer-limit pubsub`, 32 MB).
    pub const REDIS: Self = Self {
        name: "redis",
        threading: Threading::One,
        append_ns: 9_000,
        append_byte_ps: 2_500,
        deliver_ns: 1_500,
        deliver_byte_ps: 500,
        answer_ns: 5_000,
        answer_byte_ps: 1_000,
        connect_ns: 50_000,
        network_bytes: 1_250_000_000,
        link_bytes: 1_250_000_000,
        latency_ns: 100_000,
        jitter_ns: 50_000,
        output_bytes: 32 << 20,
    };

    /// What a number of bytes costs.
    #[must_use]
    pub const fn bytes_ns(byte_ps: u64, bytes: u64) -> u64 {
        bytes * byte_ps / 1_000
    }
}

/// What a gateway costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatewayCosts {
    /// To take an entry of the bus, ns of the thread that does nothing else.
    pub entry_ns: u64,
    /// Each tick of it, ns.
    pub tick_ns: u64,
    /// To send one tick to one client, ns of a shard's core.
    pub delivery_ns: u64,
    /// Cores with a shard.
    pub shards: u32,
    /// Bytes of live entries that may wait.
    pub inbox_bytes: usize,
}

impl GatewayCosts {
    /// As measured, on a machine with eight cores for shards.
    pub const MEASURED: Self = Self {
        entry_ns: 6_000,
        tick_ns: 400,
        delivery_ns: 3_900,
        shards: 8,
        inbox_bytes: 16 << 20,
    };
}
