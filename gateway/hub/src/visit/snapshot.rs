//! Present states: the newest value of a topic, or a book, sent to who begins or lost the thread.
//!
//! A present state binds when it is sent, not when it was asked for: whatever is newest then, with its
//! number, and live data goes on with the next. Books that are longer than a visit travel in parts,
//! one a visit, from an encoded snapshot that everybody who needs the same one shares.

use std::rc::Rc;

use wire::{Channel, GapReason, Side, Tick};

use super::state::{At, Before, resolve};
use super::{Collector, Flow};
use crate::book::Snapshot;
use crate::format::Format;
use crate::hub::Hub;
use crate::log::NOWHERE;
use crate::subscription::{Mark, Progress};
use crate::topics::Newest;
use crate::transfers::{NO_TRANSFER, Transfer};

/// Marks that a present state settles.
fn settled(progress: Progress) -> Progress {
    progress
        .without(Mark::Fresh)
        .without(Mark::Silent)
        .without(Mark::NeedsBook)
        .without(Mark::Lapped)
        .without(Mark::Resumed)
}

impl Collector<'_> {
    /// Sends the present state of a topic whose progress is fresh or needs a book.
    pub(super) fn present(&mut self, at: At, topic: u32) -> Flow {
        if self.introduce(at, topic) == Flow::Full {
            return Flow::Full;
        }
        let progress = self.progress(at);
        let known = self.market.topics.get(topic);
        let (channel, head) = (known.channel, known.head);
        if !self.market.instruments.get(known.slot).is_attached() {
            // It is looked at again when it is in the stream.
            return Flow::Done;
        }
        if progress.has(Mark::Silent) || self.is_exchange() {
            let newest = self.market.newest_seq(topic);
            self.set(at, settled(progress).with_seq(newest), head);
            return Flow::Done;
        }
        if channel == Channel::Depth {
            return self.present_book(at, topic);
        }
        if channel.partial_levels().is_some() {
            return self.present_partial(at, topic);
        }
        match self.market.topics.newest(topic) {
            Newest::Nothing => {
                self.set(at, settled(progress).with_seq(0), NOWHERE);
                Flow::Done
            }
            Newest::Entry(position) => {
                let seq = self.market.log.entry(position).seq;
                self.set(at, settled(progress).with_seq(seq - 1), self.hint(at));
                let flow = self.send_entry(at, topic, position, GapReason::Conflated);
                if flow == Flow::Full {
                    self.set(at, progress, self.hint(at));
                } else {
                    self.tally.snapshots += 1;
                }
                flow
            }
            Newest::Kept(tick) => {
                self.set(at, settled(progress).with_seq(tick.seq - 1), self.hint(at));
                let flow = self.send_kept(at, topic, &tick, GapReason::Conflated);
                if flow == Flow::Full {
                    self.set(at, progress, self.hint(at));
                } else {
                    self.tally.snapshots += 1;
                }
                flow
            }
        }
    }

    /// Sends a last value that is not an entry of the log. It is encoded for this client alone: it
    /// is rare and costs less than keeping it.
    pub(super) fn send_kept(&mut self, at: At, topic: u32, tick: &Tick, reason: GapReason) -> Flow {
        let progress = self.progress(at);
        // The longest event of one tick, a bar or ticker in JSON, is below half a kibibyte.
        let bytes = match self.message.format {
            Format::Sbe => 128,
            Format::Json => 512,
            _ => 768,
        };
        if self.room(bytes + self.message.gap_bytes()) == Flow::Full {
            return Flow::Full;
        }
        self.skip_to(topic, progress, tick.seq, reason);
        self.deliver(at, topic, |out, format, market| {
            let described = market.described(topic);
            let ticks = std::slice::from_ref(tick);
            format.entry(out, ticks, &described, &market.log, &mut Vec::new());
        });
        self.tally.deliveries += 1;
        self.set(at, settled(progress).with_seq(tick.seq), NOWHERE);
        Flow::Done
    }

    /// Announces what lies between the last number delivered and `seq`, if anything does.
    pub(super) fn skip_to(&mut self, topic: u32, progress: Progress, seq: u64, reason: GapReason) {
        let count = seq - progress.seq() - 1;
        if count > 0 {
            self.gap(topic, progress.seq() + 1, count, reason);
        }
    }

    /// Sends the best levels of a book, straight from the book.
    fn present_partial(&mut self, at: At, topic: u32) -> Flow {
        let progress = self.progress(at);
        let slot = self.market.topics.get(topic).slot;
        let Some(book) = &self.market.instruments.get(slot).book else { return Flow::Done };
        let is_fresh = progress.has(Mark::Fresh);
        let Some(seq) = book.seq().filter(|&seq| is_fresh || seq > progress.seq()) else {
            return self.begin_empty(at, topic);
        };
        self.send_levels(at, topic, seq)
    }

    /// Sends the best levels of a book, which is sound, under this number.
    pub(super) fn send_levels(&mut self, at: At, topic: u32, seq: u64) -> Flow {
        let progress = self.progress(at);
        let known = self.market.topics.get(topic);
        let (slot, head) = (known.slot, known.head);
        let Some(levels) = known.channel.partial_levels() else { return Flow::Done };
        let Some(book) = &self.market.instruments.get(slot).book else { return Flow::Done };
        let mut bids = [(0, 0); 20];
        let mut asks = [(0, 0); 20];
        let bids_len = fill(&mut bids[..levels], book.levels.levels(Side::Bid));
        let asks_len = fill(&mut asks[..levels], book.levels.levels(Side::Ask));
        let depth_head = book.head;
        let per_level = self.message.format.level_bytes();
        if self.room(256 + (bids_len + asks_len) * per_level + self.message.gap_bytes())
            == Flow::Full
        {
            return Flow::Full;
        }
        if !progress.has(Mark::Fresh) {
            self.skip_to(topic, progress, seq, reason_of(progress));
        }
        self.deliver(at, topic, |out, format, market| {
            let (bids, asks) = (&bids[..bids_len], &asks[..asks_len]);
            format.partial_depth(out, &depth_head, bids, asks, &market.described(topic));
        });
        self.tally.deliveries += 1;
        self.tally.snapshots += 1;
        self.set(at, settled(progress).with_seq(seq), head);
        Flow::Done
    }

    /// There is no book to send. If that is because none was ever sent, live data begins with the
    /// first group; else the topic waits: a book that becomes sound has it looked at again.
    fn begin_empty(&mut self, at: At, topic: u32) -> Flow {
        let progress = self.progress(at);
        let slot = self.market.topics.get(topic).slot;
        let book = self.market.instruments.get(slot).book.as_ref();
        if progress.has(Mark::Fresh) && book.is_some_and(|book| book.is_unborn()) {
            self.set(at, settled(progress).with_seq(0), NOWHERE);
        }
        Flow::Done
    }

    fn present_book(&mut self, at: At, topic: u32) -> Flow {
        let progress = self.progress(at);
        let known = self.market.topics.get(topic);
        let (slot, hint) = (known.slot, known.head);
        let is_fresh = progress.has(Mark::Fresh);
        let book = self.market.instruments.get(slot).book.as_ref();
        // One that was taken back half-way begins anew, if need be with the same number.
        let least = progress.seq() + u64::from(!progress.has(Mark::InTransfer));
        let seq = book.and_then(|book| book.seq());
        if seq.is_none_or(|seq| !is_fresh && seq < least) {
            return self.begin_empty(at, topic);
        }
        if self.conn.transfer != NO_TRANSFER {
            return Flow::Wait;
        }
        let Some(snapshot) = self.snapshot_of(slot) else {
            self.counters.snapshots_delayed += 1;
            self.wants_memory = true;
            return Flow::Wait;
        };
        if self.room(snapshot.part(0).len() + self.message.gap_bytes()) == Flow::Full {
            return Flow::Full;
        }
        if !is_fresh && snapshot.seq > progress.seq() {
            self.skip_to(topic, progress, snapshot.seq, reason_of(progress));
        }
        self.event(|out, _| out.extend_from_slice(snapshot.part(0)));
        let progress = settled(progress).without(Mark::InTransfer).with_seq(snapshot.seq);
        if snapshot.parts() == 1 {
            self.tally.deliveries += 1;
            self.tally.book_snapshots += 1;
            self.set(at, progress, hint);
        } else {
            self.set(at, progress.with(Mark::InTransfer), hint);
            let (conn, target) = (self.index, self.target(at));
            self.conn.transfer =
                self.transfers.add(Transfer { snapshot, conn, target, hint, part: 1 });
            self.notes.push(Before::Begun);
            self.more = true;
        }
        Flow::Done
    }

    /// The encoded book, shared; `None` if there is no memory for it.
    fn snapshot_of(&mut self, slot: u32) -> Option<Rc<Snapshot>> {
        let encoding = self.message.format.native()?;
        let market = &mut *self.market;
        if let Some(snapshot) = market.instruments.get(slot).book.as_ref()?.cached(encoding) {
            return Some(snapshot);
        }
        if market.snapshot_bytes.get() > self.limits.snapshot_bytes_max {
            market.forget_cached(usize::MAX);
        }
        if market.snapshot_bytes.get() > self.limits.snapshot_bytes_max {
            return None;
        }
        self.counters.book_snapshots_encoded += 1;
        let known = market.instruments.get_mut(slot);
        let definition = known.definition;
        let (visit_bytes, meter) = (self.limits.visit_bytes, &market.snapshot_bytes);
        let snapshot = known.book.as_mut()?.encode(encoding, &definition, visit_bytes, meter);
        market.cached(slot);
        Some(snapshot)
    }

    /// Sends the next part of the snapshot in transfer, if there is one.
    pub(super) fn pump(&mut self) -> Flow {
        let number = self.conn.transfer;
        let Some(transfer) = self.transfers.get_mut(number) else { return Flow::Done };
        let (snapshot, part) = (Rc::clone(&transfer.snapshot), transfer.part);
        let (target, hint) = (transfer.target, transfer.hint);
        let Some((at, topic)) =
            resolve(self.conn, target).and_then(|at| Some((at, self.topic(at)?)))
        else {
            self.transfers.remove(number);
            self.conn.transfer = NO_TRANSFER;
            return Flow::Done;
        };
        if self.room(snapshot.part(part).len()) == Flow::Full {
            return Flow::Full;
        }
        self.event(|out, _| out.extend_from_slice(snapshot.part(part)));
        self.notes.push(Before::Part(part));
        if let Some(transfer) = self.transfers.get_mut(number) {
            transfer.part += 1;
        }
        if part + 1 < snapshot.parts() {
            self.more = true;
            return Flow::Done;
        }
        self.transfer_done = true;
        self.tally.deliveries += 1;
        self.tally.book_snapshots += 1;
        let progress = self.progress(at).without(Mark::InTransfer);
        self.set(at, progress, hint);
        self.return_to(at, topic, hint);
        Flow::Done
    }

    /// Live delivery passed over this topic while its snapshot was in transfer: puts the cursor back
    /// to the first entry that came in the meantime.
    fn return_to(&mut self, at: At, topic: u32, hint: u64) {
        let log = &self.market.log;
        let next = if hint != NOWHERE && log.holds(hint) {
            log.entry(hint).next
        } else {
            self.market.topics.get(topic).tail
        };
        let known = self.market.topics.get(topic);
        if next == NOWHERE && known.tail == NOWHERE && known.head_seq > self.progress(at).seq() {
            // It has left the log already.
            self.more = true;
            self.ask_again(at);
        }
        let class = self.class_of(at);
        if next < self.conn.class(class).cursor {
            self.set_class(class, |class| class.cursor = next);
        }
    }
}

impl Hub {
    /// Takes the snapshot in transfer back from a connection; its topic will need a new one.
    pub(crate) fn revoke_transfer(&mut self, index: u32) {
        let Some((conn, transfers, _)) = self.peers.visited(index) else { return };
        let number = std::mem::replace(&mut conn.transfer, NO_TRANSFER);
        let Some(transfer) = transfers.remove(number) else { return };
        let anew = |progress: Progress| match progress.has(Mark::InTransfer) {
            true => progress.with(Mark::NeedsBook),
            // Subscribed anew in the meantime.
            false => progress,
        };
        match resolve(conn, transfer.target) {
            Some(At::Exact(at)) => {
                let subscription = conn.subscription_mut(at as usize);
                subscription.progress = anew(subscription.progress);
                conn.sweep();
            }
            Some(At::All(wildcard, slot)) => {
                let wildcard = conn.wildcard_mut(wildcard as usize);
                let progress = wildcard.progress(slot);
                wildcard.set(slot, anew(progress));
                wildcard.walked = 0;
            }
            None => {}
        }
        self.peers.dirty.insert(index);
    }
}

/// Why numbers before a book snapshot are skipped.
fn reason_of(progress: Progress) -> GapReason {
    if progress.has(Mark::Resumed) {
        GapReason::Resume
    } else if progress.has(Mark::Lapped) {
        GapReason::Lapped
    } else {
        GapReason::Conflated
    }
}

fn fill(out: &mut [(i64, i64)], levels: impl Iterator<Item = (i64, i64)>) -> usize {
    let mut count = 0;
    for (place, level) in out.iter_mut().zip(levels) {
        *place = level;
        count += 1;
    }
    count
}
