//! The ledger: exact account of the sequence numbers of every topic.
//!
//! The protocol's rule is that each number after a topic's base is either delivered or counted in
//! exactly one gap. The ledger adds them up and counts what breaks the rule, which never happens.

use std::collections::HashMap;

use wire::{Channel, GapReason, SnapshotPart, Symbol};

use crate::event::Event;

/// What became of the numbers of one topic, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Numbers that came, each in an event of its own.
    pub delivered: u64,
    /// Numbers that a newer or merged event stands for.
    pub conflated: u64,
    /// Numbers that are gone, as gaps have announced.
    pub lost: u64,
    /// How often the epoch changed, each with an unknown number of missed events.
    pub resets: u64,
    /// Numbers that neither came nor were announced: the rule is broken.
    pub missing: u64,
    /// Numbers that came or were announced twice: the rule is broken.
    pub repeated: u64,
}

impl Account {
    /// Whether the protocol's rule held.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.missing == 0 && self.repeated == 0
    }

    const fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.conflated += other.conflated;
        self.lost += other.lost;
        self.resets += other.resets;
        self.missing += other.missing;
        self.repeated += other.repeated;
    }
}

/// The accounts of all topics. Enter every event, in order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    topics: HashMap<(Symbol, Channel), Topic>,
    epoch: u64,
}

#[derive(Clone, Debug, Default)]
struct Topic {
    account: Account,
    /// The last number accounted for; none before the first, and in a new epoch.
    last_seq: Option<u64>,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters an event.
    pub fn enter(&mut self, event: &Event) {
        match event {
            Event::Connected(connected) => self.enter_epoch(connected.epoch),
            Event::FeedStatus { epoch, .. } | Event::Heartbeat { epoch, .. } => {
                self.enter_epoch(*epoch);
            }
            Event::Gap(gap) => {
                let topic = self.topics.entry((gap.symbol, gap.channel)).or_default();
                if gap.reason == GapReason::Reset {
                    topic.account.resets += 1;
                    topic.last_seq = None;
                    return;
                }
                topic.expect(gap.first_seq);
                let sum = if gap.reason == GapReason::Conflated {
                    &mut topic.account.conflated
                } else {
                    &mut topic.account.lost
                };
                *sum += gap.count;
                topic.last_seq = Some(gap.last_seq());
            }
            event => self.enter_market(event),
        }
    }

    fn enter_market(&mut self, event: &Event) {
        let Some(origin) = event.origin() else { return };
        let topic = self.topics.entry((origin.symbol, origin.channel)).or_default();
        let is_later_part = matches!(
            event,
            Event::DepthSnapshot(part) if matches!(part.part, SnapshotPart::Middle | SnapshotPart::Last)
        );
        // A snapshot may say again what is known; its later parts always bear the same number.
        let is_snapshot = matches!(event, Event::DepthSnapshot(_));
        if is_later_part || (is_snapshot && topic.last_seq == Some(origin.seq)) {
            return;
        }
        topic.expect(origin.seq);
        topic.account.delivered += 1;
        topic.last_seq = Some(origin.seq);
    }

    /// Numbers begin anew; the sums go on.
    fn enter_epoch(&mut self, epoch: u64) {
        if epoch != self.epoch && epoch != 0 {
            self.epoch = epoch;
            for topic in self.topics.values_mut() {
                topic.last_seq = None;
            }
        }
    }

    /// The account of one topic.
    #[must_use]
    pub fn account(&self, symbol: Symbol, channel: Channel) -> Account {
        self.topics.get(&(symbol, channel)).map(|topic| topic.account).unwrap_or_default()
    }

    /// The sum of all accounts.
    #[must_use]
    pub fn total(&self) -> Account {
        let mut total = Account::default();
        self.topics.values().for_each(|topic| total.add(&topic.account));
        total
    }
}

impl Topic {
    /// The next number accounted for; it should be the one after the last.
    const fn expect(&mut self, seq: u64) {
        let Some(last) = self.last_seq else { return };
        if seq > last {
            self.account.missing += seq - last - 1;
        } else {
            self.account.repeated += last - seq + 1;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use wire::{FeedState, TradingStatus};

    use super::*;
    use crate::event::{Connected, Gap, Origin, Status};

    pub(crate) fn origin(channel: Channel, seq: u64) -> Origin {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        Origin { symbol, channel, seq, ts_event_ns: 0, ring_delay_ns: 0 }
    }

    fn status(seq: u64) -> Event {
        let origin = origin(Channel::Status, seq);
        Event::Status(Status { origin, status: TradingStatus::Trading })
    }

    pub(crate) fn gap(channel: Channel, reason: GapReason, first_seq: u64, count: u64) -> Event {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        Event::Gap(Gap { symbol, channel, reason, first_seq, count })
    }

    #[test]
    fn numbers_are_delivered_or_announced_once() {
        let mut ledger = Ledger::new();
        ledger.enter(&Event::Connected(Connected { epoch: 1, reconnects: 0 }));
        for event in [
            status(5),
            status(6),
            gap(Channel::Status, GapReason::Conflated, 7, 3),
            status(10),
            gap(Channel::Status, GapReason::Lost, 11, 2),
            status(13),
        ] {
            ledger.enter(&event);
        }
        let expected = Account { delivered: 4, conflated: 3, lost: 2, ..Account::default() };
        assert_eq!(ledger.total(), expected);
        assert!(ledger.total().is_exact());
        // In another epoch numbers begin anew, and the sums go on.
        let (ts_ns, epoch, state) = (0, 2, FeedState::Restarted);
        ledger.enter(&Event::FeedStatus { ts_ns, epoch, state });
        ledger.enter(&status(1));
        assert_eq!(ledger.total(), Account { delivered: 5, ..expected });
    }

    #[test]
    fn a_broken_rule_is_counted() {
        let mut ledger = Ledger::new();
        for seq in [1, 4, 4] {
            ledger.enter(&status(seq));
        }
        let account = ledger.account(Symbol::new("BTCUSDT").unwrap(), Channel::Status);
        assert_eq!((account.missing, account.repeated), (2, 1));
        assert!(!account.is_exact());
    }
}
