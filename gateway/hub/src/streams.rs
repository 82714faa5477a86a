//! Streams: what clients of the exchange's protocol ask for, by name.
//!
//! A name means a topic as soon as there is one. Until then, and for ever if there never is, it is
//! subscribed all the same and silent: the exchange acknowledges whatever is well-formed. Subscriptions
//! begin with what comes next; that protocol sends no present state.
//!
//! Names are kept as the client wrote them, because its envelopes bear them and lists give them back.
//! Two spellings of one stream are one subscription, whose events come under both names; so do those of an
//! instrument that is named beside a stream of all of them. Bare events have no name and come once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use wire::command::{Mode, SnapshotPolicy, Subscribe};
use wire::exchange::{LegacyTradeIds, Stream, View};
use wire::{Channel, Symbol};

use crate::connection::ConnId;
use crate::format::Format;
use crate::hub::Hub;
use crate::subscription::{Mark, Progress, Subscription};
use crate::topics::NO_TOPIC;

/// What stands around each event of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// Nothing.
    #[default]
    Raw,
    /// An object that names the stream.
    Combined,
}

/// Whether a stream that was asked for is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamAdded {
    /// It is.
    New,
    /// The connection has it already.
    Known,
}

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A connection has at most so many.
    #[error("a connection has at most {0} streams")]
    TooMany(usize),
    /// The connection's grant does not allow it, whether there is such an instrument or not.
    #[error("the connection's credentials do not allow it")]
    NotEntitled,
}

/// The streams of one connection.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    by_name: HashMap<Box<str>, Named>,
    /// How many were ever added: their order.
    added: u32,
    /// How many are not written as the exchange writes them.
    respelt: u32,
    envelope: Envelope,
    /// By topic, the names of those topics that have another than their own; sorted.
    spellings: Vec<(u32, Box<str>)>,
    /// Whether `spellings` is what `by_name` has.
    is_settled: bool,
}

/// A stream that a client named.
#[derive(Clone, Copy, Debug)]
struct Named {
    stream: Stream,
    order: u32,
    /// [`NO_TOPIC`]: there is none, or not yet.
    topic: u32,
    is_respelt: bool,
}

impl Named {
    /// Whether it is this channel of an instrument, event for event.
    fn shows(&self, channel: Channel) -> bool {
        matches!(self.stream, Stream::One(_, View::Channel(shown)) if shown == channel)
    }
}

impl Streams {
    /// Makes the table of spellings what it must be, before it is asked; answers the envelope.
    pub(crate) fn settle(&mut self) -> Envelope {
        if !self.is_settled {
            self.is_settled = true;
            self.spellings.clear();
            let every = self.by_name.iter().filter_map(|(name, named)| match named.stream {
                Stream::Every(channel) => Some((name, channel)),
                _ => None,
            });
            let every: Vec<(&Box<str>, Channel)> = every.collect();
            if self.respelt > 0 || !every.is_empty() {
                let named = || self.by_name.iter().filter(|(_, named)| named.topic != NO_TOPIC);
                let respelt = named().filter(|(_, named)| named.is_respelt);
                self.spellings.extend(respelt.map(|(name, named)| (named.topic, name.clone())));
                for (all, channel) in every {
                    let also = named().filter(|(_, named)| named.shows(channel));
                    self.spellings.extend(also.map(|(_, named)| (named.topic, all.clone())));
                }
                self.spellings.sort_unstable();
                self.spellings.dedup();
                let topics: Vec<u32> = self.spellings.iter().map(|(topic, _)| *topic).collect();
                let plain = named().filter(|(_, named)| {
                    !named.is_respelt && topics.binary_search(&named.topic).is_ok()
                });
                self.spellings.extend(plain.map(|(name, named)| (named.topic, name.clone())));
                self.spellings.sort_unstable();
            }
        }
        self.envelope
    }

    /// The names under which the topic's events are sent, if they are not only its own.
    pub(crate) fn spellings(&self, topic: u32) -> impl Iterator<Item = &str> {
        let from = self.spellings.partition_point(|(other, _)| *other < topic);
        self.spellings[from..]
            .iter()
            .take_while(move |(other, _)| *other == topic)
            .map(|(_, name)| &**name)
    }

    /// Whether a name, after this one has been removed, means the same topic.
    fn has_another(&self, removed: &Named) -> bool {
        let may_have = removed.is_respelt || self.respelt > 0;
        may_have && self.by_name.values().any(|named| named.topic == removed.topic)
    }

    fn has_every(&self, channel: Channel) -> bool {
        self.by_name.values().any(|named| named.stream == Stream::Every(channel))
    }

    fn find_mut(&mut self, name: &str) -> Option<&mut Named> {
        self.is_settled = false;
        self.by_name.get_mut(name)
    }

    /// The symbols of streams that have no topic.
    fn waiting(&self) -> impl Iterator<Item = Symbol> {
        self.by_name.values().filter(|named| named.topic == NO_TOPIC).filter_map(
            |named| match named.stream {
                Stream::One(symbol, _) => Some(symbol),
                _ => None,
            },
        )
    }
}

/// Which connections wait for an instrument to be defined, or for the channel that they want of it.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_symbol: HashMap<Symbol, Vec<ConnId>>,
}

impl Waiting {
    fn add(&mut self, symbol: Symbol, conn: ConnId) {
        let waiting = self.by_symbol.entry(symbol).or_default();
        if !waiting.contains(&conn) {
            waiting.push(conn);
        }
    }

    fn remove(&mut self, symbol: Symbol, conn: ConnId) {
        if let Entry::Occupied(mut waiting) = self.by_symbol.entry(symbol) {
            waiting.get_mut().retain(|other| *other != conn);
            if waiting.get().is_empty() {
                waiting.remove();
            }
        }
    }

    /// The connection is gone.
    pub(crate) fn forget(&mut self, conn: ConnId, streams: &Streams) {
        for symbol in streams.waiting() {
            self.remove(symbol, conn);
        }
    }
}

impl Hub {
    /// Subscribes a connection to a stream, by the name that its client gave it. Once more is nothing.
    ///
    /// # Errors
    /// If it has as many as it may have, or may not see this one.
    pub fn add_stream(
        &mut self,
        conn: ConnId,
        name: &str,
        stream: Stream,
        streams_max: usize,
    ) -> Result<StreamAdded, StreamError> {
        self.settle(conn);
        self.renew(conn.0);
        if self.grants.of(conn.0).is_some_and(|grant| !grant.allows_stream(&stream)) {
            self.counters.topics_refused += 1;
            return Err(StreamError::NotEntitled);
        }
        let Some(state) = self.peers.get_mut(conn.0) else { return Ok(StreamAdded::Known) };
        let schema = state.format.schema();
        let streams = state.streams_mut();
        if streams.by_name.contains_key(name) {
            return Ok(StreamAdded::Known);
        }
        if streams.by_name.len() >= streams_max {
            return Err(StreamError::TooMany(streams_max));
        }
        let is_respelt = stream != Stream::Silent && stream.name(schema).to_string() != name;
        let named = Named { stream, order: streams.added, topic: NO_TOPIC, is_respelt };
        streams.by_name.insert(name.into(), named);
        streams.is_settled = false;
        streams.added += 1;
        streams.respelt += u32::from(is_respelt);
        self.counters.subscribes += 1;
        self.begin_stream(conn, name, stream);
        Ok(StreamAdded::New)
    }

    /// Ends a subscription to a stream, by the name that it was made with. If there is none, that is
    /// well too.
    pub fn remove_stream(&mut self, conn: ConnId, name: &str) {
        self.settle(conn);
        let Some(state) = self.peers.get_mut(conn.0) else { return };
        let streams = state.streams_mut();
        let Some(named) = streams.by_name.remove(name) else { return };
        streams.respelt -= u32::from(named.is_respelt);
        streams.is_settled = false;
        self.counters.unsubscribes += 1;
        match named.stream {
            Stream::Every(channel) if !streams.has_every(channel) => {
                // That it is not subscribed is no news to anybody.
                let _ = self.unsubscribe_all(conn, channel);
            }
            Stream::One(symbol, _) if named.topic == NO_TOPIC => {
                if !streams.waiting().any(|other| other == symbol) {
                    self.waiting.remove(symbol, conn);
                }
            }
            _ if named.topic == NO_TOPIC || streams.has_another(&named) => {}
            _ => self.leave(conn, named.topic),
        }
    }

    /// Ends the streams that its grant does not allow, and answers their names in the order in which they
    /// were named.
    pub(crate) fn revoke_streams(&mut self, conn: ConnId) -> Vec<String> {
        let grant = self.grants.of(conn.0);
        let streams = self.peers.get(conn.0).and_then(|state| state.streams());
        let (Some(grant), Some(streams)) = (grant, streams) else { return Vec::new() };
        let denied =
            streams.by_name.iter().filter(|(_, named)| !grant.allows_stream(&named.stream));
        let mut ended: Vec<(u32, String)> =
            denied.map(|(name, named)| (named.order, name.to_string())).collect();
        ended.sort_unstable();
        for (_, name) in &ended {
            self.remove_stream(conn, name);
        }
        self.counters.topics_revoked += ended.len() as u64;
        ended.into_iter().map(|(_, name)| name).collect()
    }

    /// What the connection is subscribed to, as it was named, in the order in which it was.
    #[must_use]
    pub fn streams(&self, conn: ConnId) -> Vec<&str> {
        let Some(streams) = self.peers.get(conn.0).and_then(|state| state.streams()) else {
            return Vec::new();
        };
        let mut names: Vec<_> =
            streams.by_name.iter().map(|(name, named)| (named.order, &**name)).collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// Whether the exchange's trades are written with order ids.
    pub fn use_trade_ids(&mut self, trade_ids: LegacyTradeIds) {
        self.market.trade_ids = trade_ids;
    }

    /// What stands around the connection's events.
    #[must_use]
    pub fn envelope(&self, conn: ConnId) -> Envelope {
        let state = self.peers.get(conn.0);
        state.and_then(|state| state.streams()).map_or(Envelope::Raw, |streams| streams.envelope)
    }

    /// What is to stand around the connection's events from now on.
    pub fn set_envelope(&mut self, conn: ConnId, envelope: Envelope) {
        self.settle(conn);
        if let Some(state) = self.peers.get_mut(conn.0) {
            state.streams_mut().envelope = envelope;
        }
    }

    /// An instrument was defined: who waits for it has its streams from now on.
    pub(crate) fn begin_waiting(&mut self, symbol: &Symbol) {
        let Some(waiting) = self.waiting.by_symbol.remove(symbol) else { return };
        for conn in waiting {
            self.settle(conn);
            self.renew(conn.0);
            let Some(streams) = self.peers.get(conn.0).and_then(|state| state.streams()) else {
                continue;
            };
            let waits = |named: &Named| {
                named.topic == NO_TOPIC
                    && matches!(named.stream, Stream::One(other, _) if other == *symbol)
            };
            let mut found: Vec<(u32, Box<str>, Stream)> = streams
                .by_name
                .iter()
                .filter(|(_, named)| waits(named))
                .map(|(name, named)| (named.order, name.clone(), named.stream))
                .collect();
            found.sort_unstable_by_key(|(order, ..)| *order);
            for (_, name, stream) in found {
                self.begin_stream(conn, &name, stream);
            }
        }
    }

    /// Has the stream's events delivered, if there is what it names; else it waits.
    fn begin_stream(&mut self, conn: ConnId, name: &str, stream: Stream) {
        let topic = match stream {
            Stream::Silent => return,
            Stream::Every(channel) => return self.begin_every(conn, channel),
            Stream::Array(array) => Some(self.array_topic(array)),
            Stream::One(symbol, view) => {
                let topic = self.view_topic(&symbol, view);
                if topic.is_none() {
                    self.waiting.add(symbol, conn);
                }
                topic
            }
        };
        let Some(topic) = topic else { return };
        let Some(state) = self.peers.get_mut(conn.0) else { return };
        if let Some(named) = state.streams_mut().find_mut(name) {
            named.topic = topic;
        }
        self.join(conn, topic);
    }

    /// The topic of what is named, if the instrument has it.
    fn view_topic(&mut self, symbol: &Symbol, view: View) -> Option<u32> {
        let market = &mut self.market;
        let slot = market.instruments.by_symbol(symbol)?;
        market.instruments.view_topic(slot, view, &mut market.topics)
    }

    /// Subscribes to a topic, from its next entry on.
    fn join(&mut self, conn: ConnId, topic: u32) {
        let known = self.market.topics.get(topic);
        let (shows, slot, hint) = (known.shows, known.slot, known.head);
        let progress = match self.market.instruments.get(slot).is_attached() {
            true => Progress::at(self.market.newest_seq(topic)),
            false => Progress::SILENT,
        };
        let (head, slots) = (self.market.log.head(), self.peers.slots());
        let classes_max = self.limits.classes_per_connection_max;
        let Some(state) = self.peers.get_mut(conn.0) else { return };
        if state.find(topic).is_some() {
            return;
        }
        // The exchange replaces a best bid and offer that was not delivered yet by a newer one, in its
        // binary form.
        let mode = match (state.format, shows.channel()) {
            (Format::ExchangeSbe, Channel::Quote) => Mode::Conflate,
            _ => Mode::Every,
        };
        let (mode, interval_ns) = self.grants.hold_back(conn.0, mode, 0);
        // Without a grant there are two. What grants leave behind that came and went may fill the limit, and
        // is held back as far as the present one wants.
        let class = state.class_for(mode, interval_ns, head, classes_max.max(2)).unwrap_or(0);
        let progress = progress.with(Mark::Introduced);
        state.subscribe(Subscription { progress, hint, topic, class });
        if progress.has(Mark::Fresh) {
            state.sweep();
        }
        self.market.topics.get_mut(topic).subscribers.insert(conn.0, slots);
        self.interests.add(slot);
        if shows.is_array() {
            self.interests.wildcards_changed();
        }
        self.begin_timed(topic);
    }

    fn leave(&mut self, conn: ConnId, topic: u32) {
        let slots = self.peers.slots();
        let Some(state) = self.peers.get_mut(conn.0) else { return };
        if state.unsubscribe(topic).is_none() {
            return;
        }
        let known = self.market.topics.get_mut(topic);
        known.subscribers.remove(conn.0, slots);
        let (slot, shows) = (known.slot, known.shows);
        self.interests.remove(slot);
        if shows.is_array() {
            self.interests.wildcards_changed();
        }
    }

    fn begin_every(&mut self, conn: ConnId, channel: Channel) {
        let subscribe = Subscribe {
            id: None,
            topics: Vec::new(),
            mode: Mode::Every,
            max_rate: None,
            snapshot: SnapshotPolicy::Skip,
            resume: None,
        };
        // Where the memory for wildcards is used up, it stays silent; that is counted.
        let _ = self.subscribe_all(conn, channel, &subscribe);
        self.peers.urge(conn.0);
    }
}
