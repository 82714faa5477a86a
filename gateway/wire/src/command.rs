//! Commands: what clients say, parsed. A [`Command`] that exists is well-formed and within limits;
//! whether its topics exist and its client may have them is for the hub to say.
//!
//! Commands are JSON text, parsed with simd-json into a reused tape. Unknown fields are tolerated,
//! so that newer clients can talk to older gateways; a known field of a wrong type, out of range or
//! given twice is refused with a message that names it, the value, and what was expected. One
//! malformed topic does not void the others: it becomes an `Err` in the list. 64-bit numbers may be
//! strings (as the gateway writes them) or integers.

mod parse;
mod parse_publish;
mod publish;

use std::fmt;
use std::num::NonZeroU32;

pub use parse::Buffers;
pub use publish::{
    Amount, AmountError, BadDraft, Draft, DraftBody, DraftError, Publish, Subject,
    TICKS_PER_PUBLISH_MAX,
};

use crate::instrument::Symbol;
use crate::reply::ErrorCode;
use crate::topic::{Channel, Pattern, PatternError};

/// The most topics of one command. More are several commands.
pub const TOPICS_PER_COMMAND_MAX: usize = 1_000;

/// The longest command, in bytes: [`TOPICS_PER_COMMAND_MAX`] topics of at most 44 bytes with quotes
/// and comma, each again in `resume` with a number of 20 digits and its quotes, colon and comma
/// (68 bytes), make 112,000; the rest is for white space. A longer one ends the connection with
/// [`CloseCode::MessageTooBig`](crate::CloseCode::MessageTooBig).
pub const COMMAND_BYTES_MAX: usize = 128 * 1024;

/// The longest `id`, in bytes: a UUID with its hyphens.
pub const ID_BYTES_MAX: usize = 36;

/// The longest token of `auth`, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The highest `max_rate`. A client that wants more than one update a millisecond wants them all.
pub const MAX_RATE_MAX: u32 = 1_000;

/// How deeply a command's JSON may be nested; the deepest known field is at 3.
pub const DEPTH_MAX: usize = 16;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Have topics delivered.
    Subscribe(Subscribe),
    /// Have them no more.
    Unsubscribe(Unsubscribe),
    /// Be told what is subscribed.
    List {
        /// Echoed in the reply.
        id: Option<CommandId>,
    },
    /// Be answered.
    Ping {
        /// Echoed in the reply.
        id: Option<CommandId>,
    },
    /// Prove who it is.
    Auth {
        /// Echoed in the reply.
        id: Option<CommandId>,
        /// The credential.
        token: String,
    },
    /// Write ticks.
    Publish(Publish),
}

/// The fields of `subscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Echoed in the reply.
    pub id: Option<CommandId>,
    /// What to deliver, as named by the client, in its order; may name a topic twice.
    pub topics: Vec<Result<Pattern, BadTopic>>,
    /// What to deliver when there is more than one update to deliver.
    pub mode: Mode,
    /// The most updates per second of each topic, by conflation; `None`: no limit.
    pub max_rate: Option<NonZeroU32>,
    /// Whether to begin with the present state.
    pub snapshot: SnapshotPolicy,
    /// Where an earlier connection ended.
    pub resume: Option<Resume>,
}

/// The fields of `unsubscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Echoed in the reply.
    pub id: Option<CommandId>,
    /// What to deliver no more, as named by the client, in its order.
    pub topics: Vec<Result<Pattern, BadTopic>>,
}

/// A topic that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTopic {
    /// The beginning of what the client wrote.
    pub text: Excerpt,
    /// What is wrong with it.
    pub error: PatternError,
}

/// What a client gets of several updates of a topic that are due at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// All of them, unless it lags.
    #[default]
    Every,
    /// The newest, or merged changes, with a gap entry that counts the others.
    Conflate,
}

impl Mode {
    /// The name in commands and replies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Every => "every",
            Self::Conflate => "conflate",
        }
    }
}

/// Whether a subscription begins with the present state of its topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SnapshotPolicy {
    /// Last values and books first, then what follows them.
    #[default]
    Send,
    /// Only what happens from now on. Depth begins with a snapshot all the same: changes of an
    /// unknown book say nothing.
    Skip,
}

/// Where an earlier connection ended: the last number it got of each topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// The epoch of the numbers.
    pub epoch: u64,
    /// Sorted by symbol and channel, none twice.
    topics: Vec<(Symbol, Channel, u64)>,
}

impl Resume {
    /// A resume point, if no topic is named twice; else the topic that is.
    ///
    /// # Errors
    /// With the first topic that is named twice.
    pub fn new(
        epoch: u64,
        mut topics: Vec<(Symbol, Channel, u64)>,
    ) -> Result<Self, (Symbol, Channel)> {
        topics.sort_unstable();
        let twice = topics.windows(2).find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1));
        match twice {
            Some(pair) => Err((pair[0].0, pair[0].1)),
            None => Ok(Self { epoch, topics }),
        }
    }

    /// The last number that the client got of this topic, if it says.
    #[must_use]
    pub fn seq(&self, symbol: &Symbol, channel: Channel) -> Option<u64> {
        let found = self.topics.binary_search_by(|(s, c, _)| (s, c).cmp(&(symbol, &channel)));
        found.ok().map(|at| self.topics[at].2)
    }

    /// All topics named, sorted by symbol and channel.
    #[must_use]
    pub fn topics(&self) -> &[(Symbol, Channel, u64)] {
        &self.topics
    }
}

/// A client's own number or name for a command, echoed in its kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CommandId {
    /// An integer.
    Integer(i64),
    /// An integer above the range of the other.
    Unsigned(u64),
    /// A text of up to [`ID_BYTES_MAX`] bytes.
    Text(IdText),
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Unsigned(integer) => write!(f, "{integer}"),
            Self::Text(text) => write!(f, "{:?}", text.as_str()),
        }
    }
}

/// The text of a [`CommandId`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdText {
    bytes: [u8; ID_BYTES_MAX],
    len: u8,
}

impl IdText {
    /// An id of this text, if it is not too long.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; ID_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, len: u8::try_from(text.len()).ok()? })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Made from a str, so this never takes the empty default.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// Why a text is not a command, and of which command, if that much was readable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct CommandError {
    /// Echoed in the reply.
    pub id: Option<CommandId>,
    /// What is wrong.
    pub fault: Fault,
}

impl CommandError {
    /// The code in the reply.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self.fault {
            Fault::Utf8
            | Fault::Syntax { .. }
            | Fault::NotAnObject { .. }
            | Fault::NotPublish
            | Fault::Binary(_) => ErrorCode::Malformed,
            Fault::TooLong { .. } => ErrorCode::TooLong,
            Fault::Op { .. } => ErrorCode::UnknownOp,
            Fault::TooManyTopics { .. } => ErrorCode::TooManyTopics,
            Fault::TooManyTicks { .. } => ErrorCode::TooManyTicks,
            Fault::NoTicks
            | Fault::Missing { .. }
            | Fault::Twice { .. }
            | Fault::Unexpected { .. } => ErrorCode::BadField,
        }
    }
}

/// What is wrong with a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Bytes that are no text.
    #[error("the command is not UTF-8")]
    Utf8,
    /// No JSON document.
    #[error("the command is not valid JSON: error near byte {at}")]
    Syntax {
        /// Where the parser stopped.
        at: usize,
    },
    /// Longer than [`COMMAND_BYTES_MAX`].
    #[error("a command has at most {COMMAND_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// JSON, but not an object.
    #[error("a command is a JSON object, not {found}")]
    NotAnObject {
        /// What it is.
        found: Excerpt,
    },
    /// The op is not known.
    #[error("op: expected subscribe, unsubscribe, list, ping, auth or publish, found {found}")]
    Op {
        /// What it is.
        found: Excerpt,
    },
    /// A field is not there that must be.
    #[error("{field}: missing, expected {expected}")]
    Missing {
        /// Its name.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A field is there more than once: which one is meant?
    #[error("{field}: given twice")]
    Twice {
        /// Its name.
        field: Place,
    },
    /// A field of the wrong type or out of range.
    #[error("{field}: expected {expected}, found {found}")]
    Unexpected {
        /// Its name.
        field: Place,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: Excerpt,
    },
    /// More topics than [`TOPICS_PER_COMMAND_MAX`].
    #[error("{field}: at most {TOPICS_PER_COMMAND_MAX} topics in a command, found {count}")]
    TooManyTopics {
        /// Where.
        field: &'static str,
        /// How many.
        count: usize,
    },
    /// Nothing to publish.
    #[error("ticks: expected at least one tick, found none")]
    NoTicks,
    /// More ticks than [`TICKS_PER_PUBLISH_MAX`].
    #[error("ticks: at most {TICKS_PER_PUBLISH_MAX} ticks in a command, found {count}")]
    TooManyTicks {
        /// How many.
        count: usize,
    },
    /// A binary message that is none of a client's.
    #[error("a binary message from a client begins with Publish")]
    NotPublish,
    /// A binary message that ends too early or has an unknown part.
    #[error("the binary message cannot be read: {0}")]
    Binary(crate::sbe::DecodeError),
}

/// Where in a command a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A field, by its path.
    Field(&'static str),
    /// An element of a field that is an array, from 0.
    Element(&'static str, usize),
    /// A member of a field that is an object.
    Member(&'static str, Excerpt),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => f.write_str(field),
            Self::Element(field, index) => write!(f, "{field}[{index}]"),
            Self::Member(field, member) => write!(f, "{field}.{member}"),
        }
    }
}

/// The beginning of something a client wrote, short enough to be repeated to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// The longest excerpt, in bytes, without the dots that show a cut: a symbol, a dot, a channel
    /// and some more.
    pub const BYTES_MAX: usize = 48;

    /// The text, or its beginning and dots.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.len() <= Self::BYTES_MAX {
            return Self(text.into());
        }
        Self(format!("{}...", &text[..text.floor_char_boundary(Self::BYTES_MAX)]).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
