//! A watch over a connection that is the source: what clients and operators are told of it.
//!
//! A short outage is nobody's business. When it lasts, clients hear that the feed is silent; the log says
//! each reason once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ring::Ring;
use tokio::time::Instant;
use wire::FeedState;

use super::status::FeedStatus;
use crate::fleet::Fleet;

/// See the module's header.
pub(super) struct Watch {
    /// Who is at the other end, in words.
    name: String,
    fleet: Arc<Fleet>,
    status: Arc<FeedStatus>,
    silent_after: Duration,
    /// What clients were told last.
    told: FeedState,
    /// When the connection was lost; `None` while there is one.
    lost_at: Option<Instant>,
    /// What was last logged: a condition that lasts is said once.
    said: Option<String>,
}

impl Watch {
    /// Begins without a connection. Clients are told: they would take the silence for a quiet market.
    pub(super) fn new(
        name: &dyn fmt::Display,
        fleet: Arc<Fleet>,
        status: Arc<FeedStatus>,
        silent_after: Duration,
    ) -> Self {
        fleet.tell_feed(FeedState::Silent);
        Self {
            name: name.to_string(),
            fleet,
            status,
            silent_after,
            told: FeedState::Silent,
            lost_at: Some(Instant::now()),
            said: None,
        }
    }

    /// There is a connection.
    pub(super) fn connected(&mut self) {
        self.lost_at = None;
        if self.said.take().is_some() || self.told != FeedState::Live {
            tracing::info!(upstream = self.name, "connected to the upstream");
        }
        self.tell(FeedState::Live);
    }

    /// There is none any more, or it cannot be made.
    pub(super) fn lost(&mut self, reason: String) {
        self.lost_at.get_or_insert_with(Instant::now);
        self.status.open_failed(format!("{}: {reason}", self.name));
        if self.said.as_ref() != Some(&reason) {
            let upstream = &self.name;
            tracing::warn!(upstream, reason, "no connection to the upstream; trying again");
            self.said = Some(reason);
        }
    }

    /// Another epoch has begun in this ring: hubs tell clients of it themselves.
    pub(super) fn begun(&mut self, ring: &Ring, instruments: usize, state: FeedState) {
        let upstream = &self.name;
        tracing::info!(upstream, epoch = ring.epoch(), instruments, "the upstream's instruments");
        self.status.expects(instruments);
        self.status.attached(ring, state);
        self.told = FeedState::Live;
    }

    /// Looks at the time: to be called often.
    pub(super) fn look(&mut self) {
        let is_silent = self.lost_at.is_some_and(|since| since.elapsed() > self.silent_after);
        if is_silent && self.told == FeedState::Live {
            tracing::warn!(upstream = self.name, "the upstream is silent; clients are told");
            self.tell(FeedState::Silent);
        }
    }

    /// Tells clients and operators, if it is news.
    pub(super) fn tell(&mut self, state: FeedState) {
        if self.told != state {
            self.told = state;
            self.status.changed(state);
            self.fleet.tell_feed(state);
        }
    }
}
