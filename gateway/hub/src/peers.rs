//! All connections of a shard, and the sets that say whose turn it is.
//!
//! Three bits a connection: *dirty* (there may be something new for it), *ready* (it is open, it can
//! be written to, and its rate allows it). Whose both bits are set is visited, round robin.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use wire::{CHANNEL_COUNT, CloseCode, Encoding, FeedState};

use crate::bits::BitSet;
use crate::connection::{ConnId, Connection, NEVER, Phase};
use crate::subscribers::Subscribers;
use crate::transfers::Transfers;

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Peers {
    connections: Vec<Connection>,
    free: Vec<u32>,
    open: u32,
    pub(crate) dirty: BitSet,
    pub(crate) ready: BitSet,
    /// Where the search for the next turn begins.
    rotor: u32,
    /// Connections with a wildcard, by channel code.
    pub(crate) wildcards: [Subscribers; CHANNEL_COUNT],
    /// States of all wildcards together, against their limit.
    pub(crate) wildcard_states: usize,
    pub(crate) transfers: Transfers,
    /// Deadlines and whose they are. An entry counts only if it is its connection's `timer_ns`.
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    pub(crate) closes: VecDeque<(ConnId, CloseCode)>,
    pub(crate) status: FeedState,
    /// Counts states of the feed; connections that were told an older one are told the newest.
    pub(crate) status_number: u32,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            connections: Vec::new(),
            free: Vec::new(),
            open: 0,
            dirty: BitSet::default(),
            ready: BitSet::default(),
            rotor: 0,
            wildcards: std::array::from_fn(|_| Subscribers::default()),
            wildcard_states: 0,
            transfers: Transfers::default(),
            timers: BinaryHeap::new(),
            closes: VecDeque::new(),
            status: FeedState::Live,
            status_number: 0,
        }
    }
}

/// How many slots are added at once. Doubling would leave up to half of them unused.
const SLOTS_STEP: usize = 256;

impl Peers {
    /// Slots, used or not.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.connections.len()).expect("connections_max is a 32-bit number")
    }

    pub(crate) const fn open_count(&self) -> u32 {
        self.open
    }

    pub(crate) fn open(&mut self, encoding: Encoding, connections_max: u32) -> Option<ConnId> {
        if self.open >= connections_max {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            if self.connections.len() == self.connections.capacity() {
                self.connections.reserve_exact(SLOTS_STEP);
            }
            self.connections.push(Connection::FREE);
            self.dirty.grow(self.slots());
            self.ready.grow(self.slots());
            self.slots() - 1
        });
        let conn = &mut self.connections[index as usize];
        *conn = Connection::FREE;
        conn.phase = Phase::Open;
        conn.encoding = encoding;
        self.open += 1;
        self.ready.insert(index);
        Some(ConnId(index))
    }

    /// Empties the slot and answers what was in it.
    pub(crate) fn close(&mut self, id: ConnId) -> Option<Connection> {
        let slot = self.connections.get_mut(id.0 as usize)?;
        if slot.phase == Phase::Free {
            return None;
        }
        let conn = std::mem::replace(slot, Connection::FREE);
        self.transfers.remove(conn.transfer);
        self.dirty.remove(id.0);
        self.ready.remove(id.0);
        self.free.push(id.0);
        self.open -= 1;
        Some(conn)
    }

    /// The connection in this slot, if it is in use.
    pub(crate) fn get(&self, index: u32) -> Option<&Connection> {
        self.connections.get(index as usize).filter(|conn| conn.phase != Phase::Free)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Connection> {
        self.connections.get_mut(index as usize).filter(|conn| conn.phase != Phase::Free)
    }

    /// A connection together with what its visit changes besides it.
    pub(crate) fn visited(&mut self, index: u32) -> Option<(&mut Connection, &mut Transfers)> {
        let conn = self.connections.get_mut(index as usize);
        Some((conn.filter(|conn| conn.phase == Phase::Open)?, &mut self.transfers))
    }

    /// Connections in use and their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        (0..).zip(&self.connections).filter(|(_, conn)| conn.phase != Phase::Free)
    }

    /// Whose turn it is. The next search begins behind it, so that nobody is always last.
    pub(crate) fn next_turn(&mut self) -> Option<ConnId> {
        let found = self.dirty.next_in_both(&self.ready, self.rotor);
        let index = found.or_else(|| self.dirty.next_in_both(&self.ready, 0))?;
        self.rotor = index + 1;
        Some(ConnId(index))
    }

    /// Has the connection visited as soon as it can be written to, whatever its rate.
    pub(crate) fn urge(&mut self, index: u32) {
        let Some(conn) = self.get(index) else { return };
        if conn.phase == Phase::Open && conn.blocked_since_ns == NEVER {
            self.ready.insert(index);
        }
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
        let Some(conn) = self.get_mut(index) else { return };
        if at_ns < conn.timer_ns {
            conn.timer_ns = at_ns;
            self.timers.push(Reverse((at_ns, index)));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.timers.peek().map(|Reverse((at_ns, _))| *at_ns)
    }

    /// The next connection whose timer is due; the timer is off then.
    pub(crate) fn next_due(&mut self, now_ns: u64) -> Option<u32> {
        while let Some(&Reverse((at_ns, index))) = self.timers.peek() {
            if at_ns > now_ns {
                return None;
            }
            self.timers.pop();
            if let Some(conn) = self.get_mut(index)
                && conn.timer_ns == at_ns
            {
                conn.timer_ns = NEVER;
                return Some(index);
            }
        }
        None
    }
}
