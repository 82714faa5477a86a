//! The ramp: which connection is opened when.
//!
//! Connects start at a bounded rate and with a bounded number under way, so that the accept queue of
//! the server under test is neither flooded nor idle; a connection that is to be opened again waits
//! for a random part of a pause that doubles with each failure ("full jitter"), and then its turn in
//! the same rate.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Connects a slow start may catch up on at once: a late timer costs no rate, a long sleep no burst.
const BURST_MAX: f64 = 64.0;

/// See the module's documentation.
pub(super) struct Ramp {
    wanted: usize,
    next: usize,
    /// Under way: connect begun, neither open nor failed.
    under_way: usize,
    concurrency: usize,
    rate: f64,
    /// Connects that may begin, refilled with time.
    allowance: f64,
    refilled: Instant,
    again: BinaryHeap<Reverse<(Instant, usize)>>,
    random: u64,
}

impl Ramp {
    pub(super) fn new(wanted: u64, rate: f64, concurrency: usize) -> Self {
        Self {
            wanted: usize::try_from(wanted).unwrap_or(usize::MAX),
            next: 0,
            under_way: 0,
            concurrency: concurrency.max(1),
            rate: rate.max(1e-3),
            allowance: 1.0,
            refilled: Instant::now(),
            again: BinaryHeap::new(),
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// The next connection that may be opened now.
    pub(super) fn take(&mut self, now: Instant) -> Option<usize> {
        let elapsed = now.saturating_duration_since(self.refilled);
        self.refilled = now;
        self.allowance = (self.allowance + elapsed.as_secs_f64() * self.rate).min(BURST_MAX);
        if self.under_way >= self.concurrency || self.allowance < 1.0 {
            return None;
        }
        let due = self.again.peek().is_some_and(|Reverse((at, _))| *at <= now);
        let index = if due {
            self.again.pop().map(|Reverse((_, index))| index)?
        } else if self.next < self.wanted {
            self.next += 1;
            self.next - 1
        } else {
            return None;
        };
        self.allowance -= 1.0;
        self.under_way += 1;
        Some(index)
    }

    /// When [`Self::take`] should be asked again, unless a connection settles before.
    pub(super) fn next_at(&self) -> Option<Instant> {
        if self.under_way >= self.concurrency {
            return None;
        }
        let waiting = self.again.peek().map(|Reverse((at, _))| *at);
        let wanted = if self.next < self.wanted { Some(self.refilled) } else { waiting };
        let refill = Duration::from_secs_f64((1.0 - self.allowance).max(0.0) / self.rate);
        wanted.map(|at| at.max(self.refilled + refill))
    }

    /// A connection is open, or has failed before it was.
    pub(super) const fn settled(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A connection is to be opened again, after a pause.
    pub(super) fn again(&mut self, index: usize, attempts: u32) {
        let pause = PAUSE_MIN.saturating_mul(1 << attempts.min(10)).min(PAUSE_MAX);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let part = (self.random >> 11) as f64 / (1u64 << 53) as f64;
        self.again.push(Reverse((Instant::now() + pause.mul_f64(part), index)));
    }

    /// Opens no more for the first time.
    pub(super) const fn give_up(&mut self) {
        self.wanted = self.next;
    }

    /// Whether every connection has been opened, or failed.
    pub(super) const fn is_done(&self) -> bool {
        self.next >= self.wanted && self.under_way == 0
    }
}

/// Begins a connect, from `source` if given; it is under way when this returns. A receive buffer in
/// bytes is set before, because the window is negotiated with the connection.
pub(super) fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
    receive_buffer: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(source) = source {
        // Without it the kernel looks for a port free for all destinations at bind already.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_concurrency_are_bounded() {
        let mut ramp = Ramp::new(1_000, 100.0, 5);
        let start = ramp.refilled;
        assert_eq!(ramp.take(start), Some(0));
        assert_eq!(ramp.take(start), None, "the rate allows one in 10 ms");
        let due = ramp.next_at().unwrap();
        assert!(due <= start + Duration::from_millis(11) && due > start);
        assert_eq!(ramp.take(start + Duration::from_millis(11)), Some(1));
        let later = start + Duration::from_secs(1);
        let taken: Vec<usize> = std::iter::from_fn(|| ramp.take(later)).collect();
        assert_eq!(taken, [2, 3, 4], "five are under way");
        assert_eq!(ramp.next_at(), None);
        ramp.settled();
        assert_eq!(ramp.take(later), Some(5));
    }

    #[test]
    fn a_late_timer_makes_no_flood() {
        let mut ramp = Ramp::new(100_000, 1_000.0, usize::MAX);
        let hour = ramp.refilled + Duration::from_secs(3_600);
        assert_eq!(std::iter::from_fn(|| ramp.take(hour)).count(), 64);
    }

    #[test]
    fn what_closed_is_opened_again_after_a_pause() {
        let mut ramp = Ramp::new(1, 1e6, 8);
        assert_eq!(ramp.take(ramp.refilled), Some(0));
        ramp.settled();
        assert!(ramp.is_done());
        ramp.again(0, 3);
        let soon = Instant::now() + Duration::from_millis(900);
        assert_eq!(ramp.take(soon), Some(0), "at most 100 ms times two to the third");
    }
}
