//! Book snapshots that connections are in the middle of: too big for one visit, sent in parts.
//!
//! A transfer keeps its encoded snapshot alive, shared with every other transfer of the same one. A
//! connection has at most one at a time, so that a table on the side serves all of them and a
//! connection's slot holds only a number. Their bytes are metered: see `snapshot_bytes_max`.

use std::rc::Rc;

use crate::book::Snapshot;

/// No transfer.
pub(crate) const NO_TRANSFER: u32 = u32::MAX;

/// What a subscription's place in its connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An exact topic.
    Exact {
        /// The topic; subscriptions move when others come and go.
        topic: u32,
    },
    /// An instrument under a wildcard.
    All {
        /// The wildcard's channel's code.
        channel: u8,
        /// The instrument's slot.
        slot: u32,
    },
}

/// One snapshot on its way to one connection.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) snapshot: Rc<Snapshot>,
    pub(crate) conn: u32,
    pub(crate) target: Target,
    /// Position of the topic's newest entry when the snapshot was made.
    pub(crate) hint: u64,
    /// The next part to send.
    pub(crate) part: usize,
}

/// All transfers of a shard.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    slots: Vec<Option<Transfer>>,
    free: Vec<u32>,
}

impl Transfers {
    pub(crate) fn add(&mut self, transfer: Transfer) -> u32 {
        if let Some(at) = self.free.pop() {
            self.slots[at as usize] = Some(transfer);
            return at;
        }
        self.slots.push(Some(transfer));
        u32::try_from(self.slots.len() - 1).expect("not more than connections")
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut Transfer> {
        self.slots.get_mut(at as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<Transfer> {
        let transfer = self.slots.get_mut(at as usize)?.take()?;
        self.free.push(at);
        Some(transfer)
    }

    /// Connections in the middle of a snapshot.
    pub(crate) fn connections(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().flatten().map(|transfer| transfer.conn)
    }
}
