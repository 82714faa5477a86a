//! The ledger of one connection: which sequence number came last on each of its topics.
//!
//! The protocol promises that every number is either delivered or counted in exactly one gap notice,
//! and that the notice precedes the delivery behind it. The ledger holds the server to that: a hole
//! that no gap announced, a number twice, a step back and a gap that does not begin where the last
//! delivery ended are four different findings. The first number seen on a topic is its baseline.
//!
//! Sixteen bytes per topic in an open-addressing table, allocated with the first message: a million
//! connections of one topic are 64 MB. It counts nothing itself; [`crate::generator::tally`] does.

/// What identifies a topic on the wire: instrument and channel code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicKey(u32);

impl TopicKey {
    /// None for ids beyond 2^27, which no gateway has.
    pub(crate) const fn new(instrument: u32, channel_code: u8) -> Option<Self> {
        if instrument >= 1 << 27 || channel_code >= 1 << 5 {
            return None;
        }
        let key = instrument << 5 | channel_code as u32;
        if key == EMPTY { None } else { Some(Self(key)) }
    }
}

const EMPTY: u32 = u32::MAX;

/// How the numbers of a message's channel run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Each number once, without holes.
    Contiguous,
    /// A further part of the number delivered last: a long snapshot comes in several messages.
    Part,
    /// Rising, holes allowed: partial depth bears its source's numbers.
    Rising,
}

/// What a delivered number was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The first on its topic, or the one expected.
    Expected,
    /// This many before it never came and were not announced.
    Missing(u64),
    /// The last one again.
    Doubled,
    /// An earlier one.
    Reordered,
}

/// What an announced gap was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It begins behind what was delivered last.
    Fits,
    /// It counts what was delivered, or leaves a hole before itself.
    Misaccounted,
}

#[derive(Clone, Copy)]
struct Entry {
    key: u32,
    last: u64,
}

/// A topic's numbers are unknown until its first message.
const UNKNOWN: u64 = u64::MAX;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Ledger {
    /// A power of two long, or empty.
    entries: Box<[Entry]>,
    used: u32,
}

impl Ledger {
    /// Topics on which something came.
    pub(crate) const fn topics(&self) -> u32 {
        self.used
    }

    /// A message with this number came.
    pub(crate) fn deliver(&mut self, topic: TopicKey, seq: u64, rule: Rule) -> Delivery {
        let last = self.last_mut(topic);
        let before = std::mem::replace(last, seq);
        if before == UNKNOWN || seq == before.wrapping_add(1) {
            return Delivery::Expected;
        }
        if seq > before {
            return match rule {
                Rule::Contiguous | Rule::Part => Delivery::Missing(seq - before - 1),
                Rule::Rising => Delivery::Expected,
            };
        }
        // A step back must not make all that follows look wrong: the highest number stays.
        *last = before;
        match rule {
            Rule::Part if seq == before => Delivery::Expected,
            _ if seq == before => Delivery::Doubled,
            _ => Delivery::Reordered,
        }
    }

    /// The server announced that these numbers do not come.
    pub(crate) fn announce(&mut self, topic: TopicKey, first_seq: u64, count: u64) -> Announced {
        let last = self.last_mut(topic);
        let end = first_seq.saturating_add(count).saturating_sub(1);
        let before = std::mem::replace(last, end);
        if before == UNKNOWN || count == 0 || first_seq == before.wrapping_add(1) {
            if count == 0 {
                *last = before;
            }
            return Announced::Fits;
        }
        *last = before.max(end);
        Announced::Misaccounted
    }

    /// Numbers before mean nothing any more on this topic: its epoch ended.
    pub(crate) fn reset(&mut self, topic: TopicKey) {
        *self.last_mut(topic) = UNKNOWN;
    }

    fn last_mut(&mut self, topic: TopicKey) -> &mut u64 {
        let at = match self.find(topic.0) {
            Ok(at) => at,
            Err(_) if self.is_full() => {
                self.grow();
                self.insert(topic.0)
            }
            Err(free) => {
                self.entries[free] = Entry { key: topic.0, last: UNKNOWN };
                self.used += 1;
                free
            }
        };
        &mut self.entries[at].last
    }

    /// Three quarters; an empty table is full too.
    fn is_full(&self) -> bool {
        usize::try_from(self.used).is_ok_and(|used| used * 4 >= self.entries.len() * 3)
    }

    fn insert(&mut self, key: u32) -> usize {
        let (Ok(at) | Err(at)) = self.find(key);
        self.entries[at] = Entry { key, last: UNKNOWN };
        self.used += 1;
        at
    }

    fn grow(&mut self) {
        let len = (self.entries.len() * 2).max(4);
        let free = Entry { key: EMPTY, last: UNKNOWN };
        let old = std::mem::replace(&mut self.entries, vec![free; len].into_boxed_slice());
        for entry in old.iter().filter(|entry| entry.key != EMPTY) {
            let (Ok(at) | Err(at)) = self.find(entry.key);
            self.entries[at] = *entry;
        }
    }

    /// Where the key is, or where it would go. The table is never full, so the search ends.
    fn find(&self, key: u32) -> Result<usize, usize> {
        if self.entries.is_empty() {
            return Err(0);
        }
        let mask = self.entries.len() - 1;
        // Fibonacci hashing: neighbouring instruments land far apart.
        let hash = u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let mut at = usize::try_from(hash).unwrap_or_default() & mask;
        loop {
            match self.entries[at].key {
                found if found == key => return Ok(at),
                EMPTY => return Err(at),
                _ => at = (at + 1) & mask,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(instrument: u32) -> TopicKey {
        TopicKey::new(instrument, 1).unwrap()
    }

    #[test]
    fn delivered_and_announced_numbers_add_up() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.deliver(key(1), 7, Rule::Contiguous), Delivery::Expected, "baseline");
        assert_eq!(ledger.deliver(key(1), 8, Rule::Contiguous), Delivery::Expected);
        assert_eq!(ledger.announce(key(1), 9, 20), Announced::Fits);
        assert_eq!(ledger.deliver(key(1), 29, Rule::Contiguous), Delivery::Expected);
        assert_eq!(ledger.announce(key(1), 30, 1), Announced::Fits);
        assert_eq!(ledger.announce(key(1), 31, 1), Announced::Fits, "two gaps in a row");
        assert_eq!(ledger.deliver(key(1), 32, Rule::Contiguous), Delivery::Expected);
        assert_eq!(ledger.topics(), 1);
    }

    #[test]
    fn each_kind_of_wrong_number_is_its_own_finding() {
        let mut ledger = Ledger::default();
        ledger.deliver(key(1), 10, Rule::Contiguous);
        assert_eq!(ledger.deliver(key(1), 14, Rule::Contiguous), Delivery::Missing(3));
        assert_eq!(ledger.deliver(key(1), 14, Rule::Contiguous), Delivery::Doubled);
        assert_eq!(ledger.deliver(key(1), 12, Rule::Contiguous), Delivery::Reordered);
        assert_eq!(ledger.deliver(key(1), 15, Rule::Contiguous), Delivery::Expected);
        assert_eq!(
            ledger.announce(key(1), 18, 2),
            Announced::Misaccounted,
            "16, 17 are in neither"
        );
        assert_eq!(ledger.announce(key(1), 19, 3), Announced::Misaccounted, "19 is counted twice");
        assert_eq!(ledger.deliver(key(1), 22, Rule::Contiguous), Delivery::Expected);
    }

    #[test]
    fn parts_share_a_number_and_partial_books_may_skip() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.deliver(key(1), 5, Rule::Contiguous), Delivery::Expected);
        assert_eq!(ledger.deliver(key(1), 5, Rule::Part), Delivery::Expected);
        assert_eq!(ledger.deliver(key(1), 6, Rule::Part), Delivery::Expected);
        assert_eq!(ledger.deliver(key(2), 5, Rule::Rising), Delivery::Expected);
        assert_eq!(ledger.deliver(key(2), 50, Rule::Rising), Delivery::Expected);
        assert_eq!(ledger.deliver(key(2), 49, Rule::Rising), Delivery::Reordered);
    }

    #[test]
    fn a_reset_or_an_empty_gap_starts_and_changes_nothing_else() {
        let mut ledger = Ledger::default();
        ledger.deliver(key(1), 100, Rule::Contiguous);
        ledger.deliver(key(2), 100, Rule::Contiguous);
        assert_eq!(ledger.announce(key(1), 1, 0), Announced::Fits);
        assert_eq!(ledger.deliver(key(1), 101, Rule::Contiguous), Delivery::Expected);
        ledger.reset(key(1));
        assert_eq!(ledger.deliver(key(1), 1, Rule::Contiguous), Delivery::Expected);
        assert_eq!(ledger.deliver(key(2), 101, Rule::Contiguous), Delivery::Expected);
    }

    #[test]
    fn a_thousand_topics_keep_their_numbers_apart() {
        let mut ledger = Ledger::default();
        for seq in 1..=5 {
            for instrument in 0..1000 {
                let seq = seq + u64::from(instrument);
                let delivery = ledger.deliver(key(instrument), seq, Rule::Contiguous);
                assert_eq!(delivery, Delivery::Expected);
            }
        }
        assert_eq!(ledger.topics(), 1000);
        assert!(ledger.entries.len() <= 2048);
    }
}
