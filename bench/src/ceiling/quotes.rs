//! The ticks of a bare sender: 64-byte quotes of one topic, made when they are due and kept for a
//! while, so that a connection that is behind can be sent all of them behind one frame header.

use crate::frame::{self, Opcode};
use crate::quote::{self, QUOTE_BYTES};

/// Quotes kept. At 2,000 a second, half a minute: whoever is further behind does not read at all.
const KEPT: u64 = 1 << 16;

/// The most quotes of one frame: 16 KiB, as a visit of Tickcast carries by default.
pub(super) const FRAME_QUOTES: u64 = 256;

/// See the module's documentation. Ticks are counted from 0; their sequence numbers begin with 1.
pub(super) struct Quotes {
    period_ns: f64,
    start_ns: u64,
    head: u64,
    bytes: Vec<u8>,
}

impl Quotes {
    /// `rate` quotes a second, the first of them at `start_ns` of the real-time clock.
    pub(super) fn new(rate: f64, start_ns: u64) -> Self {
        let kept = usize::try_from(KEPT).unwrap_or(0);
        Self { period_ns: 1e9 / rate, start_ns, head: 0, bytes: quote::template().repeat(kept) }
    }

    /// How many there are.
    pub(super) const fn head(&self) -> u64 {
        self.head
    }

    /// When a tick is due.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and exact below 2^53 ns after the start: a hundred days"
    )]
    pub(super) fn due_ns(&self, tick: u64) -> u64 {
        self.start_ns + (tick as f64 * self.period_ns) as u64
    }

    /// Makes what is due by now.
    pub(super) fn advance(&mut self, now_ns: u64) {
        while self.due_ns(self.head) <= now_ns {
            self.make_next();
        }
    }

    /// Makes one more, due or not, and returns when it is due.
    pub(super) fn make_next(&mut self) -> u64 {
        let due_ns = self.due_ns(self.head);
        let at = place(self.head);
        let quote = &mut self.bytes[at..at + QUOTE_BYTES];
        self.head += 1;
        quote::patch(quote, due_ns, self.head);
        due_ns
    }

    /// Writes a frame of the quotes from `from` on, up to `to`, as many as fit; returns where it ends.
    /// Quotes that are not kept any more are left out: the client sees that numbers are missing.
    pub(super) fn write_frame(&self, from: u64, to: u64, out: &mut Vec<u8>) -> u64 {
        let from = from.max(self.head.saturating_sub(KEPT));
        let end = to.min(from + FRAME_QUOTES);
        let count = usize::try_from(end - from).unwrap_or(0);
        frame::write_server_header(out, Opcode::Binary, count * QUOTE_BYTES);
        let at = place(from);
        let first = (count * QUOTE_BYTES).min(self.bytes.len() - at);
        out.extend_from_slice(&self.bytes[at..at + first]);
        out.extend_from_slice(&self.bytes[..count * QUOTE_BYTES - first]);
        end
    }
}

fn place(tick: u64) -> usize {
    usize::try_from(tick % KEPT).unwrap_or(0) * QUOTE_BYTES
}

#[cfg(test)]
mod tests {
    use wire::Encoding;

    use super::*;
    use crate::frame::Parsed;
    use crate::generator::ledger::Ledger;
    use crate::generator::tally::{Arrivals, Cohort, Tally};

    #[test]
    fn ticks_become_due_at_their_time_and_not_before() {
        let mut quotes = Quotes::new(1_000.0, 5_000_000);
        quotes.advance(4_999_999);
        assert_eq!(quotes.head(), 0);
        quotes.advance(5_000_000);
        assert_eq!(quotes.head(), 1);
        quotes.advance(7_999_999);
        assert_eq!((quotes.head(), quotes.due_ns(3)), (3, 8_000_000));
    }

    #[test]
    fn frames_hold_every_quote_once_across_the_logs_end() {
        let mut quotes = Quotes::new(1e6, 1_000);
        let (mut tally, mut ledger) =
            (Tally::new(Encoding::Sbe, Arrivals::Unkept), Ledger::default());
        let (mut next, mut out) = (0, Vec::new());
        while next < KEPT + 1_000 {
            for _ in 0..100 {
                quotes.make_next();
            }
            while next < quotes.head() {
                out.clear();
                next = quotes.write_frame(next, quotes.head(), &mut out);
                let Parsed::Frame(frame) = frame::parse(&out).unwrap() else { panic!("whole") };
                tally.message(&mut ledger, Cohort::Healthy, frame.payload, 0);
            }
        }
        assert_eq!(tally.traffic.messages, quotes.head());
        assert!(!tally.accounting.is_broken(), "{:?}", tally.accounting);
    }

    #[test]
    fn who_is_too_far_behind_misses_what_is_gone() {
        let mut quotes = Quotes::new(1e6, 1_000);
        for _ in 0..KEPT + 10 {
            quotes.make_next();
        }
        let mut out = Vec::new();
        assert_eq!(quotes.write_frame(0, quotes.head(), &mut out), 10 + FRAME_QUOTES);
    }
}
