//! The server's replies, as far as the client reads them. Unknown fields are of later versions.

use serde::Deserialize;
use wire::{ErrorCode, Mode};

use crate::error::Refusal;
use crate::subscription::{Listing, TopicResult};

/// Any reply: one object.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Reply {
    Hello(Hello),
    Ack {
        id: Option<u64>,
        #[serde(default)]
        results: Vec<TopicReply>,
    },
    List {
        id: Option<u64>,
        #[serde(default)]
        topics: Vec<Listed>,
    },
    Pong {
        id: Option<u64>,
    },
    Error {
        id: Option<u64>,
        #[serde(flatten)]
        fault: Fault,
    },
    /// The credential is good for so long.
    Expiring {
        in_ms: u64,
    },
    /// It allows less than it did.
    Revoked {
        topics: Vec<String>,
        narrowed: Vec<String>,
        /// How many are not named.
        #[serde(default)]
        more: u64,
    },
    #[serde(other)]
    Unknown,
}

/// What a connection begins with.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: u16,
    #[serde(deserialize_with = "number")]
    pub(crate) epoch: u64,
    pub(crate) heartbeat_ms: u64,
    #[serde(default)]
    pub(crate) limits: Limits,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    pub(crate) topics_per_command: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { topics_per_command: wire::command::TOPICS_PER_COMMAND_MAX }
    }
}

/// What became of one topic of a command.
#[derive(Debug, Deserialize)]
pub(crate) struct TopicReply {
    pub(crate) topic: String,
    pub(crate) ok: bool,
    #[serde(default, deserialize_with = "maybe_number")]
    pub(crate) seq: Option<u64>,
    #[serde(flatten)]
    pub(crate) fault: Fault,
}

/// A subscription, as `list` says it.
#[derive(Debug, Deserialize)]
pub(crate) struct Listed {
    pub(crate) topic: String,
    pub(crate) mode: String,
    pub(crate) max_rate: Option<u32>,
    #[serde(default, deserialize_with = "maybe_number")]
    pub(crate) seq: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Fault {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) msg: String,
}

impl From<TopicReply> for TopicResult {
    fn from(reply: TopicReply) -> Self {
        let outcome = if reply.ok { Ok(reply.seq) } else { Err(reply.fault.into()) };
        Self { topic: reply.topic, outcome }
    }
}

impl From<Listed> for Listing {
    fn from(listed: Listed) -> Self {
        let mode = if listed.mode == Mode::Conflate.name() { Mode::Conflate } else { Mode::Every };
        Self { topic: listed.topic, mode, max_rate: listed.max_rate, seq: listed.seq }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { code: ErrorCode::from_code(fault.code), msg: fault.msg }
    }
}

/// 64-bit integers are strings on the wire.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn maybe_number<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use wire::reply::{self, AckWriter, ListWriter};
    use wire::{CommandId, Encoding};

    use super::*;

    fn parse(write: impl FnOnce(&mut Vec<u8>)) -> Reply {
        let mut out = Vec::new();
        write(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn what_the_gateway_writes_is_read() {
        let hello = reply::Hello {
            encoding: Encoding::Sbe,
            epoch: u64::MAX,
            heartbeat_ms: 5_000,
            subscriptions_max: 7,
            commands_per_second: 8,
            auth: None,
            publish: None,
        };
        let Reply::Hello(read) = parse(|out| hello.write(out)) else { panic!("a hello") };
        assert_eq!((read.version, read.epoch, read.heartbeat_ms), (1, u64::MAX, 5_000));
        assert_eq!(read.limits.topics_per_command, 1_000);

        let id = CommandId::Integer(3);
        let ack = parse(|out| {
            let mut ack = AckWriter::new(out, Some(&id));
            ack.accepted("BTCUSDT.trade", Some(u64::MAX));
            ack.accepted("*.quote", None);
            ack.refused("X.y", ErrorCode::BadTopic, "no such \"channel\"");
            ack.finish();
        });
        let Reply::Ack { id: Some(3), results } = ack else { panic!("{ack:?}") };
        assert_eq!((results[0].ok, results[0].seq), (true, Some(u64::MAX)));
        assert_eq!((results[1].topic.as_str(), results[1].seq), ("*.quote", None));
        assert_eq!((results[2].ok, results[2].fault.code), (false, 20));
        assert_eq!(results[2].fault.msg, "no such \"channel\"");

        let list = parse(|out| {
            let mut list = ListWriter::new(out, Some(&id));
            list.topic("*.quote", Mode::Conflate, std::num::NonZeroU32::new(10), Some(5));
            list.finish();
        });
        let Reply::List { topics, .. } = list else { panic!("{list:?}") };
        assert_eq!((topics[0].max_rate, topics[0].seq), (Some(10), Some(5)));

        let error = parse(|out| reply::error(out, Some(&id), ErrorCode::Malformed, "what?"));
        assert!(matches!(error, Reply::Error { id: Some(3), fault: Fault { code: 1, .. } }));
        assert!(matches!(parse(|out| reply::pong(out, Some(&id))), Reply::Pong { id: Some(3) }));
        let expiring = parse(|out| reply::expiring(out, 60_000));
        assert!(matches!(expiring, Reply::Expiring { in_ms: 60_000 }));
        let many: Vec<_> =
            (0..=reply::REVOKED_NAMED_MAX).map(|nth| format!("S{nth}.quote")).collect();
        let revoked = parse(|out| reply::revoked(out, &many, &["*.trade".to_owned()]));
        let Reply::Revoked { topics, narrowed, more: 1 } = revoked else { panic!("{revoked:?}") };
        assert_eq!((&topics[..], narrowed), (&many[..many.len() - 1], vec!["*.trade".to_owned()]));
        let later = serde_json::from_str(r#"{"op":"notice","text":"x"}"#).unwrap();
        assert!(matches!(later, Reply::Unknown));
    }
}
