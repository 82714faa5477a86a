//! Positions: how far a client has come in each topic, to be stored and resumed from.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use wire::{Channel, GapReason, Pattern, Symbol};

use crate::event::{Event, Gap};
use crate::subscription::patterns;

/// The last number received of each topic, and the epoch that gives them meaning.
///
/// Serialises as `{"epoch":"…","topics":{"BTCUSDT.trade":"123"}}`, the form of the protocol's own
/// `resume` field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Position {
    epoch: u64,
    topics: HashMap<(Symbol, Channel), u64>,
    /// Instruments of whose book changes were missed, or half a snapshot was received: only a whole
    /// one helps, so there is nothing to resume from.
    needs_book: HashSet<Symbol>,
}

impl Position {
    /// These numbers in this epoch. 0 stands before a topic's first.
    pub fn new(epoch: u64, topics: impl IntoIterator<Item = ((Symbol, Channel), u64)>) -> Self {
        Self { epoch, topics: topics.into_iter().collect(), needs_book: HashSet::new() }
    }

    /// The epoch of the numbers; 0: none yet.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last number received of this topic.
    #[must_use]
    pub fn seq(&self, symbol: Symbol, channel: Channel) -> Option<u64> {
        self.topics.get(&(symbol, channel)).copied()
    }

    /// How many topics something was received of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether nothing was received yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Takes note of an event, in the order of delivery.
    pub fn note(&mut self, event: &Event) {
        self.note_book(event);
        match event {
            Event::Connected(connected) => self.enter(connected.epoch),
            Event::FeedStatus { epoch, .. } | Event::Heartbeat { epoch, .. } => self.enter(*epoch),
            Event::Gap(gap) if gap.count > 0 => {
                self.topics.insert((gap.symbol, gap.channel), gap.last_seq());
            }
            Event::Gap(gap) => {
                self.topics.remove(&(gap.symbol, gap.channel));
            }
            event => {
                if let Some(origin) = event.origin() {
                    self.topics.insert((origin.symbol, origin.channel), origin.seq);
                }
            }
        }
    }

    /// Takes note of whether the changes of a book that follow this event can be used.
    fn note_book(&mut self, event: &Event) {
        match event {
            // If the connection breaks before the last part, all of it is needed again.
            Event::DepthSnapshot(snapshot) if snapshot.part.is_last() => {
                self.needs_book.remove(&snapshot.origin.symbol);
            }
            Event::DepthSnapshot(snapshot) => {
                self.needs_book.insert(snapshot.origin.symbol);
            }
            Event::Depth(depth) if depth.replaces_book => {
                self.needs_book.remove(&depth.origin.symbol);
            }
            // What is conflated comes merged; anything else is gone.
            Event::Gap(gap)
                if gap.channel == Channel::Depth && gap.reason != GapReason::Conflated =>
            {
                self.needs_book.insert(gap.symbol);
            }
            _ => {}
        }
    }

    /// Numbers of an earlier epoch mean nothing in this one; 0 is "no feed yet", not an epoch.
    fn enter(&mut self, epoch: u64) {
        if epoch != self.epoch && epoch != 0 {
            self.topics.clear();
            self.needs_book.clear();
            self.epoch = epoch;
        }
    }

    /// Begins these topics where another position of the same epoch has them.
    pub(crate) fn adopt(&mut self, other: &Self, patterns: &[Pattern]) {
        if self.epoch == other.epoch {
            let covered = other.topics.iter().filter(|(topic, _)| covers(patterns, topic));
            self.topics.extend(covered.map(|(topic, seq)| (*topic, *seq)));
            let books = other.needs_book.iter();
            let covered = books.filter(|symbol| covers(patterns, &(**symbol, Channel::Depth)));
            self.needs_book.extend(covered);
        }
    }

    /// As [`Self::adopt`], where this one may not have heard of its epoch yet. What it has of those topics is newer.
    pub(crate) fn begin_behind(&mut self, other: &Self, patterns: &[Pattern]) {
        if self.epoch == 0 {
            self.epoch = other.epoch;
        }
        let mut behind = Self { epoch: self.epoch, ..Self::default() };
        behind.adopt(other, patterns);
        for (topic, seq) in behind.topics {
            self.topics.entry(topic).or_insert(seq);
        }
        self.needs_book.extend(behind.needs_book);
    }

    /// Forgets topics that are not received any more, or begin anew.
    pub(crate) fn forget(&mut self, patterns: &[Pattern]) {
        self.topics.retain(|topic, _| !covers(patterns, topic));
        self.needs_book.retain(|symbol| !covers(patterns, &(*symbol, Channel::Depth)));
    }

    /// The numbers of these topics, by name or by a wildcard.
    pub(crate) fn covered(&self, topics: &[String]) -> Vec<((Symbol, Channel), u64)> {
        let patterns = patterns(topics);
        let covered = self.resumable().filter(|(topic, _)| covers(&patterns, topic));
        covered.collect()
    }

    /// The numbers that something can be resumed from.
    fn resumable(&self) -> impl Iterator<Item = ((Symbol, Channel), u64)> + '_ {
        let topics = self.topics.iter().map(|(topic, seq)| (*topic, *seq));
        topics.filter(|((symbol, channel), _)| {
            *channel != Channel::Depth || !self.needs_book.contains(symbol)
        })
    }

    /// The numbers skipped if this event is the next, which no gap has announced.
    pub(crate) fn skipped(&self, event: &Event) -> Option<Gap> {
        let origin = event.origin()?;
        let last = self.seq(origin.symbol, origin.channel)?;
        let count = origin.seq.checked_sub(last)?.checked_sub(1).filter(|count| *count > 0)?;
        let (symbol, channel) = (origin.symbol, origin.channel);
        Some(Gap { symbol, channel, reason: GapReason::Resume, first_seq: last + 1, count })
    }
}

fn covers(patterns: &[Pattern], topic: &(Symbol, Channel)) -> bool {
    patterns.iter().any(|pattern| match pattern {
        Pattern::One(symbol, channel) => (symbol, channel) == (&topic.0, &topic.1),
        Pattern::All(channel) => *channel == topic.1,
    })
}

/// The stored form.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    epoch: String,
    topics: std::collections::BTreeMap<String, String>,
}

/// Why a stored text is not a position.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not a position: expected an epoch and topics with numbers")]
struct NotAPosition;

impl From<Position> for Stored {
    fn from(position: Position) -> Self {
        let topic = |((symbol, channel), seq): ((Symbol, Channel), u64)| {
            (Pattern::One(symbol, channel).to_string(), seq.to_string())
        };
        Self {
            epoch: position.epoch.to_string(),
            topics: position.resumable().map(topic).collect(),
        }
    }
}

impl TryFrom<Stored> for Position {
    type Error = NotAPosition;

    fn try_from(stored: Stored) -> Result<Self, NotAPosition> {
        let topic = |(topic, seq): (String, String)| match Pattern::parse(&topic) {
            Ok(Pattern::One(symbol, channel)) => {
                Ok(((symbol, channel), seq.parse().map_err(|_| NotAPosition)?))
            }
            _ => Err(NotAPosition),
        };
        let epoch = stored.epoch.parse().map_err(|_| NotAPosition)?;
        let topics = stored.topics.into_iter().map(topic).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(epoch, topics))
    }
}

#[cfg(test)]
mod tests {
    use wire::SnapshotPart;

    use super::*;

    #[test]
    fn what_nothing_came_of_since_a_resume_stays_where_it_was() {
        let topic = |name: &str| match Pattern::parse(name) {
            Ok(Pattern::One(symbol, channel)) => (symbol, channel),
            other => panic!("{other:?}"),
        };
        let (quiet, busy) = (topic("DOGEUSDT.trade"), topic("BTCUSDT.trade"));
        let stored = Position::new(7, [(quiet, 2), (busy, 10), (topic("BTCUSDT.quote"), 4)]);
        let mut position = Position::new(7, [(busy, 12)]);
        position.begin_behind(&stored, &[Pattern::All(Channel::Trade)]);
        assert_eq!(position.seq(quiet.0, quiet.1), Some(2));
        assert_eq!(position.seq(busy.0, busy.1), Some(12), "what has come is newer");
        assert_eq!(position.len(), 2, "quotes are not resumed");
        let mut fresh = Position::default();
        fresh.begin_behind(&stored, &[Pattern::All(Channel::Trade)]);
        assert_eq!((fresh.epoch(), fresh.len()), (7, 2));
        let mut other = Position::new(8, []);
        other.begin_behind(&stored, &[Pattern::All(Channel::Trade)]);
        assert!(other.is_empty(), "numbers of another epoch mean nothing");
    }
    use crate::book::tests::{change, snapshot};
    use crate::ledger::tests::gap;

    fn after(events: &[Event]) -> Position {
        let mut position = Position::default();
        events.iter().for_each(|event| position.note(event));
        position
    }

    fn resumed_from(position: &Position) -> Option<u64> {
        position.covered(&["*.depth".to_owned()]).first().map(|(_, seq)| *seq)
    }

    #[test]
    fn a_book_with_a_hole_is_not_resumed_but_begun_anew() {
        let whole = |seq| snapshot(seq, SnapshotPart::Whole, &[(100, 1)], &[]);
        let lapped = gap(Channel::Depth, GapReason::Lapped, 6, 1);
        let holed = after(&[whole(5), lapped.clone(), change(7, &[(101, 1)])]);
        assert_eq!(resumed_from(&holed), None);
        let stored = serde_json::to_string(&holed).unwrap();
        assert!(!stored.contains("BTCUSDT"), "nor by another process: {stored}");
        assert_eq!(resumed_from(&after(&[whole(5), lapped, whole(8)])), Some(8));
        let conflated = gap(Channel::Depth, GapReason::Conflated, 6, 1);
        assert_eq!(resumed_from(&after(&[whole(5), conflated, change(7, &[])])), Some(7));
    }

    #[test]
    fn half_a_snapshot_is_none() {
        let whole = snapshot(5, SnapshotPart::Whole, &[(100, 1)], &[]);
        let first = snapshot(9, SnapshotPart::First, &[(100, 1)], &[]);
        let last = snapshot(9, SnapshotPart::Last, &[], &[(103, 1)]);
        assert_eq!(resumed_from(&after(&[whole.clone(), first.clone()])), None);
        let after_both = after(&[whole, first, last]);
        assert_eq!(resumed_from(&after_both), Some(9));
        assert!(after_both.skipped(&change(10, &[])).is_none());
    }
}
