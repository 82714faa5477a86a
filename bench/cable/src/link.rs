//! A proxied connection: the client's socket, the server's, and a [`Path`] in each direction.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::path::{Path, Shape};

/// The most bytes taken at once: a chunk arrives as a whole, so chunks are to be small beside what a
/// millisecond carries on a fast link.
const CHUNK_BYTES: usize = 16 << 10;

/// Segments as on an Ethernet. With loopback's of 64 KiB the small buffers below would stall.
const SEGMENT_BYTES: u32 = 1448;

/// Receive buffers, before the kernel doubles them. What waits there is neither with the sender nor on
/// the way, and so is to be little.
const RECEIVE_BYTES: usize = 32 << 10;

/// Whether a link goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// Both sides have said all there was, or one is broken.
    Over,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
    up: Direction,
    down: Direction,
}

#[derive(Debug)]
struct Direction {
    path: Path,
    source: Source,
}

/// Whether a side may still say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Talking,
    /// It has closed its half; what is on the way is still delivered, then the other half is closed.
    Finished,
    Closed,
}

impl Link {
    /// Begins to connect to the server.
    pub(crate) fn connect(client: TcpStream, to: SocketAddr, shape: Shape) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        socket.set_tcp_mss(SEGMENT_BYTES)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => {
                return Err(error);
            }
            _ => {}
        }
        client.set_nodelay(true)?;
        let direction = || Direction { path: Path::new(shape), source: Source::Talking };
        let server = TcpStream::from_std(socket.into());
        Ok(Self { client, server, up: direction(), down: direction() })
    }

    /// Moves what can be moved at this moment. The clock is asked after each read: bytes that came while
    /// this process did not run are not to arrive early for it.
    pub(crate) fn turn(&mut self, clock_ns: &impl Fn() -> u64) -> State {
        let Self { client, server, up, down } = self;
        let moved = up.turn(client, server, clock_ns).and(down.turn(server, client, clock_ns));
        let is_over = up.source == Source::Closed && down.source == Source::Closed;
        if moved.is_err() || is_over { State::Over } else { State::Open }
    }

    /// Ends both connections without a goodbye.
    pub(crate) fn reset(self) {
        for socket in [&self.client, &self.server] {
            // One that is broken already needs none.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// When there is something to do without an event of a socket.
    pub(crate) fn next_change_ns(&self, now_ns: u64) -> Option<u64> {
        let both = [&self.up, &self.down].map(|way| way.path.next_change_ns(now_ns));
        both.into_iter().flatten().min()
    }
}

impl Direction {
    fn turn(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        clock_ns: &impl Fn() -> u64,
    ) -> io::Result<()> {
        self.take_in(from, clock_ns)?;
        self.give_out(to, clock_ns())?;
        if self.source == Source::Finished && self.path.is_empty() {
            self.source = Source::Closed;
            // The other side may be gone altogether.
            let _ = to.shutdown(std::net::Shutdown::Write);
        }
        Ok(())
    }

    fn take_in(&mut self, from: &mut TcpStream, clock_ns: &impl Fn() -> u64) -> io::Result<()> {
        while self.source == Source::Talking {
            let room = self.path.room(clock_ns()).min(CHUNK_BYTES);
            if room == 0 {
                break;
            }
            let mut bytes = vec![0; room];
            match from.read(&mut bytes) {
                Ok(0) => self.source = Source::Finished,
                Ok(read) => {
                    bytes.truncate(read);
                    self.path.push(bytes, clock_ns());
                }
                Err(error) if is_not_yet(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn give_out(&mut self, to: &mut TcpStream, now_ns: u64) -> io::Result<()> {
        while let Some(bytes) = self.path.arrived(now_ns) {
            match to.write(bytes) {
                Ok(written) => self.path.take(written, now_ns),
                Err(error) if is_not_yet(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Nothing now; an event will come. A socket that is still connecting is no different.
fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}
