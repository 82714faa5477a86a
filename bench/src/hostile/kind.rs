//! What a hostile connection does, turn by turn.

use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use socket2::Socket;

/// After a connection was begun: its handshake is over then.
pub(super) const FIRST_AFTER: Duration = Duration::from_millis(20);

/// Between two bytes of those that dribble.
const DRIBBLE: Duration = Duration::from_secs(2);

/// From an upgrade to what follows it; a server that is not overloaded has answered.
const UPGRADED_AFTER: Duration = Duration::from_millis(200);

/// Between two bursts of a flood, and how many there are.
const BURST_EVERY: Duration = Duration::from_millis(100);
const BURSTS: u32 = 10;

/// Frames of one burst.
const BURST_FRAMES: usize = 20;

/// See the module's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Connected, and reset at once.
    Resets,
    /// Connected, and not a word.
    Silent,
    /// The head of a request, byte by byte.
    Heads,
    /// What is no request.
    Garbage,
    /// A session that subscribes and is reset.
    Vanishing,
    /// A session that says nothing any more and answers no ping.
    Halves,
    /// A frame, byte by byte, without end.
    Frames,
    /// A frame against the protocol.
    Violations,
    /// More pings than anybody may send.
    Floods,
    /// A session that subscribes and never reads.
    Windows,
    /// A session that subscribes, and its kernel reads all it gets: no harm, and what as many subscribers cost.
    Honest,
}

/// What a connection does next.
pub(super) enum Next {
    After(Duration),
    /// Nothing any more, but it stays.
    Wait,
    Reset,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::Resets,
        Self::Silent,
        Self::Heads,
        Self::Garbage,
        Self::Vanishing,
        Self::Halves,
        Self::Frames,
        Self::Violations,
        Self::Floods,
        Self::Windows,
        Self::Honest,
    ];

    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::Silent => "silent",
            Self::Heads => "heads",
            Self::Garbage => "garbage",
            Self::Vanishing => "vanishing",
            Self::Halves => "halves",
            Self::Frames => "frames",
            Self::Violations => "violations",
            Self::Floods => "floods",
            Self::Windows => "windows",
            Self::Honest => "honest",
        }
    }

    /// The receive buffer of the connection, if the kernel's choice would do.
    pub(super) const fn receive_buffer(self) -> Option<usize> {
        // The least there is: the window closes after some 2 KiB.
        if matches!(self, Self::Windows) { Some(1) } else { None }
    }

    /// A turn of one connection, counted from 0.
    pub(super) fn act(self, turn: u32, socket: &Socket, topic: &str) -> Next {
        match (self, turn) {
            (Self::Resets, _) => Next::Reset,
            (Self::Silent, _) => Next::Wait,
            (Self::Heads, 0) => {
                say(socket, b"GET /v1/stream HTTP/1.1\r\nHost: ", Next::After(DRIBBLE))
            }
            (Self::Heads, _) => say(socket, b"x", Next::After(DRIBBLE)),
            (Self::Garbage, _) => say(socket, &[0xA7; 300], Next::Wait),
            (_, 0) => say(socket, UPGRADE, Next::After(UPGRADED_AFTER)),
            (Self::Vanishing, 1) => say(socket, &subscribe(topic), Next::After(UPGRADED_AFTER)),
            (Self::Vanishing, _) => Next::Reset,
            (Self::Halves, _) => Next::Wait,
            (Self::Frames, 1) => {
                // 60,000 bytes are announced, and a thousand come.
                let mut frame = vec![0x81, 0xFE, 0xEA, 0x60, 0, 0, 0, 0];
                frame.resize(1000, b' ');
                say(socket, &frame, Next::After(DRIBBLE))
            }
            (Self::Frames, _) => say(socket, b" ", Next::After(DRIBBLE)),
            // Text that is not masked.
            (Self::Violations, _) => say(socket, &[0x81, 2, b'{', b'}'], Next::Wait),
            (Self::Floods, BURSTS..) => Next::Wait,
            (Self::Floods, _) => {
                let burst = [0x89, 0x80, 0, 0, 0, 0].repeat(BURST_FRAMES);
                say(socket, &burst, Next::After(BURST_EVERY))
            }
            (Self::Windows | Self::Honest, 1) => say(socket, &subscribe(topic), Next::Wait),
            (Self::Windows | Self::Honest, _) => Next::Wait,
        }
    }
}

/// Sends, as far as there is room; whoever is cut off has no further turn.
fn say(socket: &Socket, bytes: &[u8], next: Next) -> Next {
    match socket.send(bytes) {
        Ok(_) => next,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => next,
        Err(_) => Next::Wait,
    }
}

const UPGRADE: &[u8] =
    b"GET /v1/stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: tickcast.v1.sbe\r\n\r\n";

/// A command in a masked frame, whose mask is zero.
fn subscribe(topic: &str) -> Vec<u8> {
    let text = format!("{{\"op\":\"subscribe\",\"topics\":[\"{topic}\"]}}");
    let length = u8::try_from(text.len()).map_or(125, |length| length.min(125));
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}
