//! Sessions: connections after their handshake, driven by their shard's loop: WebSocket, and streams of
//! events in an HTTP response.
//!
//! A session is a socket, its place in the framing of both directions, and a few time stamps: some
//! hundred bytes in a table, and nothing on the heap while it is idle. It knows frames, pings, limits
//! and close handshakes. It does not know topics or ticks: what a client is to get is in the
//! [`hub`], and what its messages mean is for a protocol face ([`native`](crate::native)).
//!
//! Called by [`shard`](crate::shard) only; everything happens on that shard's thread.

mod badges;
mod bucket;
mod closing;
mod event_stream;
mod exchange;
mod frame;
mod group;
mod inbound;
mod outbound;
mod publishing;
mod reading;
#[cfg(test)]
mod scene;
mod sessions;
mod table;
mod timing;
pub(crate) mod transport;
mod utf8;
mod visiting;
mod wheel;

use std::net::TcpStream;

use bytes::Bytes;
use hub::{ConnId, Format};
use wire::Encoding;

pub(crate) use frame::{Fin, Opcode, SERVER_HEADER_MAX, append};
pub(crate) use inbound::{Inbound, Units};
pub(crate) use sessions::{Sessions, Tally, Whereabouts};

use bucket::Bucket;
use outbound::Outbound;
use transport::Transport;

use crate::admission::Pass;
use crate::auth::Badge;
use crate::proxies::ClientAddress;
use crate::sse;
use crate::tls::TlsSession;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// The native protocol over WebSocket.
    Native(Encoding),
    /// Events of the native protocol in an HTTP response that does not end; nothing is received.
    EventStream,
    /// The exchange's protocol over WebSocket.
    Exchange(Format),
    /// Nothing above WebSocket: messages are echoed.
    Echo,
}

/// What a session was asked for in its request; the others ask in messages.
pub(crate) enum Opening {
    /// An event stream.
    Events(Box<sse::Opening>),
    /// Streams of the exchange's protocol.
    Streams(Box<crate::exchange::Opening>),
}

/// A connection whose handshake is complete.
pub(crate) struct Arrival {
    pub(crate) socket: TcpStream,
    pub(crate) tls: Option<Box<TlsSession>>,
    pub(crate) face: Face,
    pub(crate) opening: Option<Opening>,
    /// What the client sent behind its handshake.
    pub(crate) early: Bytes,
    /// Where the client is, if a proxy said so.
    pub(crate) client: Option<ClientAddress>,
    /// Its place among the connections of its client's address.
    pub(crate) pass: Option<Pass>,
    /// What the credential that it showed allows.
    pub(crate) badge: Option<Badge>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    transport: Transport,
    inbound: Inbound,
    outbound: Outbound,
    bucket: Bucket,
    /// The hub's number for it; `None` once the hub has forgotten it, or never knew it.
    conn: Option<ConnId>,
    /// When something was last received, ms of the shard's clock, like the others. They wrap after 49
    /// days and are only subtracted.
    heard_ms: u32,
    /// When something was last sent.
    sent_ms: u32,
    /// When it was last pinged.
    pinged_ms: u32,
    /// When it was last seen to have a subscription.
    subscribed_ms: u32,
    /// When it is closed, answered or not: while it is closing.
    close_by_ms: u32,
    /// When it will have lived long enough, where there is such a time.
    ends_ms: u32,
    face: Face,
    phase: Phase,
    /// Whether it waits for the socket to take more: not visited, in the hub's list of blocked ones.
    is_blocked: bool,
    /// Whether it is in the list of those to be read again.
    is_queued: bool,
    /// Whether reading stopped because replies are not taken.
    is_unread: bool,
    /// Whether the poll set has said that an end is to be read.
    is_ending: bool,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Messages go both ways.
    Open,
    /// We sent a close frame and wait for the client's.
    AwaitingClose,
    /// Nothing more is to be said: both close frames are sent, or the framing is lost. What is kept is
    /// sent, our side ended, and what the client still sends is thrown away until it ends its own.
    Finishing,
    /// As before, and our side is ended.
    Finished,
}

const _: () = assert!(size_of::<Session>() <= 88, "with its generation a session is 96 bytes");
