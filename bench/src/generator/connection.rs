//! One connection of the load: connect, TLS, upgrade, subscribe, receive, until it closes.
//!
//! A state machine over a non-blocking socket, driven by its worker's readiness events
//! (edge-triggered: it reads until the socket is empty or its turn is over). It owns next to nothing
//! while idle: reads go to the worker's buffer, and only a frame that spans two reads leaves a
//! remainder behind, in a vector borrowed from a pool.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;
use rustls::ClientConnection;
use serde::Deserialize;

use crate::clock::realtime_ns;
use crate::frame::{self, Frame, FrameError, Last, Opcode, Parsed};
use crate::generator::dialect::{Packet, PacketError, Subscriptions, nats};
use crate::generator::ledger::Ledger;
use crate::generator::tally::{Cohort, Tally};
use crate::generator::tls::TlsConnector;
use crate::generator::upgrade::{self, UpgradeError};

/// What all connections of a worker share.
pub(crate) struct Shared {
    pub(crate) tally: Tally,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) tls: Option<TlsConnector>,
    /// TLS records on their way into rustls.
    records: Vec<u8>,
    /// Emptied remainders, for the next frame that spans reads.
    pool: Vec<Vec<u8>>,
}

/// Length of the buffer that a worker's connections read into, one after the other; it grows when a
/// longer frame comes. Big enough for the fullest receive queues to take few calls, small enough for the second cache.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;

/// One TLS record and its overhead.
const RECORD_BYTES: usize = 17 << 10;

/// Plaintext that one read of records may release: what it holds and what rustls had kept.
const RECORD_ROOM: usize = 2 * RECORD_BYTES;

/// Reads of one connection before it is another's turn.
const READS_PER_TURN: usize = 8;

/// Remainders kept for reuse; beyond these they are freed.
const POOL_MAX: usize = 256;

impl Shared {
    pub(crate) fn new(
        tally: Tally,
        subscriptions: Subscriptions,
        tls: Option<TlsConnector>,
    ) -> Self {
        let records = if tls.is_some() { vec![0; RECORD_BYTES] } else { Vec::new() };
        Self { tally, subscriptions, tls, records, pool: Vec::new() }
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Securing,
    Upgrading,
    /// Upgraded; this many answers are awaited.
    Subscribing(u32),
    Open,
}

/// Whether a connection takes what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    On,
    /// Held back on purpose: the socket fills up.
    Stalled,
    /// A slow link: so many bytes more may be read by now. Records of TLS are read whole, so that the
    /// debt of one is paid off before the next.
    Metered {
        allowance: i64,
    },
}

/// What a turn left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The socket is empty.
    Drained,
    /// There is more; it gets another turn without an event.
    More,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Closure {
    #[error("cannot connect: {0}")]
    Connect(ErrorKind),
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    #[error("close code {0}")]
    Code(u16),
    #[error("ended without a close frame")]
    End,
    #[error("cut on purpose")]
    Cut,
    #[error("broken: {0}")]
    Broken(ErrorKind),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Packet(#[from] PacketError),
    #[error("refused a subscription: {0}")]
    Refused(String),
}

/// A reply to a command, as far as the load cares.
#[derive(Deserialize)]
struct Reply {
    op: String,
    #[serde(default)]
    results: Vec<TopicResult>,
    msg: Option<String>,
}

#[derive(Deserialize)]
struct TopicResult {
    topic: String,
    ok: bool,
    msg: Option<String>,
}

/// See the module's documentation.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    phase: Phase,
    pub(crate) reading: Reading,
    cohort: Cohort,
    /// The begin of a frame whose end is not here yet.
    remainder: Vec<u8>,
    /// A fragmented message's earlier frames: no gateway sends such, other servers may. Where packets
    /// are a stream of their own: the begin of one whose end is not here yet.
    fragments: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    ledger: Ledger,
    received: u64,
}

impl Connection {
    pub(crate) fn new(socket: TcpStream, cohort: Cohort) -> Self {
        Self {
            socket,
            tls: None,
            phase: Phase::Connecting,
            reading: Reading::On,
            cohort,
            remainder: Vec::new(),
            fragments: Vec::new(),
            unsent: Vec::new(),
            ledger: Ledger::default(),
            received: 0,
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Market messages received.
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    /// Topics on which something was received.
    pub(crate) const fn topics(&self) -> u32 {
        self.ledger.topics()
    }

    /// The socket is ready for something. `number` is this connection's in the whole load.
    pub(crate) fn turn(
        &mut self,
        shared: &mut Shared,
        buffer: &mut Vec<u8>,
        number: u64,
    ) -> Result<Turn, Closure> {
        if self.phase == Phase::Connecting && !self.connected(shared, number)? {
            return Ok(Turn::Drained);
        }
        let turn = match self.reading {
            Reading::Stalled => Turn::Drained,
            Reading::On | Reading::Metered { .. } => self.receive(shared, buffer, number)?,
        };
        if self.phase == Phase::Securing && self.tls.as_ref().is_some_and(|it| !it.is_handshaking())
        {
            self.unsent.extend_from_slice(&shared.subscriptions.request(number));
            self.phase = Phase::Upgrading;
        }
        self.flush()?;
        Ok(turn)
    }

    /// Says goodbye; the answer is not awaited.
    pub(crate) fn close(&mut self) {
        let payload = wire::CloseCode::Normal.code().to_be_bytes();
        frame::write_client(&mut self.unsent, Opcode::Close, &payload);
        // The run is over: whether the server still hears it changes nothing.
        let _ = self.flush();
    }

    /// Whether the connect has succeeded; then the next phase begins.
    fn connected(&mut self, shared: &Shared, number: u64) -> Result<bool, Closure> {
        let connect = |error: io::Error| Closure::Connect(error.kind());
        if let Some(error) = self.socket.take_error().map_err(connect)? {
            return Err(connect(error));
        }
        match self.socket.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(connect(error)),
        }
        // Commands and pongs are small and must not wait for an acknowledgement.
        self.socket.set_nodelay(true).map_err(connect)?;
        match &shared.tls {
            Some(connector) => {
                let made = connector.connection();
                self.tls = Some(made.map_err(|_| Closure::Connect(ErrorKind::InvalidInput))?);
                self.phase = Phase::Securing;
            }
            None => {
                self.unsent.extend_from_slice(&shared.subscriptions.request(number));
                self.phase = Phase::Upgrading;
            }
        }
        self.flush()?;
        Ok(true)
    }

    fn receive(
        &mut self,
        shared: &mut Shared,
        buffer: &mut Vec<u8>,
        number: u64,
    ) -> Result<Turn, Closure> {
        for _ in 0..READS_PER_TURN {
            let kept = self.remainder.len();
            buffer[..kept].copy_from_slice(&self.remainder);
            let mut room = buffer.len() - kept;
            if let (Reading::Metered { allowance }, Phase::Open) = (self.reading, self.phase) {
                match usize::try_from(allowance) {
                    Ok(allowed @ 1..) => room = room.min(allowed),
                    _ => return Ok(Turn::Drained),
                }
            }
            let read = match &mut self.tls {
                None => self.socket.read(&mut buffer[kept..kept + room]),
                Some(tls) => read_tls(tls, &mut self.socket, shared, &mut buffer[kept..]),
            };
            let filled = match read {
                Ok(0) => return Err(Closure::End),
                Ok(filled) => filled,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(error)),
            };
            shared.tally.traffic.reads += 1;
            if let (Reading::Metered { allowance }, Phase::Open) = (&mut self.reading, self.phase) {
                *allowance -= i64::try_from(filled).unwrap_or(i64::MAX);
            }
            if self.tls.is_none() {
                shared.tally.traffic.bytes += filled as u64;
            }
            let bytes = &buffer[..kept + filled];
            let (used, needed) = self.take(bytes, shared, number)?;
            self.remember(&bytes[used..], shared);
            if needed > buffer.len() - RECORD_ROOM {
                buffer.resize(needed + RECORD_ROOM, 0);
            }
            // A socket that filled less than the room is empty; rustls may have kept more back.
            if filled < room && self.tls.is_none() {
                return Ok(Turn::Drained);
            }
        }
        Ok(Turn::More)
    }

    /// Keeps the begin of an unfinished frame, in a vector of the pool if this one has none.
    fn remember(&mut self, rest: &[u8], shared: &mut Shared) {
        self.remainder.clear();
        if rest.is_empty() {
            if self.remainder.capacity() > 0 && shared.pool.len() < POOL_MAX {
                shared.pool.push(std::mem::take(&mut self.remainder));
            } else {
                self.remainder = Vec::new();
            }
            return;
        }
        if self.remainder.capacity() == 0 {
            self.remainder = shared.pool.pop().unwrap_or_default();
        }
        self.remainder.extend_from_slice(rest);
    }

    /// Takes what is whole in `bytes`: how much that was, and how long the next frame will be.
    fn take(
        &mut self,
        bytes: &[u8],
        shared: &mut Shared,
        number: u64,
    ) -> Result<(usize, usize), Closure> {
        let mut at = 0;
        if self.phase == Phase::Upgrading {
            let subprotocol = shared.subscriptions.subprotocol.as_deref();
            match upgrade::check_response(bytes, subprotocol)? {
                None => return Ok((0, 0)),
                Some(len) => at = len,
            }
            let opening = shared.subscriptions.opening(number);
            self.phase = match opening.answers {
                0 => Phase::Open,
                answers => Phase::Subscribing(answers),
            };
            self.unsent.extend_from_slice(&opening.bytes);
        }
        // One reading of the clock for all that one read brought: that is when it was received.
        let received_ns = realtime_ns();
        loop {
            match frame::parse(&bytes[at..])? {
                Parsed::Incomplete { needed } => return Ok((at, needed)),
                Parsed::Frame(frame) => {
                    at += frame.len;
                    self.frame(&frame, shared, received_ns)?;
                }
            }
        }
    }

    fn frame(
        &mut self,
        frame: &Frame<'_>,
        shared: &mut Shared,
        received_ns: u64,
    ) -> Result<(), Closure> {
        match (frame.opcode, frame.last) {
            (Opcode::Binary | Opcode::Text | Opcode::Continuation, _)
                if shared.subscriptions.dialect.is_stream() =>
            {
                shared.tally.traffic.frames += 1;
                self.stream(frame.payload, shared, received_ns)
            }
            (Opcode::Binary | Opcode::Text, Last::Yes) => {
                self.data(frame.payload, shared, received_ns)
            }
            (Opcode::Binary | Opcode::Text | Opcode::Continuation, last) => {
                self.fragments.extend_from_slice(frame.payload);
                if self.fragments.len() > frame::FRAME_MAX {
                    return Err(FrameError::TooLong.into());
                }
                if last == Last::No {
                    return Ok(());
                }
                let whole = std::mem::take(&mut self.fragments);
                self.data(&whole, shared, received_ns)
            }
            (Opcode::Ping, _) => {
                frame::write_client(&mut self.unsent, Opcode::Pong, frame.payload);
                Ok(())
            }
            (Opcode::Pong, _) => Ok(()),
            (Opcode::Close, _) => {
                let code =
                    frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                frame::write_client(&mut self.unsent, Opcode::Close, frame.payload);
                let _ = self.flush();
                Err(Closure::Code(code))
            }
        }
    }

    fn data(
        &mut self,
        payload: &[u8],
        shared: &mut Shared,
        received_ns: u64,
    ) -> Result<(), Closure> {
        // Replies are JSON objects in both subprotocols; market data is binary or a JSON array. No
        // SBE message begins with '{': its block would be 123 bytes or more and of odd length.
        if payload.first() == Some(&b'{') && self.reply(payload)? {
            return Ok(());
        }
        let Self { ledger, cohort, .. } = self;
        self.received += shared.tally.message(ledger, *cohort, payload, received_ns);
        Ok(())
    }

    /// Takes the next piece of a stream of packets.
    fn stream(
        &mut self,
        piece: &[u8],
        shared: &mut Shared,
        received_ns: u64,
    ) -> Result<(), Closure> {
        if self.fragments.is_empty() {
            let used = self.packets(piece, shared, received_ns)?;
            self.fragments.extend_from_slice(&piece[used..]);
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.fragments);
        bytes.extend_from_slice(piece);
        if bytes.len() > frame::FRAME_MAX {
            return Err(FrameError::TooLong.into());
        }
        let used = self.packets(&bytes, shared, received_ns)?;
        bytes.drain(..used);
        self.fragments = bytes;
        Ok(())
    }

    /// Takes the whole packets that `bytes` begin with; returns their length.
    fn packets(
        &mut self,
        bytes: &[u8],
        shared: &mut Shared,
        received_ns: u64,
    ) -> Result<usize, Closure> {
        let mut at = 0;
        while let Some((packet, len)) = shared.subscriptions.dialect.packet(&bytes[at..])? {
            at += len;
            match packet {
                Packet::Message(payload) => {
                    let Self { ledger, cohort, .. } = self;
                    self.received += shared.tally.ticks(ledger, *cohort, payload, received_ns);
                }
                Packet::Answer => self.answered(),
                Packet::Ping => {
                    frame::write_client(&mut self.unsent, Opcode::Binary, nats::PONG);
                }
                Packet::Refusal(reason) => return Err(Closure::Refused(reason)),
                Packet::Other => {}
            }
        }
        Ok(at)
    }

    /// One answer that a subscription waits for has come.
    const fn answered(&mut self) {
        if let Phase::Subscribing(answers) = self.phase {
            self.phase = if answers > 1 { Phase::Subscribing(answers - 1) } else { Phase::Open };
        }
    }

    /// Takes a reply to a command; false if it is not one after all.
    fn reply(&mut self, payload: &[u8]) -> Result<bool, Closure> {
        let Ok(reply) = serde_json::from_slice::<Reply>(payload) else { return Ok(false) };
        if let Some(refused) = reply.results.iter().find(|result| !result.ok) {
            let msg = refused.msg.as_deref().unwrap_or("no reason given");
            return Err(Closure::Refused(format!("{}: {msg}", refused.topic)));
        }
        match reply.op.as_str() {
            "ack" => self.answered(),
            "error" => return Err(Closure::Refused(reply.msg.unwrap_or_default())),
            _ => {}
        }
        Ok(true)
    }

    /// Sends what waits, as far as the socket takes it.
    fn flush(&mut self) -> Result<(), Closure> {
        if let Some(tls) = &mut self.tls {
            if !tls.is_handshaking() && !self.unsent.is_empty() {
                tls.writer().write_all(&self.unsent).map_err(broken)?;
                self.unsent = Vec::new();
            }
            while tls.wants_write() {
                match tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(broken(error)),
                }
            }
            return Ok(());
        }
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(sent) if sent == self.unsent.len() => self.unsent = Vec::new(),
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(())
    }
}

fn broken(error: io::Error) -> Closure {
    match error.downcast::<rustls::Error>() {
        Ok(tls) => Closure::Tls(tls),
        Err(error) => Closure::Broken(error.kind()),
    }
}

/// Reads records until the socket is empty or `out` could not hold what one more releases.
fn read_tls(
    tls: &mut ClientConnection,
    socket: &mut TcpStream,
    shared: &mut Shared,
    out: &mut [u8],
) -> io::Result<usize> {
    let mut filled = 0;
    while out.len() - filled >= RECORD_ROOM {
        let read = match socket.read(&mut shared.records) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => break,
            Err(error) => return Err(error),
        };
        shared.tally.traffic.bytes += read as u64;
        let mut records = &shared.records[..read];
        while !records.is_empty() {
            tls.read_tls(&mut records)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            // rustls refuses more ciphertext while much plaintext waits, so it is emptied each time.
            loop {
                match tls.reader().read(&mut out[filled..]) {
                    Ok(0) => break,
                    Ok(plain) => filled += plain,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(filled)
}
