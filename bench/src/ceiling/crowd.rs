//! The connections of a bare sender: each a socket and how far it has got. No hub, no subscriptions, no
//! limits: what is left when everything that makes a gateway is taken away.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::AsFd;

use sys::SendBatch;

use super::quotes::Quotes;
use super::{CeilingError, SenderReport, Via};

/// One connection.
struct Seat {
    socket: TcpStream,
    /// The first tick that it has not got.
    next: u64,
    /// The end of a frame that its socket took in part.
    rest: Vec<u8>,
}

/// See the module's documentation.
pub(super) struct Crowd {
    seats: Vec<Seat>,
    carrier: Carrier,
}

enum Carrier {
    Send { scratch: Vec<u8> },
    IoUring { batch: Box<SendBatch>, group: usize, planned: Vec<Planned> },
}

/// A send of a batch: whose, which part of the arena, and where its seat is after it.
struct Planned {
    seat: usize,
    start: usize,
    end: usize,
    next: u64,
}

/// What everybody is to be brought up to.
#[derive(Clone, Copy)]
pub(super) enum UpTo {
    /// This tick, whatever else becomes due meanwhile.
    Tick(u64),
    /// Whatever is due at the connection's turn, by the clock given.
    Now(fn() -> u64),
}

impl Crowd {
    /// The sockets must not block.
    pub(super) fn new(
        sockets: Vec<TcpStream>,
        via: Via,
        group: usize,
    ) -> Result<Self, CeilingError> {
        let group = group.max(1);
        let carrier = match via {
            Via::Send => Carrier::Send { scratch: Vec::new() },
            Via::IoUring => Carrier::IoUring {
                batch: Box::new(SendBatch::new(group).map_err(CeilingError::IoUring)?),
                group,
                planned: Vec::with_capacity(group),
            },
        };
        let seat = |socket| Seat { socket, next: 0, rest: Vec::new() };
        Ok(Self { seats: sockets.into_iter().map(seat).collect(), carrier })
    }

    /// The first tick that somebody has not got.
    pub(super) fn slowest(&self) -> u64 {
        self.seats.iter().map(|seat| seat.next).min().unwrap_or(0)
    }

    /// Goes over all connections once. Returns how many sends that took; an error means that somebody
    /// has gone.
    pub(super) fn pass(
        &mut self,
        quotes: &mut Quotes,
        up_to: UpTo,
        report: &mut SenderReport,
    ) -> io::Result<u64> {
        let before = report.sends;
        let Self { seats, carrier } = self;
        match carrier {
            Carrier::Send { scratch } => {
                let mut written = None;
                for seat in seats {
                    let to = head(quotes, up_to);
                    if seat.next >= to || !seat.has_room(report)? {
                        continue;
                    }
                    // Neighbours mostly get the same bytes, which are written once.
                    if written.is_none_or(|(from, at, _)| (from, at) != (seat.next, to)) {
                        scratch.clear();
                        let end = quotes.write_frame(seat.next, to, scratch);
                        written = Some((seat.next, to, end));
                    }
                    let next = written.map_or(to, |(_, _, end)| end);
                    let sent = sys::send(&seat.socket, scratch);
                    seat.sent(sent, scratch, next, report)?;
                }
            }
            Carrier::IoUring { batch, group, planned } => {
                let mut at = 0;
                while at < seats.len() {
                    let to = head(quotes, up_to);
                    at = plan(seats, at, *group, quotes, to, batch, planned, report)?;
                    submit(seats, batch, planned, report)?;
                }
            }
        }
        Ok(report.sends - before)
    }
}

fn head(quotes: &mut Quotes, up_to: UpTo) -> u64 {
    match up_to {
        UpTo::Tick(tick) => tick,
        UpTo::Now(clock) => {
            quotes.advance(clock());
            quotes.head()
        }
    }
}

/// Gathers a group of sends from seat `at` on; returns the seat behind it.
#[expect(clippy::too_many_arguments, reason = "the parts of a carrier, borrowed apart")]
fn plan(
    seats: &mut [Seat],
    mut at: usize,
    group: usize,
    quotes: &Quotes,
    to: u64,
    batch: &mut SendBatch,
    planned: &mut Vec<Planned>,
    report: &mut SenderReport,
) -> io::Result<usize> {
    planned.clear();
    let arena = batch.arena();
    arena.clear();
    let mut written = None;
    while planned.len() < group && at < seats.len() {
        let seat = &mut seats[at];
        at += 1;
        if seat.next >= to || !seat.has_room(report)? {
            continue;
        }
        let frame = match written {
            Some((from, frame)) if from == seat.next => frame,
            _ => {
                let start = arena.len();
                let next = quotes.write_frame(seat.next, to, arena);
                (start, arena.len(), next)
            }
        };
        written = Some((seat.next, frame));
        let (start, end, next) = frame;
        planned.push(Planned { seat: at - 1, start, end, next });
    }
    Ok(at)
}

fn submit(
    seats: &mut [Seat],
    batch: &mut SendBatch,
    planned: &[Planned],
    report: &mut SenderReport,
) -> io::Result<()> {
    let sends = planned.iter().map(|plan| (seats[plan.seat].socket.as_fd(), plan.start..plan.end));
    batch.send(sends);
    for (index, plan) in planned.iter().enumerate() {
        let sent = batch.outcome(index);
        let bytes = &batch.arena()[plan.start..plan.end];
        seats[plan.seat].sent(sent, bytes, plan.next, report)?;
    }
    Ok(())
}

impl Seat {
    /// Whether the next frame may go; first what is left of the last one has to.
    fn has_room(&mut self, report: &mut SenderReport) -> io::Result<bool> {
        if self.rest.is_empty() {
            return Ok(true);
        }
        match sys::send(&self.socket, &self.rest) {
            Ok(sent) => {
                self.rest.drain(..sent);
                Ok(self.rest.is_empty())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                report.blocked += 1;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn sent(
        &mut self,
        sent: io::Result<usize>,
        frame: &[u8],
        next: u64,
        report: &mut SenderReport,
    ) -> io::Result<()> {
        match sent {
            Ok(bytes) => {
                report.sends += 1;
                if bytes < frame.len() {
                    report.short += 1;
                    self.rest.extend_from_slice(&frame[bytes..]);
                }
                self.next = next;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                report.blocked += 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::frame::{self, Parsed};
    use crate::quote::QUOTE_BYTES;

    fn pairs(count: usize) -> (Vec<TcpStream>, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pair = |_| {
            let near = TcpStream::connect(address).unwrap();
            let far = listener.accept().unwrap().0;
            far.set_nonblocking(true).unwrap();
            (near, far)
        };
        (0..count).map(pair).unzip()
    }

    /// How many quotes are in the frames that come, until as many have.
    fn quotes_per_frame(socket: &mut TcpStream, mut wanted: usize) -> Vec<usize> {
        let (mut bytes, mut frames) = (Vec::new(), Vec::new());
        while wanted > 0 {
            let mut chunk = [0; 4096];
            let read = socket.read(&mut chunk).unwrap();
            bytes.extend_from_slice(&chunk[..read]);
            while let Ok(Parsed::Frame(frame)) = frame::parse(&bytes) {
                let quotes = frame.payload.len() / QUOTE_BYTES;
                let len = frame.len;
                frames.push(quotes);
                wanted = wanted.saturating_sub(quotes);
                bytes.drain(..len);
            }
        }
        frames
    }

    /// A clock that goes on by a tick with every look at it.
    fn ticking_clock() -> u64 {
        static NOW_NS: AtomicU64 = AtomicU64::new(1_000_000);
        NOW_NS.fetch_add(1_000_000, Ordering::Relaxed)
    }

    fn carriers() -> Vec<Via> {
        // Where the kernel forbids io_uring there is only the one.
        let probe = SendBatch::new(4);
        if probe.is_ok() { vec![Via::Send, Via::IoUring] } else { vec![Via::Send] }
    }

    #[test]
    fn a_pass_brings_everybody_to_the_same_tick() {
        for via in carriers() {
            let (mut near, far) = pairs(10);
            let mut crowd = Crowd::new(far, via, 4).unwrap();
            let mut quotes = Quotes::new(1_000.0, 0);
            let mut report = SenderReport::default();
            for _ in 0..3 {
                quotes.make_next();
            }
            assert_eq!(crowd.pass(&mut quotes, UpTo::Tick(2), &mut report).unwrap(), 10);
            assert_eq!(crowd.pass(&mut quotes, UpTo::Tick(2), &mut report).unwrap(), 0);
            assert_eq!(crowd.pass(&mut quotes, UpTo::Tick(3), &mut report).unwrap(), 10);
            assert_eq!(crowd.slowest(), 3);
            for socket in &mut near {
                assert_eq!(quotes_per_frame(socket, 3), [2, 1]);
            }
        }
    }

    #[test]
    fn late_binding_gives_later_connections_what_became_due_meanwhile() {
        let (mut near, far) = pairs(3);
        let mut crowd = Crowd::new(far, Via::Send, 1).unwrap();
        let mut quotes = Quotes::new(1_000.0, ticking_clock());
        let mut report = SenderReport::default();
        crowd.pass(&mut quotes, UpTo::Now(ticking_clock), &mut report).unwrap();
        let got: Vec<usize> =
            near.iter_mut().map(|socket| quotes_per_frame(socket, 1)[0]).collect();
        assert!(got[0] < got[1] && got[1] < got[2], "{got:?}");
        assert_eq!(crowd.slowest(), got[0] as u64);
    }

    #[test]
    fn a_full_socket_keeps_its_place_and_misses_nothing() {
        for via in carriers() {
            let (mut near, far) = pairs(2);
            socket2::SockRef::from(&far[0]).set_send_buffer_size(4096).unwrap();
            socket2::SockRef::from(&near[0]).set_recv_buffer_size(4096).unwrap();
            let mut crowd = Crowd::new(far, via, 2).unwrap();
            let mut quotes = Quotes::new(1_000.0, 0);
            let mut report = SenderReport::default();
            while report.blocked == 0 {
                for _ in 0..100 {
                    quotes.make_next();
                }
                let up_to = UpTo::Tick(quotes.head());
                crowd.pass(&mut quotes, up_to, &mut report).unwrap();
            }
            let wanted = usize::try_from(quotes.head()).unwrap();
            let reader = near.remove(0);
            let reading = std::thread::spawn(move || {
                let mut reader = reader;
                quotes_per_frame(&mut reader, wanted).into_iter().sum::<usize>()
            });
            while crowd.slowest() < quotes.head() {
                let up_to = UpTo::Tick(quotes.head());
                crowd.pass(&mut quotes, up_to, &mut report).unwrap();
            }
            // The last rest goes with the tick behind it.
            while !crowd.seats[0].rest.is_empty() {
                crowd.seats[0].has_room(&mut report).unwrap();
            }
            assert_eq!(reading.join().unwrap(), wanted);
        }
    }
}
