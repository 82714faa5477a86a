//! What is still missing of an instrument before it may be called attached: its present state, and those
//! of its past trades that the upstream still has. It decides; the source asks. No clock, no socket.
//!
//! The upstream's answers name the number at which each topic stands. When something with that number has
//! come for each of them, all is there. Trades are asked for twice: once to learn their newest number,
//! then again from the first on, so that clients who come from another gateway go on without a loss.
//! What the first asking brought is behind a hole and must not pass: it comes again.

use wire::Channel;

/// How long an instrument of which the upstream has nothing yet is waited for. It may be an edge itself, which
/// is only now asked for this instrument.
const NOTHING_YET_NS: u64 = 5_000_000_000;

/// How long after the asking something of such an instrument is not taken for all of it.
const SETTLING_NS: u64 = 2_000_000_000;

/// How long anything may be missing. Half a state is better than none; what comes later is delivered as usual.
const PATIENCE_NS: u64 = 10_000_000_000;

/// One instrument's fetching.
#[derive(Debug)]
pub(super) struct Fetching {
    /// The numbers that are to come; the newest of each channel.
    awaited: Vec<(Channel, u64)>,
    trades: Gate,
    /// The upstream has something.
    is_known: bool,
    since_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// Trades pass.
    Open,
    /// The past begins with the announcement that number 1 is gone, or with one of these numbers.
    UntilPast { newest: u64 },
}

impl Fetching {
    /// Begins now.
    pub(super) const fn new(now_ns: u64) -> Self {
        Self { awaited: Vec::new(), trades: Gate::Open, is_known: false, since_ns: now_ns }
    }

    /// The upstream says that the topic stands at this number; 0: there is nothing yet.
    pub(super) fn expect(&mut self, channel: Channel, newest: u64) {
        if newest > 0 {
            self.is_known = true;
            self.awaited.push((channel, newest));
            if channel == Channel::Trade {
                self.trades = Gate::UntilPast { newest };
            }
        }
    }

    /// Whether an event of a channel may pass.
    pub(super) fn admits(&mut self, channel: Channel, seq: u64) -> bool {
        if channel == Channel::Trade
            && let Gate::UntilPast { newest } = self.trades
        {
            if seq > newest {
                return false;
            }
            self.trades = Gate::Open;
        }
        true
    }

    /// Numbers up to this one do not come.
    pub(super) fn note_gap(&mut self, channel: Channel, first_seq: u64, last_seq: u64) {
        if channel == Channel::Trade && first_seq == 1 {
            self.trades = Gate::Open;
            self.note(channel, last_seq);
        }
    }

    /// The state of a channel as of this number has come.
    pub(super) fn note(&mut self, channel: Channel, seq: u64) {
        self.awaited.retain(|(awaited, newest)| *awaited != channel || seq < *newest);
    }

    /// Whether all is there, or what is missing is not waited for any more.
    pub(super) fn is_complete(&self, has_anything: bool, now_ns: u64) -> bool {
        let age_ns = now_ns.saturating_sub(self.since_ns);
        if !self.awaited.is_empty() {
            return age_ns >= PATIENCE_NS;
        }
        self.is_known || age_ns >= if has_anything { SETTLING_NS } else { NOTHING_YET_NS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_of_trades_passes_and_what_came_before_it_does_not() {
        let mut fetching = Fetching::new(0);
        fetching.expect(Channel::Quote, 7);
        fetching.expect(Channel::Trade, 100);
        assert!(!fetching.admits(Channel::Trade, 101), "behind the hole that the past fills");
        assert!(fetching.admits(Channel::Quote, 7));
        fetching.note(Channel::Quote, 7);
        fetching.note_gap(Channel::Trade, 1, 40);
        for seq in 41..=100 {
            assert!(!fetching.is_complete(true, 1));
            assert!(fetching.admits(Channel::Trade, seq));
            fetching.note(Channel::Trade, seq);
        }
        assert!(fetching.is_complete(true, 1));
        assert!(fetching.admits(Channel::Trade, 101));
    }

    #[test]
    fn a_past_without_a_gap_or_without_anything_is_one_too() {
        let mut whole = Fetching::new(0);
        whole.expect(Channel::Trade, 3);
        assert!(!whole.admits(Channel::Trade, 4) && whole.admits(Channel::Trade, 1));
        assert!(whole.admits(Channel::Trade, 4));
        let mut gone = Fetching::new(0);
        gone.expect(Channel::Trade, 3);
        gone.note_gap(Channel::Trade, 1, 5);
        assert!(gone.is_complete(true, 0) && gone.admits(Channel::Trade, 6));
    }

    #[test]
    fn nothing_is_waited_for_in_vain() {
        let mut fetching = Fetching::new(0);
        assert!(!fetching.is_complete(false, 1) && fetching.is_complete(false, NOTHING_YET_NS));
        fetching.expect(Channel::Status, 1);
        assert!(!fetching.is_complete(true, PATIENCE_NS - 1));
        assert!(fetching.is_complete(true, PATIENCE_NS));
    }
}
