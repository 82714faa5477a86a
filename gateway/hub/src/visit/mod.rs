//! Visits: a connection's turn, in which it gets everything that is new for it, as of now, in one
//! message.
//!
//! The shell asks [`Hub::next_visit`] whose turn it is, has the message gathered by
//! [`Hub::collect`], tries to send it, and says with [`Hub::commit`] or [`Hub::abandon`] what became
//! of it. It may do so for one connection after another, or gather for a group of them and then tell
//! what became of each. A visit looks at no more than `visit_entries` places and gathers no more than
//! `visit_bytes` (a longer single event goes alone); what is left keeps the connection dirty. Catching
//! up is therefore linear in the backlog, and nobody else waits for it.
//!
//! In a visit, in this order: what became of the feed; a part of a book snapshot in transfer; the
//! *sweep* over exact topics that are new or may have fallen off the log; the *walk* over instruments
//! of wildcards, for the same; then, per delivery class, live entries in log order.
//!
//! | file | what |
//! |---|---|
//! | `message.rs` | the message, its budget, gap entries |
//! | `framing.rs` | frames and envelopes of the exchange's protocol |
//! | `state.rs` | changes and how they are taken back |
//! | `sweep.rs` | sweep and walk: introductions, what fell off the log |
//! | `snapshot.rs` | present states: newest values and books |
//! | `live.rs` | which entries are due, along links or along the log |
//! | `plain.rs` | what becomes of a due entry nearly always |
//! | `rules.rs` | what becomes of a due entry else: the channel rules |
//! | `merge.rs` | depth groups merged into one change set |

mod framing;
mod live;
mod merge;
mod message;
mod plain;
mod rules;
mod snapshot;
mod state;
mod sweep;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use wire::{CloseCode, GapEntry, GapReason, Symbol};

use crate::care::Cares;
use crate::connection::{ConnId, Connection, NEVER};
use crate::counters::Counters;
use crate::format::Format;
use crate::hub::Hub;
use crate::instruments::Instruments;
use crate::limits::Limits;
use crate::log::NOWHERE;
use crate::market::Market;
use crate::reach::Reaches;
use crate::streams::Envelope;
use crate::subscription::{Class, Mark, Progress};
use crate::transfers::{NO_TRANSFER, Target, Transfers};
pub(crate) use merge::Merge;
use message::{DEFINITION_BYTES, Message};
use state::{At, Before, Tally};

/// What [`Hub::collect`] gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// Messages of topics in it.
    pub entries: u32,
    /// Bytes appended: the payload of one WebSocket message. 0: there is nothing to send, and
    /// [`Hub::commit`] is called all the same.
    pub bytes: usize,
    /// Places looked at.
    pub examined: u32,
    /// When the oldest live entry in it was taken from the ring; `None`: there is none.
    pub taken_ns: Option<u64>,
    /// Whether there is more for this connection now.
    pub more: bool,
}

/// Memory that visits reuse, and the visits whose outcome is awaited.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// What was there before, visit by visit; empty when no outcome is awaited.
    notes: Vec<Before>,
    gaps: Vec<GapEntry>,
    /// Due entries by position: the k-way merge.
    due: BinaryHeap<Reverse<(u64, At)>>,
    merge: Merge,
    /// An event in the exchange's format that is written for one client, and what stands before one in an
    /// envelope.
    payload: Vec<u8>,
    prefix: Vec<u8>,
    /// In no order.
    awaited: Vec<Awaited>,
}

/// A visit whose outcome is awaited.
#[derive(Debug)]
struct Awaited {
    conn: ConnId,
    visit: Visit,
    tally: Tally,
    transfer_done: bool,
    now_ns: u64,
    /// Its part of the notes.
    notes: Range<usize>,
}

impl Scratch {
    #[inline]
    fn awaits(&self, conn: ConnId) -> bool {
        self.find(conn).is_some()
    }

    /// Whether a message whose outcome is awaited has the last part of the connection's transfer.
    pub(crate) fn ends_transfer(&self, conn: ConnId) -> bool {
        self.awaited.iter().any(|awaited| awaited.conn == conn && awaited.transfer_done)
    }

    #[inline]
    fn find(&self, conn: ConnId) -> Option<usize> {
        self.awaited.iter().position(|awaited| awaited.conn == conn)
    }

    /// Forgets a visit, and the notes when nobody may need them any more.
    #[inline]
    fn forget(&mut self, at: usize) {
        self.awaited.swap_remove(at);
        if self.awaited.is_empty() {
            self.notes.clear();
        }
    }
}

/// Whether a step could be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// It was, or there was nothing to do.
    Done,
    /// It has to wait for something else of this connection: a transfer, or memory for a snapshot.
    Wait,
    /// The visit is over: the message is full, or enough was looked at.
    Full,
}

impl Hub {
    /// Whose turn it is, if anybody's: round robin over connections for which there may be something
    /// new, which can be written to, and whose rates and pace allow it. Nobody's, if it is the turn of
    /// one whose last visit's outcome is awaited.
    #[inline]
    pub fn next_visit(&mut self, now_ns: u64) -> Option<ConnId> {
        let ticks = self.market.log.ticks_written();
        self.counters.waits_cut += self.peers.pace.release(ticks, now_ns);
        self.peers.next_turn().filter(|conn| !self.scratch.awaits(*conn))
    }

    /// Appends to `out` the payload of one message with what is new for the connection. Nothing
    /// counts as delivered before [`Hub::commit`].
    pub fn collect(&mut self, conn: ConnId, now_ns: u64, out: &mut Vec<u8>) -> Visit {
        debug_assert!(!self.scratch.awaits(conn), "commit or abandon its last visit first");
        self.settle(conn);
        self.renew(conn.0);
        let (status, status_number) = (self.peers.status, self.peers.status_number);
        let Some((connection, transfers, cares)) = self.peers.visited(conn.0) else {
            self.peers.ready.remove(conn.0);
            return Visit::default();
        };
        let Scratch { notes, gaps, due, merge, payload, prefix, awaited } = &mut self.scratch;
        let envelope = match connection.format {
            Format::ExchangeMillis | Format::ExchangeMicros => connection.streams_mut().settle(),
            Format::Sbe | Format::Json | Format::ExchangeSbe => Envelope::Raw,
        };
        let notes_from = notes.len();
        let mut collector = Collector {
            message: Message::new(out, gaps, connection.format, self.limits.visit_bytes),
            envelope,
            market: &mut self.market,
            reaches: &self.reaches,
            conn: connection,
            index: conn.0,
            transfers,
            cares,
            counters: &mut self.counters,
            limits: &self.limits,
            notes,
            notes_from,
            due,
            merge,
            payload,
            prefix,
            tally: Tally::default(),
            now_ns,
            limit: 0,
            defined: u32::MAX,
            examined: 0,
            more: false,
            stop: None,
            wants_memory: false,
            transfer_done: false,
            lost: None,
        };
        collector.tell_status(status, status_number);
        collector.run();
        let (wants_memory, lost) = (collector.wants_memory, collector.lost);
        let (visit, tally, transfer_done) = collector.finish();
        let notes = notes_from..notes.len();
        awaited.push(Awaited { conn, visit, tally, transfer_done, now_ns, notes });
        if !visit.more {
            self.peers.dirty.remove(conn.0);
        }
        if wants_memory {
            self.revoke_transfers();
        }
        if let Some(code) = lost {
            self.give_up(conn.0, code);
        }
        visit
    }

    /// The socket took the message of the connection's last [`Hub::collect`], or enough of it that the
    /// shell will see to the rest; or there was none.
    pub fn commit(&mut self, conn: ConnId) {
        let Some(at) = self.scratch.find(conn) else { return };
        let Awaited { visit, tally, transfer_done, now_ns, .. } = &self.scratch.awaited[at];
        let (visit, transfer_done, now_ns) = (*visit, *transfer_done, *now_ns);
        let skipped = tally.skipped();
        tally.count(&mut self.counters);
        self.counters.bytes += visit.bytes as u64;
        self.scratch.forget(at);
        let Some((connection, transfers, cares)) = self.peers.parts(conn.0) else { return };
        if skipped > 0 {
            cares.begin(connection).skipped += skipped;
        }
        if !visit.more
            && let Some(care) = cares.get_mut(connection)
        {
            care.behind_from = NOWHERE;
            care.behind_since_ns = NEVER;
            cares.end_if_over(connection);
        }
        if transfer_done {
            transfers.remove(std::mem::replace(&mut connection.transfer, NO_TRANSFER));
        }
        match visit {
            Visit { more: true, .. } => {}
            // Definitions and the like alone do not hold up the first tick.
            Visit { entries: 0, .. } => self.peers.pace.resume(conn.0),
            _ => {
                let ticks = self.market.log.ticks_written();
                self.peers.pace.visited(conn.0, ticks, now_ns);
            }
        }
        self.hold(conn.0, now_ns);
    }

    /// The socket took nothing of the message of the connection's last [`Hub::collect`]: nothing was
    /// delivered. The shell calls [`Hub::handle_blocked`] too.
    pub fn abandon(&mut self, conn: ConnId) {
        let Some(at) = self.scratch.find(conn) else { return };
        self.counters.visits_abandoned += 1;
        if let Some((connection, transfers, cares)) = self.peers.visited(conn.0) {
            let notes = &self.scratch.notes[self.scratch.awaited[at].notes.clone()];
            state::restore(notes, connection, transfers, cares);
            cares.begin(connection).was_blocked = true;
            self.peers.dirty.insert(conn.0);
        }
        self.scratch.forget(at);
    }

    /// Brings the connection to the present epoch. Being bookkeeping, this is not taken back when a
    /// visit is abandoned.
    pub(crate) fn renew(&mut self, index: u32) {
        let generation = self.market.generation;
        let Some((conn, transfers, cares)) = self.peers.visited(index) else { return };
        if conn.generation != generation {
            transfers.remove(std::mem::replace(&mut conn.transfer, NO_TRANSFER));
            conn.reset(generation);
            if let Some(care) = cares.get_mut(conn) {
                care.lag_to = 0;
            }
        }
    }

    /// A visit whose outcome was never told counts as delivered: its connection is about to change.
    pub(crate) fn settle(&mut self, conn: ConnId) {
        if self.scratch.awaits(conn) {
            self.commit(conn);
        }
    }
}

/// One visit at work.
struct Collector<'a> {
    message: Message<'a>,
    /// What stands around each event; nothing in the native formats.
    envelope: Envelope,
    market: &'a mut Market,
    reaches: &'a Reaches,
    conn: &'a mut Connection,
    index: u32,
    transfers: &'a mut Transfers,
    cares: &'a mut Cares,
    counters: &'a mut Counters,
    limits: &'a Limits,
    notes: &'a mut Vec<Before>,
    /// Notes before this one are other visits'.
    notes_from: usize,
    due: &'a mut BinaryHeap<Reverse<(u64, At)>>,
    merge: &'a mut Merge,
    payload: &'a mut Vec<u8>,
    prefix: &'a mut Vec<u8>,
    tally: Tally,
    now_ns: u64,
    /// Live entries from this position on are for later.
    limit: u64,
    /// The slot whose definition was added last: topics of an instrument are neighbours.
    defined: u32,
    examined: usize,
    /// There is more for this connection than this visit gathers.
    more: bool,
    /// Which budget ended the visit.
    stop: Option<Stop>,
    /// A snapshot did not fit into the memory for snapshots.
    wants_memory: bool,
    /// The last part of the transfer is in the message.
    transfer_done: bool,
    /// It did not get what it must get all of: it is to be closed, and with which code.
    lost: Option<CloseCode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Entries,
    Bytes,
}

impl Collector<'_> {
    fn run(&mut self) {
        if self.stop.is_some() {
            return;
        }
        self.begin();
        if self.pump() == Flow::Full || self.sweep() == Flow::Full || self.walk() == Flow::Full {
            self.more = true;
        }
        // Live data of other topics goes on beside a long sweep or transfer, with what is left of
        // the budgets.
        for class in 0..self.conn.class_count() {
            if self.live(class) == Flow::Full {
                self.more = true;
            }
        }
    }

    /// Finds out whether the connection lags or fell off the log.
    fn begin(&mut self) {
        let (head, tail) = (self.market.log.head(), self.market.log.tail());
        if let Some(care) = self.cares.get_mut(self.conn)
            && std::mem::take(&mut care.was_blocked)
            && care.behind_from != NOWHERE
        {
            let behind = head - care.behind_from.min(head);
            let age_ns = self.now_ns.saturating_sub(care.behind_since_ns);
            if behind > self.limits.lag_entries_max || age_ns > self.limits.lag_age_max_ns {
                self.counters.lagging += 1;
                self.notes.push(Before::LagTo(care.lag_to));
                care.lag_to = head;
            }
        }
        let mut fell_off = false;
        for class in 0..self.conn.class_count() {
            if self.conn.class(class).cursor < tail {
                fell_off = true;
                self.set_class(class, |class| class.cursor = tail);
            }
        }
        if fell_off {
            self.note_sweep();
            self.conn.sweep();
            for at in 0..self.conn.wildcards().len() {
                self.note_walk(at);
                self.conn.wildcard_mut(at).walked = 0;
            }
        }
    }

    fn finish(self) -> (Visit, Tally, bool) {
        let market = &*self.market;
        let bytes = self.message.finish(market.clock_ns, |id| symbol_of(&market.instruments, id));
        self.counters.visits += 1;
        self.counters.visits_empty += u64::from(bytes == 0);
        self.counters.examined += self.examined as u64;
        match self.stop {
            Some(Stop::Entries) => self.counters.visits_out_of_entries += 1,
            Some(Stop::Bytes) => self.counters.visits_out_of_bytes += 1,
            None => {}
        }
        let visit = Visit {
            entries: self.tally.deliveries,
            bytes,
            examined: u32::try_from(self.examined).unwrap_or(u32::MAX),
            taken_ns: self.tally.taken_ns,
            more: self.more,
        };
        (visit, self.tally, self.transfer_done)
    }

    /// Looks at one more place, if the budget allows.
    fn look(&mut self) -> Flow {
        if self.examined >= self.limits.visit_entries {
            self.stop.get_or_insert(Stop::Entries);
            return Flow::Full;
        }
        self.examined += 1;
        Flow::Done
    }

    /// Whether the message takes so many bytes more.
    fn room(&mut self, bytes: usize) -> Flow {
        if self.message.fits(bytes) {
            return Flow::Done;
        }
        self.stop.get_or_insert(Stop::Bytes);
        Flow::Full
    }

    fn progress(&self, at: At) -> Progress {
        match at {
            At::Exact(at) => self.conn.subscription(at as usize).progress,
            At::All(wildcard, slot) => self.conn.wildcards()[wildcard as usize].progress(slot),
        }
    }

    fn topic(&self, at: At) -> Option<u32> {
        match at {
            At::Exact(at) => Some(self.conn.subscription(at as usize).topic),
            At::All(wildcard, slot) => {
                let channel = self.conn.wildcards()[wildcard as usize].channel;
                self.market.instruments.get(slot).topic(channel)
            }
        }
    }

    /// Whether the wildcard at this place has the instrument of this slot.
    fn reaches(&self, wildcard: usize, slot: u32) -> bool {
        self.reaches.contains(self.conn.wildcards()[wildcard].reach, slot)
    }

    fn class_of(&self, at: At) -> u8 {
        match at {
            At::Exact(at) => self.conn.subscription(at as usize).class,
            At::All(wildcard, _) => self.conn.wildcards()[wildcard as usize].class,
        }
    }

    fn target(&self, at: At) -> Target {
        match at {
            At::Exact(at) => Target::Exact { topic: self.conn.subscription(at as usize).topic },
            At::All(wildcard, slot) => {
                let channel = self.conn.wildcards()[wildcard as usize].channel.code();
                Target::All { channel, slot }
            }
        }
    }

    fn hint(&self, at: At) -> u64 {
        match at {
            At::Exact(at) => self.conn.subscription(at as usize).hint,
            At::All(..) => NOWHERE,
        }
    }

    /// Sets how far a topic has come, and a position at or before its next entry's.
    fn set(&mut self, at: At, progress: Progress, hint: u64) {
        // What was there before the visit is noted already, if this comes right after the note.
        let is_noted = self.notes.len() > self.notes_from
            && matches!(self.notes.last(), Some(Before::Progress { at: last, .. }) if *last == at);
        match at {
            At::Exact(index) => {
                let subscription = self.conn.subscription_mut(index as usize);
                let (before, hint_before) = (subscription.progress, subscription.hint);
                subscription.progress = progress;
                subscription.hint = hint;
                if !is_noted {
                    self.notes.push(Before::Progress { at, progress: before, hint: hint_before });
                }
            }
            At::All(wildcard, slot) => {
                let wildcard = self.conn.wildcard_mut(wildcard as usize);
                let before = wildcard.progress(slot);
                wildcard.set(slot, progress);
                if !is_noted {
                    self.notes.push(Before::Progress { at, progress: before, hint: NOWHERE });
                }
            }
        }
    }

    fn set_class(&mut self, class: u8, change: impl FnOnce(&mut Class)) {
        let before = self.conn.class(class);
        self.notes.push(Before::Class { class, before });
        let mut after = before;
        change(&mut after);
        self.conn.set_class(class, after);
    }

    /// Entries before this position fall under their channel's rule: the connection lagged.
    fn lag_to(&self) -> u64 {
        self.cares.of(self.conn).lag_to
    }

    fn note_sweep(&mut self) {
        self.notes.push(Before::Sweep { left: self.conn.sweep_left, at: self.conn.sweep_at() });
    }

    fn note_walk(&mut self, at: usize) {
        let wildcard = u32::try_from(at).expect("one wildcard for each channel");
        let walked = self.conn.wildcards()[at].walked;
        self.notes.push(Before::Walked { wildcard, walked });
    }

    fn tell_status(&mut self, status: wire::FeedState, number: u32) {
        if self.conn.status_told != number {
            self.notes.push(Before::StatusTold(self.conn.status_told));
            self.conn.status_told = number;
            let (clock_ns, epoch) = (self.market.clock_ns, self.market.epoch);
            self.event(|out, format| format.feed_status(out, clock_ns, epoch, status));
        }
    }

    /// Adds an event behind the gap entries that wait. What is no market data the exchange's protocol does
    /// not have.
    fn event(&mut self, write: impl FnOnce(&mut Vec<u8>, Format)) {
        if self.is_exchange() {
            return;
        }
        let market = &*self.market;
        self.message.event(market.clock_ns, |id| symbol_of(&market.instruments, id), write);
    }

    /// Announces numbers that are not delivered one by one.
    fn gap(&mut self, topic: u32, first_seq: u64, count: u64, reason: GapReason) {
        let instrument = self.market.definition(topic).id;
        let channel = self.market.topics.get(topic).channel;
        self.message.gap(GapEntry { instrument, channel, reason, first_seq, count });
        self.tally.skip(reason, count);
    }

    /// Sends the instrument's definition, and a reset if one is due, unless the client has them.
    fn introduce(&mut self, at: At, topic: u32) -> Flow {
        let progress = self.progress(at);
        if progress.has(Mark::Introduced) {
            return Flow::Done;
        }
        let bytes = DEFINITION_BYTES[self.message.format.index()] + self.message.gap_bytes();
        if self.room(bytes) != Flow::Done {
            return Flow::Full;
        }
        let slot = self.market.topics.get(topic).slot;
        if self.defined != slot {
            self.defined = slot;
            let (definition, epoch) = (*self.market.definition(topic), self.market.epoch);
            self.event(|out, format| format.definition(out, &definition, epoch));
        }
        if progress.has(Mark::Reset) {
            self.gap(topic, progress.seq() + 1, 0, GapReason::Reset);
        }
        self.set(at, progress.with(Mark::Introduced).without(Mark::Reset), self.hint(at));
        Flow::Done
    }
}

fn symbol_of(instruments: &Instruments, id: u32) -> Option<Symbol> {
    Some(instruments.get(instruments.by_id(id)?).definition.symbol)
}
