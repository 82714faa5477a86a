//! The routes as a shard calls them: its hub is the market.

use std::sync::Arc;

use bytes::Bytes;
use hub::BestLevels;
use hyper::Response;
use hyper::http::request::Parts;
use wire::{Channel, Encoding, Instrument, Symbol, Tick};

use crate::clock::realtime_ns;
use crate::history::History;
use crate::routes::exchange::{self, Desk, InfoCache, Weights};
use crate::routes::{Market, StatusBoard, answer};
use crate::shard::{Routes, ShardQuery};

/// Everything that stands on the public port besides WebSocket.
#[derive(Debug)]
pub struct PublicRoutes {
    /// What is kept of the past, if anything is.
    pub history: Option<Arc<History>>,
    /// Where the status stands, if it is served.
    pub status: Option<Arc<StatusBoard>>,
    /// What clients of `/api/v3` may ask, and have asked.
    pub weights: Weights,
    /// The list of symbols of `/api/v3`.
    pub info: InfoCache,
}

impl Routes for PublicRoutes {
    fn answer(&self, request: &Parts, shard: &ShardQuery<'_>) -> Response<Bytes> {
        let market = &Known { hub: shard.hub, history: self.history.as_deref() };
        if !request.uri.path().starts_with(exchange::PREFIX) {
            return answer(request, market, self.status.as_deref());
        }
        let (weights, info) = (&self.weights, &self.info);
        exchange::answer(request, &Desk { market, weights, info, now_ns: realtime_ns() })
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

    fn instrument(&self, symbol: &Symbol) -> Option<Instrument> {
        self.hub.instrument(symbol).copied()
    }

    fn newest(&self, instrument: u32, channel: Channel) -> Option<Tick> {
        self.hub.newest(instrument, channel)
    }

    fn best_levels(&self, instrument: u32, levels: usize) -> Option<BestLevels> {
        self.hub.best_levels(instrument, levels)
    }

    fn history(&self) -> Option<&History> {
        self.history
    }
}
