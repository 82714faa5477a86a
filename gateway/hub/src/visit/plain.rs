//! The plain case, which is nearly every one: an entry is the topic's next, is wanted as it is, and is
//! encoded already. Nothing has to be decided or announced; its bytes are copied.
//!
//! Neighbours in the log that are plain too, and of the same topic, lie behind one another in the arena,
//! because whoever needed them first had them encoded in that order: they are copied at once. Whatever
//! is not plain is left to the channel rules ([`offer`](super::Collector::offer)), which would come to
//! the same where it is.

use super::Collector;
use super::rules::UNTOLD;
use super::state::At;
use crate::format::Format;
use crate::log::marks;
use crate::streams::Envelope;

/// What an entry must not be to be plain.
const NOT_PLAIN: u8 = marks::HOLE | marks::BOOK_ONLY;

impl Collector<'_> {
    /// Delivers the plain entries from `first` on, which was looked at, and answers where they end:
    /// at `first` if that is not plain. Not for conflated delivery.
    #[inline]
    pub(super) fn send_plain(&mut self, at: At, topic: u32, first: u64) -> u64 {
        let progress = self.progress(at);
        if !progress.is_plain() || self.message.has_gaps() {
            return first;
        }
        let format = self.message.format;
        let not_plain = if format.is_exchange() { NOT_PLAIN | UNTOLD } else { NOT_PLAIN };
        let left = self.limits.visit_entries - self.examined;
        let longest = match format {
            // Its messages are separated.
            Format::Json => first + 1,
            _ if self.envelope == Envelope::Combined => return first,
            _ => first + 1 + left as u64,
        };
        let log = &self.market.log;
        let room = self.message.room();
        let (mut run_at, mut run_end) = (0, 0);
        let (mut seq, mut position) = (progress.seq(), first);
        while position < longest.min(self.limit) {
            let entry = log.entry(position);
            if entry.topic != topic || entry.seq != seq + 1 || entry.marks & not_plain != 0 {
                break;
            }
            let Some((begin, end)) = log.place(position, entry, format) else { break };
            if position == first {
                run_at = begin;
            } else if begin != run_end || log.is_at_front(begin, format) {
                break;
            }
            if end - run_at > room {
                break;
            }
            run_end = end;
            seq += 1;
            position += 1;
        }
        if position == first {
            return first;
        }
        let Some(bytes) = log.bytes(format, run_at, run_end) else { return first };
        let count = u32::try_from(position - first).expect("limited by visit_entries");
        self.message.add(bytes, count);
        let taken_ns = log.entry(first).taken_ns;
        self.tally.deliveries += count;
        let oldest_ns = self.tally.taken_ns.get_or_insert(taken_ns);
        *oldest_ns = taken_ns.min(*oldest_ns);
        self.examined += count as usize - 1;
        self.set(at, progress.with_seq(seq), position - 1);
        position
    }
}
