//! Replies: what the gateway answers to commands, and the hello it begins with. Always JSON text
//! messages, one object each, also on connections whose events are binary.
//!
//! Lists of unknown length are written by writers ([`AckWriter`], [`ListWriter`]) straight into the
//! buffer. Every text that a client chose is escaped. Called by hubs and sessions.

use std::fmt::{self, Write as _};
use std::num::NonZeroU32;

use crate::command::{
    COMMAND_BYTES_MAX, CommandError, CommandId, MAX_RATE_MAX, Mode, TICKS_PER_PUBLISH_MAX,
    TOPICS_PER_COMMAND_MAX,
};
use crate::encoding::Encoding;
use crate::sbe::SCHEMA_VERSION;

/// Version of the native protocol, as in its subprotocols' names.
pub const PROTOCOL_VERSION: u16 = 1;

/// Why a command, or one of its topics, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum ErrorCode {
    /// The text is not UTF-8, not JSON or not an object.
    Malformed = 1,
    /// The command is longer than `limits.command_bytes`.
    TooLong = 2,
    /// The op is not known.
    UnknownOp = 3,
    /// A field is missing, of the wrong type, out of range or given twice.
    BadField = 4,
    /// More topics than `limits.topics_per_command`.
    TooManyTopics = 5,
    /// More commands than `limits.commands_per_second`; go on like that and be closed.
    TooManyCommands = 6,
    /// Credentials are missing or do not allow it.
    NotEntitled = 7,
    /// More ticks than `limits.ticks_per_publish`.
    TooManyTicks = 8,
    /// More ticks than `limits.publish_rate` a second.
    TooFast = 9,
    /// Too much is waiting for the bus; try again when some of it has been answered.
    Busy = 10,
    /// The topic is not of the form `SYMBOL.channel` or `*.channel`.
    BadTopic = 20,
    /// There is no such instrument.
    UnknownInstrument = 21,
    /// The instrument has no such channel.
    UnknownChannel = 22,
    /// The topic to unsubscribe is not subscribed.
    NotSubscribed = 23,
    /// More subscriptions than `limits.subscriptions`.
    TooManySubscriptions = 24,
    /// The number to resume from was not yet given out in this epoch.
    ResumeAhead = 25,
    /// The gateway cannot take it now: it drains, or a budget of the process is used up.
    Unavailable = 26,
    /// Clients do not write this topic.
    NotPublishable = 27,
    /// Whether the tick was published could not be found out.
    Uncertain = 28,
}

impl ErrorCode {
    /// All codes, in order.
    pub const ALL: [Self; 19] = [
        Self::Malformed,
        Self::TooLong,
        Self::UnknownOp,
        Self::BadField,
        Self::TooManyTopics,
        Self::TooManyCommands,
        Self::NotEntitled,
        Self::TooManyTicks,
        Self::TooFast,
        Self::Busy,
        Self::BadTopic,
        Self::UnknownInstrument,
        Self::UnknownChannel,
        Self::NotSubscribed,
        Self::TooManySubscriptions,
        Self::ResumeAhead,
        Self::Unavailable,
        Self::NotPublishable,
        Self::Uncertain,
    ];

    /// The number in replies.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The code with this number, if there is one.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.code() == code)
    }

    /// The name in replies and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::UnknownOp => "unknown_op",
            Self::BadField => "bad_field",
            Self::TooManyTopics => "too_many_topics",
            Self::TooManyCommands => "too_many_commands",
            Self::NotEntitled => "not_entitled",
            Self::TooManyTicks => "too_many_ticks",
            Self::TooFast => "too_fast",
            Self::Busy => "busy",
            Self::BadTopic => "bad_topic",
            Self::UnknownInstrument => "unknown_instrument",
            Self::UnknownChannel => "unknown_channel",
            Self::NotSubscribed => "not_subscribed",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::ResumeAhead => "resume_ahead",
            Self::Unavailable => "unavailable",
            Self::NotPublishable => "not_publishable",
            Self::Uncertain => "uncertain",
        }
    }
}

/// What a connection begins with. Limits that are constants of the protocol are added by
/// [`Hello::write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// How events are written on this connection.
    pub encoding: Encoding,
    /// The epoch of sequence numbers; 0: no feed yet.
    pub epoch: u64,
    /// The longest pause between two messages of the gateway.
    pub heartbeat_ms: u64,
    /// The most subscriptions of a connection.
    pub subscriptions_max: u64,
    /// The most commands a second.
    pub commands_per_second: u64,
    /// What the gateway makes of the client's credentials; `None`: it asks for none.
    pub auth: Option<AuthState>,
    /// What holds for those who publish; `None`: nobody may.
    pub publish: Option<PublishLimits>,
}

/// What a gateway that asks for credentials makes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthState {
    /// It has shown none yet, and has to.
    Required,
    /// Those in its request are accepted.
    Accepted,
}

impl AuthState {
    /// The name in the hello.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Accepted => "accepted",
        }
    }
}

/// How much one connection may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishLimits {
    /// Ticks a second; twice as many at once.
    pub ticks_per_second: u64,
    /// Ticks that are not answered yet.
    pub in_flight: u64,
}

impl Hello {
    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"op\":\"hello\",\"version\":");
        integer(out, PROTOCOL_VERSION);
        out.extend_from_slice(b",\"encoding\":\"");
        out.extend_from_slice(self.encoding.name().as_bytes());
        out.extend_from_slice(b"\",\"schema_version\":");
        integer(out, SCHEMA_VERSION);
        out.extend_from_slice(b",\"epoch\":\"");
        integer(out, self.epoch);
        out.extend_from_slice(b"\",\"heartbeat_ms\":");
        integer(out, self.heartbeat_ms);
        if let Some(auth) = self.auth {
            out.extend_from_slice(b",\"auth\":\"");
            out.extend_from_slice(auth.name().as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b",\"limits\":{\"command_bytes\":");
        integer(out, u64::try_from(COMMAND_BYTES_MAX).unwrap_or(u64::MAX));
        out.extend_from_slice(b",\"topics_per_command\":");
        integer(out, u64::try_from(TOPICS_PER_COMMAND_MAX).unwrap_or(u64::MAX));
        out.extend_from_slice(b",\"subscriptions\":");
        integer(out, self.subscriptions_max);
        out.extend_from_slice(b",\"commands_per_second\":");
        integer(out, self.commands_per_second);
        out.extend_from_slice(b",\"max_rate\":");
        integer(out, MAX_RATE_MAX);
        if let Some(publish) = self.publish {
            out.extend_from_slice(b",\"ticks_per_publish\":");
            integer(out, u64::try_from(TICKS_PER_PUBLISH_MAX).unwrap_or(u64::MAX));
            out.extend_from_slice(b",\"publish_rate\":");
            integer(out, publish.ticks_per_second);
            out.extend_from_slice(b",\"publish_in_flight\":");
            integer(out, publish.in_flight);
        }
        out.extend_from_slice(b"}}");
    }
}

/// Writes the reply to `subscribe`, `unsubscribe` and `publish`: a result for each topic or tick, in the
/// order of the command. [`AckWriter::finish`] must be called.
#[derive(Debug)]
#[must_use]
pub struct AckWriter<'out> {
    out: &'out mut Vec<u8>,
    separator: &'static [u8],
}

impl<'out> AckWriter<'out> {
    /// Begins the reply.
    pub fn new(out: &'out mut Vec<u8>, id: Option<&CommandId>) -> Self {
        begin(out, "ack", id);
        out.extend_from_slice(b",\"results\":[");
        Self { out, separator: b"" }
    }

    /// The topic is taken. `seq` is the last number that will not be delivered: what follows has
    /// the next. Wildcards have none. Of a tick it is the number that it was given.
    pub fn accepted(&mut self, topic: impl fmt::Display, seq: Option<u64>) {
        self.topic(topic);
        self.out.extend_from_slice(b",\"ok\":true");
        if let Some(seq) = seq {
            self.out.extend_from_slice(b",\"seq\":\"");
            integer(self.out, seq);
            self.out.push(b'"');
        }
        self.out.push(b'}');
    }

    /// The topic is refused.
    pub fn refused(&mut self, topic: impl fmt::Display, code: ErrorCode, msg: impl fmt::Display) {
        self.topic(topic);
        self.out.extend_from_slice(b",\"ok\":false");
        fault(self.out, code, msg);
        self.out.push(b'}');
    }

    /// Ends the reply.
    pub fn finish(self) {
        self.out.extend_from_slice(b"]}");
    }

    fn topic(&mut self, topic: impl fmt::Display) {
        self.out.extend_from_slice(self.separator);
        self.separator = b",";
        self.out.extend_from_slice(b"{\"topic\":");
        string(self.out, topic);
    }
}

/// Writes the reply to `list`. [`ListWriter::finish`] must be called.
#[derive(Debug)]
#[must_use]
pub struct ListWriter<'out> {
    out: &'out mut Vec<u8>,
    separator: &'static [u8],
}

impl<'out> ListWriter<'out> {
    /// Begins the reply.
    pub fn new(out: &'out mut Vec<u8>, id: Option<&CommandId>) -> Self {
        begin(out, "list", id);
        out.extend_from_slice(b",\"topics\":[");
        Self { out, separator: b"" }
    }

    /// A subscription: its mode, rate, and the last number delivered, if there is one.
    pub fn topic(
        &mut self,
        topic: impl fmt::Display,
        mode: Mode,
        max_rate: Option<NonZeroU32>,
        seq: Option<u64>,
    ) {
        self.out.extend_from_slice(self.separator);
        self.separator = b",";
        self.out.extend_from_slice(b"{\"topic\":");
        string(self.out, topic);
        self.out.extend_from_slice(b",\"mode\":\"");
        self.out.extend_from_slice(mode.name().as_bytes());
        self.out.push(b'"');
        if let Some(rate) = max_rate {
            self.out.extend_from_slice(b",\"max_rate\":");
            integer(self.out, rate.get());
        }
        if let Some(seq) = seq {
            self.out.extend_from_slice(b",\"seq\":\"");
            integer(self.out, seq);
            self.out.push(b'"');
        }
        self.out.push(b'}');
    }

    /// Ends the reply.
    pub fn finish(self) {
        self.out.extend_from_slice(b"]}");
    }
}

/// Appends an ack without results: for commands that are not about topics.
pub fn ack(out: &mut Vec<u8>, id: Option<&CommandId>) {
    begin(out, "ack", id);
    out.push(b'}');
}

/// Appends that the connection's credentials expire in so long, unless others are shown with `auth`.
pub fn expiring(out: &mut Vec<u8>, in_ms: u64) {
    begin(out, "expiring", None);
    out.extend_from_slice(b",\"in_ms\":");
    integer(out, in_ms);
    out.push(b'}');
}

/// Appends the reply to `ping`.
pub fn pong(out: &mut Vec<u8>, id: Option<&CommandId>) {
    begin(out, "pong", id);
    out.push(b'}');
}

/// The most topics that [`revoked`] names of each kind: as many as a command.
pub const REVOKED_NAMED_MAX: usize = TOPICS_PER_COMMAND_MAX;

/// Appends that subscriptions ended, and that wildcards reach fewer instruments, because the client's
/// credentials do not allow more any longer. Of more than [`REVOKED_NAMED_MAX`] the rest is counted.
pub fn revoked<T: fmt::Display>(out: &mut Vec<u8>, topics: &[T], narrowed: &[T]) {
    begin(out, "revoked", None);
    for (name, all) in [("topics", topics), ("narrowed", narrowed)] {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":[");
        for (index, topic) in all.iter().take(REVOKED_NAMED_MAX).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            string(out, topic);
        }
        out.push(b']');
    }
    let more = topics.len().saturating_sub(REVOKED_NAMED_MAX);
    if more > 0 {
        out.extend_from_slice(b",\"more\":");
        integer(out, more);
    }
    out.push(b'}');
}

/// Appends that a command is refused as a whole.
pub fn error(out: &mut Vec<u8>, id: Option<&CommandId>, code: ErrorCode, msg: impl fmt::Display) {
    begin(out, "error", id);
    fault(out, code, msg);
    out.push(b'}');
}

/// Appends the reply to a text that is no command.
pub fn command_error(out: &mut Vec<u8>, refused: &CommandError) {
    error(out, refused.id.as_ref(), refused.code(), refused);
}

/// `{"op":"…","id":…`; an id that the client did not give is not there.
fn begin(out: &mut Vec<u8>, op: &str, id: Option<&CommandId>) {
    out.extend_from_slice(b"{\"op\":\"");
    out.extend_from_slice(op.as_bytes());
    out.push(b'"');
    match id {
        Some(CommandId::Integer(id)) => {
            out.extend_from_slice(b",\"id\":");
            integer(out, *id);
        }
        Some(CommandId::Unsigned(id)) => {
            out.extend_from_slice(b",\"id\":");
            integer(out, *id);
        }
        Some(CommandId::Text(id)) => {
            out.extend_from_slice(b",\"id\":");
            string(out, id.as_str());
        }
        None => {}
    }
}

/// `,"code":…,"name":"…","msg":"…"`
fn fault(out: &mut Vec<u8>, code: ErrorCode, msg: impl fmt::Display) {
    out.extend_from_slice(b",\"code\":");
    integer(out, code.code());
    out.extend_from_slice(b",\"name\":\"");
    out.extend_from_slice(code.name().as_bytes());
    out.extend_from_slice(b"\",\"msg\":");
    string(out, msg);
}

fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A JSON string of whatever the value displays.
pub(crate) fn string(out: &mut Vec<u8>, value: impl fmt::Display) {
    out.push(b'"');
    write!(Escaped(out), "{value}").expect("writing to memory does not fail");
    out.push(b'"');
}

/// Escapes what RFC 8259, section 7 says must be.
struct Escaped<'out>(&'out mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        for &byte in text.as_bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                0..0x20 => {
                    self.0.extend_from_slice(b"\\u00");
                    self.0.push(HEX[usize::from(byte >> 4)]);
                    self.0.push(HEX[usize::from(byte & 15)]);
                }
                _ => self.0.push(byte),
            }
        }
        Ok(())
    }
}
