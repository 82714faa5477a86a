//! Events that are not ticks: what the gateway itself has to say to clients, and the parts of a
//! depth message that the hub fills in.
//!
//! Plain values, written by [`crate::sbe`] and [`crate::json`], read back by [`crate::sbe::decode`].

use crate::topic::Channel;

/// What every depth message says besides its levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthHead {
    /// When the newest change happened, by the venue's clock, ns since the epoch.
    pub ts_event_ns: u64,
    /// Number of the newest group contained.
    pub seq: u64,
    /// The instrument's id.
    pub instrument: u32,
    /// From the newest event until it entered the ring, ns, saturated.
    pub ring_delay_ns: u32,
    /// The venue's first book update id contained. Partial books and snapshots have no first.
    pub first_update_id: u64,
    /// The venue's last book update id contained.
    pub last_update_id: u64,
}

/// Which part of a book snapshot a message is: big books are several messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotPart {
    /// The only one.
    Whole,
    /// The first of several: the client drops what it had.
    First,
    /// Neither first nor last.
    Middle,
    /// The last of several: the book is complete now.
    Last,
}

impl SnapshotPart {
    /// Whether a snapshot begins here.
    #[must_use]
    pub const fn is_first(self) -> bool {
        matches!(self, Self::Whole | Self::First)
    }

    /// Whether a snapshot is complete with this.
    #[must_use]
    pub const fn is_last(self) -> bool {
        matches!(self, Self::Whole | Self::Last)
    }

    /// The part that is so.
    #[must_use]
    pub const fn from_ends(is_first: bool, is_last: bool) -> Self {
        match (is_first, is_last) {
            (true, true) => Self::Whole,
            (true, false) => Self::First,
            (false, false) => Self::Middle,
            (false, true) => Self::Last,
        }
    }
}

/// Numbers of one topic that a client does not get one by one, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapEntry {
    /// The instrument's id.
    pub instrument: u32,
    /// The channel.
    pub channel: Channel,
    /// Why.
    pub reason: GapReason,
    /// The first number that is skipped.
    pub first_seq: u64,
    /// How many are skipped; 0 only for [`GapReason::Reset`].
    pub count: u64,
}

/// Why numbers are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum GapReason {
    /// The newest, or the changes merged into one, are delivered instead: nothing to repair.
    Conflated = 1,
    /// They left the log before the client took them.
    Lost = 2,
    /// The gateway itself did not get them: the ring lapped it, or the feed lost them.
    Lapped = 3,
    /// The point named in `resume` is no longer in the log.
    Resume = 4,
    /// The epoch changed: numbers start anew, and how many were missed is not known.
    Reset = 5,
}

impl GapReason {
    /// All reasons, by code.
    pub const ALL: [Self; 5] =
        [Self::Conflated, Self::Lost, Self::Lapped, Self::Resume, Self::Reset];

    /// The code in binary messages.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Conflated,
            2 => Self::Lost,
            3 => Self::Lapped,
            4 => Self::Resume,
            5 => Self::Reset,
            _ => return None,
        })
    }

    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conflated => "conflated",
            Self::Lost => "lost",
            Self::Lapped => "lapped",
            Self::Resume => "resume",
            Self::Reset => "reset",
        }
    }
}

/// What the gateway knows of its feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum FeedState {
    /// Ticks or heartbeats arrive.
    Live = 1,
    /// Neither arrive; it may come back in the same epoch.
    Silent = 2,
    /// A new epoch began.
    Restarted = 3,
    /// It ended in good order.
    Stopped = 4,
}

impl FeedState {
    /// All states, by code.
    pub const ALL: [Self; 4] = [Self::Live, Self::Silent, Self::Restarted, Self::Stopped];

    /// The code in binary messages.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The state with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Live,
            2 => Self::Silent,
            3 => Self::Restarted,
            4 => Self::Stopped,
            _ => return None,
        })
    }

    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Silent => "silent",
            Self::Restarted => "restarted",
            Self::Stopped => "stopped",
        }
    }
}
