//! Control: what clients of the exchange's protocol ask for, and what they are answered.
//!
//! Requests are JSON objects in text messages. White space, the order of keys and unknown keys do not
//! matter. Replies are written to the letter: some clients compare them as text. Whether a stream's
//! name means anything is for [`Stream::parse`](super::Stream::parse) to say; here it is a text.

mod parse;

use std::fmt;

use crate::command::IdText;
use crate::exchange::TimeUnit;
use crate::reply::string;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Have streams delivered.
    Subscribe {
        /// Echoed in the reply.
        id: RequestId,
        /// Their names, as written, in order; may name one twice.
        streams: Vec<String>,
    },
    /// Have them no more.
    Unsubscribe {
        /// Echoed in the reply.
        id: RequestId,
        /// Their names, as written, in order.
        streams: Vec<String>,
    },
    /// Be told what is subscribed.
    List {
        /// Echoed in the reply.
        id: RequestId,
    },
    /// Have events in envelopes that name their stream, or have them bare.
    SetCombined {
        /// Echoed in the reply.
        id: RequestId,
        /// Whether in envelopes.
        combined: bool,
    },
    /// Be told whether events come in envelopes.
    GetCombined {
        /// Echoed in the reply.
        id: RequestId,
    },
}

impl Request {
    /// The client's id of the request.
    #[must_use]
    pub const fn id(&self) -> &RequestId {
        match self {
            Self::Subscribe { id, .. }
            | Self::Unsubscribe { id, .. }
            | Self::List { id }
            | Self::SetCombined { id, .. }
            | Self::GetCombined { id } => id,
        }
    }
}

/// A client's own number or name for a request, echoed in its kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RequestId {
    /// An integer.
    Integer(i64),
    /// An integer above the range of the other.
    Unsigned(u64),
    /// A text of up to 36 bytes.
    Text(IdText),
    /// `null`.
    Null,
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Unsigned(integer) => write!(f, "{integer}"),
            Self::Text(text) => write!(f, "{:?}", text.as_str()),
            Self::Null => f.write_str("null"),
        }
    }
}

/// Why a text is not a request, or is refused, and which it was if that much was readable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct ControlError {
    /// Echoed in the reply; `None`: it could not be read, and is left out there.
    pub id: Option<RequestId>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a request. The texts are the exchange's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is no property of that name.
    #[error("Unknown property")]
    UnknownProperty,
    /// The property's value is not `true` or `false`.
    #[error("Invalid value type: expected Boolean")]
    NotABoolean,
    /// The property's name is missing or no text.
    #[error("Invalid request: property name must be a string")]
    PropertyName,
    /// The id is missing or of a kind that is not echoed.
    #[error("Invalid request: request ID must be an unsigned integer")]
    Id,
    /// More parameters than the method has.
    #[error("Invalid request: too many parameters")]
    TooManyParameters,
    /// A parameter is no stream's name.
    #[error("Invalid request: invalid stream")]
    InvalidStream,
    /// JSON, but no request: what is wrong, and where.
    #[error("Invalid request: {0}")]
    Shape(String),
    /// Not JSON: what is wrong, and where.
    #[error("Invalid JSON: {0}")]
    Syntax(String),
    /// Credentials are missing or do not allow a stream. This one is ours.
    #[error("Not entitled")]
    NotEntitled,
    /// More streams than a connection may have.
    #[error("Too many subscriptions")]
    TooManySubscriptions,
}

impl Fault {
    /// The number in replies.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::UnknownProperty => 0,
            Self::NotABoolean => 1,
            Self::PropertyName
            | Self::Id
            | Self::TooManyParameters
            | Self::InvalidStream
            | Self::Shape(_) => 2,
            Self::Syntax(_) => 3,
            Self::TooManySubscriptions => 4,
            Self::NotEntitled => 5,
        }
    }

    /// Whether the request was malformed, after which the exchange closes the connection.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        matches!(self, Self::InvalidStream | Self::Shape(_) | Self::Syntax(_))
    }
}

/// How errors are shaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ErrorShape {
    /// As the exchange writes them: `{"error":{"code":…,"msg":…},"id":…}`.
    #[default]
    Nested,
    /// With code and message once more outside, as its documentation prints them.
    Union,
}

/// Appends that `SUBSCRIBE`, `UNSUBSCRIBE` or `SET_PROPERTY` is done.
pub fn done(out: &mut Vec<u8>, id: &RequestId) {
    out.extend_from_slice(b"{\"result\":null");
    finish(out, Some(id));
}

/// Appends what is subscribed.
pub fn list(out: &mut Vec<u8>, names: impl Iterator<Item: fmt::Display>, id: &RequestId) {
    out.extend_from_slice(b"{\"result\":");
    names_of(out, names);
    finish(out, Some(id));
}

/// Appends a property's value.
pub fn property(out: &mut Vec<u8>, value: bool, id: &RequestId) {
    out.extend_from_slice(if value { b"{\"result\":true" } else { b"{\"result\":false" });
    finish(out, Some(id));
}

/// Appends that a request is refused.
pub fn error(out: &mut Vec<u8>, error: &ControlError, shape: ErrorShape) {
    out.extend_from_slice(b"{\"error\":{");
    code_and_message(out, &error.fault);
    out.push(b'}');
    if shape == ErrorShape::Union {
        out.push(b',');
        code_and_message(out, &error.fault);
    }
    finish(out, error.id.as_ref());
}

/// Appends that the server is about to stop; bare, as it is told on `/ws`.
pub fn server_shutdown(out: &mut Vec<u8>, ts_ns: u64, unit: TimeUnit) {
    out.extend_from_slice(b"{\"e\":\"serverShutdown\",\"E\":");
    integer(out, unit.of_ns(ts_ns));
    out.push(b'}');
}

/// The stream that [`server_shutdown`] is of in envelopes.
pub const SERVER_SHUTDOWN: &str = "!serverShutdown";

/// Appends that streams ended because the client may not see them any more; bare, as it is told on `/ws`.
pub fn streams_revoked(out: &mut Vec<u8>, names: &[String]) {
    out.extend_from_slice(b"{\"e\":\"streamsRevoked\",\"streams\":");
    names_of(out, names.iter());
    out.push(b'}');
}

/// The stream that [`streams_revoked`] is of in envelopes.
pub const STREAMS_REVOKED: &str = "!streamsRevoked";

fn names_of(out: &mut Vec<u8>, names: impl Iterator<Item: fmt::Display>) {
    out.push(b'[');
    for (index, name) in names.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name);
    }
    out.push(b']');
}

fn code_and_message(out: &mut Vec<u8>, fault: &Fault) {
    out.extend_from_slice(b"\"code\":");
    integer(out, fault.code());
    out.extend_from_slice(b",\"msg\":");
    string(out, fault);
}

/// `,"id":…}`
fn finish(out: &mut Vec<u8>, id: Option<&RequestId>) {
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        match id {
            RequestId::Integer(id) => integer(out, *id),
            RequestId::Unsigned(id) => integer(out, *id),
            RequestId::Text(id) => string(out, id.as_str()),
            RequestId::Null => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
