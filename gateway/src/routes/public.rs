//! The routes as a shard calls them: its hub is the market.

use bytes::Bytes;
use hyper::Response;
use hyper::http::request::Parts;
use wire::{Channel, Encoding, Instrument};

use crate::routes::{Market, answer};
use crate::shard::{Routes, ShardQuery};

/// Everything that stands on the public port besides WebSocket.
#[derive(Clone, Copy, Debug)]
pub struct PublicRoutes;

impl Routes for PublicRoutes {
    fn get(&self, request: &Parts, shard: &ShardQuery<'_>) -> Response<Bytes> {
        answer(request, &Known(shard.hub))
    }
}

/// What one hub knows.
struct Known<'a>(&'a hub::Hub);

impl Market for Known<'_> {
    fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    fn instruments(&self) -> Vec<Instrument> {
        self.0.instruments().copied().collect()
    }

    fn is_present(&self, instrument: u32) -> bool {
        let is_attached = self.0.is_attached(instrument);
        if !is_attached {
            self.0.touch(instrument);
        }
        is_attached
    }

    fn write_newest(&self, instrument: u32, channel: Channel, out: &mut Vec<u8>) -> bool {
        self.0.snapshot(instrument, channel, Encoding::Json, out)
    }
}
