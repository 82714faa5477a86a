//! TLS on a shard's sockets, after the handshake: encrypting what is sent, decrypting what arrives.
//!
//! Handshakes are tasks with tokio-rustls (see [`http`](crate::http)); then the connection's state is
//! taken out of the task and driven here, by the loop that drives plain sockets too. Certificates are
//! loaded and renewed by boot, which hands a new configuration to the shards.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustls::ServerConnection;

use crate::session::transport::{Received, Sent};

/// Records looked at in one receive before the connection has to wait for its next turn: empty ones
/// give nothing that could be counted against its share.
const RECORDS_PER_RECEIVE: usize = 16;

/// One connection's TLS state, past its handshake.
#[derive(Debug)]
pub(crate) struct TlsSession {
    connection: ServerConnection,
    /// Encrypted bytes that the socket has not taken.
    held: usize,
}

impl TlsSession {
    /// Takes as much as one send is given, however much that is: it is not given more before this is gone.
    pub(crate) fn new(mut connection: ServerConnection) -> Self {
        connection.set_buffer_limit(None);
        Self { connection, held: 0 }
    }

    /// Encrypts and sends. A record cannot be taken back: the socket must say that it will take some.
    pub(crate) fn send(&mut self, socket: &TcpStream, bytes: &[u8]) -> Sent {
        if self.connection.wants_write() {
            match self.flush(socket) {
                Sent::All => {}
                Sent::Held => return Sent::Blocked,
                other => return other,
            }
        }
        if !sys::is_writable(socket) {
            return Sent::Blocked;
        }
        match self.connection.writer().write_all(bytes) {
            Ok(()) => self.held = bytes.len(),
            Err(_) => return Sent::Lost,
        }
        self.flush(socket)
    }

    /// Sends what is encrypted already.
    pub(crate) fn flush(&mut self, socket: &TcpStream) -> Sent {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut &*socket) {
                Ok(0) => return Sent::Lost,
                Ok(sent) => self.held = self.held.saturating_sub(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::Held,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Sent::Lost,
            }
        }
        self.held = 0;
        Sent::All
    }

    /// Receives and decrypts.
    pub(crate) fn receive(&mut self, socket: &TcpStream, out: &mut [u8]) -> Received {
        for _ in 0..RECORDS_PER_RECEIVE {
            match self.connection.reader().read(out) {
                Ok(0) => return Received::End,
                Ok(bytes) => return Received::Bytes(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer closed the socket without saying so in TLS.
                Err(_) => return Received::End,
            }
            match self.connection.read_tls(&mut &*socket) {
                Ok(0) => return Received::End,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Received::Last(0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Received::Lost,
            }
            if self.connection.process_new_packets().is_err() {
                // The alert that says why is on its way if the socket takes it.
                self.flush(socket);
                return Received::Lost;
            }
        }
        Received::Bytes(0)
    }

    /// Says in TLS that nothing more will come.
    pub(crate) fn finish(&mut self, socket: &TcpStream) {
        self.connection.send_close_notify();
        self.flush(socket);
    }

    /// Bytes that wait for the socket.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.held
    }
}
