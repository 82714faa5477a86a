//! Parsing of commands: from bytes to a tape, from the tape to a [`Command`].

use std::num::NonZeroU32;

use simd_json::prelude::*;
use simd_json::tape::{Tape, Value};

use super::parse_publish::publish;
use super::{
    BadTopic, COMMAND_BYTES_MAX, Command, CommandError, CommandId, DEPTH_MAX, Excerpt, Fault,
    IdText, MAX_RATE_MAX, Mode, Place, Publish, Resume, SnapshotPolicy, Subscribe, TOKEN_BYTES_MAX,
    TOPICS_PER_COMMAND_MAX, Unsubscribe,
};
use crate::topic::Pattern;

/// What parsing needs in memory, kept between commands: one per shard is enough.
pub struct Buffers {
    simd: simd_json::Buffers,
    tape: Tape<'static>,
}

impl Buffers {
    /// Buffers that grow on first use, to a few times the longest command.
    #[must_use]
    pub fn new() -> Self {
        Self { simd: simd_json::Buffers::with_max_depth(1024, DEPTH_MAX), tape: Tape::null() }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

impl Command {
    /// Parses one command. The text is scratched: strings are unescaped in place.
    ///
    /// # Errors
    /// If it is no command, with what is wrong and the command's id if that was readable.
    pub fn parse(text: &mut [u8], buffers: &mut Buffers) -> Result<Self, CommandError> {
        let anonymous = |fault| CommandError { id: None, fault };
        if text.len() > COMMAND_BYTES_MAX {
            return Err(anonymous(Fault::TooLong { bytes: text.len() }));
        }
        // simd-json checks this too, but after brackets and quotes; here the fault is named first,
        // and nothing that is not text ever reaches the parser's unsafe code.
        if std::str::from_utf8(text).is_err() {
            return Err(anonymous(Fault::Utf8));
        }
        let mut tape = std::mem::replace(&mut buffers.tape, Tape(Vec::new())).reset();
        let command = match simd_json::fill_tape(text, &mut buffers.simd, &mut tape) {
            Ok(()) => command(tape.as_value()),
            Err(error) => Err(anonymous(Fault::Syntax { at: error.index() })),
        };
        buffers.tape = tape.reset();
        command
    }

    /// The client's id of the command.
    #[must_use]
    pub const fn id(&self) -> Option<&CommandId> {
        match self {
            Self::Subscribe(Subscribe { id, .. })
            | Self::Unsubscribe(Unsubscribe { id, .. })
            | Self::List { id }
            | Self::Ping { id }
            | Self::Auth { id, .. }
            | Self::Publish(Publish { id, .. }) => id.as_ref(),
        }
    }
}

/// The known fields of a command, unread.
#[derive(Default)]
struct Fields<'tape, 'input> {
    op: Option<Value<'tape, 'input>>,
    id: Option<Value<'tape, 'input>>,
    topics: Option<Value<'tape, 'input>>,
    mode: Option<Value<'tape, 'input>>,
    max_rate: Option<Value<'tape, 'input>>,
    snapshot: Option<Value<'tape, 'input>>,
    resume: Option<Value<'tape, 'input>>,
    token: Option<Value<'tape, 'input>>,
    ticks: Option<Value<'tape, 'input>>,
}

fn command(document: Value<'_, '_>) -> Result<Command, CommandError> {
    let Some(object) = document.as_object() else {
        return Err(CommandError {
            id: None,
            fault: Fault::NotAnObject { found: excerpt(document) },
        });
    };
    let mut fields = Fields::default();
    let mut twice = None;
    for (name, value) in object.iter() {
        let (name, slot) = match name {
            "op" => ("op", &mut fields.op),
            "id" => ("id", &mut fields.id),
            "topics" => ("topics", &mut fields.topics),
            "mode" => ("mode", &mut fields.mode),
            "max_rate" => ("max_rate", &mut fields.max_rate),
            "snapshot" => ("snapshot", &mut fields.snapshot),
            "resume" => ("resume", &mut fields.resume),
            "token" => ("token", &mut fields.token),
            "ticks" => ("ticks", &mut fields.ticks),
            _ => continue,
        };
        if slot.replace(value).is_some() {
            twice = Some(name);
        }
    }
    let id = id(fields.id).map_err(|fault| CommandError { id: None, fault })?;
    let named = |fault| CommandError { id, fault };
    if let Some(name) = twice {
        return Err(named(Fault::Twice { field: Place::Field(name) }));
    }
    operation(&fields, id).map_err(named)
}

fn operation(fields: &Fields<'_, '_>, id: Option<CommandId>) -> Result<Command, Fault> {
    const OP: &str = "subscribe, unsubscribe, list, ping, auth or publish";
    let op = fields.op.ok_or(Fault::Missing { field: "op", expected: OP })?;
    Ok(match op.as_str() {
        Some("subscribe") => Command::Subscribe(Subscribe {
            id,
            topics: topics(fields.topics)?,
            mode: mode(fields.mode)?,
            max_rate: max_rate(fields.max_rate)?,
            snapshot: snapshot(fields.snapshot)?,
            resume: fields.resume.filter(is_given).map(resume).transpose()?,
        }),
        Some("unsubscribe") => {
            Command::Unsubscribe(Unsubscribe { id, topics: topics(fields.topics)? })
        }
        Some("list") => Command::List { id },
        Some("ping") => Command::Ping { id },
        Some("auth") => Command::Auth { id, token: token(fields.token)? },
        Some("publish") => Command::Publish(publish(id, fields.ticks)?),
        _ => return Err(Fault::Op { found: excerpt(op) }),
    })
}

/// `null` is the same as absent.
pub(super) fn is_given(value: &Value<'_, '_>) -> bool {
    !value.is_null()
}

pub(super) fn unexpected(
    field: &'static str,
    expected: &'static str,
    found: Value<'_, '_>,
) -> Fault {
    Fault::Unexpected { field: Place::Field(field), expected, found: excerpt(found) }
}

fn id(value: Option<Value<'_, '_>>) -> Result<Option<CommandId>, Fault> {
    let Some(value) = value.filter(is_given) else { return Ok(None) };
    let id = match (value.as_i64(), value.as_u64()) {
        (Some(integer), _) => Some(CommandId::Integer(integer)),
        (None, Some(integer)) => Some(CommandId::Unsigned(integer)),
        (None, None) => value.as_str().and_then(IdText::new).map(CommandId::Text),
    };
    match id {
        Some(id) => Ok(Some(id)),
        None => Err(unexpected("id", "an integer or a string of at most 36 bytes", value)),
    }
}

fn topics(value: Option<Value<'_, '_>>) -> Result<Vec<Result<Pattern, BadTopic>>, Fault> {
    const EXPECTED: &str = "an array of topics such as \"BTCUSDT.trade\" or \"*.quote\"";
    let missing = Fault::Missing { field: "topics", expected: EXPECTED };
    let value = value.filter(is_given).ok_or(missing)?;
    let array = value.as_array().ok_or_else(|| unexpected("topics", EXPECTED, value))?;
    let count = array.len();
    if count == 0 {
        return Err(unexpected("topics", "at least one topic", value));
    }
    if count > TOPICS_PER_COMMAND_MAX {
        return Err(Fault::TooManyTopics { field: "topics", count });
    }
    let mut topics = Vec::with_capacity(count);
    for (index, element) in array.iter().enumerate() {
        let text = element.as_str().ok_or_else(|| Fault::Unexpected {
            field: Place::Element("topics", index),
            expected: "a string such as \"BTCUSDT.trade\"",
            found: excerpt(element),
        })?;
        let bad = |error| BadTopic { text: Excerpt::new(text), error };
        topics.push(Pattern::parse(text).map_err(bad));
    }
    Ok(topics)
}

fn mode(value: Option<Value<'_, '_>>) -> Result<Mode, Fault> {
    let Some(value) = value.filter(is_given) else { return Ok(Mode::default()) };
    match value.as_str() {
        Some("every") => Ok(Mode::Every),
        Some("conflate") => Ok(Mode::Conflate),
        _ => Err(unexpected("mode", "\"every\" or \"conflate\"", value)),
    }
}

fn max_rate(value: Option<Value<'_, '_>>) -> Result<Option<NonZeroU32>, Fault> {
    let Some(value) = value.filter(is_given) else { return Ok(None) };
    let rate = value.as_u64().and_then(|rate| u32::try_from(rate).ok()).and_then(NonZeroU32::new);
    match rate {
        Some(rate) if rate.get() <= MAX_RATE_MAX => Ok(Some(rate)),
        _ => Err(unexpected("max_rate", "an integer from 1 to 1000, in updates a second", value)),
    }
}

fn snapshot(value: Option<Value<'_, '_>>) -> Result<SnapshotPolicy, Fault> {
    let Some(value) = value.filter(is_given) else { return Ok(SnapshotPolicy::default()) };
    match value.as_bool() {
        Some(true) => Ok(SnapshotPolicy::Send),
        Some(false) => Ok(SnapshotPolicy::Skip),
        None => Err(unexpected("snapshot", "true or false", value)),
    }
}

fn resume(value: Value<'_, '_>) -> Result<Resume, Fault> {
    const EPOCH: &str = "an epoch as in hello, such as \"1723075200\"";
    const TOPICS: &str = "an object such as {\"BTCUSDT.trade\":\"123\"}";
    let object = value
        .as_object()
        .ok_or_else(|| unexpected("resume", "an object with epoch and topics", value))?;
    let (mut epoch, mut topics) = (None, None);
    for (name, value) in object.iter() {
        let (field, slot) = match name {
            "epoch" => ("resume.epoch", &mut epoch),
            "topics" => ("resume.topics", &mut topics),
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(Fault::Twice { field: Place::Field(field) });
        }
    }
    let epoch = epoch.ok_or(Fault::Missing { field: "resume.epoch", expected: EPOCH })?;
    let epoch = unsigned(epoch).ok_or_else(|| unexpected("resume.epoch", EPOCH, epoch))?;
    let topics = topics.ok_or(Fault::Missing { field: "resume.topics", expected: TOPICS })?;
    let topics = topics.as_object().ok_or_else(|| unexpected("resume.topics", TOPICS, topics))?;
    if topics.len() > TOPICS_PER_COMMAND_MAX {
        return Err(Fault::TooManyTopics { field: "resume.topics", count: topics.len() });
    }
    let mut points = Vec::with_capacity(topics.len());
    for (text, value) in topics.iter() {
        let member = || Place::Member("resume.topics", Excerpt::new(text));
        let Ok(Pattern::One(symbol, channel)) = Pattern::parse(text) else {
            return Err(Fault::Unexpected {
                field: Place::Field("resume.topics"),
                expected: "topics such as \"BTCUSDT.trade\"",
                found: quoted(text),
            });
        };
        let seq = unsigned(value).ok_or_else(|| Fault::Unexpected {
            field: member(),
            expected: "the last sequence number received, such as \"123\"",
            found: excerpt(value),
        })?;
        points.push((symbol, channel, seq));
    }
    Resume::new(epoch, points).map_err(|(symbol, channel)| {
        let topic = Pattern::One(symbol, channel).to_string();
        Fault::Twice { field: Place::Member("resume.topics", Excerpt::new(&topic)) }
    })
}

fn token(value: Option<Value<'_, '_>>) -> Result<String, Fault> {
    const EXPECTED: &str = "a string of 1 to 8192 bytes";
    let value = value.ok_or(Fault::Missing { field: "token", expected: EXPECTED })?;
    match value.as_str() {
        Some(token) if (1..=TOKEN_BYTES_MAX).contains(&token.len()) => Ok(token.to_owned()),
        // A credential is not repeated, not even a wrong one.
        Some(_) => Err(Fault::Unexpected {
            field: Place::Field("token"),
            expected: EXPECTED,
            found: Excerpt::new("a string of another length"),
        }),
        None => Err(unexpected("token", EXPECTED, value)),
    }
}

/// A 64-bit number: decimal digits in a string, or an integer.
pub(super) fn unsigned(value: Value<'_, '_>) -> Option<u64> {
    match value.as_str() {
        // `parse` alone would take a plus sign.
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        Some(_) => None,
        None => value.as_u64(),
    }
}

/// How a value is shown in an error message.
pub(super) fn excerpt(value: Value<'_, '_>) -> Excerpt {
    if let Some(text) = value.as_str() {
        return quoted(text);
    }
    if let Some(array) = value.as_array() {
        return Excerpt::new(if array.is_empty() { "an empty array" } else { "an array" });
    }
    if value.is_object() {
        return Excerpt::new("an object");
    }
    if let Some(value) = value.as_bool() {
        return Excerpt::new(if value { "true" } else { "false" });
    }
    let integer = value.as_i64().map(|value| value.to_string());
    let integer = integer.or_else(|| value.as_u64().map(|value| value.to_string()));
    let number = integer.or_else(|| value.as_f64().map(|value| value.to_string()));
    Excerpt::new(number.as_deref().unwrap_or("null"))
}

fn quoted(text: &str) -> Excerpt {
    let short = Excerpt::new(text);
    Excerpt(format!("\"{short}\"").into())
}
