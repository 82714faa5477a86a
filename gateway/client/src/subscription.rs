//! Subscriptions: what is asked for, what the server answered, what is to be asked again after a
//! reconnect.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Serialize;
use wire::{Channel, Mode, Pattern, SnapshotPolicy, Symbol};

use crate::error::Refusal;
use crate::position::Position;

/// Topics and how to deliver them.
#[derive(Clone, Debug)]
#[must_use]
pub struct Subscription {
    pub(crate) topics: Vec<String>,
    pub(crate) terms: Terms,
    pub(crate) resume: Option<Position>,
}

/// How topics are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Terms {
    pub(crate) mode: Mode,
    pub(crate) max_rate: Option<NonZeroU32>,
    pub(crate) snapshot: SnapshotPolicy,
}

impl Subscription {
    /// These topics (`SYMBOL.channel`, or `*.channel` for all instruments), each update of them.
    pub fn new<T: Into<String>>(topics: impl IntoIterator<Item = T>) -> Self {
        let topics = topics.into_iter().map(Into::into).collect();
        Self { topics, terms: Terms::default(), resume: None }
    }

    /// What to get of several updates that are due at once.
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.terms.mode = mode;
        self
    }

    /// At most so many updates a second of each topic; the server conflates the others.
    pub const fn max_rate(mut self, per_second: NonZeroU32) -> Self {
        self.terms.max_rate = Some(per_second);
        self
    }

    /// Whether to begin with the present state.
    pub const fn snapshot(mut self, snapshot: SnapshotPolicy) -> Self {
        self.terms.snapshot = snapshot;
        self
    }

    /// Begins behind a stored position instead: what the server can still deliver comes, the rest is
    /// in a gap. Reconnects of the same client resume by themselves.
    pub fn resume(mut self, position: Position) -> Self {
        self.resume = Some(position);
        self
    }
}

/// The server's answer, topic by topic, in the order of the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// What became of each topic.
    pub results: Vec<TopicResult>,
}

impl Subscribed {
    /// The topics refused, and why.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &Refusal)> {
        self.results.iter().filter_map(|result| {
            result.outcome.as_ref().err().map(|refusal| (result.topic.as_str(), refusal))
        })
    }

    /// The topics taken.
    pub(crate) fn accepted(&self) -> Vec<String> {
        let accepted = self.results.iter().filter(|result| result.outcome.is_ok());
        accepted.map(|result| result.topic.clone()).collect()
    }
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicResult {
    /// As asked for.
    pub topic: String,
    /// Accepted, with the last number that will not be delivered (wildcards have none); or not.
    pub outcome: Result<Option<u64>, Refusal>,
}

/// A subscription that the server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// `SYMBOL.channel` or `*.channel`.
    pub topic: String,
    /// What is delivered of several updates that are due at once.
    pub mode: Mode,
    /// At most so many updates a second.
    pub max_rate: Option<u32>,
    /// The last number delivered or announced in a gap; wildcards have none.
    pub seq: Option<u64>,
}

/// The topics that are well-formed.
pub(crate) fn patterns(topics: &[String]) -> Vec<Pattern> {
    topics.iter().filter_map(|topic| Pattern::parse(topic).ok()).collect()
}

/// What is subscribed at the moment, to be subscribed again on the next connection.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    topics: BTreeMap<String, Terms>,
}

impl Registry {
    pub(crate) fn insert(&mut self, topic: String, terms: Terms) {
        self.topics.insert(topic, terms);
    }

    pub(crate) fn remove(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// The commands that subscribe everything again, behind `position`, each within `topics_max`.
    pub(crate) fn commands(&self, position: &Position, topics_max: usize) -> Vec<Subscription> {
        self.commands_of(|_| true, position, topics_max)
    }

    /// Likewise, of some of it.
    pub(crate) fn commands_of(
        &self,
        is_wanted: impl Fn(&str) -> bool,
        position: &Position,
        topics_max: usize,
    ) -> Vec<Subscription> {
        let topics_max = topics_max.max(1);
        let mut by_terms = Vec::<(Terms, Vec<&String>)>::new();
        for (topic, terms) in self.topics.iter().filter(|(topic, _)| is_wanted(topic)) {
            match by_terms.iter_mut().find(|(known, _)| known == terms) {
                Some((_, topics)) => topics.push(topic),
                None => by_terms.push((*terms, vec![topic])),
            }
        }
        let mut commands = Vec::new();
        for (terms, topics) in by_terms {
            for chunk in topics.chunks(topics_max) {
                commands.push(Subscription {
                    topics: chunk.iter().map(|topic| (*topic).clone()).collect(),
                    terms,
                    resume: Some(position.clone()),
                });
            }
        }
        commands
    }
}

/// The command on the wire.
#[derive(Serialize)]
struct Command<'a> {
    op: &'static str,
    id: u64,
    topics: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<Resume>,
}

#[derive(Serialize)]
struct Bare {
    op: &'static str,
    id: u64,
}

#[derive(Serialize)]
struct Resume {
    epoch: String,
    topics: BTreeMap<String, String>,
}

impl Subscription {
    pub(crate) fn command(&self, id: u64) -> String {
        let Terms { mode, max_rate, snapshot } = self.terms;
        to_json(&Command {
            op: "subscribe",
            id,
            topics: &self.topics,
            mode: Some(mode.name()),
            max_rate: max_rate.map(NonZeroU32::get),
            snapshot: (snapshot == SnapshotPolicy::Skip).then_some(false),
            resume: self.resume_field(),
        })
    }

    /// The numbers of just these topics. A wildcard of very many topics may have more of them than
    /// one command takes; those beyond begin anew, and the client announces the gap itself.
    fn resume_field(&self) -> Option<Resume> {
        let position = self.resume.as_ref().filter(|position| !position.is_empty())?;
        let named = |((symbol, channel), seq): ((Symbol, Channel), u64)| {
            (Pattern::One(symbol, channel).to_string(), seq.to_string())
        };
        let mut topics: BTreeMap<_, _> =
            position.covered(&self.topics).into_iter().map(named).collect();
        while topics.len() > wire::command::TOPICS_PER_COMMAND_MAX {
            topics.pop_last();
        }
        if topics.is_empty() {
            return None;
        }
        Some(Resume { epoch: position.epoch().to_string(), topics })
    }
}

/// A command without topics.
pub(crate) fn bare(op: &'static str, id: u64) -> String {
    to_json(&Bare { op, id })
}

pub(crate) fn unsubscribe(id: u64, topics: &[String]) -> String {
    to_json(&Command {
        op: "unsubscribe",
        id,
        topics,
        mode: None,
        max_rate: None,
        snapshot: None,
        resume: None,
    })
}

pub(crate) fn to_json(command: &impl Serialize) -> String {
    serde_json::to_string(command).expect("strings and numbers always serialise")
}

#[cfg(test)]
mod tests {
    use wire::Command;
    use wire::command::Buffers;

    use super::*;

    fn parse(text: String) -> wire::command::Subscribe {
        match Command::parse(&mut text.into_bytes(), &mut Buffers::new()).unwrap() {
            Command::Subscribe(subscribe) => subscribe,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_gateways_parser_reads_what_is_written() {
        let position: Position = serde_json::from_str(
            r#"{"epoch":"18446744073709551615","topics":{"BTCUSDT.trade":"12","ETHUSDT.trade":"7","ETHUSDT.quote":"9"}}"#,
        )
        .unwrap();
        let subscription = Subscription::new(["BTCUSDT.trade", "*.quote"])
            .mode(Mode::Conflate)
            .max_rate(NonZeroU32::new(10).unwrap())
            .snapshot(SnapshotPolicy::Skip)
            .resume(position.clone());
        let read = parse(subscription.command(5));
        assert_eq!((read.mode, read.snapshot), (Mode::Conflate, SnapshotPolicy::Skip));
        assert_eq!((read.max_rate, read.topics.len()), (NonZeroU32::new(10), 2));
        let resume = read.resume.unwrap();
        let symbol = |text| Symbol::new(text).unwrap();
        assert_eq!(resume.epoch, u64::MAX);
        assert_eq!(resume.seq(&symbol("BTCUSDT"), Channel::Trade), Some(12));
        assert_eq!(resume.seq(&symbol("ETHUSDT"), Channel::Quote), Some(9), "by the wildcard");
        assert_eq!(resume.seq(&symbol("ETHUSDT"), Channel::Trade), None, "not asked for");
        let plain = parse(Subscription::new(["BTCUSDT.trade"]).command(1));
        assert_eq!((plain.resume, plain.snapshot), (None, SnapshotPolicy::Send));
        let stored = serde_json::to_string(&position).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&stored).unwrap(), position);
    }

    #[test]
    fn everything_is_subscribed_again_within_the_limits() {
        let mut registry = Registry::default();
        let slow = Terms { max_rate: NonZeroU32::new(1), ..Terms::default() };
        for i in 0..25 {
            let terms = if i % 5 == 0 { slow } else { Terms::default() };
            registry.insert(format!("S{i}.quote"), terms);
        }
        registry.remove("S1.quote");
        let commands = registry.commands(&Position::default(), 10);
        let sizes: Vec<usize> = commands.iter().map(|command| command.topics.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 24);
        assert!(sizes.iter().all(|size| *size <= 10));
        let limited = commands.iter().filter(|command| command.terms == slow);
        assert_eq!(limited.map(|command| command.topics.len()).sum::<usize>(), 5);
    }
}
