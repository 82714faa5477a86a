//! Positions of connections: where each is, so that another connection can go on there, perhaps at
//! another shard, or at this one after a restart.
//!
//! A connection of few exact topics is where its topics' numbers are. One of many is where its cursor
//! is, and that is said by the entry before it: every shard reads the same ring in the same order, so
//! the entry is in every log and everything after it is the same, but for two things that are passed
//! over: partial books, which are derived only where somebody watches, and what came by image.
//!
//! Where a ring has an order of its own, because it is fed by several logs, an entry is a place in that ring
//! only, and is named with the order's name; in another order it is not known.
//!
//! Named so, a position is exact whenever the connection had everything up to its cursor and nothing
//! beyond. A connection that goes on after an entry therefore begins with its cursor behind that, not
//! at the oldest entry that any of its topics has. Beyond the cursor are only topics of which the
//! newest was delivered while it was catching up: their values may be repeated, with their numbers.
//! Nothing is ever left out: where the entry is not in the log any more, every topic is announced as
//! reset.

use wire::command::{BadTopic, Command, Resume, Subscribe};
use wire::position::{self, POSITION_TOPICS_MAX, Position, Reached, TopicSeq};
use wire::{Channel, Pattern, Symbol};

use crate::connection::{ConnId, Connection};
use crate::hub::Hub;
use crate::log::{NOWHERE, marks};
use crate::subscription::{Mark, Progress, Wildcard};
use crate::transfers::NO_TRANSFER;

/// How many entries before a cursor are looked at for one that every shard has: a depth group may be
/// followed by three partial books of its own.
const LOOK_BACK_MAX: usize = 32;

/// How many entries are passed over that are of views, or of what the connection may not see. Beyond, a
/// position cannot be told, until the next entry that is of none.
const PASSED_OVER_MAX: u64 = 1024;

/// No epoch: whoever resumes in it is reset.
const NO_EPOCH: u64 = 0;

impl Hub {
    /// The ring that is read from now on has its topics in an order of its own, of this name; 0: in the
    /// order of the feed, which all of its rings have.
    pub fn handle_order(&mut self, name: u64) {
        self.market.order = name;
    }

    /// Appends where the connection is, the message that was gathered last included, as
    /// [`Position::parse`] reads it. `false`: it cannot be said, because present states are still to
    /// be sent.
    pub fn write_position(&self, conn: ConnId, out: &mut Vec<u8>) -> bool {
        let Some(state) = self.peers.get(conn.0) else { return false };
        if self.market.epoch == NO_EPOCH || self.intake.recovering_until_ns.is_some() {
            return false;
        }
        if state.wildcards().is_empty() && state.subscriptions().len() <= POSITION_TOPICS_MAX {
            return self.write_numbers(state, out);
        }
        let is_sending = state.transfer != NO_TRANSFER && !self.scratch.ends_transfer(conn);
        if is_sending || !self.goes_on_from_cursor(state) {
            return false;
        }
        let Some(entry) = self.entry_before(conn, state.cursor()) else { return false };
        position::write_entry(out, self.market.epoch, self.market.order, entry);
        true
    }

    /// Whether entries from the cursor on are all that a connection is still to get. It need not have
    /// looked at all its topics for that.
    fn goes_on_from_cursor(&self, state: &Connection) -> bool {
        let is_swept = state.sweep_left == 0;
        let exact = state.subscriptions().iter().all(|subscription| {
            let progress = subscription.progress;
            if is_swept { !waits(progress) } else { self.is_in_log(subscription.topic, progress) }
        });
        exact && state.wildcards().iter().all(|all| self.wildcard_goes_on(state, all))
    }

    fn wildcard_goes_on(&self, state: &Connection, all: &Wildcard) -> bool {
        let (walked, rest) = self
            .market
            .instruments
            .order()
            .split_at(self.market.instruments.order().len().min(all.walked as usize));
        let topic = |slot: u32| {
            let topic = self.market.instruments.get(slot).topic(all.channel)?;
            if !self.reaches.contains(all.reach, slot) {
                return None;
            }
            // An exact subscription to the same topic has precedence.
            state.find(topic).is_none().then_some(topic)
        };
        let may_owe =
            self.market.is_book(all.channel) || !self.market.instruments.are_all_attached();
        // What may still be owed once its instrument was walked past is a book, which was not sound then, or
        // the state of an instrument that is not in the stream.
        let sound = !may_owe
            || walked.iter().all(|&slot| topic(slot).is_none() || !waits(all.progress(slot)));
        sound
            && rest.iter().all(|&slot| {
                topic(slot).is_none_or(|topic| self.is_in_log(topic, all.progress(slot)))
            })
    }

    /// Whether the log has all that comes after this number, and nothing else is to be sent.
    fn is_in_log(&self, topic: u32, progress: Progress) -> bool {
        let known = self.market.topics.get(topic);
        let oldest = if known.tail == NOWHERE {
            self.market.newest_seq(topic) + 1
        } else {
            self.market.log.entry(known.tail).seq
        };
        !waits(progress) && oldest <= progress.seq() + 1
    }

    fn write_numbers(&self, state: &Connection, out: &mut Vec<u8>) -> bool {
        let begun = state.subscriptions().iter().filter(|subscription| {
            let progress = subscription.progress;
            // Half a book is none: the next connection begins with a whole one.
            !progress.has(Mark::Fresh) && !progress.has(Mark::InTransfer)
        });
        let mut has_any = false;
        for subscription in begun {
            let known = self.market.topics.get(subscription.topic);
            let slot = self.market.instruments.get(known.slot);
            if !slot.is_defined {
                continue;
            }
            if !has_any {
                position::begin_topics(out, self.market.epoch);
                has_any = true;
            }
            let seq = subscription.progress.seq();
            position::write_topic(out, (slot.definition.id, known.channel, seq));
        }
        has_any
    }

    /// The last entry before a position that every shard has in its place and that the connection may
    /// know of. What lies between is nothing that it is subscribed to.
    fn entry_before(&self, conn: ConnId, cursor: u64) -> Option<TopicSeq> {
        let log = &self.market.log;
        let topic = |at: u64| self.market.topics.get(log.entry(at).topic);
        let is_allowed = |at: u64| {
            let (known, grants) = (topic(at), &self.grants);
            let symbol = || self.market.instruments.get(known.slot).definition.symbol;
            grants.of(conn.0).is_none_or(|grant| grant.allows(&symbol(), known.channel))
        };
        let from = cursor.saturating_sub(PASSED_OVER_MAX);
        // Views are made where somebody watches, and may come all at once; what the native protocol cannot name
        // is nothing to name here.
        let is_named = |at: u64| !topic(at).is_view() && topic(at).channel.is_native();
        let others = (from..cursor).rev().take_while(|&at| log.holds(at));
        let others = others.filter(|&at| is_named(at) && is_allowed(at));
        let mut others = others.take(LOOK_BACK_MAX);
        others.find_map(|at| {
            let (entry, known) = (log.entry(at), topic(at));
            let is_everywhere =
                known.channel.partial_levels().is_none() && entry.marks & marks::RECOVERED == 0;
            let instrument = self.market.instruments.get(known.slot).definition.id;
            is_everywhere.then_some((instrument, known.channel, entry.seq))
        })
    }

    /// Subscribes a connection that has no subscription yet to what a stream had that ended at
    /// `position`, and goes on there; `None`: it is not known where the stream ended. What the
    /// subscription says of a resume is not regarded. Appends the answer as
    /// [`handle_command`](Self::handle_command) does.
    pub fn handle_return(
        &mut self,
        conn: ConnId,
        subscribe: Subscribe,
        position: Option<&Position>,
        now_ns: u64,
        reply: &mut Vec<u8>,
    ) {
        let (resume, cursor) = self.resume_point(conn, position, &subscribe.topics);
        let subscribe = Subscribe { resume: Some(resume), ..subscribe };
        self.handle_command(conn, &Command::Subscribe(subscribe), now_ns, reply);
        if let (Some(cursor), Some(state)) = (cursor, self.peers.get_mut(conn.0)) {
            state.advance(cursor);
        }
    }

    /// Where these topics go on after a stream that ended at `position`: their numbers, and if it is
    /// one for all, the place in the log.
    fn resume_point(
        &self,
        conn: ConnId,
        position: Option<&Position>,
        topics: &[Result<Pattern, BadTopic>],
    ) -> (Resume, Option<u64>) {
        let wanted = self.named(conn, topics);
        let Some(position) = position.filter(|position| position.epoch == self.market.epoch) else {
            return (reset(wanted), None);
        };
        let mut cursor = None;
        let numbers = match &position.reached {
            Reached::Topics(numbers) => wanted
                .into_iter()
                .filter_map(|(symbol, channel)| {
                    let slot = self.market.instruments.by_symbol(&symbol)?;
                    let id = self.market.instruments.get(slot).definition.id;
                    let mut same =
                        numbers.iter().filter(|topic| (topic.0, topic.1) == (id, channel));
                    Some((symbol, channel, same.next()?.2))
                })
                .collect(),
            Reached::Entry { order, last } => {
                let is_known = *order == self.market.order && self.may_name(conn, *last);
                let found = if is_known { self.numbers_after(*last) } else { None };
                let Some((at, numbers)) = found else {
                    return (reset(wanted), None);
                };
                cursor = Some(at + 1);
                let number = |(symbol, channel): (Symbol, Channel)| {
                    let topic = self.market.topic(&symbol, channel)?;
                    Some((symbol, channel, self.number_of(topic, &numbers)))
                };
                wanted.into_iter().filter_map(number).collect()
            }
        };
        // Sorted and without doubles, as `named` gave them.
        (Resume::new(position.epoch, numbers).unwrap_or_default(), cursor)
    }

    /// Whether the connection may know of an entry's topic. Of another it is not told whether there is one.
    fn may_name(&self, conn: ConnId, (instrument, channel, _): TopicSeq) -> bool {
        let slot = self.market.instruments.by_id(instrument);
        let symbol = slot.map(|slot| self.market.instruments.get(slot).definition.symbol);
        symbol.is_some_and(|symbol| self.grants.allows(conn.0, &symbol, channel))
    }

    /// The topics that patterns name and the connection may see, sorted, each once.
    fn named(&self, conn: ConnId, topics: &[Result<Pattern, BadTopic>]) -> Vec<(Symbol, Channel)> {
        let mut named = Vec::new();
        for pattern in topics.iter().flatten() {
            match pattern {
                Pattern::One(symbol, channel) => named.push((*symbol, *channel)),
                Pattern::All(channel) => {
                    let all = self.instruments().filter(|instrument| instrument.has(*channel));
                    named.extend(all.map(|instrument| (instrument.symbol, *channel)));
                }
            }
        }
        named.retain(|(symbol, channel)| self.grants.allows(conn.0, symbol, *channel));
        named.sort_unstable();
        named.dedup();
        named
    }

    /// Where an entry is, and the last number of each topic up to and with it, by topic; [`NOWHERE`]:
    /// the newest there is, for nothing of it came since. `None`: what came since is not all in the
    /// log.
    ///
    /// Looks at each entry since: some 5 ns each, so that a stream that is back after three seconds of
    /// 50,000 ticks costs a millisecond.
    fn numbers_after(&self, (instrument, channel, seq): TopicSeq) -> Option<(u64, Vec<u64>)> {
        let market = &self.market;
        let slot = market.instruments.get(market.instruments.by_id(instrument)?);
        let last = slot.topic(channel)?;
        let known = market.topics.get(last);
        if known.tail == NOWHERE || seq > known.head_seq || seq < market.log.entry(known.tail).seq {
            return None;
        }
        let mut numbers = vec![NOWHERE; market.topics.len()];
        let oldest = market.log.tail().max(market.whole_from);
        for at in (oldest..market.log.head()).rev() {
            let entry = market.log.entry(at);
            if entry.topic == last && entry.seq <= seq {
                // A shard that lacks the very entry cannot tell what was before it and what after.
                return (entry.seq == seq).then_some((at, numbers));
            }
            if entry.marks & marks::RECOVERED == 0 {
                numbers[entry.topic as usize] = if entry.marks & marks::HOLE == 0 {
                    entry.seq - 1
                } else {
                    self.number_before(entry.topic, at)
                };
            }
        }
        None
    }

    /// The number of a topic's entry before the one at this position.
    fn number_before(&self, topic: u32, at: u64) -> u64 {
        let log = &self.market.log;
        let mut before = log.entry(at).seq - 1;
        let mut position = self.market.topics.get(topic).tail;
        while position < at {
            before = log.entry(position).seq;
            position = log.entry(position).next;
        }
        before
    }

    fn number_of(&self, topic: u32, numbers: &[u64]) -> u64 {
        let known = self.market.topics.get(topic);
        // A partial book bears the number of the change that made it, wherever it was derived.
        let topic = match known.channel.partial_levels() {
            Some(_) => {
                self.market.instruments.get(known.slot).topic(Channel::Depth).unwrap_or(topic)
            }
            None => topic,
        };
        match numbers.get(topic as usize) {
            Some(&number) if number != NOWHERE => number,
            _ => self.market.newest_seq(topic),
        }
    }
}

/// Whether something is to be sent before entries of the log go on.
fn waits(progress: Progress) -> bool {
    [Mark::Fresh, Mark::Reset, Mark::NeedsBook, Mark::InTransfer]
        .into_iter()
        .any(|mark| progress.has(mark))
}

/// Nothing is known of where these topics ended.
fn reset(topics: Vec<(Symbol, Channel)>) -> Resume {
    let topics = topics.into_iter().map(|(symbol, channel)| (symbol, channel, 0)).collect();
    Resume::new(NO_EPOCH, topics).unwrap_or_default()
}
