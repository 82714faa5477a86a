//! A link: one connection to the bus at a time, its two directions, and what waits in the server for it.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::costs::Costs;

/// The server's buffer for a connection has no room: it closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// Which connection this is: what is on the way of an earlier one never arrives.
    pub(crate) generation: u64,
    /// The server has it open.
    pub(crate) is_open: bool,
    /// The client takes it to be open.
    pub(crate) is_up: bool,
    /// Nothing gets through before this time.
    pub(crate) cut_until_ns: u64,
    /// Attempts since it was up.
    pub(crate) attempt: usize,
    up_free_ns: u64,
    up_last_ns: u64,
    down_free_ns: u64,
    down_last_ns: u64,
    /// What has not left the server: when each part will have, and its bytes.
    waiting: VecDeque<(u64, u64)>,
    waiting_bytes: u64,
    /// The most that ever waited.
    pub(crate) peak_bytes: u64,
}

impl Link {
    /// The connection is gone, whoever ended it.
    pub(crate) fn end(&mut self) {
        self.generation += 1;
        self.is_open = false;
        self.waiting.clear();
        self.waiting_bytes = 0;
        (self.up_free_ns, self.up_last_ns) = (0, 0);
        (self.down_free_ns, self.down_last_ns) = (0, 0);
    }

    /// When so many bytes that the client sends now arrive.
    pub(crate) fn upload(
        &mut self,
        now_ns: u64,
        bytes: u64,
        costs: &Costs,
        chance: &mut Chance,
    ) -> u64 {
        self.up_free_ns = self.up_free_ns.max(now_ns) + transfer_ns(bytes, costs.link_bytes);
        let arrival = self.up_free_ns + costs.latency_ns + chance.below(costs.jitter_ns);
        self.up_last_ns = self.up_last_ns.max(arrival);
        self.up_last_ns
    }

    /// When so many bytes arrive that the server hands over now and its network takes at `taken_ns`.
    pub(crate) fn download(
        &mut self,
        now_ns: u64,
        taken_ns: u64,
        bytes: u64,
        costs: &Costs,
        chance: &mut Chance,
    ) -> Result<u64, Overflow> {
        while let Some(&(left_ns, bytes)) = self.waiting.front()
            && left_ns <= now_ns
        {
            self.waiting.pop_front();
            self.waiting_bytes -= bytes;
        }
        if self.waiting_bytes + bytes > costs.output_bytes && !self.waiting.is_empty() {
            return Err(Overflow);
        }
        self.down_free_ns = self.down_free_ns.max(taken_ns) + transfer_ns(bytes, costs.link_bytes);
        self.waiting.push_back((self.down_free_ns, bytes));
        self.waiting_bytes += bytes;
        self.peak_bytes = self.peak_bytes.max(self.waiting_bytes);
        let arrival = self.down_free_ns + costs.latency_ns + chance.below(costs.jitter_ns);
        self.down_last_ns = self.down_last_ns.max(arrival);
        Ok(self.down_last_ns)
    }
}

/// How long bytes take at this rate.
pub(crate) fn transfer_ns(bytes: u64, bytes_per_s: u64) -> u64 {
    let ns = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s.max(1));
    u64::try_from(ns).unwrap_or(u64::MAX)
}
