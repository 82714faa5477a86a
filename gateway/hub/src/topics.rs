//! Topics of a shard: one for each channel that an instrument has, and one for each view of it that
//! somebody has asked for. A view is made here from a channel; its topic has numbers of its own.
//!
//! A topic knows where its entries begin and end in the log, who is subscribed, and keeps its newest
//! tick once that has left the log: the last value costs one copy per topic that went quiet, not one
//! per tick. Topics keep their index for the life of the shard, also across epochs.

use wire::exchange::{Array, Stream, View};
use wire::{Channel, Symbol, Tick};

use crate::log::{Entry, NOWHERE};
use crate::subscribers::Subscribers;

/// No topic.
pub(crate) const NO_TOPIC: u32 = u32::MAX;

/// One channel of one instrument, or one view.
#[derive(Debug)]
pub(crate) struct Topic {
    /// Number of the newest entry; 0: none in this epoch.
    pub(crate) head_seq: u64,
    /// Position of the newest entry, or `NOWHERE` if it is no longer in the log.
    pub(crate) head: u64,
    /// Position of the oldest entry in the log, or `NOWHERE`.
    pub(crate) tail: u64,
    /// The instrument's slot.
    pub(crate) slot: u32,
    /// Where its last value is kept, or [`NO_TOPIC`] for channels whose last value is the book.
    value: u32,
    /// The channel, or the one that a view is made from: its rules apply.
    pub(crate) channel: Channel,
    pub(crate) shows: Shows,
    pub(crate) subscribers: Subscribers,
}

impl Topic {
    /// Whether it is made here from another topic's entries, and numbered here.
    pub(crate) const fn is_view(&self) -> bool {
        !matches!(self.shows, Shows::View(View::Channel(_)))
    }
}

/// What a topic shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// One instrument's.
    View(View),
    /// All instruments together.
    Array(Array),
}

impl Shows {
    /// A channel as feeds have it.
    pub(crate) const fn channel_of(channel: Channel) -> Self {
        Self::View(View::Channel(channel))
    }

    /// The channel whose rules apply.
    pub(crate) const fn channel(self) -> Channel {
        match self {
            Self::View(View::Partial(levels, _)) => levels.channel(),
            Self::View(view) => match view {
                View::Channel(channel) => channel,
                other => other.source(),
            },
            Self::Array(array) => array.view().source(),
        }
    }

    /// The channel whose entries it is made of.
    pub(crate) const fn source(self) -> Channel {
        match self {
            Self::View(view) => view.source(),
            Self::Array(array) => array.view().source(),
        }
    }

    pub(crate) const fn is_array(self) -> bool {
        matches!(self, Self::Array(_))
    }

    /// The stream that shows it of this instrument.
    pub(crate) const fn stream(self, symbol: Symbol) -> Stream {
        match self {
            Self::View(view) => Stream::One(symbol, view),
            Self::Array(array) => Stream::Array(array),
        }
    }
}

/// The newest value of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newest {
    /// There is none in this epoch.
    Nothing,
    /// An entry of the log.
    Entry(u64),
    /// A kept tick: its entry left the log, or it came in an image and nothing newer did.
    Kept(Tick),
}

/// All topics of a shard.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    all: Vec<Topic>,
    /// Ticks with number 0 mean that there is none.
    values: Vec<Tick>,
}

const NO_VALUE: Tick = Tick::new(wire::Kind::Epoch, 0, 0);

impl Topics {
    pub(crate) fn add(&mut self, slot: u32, shows: Shows) -> u32 {
        let channel = shows.channel();
        let index = u32::try_from(self.all.len()).expect("instruments_max bounds topics");
        let is_book = channel == Channel::Depth || channel.partial_levels().is_some();
        // An array is of many ticks: none of them is its value.
        let value = if is_book || shows.is_array() {
            NO_TOPIC
        } else {
            self.values.push(NO_VALUE);
            u32::try_from(self.values.len() - 1).expect("not more than topics")
        };
        self.all.push(Topic {
            head_seq: 0,
            head: NOWHERE,
            tail: NOWHERE,
            slot,
            value,
            channel,
            shows,
            subscribers: Subscribers::default(),
        });
        index
    }

    pub(crate) fn get(&self, topic: u32) -> &Topic {
        &self.all[topic as usize]
    }

    pub(crate) fn get_mut(&mut self, topic: u32) -> &mut Topic {
        &mut self.all[topic as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// An entry of this number was appended at this position.
    pub(crate) fn appended(&mut self, topic: u32, seq: u64, at: u64) {
        let topic = self.get_mut(topic);
        topic.head_seq = seq;
        topic.head = at;
        if topic.tail == NOWHERE {
            topic.tail = at;
        }
    }

    /// The topic's oldest entry left the log.
    pub(crate) fn evicted(&mut self, entry: &Entry, tick: &Tick) {
        let topic = &mut self.all[entry.topic as usize];
        topic.tail = entry.next;
        if entry.next == NOWHERE {
            topic.head = NOWHERE;
            if let Some(value) = self.values.get_mut(topic.value as usize)
                && value.seq < tick.seq
            {
                *value = *tick;
            }
        }
    }

    /// Keeps a tick that came in an image, unless one as new is known.
    pub(crate) fn keep(&mut self, topic: u32, tick: &Tick) {
        let topic = &self.all[topic as usize];
        if let Some(value) = self.values.get_mut(topic.value as usize)
            && tick.seq > topic.head_seq
            && tick.seq > value.seq
        {
            *value = *tick;
        }
    }

    /// The kept tick if it is newer than every entry there was: an image was ahead of the ring.
    pub(crate) fn ahead(&self, topic: u32) -> Option<Tick> {
        let topic = self.get(topic);
        self.values.get(topic.value as usize).filter(|tick| tick.seq > topic.head_seq).copied()
    }

    /// The newest value of a topic that is not a book.
    pub(crate) fn newest(&self, topic: u32) -> Newest {
        let topic = self.get(topic);
        let kept = self.values.get(topic.value as usize).filter(|tick| tick.seq > 0);
        match kept {
            Some(tick) if tick.seq > topic.head_seq => Newest::Kept(*tick),
            _ if topic.head != NOWHERE => Newest::Entry(topic.head),
            Some(tick) if tick.seq == topic.head_seq => Newest::Kept(*tick),
            _ => Newest::Nothing,
        }
    }

    /// An epoch began: numbers start anew. Subscribers stay.
    pub(crate) fn reset(&mut self) {
        for topic in &mut self.all {
            topic.head_seq = 0;
            topic.head = NOWHERE;
            topic.tail = NOWHERE;
        }
        self.values.fill(NO_VALUE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::log::Log;

    #[test]
    fn the_last_value_outlives_its_entry() {
        let limits = Limits { log_entries: 2, log_ticks: 16, ..Limits::default() };
        let mut log = Log::new(&limits);
        let mut topics = Topics::default();
        let quiet = topics.add(0, Shows::channel_of(Channel::Quote));
        let busy = topics.add(0, Shows::channel_of(Channel::Trade));
        let tick = |seq| Tick { seq, ..Tick::new(wire::Kind::Data(Channel::Quote), 0, 0) };
        let mut push = |topics: &mut Topics, topic, seq| {
            while !log.has_room(1) {
                let (entry, tick) = log.evict().unwrap();
                topics.evicted(&entry, &tick);
            }
            let at = log.append(topic, topics.get(topic).head, &[tick(seq)], 0, 0);
            topics.appended(topic, seq, at);
            at
        };
        assert_eq!(topics.newest(quiet), Newest::Nothing);
        let at = push(&mut topics, quiet, 1);
        assert_eq!(topics.newest(quiet), Newest::Entry(at));
        for seq in 1..=3 {
            push(&mut topics, busy, seq);
        }
        assert_eq!(topics.newest(quiet), Newest::Kept(tick(1)));
        assert_eq!((topics.get(quiet).head, topics.get(quiet).tail), (NOWHERE, NOWHERE));

        // An image knows a newer one: that is the newest, until the ring catches up.
        topics.keep(quiet, &tick(5));
        assert_eq!(topics.ahead(quiet), Some(tick(5)));
        let at = push(&mut topics, quiet, 6);
        assert_eq!((topics.ahead(quiet), topics.newest(quiet)), (None, Newest::Entry(at)));
    }
}
