//! What a Rust developer writes first, `bench/peers/tokio-broadcast`, from the folder that this program
//! is in.

use super::peer::{self, Peer};
use super::{Kind, ServerError, Spec, free_address};

/// Ticks that are kept for subscribers who are behind, over all topics: 40 bytes each.
const KEPT: u64 = 1 << 20;

/// So few that a topic keeps some seconds even where there are many.
const KEPT_PER_TOPIC_MIN: u64 = 1 << 12;

pub(super) fn peer(spec: &Spec) -> Result<Peer, ServerError> {
    let program = peer::locate(Kind::TokioBroadcast)?;
    let listen = free_address()?;
    let capacity = (KEPT / spec.topics.max(1)).max(KEPT_PER_TOPIC_MIN);
    let mut args = vec!["--listen".into(), listen.to_string().into()];
    args.extend(["--capacity".into(), capacity.to_string().into()]);
    args.extend(spec.args.iter().map(Into::into));
    Peer::websocket(program, args, listen)
}
