//! Live delivery: which entries are due for a delivery class, in log order.
//!
//! Two ways lead to them. Along *links*: look at each topic, go from its last delivered entry to the
//! next, and merge the topics by position; costs as many looks as there are topics. Along the *log*:
//! look at each entry from the cursor on and ask whether it is subscribed; costs as many looks as
//! there are entries. Whichever is shorter is taken, afresh in each visit: both leave the same state,
//! the numbers delivered and a cursor before which everything is accounted for.

use std::cmp::Reverse;

use wire::CHANNEL_COUNT;

use super::rules::jumps;
use super::state::At;
use super::{Collector, Flow};
use crate::log::NOWHERE;
use crate::reach;
use crate::subscription::Mark;

/// No wildcard, in the table by channel.
const NO_WILDCARD: u8 = u8::MAX;

/// Entries looked at to learn how many of the backlog's are the connection's own.
const SAMPLE: u64 = 8;

/// Where a topic's next due entry is.
enum Next {
    At(u64),
    Nothing,
    Full,
}

impl Collector<'_> {
    /// Delivers what is due for one class.
    pub(super) fn live(&mut self, class: u8) -> Flow {
        let state = self.conn.class(class);
        let head = self.market.log.head();
        if state.waits(self.now_ns) || state.cursor == head {
            return Flow::Done;
        }
        self.limit = if state.is_throttled() { self.round(class) } else { head };
        let before = self.tally.deliveries;
        let conflates = state.conflates() || state.cursor < self.lag_to();
        let flow = if self.prefers_links(class, conflates, self.limit - state.cursor) {
            self.links(class, conflates)
        } else {
            self.scan(class)
        };
        if state.is_throttled() && state.due_ns <= self.now_ns && self.tally.deliveries > before {
            let due_ns = self.now_ns.saturating_add(u64::from(state.interval_ns));
            self.set_class(class, |class| class.due_ns = due_ns);
        }
        let after = self.conn.class(class);
        // A round without a delivery is followed by the next at once.
        self.more |= flow == Flow::Done && after.cursor < head && !after.waits(self.now_ns);
        flow
    }

    /// Where the round of a class with a rate ends: at the head as it was when it began. A round
    /// takes as many visits as it takes, without a pause; what comes meanwhile waits for the next.
    fn round(&mut self, class: u8) -> u64 {
        let state = self.conn.class(class);
        if state.cursor >= state.round_to {
            let head = self.market.log.head();
            self.set_class(class, |class| class.round_to = head);
        }
        self.conn.class(class).round_to
    }

    /// Whether it is shorter along the links of the topics than along the log, and the topics are few
    /// enough for this visit.
    fn prefers_links(&self, class: u8, conflates: bool, backlog: u64) -> bool {
        let mut topics = self.conn.subscriptions().len();
        for wildcard in self.conn.wildcards().iter().filter(|w| w.class == class) {
            // Without a hint a wildcard's topic has to be searched from its oldest entry; only the
            // newest is found at once.
            if !conflates || !jumps(wildcard.channel) {
                return false;
            }
            topics += self.market.instruments.order().len();
        }
        let left = self.limits.visit_entries.saturating_sub(self.examined);
        if topics > left / 2 || topics as u64 > 2 * backlog {
            return false;
        }
        if conflates {
            // However many entries a topic has, one of them is wanted.
            return topics as u64 <= backlog;
        }
        // A link costs two looks along the log, and a due entry as much again: where most entries are
        // the connection's own the log is shorter, however few there are.
        let foreign = SAMPLE - self.own_of_sample(class, backlog);
        topics as u64 * SAMPLE <= 2 * backlog * foreign
    }

    /// How many of a few entries, evenly spread over the backlog, may be the connection's own.
    fn own_of_sample(&self, class: u8, backlog: u64) -> u64 {
        let cursor = self.conn.class(class).cursor;
        let own = (0..SAMPLE).filter(|nth| {
            let topic = self.market.log.entry(cursor + nth * backlog / SAMPLE).topic;
            !self.market.topics.get(topic).subscribers.excludes(self.index)
        });
        own.count() as u64
    }

    fn links(&mut self, class: u8, conflates: bool) -> Flow {
        self.due.clear();
        let subscriptions = u32::try_from(self.conn.subscriptions().len()).unwrap_or(u32::MAX);
        for at in (0..subscriptions).map(At::Exact) {
            if self.find_due(at, class, conflates) == Flow::Full {
                return Flow::Full;
            }
        }
        for wildcard in 0..self.conn.wildcards().len() {
            let index = u32::try_from(wildcard).expect("one wildcard for each channel");
            if self.conn.wildcards()[wildcard].class != class {
                continue;
            }
            for nth in 0..self.market.instruments.order().len() {
                let slot = self.market.instruments.order()[nth];
                if !self.reaches(wildcard, slot) {
                    continue;
                }
                let at = At::All(index, slot);
                let exact = self.topic(at).is_none_or(|topic| self.conn.find(topic).is_some());
                if !exact && self.find_due(at, class, conflates) == Flow::Full {
                    return Flow::Full;
                }
            }
        }
        self.merge_due(class, conflates)
    }

    /// Notes where the topic's next due entry is.
    fn find_due(&mut self, at: At, class: u8, conflates: bool) -> Flow {
        if self.look() == Flow::Full {
            return Flow::Full;
        }
        if self.class_of(at) != class {
            return Flow::Done;
        }
        match self.next_due(at, conflates) {
            Next::At(position) => self.due.push(Reverse((position, at))),
            Next::Nothing => {}
            Next::Full => return Flow::Full,
        }
        Flow::Done
    }

    fn next_due(&mut self, at: At, conflates: bool) -> Next {
        let Some(topic) = self.topic(at) else { return Next::Nothing };
        let progress = self.progress(at);
        let known = self.market.topics.get(topic);
        let needs_state = progress.has(Mark::Fresh) || progress.has(Mark::NeedsBook);
        let in_transfer = progress.has(Mark::InTransfer) && !needs_state;
        if known.head_seq <= progress.seq() || in_transfer {
            return Next::Nothing;
        }
        if known.head == NOWHERE {
            // The sweep would come to it too; it may be cut off before it does.
            return match self.inspect(at) {
                Flow::Full => Next::Full,
                Flow::Done | Flow::Wait => Next::Nothing,
            };
        }
        let (tail, hint) = (known.tail, self.hint(at));
        if needs_state || conflates && jumps(known.channel) {
            let is_due = self.limit > known.head || self.first_due(at, tail) < self.limit;
            return if is_due { Next::At(known.head) } else { Next::Nothing };
        }
        let mut position = if self.market.log.holds(hint) { hint } else { tail };
        // The step from the last delivered entry to the next is part of looking at the topic.
        // Further ones are a search; if it is cut off, the hint keeps how far it came.
        let mut is_search = false;
        loop {
            let entry = self.market.log.entry(position);
            if entry.seq > progress.seq() {
                let is_due = position < self.limit;
                return if is_due { Next::At(position) } else { Next::Nothing };
            }
            let next = entry.next;
            if let At::Exact(index) = at {
                self.conn.subscription_mut(index as usize).hint = position;
            }
            if next == NOWHERE {
                return Next::Nothing;
            }
            position = next;
            if is_search && self.look() == Flow::Full {
                return Next::Full;
            }
            is_search = true;
        }
    }

    /// Position of the first entry that is not delivered, or one before it.
    fn first_due(&self, at: At, tail: u64) -> u64 {
        let (log, hint) = (&self.market.log, self.hint(at));
        if log.holds(hint) && log.entry(hint).seq == self.progress(at).seq() {
            log.entry(hint).next
        } else {
            tail
        }
    }

    /// Delivers the due entries of all topics in the order of the log.
    fn merge_due(&mut self, class: u8, conflates: bool) -> Flow {
        while let Some(Reverse((position, at))) = self.due.pop() {
            let flow = match self.topic(at) {
                Some(topic) if self.look() == Flow::Done => {
                    if conflates || self.send_plain(at, topic, position) == position {
                        self.offer(at, topic, position, conflates)
                    } else {
                        Flow::Done
                    }
                }
                Some(_) => Flow::Full,
                None => Flow::Done,
            };
            if flow == Flow::Full {
                // Everything before this position is delivered: it was the first of what is left.
                // A topic that jumps beyond its round keeps the round open.
                let position = position.min(self.limit - 1);
                self.set_class(class, |class| class.cursor = position.max(class.cursor));
                return Flow::Full;
            }
            if let Some(next) = self.following(at, position) {
                self.due.push(Reverse((next, at)));
            }
        }
        let limit = self.limit;
        self.set_class(class, |class| class.cursor = limit);
        Flow::Done
    }

    /// The topic's next entry after the one just offered, unless something else comes first.
    fn following(&self, at: At, position: u64) -> Option<u64> {
        let progress = self.progress(at);
        let waits = progress.has(Mark::Fresh)
            || progress.has(Mark::NeedsBook)
            || progress.has(Mark::InTransfer);
        // What was offered may have been skipped over to a later entry, which is the hint then.
        let hint = self.hint(at);
        let from = if hint != NOWHERE && hint > position { hint } else { position };
        let next = self.market.log.entry(from).next;
        (!waits && next < self.limit).then_some(next)
    }

    fn scan(&mut self, class: u8) -> Flow {
        let mut wildcards = [NO_WILDCARD; CHANNEL_COUNT];
        for (at, wildcard) in (0u8..).zip(self.conn.wildcards()) {
            if wildcard.class == class {
                wildcards[usize::from(wildcard.channel.code())] = at;
            }
        }
        let has_exact = !self.conn.subscriptions().is_empty();
        let has_wildcards = wildcards.iter().any(|&at| at != NO_WILDCARD);
        let is_restricted = self.conn.wildcards().iter().any(|all| all.reach != reach::ALL);
        let class_conflates = self.conn.class(class).conflates();
        let mut position = self.conn.class(class).cursor;
        let lag_to = self.lag_to();
        let mut flow = Flow::Done;
        while position < self.limit {
            if self.look() == Flow::Full {
                flow = Flow::Full;
                break;
            }
            let topic = self.market.log.entry(position).topic;
            let is_foreign =
                !has_exact || self.market.topics.get(topic).subscribers.excludes(self.index);
            let exact = if is_foreign { None } else { self.conn.find(topic) };
            let at = match exact {
                Some(at) if self.conn.subscription(at).class == class => {
                    Some(At::Exact(u32::try_from(at).expect("found in a bounded list")))
                }
                Some(_) => None,
                None if has_wildcards => {
                    let known = self.market.topics.get(topic);
                    let wildcard = wildcards[usize::from(known.channel.code())];
                    let is_its_own = wildcard != NO_WILDCARD
                        && !known.is_view()
                        && (!is_restricted || self.reaches(usize::from(wildcard), known.slot));
                    is_its_own.then(|| At::All(u32::from(wildcard), known.slot))
                }
                None => None,
            };
            if let Some(at) = at {
                let conflates = class_conflates || position < lag_to;
                if !conflates {
                    let end = self.send_plain(at, topic, position);
                    if end > position {
                        position = end;
                        continue;
                    }
                }
                if self.offer(at, topic, position, conflates) == Flow::Full {
                    flow = Flow::Full;
                    break;
                }
            }
            position += 1;
        }
        self.set_class(class, |class| class.cursor = position);
        flow
    }
}
