//! What one client holds of each symbol, and how late it had it.

use crate::generator::ledger::TopicKey;
use crate::latency::Latency;

/// The newest of each symbol that a client follows: a handful, so a list.
#[derive(Debug, Default)]
pub(super) struct Holdings(Vec<Held>);

#[derive(Clone, Copy, Debug)]
struct Held {
    topic: TopicKey,
    seq: u64,
}

/// What clients had of what was due.
#[derive(Clone, Default)]
pub(super) struct Account {
    /// From when an update was due until the client had it or a newer one.
    pub(super) delay: Latency,
    /// Updates that clients got themselves.
    pub(super) seen: u64,
    /// Updates that there were, seen or passed over.
    pub(super) due: u64,
}

impl Holdings {
    /// A quote came. Those that it supersedes unseen are late by as much as it came after they were
    /// due: quotes of a symbol are due every `period_ns`. The first one of a symbol counts for nothing:
    /// it was there before the client.
    pub(super) fn enter(
        &mut self,
        topic: TopicKey,
        seq: u64,
        ts_event_ns: u64,
        now_ns: u64,
        period_ns: u64,
        account: Option<&mut Account>,
    ) {
        let Some(held) = self.0.iter_mut().find(|held| held.topic == topic) else {
            self.0.push(Held { topic, seq });
            return;
        };
        let newer = seq.saturating_sub(held.seq);
        if newer == 0 {
            return;
        }
        held.seq = seq;
        let Some(account) = account else { return };
        account.seen += 1;
        account.due += newer;
        for back in 0..newer {
            let due_ns = ts_event_ns.saturating_sub(back * period_ns);
            account.delay.record(now_ns.saturating_sub(due_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_over_is_late_and_not_seen() {
        let (mut holdings, mut account) = (Holdings::default(), Account::default());
        let topic = TopicKey::new(3, 1).unwrap();
        let mut enter = |seq, ts_ns, now_ns| {
            holdings.enter(topic, seq, ts_ns, now_ns, 1_000_000, Some(&mut account));
        };
        enter(7, 7_000_000, 7_500_000);
        enter(7, 7_000_000, 8_500_000);
        enter(10, 10_000_000, 10_500_000);
        assert_eq!((account.seen, account.due), (1, 3));
        let delay = account.delay.percentiles();
        assert_eq!((delay.count, delay.max_ns / 10_000), (3, 250));
    }
}
