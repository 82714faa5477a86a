//! The channel rules: what becomes of an entry that is due.
//!
//! | channel | live | conflated or lagging | entries before it left the log |
//! |---|---|---|---|
//! | quote, tickers, average, partial depth, status | it | the newest | the newest |
//! | bar | it | the newest of each bar | a gap, then it |
//! | depth | it | the groups merged | a snapshot of the book |
//! | trade, aggregate trade | it | it | a gap, then it |
//!
//! A hole that the shard itself has (the ring lapped it) is announced before the entry behind it; for
//! depth it takes a snapshot too. Whatever is delivered, the numbers between it and the last one are
//! announced before it in the same message.

use wire::frame::payload;
use wire::{Channel, CloseCode, GapEntry, GapReason};

use super::framing::{self, Names};
use super::merge::Merged;
use super::state::At;
use super::{Collector, Flow, symbol_of};
use crate::format::Described;
use crate::log::{NOWHERE, marks};
use crate::streams::Envelope;
use crate::subscription::{Mark, Progress};

/// What the exchange's protocol has no event for.
pub(super) const UNTOLD: u8 = marks::BOOK_ONLY | marks::REPLACES_BOOK;

/// Whether of several entries of the channel only the newest counts.
pub(super) const fn jumps(channel: Channel) -> bool {
    matches!(
        channel,
        Channel::Quote
            | Channel::Ticker
            | Channel::Rolling(_)
            | Channel::Average
            | Channel::Status
            | Channel::Depth5
            | Channel::Depth10
            | Channel::Depth20
    )
}

impl Collector<'_> {
    /// Deals with an entry of a subscribed topic.
    pub(super) fn offer(&mut self, at: At, topic: u32, position: u64, conflates: bool) -> Flow {
        let progress = self.progress(at);
        if progress.has(Mark::Fresh) || progress.has(Mark::NeedsBook) {
            return self.present_or_ask_again(at, topic);
        }
        let entry = self.market.log.entry(position);
        let (seq, marks, next) = (entry.seq, entry.marks, entry.next);
        if progress.has(Mark::InTransfer) || seq <= progress.seq() {
            return Flow::Done;
        }
        if self.introduce(at, topic) == Flow::Full {
            return Flow::Full;
        }
        if self.is_exchange() && marks & UNTOLD != 0 {
            // Not a change, so that nothing can be told of it: the next update ids leave it out.
            self.set(at, self.progress(at).with_seq(seq), position);
            return Flow::Done;
        }
        let channel = self.market.topics.get(topic).channel;
        let is_missing = seq > progress.seq() + 1;
        let is_lapped = is_missing && marks & marks::HOLE != 0;
        // Of what conflates the newest is offered: what is between may be there all the same.
        let is_gone = is_missing && (is_lapped || !self.goes_on_in_log(at, topic));
        let reason = reason(channel, self.progress(at), is_gone, is_lapped);
        match channel {
            _ if is_missing && !is_lapped && self.closes_at_loss(channel) => {
                self.lost = Some(CloseCode::SlowConsumer);
                Flow::Done
            }
            _ if is_missing && marks & marks::LAPPED != 0 && self.closes_at_loss(channel) => {
                // Not the client's fault.
                self.lost = Some(CloseCode::InternalError);
                Flow::Done
            }
            // The exchange's clients see by the update ids that changes are missing.
            Channel::Depth
                if (is_missing || marks & marks::BOOK_ONLY != 0) && !self.is_exchange() =>
            {
                self.lose_thread(at, topic, is_lapped)
            }
            Channel::Depth if conflates && next != NOWHERE => self.merge(at, topic, position),
            Channel::Bar(_) if conflates => self.send_bar(at, topic, position, reason),
            _ if jumps(channel) && (conflates || is_missing && !is_lapped) => {
                let newest = self.market.topics.get(topic).head;
                self.send_entry(at, topic, newest, reason)
            }
            _ => self.send_entry(at, topic, position, reason),
        }
    }

    /// Whether the log has the entry that follows the last delivered one.
    fn goes_on_in_log(&self, at: At, topic: u32) -> bool {
        let tail = self.market.topics.get(topic).tail;
        tail != NOWHERE && self.market.log.entry(tail).seq <= self.progress(at).seq() + 1
    }

    /// Adds an entry to the message, behind a gap entry for what lies before it.
    pub(super) fn send_entry(
        &mut self,
        at: At,
        topic: u32,
        position: u64,
        reason: GapReason,
    ) -> Flow {
        let progress = self.progress(at);
        let market = &mut *self.market;
        let described =
            Described::new(topic, &market.topics, &market.instruments, market.trade_ids);
        let (channel, definition) = (described.shows.channel(), described.instrument());
        let entry = market.log.entry(position);
        let (seq, taken_ns) = (entry.seq, entry.taken_ns);
        let count = seq - progress.seq() - 1;
        let format = self.message.format;
        let bytes = market.log.encoded(position, format, &described, self.counters);
        let bytes_max = bytes.len() + framing::overhead(self.envelope);
        let gap_bytes = if count > 0 { self.message.gap_bytes() } else { 0 };
        if !self.message.fits(bytes_max + gap_bytes) {
            self.stop.get_or_insert(super::Stop::Bytes);
            return Flow::Full;
        }
        if count > 0 {
            let (instrument, first_seq) = (definition.id, progress.seq() + 1);
            self.message.gap(GapEntry { instrument, channel, reason, first_seq, count });
            self.tally.skip(reason, count);
        }
        if self.envelope == Envelope::Combined {
            let names = Names { streams: self.conn.streams(), topic, at };
            framing::combine(&mut self.message, self.prefix, names, &described, payload(bytes));
        } else {
            self.message.event(
                market.clock_ns,
                |id| symbol_of(&market.instruments, id),
                |out, _| out.extend_from_slice(bytes),
            );
        }
        self.tally.deliveries += 1;
        let oldest_ns = self.tally.taken_ns.get_or_insert(taken_ns);
        *oldest_ns = taken_ns.min(*oldest_ns);
        self.set(at, progress.with_seq(seq).without(Mark::Resumed), position);
        Flow::Done
    }

    /// Of bars, the newest of each interval: from here on the first closing one, or the newest.
    fn send_bar(&mut self, at: At, topic: u32, first: u64, reason: GapReason) -> Flow {
        let mut position = first;
        loop {
            let entry = self.market.log.entry(position);
            if entry.marks & marks::FINAL != 0 || entry.next == NOWHERE {
                break;
            }
            let next = self.market.log.entry(entry.next);
            // A hole keeps its own announcement.
            if next.marks & marks::HOLE != 0 {
                break;
            }
            let next = entry.next;
            if self.look() == Flow::Full {
                break;
            }
            position = next;
        }
        self.send_entry(at, topic, position, reason)
    }

    /// Depth changes are missing: only a snapshot helps.
    fn lose_thread(&mut self, at: At, topic: u32, is_lapped: bool) -> Flow {
        let mut progress = self.progress(at).with(Mark::NeedsBook);
        if is_lapped {
            progress = progress.with(Mark::Lapped);
        }
        self.set(at, progress, self.hint(at));
        self.present_or_ask_again(at, topic)
    }

    /// Sends the present state; if it has to wait, sees to it that the topic is looked at again.
    fn present_or_ask_again(&mut self, at: At, topic: u32) -> Flow {
        let flow = self.present(at, topic);
        if flow == Flow::Wait {
            self.more = true;
            self.ask_again(at);
        }
        flow
    }

    /// Has the topic looked at again when the connection's turn comes.
    pub(super) fn ask_again(&mut self, at: At) {
        match at {
            At::Exact(_) => {
                self.note_sweep();
                self.conn.sweep();
            }
            At::All(wildcard, _) => {
                let walked = self.conn.wildcards()[wildcard as usize].walked as usize;
                // A walk that is not over yet comes to fresh ones by itself.
                let is_over = walked >= self.market.instruments.order().len();
                if is_over || !self.progress(at).has(Mark::Fresh) {
                    self.note_walk(wildcard as usize);
                    self.conn.wildcard_mut(wildcard as usize).walked = 0;
                }
            }
        }
    }

    /// Brings a client that lags, or conflates, from here to the newest depth group in one change
    /// set; if that would be too big, in a snapshot.
    fn merge(&mut self, at: At, topic: u32, position: u64) -> Flow {
        match self.merge_groups(at, topic, position) {
            Merged::Sent => Flow::Done,
            Merged::Full => Flow::Full,
            Merged::Single => self.send_entry(at, topic, position, GapReason::Conflated),
            Merged::TooBig => {
                self.counters.merges_refused += 1;
                if self.is_exchange() {
                    // It has no snapshots: the changes go one by one.
                    return self.send_entry(at, topic, position, GapReason::Conflated);
                }
                self.lose_thread(at, topic, false)
            }
        }
    }
}

/// Why the numbers before an entry are skipped.
fn reason(channel: Channel, progress: Progress, is_gone: bool, is_lapped: bool) -> GapReason {
    if !is_gone {
        GapReason::Conflated
    } else if progress.has(Mark::Resumed) {
        GapReason::Resume
    } else if is_lapped {
        GapReason::Lapped
    } else if channel.is_tape() || matches!(channel, Channel::Bar(_)) {
        GapReason::Lost
    } else {
        GapReason::Conflated
    }
}
