//! Bun's native publish and subscribe, `bench/peers/bun.js`.

use super::peer::{self, Peer};
use super::{Kind, Scratch, ServerError, Spec, free_address};
use crate::generator::dialect::Dialect;
use crate::publisher::Protocol;

pub(super) fn peer(spec: &Spec) -> Result<Peer, ServerError> {
    let folder = peer::folder();
    let program = peer::locate(Kind::Bun)?;
    let listen = free_address()?;
    let mut args = vec![folder.join("bun.js").into()];
    args.extend(["--port".into(), listen.port().to_string().into()]);
    args.extend(spec.args.iter().map(Into::into));
    Ok(Peer {
        program,
        args,
        variables: Vec::new(),
        url: format!("ws://{listen}/"),
        dialect: Dialect::Plain,
        protocol: Protocol::Websocket,
        listen,
        publish: listen,
        scratch: Scratch::new()?,
    })
}
