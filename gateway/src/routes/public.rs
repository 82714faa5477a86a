//! The routes as a shard calls them: its hub is the market.

use std::sync::Arc;

use bytes::Bytes;
use hub::{BestLevels, Grant};
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
    /// How old data is by configuration when it gets here, ns.
    pub age_ns: u64,
}

impl Routes for PublicRoutes {
    fn answer(&self, request: &Parts, shard: &ShardQuery<'_>) -> Response<Bytes> {
        // As the shell has noted it there: of whoever asks, if anybody is asked for credentials.
        let grant = request.extensions.get::<Arc<Grant>>().map(|grant| &**grant);
        let market = &Known { hub: shard.hub, history: self.history.as_deref(), grant };
        if !request.uri.path().starts_with(exchange::PREFIX) {
            return answer(request, market, self.status.as_deref());
        }
        let (weights, info) = (&self.weights, &self.info);
        let now_ns = realtime_ns();
        let market_ns = now_ns.saturating_sub(self.age_ns);
        exchange::answer(request, &Desk { market, weights, info, now_ns, market_ns })
    }
}

/// What one hub knows, and the history, as far as a grant allows.
struct Known<'a> {
    hub: &'a hub::Hub,
    history: Option<&'a History>,
    /// `None`: everything.
    grant: Option<&'a Grant>,
}

impl Known<'_> {
    /// An instrument with the channels that may be seen; `None`: none may, and nobody is told of it.
    fn shown(&self, instrument: &Instrument) -> Option<Instrument> {
        let Some(grant) = self.grant else { return Some(*instrument) };
        let seen = Channel::all().filter(|channel| {
            instrument.has(*channel) && grant.allows(&instrument.symbol, *channel)
        });
        let channels = seen.fold(0, |set, channel| set | channel.bit());
        (channels != 0).then_some(Instrument { channels, ..*instrument })
    }
}

impl Market for Known<'_> {
    fn epoch(&self) -> u64 {
        self.hub.epoch()
    }

    fn instruments(&self) -> Vec<Instrument> {
        self.hub.instruments().filter_map(|instrument| self.shown(instrument)).collect()
    }

    fn is_whole(&self) -> bool {
        self.grant.is_none_or(Grant::is_unrestricted)
    }

    fn instrument(&self, symbol: &Symbol) -> Option<Instrument> {
        self.shown(self.hub.instrument(symbol)?)
    }

    fn allows(&self, instrument: &Instrument, channel: Channel) -> bool {
        self.grant.is_none_or(|grant| grant.allows(&instrument.symbol, channel))
    }

    fn levels_max(&self, instrument: &Instrument) -> usize {
        self.grant.map_or(usize::MAX, |grant| grant.levels_max(&instrument.symbol))
    }

    fn is_present(&self, instrument: &Instrument) -> bool {
        let is_attached = self.hub.is_attached(instrument.id);
        if !is_attached {
            self.hub.touch(instrument.id);
        }
        is_attached
    }

    fn write_newest(&self, instrument: &Instrument, channel: Channel, out: &mut Vec<u8>) -> bool {
        self.allows(instrument, channel)
            && self.hub.snapshot(instrument.id, channel, Encoding::Json, out)
    }

    fn newest(&self, instrument: &Instrument, channel: Channel) -> Option<Tick> {
        let is_allowed = self.allows(instrument, channel);
        is_allowed.then(|| self.hub.newest(instrument.id, channel)).flatten()
    }

    fn best_levels(&self, instrument: &Instrument, levels: usize) -> Option<BestLevels> {
        match levels.min(self.levels_max(instrument)) {
            0 => None,
            levels => self.hub.best_levels(instrument.id, levels),
        }
    }

    fn history(&self) -> Option<&History> {
        self.history
    }
}
