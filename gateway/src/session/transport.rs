//! The bytes' way to a client: a TCP socket, with or without TLS.
//!
//! Both take what the kernel takes now and keep nothing more, but for one thing: a TLS record cannot be
//! taken back once it is made. So with TLS the socket is asked first, and at most what one call was
//! given stays behind, encrypted.

use std::io;
use std::net::{Shutdown, TcpStream};

use crate::shard::limits::UNCHECKED_SEND_BYTES_MAX;
use crate::tls::TlsSession;

/// A connected socket, and its TLS state if it has one.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: TcpStream,
    tls: Option<Box<TlsSession>>,
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it is on its way.
    All,
    /// The first so many bytes are; the others are the caller's to keep.
    Part(usize),
    /// All of it is taken, but some waits, encrypted, for the socket: see [`Transport::flush`].
    Held,
    /// Nothing was taken.
    Blocked,
    /// The connection is gone.
    Lost,
}

/// What became of a receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes; there may be more.
    Bytes(usize),
    /// So many bytes, and there was no more: the poll set will tell of what comes.
    Last(usize),
    /// The peer has ended its side in good order.
    End,
    /// The connection is gone.
    Lost,
}

impl Transport {
    pub(crate) const fn new(socket: TcpStream, tls: Option<Box<TlsSession>>) -> Self {
        Self { socket, tls }
    }

    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Sends without waiting.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Sent {
        if let Some(tls) = self.tls.as_mut() {
            return tls.send(&self.socket, bytes);
        }
        if !self.has_room(bytes.len()) {
            return Sent::Blocked;
        }
        match sys::send(&self.socket, bytes) {
            Ok(sent) if sent == bytes.len() => Sent::All,
            Ok(sent) => Sent::Part(sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
            Err(_) => Sent::Lost,
        }
    }

    /// Whether so many bytes may be sent now. Few may always: the kernel says whether it takes them.
    #[inline]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        bytes <= UNCHECKED_SEND_BYTES_MAX || sys::is_writable(&self.socket)
    }

    /// Sends what TLS holds. [`Sent::Held`]: some of it still waits.
    pub(crate) fn flush(&mut self) -> Sent {
        match self.tls.as_mut() {
            Some(tls) => tls.flush(&self.socket),
            None => Sent::All,
        }
    }

    /// Receives without waiting.
    pub(crate) fn receive(&mut self, out: &mut [u8]) -> Received {
        if let Some(tls) = self.tls.as_mut() {
            return tls.receive(&self.socket, out);
        }
        match sys::receive(&self.socket, out) {
            Ok(0) => Received::End,
            // Not to fill the buffer means that the queue was empty: epoll(7), question 9.
            Ok(bytes) if bytes < out.len() => Received::Last(bytes),
            Ok(bytes) => Received::Bytes(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Last(0),
            Err(_) => Received::Lost,
        }
    }

    /// Ends our side in good order, after everything that was sent.
    pub(crate) fn finish(&mut self) {
        if let Some(tls) = self.tls.as_mut() {
            tls.finish(&self.socket);
        }
        // It fails only if the connection is gone, which the next receive shows.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Bytes that TLS holds.
    pub(crate) fn held_bytes(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.held_bytes())
    }
}
