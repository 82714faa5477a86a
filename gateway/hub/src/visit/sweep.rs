//! Sweep and walk: looking at topics one by one, because something may be due that no entry of the
//! log shows: a present state to send, or entries that left the log before the client took them.

use wire::{Channel, CloseCode, GapReason};

use super::state::At;
use super::{Collector, Flow};
use crate::log::NOWHERE;
use crate::subscription::{Mark, Progress};
use crate::topics::Newest;

impl Collector<'_> {
    /// Looks at the exact topics of which that was asked, round and round, so that a client that
    /// goes on subscribing does not keep its later topics from being served.
    pub(super) fn sweep(&mut self) -> Flow {
        if self.conn.sweep_left == 0 {
            return Flow::Done;
        }
        self.note_sweep();
        let len = u32::try_from(self.conn.subscriptions().len()).unwrap_or(u32::MAX);
        self.conn.sweep_left = self.conn.sweep_left.min(len);
        while self.conn.sweep_left > 0 {
            let at = self.conn.sweep_at() % len;
            if self.look() == Flow::Full {
                return Flow::Full;
            }
            match self.inspect(At::Exact(at)) {
                Flow::Done => {}
                Flow::Wait => {
                    self.more = true;
                    break;
                }
                Flow::Full => return Flow::Full,
            }
            self.conn.set_sweep((at + 1) % len, self.conn.sweep_left - 1);
        }
        Flow::Done
    }

    /// Looks at the instruments of each wildcard from where it is, in the order of their definition.
    pub(super) fn walk(&mut self) -> Flow {
        for wildcard in 0..self.conn.wildcards().len() {
            let known = &self.conn.wildcards()[wildcard];
            let channel = known.channel;
            if known.walked as usize >= self.market.instruments.order().len() {
                continue;
            }
            self.note_walk(wildcard);
            while let Some(&slot) = {
                let walked = self.conn.wildcards()[wildcard].walked;
                self.market.instruments.order().get(walked as usize)
            } {
                if self.look() == Flow::Full {
                    return Flow::Full;
                }
                let index = u32::try_from(wildcard).expect("one wildcard for each channel");
                let known = self.market.instruments.get(slot);
                let topic = known.topic(channel).filter(|_| known.definition.has(channel));
                let topic = topic.filter(|_| self.reaches(wildcard, slot));
                // An exact subscription to the same topic has precedence.
                if topic.is_some_and(|topic| self.conn.find(topic).is_none()) {
                    match self.inspect(At::All(index, slot)) {
                        Flow::Done => {}
                        Flow::Wait => {
                            self.more = true;
                            break;
                        }
                        Flow::Full => return Flow::Full,
                    }
                }
                self.conn.wildcard_mut(wildcard).walked += 1;
            }
        }
        Flow::Done
    }

    /// Does for one topic what its entries in the log will not bring about.
    pub(super) fn inspect(&mut self, at: At) -> Flow {
        let Some(topic) = self.topic(at) else { return Flow::Done };
        let known = self.market.instruments.get(self.market.topics.get(topic).slot);
        let is_attached = known.is_attached();
        if !known.is_defined {
            // Known from an earlier epoch; its definition will have it looked at again.
            return Flow::Done;
        }
        if is_attached {
            self.check_resume(at, topic);
        }
        if self.introduce(at, topic) == Flow::Full {
            return Flow::Full;
        }
        if !is_attached {
            // What it has missed may still come; when it is in the stream it is looked at again.
            return Flow::Done;
        }
        let progress = self.progress(at);
        if progress.has(Mark::Fresh) || progress.has(Mark::NeedsBook) {
            return self.present(at, topic);
        }
        if progress.has(Mark::InTransfer) {
            return Flow::Done;
        }
        self.catch_up(at, topic)
    }

    /// A number that was named while nobody could know better is from the future: there is none.
    fn check_resume(&mut self, at: At, topic: u32) {
        let progress = self.progress(at);
        if progress.has(Mark::Resumed) && progress.seq() > self.market.newest_seq(topic) {
            self.counters.resumes_void += 1;
            self.set(at, Progress::FRESH.with(Mark::Reset), NOWHERE);
        }
    }

    /// Applies the rule for entries that are no longer in the log, if none of the topic's that the
    /// client misses is. If some are, live delivery comes to them and sees what is missing before.
    fn catch_up(&mut self, at: At, topic: u32) -> Flow {
        let progress = self.progress(at);
        let known = self.market.topics.get(topic);
        let (channel, tail, head_seq) = (known.channel, known.tail, known.head_seq);
        if self.market.is_book(channel) {
            return self.catch_up_book(at, topic);
        }
        if head_seq <= progress.seq() || tail != NOWHERE {
            return Flow::Done;
        }
        if self.introduce(at, topic) == Flow::Full {
            return Flow::Full;
        }
        let progress = self.progress(at);
        if self.closes_at_loss(channel) {
            self.lost = Some(CloseCode::SlowConsumer);
            return Flow::Done;
        }
        let reason = match channel {
            _ if progress.has(Mark::Resumed) => GapReason::Resume,
            Channel::Trade | Channel::AggTrade | Channel::Bar(_) => GapReason::Lost,
            _ => GapReason::Conflated,
        };
        match self.market.topics.newest(topic) {
            Newest::Kept(tick) if !channel.is_tape() => self.send_kept(at, topic, &tick, reason),
            _ => {
                if self.room(self.message.gap_bytes()) == Flow::Full {
                    return Flow::Full;
                }
                self.gap(topic, progress.seq() + 1, head_seq - progress.seq(), reason);
                let progress = progress.with_seq(head_seq).without(Mark::Resumed);
                self.set(at, progress, NOWHERE);
                Flow::Done
            }
        }
    }

    /// A view of a book, of which what the client misses left the log: it gets the best levels as they are
    /// now. Changes go on with the next ones, whose update ids show the gap.
    fn catch_up_view(&mut self, at: At, topic: u32) -> Flow {
        let known = self.market.topics.get(topic);
        let (channel, head_seq) = (known.channel, known.head_seq);
        let book = self.market.instruments.get(known.slot).book.as_ref();
        if channel.partial_levels().is_some() && book.is_some_and(|book| book.seq().is_some()) {
            return self.send_levels(at, topic, head_seq);
        }
        let progress = self.progress(at);
        self.tally.skip(GapReason::Conflated, head_seq - progress.seq());
        self.set(at, progress.with_seq(head_seq), NOWHERE);
        Flow::Done
    }

    /// Depth and partial depth: if the groups that the client misses left the log, it needs the book.
    fn catch_up_book(&mut self, at: At, topic: u32) -> Flow {
        let progress = self.progress(at);
        let known = self.market.topics.get(topic);
        if known.head_seq <= progress.seq() || known.tail != NOWHERE {
            return Flow::Done;
        }
        if self.is_exchange() {
            return self.catch_up_view(at, topic);
        }
        self.set(at, progress.with(Mark::NeedsBook), self.hint(at));
        self.present(at, topic)
    }
}
