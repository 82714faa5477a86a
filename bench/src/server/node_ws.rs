//! The `ws` package on Node, `bench/peers/node-ws.js`.

use super::peer::{self, Peer};
use super::{Kind, ServerError, Spec, free_address};

pub(super) fn peer(spec: &Spec) -> Result<Peer, ServerError> {
    let folder = peer::folder();
    let program = peer::locate(Kind::NodeWs)?;
    let listen = free_address()?;
    let mut args = vec![folder.join("node-ws.js").into()];
    args.extend(["--port".into(), listen.port().to_string().into()]);
    args.extend(spec.args.iter().map(Into::into));
    Peer::websocket(program, args, listen)
}
