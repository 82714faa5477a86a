//! Accepting connections, and resting when there is no room for them.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::conversation::converse;
use super::front::{Front, Place};
use crate::proxies::ProxyProtocol;
use crate::shard::counters::Counter;
use crate::shard::limits::{ACCEPT_PAUSE, BACKLOG};

/// Accepts connections for as long as the task is let run. Dropping the task stops listening.
pub(crate) async fn accept(front: Rc<Front>, listener: std::net::TcpListener, address: SocketAddr) {
    let mut listener = TcpListener::from_std(listener).ok();
    loop {
        if front.is_full() {
            // While it listened, the kernel would give it its share of new connections.
            listener = None;
            front.count(Counter::ListenerClosed);
            tracing::warn!(shard = front.index, "the shard is full and stops listening");
            front.room().await;
            tracing::info!(shard = front.index, "the shard has room and listens again");
        }
        let open = match listener.take() {
            Some(open) => open,
            None => match sys::listen(address, BACKLOG).and_then(TcpListener::from_std) {
                Ok(open) => open,
                Err(error) => {
                    tracing::warn!(shard = front.index, %error, "cannot listen again yet");
                    front.count(Counter::AcceptPaused);
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        front.pace().await;
        front.accept_turn().await;
        let accepted = tokio::select! {
            accepted = open.accept() => accepted,
            // Who waits in the kernel is looked at again if the shard is not full now.
            () = front.relimited() => {
                listener = Some(open);
                continue;
            }
        };
        match accepted {
            Ok((socket, peer)) => begin(&front, socket, peer),
            Err(error) if is_exhaustion(&error) => {
                tracing::warn!(shard = front.index, %error, "accepting pauses");
                front.count(Counter::AcceptPaused);
                sleep(ACCEPT_PAUSE).await;
            }
            // The client was gone before we looked.
            Err(_) => {}
        }
        listener = Some(open);
    }
}

/// Whether the process or the system has run out of something. The connection stays in the kernel's
/// queue then, and accepting would fail again at once.
fn is_exhaustion(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    const ENOMEM: i32 = 12;
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}

fn begin(front: &Rc<Front>, socket: TcpStream, peer: SocketAddr) {
    front.count(Counter::Accepted);
    let settings = front.settings();
    let proxies = &settings.proxies;
    if proxies.protocol == ProxyProtocol::On && !proxies.trusted.contains(peer.ip()) {
        tracing::debug!(shard = front.index, %peer, "refused: only listed proxies may connect");
        return front.count(Counter::ProxiesRefused);
    }
    if sys::configure(&socket, &settings.sockets).is_err() {
        // It was reset before we looked.
        return;
    }
    let number = front.number_handshake();
    let place = Place::new(Rc::clone(front), number);
    let conversation = Rc::clone(front);
    let task = spawn_local(async move {
        let _place = place;
        converse(&conversation, socket, peer).await;
    });
    front.begin_handshake(number, task.abort_handle());
}
