//! Where a subscription begins: with the present state, after the newest number, or after the one at
//! which an earlier connection of the client ended.
//!
//! A resume in another epoch is a reset, announced before the present state. One from the future is
//! refused: the client's numbers are not ours. While an instrument is not in the stream its newest number is
//! not known: a resume is then taken at its word, and if it turns out to be from the future it is a reset. One whose continuation has left the log falls under
//! its channel's rule, announced with the reason `resume`; whether it has is found out in the visit.

use wire::Channel;
use wire::command::Subscribe;

use crate::commands::{Refusal, begins_with_state};
use crate::connection::ConnId;
use crate::hub::Hub;
use crate::log::NOWHERE;
use crate::subscription::{Mark, Progress};

/// Where a subscription begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    pub(crate) progress: Progress,
    /// Position of an entry that is not to be delivered any more, to go on from.
    pub(crate) hint: u64,
    /// Position before which nothing is to be delivered.
    pub(crate) from: u64,
    /// The number after which it begins, as far as is known now.
    pub(crate) seq: u64,
}

impl Hub {
    /// Where a subscription to this topic begins.
    pub(crate) fn base(
        &mut self,
        slot: u32,
        topic: u32,
        subscribe: &Subscribe,
    ) -> Result<Base, Refusal> {
        let known = self.market.topics.get(topic);
        let (channel, head, tail) = (known.channel, known.head, known.tail);
        let newest = self.market.newest_seq(topic);
        let known = self.market.instruments.get(slot);
        let (symbol, is_attached) = (known.definition.symbol, known.is_attached());
        let fresh = Base { progress: Progress::FRESH, hint: NOWHERE, from: NOWHERE, seq: newest };
        let resume = subscribe.resume.as_ref();
        let Some((epoch, seq)) = resume.and_then(|r| Some((r.epoch, r.seq(&symbol, channel)?)))
        else {
            if begins_with_state(subscribe.snapshot, channel) {
                return Ok(fresh);
            }
            if !is_attached {
                return Ok(Base { progress: Progress::SILENT, ..fresh });
            }
            return Ok(Base { progress: Progress::at(newest), hint: head, ..fresh });
        };
        if epoch != self.market.epoch {
            return Ok(Base { progress: Progress::FRESH.with(Mark::Reset), ..fresh });
        }
        // Of an instrument that is not in the stream, whether there is such a number shows later.
        if seq > newest && is_attached {
            self.counters.resumes_refused += 1;
            return Err(Refusal::ResumeAhead { symbol, resume: seq, newest });
        }
        let progress = Progress::at(seq).with(Mark::Resumed);
        if channel.partial_levels().is_some() {
            // Partial books are only in the log while somebody watches: the newest is what counts.
            return Ok(Base { progress: progress.with(Mark::NeedsBook), seq, ..fresh });
        }
        Ok(Base { progress, hint: NOWHERE, from: tail, seq })
    }

    /// Where a wildcard begins with each instrument, by slot, and the position before which nothing
    /// of it is to be delivered.
    pub(crate) fn bases(
        &mut self,
        conn: ConnId,
        channel: Channel,
        subscribe: &Subscribe,
    ) -> Result<(Vec<Progress>, u64), Refusal> {
        let slots = self.market.instruments.len();
        let mut progress = vec![Progress::FRESH; slots as usize];
        let mut from = NOWHERE;
        let with_state = begins_with_state(subscribe.snapshot, channel);
        for slot in 0..slots {
            let known = self.market.instruments.get(slot);
            let has_channel = known.is_defined && known.definition.has(channel);
            match known.topic(channel).filter(|_| has_channel) {
                Some(_) if with_state => {}
                Some(_) if !known.is_attached() => progress[slot as usize] = Progress::SILENT,
                Some(topic) => {
                    progress[slot as usize] = Progress::at(self.market.newest_seq(topic));
                }
                // What is defined later is delivered from its first number.
                None => progress[slot as usize] = Progress::default(),
            }
        }
        let resumed = subscribe.resume.iter().flat_map(|resume| resume.topics());
        for (symbol, _, _) in resumed.filter(|(_, named, _)| *named == channel) {
            // Of what it does not reach not even the newest number is told.
            if !self.grants.allows(conn.0, symbol, channel) {
                continue;
            }
            let Some(topic) = self.market.topic(symbol, channel) else { continue };
            let slot = self.market.topics.get(topic).slot;
            let base = self.base(slot, topic, subscribe)?;
            progress[slot as usize] = base.progress;
            from = from.min(base.from);
            self.counters.resumes += u64::from(base.progress.has(Mark::Resumed));
        }
        Ok((progress, from))
    }
}
