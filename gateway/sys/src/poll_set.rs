//! The poll set: which of a shard's many sockets became readable or writable.
//!
//! Edge-triggered. A socket is registered once, for both directions, and never re-armed: after a read
//! or a send came back short, the next change of its state is reported. A socket that can be written
//! to costs nothing while it stays so.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};

/// Names a registered descriptor in what [`PollSet::poll`] reports: a slot and the generation of its
/// use, so that a report about a socket closed meanwhile is not taken for one about its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Index of the slot.
    pub slot: u32,
    /// Which use of the slot.
    pub generation: u32,
}

impl Token {
    fn pack(self) -> mio::Token {
        let word = u64::from(self.generation) << 32 | u64::from(self.slot);
        mio::Token(usize::try_from(word).expect("64-bit targets only"))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves are taken apart on purpose")]
    fn unpack(token: mio::Token) -> Self {
        let word = token.0 as u64;
        Self { slot: word as u32, generation: (word >> 32) as u32 }
    }
}

/// Whether there is something to read, and whether an end may stand behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// Nothing new.
    No,
    /// Bytes, perhaps.
    Yes,
    /// The peer has closed its side, or the socket failed: read until the end or the error shows,
    /// no further report will come.
    ToTheEnd,
}

/// One report.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// About what.
    pub token: Token,
    /// Readiness to be read.
    pub readable: Readable,
    /// Whether a send may succeed again.
    pub writable: bool,
}

/// A set of descriptors, edge-triggered for reading and writing.
#[derive(Debug)]
pub struct PollSet {
    poll: Poll,
    events: Events,
}

impl PollSet {
    /// An empty set that reports at most `batch` descriptors at a time.
    ///
    /// # Errors
    /// If the kernel refuses, for want of descriptors.
    pub fn new(batch: usize) -> io::Result<Self> {
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(batch) })
    }

    /// Adds a descriptor. Closing it removes it, if it has no duplicates.
    ///
    /// # Errors
    /// If the kernel refuses: a descriptor that cannot be polled, or the user's limit on watches.
    pub fn add(&self, descriptor: &impl AsFd, token: Token) -> io::Result<()> {
        let fd = descriptor.as_fd().as_raw_fd();
        self.poll.registry().register(
            &mut SourceFd(&fd),
            token.pack(),
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// Removes a descriptor that stays open, or that has duplicates.
    ///
    /// # Errors
    /// If it was not in the set.
    pub fn remove(&self, descriptor: &impl AsFd) -> io::Result<()> {
        let fd = descriptor.as_fd().as_raw_fd();
        self.poll.registry().deregister(&mut SourceFd(&fd))
    }

    /// Appends what happened since the last call, waiting for it at most `timeout`. Returns whether
    /// there may be more.
    ///
    /// # Errors
    /// Those of `epoll_wait`; an interruption counts as nothing having happened.
    pub fn poll(&mut self, out: &mut Vec<Ready>, timeout: Duration) -> io::Result<bool> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            other => other?,
        }
        let before = out.len();
        out.extend(self.events.iter().map(|event| Ready {
            token: Token::unpack(event.token()),
            readable: match (event.is_readable(), event.is_read_closed() || event.is_error()) {
                (_, true) => Readable::ToTheEnd,
                (true, false) => Readable::Yes,
                (false, false) => Readable::No,
            },
            writable: event.is_writable(),
        }));
        Ok(out.len() - before >= self.events.capacity())
    }
}

impl AsRawFd for PollSet {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// The kernel is quicker, wherever it runs.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn edges_are_reported_once_with_their_tokens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        far.set_nonblocking(true).unwrap();

        let mut set = PollSet::new(16).unwrap();
        let token = Token { slot: 7, generation: u32::MAX };
        set.add(&far, token).unwrap();
        let mut ready = Vec::new();
        set.poll(&mut ready, PATIENCE).unwrap();
        assert!(ready[0].writable && ready[0].readable == Readable::No);

        near.write_all(b"x").unwrap();
        ready.clear();
        set.poll(&mut ready, PATIENCE).unwrap();
        assert_eq!((ready[0].token, ready[0].readable), (token, Readable::Yes));
        ready.clear();
        set.poll(&mut ready, Duration::ZERO).unwrap();
        assert!(ready.is_empty(), "an edge is reported once, read or not");

        assert_eq!(far.read(&mut [0; 8]).unwrap(), 1);
        drop(near);
        set.poll(&mut ready, PATIENCE).unwrap();
        assert_eq!(ready[0].readable, Readable::ToTheEnd);
    }
}
