//! One server of a bus: its cores and its network as queues, which serve in order.

use crate::costs::{Costs, Threading};
use crate::link::transfer_ns;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Server {
    append_free_ns: u64,
    serve_free_ns: u64,
    network_free_ns: u64,
    /// Nothing is done before this time.
    stalled_until_ns: u64,
    /// Time spent appending, of one core, ns.
    pub(crate) append_busy_ns: u64,
    /// Time spent on everything else, of all its cores, ns.
    pub(crate) serve_busy_ns: u64,
    /// Bytes that left.
    pub(crate) sent_bytes: u64,
}

impl Server {
    /// Nothing is done before this time.
    pub(crate) fn stall(&mut self, until_ns: u64) {
        self.stalled_until_ns = self.stalled_until_ns.max(until_ns);
    }

    /// It begins again: nothing waits.
    pub(crate) const fn restart(&mut self, now_ns: u64) {
        self.append_free_ns = now_ns;
        self.serve_free_ns = now_ns;
        self.network_free_ns = now_ns;
    }

    /// When an append that came now is done.
    pub(crate) fn append(&mut self, now_ns: u64, cost_ns: u64, costs: &Costs) -> u64 {
        self.append_busy_ns += cost_ns;
        let begin_ns = now_ns.max(self.stalled_until_ns);
        match costs.threading {
            Threading::One => {
                self.serve_free_ns = self.serve_free_ns.max(begin_ns) + cost_ns;
                self.serve_free_ns
            }
            Threading::Many(_) => {
                self.append_free_ns = self.append_free_ns.max(begin_ns) + cost_ns;
                self.append_free_ns
            }
        }
    }

    /// When anything else that came now is done.
    pub(crate) fn serve(&mut self, now_ns: u64, cost_ns: u64, costs: &Costs) -> u64 {
        self.serve_busy_ns += cost_ns;
        let share = match costs.threading {
            Threading::One => 1,
            Threading::Many(cores) => u64::from(cores.max(1)),
        };
        let begin_ns = now_ns.max(self.stalled_until_ns);
        self.serve_free_ns = self.serve_free_ns.max(begin_ns) + cost_ns / share;
        self.serve_free_ns
    }

    /// When the network has taken bytes that are ready at this time.
    pub(crate) fn send(&mut self, ready_ns: u64, bytes: u64, costs: &Costs) -> u64 {
        self.sent_bytes += bytes;
        self.network_free_ns =
            self.network_free_ns.max(ready_ns) + transfer_ns(bytes, costs.network_bytes);
        self.network_free_ns
    }
}
