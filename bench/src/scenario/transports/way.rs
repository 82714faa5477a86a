//! The ways to get quotes, by server: what tells them apart, in one place.

use crate::server::Kind;

/// A way to get quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `GET /v1/snapshot/SYMBOL` of Tickcast, each symbol once a second.
    Poll,
    /// `GET /v1/sse` of Tickcast.
    EventStream,
    /// `/v1/stream` of Tickcast in JSON.
    WebSocketJson,
    /// `/v1/stream` of Tickcast in SBE.
    WebSocketSbe,
    /// nchan's newest message of a channel, each once a second.
    NchanPoll,
    /// nchan's long polling: a request waits for the next message.
    NchanLongPoll,
    NchanEventStream,
    NchanWebSocket,
}

impl Way {
    /// What a server has.
    pub(super) const fn of(server: Kind) -> &'static [Self] {
        match server {
            Kind::Tickcast => {
                &[Self::Poll, Self::EventStream, Self::WebSocketJson, Self::WebSocketSbe]
            }
            Kind::Nchan => &[
                Self::NchanPoll,
                Self::NchanLongPoll,
                Self::NchanEventStream,
                Self::NchanWebSocket,
            ],
            _ => &[],
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Poll | Self::NchanPoll => "polling",
            Self::NchanLongPoll => "long polling",
            Self::EventStream | Self::NchanEventStream => "event stream",
            Self::WebSocketJson => "WebSocket, JSON",
            Self::WebSocketSbe => "WebSocket, SBE",
            Self::NchanWebSocket => "WebSocket",
        }
    }

    /// What its quotes are written in.
    pub(super) const fn encoding(self) -> &'static str {
        match self {
            Self::Poll | Self::EventStream | Self::WebSocketJson => "JSON",
            _ => "SBE",
        }
    }

    /// Whether each update reaches a client that keeps up.
    pub(super) const fn shows_everything(self) -> bool {
        !matches!(self, Self::Poll | Self::NchanPoll)
    }

    /// Whether it asks once a second.
    pub(super) const fn polls(self) -> bool {
        matches!(self, Self::Poll | Self::NchanPoll)
    }

    /// Whether it asks again as soon as it is answered.
    pub(super) const fn asks_again(self) -> bool {
        matches!(self, Self::NchanLongPoll)
    }

    pub(super) const fn is_web_socket(self) -> bool {
        matches!(self, Self::WebSocketJson | Self::WebSocketSbe | Self::NchanWebSocket)
    }

    /// Of its WebSocket.
    pub(super) const fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::WebSocketJson => Some("tickcast.v1.json"),
            Self::WebSocketSbe => Some("tickcast.v1.sbe"),
            _ => None,
        }
    }
}
