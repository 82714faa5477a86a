//! nats-server over WebSocket, `bench/peers/nats-server.conf`.

use super::peer::{self, Peer};
use super::{Kind, Scratch, ServerError, Spec, free_address};
use crate::generator::dialect::Dialect;
use crate::publisher::Protocol;

pub(super) fn peer(spec: &Spec) -> Result<Peer, ServerError> {
    let program = peer::locate(Kind::Nats)?;
    let (publish, listen) = (free_address()?, free_address()?);
    let text = peer::configuration(
        Kind::Nats,
        include_str!("../../peers/nats-server.conf"),
        &[("port", &publish.port().to_string()), ("websocket_port", &listen.port().to_string())],
        &spec.args,
    )?;
    let scratch = Scratch::new()?;
    let file = scratch.write("nats-server.conf", &text)?;
    Ok(Peer {
        program,
        args: vec!["--config".into(), file.into()],
        variables: Vec::new(),
        url: format!("ws://{listen}/"),
        dialect: Dialect::Nats,
        protocol: Protocol::Nats,
        listen,
        publish,
        scratch,
    })
}
