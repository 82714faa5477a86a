//! Commands: what clients ask for, and what they are answered.
//!
//! A [`Command`] is well-formed already; here it meets what exists and what limits allow. One bad
//! topic does not void the others of its command. Nothing is sent here: a subscription is looked at
//! in the connection's next visit.

use std::fmt;
use std::num::NonZeroU32;

use wire::command::{Command, CommandId, Mode, SnapshotPolicy, Subscribe, Unsubscribe};
use wire::reply::{self, AckWriter, ErrorCode, ListWriter};
use wire::{Channel, Pattern, Symbol};

use crate::connection::{ConnId, Connection};
use crate::grants::Asked;
use crate::hub::Hub;
use crate::resume::Base;
use crate::subscription::{Mark, Subscription, WILDCARDS_MAX, Wildcard};
use crate::transfers::{NO_TRANSFER, Target};

const SECOND_NS: u32 = 1_000_000_000;

/// Why a topic is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the connection's credentials do not allow it")]
    NotEntitled,
    #[error("the connection's credentials do not allow it so often")]
    TooOften,
    #[error("instruments are not known yet: try again when a feed event says live, or later")]
    NotDefinedYet,
    #[error("there is no such instrument")]
    UnknownInstrument,
    #[error("the instrument has no such channel{0}")]
    UnknownChannel(Others),
    #[error("it is not subscribed: list says what is")]
    NotSubscribed,
    #[error("a connection has at most {0} topics: open another for more")]
    TooManyTopics(usize),
    #[error("a connection has at most {0} different modes and rates: list says which it has")]
    TooManyClasses(usize),
    #[error("the memory for wildcards is used up, name the instruments")]
    TooManyWildcards,
    #[error("resume: {resume} of {symbol} was not yet given out, the newest is {newest}")]
    ResumeAhead { symbol: Symbol, resume: u64, newest: u64 },
}

/// The channels of an instrument that a client could name instead: a set of [`Channel::bit`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Others(u64);

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = ": it has ";
        for channel in Channel::all().filter(|channel| self.0 & channel.bit() != 0) {
            write!(f, "{separator}{channel}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl Refusal {
    const fn code(self) -> ErrorCode {
        match self {
            Self::NotEntitled => ErrorCode::NotEntitled,
            Self::TooOften => ErrorCode::TooManyCommands,
            Self::NotDefinedYet | Self::TooManyWildcards => ErrorCode::Unavailable,
            Self::UnknownInstrument => ErrorCode::UnknownInstrument,
            Self::UnknownChannel(_) => ErrorCode::UnknownChannel,
            Self::NotSubscribed => ErrorCode::NotSubscribed,
            Self::TooManyTopics(_) | Self::TooManyClasses(_) => ErrorCode::TooManySubscriptions,
            Self::ResumeAhead { .. } => ErrorCode::ResumeAhead,
        }
    }
}

impl Hub {
    /// Does what a client asks for and appends the answer, one JSON text message, to `reply`.
    pub fn handle_command(
        &mut self,
        conn: ConnId,
        command: &Command,
        now_ns: u64,
        reply: &mut Vec<u8>,
    ) {
        self.settle(conn);
        if self.peers.get(conn.0).is_none() {
            return;
        }
        self.renew(conn.0);
        match command {
            Command::Subscribe(subscribe) => self.subscribe(conn, subscribe, now_ns, reply),
            Command::Unsubscribe(unsubscribe) => self.unsubscribe(conn, unsubscribe, reply),
            Command::List { id } => self.list(conn, id.as_ref(), reply),
            Command::Ping { id } => reply::pong(reply, id.as_ref()),
            Command::Auth { id, .. } => {
                let msg = "auth: this gateway asks for no credentials";
                reply::error(reply, id.as_ref(), ErrorCode::NotEntitled, msg);
            }
            Command::Publish(publish) => {
                let msg = "publish: this connection is not entitled to it";
                reply::error(reply, publish.id.as_ref(), ErrorCode::NotEntitled, msg);
            }
            _ => reply::error(reply, None, ErrorCode::UnknownOp, "op: not known to this gateway"),
        }
    }

    fn subscribe(&mut self, conn: ConnId, subscribe: &Subscribe, now_ns: u64, reply: &mut Vec<u8>) {
        let mut ack = AckWriter::new(reply, subscribe.id.as_ref());
        for topic in &subscribe.topics {
            let pattern = match topic {
                Ok(pattern) => pattern,
                Err(bad) => {
                    self.counters.topics_refused += 1;
                    ack.refused(bad.text.as_str(), ErrorCode::BadTopic, bad.error);
                    continue;
                }
            };
            let taken = match pattern {
                Pattern::One(symbol, channel) => {
                    self.subscribe_one(conn, symbol, *channel, subscribe, now_ns).map(Some)
                }
                Pattern::All(channel) if !self.may_ask_all(conn, *channel, now_ns) => {
                    Err(Refusal::TooOften)
                }
                Pattern::All(channel) => {
                    self.subscribe_all(conn, *channel, subscribe).map(|()| None)
                }
            };
            match taken {
                Ok(seq) => {
                    self.counters.subscribes += 1;
                    ack.accepted(pattern, seq);
                }
                Err(refusal) => {
                    self.counters.topics_refused += 1;
                    let refusal = match refusal {
                        // "There is none" must not be said before the feed could say what there is.
                        Refusal::UnknownInstrument if self.is_defining(now_ns) => {
                            Refusal::NotDefinedYet
                        }
                        other => other,
                    };
                    ack.refused(pattern, refusal.code(), refusal);
                }
            }
        }
        ack.finish();
        self.peers.urge(conn.0);
    }

    /// Subscribes to one topic and answers the number after which it begins, as far as is known.
    fn subscribe_one(
        &mut self,
        conn: ConnId,
        symbol: &Symbol,
        channel: Channel,
        subscribe: &Subscribe,
        now_ns: u64,
    ) -> Result<u64, Refusal> {
        // Before anything else: the answer does not depend on what there is.
        if !self.grants.allows(conn.0, symbol, channel) {
            return Err(Refusal::NotEntitled);
        }
        let slot = self.market.instruments.by_symbol(symbol).ok_or(Refusal::UnknownInstrument)?;
        let topic = self.market.topic(symbol, channel);
        let topic = topic.ok_or_else(|| Refusal::UnknownChannel(self.others(conn, slot)))?;
        if !self.grants.may_ask(conn.0, Asked::Topic(topic), now_ns) {
            return Err(Refusal::TooOften);
        }
        let base = self.base(slot, topic, subscribe)?;
        let topics_max = self.limits.topics_per_connection_max;
        let head = self.market.log.head();
        let slots = self.peers.slots();
        let pace = self.pace_of(conn, subscribe);
        let Some(state) = self.peers.get_mut(conn.0) else { return Err(Refusal::NotSubscribed) };
        let is_new = state.find(topic).is_none();
        if is_new && state.subscriptions().len() >= topics_max {
            return Err(Refusal::TooManyTopics(topics_max));
        }
        let class = class_of(state, pace, head, &self.limits)?;
        let Base { progress, hint, from, seq } = base;
        state.subscribe(Subscription { progress, hint, topic, class });
        state.rewind(class, from);
        state.sweep();
        self.end_transfer(conn, Target::Exact { topic });
        // Nor does a wildcard go on with what the exact subscription has precedence over.
        self.end_transfer(conn, Target::All { channel: channel.code(), slot });
        self.market.topics.get_mut(topic).subscribers.insert(conn.0, slots);
        if is_new {
            self.interests.add(slot);
        }
        self.counters.resumes += u64::from(progress.has(Mark::Resumed));
        Ok(seq)
    }

    /// Whether a connection that may have a wildcard may ask for it now.
    fn may_ask_all(&mut self, conn: ConnId, channel: Channel, now_ns: u64) -> bool {
        !self.grants.allows_some(conn.0, channel)
            || self.grants.may_ask(conn.0, Asked::Channel(channel), now_ns)
    }

    pub(crate) fn subscribe_all(
        &mut self,
        conn: ConnId,
        channel: Channel,
        subscribe: &Subscribe,
    ) -> Result<(), Refusal> {
        if !self.grants.allows_some(conn.0, channel) {
            return Err(Refusal::NotEntitled);
        }
        let instruments = self.market.instruments.len();
        let charge = instruments as usize;
        if self.peers.wildcard_states + charge > self.limits.wildcard_states_max {
            self.counters.wildcards_refused += 1;
            return Err(Refusal::TooManyWildcards);
        }
        let (progress, from) = self.bases(conn, channel, subscribe)?;
        let pace = self.pace_of(conn, subscribe);
        let (head, slots) = (self.market.log.head(), self.peers.slots());
        let Some(state) = self.peers.get_mut(conn.0) else { return Err(Refusal::NotSubscribed) };
        debug_assert!(state.wildcards().len() <= WILDCARDS_MAX);
        let class = class_of(state, pace, head, &self.limits)?;
        let replaced = state.find_wildcard(channel).map(|at| &state.wildcards()[at]);
        let (replaced, reach) = replaced.map_or((0, None), |all| (all.charge, Some(all.reach)));
        let reach = reach.unwrap_or_else(|| {
            let grant = self.grants.of(conn.0);
            self.reaches.join((conn.0, slots), channel, grant, &self.market.instruments)
        });
        let charged = instruments;
        state.subscribe_all(Wildcard {
            progress,
            walked: 0,
            channel,
            class,
            charge: charged,
            reach,
        });
        state.rewind(class, from);
        self.peers.wildcard_states += charge;
        self.peers.wildcard_states -= replaced as usize;
        self.end_transfers_of(conn, channel);
        self.interests.wildcards_changed();
        Ok(())
    }

    fn unsubscribe(&mut self, conn: ConnId, unsubscribe: &Unsubscribe, reply: &mut Vec<u8>) {
        let mut ack = AckWriter::new(reply, unsubscribe.id.as_ref());
        for topic in &unsubscribe.topics {
            let pattern = match topic {
                Ok(pattern) => pattern,
                Err(bad) => {
                    ack.refused(bad.text.as_str(), ErrorCode::BadTopic, bad.error);
                    continue;
                }
            };
            let gone = match pattern {
                Pattern::One(symbol, channel) => {
                    self.unsubscribe_one(conn, symbol, *channel).map(Some)
                }
                Pattern::All(channel) => self.unsubscribe_all(conn, *channel).map(|()| None),
            };
            match gone {
                Ok(seq) => {
                    self.counters.unsubscribes += 1;
                    ack.accepted(pattern, seq);
                }
                Err(refusal) => ack.refused(pattern, refusal.code(), refusal),
            }
        }
        ack.finish();
        self.peers.urge(conn.0);
    }

    /// Ends one subscription and answers the last number delivered.
    fn unsubscribe_one(
        &mut self,
        conn: ConnId,
        symbol: &Symbol,
        channel: Channel,
    ) -> Result<u64, Refusal> {
        if !self.grants.allows(conn.0, symbol, channel) {
            return Err(Refusal::NotEntitled);
        }
        self.end_one(conn, symbol, channel)
    }

    /// The same, whether it is allowed or not.
    pub(crate) fn end_one(
        &mut self,
        conn: ConnId,
        symbol: &Symbol,
        channel: Channel,
    ) -> Result<u64, Refusal> {
        let slot = self.market.instruments.ever(symbol).ok_or(Refusal::UnknownInstrument)?;
        let topic = self.market.instruments.get(slot).topic(channel);
        let topic = topic.ok_or_else(|| Refusal::UnknownChannel(self.others(conn, slot)))?;
        let slots = self.peers.slots();
        self.end_transfer(conn, Target::Exact { topic });
        let Some(state) = self.peers.get_mut(conn.0) else { return Err(Refusal::NotSubscribed) };
        let gone = state.unsubscribe(topic).ok_or(Refusal::NotSubscribed)?;
        self.market.topics.get_mut(topic).subscribers.remove(conn.0, slots);
        self.interests.remove(slot);
        // A wildcard that this topic had precedence over goes on where it ended.
        if let Some(at) = state.find_wildcard(channel) {
            let wildcard = state.wildcard_mut(at);
            if !gone.progress.has(Mark::Fresh) {
                wildcard.set(slot, gone.progress);
            }
            wildcard.walked = 0;
            let class = wildcard.class;
            state.rewind(class, self.market.topics.get(topic).tail);
        }
        Ok(gone.progress.seq())
    }

    pub(crate) fn unsubscribe_all(
        &mut self,
        conn: ConnId,
        channel: Channel,
    ) -> Result<(), Refusal> {
        let slots = self.peers.slots();
        self.end_transfers_of(conn, channel);
        let Some(state) = self.peers.get_mut(conn.0) else { return Err(Refusal::NotSubscribed) };
        let gone = state.unsubscribe_all(channel).ok_or(Refusal::NotSubscribed)?;
        self.peers.wildcard_states -= gone.charge as usize;
        self.reaches.leave((conn.0, slots), channel, gone.reach);
        self.interests.wildcards_changed();
        Ok(())
    }

    /// The topic is subscribed anew or no more: a snapshot in transfer for it is not wanted.
    pub(crate) fn end_transfer(&mut self, conn: ConnId, target: Target) {
        let Some((state, transfers, _)) = self.peers.visited(conn.0) else { return };
        if transfers.get_mut(state.transfer).is_some_and(|transfer| transfer.target == target) {
            self.revoke_transfer(conn.0);
        }
    }

    fn end_transfers_of(&mut self, conn: ConnId, channel: Channel) {
        let Some((state, transfers, _)) = self.peers.visited(conn.0) else { return };
        let concerns = |target: Target| matches!(target, Target::All { channel: code, .. } if code == channel.code());
        if transfers.get_mut(state.transfer).is_some_and(|transfer| concerns(transfer.target)) {
            transfers.remove(std::mem::replace(&mut state.transfer, NO_TRANSFER));
        }
    }

    /// What an instrument has that the connection may see.
    fn others(&self, conn: ConnId, slot: u32) -> Others {
        let definition = &self.market.instruments.get(slot).definition;
        let has = Channel::all().filter(|channel| channel.is_native() && definition.has(*channel));
        let may = has.filter(|channel| self.grants.allows(conn.0, &definition.symbol, *channel));
        Others(may.fold(0, |set, channel| set | channel.bit()))
    }

    /// In which mode, and with what interval, a subscription is served.
    fn pace_of(&self, conn: ConnId, subscribe: &Subscribe) -> (Mode, u32) {
        let rate_max = self.limits.rate_max;
        let interval_ns = subscribe.max_rate.map_or(0, |rate| SECOND_NS / rate.get().min(rate_max));
        self.grants.hold_back(conn.0, subscribe.mode, interval_ns)
    }

    fn list(&self, conn: ConnId, id: Option<&CommandId>, reply: &mut Vec<u8>) {
        let mut list = ListWriter::new(reply, id);
        let Some(state) = self.peers.get(conn.0) else { return list.finish() };
        for subscription in state.subscriptions() {
            let known = self.market.topics.get(subscription.topic);
            let symbol = self.market.instruments.get(known.slot).definition.symbol;
            let pattern = Pattern::One(symbol, known.channel);
            let class = state.class(subscription.class);
            let seq = subscription.progress.seq();
            list.topic(pattern, class.mode, rate(class.interval_ns), (seq > 0).then_some(seq));
        }
        for wildcard in state.wildcards() {
            let class = state.class(wildcard.class);
            let pattern = Pattern::All(wildcard.channel);
            list.topic(pattern, class.mode, rate(class.interval_ns), None);
        }
        list.finish();
    }
}

fn rate(interval_ns: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(SECOND_NS.checked_div(interval_ns)?)
}

fn class_of(
    state: &mut Connection,
    (mode, interval_ns): (Mode, u32),
    head: u64,
    limits: &crate::limits::Limits,
) -> Result<u8, Refusal> {
    let classes_max = limits.classes_per_connection_max;
    state
        .class_for(mode, interval_ns, head, classes_max)
        .ok_or(Refusal::TooManyClasses(classes_max))
}

/// Whether a subscription that is not resumed begins with the present state. Depth always does:
/// changes of an unknown book say nothing.
pub(crate) fn begins_with_state(policy: SnapshotPolicy, channel: Channel) -> bool {
    policy == SnapshotPolicy::Send || channel == Channel::Depth
}
