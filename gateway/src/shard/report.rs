//! What a shard says about itself when asked: for metrics, health and `/connections`.

use std::net::SocketAddr;

use crate::proxies::ClientAddress;

use super::counters::{Counters, Histograms};

/// A shard's state at one moment. A copy: nothing of it changes any more.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// Which shard.
    pub index: usize,
    /// What the hub counted.
    pub hub: hub::Counters,
    /// What the shard counted.
    pub counters: Counters,
    /// Its times.
    pub histograms: Histograms,
    /// Open sessions, those that are closing included.
    pub sessions: usize,
    /// Connections that are no session yet, or plain HTTP.
    pub handshakes: usize,
    /// Sessions whose last send was refused or taken in part.
    pub blocked: usize,
    /// Bytes kept for clients: rests of frames, replies. The only memory that a slow client costs.
    pub kept_bytes: usize,
    /// Where it stands in the ring; `None` before a ring is attached.
    pub ring: Option<RingPosition>,
    /// The connections furthest behind, worst first, as many as were asked for.
    pub slowest: Vec<ConnectionReport>,
}

/// A reader's place in its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPosition {
    /// The ring's epoch.
    pub epoch: u64,
    /// The next record that the shard reads.
    pub position: u64,
    /// Records between it and the publisher.
    pub lag: u64,
}

/// One connection among the slowest.
#[derive(Clone, Debug)]
pub struct ConnectionReport {
    /// The other end of its socket; `None` if it is gone already.
    pub peer: Option<SocketAddr>,
    /// Where the client is, if the peer is a proxy and said so.
    pub client: Option<ClientAddress>,
    /// How far behind, by the hub.
    pub view: hub::ConnView,
    /// Bytes in the kernel's send buffer that the client has not acknowledged.
    pub unacknowledged_bytes: usize,
}
