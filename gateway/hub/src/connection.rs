//! One connection, as the hub sees it: subscriptions, cursors, and whether it can be written to.
//!
//! It is not a session: frames, pings, replies and time-outs are the shell's. Most connections have
//! one topic, so that one subscription and one delivery class lie in the slot itself; a second of
//! either moves both into one heap block.

use wire::command::Mode;
use wire::{Channel, Encoding};

use crate::log::NOWHERE;
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

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Connection {
    only: Subscription,
    first: Class,
    more: Option<Box<More>>,
    /// Since when it is not writable, or [`NEVER`].
    pub(crate) blocked_since_ns: u64,
    /// Position of the log's head when it was first blocked since it was last up to date, or
    /// [`NOWHERE`]: what came later it may be missing.
    pub(crate) behind_from: u64,
    /// When that was.
    pub(crate) behind_since_ns: u64,
    /// Entries before this position fall under their channel's rule: it lagged.
    pub(crate) lag_to: u64,
    /// When its timer fires, or [`NEVER`].
    pub(crate) timer_ns: u64,
    /// Numbers it did not get one by one.
    pub(crate) skipped: u64,
    /// How many exact subscriptions are still to be looked at one by one, from `sweep_at` on, round
    /// and round: new ones, and those whose entries may have left the log.
    pub(crate) sweep_left: u32,
    pub(crate) sweep_at: u32,
    /// Epoch of its progress, by the hub's count.
    pub(crate) generation: u32,
    /// The feed's state that it was told, by the hub's count.
    pub(crate) status_told: u32,
    /// The book snapshot it is in the middle of, or [`NO_TRANSFER`](crate::transfers::NO_TRANSFER).
    pub(crate) transfer: u32,
    pub(crate) phase: Phase,
    pub(crate) encoding: Encoding,
    /// It was blocked since its last visit.
    pub(crate) was_blocked: bool,
}

#[derive(Debug, Default)]
struct More {
    /// Sorted by topic.
    subscriptions: Vec<Subscription>,
    classes: Vec<Class>,
    wildcards: Vec<Wildcard>,
}

const _: () = assert!(size_of::<Connection>() <= 184);

impl Connection {
    pub(crate) const FREE: Self = Self {
        only: Subscription::NONE,
        first: Class::NONE,
        more: None,
        blocked_since_ns: NEVER,
        behind_from: NOWHERE,
        behind_since_ns: NEVER,
        lag_to: 0,
        timer_ns: NEVER,
        skipped: 0,
        sweep_left: 0,
        sweep_at: 0,
        generation: 0,
        status_told: 0,
        transfer: crate::transfers::NO_TRANSFER,
        phase: Phase::Free,
        encoding: Encoding::Sbe,
        was_blocked: false,
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
        let first = self.first;
        self.more.get_or_insert_with(|| {
            let mut more = Box::new(More { classes: vec![first], ..More::default() });
            if only.topic != NO_TOPIC {
                more.subscriptions.push(only);
            }
            more
        })
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

    pub(crate) fn classes(&self) -> &[Class] {
        match &self.more {
            Some(more) => &more.classes,
            None => std::slice::from_ref(&self.first),
        }
    }

    pub(crate) fn class(&self, class: u8) -> &Class {
        &self.classes()[usize::from(class)]
    }

    pub(crate) fn class_mut(&mut self, class: u8) -> &mut Class {
        let classes = match &mut self.more {
            Some(more) => &mut more.classes,
            None => std::slice::from_mut(&mut self.first),
        };
        &mut classes[usize::from(class)]
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
        let number = |at: usize| u8::try_from(at).expect("classes_per_connection_max is below 256");
        let same = |class: &Class| class.mode == mode && class.interval_ns == interval_ns;
        let is_used = |at: usize| {
            self.subscriptions().iter().any(|s| usize::from(s.class) == at)
                || self.wildcards().iter().any(|w| usize::from(w.class) == at)
        };
        let classes = || self.classes().iter().enumerate();
        if let Some((at, _)) = classes().find(|(at, class)| same(class) && is_used(*at)) {
            return Some(number(at));
        }
        let unused = classes().map(|(at, _)| at).find(|&at| !is_used(at)).map(number);
        let class = Class { cursor: head, round_to: 0, due_ns: 0, interval_ns, mode };
        if let Some(at) = unused {
            *self.class_mut(at) = class;
            return Some(at);
        }
        if self.classes().len() >= classes_max {
            return None;
        }
        let classes = &mut self.expand().classes;
        classes.push(class);
        Some(number(classes.len() - 1))
    }

    /// Has every exact subscription looked at once more, from where the sweep is.
    pub(crate) fn sweep(&mut self) {
        self.sweep_left = u32::try_from(self.subscriptions().len()).unwrap_or(u32::MAX);
    }

    /// The oldest cursor: everything before it is delivered or accounted for.
    pub(crate) fn cursor(&self) -> u64 {
        self.classes().iter().map(|class| class.cursor).min().unwrap_or(0)
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
        // Three sets of connections have a bit each; a list of subscribers has 4 B, half of it spare.
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
