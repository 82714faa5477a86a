//! Sends to many sockets with one system call: an `io_uring` that knows nothing but `send`.
//!
//! Messages lie in one arena, [`SendBatch::arena`]; [`SendBatch::send`] hands any number of its parts to
//! any sockets and returns when the kernel has answered for each. No send waits for its socket: one
//! that takes nothing answers `WouldBlock`, as [`send`](crate::send) would. The kernel reads the arena
//! while it works, so the arena belongs to the batch, and no part of it can be touched before the last
//! answer is in.
//!
//! For one thread: the ring is set up for a single submitter.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;

use io_uring::{IoUring, opcode, squeue, types};

use crate::socket::send_raw;

/// See the module's header.
pub struct SendBatch {
    ring: IoUring,
    arena: Vec<u8>,
    /// What is to be sent, prepared; kept for its memory.
    entries: Vec<squeue::Entry>,
    /// Which socket each entry is for, and which part of the arena.
    targets: Vec<(RawFd, Range<usize>)>,
    /// The kernel's answers: bytes, or a negative error number.
    answers: Vec<i32>,
    state: State,
}

/// Whether the ring can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Working,
    /// The kernel refused to go on. What it may still read has been given up to it.
    Broken,
}

/// An answer that never came. No error number of the kernel's is as low.
const NO_ANSWER: i32 = i32::MIN;

/// How often in a row the kernel may be short of memory for a batch before the ring is given up.
const REFUSALS_MAX: u32 = 1000;

impl SendBatch {
    /// A ring that takes `capacity` sends in one system call, tried once on a socket of its own.
    ///
    /// # Errors
    /// If the kernel has no `io_uring`, forbids it (containers often do) or does not do sends the way
    /// this needs: whoever asks uses plain sends then.
    pub fn new(capacity: usize) -> io::Result<Self> {
        let entries = u32::try_from(capacity.max(1)).map_err(io::Error::other)?;
        let ring = IoUring::builder()
            // One thread submits (Linux 6.0), completions are handled when it asks for them (6.1):
            // no interruptions in between. Entries behind one that fails are taken too (5.18).
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .build(entries)
            // Older kernels know none of these, and work all the same.
            .or_else(|_| IoUring::builder().setup_clamp().build(entries))?;
        let mut batch = Self {
            ring,
            arena: Vec::new(),
            entries: Vec::new(),
            targets: Vec::new(),
            answers: Vec::new(),
            state: State::Working,
        };
        batch.probe()?;
        Ok(batch)
    }

    /// Where messages are put before they are sent. Empty it when none of them is wanted any more.
    pub const fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// A part of the arena.
    ///
    /// # Panics
    /// If it is not inside of it.
    #[must_use]
    pub fn message(&self, part: Range<usize>) -> &[u8] {
        &self.arena[part]
    }

    /// Sends parts of the arena, each to its socket, in this order for each socket. Takes as many
    /// system calls as it takes batches of the ring's capacity. When this returns,
    /// [`SendBatch::outcome`] tells what became of each.
    ///
    /// # Panics
    /// If a part is not inside of the arena; nothing is sent then.
    pub fn send<'fd>(&mut self, sends: impl IntoIterator<Item = (BorrowedFd<'fd>, Range<usize>)>) {
        self.targets.clear();
        self.answers.clear();
        // Everything that is the caller's code runs before the kernel gets to see anything.
        for (socket, part) in sends {
            assert!(part.start <= part.end && part.end <= self.arena.len(), "outside of the arena");
            self.targets.push((socket.as_raw_fd(), part));
        }
        self.answers.resize(self.targets.len(), NO_ANSWER);
        let capacity = self.ring.params().sq_entries() as usize;
        let mut from = 0;
        while from < self.targets.len() && self.state == State::Working {
            let to = self.targets.len().min(from + capacity);
            self.submit(from..to);
            from = to;
        }
        self.send_unanswered();
    }

    /// What became of one send of the last [`SendBatch::send`], counted from 0.
    ///
    /// # Errors
    /// `WouldBlock` if the socket took nothing; otherwise the connection is lost.
    ///
    /// # Panics
    /// If there were fewer sends.
    #[inline]
    pub fn outcome(&self, index: usize) -> io::Result<usize> {
        let answer = self.answers[index];
        usize::try_from(answer).map_err(|_| io::Error::from_raw_os_error(answer.wrapping_neg()))
    }

    /// Whether the kernel has refused to go on. Sends are plain ones from then on.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        matches!(self.state, State::Broken)
    }

    /// Hands one batch to the kernel and takes its answers.
    fn submit(&mut self, batch: Range<usize>) {
        self.entries.clear();
        for (index, (fd, part)) in (0u64..).zip(&self.targets[batch.clone()]) {
            let message = &self.arena[part.clone()];
            // What is longer is sent in part.
            let len = u32::try_from(message.len()).unwrap_or(u32::MAX >> 1);
            let send = opcode::Send::new(types::Fd(*fd), message.as_ptr(), len);
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            self.entries.push(send.flags(flags).build().user_data(index));
        }
        // SAFETY: the entries point into `arena` and name the sockets that the caller of `send`
        // lends until that returns. Neither `arena` nor the sockets are touched before every entry
        // is answered for: this function does not return earlier, unless the ring is given up, when
        // `give_up` leaks the arena and nothing is submitted any more.
        let pushed = unsafe { self.ring.submission().push_multiple(&self.entries) };
        pushed.expect("the batch fits into the ring, which is empty between two batches");

        let mut left = batch.len();
        let mut refusals = 0;
        while left > 0 {
            let submitted = self.ring.submit_and_wait(left);
            for answer in self.ring.completion() {
                let index = usize::try_from(answer.user_data()).unwrap_or(usize::MAX);
                if let Some(slot) = self.answers[batch.clone()].get_mut(index) {
                    *slot = answer.result();
                }
                left -= 1;
            }
            if let Err(error) = submitted {
                refusals += 1;
                let passes = matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM)
                );
                if !passes || refusals > REFUSALS_MAX {
                    return self.give_up(&batch);
                }
            }
        }
    }

    /// Ends the use of the ring, with a batch in it. What the kernel has begun and not answered for
    /// cannot be known any more: those connections count as lost.
    #[cold]
    fn give_up(&mut self, batch: &Range<usize>) {
        self.state = State::Broken;
        let waiting = self.ring.submission().len();
        for answer in &mut self.answers[batch.start..batch.end - waiting] {
            if *answer == NO_ANSWER {
                *answer = -libc::EIO;
            }
        }
        // The kernel may read it for as long as the process lives.
        let kept = self.arena.clone();
        std::mem::forget(std::mem::replace(&mut self.arena, kept));
    }

    /// Sends one by one what no ring has taken, or what a signal interrupted.
    fn send_unanswered(&mut self) {
        for (answer, (fd, part)) in self.answers.iter_mut().zip(&self.targets) {
            if *answer == NO_ANSWER || *answer == -libc::EINTR {
                *answer = match send_raw(*fd, &self.arena[part.clone()]) {
                    Ok(sent) => i32::try_from(sent).unwrap_or(i32::MAX),
                    Err(error) => -error.raw_os_error().unwrap_or(libc::EIO),
                };
            }
        }
    }

    /// Whether it works here: a message must arrive.
    fn probe(&mut self) -> io::Result<()> {
        let (mut near, far) = UnixStream::pair()?;
        self.arena.extend_from_slice(b"probe");
        self.send([(far.as_fd(), 0..5)]);
        let sent = self.outcome(0);
        self.arena.clear();
        if self.is_broken() {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        }
        let mut heard = [0; 5];
        if sent? != heard.len() {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        near.read_exact(&mut heard)
    }
}

impl fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBatch").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A batch, or `None` where the kernel forbids it: there is nothing to be tested then.
    fn batch(capacity: usize) -> Option<SendBatch> {
        SendBatch::new(capacity).inspect_err(|error| eprintln!("no io_uring here: {error}")).ok()
    }

    /// Both ends of a connection: the client's, and ours, which never waits.
    fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        far.set_nonblocking(true).unwrap();
        (near, far)
    }

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn each_socket_gets_its_part_however_small_the_ring() {
        for capacity in [1, 4, 64] {
            let Some(mut batch) = batch(capacity) else { return };
            let listener = listener();
            let pairs: Vec<_> = (0..50).map(|_| pair(&listener)).collect();
            for round in 0u8..3 {
                batch.arena().clear();
                batch.arena().extend((0u8..50).flat_map(|i| [i, round]));
                batch.send(
                    pairs.iter().enumerate().map(|(i, (_, far))| (far.as_fd(), 2 * i..2 * i + 2)),
                );
                for (i, (near, _)) in (0u8..).zip(&pairs) {
                    assert_eq!(batch.outcome(usize::from(i)).unwrap(), 2);
                    let mut heard = [0; 2];
                    let mut near = near;
                    near.read_exact(&mut heard).unwrap();
                    assert_eq!(heard, [i, round]);
                }
            }
        }
    }

    #[test]
    fn messages_for_one_socket_arrive_in_order() {
        let Some(mut batch) = batch(64) else { return };
        let listener = listener();
        let (mut near, far) = pair(&listener);
        batch.arena().extend(0..200u8);
        batch.send((0..200).map(|i| (far.as_fd(), i..i + 1)));
        let mut heard = [0; 200];
        near.read_exact(&mut heard).unwrap();
        assert!(heard.iter().copied().eq(0..200));
    }

    #[test]
    fn a_socket_that_is_full_says_so_and_holds_nobody_up() {
        let Some(mut batch) = batch(8) else { return };
        let listener = listener();
        let (mut stalled, full) = pair(&listener);
        let (mut reading, free) = pair(&listener);
        socket2::SockRef::from(&full).set_send_buffer_size(8192).unwrap();
        batch.arena().resize(1 << 20, 7);

        // The first takes a part only: it is longer than what may be under way.
        let (mut taken, mut short) = (0, 0);
        let mut was_blocked = false;
        for _ in 0..1000 {
            batch.send([(full.as_fd(), 0..1 << 20), (free.as_fd(), 0..1)]);
            match batch.outcome(0) {
                Ok(bytes) => {
                    taken += bytes;
                    short += usize::from(bytes < 1 << 20);
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    was_blocked = true;
                }
            }
            assert_eq!(batch.outcome(1).unwrap(), 1, "nobody else waits");
            reading.read_exact(&mut [0]).unwrap();
            if was_blocked {
                break;
            }
        }
        assert!(was_blocked && short > 0, "{taken} bytes, {short} short");

        // What it said to have taken is what arrives.
        drop(full);
        let mut heard = Vec::new();
        stalled.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), taken);
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_of_its_own_send_only() {
        let Some(mut batch) = batch(8) else { return };
        let listener = listener();
        let (gone, far) = pair(&listener);
        let (mut near, other) = pair(&listener);
        socket2::SockRef::from(&gone).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(gone);
        batch.arena().extend_from_slice(b"hello");
        // The reset travels on its own time.
        let lost = (0..10_000).find_map(|_| {
            batch.send([(far.as_fd(), 0..5), (other.as_fd(), 0..5)]);
            assert_eq!(batch.outcome(1).unwrap(), 5);
            let mut heard = [0; 5];
            near.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");
            batch.outcome(0).err()
        });
        let kind = lost.expect("a reset connection takes nothing").kind();
        assert!(matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe));
        assert!(!batch.is_broken());
    }

    #[test]
    fn a_part_outside_of_the_arena_sends_nothing() {
        let Some(mut batch) = batch(8) else { return };
        let listener = listener();
        let (mut near, far) = pair(&listener);
        batch.arena().extend_from_slice(b"whole");
        let outside = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            batch.send([(far.as_fd(), 0..5), (far.as_fd(), 3..6)]);
        }));
        assert!(outside.is_err());
        batch.send([(far.as_fd(), 0..5)]);
        drop(far);
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"whole");
    }

    #[test]
    fn what_was_never_sent_is_dropped_with_the_batch() {
        let Some(mut batch) = batch(8) else { return };
        let listener = listener();
        let (mut near, far) = pair(&listener);
        batch.arena().extend_from_slice(b"sent, not sent");
        batch.send([(far.as_fd(), 0..4)]);
        drop(batch);
        drop(far);
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"sent");
    }

    #[test]
    fn a_ring_that_was_given_up_sends_one_by_one() {
        let Some(mut batch) = batch(8) else { return };
        let listener = listener();
        let (mut near, far) = pair(&listener);
        batch.arena().extend_from_slice(b"still");
        batch.give_up(&(0..0));
        assert!(batch.is_broken());
        batch.send([(far.as_fd(), 0..5)]);
        assert_eq!(batch.outcome(0).unwrap(), 5);
        let mut heard = [0; 5];
        near.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"still");
    }
}
