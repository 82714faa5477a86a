//! The ladder of slow consumers, and rates: what time does to connections.
//!
//! A connection that cannot be written to first merely waits, which costs nothing. When it can be
//! again and is behind by more than the limit for lagging, its channels' rules apply: conflation where
//! the channel allows it, gap entries where not. If it stays unwritable for longer, or gets behind by
//! more, than the limits for slowness, it is closed.
//!
//! Rates are timers too: a connection that is served at a rate only is not ready between two rounds.

use wire::CloseCode;

use crate::connection::{ConnId, NEVER, Phase};
use crate::hub::Hub;
use crate::log::NOWHERE;
use crate::transfers::NO_TRANSFER;

/// How often an unwritable connection's backlog is compared with `slow_entries_max`, if that is set.
const SLOW_CHECK_NS: u64 = 250_000_000;

impl Hub {
    /// The connection's socket took nothing, or not all: it is not visited until it is writable.
    pub fn handle_blocked(&mut self, conn: ConnId, now_ns: u64) {
        let head = self.market.log.head();
        let Some(care) = self.peers.begin_care(conn.0) else { return };
        self.counters.blocked += 1;
        care.was_blocked = true;
        if !care.is_blocked() {
            care.blocked_since_ns = now_ns;
        }
        if care.behind_from == NOWHERE {
            care.behind_from = head;
            care.behind_since_ns = now_ns;
        }
        let deadline_ns = care.blocked_since_ns.saturating_add(self.limits.slow_age_max_ns);
        self.peers.ready.remove(conn.0);
        self.arm_ladder(conn.0, deadline_ns, now_ns);
    }

    /// The connection's socket can be written to again.
    pub fn handle_writable(&mut self, conn: ConnId, _now_ns: u64) {
        let Some((state, _, cares)) = self.peers.parts(conn.0) else { return };
        if let Some(care) = cares.get_mut(state) {
            care.blocked_since_ns = NEVER;
        }
        if state.phase == Phase::Open {
            self.peers.ready.insert(conn.0);
        }
    }

    /// Does what is due by now. Answers whether somebody's turn may have come by it.
    pub fn handle_timers(&mut self, now_ns: u64) -> bool {
        let has_made = self.make_timed(now_ns);
        if self.intake.recovering_until_ns.is_some_and(|until_ns| until_ns <= now_ns) {
            self.handle_recovered(now_ns);
        }
        while let Some(index) = self.peers.next_due(now_ns) {
            self.counters.timers += 1;
            self.fire(index, now_ns);
        }
        has_made
    }

    /// When [`Hub::handle_timers`] is to be called next, at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let deadlines = [
            self.peers.next_deadline(),
            self.timed.next_deadline(),
            self.intake.recovering_until_ns,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next connection that the hub has given up, and why. The shell closes it and calls
    /// [`Hub::disconnect`].
    pub fn next_close(&mut self) -> Option<(ConnId, CloseCode)> {
        self.peers.closes.pop_front()
    }

    fn fire(&mut self, index: u32, now_ns: u64) {
        let head = self.market.log.head();
        let Some((conn, _, cares)) = self.peers.visited(index) else { return };
        let care = *cares.of(conn);
        if !care.is_blocked() {
            cares.end_if_over(conn);
            let is_behind = conn.cursor() < head;
            self.peers.ready.insert(index);
            if is_behind {
                self.peers.dirty.insert(index);
            }
            return;
        }
        let deadline_ns = care.blocked_since_ns.saturating_add(self.limits.slow_age_max_ns);
        let behind = head - care.behind_from.min(head);
        if now_ns >= deadline_ns || behind > self.limits.slow_entries_max {
            self.give_up(index, CloseCode::SlowConsumer);
        } else {
            self.arm_ladder(index, deadline_ns, now_ns);
        }
    }

    fn arm_ladder(&mut self, index: u32, deadline_ns: u64, now_ns: u64) {
        let check_ns = match self.limits.slow_entries_max {
            u64::MAX => NEVER,
            _ => now_ns.saturating_add(SLOW_CHECK_NS),
        };
        self.peers.arm(index, deadline_ns.min(check_ns));
    }

    pub(crate) fn give_up(&mut self, index: u32, code: CloseCode) {
        match code {
            CloseCode::SlowConsumer => self.counters.slow_closes += 1,
            _ => self.counters.lapped_closes += 1,
        }
        let transfer = self.peers.get_mut(index).map_or(NO_TRANSFER, |conn| {
            conn.phase = Phase::Closing;
            std::mem::replace(&mut conn.transfer, NO_TRANSFER)
        });
        self.peers.transfers.remove(transfer);
        self.peers.dirty.remove(index);
        self.peers.ready.remove(index);
        self.peers.closes.push_back((ConnId(index), code));
    }

    /// After a visit: a connection of which every class waits for its time is not ready until the
    /// first of these times; one of which only some wait has a timer for them.
    pub(crate) fn hold(&mut self, index: u32, now_ns: u64) {
        let head = self.market.log.head();
        let Some(conn) = self.peers.get(index) else { return };
        if conn.phase != Phase::Open || !conn.classes().any(|class| class.is_throttled()) {
            return;
        }
        let waiting = || conn.classes().filter(|class| class.waits(now_ns));
        let Some(due_ns) = waiting().map(|class| class.due_ns).min() else { return };
        let all_wait = waiting().count() == usize::from(conn.class_count());
        let order = self.market.instruments.order().len();
        let is_busy = conn.sweep_left > 0
            || conn.transfer != NO_TRANSFER
            || conn.wildcards().iter().any(|wildcard| (wildcard.walked as usize) < order);
        let is_behind = waiting().any(|class| class.cursor < head);
        if all_wait && !is_busy {
            self.peers.ready.remove(index);
            self.peers.arm(index, due_ns);
        } else if is_behind {
            self.peers.arm(index, due_ns);
        }
    }

    /// Takes snapshots in transfer back from clients that do not read, because the memory for them
    /// is needed: when they read again they start anew.
    pub(crate) fn revoke_transfers(&mut self) {
        let idle: Option<u32> = self
            .peers
            .transfers
            .connections()
            .filter_map(|index| Some((self.peers.care(index)?.blocked_since_ns, index)))
            .filter(|&(since_ns, _)| since_ns != NEVER)
            .min()
            .map(|(_, index)| index);
        if let Some(index) = idle {
            self.revoke_transfer(index);
            self.counters.transfers_revoked += 1;
        }
    }
}
