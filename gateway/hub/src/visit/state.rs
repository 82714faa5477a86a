//! What a visit changes in its connection, and how that is taken back.
//!
//! A visit changes the connection as it goes and notes what was there before. If the socket takes the
//! message the notes are dropped; if it does not they are put back, last first, and nothing was
//! delivered. Both cost no more than the visit did.

use wire::GapReason;

use crate::care::Cares;
use crate::connection::Connection;
use crate::counters::Counters;
use crate::subscription::{Class, Progress};
use crate::transfers::{NO_TRANSFER, Target, Transfers};

/// Where progress is kept: an exact subscription or an instrument under a wildcard, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// Index of the subscription.
    Exact(u32),
    /// Index of the wildcard, and the instrument's slot.
    All(u32, u32),
}

/// What was there before.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    Progress {
        at: At,
        progress: Progress,
        hint: u64,
    },
    Class {
        class: u8,
        before: Class,
    },
    Walked {
        wildcard: u32,
        walked: u32,
    },
    Sweep {
        left: u32,
        at: u32,
    },
    StatusTold(u32),
    LagTo(u64),
    Part(usize),
    /// No transfer.
    Begun,
}

/// What a visit did, to be counted if the socket takes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) deliveries: u32,
    pub(super) snapshots: u32,
    pub(super) book_snapshots: u32,
    pub(super) merges: u32,
    pub(super) resets: u32,
    /// When the oldest live entry was taken from the ring.
    pub(super) taken_ns: Option<u64>,
    skipped: [u64; 4],
}

impl Tally {
    pub(super) const fn skip(&mut self, reason: GapReason, count: u64) {
        match reason {
            GapReason::Lost => self.skipped[1] += count,
            GapReason::Lapped => self.skipped[2] += count,
            GapReason::Resume => self.skipped[3] += count,
            GapReason::Reset => self.resets += 1,
            _ => self.skipped[0] += count,
        }
    }

    pub(super) fn skipped(&self) -> u64 {
        self.skipped.iter().sum()
    }

    pub(super) fn count(&self, counters: &mut Counters) {
        counters.deliveries += u64::from(self.deliveries);
        counters.snapshots += u64::from(self.snapshots);
        counters.book_snapshots += u64::from(self.book_snapshots);
        counters.merges += u64::from(self.merges);
        counters.resets += u64::from(self.resets);
        let [conflated, lost, lapped, resume] = self.skipped;
        counters.skipped_conflated += conflated;
        counters.skipped_lost += lost;
        counters.skipped_lapped += lapped;
        counters.skipped_resume += resume;
    }
}

/// Puts back what was there before the visit.
pub(super) fn restore(
    notes: &[Before],
    conn: &mut Connection,
    transfers: &mut Transfers,
    cares: &mut Cares,
) {
    for before in notes.iter().rev() {
        match *before {
            Before::Progress { at: At::Exact(at), progress, hint } => {
                let subscription = conn.subscription_mut(at as usize);
                subscription.progress = progress;
                subscription.hint = hint;
            }
            Before::Progress { at: At::All(wildcard, slot), progress, .. } => {
                conn.wildcard_mut(wildcard as usize).set(slot, progress);
            }
            Before::Class { class, before } => conn.set_class(class, before),
            Before::Walked { wildcard, walked } => {
                conn.wildcard_mut(wildcard as usize).walked = walked;
            }
            Before::Sweep { left, at } => conn.set_sweep(at, left),
            Before::StatusTold(number) => conn.status_told = number,
            Before::LagTo(position) => {
                if let Some(care) = cares.get_mut(conn) {
                    care.lag_to = position;
                }
            }
            // The next visit binds anew; meanwhile who does not read holds no memory.
            Before::Begun => {
                transfers.remove(std::mem::replace(&mut conn.transfer, NO_TRANSFER));
            }
            Before::Part(part) => {
                if let Some(transfer) = transfers.get_mut(conn.transfer) {
                    transfer.part = part;
                }
            }
        }
    }
}

/// Where the progress of a transfer's target is kept, if it is still subscribed.
pub(super) fn resolve(conn: &Connection, target: Target) -> Option<At> {
    let index = |at: usize| u32::try_from(at).expect("subscriptions have 32-bit numbers");
    match target {
        Target::Exact { topic } => conn.find(topic).map(|at| At::Exact(index(at))),
        Target::All { channel, slot } => {
            let channel = wire::Channel::from_code(channel)?;
            conn.find_wildcard(channel).map(|at| At::All(index(at), slot))
        }
    }
}
