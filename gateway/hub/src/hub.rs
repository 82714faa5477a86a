//! The hub: its parts, and connections coming and going.
//!
//! The other things a shell does with it are in the files that do them:
//!
//! | calls | file |
//! |---|---|
//! | `handle_record`, `handle_lapped`, `handle_image`, `handle_recovered` | `intake.rs` |
//! | `next_image`, `next_interest`, `touch` | `presence.rs`, `interest.rs` |
//! | `handle_command` | `commands.rs`, `resume.rs` |
//! | `entitle`, `use_default_grant` | `entitle.rs` |
//! | `add_stream`, `remove_stream`, `streams`, `envelope` | `streams.rs` |
//! | `next_visit`, `collect`, `commit`, `abandon` | `visit/` |
//! | `handle_blocked`, `handle_writable`, `handle_timers`, `next_deadline`, `next_close` | `ladder.rs` |
//! | `handle_order`, `write_position`, `handle_return` | `position.rs` |
//! | `counters`, `slowest`, and other looks from outside | `views.rs` |

use wire::FeedState;

use crate::connection::ConnId;
use crate::counters::Counters;
use crate::format::Format;
use crate::grants::Grants;
use crate::intake::Intake;
use crate::interest::Interests;
use crate::limits::Limits;
use crate::market::Market;
use crate::peers::Peers;
use crate::reach::Reaches;
use crate::streams::Waiting;
use crate::timed::Timed;
use crate::visit::Scratch;

/// One shard's heart. See the crate's documentation for what it is, and this module's header for
/// where its parts are.
#[derive(Debug)]
pub struct Hub {
    pub(crate) limits: Limits,
    pub(crate) market: Market,
    pub(crate) peers: Peers,
    pub(crate) grants: Grants,
    pub(crate) reaches: Reaches,
    pub(crate) intake: Intake,
    pub(crate) interests: Interests,
    /// Streams of instruments that are not known.
    pub(crate) waiting: Waiting,
    /// Views that are made at a cadence.
    pub(crate) timed: Timed,
    pub(crate) counters: Counters,
    pub(crate) scratch: Scratch,
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// All slots are taken.
    #[error("the shard has {0} connections, which is all it may have")]
    Full(u32),
}

impl Hub {
    /// A hub without instruments and connections.
    ///
    /// # Panics
    /// If the limits cannot work together: [`Limits::validate`] says so without a panic.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        if let Err(error) = limits.validate() {
            panic!("{error}");
        }
        Self {
            market: Market::new(&limits),
            peers: Peers::new(&limits),
            grants: Grants::default(),
            reaches: Reaches::default(),
            intake: Intake::default(),
            interests: Interests::default(),
            waiting: Waiting::default(),
            timed: Timed::default(),
            counters: Counters::default(),
            scratch: Scratch::default(),
            limits,
        }
    }

    /// Goes by other limits from now on, as far as a hub [can](Limits::followed). A connection that is blocked already keeps
    /// its time.
    pub fn use_limits(&mut self, newer: &Limits) {
        self.limits = self.limits.followed(newer);
    }

    /// A connection is open. What it is subscribed to, commands will say.
    ///
    /// # Errors
    /// If all slots are taken.
    pub fn connect(
        &mut self,
        format: impl Into<Format>,
        _now_ns: u64,
    ) -> Result<ConnId, ConnectError> {
        let format = format.into();
        let Some(id) = self.peers.open(format, self.limits.connections_max) else {
            self.counters.connects_refused += 1;
            return Err(ConnectError::Full(self.limits.connections_max));
        };
        self.counters.connects += 1;
        self.grants.begin(id.0);
        let generation = self.market.generation;
        // A feed that is well needs no mention; what is wrong with it, the client is told first.
        let is_well = matches!(self.peers.status, FeedState::Live | FeedState::Restarted)
            || format.is_exchange();
        let told = self.peers.status_number.wrapping_sub(u32::from(!is_well));
        if let Some(conn) = self.peers.get_mut(id.0) {
            conn.generation = generation;
            conn.status_told = told;
        }
        if !is_well {
            self.peers.urge(id.0);
        }
        Ok(id)
    }

    /// The connection is gone; its number may be given out again.
    pub fn disconnect(&mut self, conn: ConnId) {
        self.settle(conn);
        let slots = self.peers.slots();
        let Some(gone) = self.peers.close(conn) else { return };
        self.counters.disconnects += 1;
        self.grants.end(conn.0);
        if let Some(streams) = gone.streams() {
            self.waiting.forget(conn, streams);
        }
        for subscription in gone.subscriptions() {
            let topic = self.market.topics.get_mut(subscription.topic);
            topic.subscribers.remove(conn.0, slots);
            self.interests.remove(topic.slot);
        }
        for wildcard in gone.wildcards() {
            self.reaches.leave((conn.0, slots), wildcard.channel, wildcard.reach);
            self.peers.wildcard_states -= wildcard.charge as usize;
            self.interests.wildcards_changed();
        }
    }

    /// What became of the feed. Every connection is told.
    pub fn handle_feed(&mut self, state: FeedState, _now_ns: u64) {
        if self.peers.status != state {
            self.peers.status = state;
            self.peers.status_number += 1;
            self.peers.urge_all();
        }
    }
}
