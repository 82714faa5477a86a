//! How a server is spoken to: the difference between Tickcast and the peers that it is compared with.
//!
//! All of them carry the same 64-byte quote over WebSocket, so one generator measures them all: it
//! asks for topics ([`Subscriptions`]) in the server's own way and unwraps what the server wraps
//! around a quote ([`Dialect::packet`]). Latency, sequence numbers and CPU time are then found by the
//! same code for everybody. What a packet looks like is in [`nats`] and [`mqtt`], which the publisher
//! uses too.

pub(crate) mod mqtt;
pub(crate) mod nats;

use std::borrow::Cow;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::frame::{self, Opcode};
use crate::generator::plan::Plan;
use crate::generator::template::{TemplateError, Templates};
use crate::generator::upgrade;

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Dialect {
    /// The native protocol: commands in JSON, acks, one or more SBE messages in a frame.
    #[default]
    Tickcast,
    /// The native protocol's subscribe command without its subprotocol: what our own programs for
    /// peers without a protocol understand. Quotes as in Tickcast.
    Plain,
    /// Topics, separated by commas, behind the URL; quotes as in Tickcast.
    Path,
    /// The NATS client protocol inside WebSocket messages.
    Nats,
    /// MQTT 3.1.1 inside WebSocket messages, quality of service 0.
    Mqtt,
}

/// One packet of a server whose packets have nothing to do with WebSocket's messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// A published message.
    Message(&'a [u8]),
    /// What a subscription waits for.
    Answer,
    /// To be answered with [`nats::PONG`].
    Ping,
    Refusal(String),
    Other,
}

/// Bytes that no server of this dialect should send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed packet of NATS or MQTT")]
pub(crate) struct PacketError;

impl Dialect {
    /// Whether packets are a stream of their own, cut into WebSocket messages anywhere.
    pub(crate) const fn is_stream(self) -> bool {
        matches!(self, Self::Nats | Self::Mqtt)
    }

    /// The packet that `bytes` begin with, and its length; none while it is not whole. Only for
    /// streams: elsewhere nothing is wrapped, and the bytes are the message.
    pub(crate) fn packet(self, bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, PacketError> {
        match self {
            Self::Nats => nats::packet(bytes),
            Self::Mqtt => mqtt::packet(bytes),
            Self::Tickcast | Self::Plain | Self::Path => {
                Ok(Some((Packet::Message(bytes), bytes.len())))
            }
        }
    }
}

/// Topics in one subscribe command: some kilobytes, far below what a gateway takes.
const TOPICS_PER_COMMAND: usize = 100;

/// What a connection sends once it is upgraded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Opening {
    /// Frames.
    pub(crate) bytes: Vec<u8>,
    /// So many answers are awaited until the connection counts as open.
    pub(crate) answers: u32,
}

/// What each connection of a worker asks for.
pub(crate) struct Subscriptions {
    pub(crate) dialect: Dialect,
    pub(crate) subprotocol: Option<String>,
    /// None: nothing.
    templates: Option<Templates>,
    per_connection: u64,
    mode: Option<String>,
    max_rate: Option<u32>,
    target: crate::generator::target::Target,
    request: Vec<u8>,
}

impl Subscriptions {
    pub(crate) fn new(plan: &Plan) -> Result<Self, TemplateError> {
        let templates = plan.topics.as_deref().map(Templates::parse).transpose()?;
        if let Some(templates) = &templates {
            // Templates that have no value for some connection shall fail here, not in its turn.
            templates.expand(plan.worker, plan.topics_per_connection)?;
        }
        Ok(Self {
            dialect: plan.dialect,
            subprotocol: plan.subprotocol.clone(),
            templates,
            per_connection: plan.topics_per_connection,
            mode: plan.mode.clone(),
            max_rate: plan.max_rate,
            request: upgrade::request(&plan.target, plan.subprotocol.as_deref()),
            target: plan.target.clone(),
        })
    }

    /// The upgrade of connection `number`.
    pub(crate) fn request(&self, number: u64) -> Cow<'_, [u8]> {
        if self.dialect != Dialect::Path {
            return Cow::Borrowed(&self.request);
        }
        let mut target = self.target.clone();
        target.path.push_str(&self.topics(number).join(","));
        Cow::Owned(upgrade::request(&target, self.subprotocol.as_deref()))
    }

    /// What connection `number` says behind its upgrade.
    pub(crate) fn opening(&self, number: u64) -> Opening {
        let topics = self.topics(number);
        let mut opening = Opening::default();
        match self.dialect {
            Dialect::Tickcast | Dialect::Plain => {
                for (index, topics) in topics.chunks(TOPICS_PER_COMMAND).enumerate() {
                    let command = self.command(index + 1, topics);
                    frame::write_client(&mut opening.bytes, Opcode::Text, &command);
                    opening.answers += 1;
                }
            }
            Dialect::Path => {}
            Dialect::Nats => {
                let mut packets = Vec::new();
                nats::connect(&mut packets);
                for (id, topic) in (1..).zip(&topics) {
                    nats::subscribe(&mut packets, topic, id);
                }
                // The answer to a ping comes behind everything that the subscriptions did.
                packets.extend_from_slice(nats::PING);
                frame::write_client(&mut opening.bytes, Opcode::Binary, &packets);
                opening.answers = 1;
            }
            Dialect::Mqtt => {
                let mut packets = Vec::new();
                mqtt::connect(&mut packets);
                opening.answers = 1;
                for topics in topics.chunks(TOPICS_PER_COMMAND) {
                    mqtt::subscribe(&mut packets, topics);
                    opening.answers += 1;
                }
                frame::write_client(&mut opening.bytes, Opcode::Binary, &packets);
            }
        }
        opening
    }

    fn topics(&self, number: u64) -> Vec<String> {
        let expand = |it: &Templates| it.expand(number, self.per_connection).unwrap_or_default();
        self.templates.as_ref().map(expand).unwrap_or_default()
    }

    fn command(&self, id: usize, topics: &[String]) -> Vec<u8> {
        let mut command = serde_json::json!({ "op": "subscribe", "id": id, "topics": topics });
        if let Some(mode) = &self.mode {
            command["mode"] = mode.as_str().into();
        }
        if let Some(max_rate) = self.max_rate {
            command["max_rate"] = max_rate.into();
        }
        command.to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that a stream of packets says, cut after every `step` bytes.
    fn read(dialect: Dialect, stream: &[u8], step: usize) -> Vec<String> {
        let (mut kept, mut said) = (Vec::new(), Vec::new());
        for piece in stream.chunks(step) {
            kept.extend_from_slice(piece);
            let mut at = 0;
            while let Some((packet, len)) = dialect.packet(&kept[at..]).unwrap() {
                said.push(format!("{packet:?}"));
                at += len;
            }
            kept.drain(..at);
        }
        assert!(kept.is_empty(), "{kept:?} is left");
        said
    }

    #[test]
    fn packets_are_the_same_however_websocket_cuts_them() {
        let long = vec![7; 20_000];
        let mut nats = b"INFO {\"server_id\":\"x\",\"headers\":true}\r\n+OK\r\n".to_vec();
        for (sid, payload) in [(1, &b"one\r\nline"[..]), (27, b""), (3, &long)] {
            nats.extend_from_slice(format!("MSG S0.quote {sid} {}\r\n", payload.len()).as_bytes());
            nats.extend_from_slice(payload);
            nats.extend_from_slice(b"\r\n");
        }
        nats.extend_from_slice(b"MSG S0.quote 9 _INBOX.1 2\r\nab\r\nPING\r\nPONG\r\n-ERR 'no'\r\n");
        let mut mqtt = vec![0x20, 2, 0, 0, 0x90, 4, 0, 1, 0, 0];
        for payload in [&b"one"[..], b"", &long] {
            mqtt::publish(&mut mqtt, "S0.quote", payload);
        }
        mqtt.extend_from_slice(&[0xD0, 0, 0x90, 3, 0, 2, 0x80]);
        for (dialect, stream, packets) in [(Dialect::Nats, nats, 9), (Dialect::Mqtt, mqtt, 7)] {
            let whole = read(dialect, &stream, stream.len());
            assert_eq!(whole.len(), packets, "{whole:.200?}");
            for step in [1, 2, 3, 7, 64, 1_000] {
                assert_eq!(read(dialect, &stream, step), whole, "{dialect:?} by {step}");
            }
            assert_eq!(
                whole.iter().filter(|it| it.starts_with("Message")).count(),
                packets - 5 + usize::from(dialect == Dialect::Mqtt)
            );
            assert!(whole.last().unwrap().starts_with("Refusal"), "{whole:.200?}");
        }
    }
}
