//! A client made of bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a client waits for at most. Far beyond what any answer takes: machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bits of a frame's first byte.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;

const MASK: [u8; 4] = [0xA1, 0xB2, 0xC3, 0xD4];

/// The headers of a proper upgrade.
pub(crate) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.first, TEXT, "{self:?}");
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// The code of a close frame.
    pub(crate) fn close_code(&self) -> u16 {
        assert_eq!(self.first, CLOSE, "{self:?}");
        u16::from_be_bytes([self.payload[0], self.payload[1]])
    }
}

/// What a client hears next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Frame(Frame),
    /// The server ended its side in good order.
    End,
    Reset,
}

/// Bytes both ways: a socket, or something that encrypts.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A connection, raw.
pub(crate) struct Client {
    wire: Box<dyn Wire>,
    socket: TcpStream,
    received: Vec<u8>,
}

/// One masked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            bytes.push(0xFE);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0xFF);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        Self::over(Box::new(socket.try_clone().unwrap()), socket)
    }

    pub(crate) fn over(wire: Box<dyn Wire>, socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { wire, socket, received: Vec::new() }
    }

    /// A session of the native protocol in SBE, behind its hello.
    pub(crate) fn sbe(address: SocketAddr) -> Self {
        Self::connect(address).into_sbe()
    }

    pub(crate) fn into_sbe(mut self) -> Self {
        let headers = format!("{UPGRADE}Sec-WebSocket-Protocol: tickcast.v1.sbe\r\n");
        let response = self.request("/v1/stream", &headers);
        assert!(response.starts_with("HTTP/1.1 101"), "{response}");
        assert!(self.frame().text().starts_with("{\"op\":\"hello\""));
        self
    }

    /// A session subscribed to these topics.
    pub(crate) fn subscribed(address: SocketAddr, topics: &[&str]) -> Self {
        let mut client = Self::sbe(address);
        client.subscribe(topics);
        client
    }

    /// Subscribes; messages that come before the ack are skipped.
    pub(crate) fn subscribe(&mut self, topics: &[&str]) {
        let command = format!("{{\"op\":\"subscribe\",\"id\":1,\"topics\":{topics:?}}}");
        self.send(TEXT, command.as_bytes());
        let ack = loop {
            let frame = self.frame();
            if frame.first == TEXT {
                break frame;
            }
        };
        assert!(ack.text().starts_with("{\"op\":\"ack\",\"id\":1"), "{}", ack.text());
        assert!(!ack.text().contains("\"ok\":false"), "{}", ack.text());
    }

    /// Sends a GET request and returns the head of the answer; what stands behind it is kept.
    pub(crate) fn request(&mut self, path: &str, headers: &str) -> String {
        self.write(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n").as_bytes());
        self.response()
    }

    /// The head of an answer.
    pub(crate) fn response(&mut self) -> String {
        loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.received.split_off(end + 4);
                return String::from_utf8(std::mem::replace(&mut self.received, rest)).unwrap();
            }
            assert!(self.fill().is_ok_and(|bytes| bytes > 0), "no answer: {:?}", self.received);
        }
    }

    /// So many bytes behind the head of an answer.
    pub(crate) fn body(&mut self, bytes: usize) -> String {
        while self.received.len() < bytes {
            assert!(self.fill().unwrap() > 0);
        }
        let rest = self.received.split_off(bytes);
        String::from_utf8(std::mem::replace(&mut self.received, rest)).unwrap()
    }

    /// What stands behind the head of an answer, up to and with these words at least.
    pub(crate) fn hear_text_until(&mut self, words: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.received).into_owned();
            if text.contains(words) {
                return text;
            }
            assert!(self.fill().unwrap() > 0, "ended without {words}: {text}");
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).unwrap();
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.wire.write_all(bytes)?;
        self.wire.flush()
    }

    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&frame(first, payload));
    }

    /// The next frame; everything else fails the test.
    pub(crate) fn frame(&mut self) -> Frame {
        match self.hear() {
            Heard::Frame(frame) => frame,
            other => panic!("{other:?} instead of a frame"),
        }
    }

    /// The next frame, or the end.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            if let Some(frame) = self.parse() {
                return Heard::Frame(frame);
            }
            match self.fill() {
                Ok(0) => return Heard::End,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Heard::Reset,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Heard::End,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Skips to the close frame, answers it, and sees the connection end. Returns its code.
    pub(crate) fn expect_close(&mut self) -> u16 {
        loop {
            let frame = self.frame();
            if frame.first == CLOSE {
                // The server may have ended already, having no use for an answer.
                let _ = self.try_write(&super::client::frame(CLOSE, &frame.payload));
                let end = self.hear();
                assert!(matches!(end, Heard::End | Heard::Reset), "{end:?} after a close frame");
                return frame.close_code();
            }
        }
    }

    /// How the connection ends; frames before it are skipped.
    pub(crate) fn hear_end(&mut self) -> Heard {
        loop {
            match self.fill() {
                Ok(0) => return Heard::End,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Heard::Reset,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let bytes = self.wire.read(&mut buffer)?;
        self.received.extend_from_slice(&buffer[..bytes]);
        Ok(bytes)
    }

    fn parse(&mut self) -> Option<Frame> {
        let &[first, second, ref rest @ ..] = self.received.as_slice() else { return None };
        assert!(second & 0x80 == 0, "servers do not mask");
        let (length, head) = match second {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 10),
            short => (usize::from(short), 2),
        };
        if self.received.len() < head + length {
            return None;
        }
        let rest = self.received.split_off(head + length);
        let whole = std::mem::replace(&mut self.received, rest);
        Some(Frame { first, payload: whole[head..].to_vec() })
    }
}
