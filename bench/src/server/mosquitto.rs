//! mosquitto over WebSocket, `bench/peers/mosquitto.conf`.

use super::peer::{self, Peer};
use super::{Kind, Scratch, ServerError, Spec, free_address};
use crate::generator::dialect::Dialect;
use crate::publisher::Protocol;

pub(super) fn peer(spec: &Spec) -> Result<Peer, ServerError> {
    let program = peer::locate(Kind::Mosquitto)?;
    let (publish, listen) = (free_address()?, free_address()?);
    let text = peer::configuration(
        Kind::Mosquitto,
        include_str!("../../peers/mosquitto.conf"),
        &[("port", &publish.port().to_string()), ("websocket_port", &listen.port().to_string())],
        &spec.args,
    )?;
    let scratch = Scratch::new()?;
    let file = scratch.write("mosquitto.conf", &text)?;
    Ok(Peer {
        program,
        args: vec!["-c".into(), file.into()],
        variables: Vec::new(),
        url: format!("ws://{listen}/"),
        dialect: Dialect::Mqtt,
        protocol: Protocol::Mqtt,
        listen,
        publish,
        scratch,
    })
}
