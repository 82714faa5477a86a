//! The native protocol's face: hello, commands, heartbeats, over WebSocket frames.
//!
//! Between sessions, which know frames, and the hub, which knows commands: this parses text into
//! [`wire::command::Command`]s and has replies written. It keeps no state.

use hub::{ConnId, Hub};
use wire::Encoding;
use wire::command::{Buffers, Command, CommandError, CommandId, Publish};
use wire::reply::{self, AuthState, ErrorCode, Hello, PublishLimits};

use crate::session::Opcode;
use crate::shard::settings::ShardSettings;

/// What became of a client's text message.
#[derive(Debug)]
pub(crate) enum Handled {
    /// It was a command, and the hub answered it.
    Command,
    /// It was none, and the reply says why.
    Malformed,
    /// It was a command for the shard: nothing is answered yet.
    Publish(Publish),
    /// Likewise.
    Auth(Option<CommandId>, String),
}

/// Whether the gateway has publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publishers {
    /// Nobody may publish: binary messages are no commands.
    None,
    /// Somebody may.
    Some,
}

/// Whether a session has shown a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has, or need not.
    Admitted,
    /// It has to, first of all.
    Stranger,
}

/// What data frames of an encoding are.
pub(crate) const fn opcode(encoding: Encoding) -> Opcode {
    match encoding {
        Encoding::Sbe => Opcode::Binary,
        Encoding::Json => Opcode::Text,
    }
}

/// Writes what a connection begins with.
pub(crate) fn hello(
    out: &mut Vec<u8>,
    encoding: Encoding,
    hub: &Hub,
    settings: &ShardSettings,
    auth: Option<AuthState>,
) {
    let hello = Hello {
        encoding,
        epoch: hub.epoch(),
        heartbeat_ms: u64::try_from(settings.heartbeat.as_millis()).unwrap_or(u64::MAX),
        subscriptions_max: settings.hub.topics_per_connection_max as u64,
        commands_per_second: u64::from(settings.command_rate),
        auth,
        publish: settings.publish.is_on().then(|| PublishLimits {
            ticks_per_second: u64::from(settings.publish.ticks_per_second),
            in_flight: settings.publish.in_flight_max as u64,
        }),
    };
    hello.write(out);
}

/// Writes one message that says nothing but that we are there.
pub(crate) fn heartbeat(out: &mut Vec<u8>, encoding: Encoding, hub: &Hub, ts_ns: u64) {
    encoding.open(out);
    encoding.heartbeat(out, ts_ns, hub.epoch());
    encoding.close(out);
}

/// Reads a client's message. A text is overwritten.
pub(crate) fn parse(
    message: &mut [u8],
    kind: Opcode,
    buffers: &mut Buffers,
) -> Result<Command, CommandError> {
    match kind {
        Opcode::Binary => Command::parse_binary(message),
        _ => Command::parse(message, buffers),
    }
}

/// Acts upon a command and writes the reply. What the shard has to do itself is given back.
pub(crate) fn handle(
    command: Result<Command, CommandError>,
    publishers: Publishers,
    standing: Standing,
    conn: ConnId,
    hub: &mut Hub,
    now_ns: u64,
    out: &mut Vec<u8>,
) -> Handled {
    match command {
        Ok(Command::Auth { id, token }) => Handled::Auth(id, token),
        Ok(command)
            if standing == Standing::Stranger && !matches!(command, Command::Ping { .. }) =>
        {
            let msg = "this gateway asks for credentials: show one with auth first";
            reply::error(out, command.id(), ErrorCode::NotEntitled, msg);
            Handled::Command
        }
        Ok(Command::Publish(publish)) if publishers == Publishers::Some => {
            Handled::Publish(publish)
        }
        Ok(command) => {
            hub.handle_command(conn, &command, now_ns, out);
            Handled::Command
        }
        Err(error) => {
            reply::command_error(out, &error);
            Handled::Malformed
        }
    }
}
