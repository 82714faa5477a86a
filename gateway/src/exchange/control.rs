//! What clients ask for in messages, and what they are answered.

use hub::{ConnId, Envelope, Format, Hub, StreamAdded, StreamError};
use wire::exchange::control::{self, SERVER_SHUTDOWN};
use wire::exchange::{ControlError, Fault, Grammar, Request, RequestId, Stream, TimeUnit};

use super::{ExchangeSettings, Opening};

/// What became of a client's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    /// It was a request, and is answered.
    Request,
    /// It was none, and the answer says why. The connection is to be closed.
    Malformed,
}

/// Does what the request for a connection asked for.
pub(crate) fn begin(opening: Opening, conn: ConnId, hub: &mut Hub, settings: &ExchangeSettings) {
    let Opening { streams, envelope } = opening;
    hub.set_envelope(conn, envelope);
    for (name, stream) in &streams {
        // There are not too many, which was refused with the request; what may not be seen is not there.
        let _ = hub.add_stream(conn, name, *stream, settings.streams_max);
    }
}

/// Acts upon a message and writes the answer.
pub(crate) fn handle(
    message: &[u8],
    format: Format,
    conn: ConnId,
    hub: &mut Hub,
    settings: &ExchangeSettings,
    out: &mut Vec<u8>,
) -> Handled {
    let request = Request::parse(message);
    match request.and_then(|request| act(request, format, conn, hub, settings, out)) {
        Ok(()) => Handled::Request,
        Err(error) => {
            control::error(out, &error, settings.errors);
            if error.fault.is_malformed() { Handled::Malformed } else { Handled::Request }
        }
    }
}

fn act(
    request: Request,
    format: Format,
    conn: ConnId,
    hub: &mut Hub,
    settings: &ExchangeSettings,
    out: &mut Vec<u8>,
) -> Result<(), ControlError> {
    match request {
        Request::Subscribe { id, streams } => {
            subscribe(id, &streams, format, conn, hub, settings)?;
            control::done(out, &id);
        }
        Request::Unsubscribe { id, streams } => {
            parse(id, &streams, format, settings)?;
            for name in &streams {
                hub.remove_stream(conn, name);
            }
            control::done(out, &id);
        }
        Request::List { id } => control::list(out, hub.streams(conn).into_iter(), &id),
        Request::SetCombined { id, combined } => {
            hub.set_envelope(conn, if combined { Envelope::Combined } else { Envelope::Raw });
            control::done(out, &id);
        }
        Request::GetCombined { id } => {
            control::property(out, hub.envelope(conn) == Envelope::Combined, &id);
        }
    }
    Ok(())
}

/// What the names mean: all of them must be names.
fn parse(
    id: RequestId,
    names: &[String],
    format: Format,
    settings: &ExchangeSettings,
) -> Result<Vec<Stream>, ControlError> {
    let grammar = Grammar { schema: format.schema(), case: settings.symbol_case };
    let streams = names.iter().map(|name| Stream::parse(name, grammar));
    let streams: Result<Vec<_>, _> = streams.collect();
    streams.map_err(|_| ControlError { id: Some(id), fault: Fault::InvalidStream })
}

/// All or none: a request that would be too much, or names what may not be seen, changes nothing.
fn subscribe(
    id: RequestId,
    names: &[String],
    format: Format,
    conn: ConnId,
    hub: &mut Hub,
    settings: &ExchangeSettings,
) -> Result<(), ControlError> {
    let streams = parse(id, names, format, settings)?;
    let mut added = Vec::new();
    for (name, stream) in names.iter().zip(streams) {
        match hub.add_stream(conn, name, stream, settings.streams_max) {
            Ok(StreamAdded::New) => added.push(name),
            Ok(StreamAdded::Known) => {}
            Err(error) => {
                added.into_iter().for_each(|name| hub.remove_stream(conn, name));
                let fault = match error {
                    StreamError::NotEntitled => Fault::NotEntitled,
                    _ => Fault::TooManySubscriptions,
                };
                return Err(ControlError { id: Some(id), fault });
            }
        }
    }
    Ok(())
}

/// Writes that the gateway is about to stop.
pub(crate) fn shutdown(out: &mut Vec<u8>, format: Format, envelope: Envelope, ts_ns: u64) {
    let unit = match format {
        Format::ExchangeMicros => TimeUnit::Microsecond,
        _ => TimeUnit::Millisecond,
    };
    if envelope == Envelope::Raw {
        return control::server_shutdown(out, ts_ns, unit);
    }
    out.extend_from_slice(b"{\"stream\":\"");
    out.extend_from_slice(SERVER_SHUTDOWN.as_bytes());
    out.extend_from_slice(b"\",\"data\":");
    control::server_shutdown(out, ts_ns, unit);
    out.push(b'}');
}
