//! How a quote is published: the publisher's connection to each kind of peer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::ValueEnum;

use super::PublisherError;
use crate::frame::{self, Opcode, Parsed};
use crate::generator::dialect::{Dialect, Packet, mqtt, nats};
use crate::generator::target::{Scheme, Target};
use crate::generator::upgrade;

/// What the server takes quotes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// A binary WebSocket message each; the server finds the topic by the instrument in it.
    Websocket,
    /// PUB over TCP.
    Nats,
    /// PUBLISH over TCP, quality of service 0.
    Mqtt,
    /// POST /pub?topic=TOPIC each, pipelined on one kept connection.
    Http,
}

impl Protocol {
    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Websocket => "websocket",
            Self::Nats => "nats",
            Self::Mqtt => "mqtt",
            Self::Http => "http",
        }
    }
}

/// A server that does not answer its client's first words within this does not work.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes read at once; what servers answer to publishers is short.
const CHUNK_BYTES: usize = 64 << 10;

/// See the module's documentation.
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    protocol: Protocol,
    address: SocketAddr,
    /// Read and not understood yet.
    unread: Vec<u8>,
    /// To be sent before the next quote.
    answers: Vec<u8>,
    chunk: Vec<u8>,
}

impl Connection {
    /// Connects and says what comes before the first quote.
    pub(super) fn open(protocol: Protocol, address: SocketAddr) -> Result<Self, PublisherError> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Self {
            socket,
            protocol,
            address,
            unread: Vec::new(),
            answers: Vec::new(),
            chunk: vec![0; CHUNK_BYTES],
        };
        connection.greet()?;
        connection.socket.set_nonblocking(true)?;
        Ok(connection)
    }

    fn greet(&mut self) -> Result<(), PublisherError> {
        let mut greeting = Vec::new();
        match self.protocol {
            Protocol::Websocket => {
                let target = Target {
                    address: self.address,
                    host: self.address.ip().to_string(),
                    path: "/".to_owned(),
                    scheme: Scheme::Ws,
                };
                greeting = upgrade::request(&target, None);
            }
            Protocol::Nats => {
                nats::connect(&mut greeting);
                greeting.extend_from_slice(nats::PING);
            }
            Protocol::Mqtt => mqtt::connect(&mut greeting),
            Protocol::Http => return Ok(()),
        }
        self.socket.write_all(&greeting)?;
        loop {
            let read = self.socket.read(&mut self.chunk)?;
            if read == 0 {
                return Err(PublisherError::Ended(0));
            }
            self.unread.extend_from_slice(&self.chunk[..read]);
            if self.is_greeted()? {
                return Ok(());
            }
        }
    }

    fn is_greeted(&mut self) -> Result<bool, PublisherError> {
        let refused = |reason: &dyn ToString| PublisherError::Answer(reason.to_string());
        match self.protocol {
            Protocol::Websocket => {
                let checked = upgrade::check_response(&self.unread, None);
                let len = checked.map_err(|error| refused(&error))?;
                self.unread.drain(..len.unwrap_or(0));
                Ok(len.is_some())
            }
            Protocol::Nats => self.read_packets(Dialect::Nats),
            Protocol::Mqtt => self.read_packets(Dialect::Mqtt),
            Protocol::Http => Ok(true),
        }
    }

    /// Appends one quote.
    pub(super) fn publish(&self, out: &mut Vec<u8>, instrument: u32, quote: &[u8]) {
        let topic = || format!("S{instrument}.quote");
        match self.protocol {
            Protocol::Websocket => frame::write_client(out, Opcode::Binary, quote),
            Protocol::Nats => nats::publish(out, &topic(), quote),
            Protocol::Mqtt => mqtt::publish(out, &topic(), quote),
            Protocol::Http => {
                let head = format!(
                    "POST /pub?topic={} HTTP/1.1\r\nHost: {}\r\n\
                     Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
                    topic(),
                    self.address,
                    quote.len()
                );
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(quote);
            }
        }
    }

    /// Appends what the server waits for.
    pub(super) fn append_answers(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.answers);
    }

    /// Takes what the server says; false if it said goodbye.
    pub(super) fn receive(&mut self) -> Result<bool, PublisherError> {
        let read = match self.socket.read(&mut self.chunk) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        self.unread.extend_from_slice(&self.chunk[..read]);
        match self.protocol {
            Protocol::Websocket => self.read_frames()?,
            Protocol::Nats => drop(self.read_packets(Dialect::Nats)?),
            Protocol::Mqtt => drop(self.read_packets(Dialect::Mqtt)?),
            Protocol::Http => self.read_responses()?,
        }
        Ok(true)
    }

    fn read_frames(&mut self) -> Result<(), PublisherError> {
        let mut at = 0;
        loop {
            match frame::parse(&self.unread[at..]) {
                Ok(Parsed::Frame(frame)) => {
                    at += frame.len;
                    if frame.opcode == Opcode::Ping {
                        frame::write_client(&mut self.answers, Opcode::Pong, frame.payload);
                    }
                }
                Ok(Parsed::Incomplete { .. }) => break,
                Err(error) => return Err(PublisherError::Answer(error.to_string())),
            }
        }
        self.unread.drain(..at);
        Ok(())
    }

    /// Whether an answer was among the packets.
    fn read_packets(&mut self, dialect: Dialect) -> Result<bool, PublisherError> {
        let mut at = 0;
        let mut is_answered = false;
        loop {
            match dialect.packet(&self.unread[at..]) {
                Ok(Some((packet, len))) => {
                    at += len;
                    match packet {
                        Packet::Answer => is_answered = true,
                        Packet::Ping => self.answers.extend_from_slice(nats::PONG),
                        Packet::Refusal(reason) => return Err(PublisherError::Answer(reason)),
                        Packet::Message(_) | Packet::Other => {}
                    }
                }
                Ok(None) => break,
                Err(error) => return Err(PublisherError::Answer(error.to_string())),
            }
        }
        self.unread.drain(..at);
        Ok(is_answered)
    }

    /// Responses one behind the other; each must be a success.
    fn read_responses(&mut self) -> Result<(), PublisherError> {
        let mut at = 0;
        while let Some(len) = response(&self.unread[at..])? {
            at += len;
        }
        self.unread.drain(..at);
        Ok(())
    }
}

/// The length of the response that `bytes` begin with; none while it is not whole.
fn response(bytes: &[u8]) -> Result<Option<usize>, PublisherError> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 2") {
        return Err(PublisherError::Answer(status.to_owned()));
    }
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = match lengths.next() {
        Some((_, value)) => value.trim().parse::<usize>().map_err(io::Error::other)?,
        // Without a length, only a response that has no body has an end.
        None if status.starts_with("HTTP/1.1 204") => 0,
        None => return Err(PublisherError::Answer("a response without a length".to_owned())),
    };
    let len = end + 4 + body;
    Ok((bytes.len() >= len).then_some(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_told_apart_by_their_lengths() {
        let first = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nabc";
        let both = [&first[..], b"HTTP/1.1 201 Created\r\n"].concat();
        assert!(matches!(response(&both), Ok(Some(len)) if len == first.len()));
        assert!(matches!(response(&both[..first.len() - 1]), Ok(None)));
        assert!(matches!(response(&both[first.len()..]), Ok(None)));
        let refused = b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n";
        assert!(matches!(response(refused), Err(PublisherError::Answer(_))));
    }
}
