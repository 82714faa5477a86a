//! Positions: how far a client has come in each topic, to be stored and resumed from.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use wire::{Channel, GapReason, Pattern, SnapshotPart, Symbol};

use crate::event::{Event, Gap};

/// The last number received of each topic, and the epoch that gives them meaning.
///
/// Serialises as `{"epoch":"…","topics":{"BTCUSDT.trade":"123"}}`, the form of the protocol's own
/// `resume` field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Position {
    epoch: u64,
    topics: HashMap<(Symbol, Channel), u64>,
}

impl Position {
    /// These numbers in this epoch. 0 stands before a topic's first.
    pub fn new(epoch: u64, topics: impl IntoIterator<Item = ((Symbol, Channel), u64)>) -> Self {
        Self { epoch, topics: topics.into_iter().collect() }
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
        if let Event::DepthSnapshot(snapshot) = event {
            // Half a book is none: if the connection breaks now, all of it is needed again.
            if matches!(snapshot.part, SnapshotPart::First | SnapshotPart::Middle) {
                return;
            }
        }
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

    /// Numbers of an earlier epoch mean nothing in this one; 0 is "no feed yet", not an epoch.
    fn enter(&mut self, epoch: u64) {
        if epoch != self.epoch && epoch != 0 {
            self.topics.clear();
            self.epoch = epoch;
        }
    }

    /// Begins these topics where another position of the same epoch has them.
    pub(crate) fn adopt(&mut self, other: &Self, patterns: &[Pattern]) {
        if self.epoch == other.epoch {
            let covered = other.topics.iter().filter(|(topic, _)| covers(patterns, topic));
            self.topics.extend(covered.map(|(topic, seq)| (*topic, *seq)));
        }
    }

    /// Forgets topics that are not received any more, or begin anew.
    pub(crate) fn forget(&mut self, patterns: &[Pattern]) {
        self.topics.retain(|topic, _| !covers(patterns, topic));
    }

    /// The numbers skipped if this event is the next, which no gap has announced.
    pub(crate) fn skipped(&self, event: &Event) -> Option<Gap> {
        let origin = event.origin()?;
        let last = self.seq(origin.symbol, origin.channel)?;
        let count = origin.seq.checked_sub(last)?.checked_sub(1).filter(|count| *count > 0)?;
        let (symbol, channel) = (origin.symbol, origin.channel);
        Some(Gap { symbol, channel, reason: GapReason::Resume, first_seq: last + 1, count })
    }

    /// The numbers of the topics that a pattern stands for.
    pub(crate) fn of(&self, pattern: &Pattern) -> Vec<(String, u64)> {
        let named = |symbol: &Symbol, channel: Channel| Pattern::One(*symbol, channel).to_string();
        match pattern {
            Pattern::One(symbol, channel) => self
                .seq(*symbol, *channel)
                .map(|seq| (named(symbol, *channel), seq))
                .into_iter()
                .collect(),
            Pattern::All(channel) => self
                .topics
                .iter()
                .filter(|((_, of), _)| of == channel)
                .map(|((symbol, _), seq)| (named(symbol, *channel), *seq))
                .collect(),
        }
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
            topics: position.topics.into_iter().map(topic).collect(),
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
        Ok(Self {
            epoch: stored.epoch.parse().map_err(|_| NotAPosition)?,
            topics: stored.topics.into_iter().map(topic).collect::<Result<_, _>>()?,
        })
    }
}
