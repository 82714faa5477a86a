//! The market as this shard knows it: log, topics, instruments with their books, epoch.
//!
//! Everything that visits read and ticks write is here; nothing here knows a connection. Intake is in
//! `intake.rs`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use wire::exchange::LegacyTradeIds;
use wire::{Channel, Instrument, Symbol, Tick};

use crate::counters::Counters;
use crate::format::Described;
use crate::instruments::Instruments;
use crate::limits::Limits;
use crate::log::{Log, NOWHERE, marks};
use crate::topics::{Newest, Topics};

/// How many past epochs are remembered, so that images of one are not taken for news. A replay
/// that loops begins one every few seconds, and no recovery area holds images as old as sixteen.
const PAST_EPOCHS: usize = 16;

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) log: Log,
    pub(crate) topics: Topics,
    pub(crate) instruments: Instruments,
    /// The feed's epoch; 0: none yet.
    pub(crate) epoch: u64,
    /// The name of the order in which topics follow one another; 0: it is the feed's own, the same for
    /// everybody.
    pub(crate) order: u64,
    /// Counts epochs.
    pub(crate) generation: u32,
    past_epochs: [u64; PAST_EPOCHS],
    /// From this position on the log has all that the feed said, in its order, but for what the marks
    /// of its entries say.
    pub(crate) whole_from: u64,
    /// The feed's clock, as of the newest record: when things happened that have no tick.
    pub(crate) clock_ns: u64,
    /// Bytes of all encoded book snapshots that exist.
    pub(crate) snapshot_bytes: Rc<Cell<usize>>,
    /// Slots whose book may keep an encoded snapshot, oldest first.
    cached: VecDeque<u32>,
    /// How the exchange's trades are written.
    pub(crate) trade_ids: LegacyTradeIds,
}

/// How many books keep an encoded snapshot for who may want the same one.
const CACHED_MAX: usize = 256;

impl Market {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            log: Log::new(limits),
            topics: Topics::default(),
            instruments: Instruments::default(),
            epoch: 0,
            order: 0,
            generation: 0,
            past_epochs: [0; PAST_EPOCHS],
            whole_from: 0,
            clock_ns: 0,
            snapshot_bytes: Rc::default(),
            cached: VecDeque::new(),
            trade_ids: LegacyTradeIds::default(),
        }
    }

    /// Starts an epoch: everything that has numbers is forgotten, slots and topics stay.
    pub(crate) fn begin_epoch(&mut self, epoch: u64) {
        let at = self.generation as usize % PAST_EPOCHS;
        self.past_epochs[at] = self.epoch;
        self.generation += 1;
        self.epoch = epoch;
        self.log.clear();
        self.topics.reset();
        self.instruments.reset();
    }

    /// Whether this epoch is over.
    pub(crate) fn is_past(&self, epoch: u64) -> bool {
        self.past_epochs.contains(&epoch)
    }

    /// The topic of this instrument's channel in this epoch, if there is one.
    pub(crate) fn topic(&self, symbol: &Symbol, channel: Channel) -> Option<u32> {
        let slot = self.instruments.get(self.instruments.by_symbol(symbol)?);
        if slot.definition.has(channel) { slot.topic(channel) } else { None }
    }

    /// What an entry of a topic is written with, besides its ticks.
    pub(crate) fn described(&self, topic: u32) -> Described<'_> {
        Described::new(topic, &self.topics, &self.instruments, self.trade_ids)
    }

    /// The definition of the instrument that a topic is of.
    pub(crate) fn definition(&self, topic: u32) -> &Instrument {
        &self.instruments.get(self.topics.get(topic).slot).definition
    }

    /// The number of the newest value of a topic, however it is known; 0: none.
    pub(crate) fn newest_seq(&self, topic: u32) -> u64 {
        let known = self.topics.get(topic);
        if known.is_view() {
            return known.head_seq;
        }
        if self.is_book(known.channel) {
            let slot = self.instruments.get(known.slot);
            let book = slot.book.as_ref().map_or(0, |book| book.head.seq);
            return book.max(known.head_seq);
        }
        self.topics.ahead(topic).map_or(known.head_seq, |tick| tick.seq)
    }

    /// The newest value of a topic that is no book, however it is known.
    pub(crate) fn newest_tick(&self, topic: u32) -> Option<Tick> {
        match self.topics.newest(topic) {
            Newest::Nothing => None,
            Newest::Entry(at) => self.log.ticks(at).last().copied(),
            Newest::Kept(tick) => Some(tick),
        }
    }

    #[expect(clippy::unused_self, reason = "reads as a question to the market")]
    pub(crate) fn is_book(&self, channel: Channel) -> bool {
        channel == Channel::Depth || channel.partial_levels().is_some()
    }

    /// A book keeps an encoded snapshot now.
    pub(crate) fn cached(&mut self, slot: u32) {
        self.cached.push_back(slot);
        if self.cached.len() > CACHED_MAX {
            self.forget_cached(1);
        }
    }

    /// Forgets the oldest encoded snapshots; those in transfer live on.
    pub(crate) fn forget_cached(&mut self, count: usize) {
        for slot in self.cached.drain(..count.min(self.cached.len())) {
            if let Some(book) = &mut self.instruments.get_mut(slot).book {
                book.forget_cached();
            }
        }
    }

    /// Whether the shard was lapped since this position, which may have left the log.
    fn is_before_lap(&self, position: u64) -> bool {
        let is_gone = position == NOWHERE && self.log.tail() <= self.whole_from;
        self.whole_from > 0 && (position < self.whole_from || is_gone)
    }

    /// Appends an entry whose number is above the topic's newest.
    pub(crate) fn append(
        &mut self,
        topic: u32,
        ticks: &[Tick],
        marks: u8,
        now_ns: u64,
        counters: &mut Counters,
    ) -> u64 {
        while !self.log.has_room(ticks.len()) {
            let Some((entry, tick)) = self.log.evict() else { break };
            self.topics.evicted(&entry, &tick);
            counters.entries_evicted += 1;
        }
        let (seq, known) = (ticks[0].seq, self.topics.get(topic));
        debug_assert!(seq > known.head_seq);
        let hole = match seq == known.head_seq + 1 {
            true => 0,
            false if self.is_before_lap(known.head) => marks::HOLE | marks::LAPPED,
            false => marks::HOLE,
        };
        let at = self.log.append(topic, known.head, ticks, marks | hole, now_ns);
        self.topics.appended(topic, seq, at);
        counters.entries += 1;
        at
    }
}
