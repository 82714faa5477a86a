//! What the public port answers to plain GET requests. The shard parses, limits and times requests;
//! what stands at which path is given to it by boot as [`Routes`].

use bytes::Bytes;
use hub::Hub;
use hyper::http::request::Parts;

/// A complete answer: these services are small.
pub type Answer = hyper::Response<Bytes>;

/// Answers GET (and HEAD) requests that are not WebSocket upgrades.
///
/// Called on a shard's thread between two turns of its loop: it must not block, and what takes long
/// here delays that shard's ticks.
pub trait Routes: Send + Sync {
    /// The answer to a request, whatever its method; 404 for paths that are not served.
    fn answer(&self, request: &Parts, shard: &ShardQuery<'_>) -> Answer;
}

/// What a route may look at: the shard that happened to accept the connection. Every shard knows every
/// instrument.
#[derive(Clone, Copy)]
pub struct ShardQuery<'a> {
    /// The shard's hub: instruments, last values, books.
    pub hub: &'a Hub,
    /// Which shard.
    pub index: usize,
}
