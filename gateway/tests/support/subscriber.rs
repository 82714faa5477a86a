//! A plain blocking WebSocket client, after RFC 6455, that hands out messages as they came.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A message, or the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A close frame: its code, 1005 if it had none.
    Close(u16),
    /// The connection ended without a close frame.
    End,
}

/// One connection.
pub struct Subscriber {
    stream: TcpStream,
    inbox: Vec<u8>,
    fragments: Vec<u8>,
    /// Whether pings are answered.
    pub answers_pings: bool,
    /// The payload of the last pong.
    pub last_pong: Vec<u8>,
    /// The reason in the close frame.
    pub close_reason: String,
}

/// One masked frame with this first byte.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x1d, 0x5a, 0x93, 0x07];
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | len as u8),
        len @ ..65536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

impl Subscriber {
    /// Connects to `/v1/stream` with this subprotocol and reads the hello.
    #[must_use]
    pub fn connect(address: SocketAddr, subprotocol: &str) -> Self {
        let mut subscriber = Self::upgrade(address, "/v1/stream", Some(subprotocol));
        let hello = subscriber.next_text(Duration::from_secs(30));
        assert!(hello.contains("\"op\":\"hello\""), "the server speaks first: {hello}");
        subscriber
    }

    /// Connects to a path and upgrades.
    #[must_use]
    pub fn upgrade(address: SocketAddr, path: &str, subprotocol: Option<&str>) -> Self {
        let protocol = subprotocol
            .map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n"))
            .unwrap_or_default();
        match Self::try_upgrade(address, path, &protocol) {
            Ok(subscriber) => subscriber,
            Err(head) => panic!("no upgrade: {head}"),
        }
    }

    /// The same with these lines in the request's head. If it is refused, what the answer begins with.
    ///
    /// # Errors
    /// If the answer is another than 101.
    pub fn try_upgrade(address: SocketAddr, path: &str, headers: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).expect("the gateway accepts");
        stream.set_nodelay(true).expect("a connected socket");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        )
        .expect("the gateway reads");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a connected socket");
        let mut inbox = Vec::new();
        let end = loop {
            if let Some(at) = inbox.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let mut chunk = [0; 4096];
            let n = stream.read(&mut chunk).expect("the gateway answers the upgrade");
            assert!(n > 0, "closed during the upgrade: {}", String::from_utf8_lossy(&inbox));
            inbox.extend_from_slice(&chunk[..n]);
        };
        let head = String::from_utf8_lossy(&inbox[..end]).into_owned();
        if !head.starts_with("HTTP/1.1 101") {
            return Err(head);
        }
        // The accept value that RFC 6455, section 1.3, derives from the key above.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "wrong accept value: {head}");
        inbox.drain(..end);
        Ok(Self {
            stream,
            inbox,
            fragments: Vec::new(),
            answers_pings: true,
            last_pong: Vec::new(),
            close_reason: String::new(),
        })
    }

    /// The socket, for its options.
    #[must_use]
    pub const fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a text message.
    pub fn send(&mut self, text: &str) {
        self.send_frame(0x81, text.as_bytes());
    }

    /// Sends one masked frame with this first byte.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send_raw(&frame(first, payload));
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        // A gateway that has closed already is seen by the next read.
        let _ = self.stream.write_all(bytes);
    }

    /// Subscribes to topics with further members of the command (`,"mode":"conflate"`), and returns the ack.
    pub fn subscribe(&mut self, topics: &[&str], more: &str) -> String {
        let list: Vec<String> = topics.iter().map(|topic| format!("\"{topic}\"")).collect();
        self.send(&format!(r#"{{"op":"subscribe","id":1,"topics":[{}]{more}}}"#, list.join(",")));
        // The ack goes out before the data it announces, so nothing can be lost here.
        self.next_text(Duration::from_secs(30))
    }

    /// The next text message.
    ///
    /// # Panics
    /// If something else comes, or nothing.
    pub fn next_text(&mut self, patience: Duration) -> String {
        match self.next(patience) {
            Some(Message::Text(text)) => text,
            other => panic!("expected a text message, got {other:?}"),
        }
    }

    /// The next message, or `None` if none is complete within `patience`. Pings are answered.
    pub fn next(&mut self, patience: Duration) -> Option<Message> {
        let deadline = Instant::now() + patience;
        loop {
            while let Some((first, payload)) = self.take_frame() {
                match first & 0x0f {
                    0x8 => {
                        let code = payload.first_chunk().map_or(1005, |b| u16::from_be_bytes(*b));
                        let reason = payload.get(2..).unwrap_or_default();
                        self.close_reason = String::from_utf8_lossy(reason).into_owned();
                        return Some(Message::Close(code));
                    }
                    0x9 if self.answers_pings => self.send_frame(0x8a, &payload),
                    0x9 => {}
                    0xa => self.last_pong = payload,
                    _ => {
                        let whole = if self.fragments.is_empty() && first & 0x80 != 0 {
                            Some((first & 0x0f, payload))
                        } else {
                            if self.fragments.is_empty() {
                                self.fragments.push(first & 0x0f);
                            }
                            self.fragments.extend_from_slice(&payload);
                            (first & 0x80 != 0).then(|| {
                                let fragments = std::mem::take(&mut self.fragments);
                                (fragments[0], fragments[1..].to_vec())
                            })
                        };
                        if let Some((opcode, payload)) = whole {
                            return Some(match opcode {
                                0x1 => Message::Text(
                                    String::from_utf8(payload).expect("text frames are UTF-8"),
                                ),
                                _ => Message::Binary(payload),
                            });
                        }
                    }
                }
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("an open socket");
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(Message::End),
                Ok(n) => self.inbox.extend_from_slice(&chunk[..n]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return None;
                }
                Err(_) => return Some(Message::End),
            }
        }
    }

    /// Takes one whole frame out of the inbox: its first byte and its payload.
    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (&first, &second) = (self.inbox.first()?, self.inbox.get(1)?);
        assert_eq!(second & 0x80, 0, "a server's frames are not masked (RFC 6455, section 5.1)");
        let (start, len) = match second {
            126 => (4, usize::from(u16::from_be_bytes(*self.inbox.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*self.inbox.get(2..)?.first_chunk()?) as usize),
            len => (2, usize::from(len)),
        };
        let payload = self.inbox.get(start..start + len)?.to_vec();
        self.inbox.drain(..start + len);
        Some((first, payload))
    }
}
