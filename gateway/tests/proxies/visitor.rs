//! A client made of bytes in TLS, from an address of its own choice.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use crate::support::certificate::Certificate;
use crate::support::process::PATIENCE;

/// What a browser with something to hide might add.
const LIES: &str = "X-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.1\r\n";

/// One connection.
pub(crate) struct Visitor {
    stream: StreamOwned<ClientConnection, TcpStream>,
    heard: Vec<u8>,
}

impl Visitor {
    /// Connects from `source`, an address of the machine's own.
    pub(crate) fn connect(source: &str, to: SocketAddr, certificate: &Certificate) -> Self {
        let source: SocketAddr = format!("{source}:0").parse().unwrap();
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&source.into()).unwrap();
        socket.connect(&to.into()).unwrap();
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let tls = ClientConnection::new(certificate.client(), Certificate::name()).unwrap();
        Self { stream: StreamOwned::new(tls, socket), heard: Vec::new() }
    }

    /// Asks for a page and hears the whole answer's head.
    pub(crate) fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{LIES}\r\n");
        self.stream.write_all(request.as_bytes()).unwrap();
        self.hear_until("\r\n\r\n")
    }

    /// Asks for a JSON stream and hears hello.
    pub(crate) fn upgrade(&mut self) {
        let request = format!(
            "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: tickcast.v1.json\r\n{LIES}\r\n"
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        let head = self.hear_until("\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        self.hear_until("\"op\":\"hello\"");
    }

    /// Sends a text message of less than 126 bytes.
    pub(crate) fn say(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        assert!(text.len() < 126);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).unwrap();
    }

    /// Hears up to and with these words, which are taken; what came before them is returned with them.
    pub(crate) fn hear_until(&mut self, words: &str) -> String {
        loop {
            let words = words.as_bytes();
            if let Some(at) = self.heard.windows(words.len()).position(|window| window == words) {
                let rest = self.heard.split_off(at + words.len());
                let taken = std::mem::replace(&mut self.heard, rest);
                return String::from_utf8_lossy(&taken).into_owned();
            }
            let read = self.read();
            assert!(
                matches!(read, Ok(1..)),
                "{read:?} instead of `{}`; so far: {}",
                String::from_utf8_lossy(words),
                String::from_utf8_lossy(&self.heard)
            );
        }
    }

    /// Listens for so long; says whether the connection is still there.
    pub(crate) fn stays(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let left = left.max(Duration::from_millis(1));
            self.stream.sock.set_read_timeout(Some(left)).unwrap();
            match self.read() {
                Ok(1..) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(0) | Err(_) => return false,
            }
        }
        self.stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
        true
    }

    fn read(&mut self) -> std::io::Result<usize> {
        let mut bytes = [0; 16 * 1024];
        let read = self.stream.read(&mut bytes)?;
        self.heard.extend_from_slice(&bytes[..read]);
        Ok(read)
    }
}
