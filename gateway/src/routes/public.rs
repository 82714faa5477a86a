//! The routes as a shard calls them: its hub is the market.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::http::request::Parts;
use wire::{Channel, Encoding, Instrument};

use crate::history::History;
use crate::routes::{Market, StatusBoard, answer};
use crate::shard::{Routes, ShardQuery};

/// Everything that stands on the public port besides WebSocket.
#[derive(Clone, Debug)]
pub struct PublicRoutes {
    /// What is kept of the past, if anything is.
    pub history: Option<Arc<History>>,
    /// Where the status stands, if it is served.
    pub status: Option<Arc<StatusBoard>>,
}

impl Routes for PublicRoutes {
    fn get(&self, request: &Parts, shard: &ShardQuery<'_>) -> Response<Bytes> {
        let known = Known { hub: shard.hub, history: self.history.as_deref() };
        answer(request, &known, self.status.as_deref())
    }
}

/// What one hub knows, and the history.
struct Known<'a> {
    hub: &'a hub::Hub,
    history: Option<&'a History>,
}

impl Market for Known<'_> {
    fn epoch(&self) -> u64 {
        self.hub.epoch()
    }

    fn instruments(&self) -> Vec<Instrument> {
        self.hub.instruments().copied().collect()
    }

    fn is_present(&self, instrument: u32) -> bool {
        let is_attached = self.hub.is_attached(instrument);
        if !is_attached {
            self.hub.touch(instrument);
        }
        is_attached
    }

    fn write_newest(&self, instrument: u32, channel: Channel, out: &mut Vec<u8>) -> bool {
        self.hub.snapshot(instrument, channel, Encoding::Json, out)
    }

    fn history(&self) -> Option<&History> {
        self.history
    }
}
