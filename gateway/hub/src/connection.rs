//! One connection, as the hub sees it: subscriptions, cursors, and whether it can be written to.
//!
//! It is not a session: frames, pings, replies and time-outs are the shell's. Most connections have
//! one topic and no rate, so that one subscription and one delivery class lie in the slot itself; a
//! second of either, or a rate, moves both into one heap block. What only connections have that are
//! not simply live is in `care.rs`.

use wire::Channel;
use wire::command::Mode;

use crate::care::NO_CARE;
use crate::format::Format;
use crate::log::NOWHERE;
use crate::streams::Streams;
use crate::subscription::{Class, Progress, Subscription, Wildcard};
use crate::topics::NO_TOPIC;

/// Number of a connection: a slot, reused after [`Hub::disconnect`](crate::Hub::disconnect).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u32);

/// What a connection's slot is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing.
    Free,
    /// An open connection.
    Open,
    /// One that the hub has given up: it is not visited any more.
    Closing,
}

/// No time: never.
pub(crate) const NEVER: u64 = u64::MAX;

/// See the module's header. Everything that a visit of a connection with one topic touches is one cache
/// line.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Connection {
    only: Subscription,
    /// The cursor of the one class; with [`More`] that has them.
    cursor: u64,
    more: Option<Box<More>>,
    /// How many exact subscriptions are still to be looked at one by one, round and round: new ones,
    /// and those whose entries may have left the log.
    pub(crate) sweep_left: u32,
    /// Epoch of its progress, by the hub's count.
    pub(crate) generation: u32,
    /// The feed's state that it was told, by the hub's count.
    pub(crate) status_told: u32,
    /// The book snapshot it is in the middle of, or [`NO_TRANSFER`](crate::transfers::NO_TRANSFER).
    pub(crate) transfer: u32,
    /// Its place among those that need care, or [`NO_CARE`].
    pub(crate) care: u32,
    pub(crate) phase: Phase,
    pub(crate) format: Format,
    mode: Mode,
}

#[derive(Debug, Default)]
struct More {
    /// Sorted by topic.
    subscriptions: Vec<Subscription>,
    classes: Vec<Class>,
    wildcards: Vec<Wildcard>,
    /// The subscription at which the sweep goes on.
    sweep_at: u32,
    /// What a client of the exchange's protocol asked for, by name.
    streams: Option<Box<Streams>>,
}

const _: () = assert!(size_of::<Connection>() == 64, "a visit is to touch one cache line");

impl Connection {
    pub(crate) const FREE: Self = Self {
        only: Subscription::NONE,
        cursor: 0,
        more: None,
        sweep_left: 0,
        generation: 0,
        status_told: 0,
        transfer: crate::transfers::NO_TRANSFER,
        care: NO_CARE,
        phase: Phase::Free,
        format: Format::Sbe,
        mode: Mode::Every,
    };

    /// The exact subscriptions, sorted by topic.
    pub(crate) fn subscriptions(&self) -> &[Subscription] {
        match &self.more {
            Some(more) => &more.subscriptions,
            None if self.only.topic == NO_TOPIC => &[],
            None => std::slice::from_ref(&self.only),
        }
    }

    pub(crate) fn subscriptions_mut(&mut self) -> &mut [Subscription] {
        match &mut self.more {
            Some(more) => &mut more.subscriptions,
            None if self.only.topic == NO_TOPIC => &mut [],
            None => std::slice::from_mut(&mut self.only),
        }
    }

    pub(crate) fn subscription(&self, at: usize) -> &Subscription {
        &self.subscriptions()[at]
    }

    pub(crate) fn subscription_mut(&mut self, at: usize) -> &mut Subscription {
        &mut self.subscriptions_mut()[at]
    }

    /// Where the subscription to this topic is.
    pub(crate) fn find(&self, topic: u32) -> Option<usize> {
        match &self.more {
            Some(more) => more.subscriptions.binary_search_by_key(&topic, |s| s.topic).ok(),
            None => (self.only.topic == topic && topic != NO_TOPIC).then_some(0),
        }
    }

    /// Adds a subscription, or replaces the one to the same topic.
    pub(crate) fn subscribe(&mut self, subscription: Subscription) {
        if self.more.is_none() {
            if self.only.topic == NO_TOPIC || self.only.topic == subscription.topic {
                self.only = subscription;
                return;
            }
            self.expand();
        }
        let subscriptions = &mut self.expand().subscriptions;
        match subscriptions.binary_search_by_key(&subscription.topic, |s| s.topic) {
            Ok(at) => subscriptions[at] = subscription,
            Err(at) => subscriptions.insert(at, subscription),
        }
    }

    /// Removes the subscription to this topic.
    pub(crate) fn unsubscribe(&mut self, topic: u32) -> Option<Subscription> {
        let at = self.find(topic)?;
        Some(match &mut self.more {
            Some(more) => more.subscriptions.remove(at),
            None => std::mem::replace(&mut self.only, Subscription::NONE),
        })
    }

    /// Moves what lies in the slot to the heap, where there is room for more.
    fn expand(&mut self) -> &mut More {
        let only = std::mem::replace(&mut self.only, Subscription::NONE);
        let first = self.class(0);
        self.more.get_or_insert_with(|| {
            let mut more = Box::new(More { classes: vec![first], ..More::default() });
            if only.topic != NO_TOPIC {
                more.subscriptions.push(only);
            }
            more
        })
    }

    /// What a client of the exchange's protocol asked for; `None` until it asks for something.
    pub(crate) fn streams(&self) -> Option<&Streams> {
        self.more.as_ref()?.streams.as_deref()
    }

    pub(crate) fn streams_mut(&mut self) -> &mut Streams {
        self.expand().streams.get_or_insert_default()
    }

    pub(crate) fn wildcards(&self) -> &[Wildcard] {
        self.more.as_ref().map_or(&[], |more| &more.wildcards)
    }

    pub(crate) fn wildcard_mut(&mut self, at: usize) -> &mut Wildcard {
        let more = self.more.as_mut().expect("a wildcard's index comes from this connection");
        &mut more.wildcards[at]
    }

    pub(crate) fn wildcards_mut(&mut self) -> &mut [Wildcard] {
        self.more.as_mut().map_or(&mut [], |more| &mut more.wildcards)
    }

    /// Where the wildcard of this channel is.
    pub(crate) fn find_wildcard(&self, channel: Channel) -> Option<usize> {
        self.wildcards().iter().position(|wildcard| wildcard.channel == channel)
    }

    /// Adds a wildcard, or replaces the one of the same channel.
    pub(crate) fn subscribe_all(&mut self, wildcard: Wildcard) {
        let found = self.find_wildcard(wildcard.channel);
        let wildcards = &mut self.expand().wildcards;
        match found {
            Some(at) => wildcards[at] = wildcard,
            None => wildcards.push(wildcard),
        }
    }

    /// Removes the wildcard of this channel.
    pub(crate) fn unsubscribe_all(&mut self, channel: Channel) -> Option<Wildcard> {
        let at = self.find_wildcard(channel)?;
        Some(self.more.as_mut()?.wildcards.swap_remove(at))
    }

    /// How many classes there are: at least one, which is used if any is.
    pub(crate) fn class_count(&self) -> u8 {
        let count = self.more.as_ref().map_or(1, |more| more.classes.len());
        u8::try_from(count).expect("classes_per_connection_max is below 256")
    }

    pub(crate) fn classes(&self) -> impl Iterator<Item = Class> {
        (0..self.class_count()).map(|class| self.class(class))
    }

    #[inline]
    pub(crate) fn class(&self, class: u8) -> Class {
        match &self.more {
            Some(more) => more.classes[usize::from(class)],
            None => Class { cursor: self.cursor, mode: self.mode, ..Class::NONE },
        }
    }

    /// Changes a class, but for its mode and interval.
    #[inline]
    pub(crate) fn set_class(&mut self, number: u8, class: Class) {
        match &mut self.more {
            Some(more) => more.classes[usize::from(number)] = class,
            None => {
                debug_assert!(number == 0 && !class.is_throttled(), "only a plain class is inline");
                (self.cursor, self.mode) = (class.cursor, class.mode);
            }
        }
    }

    /// Puts the cursor of a class back to a position, unless it is before it already.
    pub(crate) fn rewind(&mut self, class: u8, position: u64) {
        let state = self.class(class);
        self.set_class(class, Class { cursor: state.cursor.min(position), ..state });
    }

    /// Puts all cursors on to a position, unless they are beyond it: everything before it is accounted
    /// for.
    pub(crate) fn advance(&mut self, position: u64) {
        for class in 0..self.class_count() {
            let state = self.class(class);
            self.set_class(class, Class { cursor: state.cursor.max(position), ..state });
        }
    }

    /// The class of this mode and interval, made at the log's head if there is none. `None` if there
    /// are too many.
    pub(crate) fn class_for(
        &mut self,
        mode: Mode,
        interval_ns: u32,
        head: u64,
        classes_max: usize,
    ) -> Option<u8> {
        let is_used = |class: u8| {
            self.subscriptions().iter().any(|s| s.class == class)
                || self.wildcards().iter().any(|w| w.class == class)
        };
        let same = |class: Class| class.mode == mode && class.interval_ns == interval_ns;
        let count = self.class_count();
        if let Some(found) = (0..count).find(|&at| same(self.class(at)) && is_used(at)) {
            return Some(found);
        }
        // Its own of before, if it is there: who asks anew does not get more in a second than who does not.
        let left = (0..count).find(|&at| !is_used(at) && same(self.class(at)));
        let due_ns = left.map_or(0, |left| self.class(left).due_ns);
        let unused = left.or_else(|| (0..count).find(|&at| !is_used(at)));
        let class = Class { cursor: head, round_to: 0, due_ns, interval_ns, mode };
        if class.is_throttled() || unused.is_none() && usize::from(count) < classes_max {
            self.expand();
        }
        if let Some(unused) = unused {
            self.set_class(unused, class);
            return Some(unused);
        }
        if usize::from(count) >= classes_max {
            return None;
        }
        self.expand().classes.push(class);
        Some(count)
    }

    /// Changes modes and intervals of all classes, to conflate or wait more than they do.
    pub(crate) fn hold_back(&mut self, held_back: impl Fn(Mode, u32) -> (Mode, u32)) {
        for number in 0..self.class_count() {
            let class = self.class(number);
            let (mode, interval_ns) = held_back(class.mode, class.interval_ns);
            if (mode, interval_ns) != (class.mode, class.interval_ns) {
                let class = Class { mode, interval_ns, ..class };
                if class.is_throttled() {
                    self.expand();
                }
                self.set_class(number, class);
            }
        }
    }

    /// Has every exact subscription looked at once more, from where the sweep is.
    pub(crate) fn sweep(&mut self) {
        self.sweep_left = u32::try_from(self.subscriptions().len()).unwrap_or(u32::MAX);
    }

    /// The subscription at which the sweep goes on.
    pub(crate) fn sweep_at(&self) -> u32 {
        self.more.as_ref().map_or(0, |more| more.sweep_at)
    }

    /// Where the sweep is, and how many subscriptions are left.
    pub(crate) fn set_sweep(&mut self, at: u32, left: u32) {
        self.sweep_left = left;
        // Of one subscription it is always the first.
        if let Some(more) = self.more.as_mut() {
            more.sweep_at = at;
        }
    }

    /// The oldest cursor: everything before it is delivered or accounted for.
    pub(crate) fn cursor(&self) -> u64 {
        self.classes().map(|class| class.cursor).min().unwrap_or(0)
    }

    /// Whether it has no subscription at all.
    pub(crate) fn is_idle(&self) -> bool {
        self.subscriptions().is_empty() && self.wildcards().is_empty()
    }

    /// An epoch began since it was last visited.
    pub(crate) fn reset(&mut self, generation: u32) {
        self.generation = generation;
        for subscription in self.subscriptions_mut() {
            subscription.progress = subscription.progress.reset();
            subscription.hint = NOWHERE;
        }
        for wildcard in self.wildcards_mut() {
            wildcard.walked = 0;
            wildcard.progress.iter_mut().for_each(|progress: &mut Progress| {
                *progress = progress.reset();
            });
        }
        self.sweep();
    }

    /// Bytes on the heap, for the memory that wildcards and many topics take.
    #[cfg(test)]
    pub(crate) fn is_inline(&self) -> bool {
        self.more.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CONNECTION_BYTES_MAX;

    fn to(topic: u32) -> Subscription {
        Subscription { topic, ..Subscription::NONE }
    }

    #[test]
    fn a_connection_of_one_topic_fits_its_budget() {
        // Four sets of connections have a bit each; a list of subscribers has 4 B, half of it spare.
        assert!(size_of::<Connection>() + 1 + 8 <= CONNECTION_BYTES_MAX);
        let mut conn = Connection::FREE;
        assert_eq!(conn.class_for(Mode::Every, 0, 7, 8), Some(0));
        conn.subscribe(to(3));
        conn.subscribe(to(3));
        assert!(conn.is_inline());
        assert_eq!((conn.find(3), conn.find(NO_TOPIC)), (Some(0), None));
        assert_eq!(conn.unsubscribe(3).map(|s| s.topic), Some(3));
        assert!(conn.is_idle());
    }

    #[test]
    fn subscriptions_stay_sorted_whichever_way_they_come() {
        let mut conn = Connection::FREE;
        for topic in [5, 1, 9, 3, 5] {
            conn.subscribe(to(topic));
        }
        let topics: Vec<u32> = conn.subscriptions().iter().map(|s| s.topic).collect();
        assert_eq!(topics, [1, 3, 5, 9]);
        assert!(conn.unsubscribe(4).is_none());
        assert!(conn.unsubscribe(5).is_some());
        assert_eq!(conn.find(9), Some(2));
    }

    #[test]
    fn classes_are_shared_reused_and_limited() {
        let mut conn = Connection::FREE;
        assert_eq!(conn.class_for(Mode::Every, 0, 0, 2), Some(0));
        conn.subscribe(Subscription { class: 0, ..to(1) });
        assert_eq!(conn.class_for(Mode::Every, 0, 0, 2), Some(0));
        assert_eq!(conn.class_for(Mode::Conflate, 0, 0, 2), Some(1));
        conn.subscribe(Subscription { class: 1, ..to(2) });
        assert_eq!(conn.class_for(Mode::Every, 1000, 0, 2), None);
        conn.unsubscribe(1);
        assert_eq!(conn.class_for(Mode::Every, 1000, 44, 2), Some(0));
        assert_eq!(conn.class(0).cursor, 44);
    }
}
