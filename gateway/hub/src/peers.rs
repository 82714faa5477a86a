//! All connections of a shard, and the sets that say whose turn it is.
//!
//! Three bits a connection: *dirty* (there may be something new for it), *ready* (it is open, it can
//! be written to, and its rates allow it), *waiting* (for the pace of visits). Whoever is dirty, ready
//! and not waiting is visited, round robin.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use wire::{Channel, CloseCode, FeedState};

use crate::bits::BitSet;
use crate::care::{Care, Cares};
use crate::connection::{ConnId, Connection, NEVER, Phase};
use crate::format::Format;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::pages::Pages;
use crate::subscription::Wildcard;
use crate::transfers::Transfers;

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Peers {
    connections: Pages<Connection>,
    /// Slots that are not in use.
    free: BitSet,
    /// There is no free slot before this one.
    free_from: u32,
    open: u32,
    pub(crate) dirty: BitSet,
    pub(crate) ready: BitSet,
    pub(crate) pace: Pace,
    /// Where the search for the next turn begins.
    rotor: u32,
    /// States of all wildcards together, against their limit.
    pub(crate) wildcard_states: usize,
    pub(crate) transfers: Transfers,
    pub(crate) cares: Cares,
    /// Deadlines and whose they are. An entry counts only if it is its connection's `timer_ns` in `care.rs`.
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    pub(crate) closes: VecDeque<(ConnId, CloseCode)>,
    pub(crate) status: FeedState,
    /// Counts states of the feed; connections that were told an older one are told the newest.
    pub(crate) status_number: u32,
}

impl Peers {
    pub(crate) fn new(limits: &Limits) -> Self {
        // A tick is at least an entry's part, so that counting ticks serves for both rings of the log.
        let ticks_max = limits.log_entries.min(limits.log_ticks) as u64 / 4;
        Self {
            connections: Pages::default(),
            free: BitSet::default(),
            free_from: 0,
            open: 0,
            dirty: BitSet::default(),
            ready: BitSet::default(),
            pace: Pace::new(limits.visit_interval_ns, ticks_max),
            rotor: 0,
            wildcard_states: 0,
            transfers: Transfers::default(),
            cares: Cares::default(),
            timers: BinaryHeap::new(),
            closes: VecDeque::new(),
            status: FeedState::Live,
            status_number: 0,
        }
    }

    /// Slots, used or not.
    pub(crate) fn slots(&self) -> u32 {
        self.connections.len()
    }

    pub(crate) const fn open_count(&self) -> u32 {
        self.open
    }

    pub(crate) fn open(&mut self, format: Format, connections_max: u32) -> Option<ConnId> {
        if self.open >= connections_max {
            return None;
        }
        let index = self.free_slot();
        let conn = self.connections.get_mut(index)?;
        *conn = Connection::FREE;
        conn.phase = Phase::Open;
        conn.format = format;
        self.open += 1;
        self.ready.insert(index);
        Some(ConnId(index))
    }

    /// Takes the first free slot, so that those at the end become free and can be given back.
    fn free_slot(&mut self) -> u32 {
        let index = self.free.next(self.free_from).unwrap_or_else(|| {
            let first = self.slots();
            self.connections.reach(first, || Connection::FREE);
            let slots = self.slots();
            self.dirty.grow(slots);
            self.ready.grow(slots);
            self.pace.grow(slots);
            self.free.grow(slots);
            (first..slots).for_each(|slot| self.free.insert(slot));
            first
        });
        self.free.remove(index);
        self.free_from = index + 1;
        index
    }

    /// Empties the slot and answers what was in it.
    pub(crate) fn close(&mut self, id: ConnId) -> Option<Connection> {
        let slot = self.connections.get_mut(id.0)?;
        if slot.phase == Phase::Free {
            return None;
        }
        let mut conn = std::mem::replace(slot, Connection::FREE);
        self.transfers.remove(conn.transfer);
        self.cares.end(&mut conn);
        self.dirty.remove(id.0);
        self.ready.remove(id.0);
        self.pace.urge(id.0);
        self.free.insert(id.0);
        self.free_from = self.free_from.min(id.0);
        self.open -= 1;
        let slots = self.slots();
        if self.open < slots / 2 {
            self.connections.give_back(|conn| conn.phase == Phase::Free);
            (self.slots()..slots).for_each(|slot| self.free.remove(slot));
        }
        Some(conn)
    }

    /// The connection in this slot, if it is in use.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Connection> {
        self.connections.get(index).filter(|conn| conn.phase != Phase::Free)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.connections.get_mut(index).filter(|conn| conn.phase != Phase::Free)
    }

    /// The connection's wildcard of this channel, if it has one.
    pub(crate) fn wildcard_mut(&mut self, index: u32, channel: Channel) -> Option<&mut Wildcard> {
        let conn = self.get_mut(index)?;
        let at = conn.find_wildcard(channel)?;
        Some(conn.wildcard_mut(at))
    }

    /// A connection in use together with what changes with it: snapshots in transfer, and care.
    #[inline]
    pub(crate) fn parts(
        &mut self,
        index: u32,
    ) -> Option<(&mut Connection, &mut Transfers, &mut Cares)> {
        let conn = self.connections.get_mut(index)?;
        let is_used = conn.phase != Phase::Free;
        is_used.then_some((conn, &mut self.transfers, &mut self.cares))
    }

    /// The same of a connection that has not been given up.
    #[inline]
    pub(crate) fn visited(
        &mut self,
        index: u32,
    ) -> Option<(&mut Connection, &mut Transfers, &mut Cares)> {
        self.parts(index).filter(|(conn, _, _)| conn.phase == Phase::Open)
    }

    /// The care of the connection in this slot, if it is in use.
    pub(crate) fn care(&self, index: u32) -> Option<&Care> {
        self.get(index).map(|conn| self.cares.of(conn))
    }

    /// The care of the connection in this slot, begun now if it has none.
    pub(crate) fn begin_care(&mut self, index: u32) -> Option<&mut Care> {
        let (conn, _, cares) = self.parts(index)?;
        Some(cares.begin(conn))
    }

    /// Connections in use and their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        (0..).zip(self.connections.iter()).filter(|(_, conn)| conn.phase != Phase::Free)
    }

    /// Whose turn it is. The next search begins behind it, so that nobody is always last.
    pub(crate) fn next_turn(&mut self) -> Option<ConnId> {
        let waiting = self.pace.waiting();
        let found = self.dirty.next_in_both(&self.ready, waiting, self.rotor);
        let index = found.or_else(|| self.dirty.next_in_both(&self.ready, waiting, 0))?;
        self.rotor = index + 1;
        Some(ConnId(index))
    }

    /// Has the connection visited as soon as it can be written to, whatever its rate and the pace.
    pub(crate) fn urge(&mut self, index: u32) {
        let Some(conn) = self.get(index) else { return };
        if conn.phase == Phase::Open && !self.cares.of(conn).is_blocked() {
            self.ready.insert(index);
        }
        self.pace.urge(index);
        self.dirty.insert(index);
    }

    /// Has every connection visited.
    pub(crate) fn urge_all(&mut self) {
        for index in 0..self.slots() {
            self.urge(index);
        }
    }

    /// Sets the connection's timer, unless it fires earlier anyway.
    pub(crate) fn arm(&mut self, index: u32, at_ns: u64) {
        let Some(care) = self.begin_care(index) else { return };
        if at_ns < care.timer_ns {
            care.timer_ns = at_ns;
            self.timers.push(Reverse((at_ns, index)));
        }
    }

    /// The earliest time at which somebody is due: a timer, or the pace of one for whom there may be
    /// something.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let timer = self.timers.peek().map(|Reverse((at_ns, _))| *at_ns);
        let pace = self.pace.next_due_ns(&self.dirty, &self.ready);
        timer.into_iter().chain(pace).min()
    }

    /// The next connection whose timer is due; the timer is off then.
    pub(crate) fn next_due(&mut self, now_ns: u64) -> Option<u32> {
        while let Some(&Reverse((at_ns, index))) = self.timers.peek() {
            if at_ns > now_ns {
                return None;
            }
            self.timers.pop();
            if let Some((conn, _, cares)) = self.parts(index)
                && let Some(care) = cares.get_mut(conn)
                && care.timer_ns == at_ns
            {
                care.timer_ns = NEVER;
                return Some(index);
            }
        }
        None
    }
}
