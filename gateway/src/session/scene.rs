//! Sessions of a shard without its loop, for tests that say what happens turn by turn: real sockets, a hub, and a
//! clock that stands still.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use bytes::Bytes;
use hub::Hub;
use sys::PollSet;
use wire::Encoding;

use super::sessions::Sessions;
use super::{Arrival, Face};
use crate::auth::Badge;
use crate::shard::settings::ShardSettings;

/// What the clock shows, ns.
pub(super) const NOW_NS: u64 = 1_000_000_000;

/// See the module's header.
pub(super) struct Scene {
    pub(super) sessions: Sessions,
    pub(super) hub: Hub,
    poll: PollSet,
    listener: TcpListener,
}

impl Scene {
    pub(super) fn new(settings: ShardSettings) -> Self {
        let hub = Hub::new(settings.hub);
        let poll = PollSet::new(8).unwrap();
        let sessions = Sessions::new(0, Arc::new(settings), NOW_NS);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { sessions, hub, poll, listener }
    }

    /// Opens a session of the native protocol in JSON: the client's end, and the session's slot.
    pub(super) fn open(&mut self, badge: Option<Badge>) -> (TcpStream, u32) {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let (tls, opening, pass, early) = (None, None, None, Bytes::new());
        let face = Face::Native(Encoding::Json);
        let client_address = None;
        let arrival =
            Arrival { socket, tls, face, opening, early, client: client_address, pass, badge };
        (client, self.sessions.open(arrival, &self.poll, &mut self.hub, NOW_NS))
    }
}
