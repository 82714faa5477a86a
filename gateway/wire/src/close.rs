//! Close codes: what the last frame of a WebSocket connection says.
//!
//! The ranges are a contract: 4000 to 4499 mean "reconnect, with backoff", 4500 to 4999 mean "do
//! not, it would end the same way". Codes below 4000 are those of RFC 6455, section 7.4.1.

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum CloseCode {
    /// The client asked for it.
    Normal = 1000,
    /// The process ends at once.
    GoingAway = 1001,
    /// A frame against RFC 6455: unmasked, reserved bits, over-long control frame.
    ProtocolError = 1002,
    /// A binary message where commands are text.
    UnsupportedData = 1003,
    /// Text that is not UTF-8.
    InvalidPayload = 1007,
    /// A message longer than [`crate::command::COMMAND_BYTES_MAX`].
    MessageTooBig = 1009,
    /// The gateway's own fault.
    InternalError = 1011,
    /// The client read too slowly for longer, or by more, than is allowed.
    SlowConsumer = 4000,
    /// The gateway drains before it stops or is replaced.
    Draining = 4001,
    /// The feed is lost and the gateway is set to pass that on.
    FeedLost = 4002,
    /// A limit of the gateway is reached: connections, subscriptions, memory.
    Overloaded = 4003,
    /// No pong within the time announced.
    PongTimeout = 4004,
    /// Nothing was subscribed within the time allowed.
    Idle = 4005,
    /// The connection is as old as the gateway lets them become.
    Aged = 4006,
    /// The protocol version or subprotocol asked for is not served.
    UnsupportedVersion = 4500,
    /// Too many commands, or too many that were wrong.
    CommandFlood = 4501,
    /// Credentials are missing, wrong or expired.
    NotEntitled = 4502,
    /// The user has newer sessions, and may have only so many at once.
    Replaced = 4503,
}

impl CloseCode {
    /// All codes, in order.
    pub const ALL: [Self; 18] = [
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::UnsupportedData,
        Self::InvalidPayload,
        Self::MessageTooBig,
        Self::InternalError,
        Self::SlowConsumer,
        Self::Draining,
        Self::FeedLost,
        Self::Overloaded,
        Self::PongTimeout,
        Self::Idle,
        Self::Aged,
        Self::UnsupportedVersion,
        Self::CommandFlood,
        Self::NotEntitled,
        Self::Replaced,
    ];

    /// The number in the close frame.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The code with this number, if it is one of ours.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|close| close.code() == code)
    }

    /// The text in the close frame: at most 123 bytes (RFC 6455, section 5.5).
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::GoingAway => "going away",
            Self::ProtocolError => "WebSocket protocol error",
            Self::UnsupportedData => "commands are text messages",
            Self::InvalidPayload => "text that is not UTF-8",
            Self::MessageTooBig => "message too big",
            Self::InternalError => "internal error",
            Self::SlowConsumer => "slow consumer",
            Self::Draining => "draining, reconnect",
            Self::FeedLost => "feed lost",
            Self::Overloaded => "overloaded, reconnect later",
            Self::PongTimeout => "no pong in time",
            Self::Idle => "nothing subscribed in time",
            Self::Aged => "old enough, reconnect",
            Self::UnsupportedVersion => "protocol version or subprotocol not served",
            Self::CommandFlood => "too many commands or errors",
            Self::NotEntitled => "not entitled",
            Self::Replaced => "replaced by a newer session",
        }
    }

    /// What the client should do next.
    #[must_use]
    pub const fn advice(self) -> Advice {
        match self {
            Self::GoingAway | Self::InternalError => Advice::Reconnect,
            _ => match self.code() {
                4000..=4499 => Advice::Reconnect,
                _ => Advice::Stop,
            },
        }
    }
}

/// What a close code asks of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Connect again, with growing and jittered pauses.
    Reconnect,
    /// Do not: it would end the same way.
    Stop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_ranges_agree() {
        for close in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(close.code()), Some(close));
            assert!(close.reason().len() <= 123);
            match close.code() {
                4000..=4499 => assert_eq!(close.advice(), Advice::Reconnect),
                4500..=4999 => assert_eq!(close.advice(), Advice::Stop),
                code => assert!((1000..=1011).contains(&code)),
            }
        }
        assert_eq!(CloseCode::from_code(4499), None);
    }
}
