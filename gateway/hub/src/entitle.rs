//! A connection is given a grant: at its beginning, or another one while it is subscribed.
//!
//! What the new grant does not allow ends at once and the client is told by name, for these are names that
//! it gave itself. A wildcard goes on with the instruments that are left to it, and begins with the
//! present state of those that it did not reach before. Rates and modes are held back where the
//! grant is narrower; where it is wider, a subscription keeps its own until it is made anew.

use std::sync::Arc;

use wire::command::{Mode, SnapshotPolicy, Subscribe};
use wire::exchange::control::{self, STREAMS_REVOKED};
use wire::{Channel, Pattern, reply};

use crate::connection::ConnId;
use crate::grant::Grant;
use crate::grants::Given;
use crate::hub::Hub;
use crate::streams::Envelope;
use crate::transfers::Target;

impl Hub {
    /// What connections begin with from now on. Those that are open keep what they have; without this it
    /// is everything.
    pub fn use_default_grant(&mut self, grant: Arc<Grant>) {
        self.grants.set_default(grant);
    }

    /// Gives a connection a grant in place of the one it has. If something of what it is subscribed to
    /// ends with that, or gets narrower, one text message that says so is appended to `reply`. What
    /// was gathered for it and is not sent yet it had under the old one.
    pub fn entitle(&mut self, conn: ConnId, grant: Arc<Grant>, _now_ns: u64, reply: &mut Vec<u8>) {
        self.settle(conn);
        let Some(format) = self.peers.get(conn.0).map(|state| state.format) else { return };
        self.renew(conn.0);
        if self.grants.give(conn.0, grant) == Given::Same {
            return;
        }
        self.counters.entitlements += 1;
        if format.is_exchange() {
            let ended = self.revoke_streams(conn);
            self.reach_anew(conn, SnapshotPolicy::Skip);
            if !ended.is_empty() {
                write_revoked(reply, &ended, self.envelope(conn));
            }
        } else {
            let ended = self.revoke_topics(conn);
            let narrowed = self.reach_anew(conn, SnapshotPolicy::Send);
            if !ended.is_empty() || !narrowed.is_empty() {
                reply::revoked(reply, &ended, &narrowed);
            }
        }
        let grants = &self.grants;
        if let Some(state) = self.peers.get_mut(conn.0) {
            state.hold_back(|mode, interval_ns| grants.hold_back(conn.0, mode, interval_ns));
        }
        self.peers.urge(conn.0);
    }

    /// Ends the topics and wildcards that are not allowed, and answers which.
    fn revoke_topics(&mut self, conn: ConnId) -> Vec<Pattern> {
        let Some(state) = self.peers.get(conn.0) else { return Vec::new() };
        let mut ended: Vec<Pattern> = Vec::new();
        for subscription in state.subscriptions() {
            let known = self.market.topics.get(subscription.topic);
            let symbol = self.market.instruments.get(known.slot).definition.symbol;
            if !self.grants.allows(conn.0, &symbol, known.channel) {
                ended.push(Pattern::One(symbol, known.channel));
            }
        }
        let wildcards = state.wildcards().iter().map(|wildcard| wildcard.channel);
        let denied = wildcards.filter(|channel| !self.grants.allows_some(conn.0, *channel));
        ended.extend(denied.map(Pattern::All));
        // From the last one on: nothing behind it has to move.
        for pattern in ended.iter().rev() {
            // It is subscribed: it was found there.
            let _ = match pattern {
                Pattern::One(symbol, channel) => self.end_one(conn, symbol, *channel).map(|_| ()),
                Pattern::All(channel) => self.unsubscribe_all(conn, *channel),
            };
        }
        self.counters.topics_revoked += ended.len() as u64;
        ended
    }

    /// Has the connection's wildcards reach what its grant allows, and answers which of them reach less of
    /// what there is than before.
    fn reach_anew(&mut self, conn: ConnId, snapshot: SnapshotPolicy) -> Vec<Pattern> {
        let mut narrowed = Vec::new();
        let Some(state) = self.peers.get(conn.0) else { return narrowed };
        let channels: Vec<Channel> =
            state.wildcards().iter().map(|wildcard| wildcard.channel).collect();
        for channel in channels {
            if self.reach_channel_anew(conn, channel, snapshot) == Extent::Less {
                narrowed.push(Pattern::All(channel));
            }
        }
        narrowed
    }

    fn reach_channel_anew(
        &mut self,
        conn: ConnId,
        channel: Channel,
        snapshot: SnapshotPolicy,
    ) -> Extent {
        let subscribe = Subscribe {
            id: None,
            topics: Vec::new(),
            mode: Mode::Every,
            max_rate: None,
            snapshot,
            resume: None,
        };
        // Without a resume there is nothing to refuse.
        let Ok((begins, _)) = self.bases(conn, channel, &subscribe) else { return Extent::Same };
        let place = (conn.0, self.peers.slots());
        let Some(wildcard) = self.peers.wildcard_mut(conn.0, channel) else { return Extent::Same };
        let before = wildcard.reach;
        let grant = self.grants.of(conn.0);
        // Joined before it leaves, so that what it shares with itself is not made anew.
        let after = self.reaches.join(place, channel, grant, &self.market.instruments);
        if after == before {
            return Extent::Same;
        }
        wildcard.reach = after;
        wildcard.walked = 0;
        let mut extent = Extent::Same;
        let mut lost = Vec::new();
        for (slot, begin) in (0..).zip(begins) {
            let had = self.reaches.contains(before, slot);
            let has = self.reaches.contains(after, slot);
            if has && !had {
                wildcard.set(slot, begin);
            } else if had && !has {
                lost.push(slot);
            }
        }
        self.reaches.leave(place, channel, before);
        for slot in lost {
            if self.market.instruments.get(slot).topic(channel).is_some() {
                extent = Extent::Less;
            }
            self.end_transfer(conn, Target::All { channel: channel.code(), slot });
        }
        extent
    }
}

fn write_revoked(out: &mut Vec<u8>, names: &[String], envelope: Envelope) {
    if envelope == Envelope::Raw {
        return control::streams_revoked(out, names);
    }
    out.extend_from_slice(b"{\"stream\":\"");
    out.extend_from_slice(STREAMS_REVOKED.as_bytes());
    out.extend_from_slice(b"\",\"data\":");
    control::streams_revoked(out, names);
    out.push(b'}');
}

/// What became of what a wildcard reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// It has not become less.
    Same,
    /// It has.
    Less,
}
