//! Keeps account of sequence numbers: what a subscriber got one by one, and what it was told it
//! did not get.
//!
//! The rule of the protocol: after a topic's base, every number is either delivered or counted in
//! exactly one gap, and a gap comes before the data that it announces.

use std::collections::BTreeMap;

use wire::sbe::Message;
use wire::{Channel, GapEntry, GapReason};

/// What is known of one topic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// The last number accounted for.
    pub last_seq: u64,
    /// Numbers delivered one by one.
    pub delivered: u64,
    /// Numbers counted in gaps.
    pub skipped: u64,
}

/// The accounts of all topics of one epoch.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    topics: BTreeMap<(u32, Channel), Account>,
    /// All gaps, in order.
    pub gaps: Vec<GapEntry>,
}

impl Ledger {
    /// Enters one event.
    ///
    /// # Panics
    /// If it breaks the rule.
    pub fn enter(&mut self, event: &Message<'_>) {
        if let Message::Gap(gap) = event {
            for entry in gap.entries.clone() {
                self.gaps.push(entry);
                if entry.reason == GapReason::Reset {
                    self.topics.remove(&(entry.instrument, entry.channel));
                    continue;
                }
                let base = Account { last_seq: entry.first_seq - 1, ..Account::default() };
                let account = self.topics.entry((entry.instrument, entry.channel)).or_insert(base);
                assert_eq!(entry.first_seq, account.last_seq + 1, "{entry:?} after {account:?}");
                account.last_seq += entry.count;
                account.skipped += entry.count;
            }
            return;
        }
        let (Some(head), Some(channel)) = (event.head(), event.channel()) else { return };
        let base = Account { last_seq: head.seq - 1, ..Account::default() };
        let account = self.topics.entry((head.instrument, channel)).or_insert(base);
        let is_part = matches!(event, Message::DepthSnapshot(part) if !part.part.is_first());
        // A book's later parts bear its number again; the partial books bear the depth group's.
        if is_part || channel.partial_levels().is_some() {
            assert!(head.seq >= account.last_seq, "{channel} {head:?} after {account:?}");
        } else {
            let expected = account.last_seq + 1;
            assert_eq!(head.seq, expected, "{channel} {head:?} after {account:?}");
            account.delivered += 1;
        }
        account.last_seq = head.seq;
    }

    /// Begins anew: another epoch.
    pub fn clear(&mut self) {
        self.topics.clear();
    }

    /// The account of one topic.
    #[must_use]
    pub fn account(&self, instrument: u32, channel: Channel) -> Account {
        self.topics.get(&(instrument, channel)).copied().unwrap_or_default()
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = (&(u32, Channel), &Account)> {
        self.topics.iter()
    }
}
