//! What can be seen of a hub from outside: counters, connections, instruments.

use wire::{Channel, Encoding, Instrument, Side};

use crate::connection::{ConnId, NEVER};
use crate::counters::Counters;
use crate::format::Format;
use crate::hub::Hub;
use crate::limits::Limits;

/// One connection, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnView {
    /// Its number.
    pub conn: ConnId,
    /// How its messages are written.
    pub format: Format,
    /// Entries of the log after its cursor, of any topic, when there may be something for it; else 0.
    pub lag_entries: u64,
    /// How long the oldest of them has been in the log, ns.
    pub lag_ns: u64,
    /// How long it has not been writable, ns; 0: it is.
    pub blocked_ns: u64,
    /// Numbers it did not get one by one, whatever the reason.
    pub skipped: u64,
    /// Exact topics.
    pub topics: u32,
    /// Wildcards.
    pub wildcards: u32,
}

impl Hub {
    /// What was counted since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The limits it was made with.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The feed's epoch; 0: none yet.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.market.epoch
    }

    /// Open connections.
    #[must_use]
    pub const fn connections(&self) -> u32 {
        self.peers.open_count()
    }

    /// How a connection's messages are written.
    ///
    /// # Panics
    /// If there is no such connection.
    #[must_use]
    pub fn message_kind(&self, conn: ConnId) -> Format {
        self.peers.get(conn.0).expect("the shell names connections that it opened").format
    }

    /// Whether the connection is subscribed to anything: idle time-outs are for those that are not.
    #[must_use]
    pub fn is_subscribed(&self, conn: ConnId) -> bool {
        self.peers.get(conn.0).is_some_and(|conn| !conn.is_idle())
    }

    /// How far a connection has come in a channel of an instrument: the last number that it was given, or that
    /// something newer stands for; `None`: it is not subscribed to that.
    #[must_use]
    pub fn reached(&self, conn: ConnId, instrument: u32, channel: Channel) -> Option<u64> {
        let slot = self.market.instruments.by_id(instrument)?;
        let topic = self.market.instruments.get(slot).topic(channel)?;
        let state = self.peers.get(conn.0)?;
        if let Some(at) = state.find(topic) {
            return Some(state.subscription(at).progress.seq());
        }
        let wildcard = &state.wildcards()[state.find_wildcard(channel)?];
        let is_reached = self.reaches.contains(wildcard.reach, slot);
        is_reached.then(|| wildcard.progress(slot).seq())
    }

    /// How many connections are subscribed to a channel of an instrument. Looks at all of them.
    #[must_use]
    pub fn subscribers(&self, instrument: u32, channel: Channel) -> usize {
        let each = self.peers.iter();
        each.filter(|(index, _)| self.reached(ConnId(*index), instrument, channel).is_some())
            .count()
    }

    /// The instruments of this epoch, in the order of their definition, with derived channels.
    pub fn instruments(&self) -> impl Iterator<Item = &Instrument> {
        let instruments = &self.market.instruments;
        instruments.order().iter().map(|&slot| &instruments.get(slot).definition)
    }

    /// Whether the stream has the data of this instrument.
    #[must_use]
    pub fn is_attached(&self, instrument: u32) -> bool {
        let slot = self.market.instruments.by_id(instrument);
        slot.is_some_and(|slot| self.market.instruments.get(slot).is_attached())
    }

    /// Appends the newest value of a topic as one event, as a snapshot would: for plain HTTP. Depth
    /// is the whole book as one message. `false` if there is none.
    pub fn snapshot(
        &self,
        instrument: u32,
        channel: Channel,
        encoding: Encoding,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(slot) = self.market.instruments.by_id(instrument) else { return false };
        let known = self.market.instruments.get(slot);
        let Some(topic) = known.topic(channel) else { return false };
        let definition = known.definition;
        if self.market.is_book(channel) {
            let Some(book) = known.book.as_ref().filter(|book| book.seq().is_some()) else {
                return false;
            };
            let levels = channel.partial_levels().unwrap_or(wire::GROUP_LEVELS_MAX);
            let bids: Vec<_> = book.levels.levels(Side::Bid).take(levels).collect();
            let asks: Vec<_> = book.levels.levels(Side::Ask).take(levels).collect();
            if channel == Channel::Depth {
                let part = wire::SnapshotPart::Whole;
                encoding.depth_snapshot(out, &book.head, part, &bids, &asks, &definition);
            } else {
                encoding.partial_depth(out, channel, &book.head, &bids, &asks, &definition);
            }
            return true;
        }
        match self.market.topics.newest(topic) {
            crate::topics::Newest::Nothing => false,
            crate::topics::Newest::Entry(at) => {
                encoding.entry(out, self.market.log.ticks(at), &definition);
                true
            }
            crate::topics::Newest::Kept(tick) => {
                encoding.entry(out, &[tick], &definition);
                true
            }
        }
    }

    /// Replaces `out` by the `top` slowest connections: those blocked longest, then those furthest
    /// behind, then those that skipped most.
    pub fn slowest(&self, top: usize, now_ns: u64, out: &mut Vec<ConnView>) {
        let head = self.market.log.head();
        out.clear();
        out.extend(self.peers.iter().map(|(index, conn)| {
            let care = self.peers.cares.of(conn);
            let is_current = !self.peers.dirty.contains(index);
            let log = &self.market.log;
            let cursor = if is_current { head } else { conn.cursor().clamp(log.tail(), head) };
            let since_ns = if cursor < head { log.entry(cursor).taken_ns } else { now_ns };
            ConnView {
                conn: ConnId(index),
                format: conn.format,
                lag_entries: head - cursor,
                lag_ns: now_ns.saturating_sub(since_ns),
                blocked_ns: match care.blocked_since_ns {
                    NEVER => 0,
                    since_ns => now_ns.saturating_sub(since_ns),
                },
                skipped: care.skipped,
                topics: u32::try_from(conn.subscriptions().len()).unwrap_or(u32::MAX),
                wildcards: u32::try_from(conn.wildcards().len()).unwrap_or(u32::MAX),
            }
        }));
        let key = |view: &ConnView| (view.blocked_ns, view.lag_entries, view.skipped);
        out.sort_unstable_by_key(|view| std::cmp::Reverse(key(view)));
        out.truncate(top);
    }
}
