//! The message that a visit gathers: events behind one another in the shell's buffer, within a budget
//! of bytes, with the gap entries that must precede them.

use wire::{GapEntry, Symbol, frame};

use crate::format::{FORMATS, Format};

/// What a gap entry takes at most, its message's head included, by format; the exchange has none.
const GAP_BYTES: [usize; FORMATS] = [44, 240, 0, 0, 0];

/// What a definition takes at most, by format: SBE has a fixed size, JSON names 29 channels.
pub(super) const DEFINITION_BYTES: [usize; FORMATS] = [128, 784, 0, 0, 0];

/// See the module's header.
#[derive(Debug)]
pub(super) struct Message<'a> {
    out: &'a mut Vec<u8>,
    /// Where the message begins in the buffer.
    start: usize,
    pub(super) format: Format,
    budget: usize,
    events: u32,
    /// Gap entries that are not written yet: they go before the next event, or end the message.
    gaps: &'a mut Vec<GapEntry>,
}

impl<'a> Message<'a> {
    pub(super) fn new(
        out: &'a mut Vec<u8>,
        gaps: &'a mut Vec<GapEntry>,
        format: Format,
        budget: usize,
    ) -> Self {
        gaps.clear();
        Self { start: out.len(), out, format, budget, events: 0, gaps }
    }

    /// Whether an event of so many bytes may still be added. The first always may: what is longer
    /// than a visit goes alone.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        let gaps = self.gaps.len();
        let used = self.out.len() - self.start + gaps * self.gap_bytes();
        // A separator before it, and the end of the message.
        (self.events == 0 && gaps == 0) || used + bytes + 2 <= self.budget
    }

    /// Bytes that events may still have, the first of a message too.
    pub(super) const fn room(&self) -> u64 {
        self.budget.saturating_sub(self.out.len() - self.start + 2) as u64
    }

    /// Whether gap entries wait for the next event.
    pub(super) const fn has_gaps(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// Adds events that are encoded, with nothing between them, and for which there is
    /// [room](Self::room). No gap entries wait.
    pub(super) fn add(&mut self, bytes: &[u8], events: u32) {
        self.next_event();
        self.events += events - 1;
        self.out.extend_from_slice(bytes);
    }

    pub(super) const fn gap_bytes(&self) -> usize {
        GAP_BYTES[self.format.index()]
    }

    /// Adds a gap entry; it is written before the next event. The exchange's protocol has none: there a
    /// gap shows in the numbers of what comes next.
    pub(super) fn gap(&mut self, gap: GapEntry) {
        if !self.format.is_exchange() {
            self.gaps.push(gap);
        }
    }

    /// Adds an event that `write` appends, behind the gap entries that wait.
    pub(super) fn event(
        &mut self,
        clock_ns: u64,
        symbol_of: impl Fn(u32) -> Option<Symbol>,
        write: impl FnOnce(&mut Vec<u8>, Format),
    ) {
        self.flush_gaps(clock_ns, symbol_of);
        self.next_event();
        write(self.out, self.format);
    }

    /// Adds an event that is a frame of its own, of the pieces one behind the other.
    pub(super) fn frame(&mut self, pieces: &[&[u8]]) {
        self.events += 1;
        let payload_bytes = pieces.iter().map(|piece| piece.len()).sum();
        frame::append_header(self.out, self.format.frame_first(), payload_bytes);
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
    }

    fn flush_gaps(&mut self, clock_ns: u64, symbol_of: impl Fn(u32) -> Option<Symbol>) {
        if !self.gaps.is_empty() {
            self.next_event();
            self.format.gap(self.out, clock_ns, self.gaps, symbol_of);
            self.gaps.clear();
        }
    }

    fn next_event(&mut self) {
        if self.events == 0 {
            self.format.open(self.out);
        } else {
            self.format.separator(self.out);
        }
        self.events += 1;
    }

    /// Ends the message and answers its length; 0: there is none.
    pub(super) fn finish(
        mut self,
        clock_ns: u64,
        symbol_of: impl Fn(u32) -> Option<Symbol>,
    ) -> usize {
        self.flush_gaps(clock_ns, symbol_of);
        if self.events > 0 {
            self.format.close(self.out);
        }
        self.out.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use wire::{Channel, GapReason};

    use super::*;

    #[test]
    fn gaps_go_before_the_next_event_and_events_are_separated() {
        let (mut out, mut gaps) = (b"kept ".to_vec(), Vec::new());
        let mut message = Message::new(&mut out, &mut gaps, Format::Json, 10);
        assert!(message.fits(1000), "the first goes whatever its length");
        let none = |_| None;
        message.event(0, none, |out, _| out.extend_from_slice(b"1"));
        assert!(message.fits(6) && !message.fits(7));
        message.gap(GapEntry {
            instrument: 3,
            channel: Channel::Trade,
            reason: GapReason::Lost,
            first_seq: 1,
            count: 2,
        });
        message.event(0, none, |out, _| out.extend_from_slice(b"2"));
        let len = message.finish(0, none);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(len, text.len() - 5);
        assert!(text.starts_with("kept [1,{\"e\":\"gap\""), "{text}");
        assert!(text.ends_with("},2]"), "{text}");
    }

    #[test]
    fn nothing_is_written_for_nothing() {
        let (mut out, mut gaps) = (Vec::new(), Vec::new());
        let message = Message::new(&mut out, &mut gaps, Format::Json, 10);
        assert_eq!(message.finish(0, |_| None), 0);
        assert!(out.is_empty());
    }
}
