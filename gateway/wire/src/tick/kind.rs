//! What a tick is about, and the codes that say so.

use crate::topic::Channel;

/// What a tick is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Market data of a channel.
    Data(Channel),
    /// Defines an instrument.
    Definition,
    /// A new epoch begins here: numbers before it mean nothing after it.
    Epoch,
    /// Whether the stream has an instrument's data from here on.
    Presence,
}

/// Whether the stream has an instrument's data: a feed may leave out what nobody wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Presence {
    /// All its data is in the stream, behind what its recovery image knows. Said once more of an instrument
    /// that is attached already, it means that its image knows something that no record has brought.
    #[default]
    Attached,
    /// Its data is not in the stream, or is still being fetched: what records bring is the past.
    Detached,
}

const KIND_DEFINITION: u8 = 0xF0;
const KIND_EPOCH: u8 = 0xF1;
const KIND_PRESENCE: u8 = 0xF2;

impl Kind {
    /// The kind's code in ticks.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Data(channel) => channel.code(),
            Self::Definition => KIND_DEFINITION,
            Self::Epoch => KIND_EPOCH,
            Self::Presence => KIND_PRESENCE,
        }
    }

    /// The kind with this code, if it is one.
    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            KIND_DEFINITION => Some(Self::Definition),
            KIND_EPOCH => Some(Self::Epoch),
            KIND_PRESENCE => Some(Self::Presence),
            code => match Channel::from_code(code) {
                Some(channel) => Some(Self::Data(channel)),
                None => None,
            },
        }
    }
}
