//! A connection made by hand, from an address of its own, that does with it what it likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::client::UPGRADE;
use crate::support::process::PATIENCE;

/// A request for an upgrade, up to its empty line.
pub(crate) fn upgrade(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{UPGRADE}")
}

/// See the module's header.
pub(crate) struct Villain {
    socket: TcpStream,
}

impl Villain {
    /// The nth: each comes from an address of its own, as many would.
    pub(crate) fn connect(nth: usize, to: SocketAddr) -> Self {
        Self::with_buffer(nth, to, None)
    }

    /// One with a receive buffer of this size: its window is soon closed.
    pub(crate) fn with_buffer(nth: usize, to: SocketAddr, bytes: Option<usize>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(bytes) = bytes {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        let part = |shift: u32| u8::try_from(nth >> shift & 0xFF).unwrap();
        let source = SocketAddr::from((Ipv4Addr::new(127, 66, part(8), part(0).max(1)), 0));
        socket.bind(&source.into()).unwrap();
        socket.connect(&to.into()).unwrap();
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// Sends bytes; says whether the connection took them.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Asks for a WebSocket at this path, and hears that it is one.
    pub(crate) fn upgrade(mut self, path: &str) -> Self {
        assert!(self.say(format!("{}\r\n", upgrade(path)).as_bytes()));
        let mut head = [0; 12];
        self.socket.read_exact(&mut head).expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 101");
        self
    }

    /// Whether the other side has ended the connection by now; what it sent is thrown away.
    pub(crate) fn is_ended(&mut self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return false;
                }
                Err(_) => return true,
            }
        }
    }

    /// Goes without a goodbye: a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
