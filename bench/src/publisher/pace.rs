//! The publisher's loop: sleep until a tick is due or the server says something, encode everything that
//! is due, write it, note how late it was.
//!
//! One thread, one socket, one `ppoll`, whose timeout is exact to the microsecond where `epoll_wait`
//! rounds to milliseconds. Nothing is due later because a write had to wait.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;

use super::protocol::Connection;
use super::{PublisherArgs, PublisherError, PublisherReport};
use crate::clock::realtime_ns;
use crate::cpu::CpuUse;
use crate::latency::Latency;
use crate::quote::{self, QUOTE_BYTES};

/// Encoded ahead of the socket at most; the rest of what is due stays due.
const BATCH_BYTES: usize = 256 << 10;

/// The kernel may wake a sleeper 50 µs late by default, to save power; a schedule is not the place.
const TIMER_SLACK_NS: u64 = 1;

/// Publishes until standard input ends.
pub(super) fn publish(
    mut connection: Connection,
    args: &PublisherArgs,
) -> Result<PublisherReport, PublisherError> {
    prctl::set_timerslack(TIMER_SLACK_NS)?;
    let began = CpuUse::now();
    let start_ns = realtime_ns();
    let mut schedule =
        Schedule { start_ns, rate: args.rate, topics: u64::from(args.topics), next: 0 };
    let mut quote = QuoteBytes::new();
    let mut batch = Batch::default();
    let mut late = Latency::default();
    loop {
        let mut now_ns = realtime_ns();
        if batch.is_sent() {
            batch.clear(schedule.next);
            while schedule.due_ns(schedule.next) <= now_ns && batch.bytes.len() < BATCH_BYTES {
                let tick = schedule.take();
                connection.publish(&mut batch.bytes, tick.instrument, quote.of(&tick));
            }
        }
        connection.append_answers(&mut batch.bytes);
        batch.send(&mut connection)?;
        if batch.is_sent() {
            now_ns = realtime_ns();
            for n in batch.first..schedule.next {
                late.record(now_ns.saturating_sub(schedule.due_ns(n)));
            }
            batch.first = schedule.next;
        }
        let wait_ns = schedule.due_ns(schedule.next).saturating_sub(now_ns);
        match wait(&connection, batch.is_sent().then_some(wait_ns))? {
            Woken::Ordered => break,
            Woken::Readable => {
                if !connection.receive()? {
                    return Err(PublisherError::Ended(schedule.next));
                }
            }
            Woken::Due => {}
        }
    }
    Ok(PublisherReport {
        ticks: batch.first,
        late: late.percentiles(),
        cpu: CpuUse::now().since(began),
        wall_ns: realtime_ns().saturating_sub(start_ns),
    })
}

/// Which tick is due when.
struct Schedule {
    start_ns: u64,
    rate: f64,
    topics: u64,
    next: u64,
}

#[derive(Debug, PartialEq)]
struct Due {
    instrument: u32,
    seq: u64,
    ts_event_ns: u64,
}

impl Schedule {
    /// From `n`, not from a sum, so that no error accumulates.
    fn due_ns(&self, n: u64) -> u64 {
        #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ticks")]
        let due = n as f64 * (1e9 / self.rate);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and below 2^63 for centuries"
        )]
        let due = due as u64;
        self.start_ns + due
    }

    fn take(&mut self) -> Due {
        let n = self.next;
        self.next += 1;
        Due {
            instrument: u32::try_from(n % self.topics).unwrap_or_default(),
            seq: n / self.topics + 1,
            ts_event_ns: self.due_ns(n),
        }
    }
}

/// What is on its way into the socket.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    sent: usize,
    /// The first tick that the kernel does not have yet.
    first: u64,
}

impl Batch {
    const fn is_sent(&self) -> bool {
        self.sent == self.bytes.len()
    }

    fn clear(&mut self, first: u64) {
        self.bytes.clear();
        self.sent = 0;
        self.first = first;
    }

    /// As much as the socket takes.
    fn send(&mut self, connection: &mut Connection) -> io::Result<()> {
        while !self.is_sent() {
            match connection.socket.write(&self.bytes[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Why it goes on.
enum Woken {
    /// Something is due, or the socket takes more.
    Due,
    /// The server said something.
    Readable,
    /// To end.
    Ordered,
}

/// Sleeps until the next tick is due, or, if that is not known because the socket is full, until it
/// takes more.
fn wait(connection: &Connection, due_in_ns: Option<u64>) -> Result<Woken, PublisherError> {
    let input = io::stdin();
    let wanted = match due_in_ns {
        Some(_) => PollFlags::POLLIN,
        None => PollFlags::POLLIN | PollFlags::POLLOUT,
    };
    let mut sources = [
        PollFd::new(connection.socket.as_fd(), wanted),
        PollFd::new(input.as_fd(), PollFlags::POLLIN),
    ];
    let timeout = due_in_ns.map(|ns| TimeSpec::from_duration(std::time::Duration::from_nanos(ns)));
    match ppoll(&mut sources, timeout, None) {
        Ok(0) | Err(nix::Error::EINTR) => return Ok(Woken::Due),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let is_set = |index: usize, flags| {
        sources.get(index).and_then(PollFd::revents).is_some_and(|events| events.intersects(flags))
    };
    // Nothing is ever written to the input: any event is its end.
    if is_set(1, PollFlags::all()) && io::stdin().read(&mut [0])? == 0 {
        return Ok(Woken::Ordered);
    }
    let readable = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
    Ok(if is_set(0, readable) { Woken::Readable } else { Woken::Due })
}

/// The quote that is patched for each tick.
struct QuoteBytes([u8; QUOTE_BYTES]);

impl QuoteBytes {
    fn new() -> Self {
        Self(quote::template())
    }

    fn of(&mut self, tick: &Due) -> &[u8] {
        quote::patch(&mut self.0, tick.ts_event_ns, tick.seq);
        quote::patch_instrument(&mut self.0, tick.instrument);
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use wire::Channel;

    use super::*;
    use crate::generator::ledger::{Rule, TopicKey};
    use crate::generator::market::{Item, read_sbe};

    #[test]
    fn topics_take_turns_and_each_counts_for_itself() {
        let mut schedule = Schedule { start_ns: 1_000, rate: 2e6, topics: 3, next: 0 };
        let ticks: Vec<(u32, u64, u64)> = std::iter::repeat_with(|| schedule.take())
            .take(5)
            .map(|tick| (tick.instrument, tick.seq, tick.ts_event_ns))
            .collect();
        let expected = [(0, 1, 1_000), (1, 1, 1_500), (2, 1, 2_000), (0, 2, 2_500), (1, 2, 3_000)];
        assert_eq!(ticks, expected);
    }

    #[test]
    fn a_quote_is_what_the_generator_reads() {
        let mut quote = QuoteBytes::new();
        let bytes = quote.of(&Due { instrument: 77, seq: 8, ts_event_ns: 9 });
        assert_eq!(bytes.len(), 64);
        let mut items = Vec::new();
        read_sbe(bytes, |item| items.push(item)).unwrap();
        let expected = Item::Data {
            topic: TopicKey::new(77, Channel::Quote.code()).unwrap(),
            rule: Rule::Contiguous,
            seq: 8,
            ts_event_ns: 9,
            ring_delay_ns: 0,
        };
        assert_eq!(items, [expected]);
    }
}
