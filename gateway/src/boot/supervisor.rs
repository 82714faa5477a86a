//! Word to the service manager that started the process, if one did: up, alive, reading again, going.
//!
//! systemd's protocol (sd_notify(3)): lines of text in a datagram to the socket that `NOTIFY_SOCKET` names.
//! Without that variable nothing is said. Nothing here waits: a manager that does not read misses a word,
//! and the next one says the same.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::fleet::Fleet;

/// What a drain may take beyond what it says of itself: stopping the source, threads' ends.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The way to the service manager.
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How long the manager waits for a sign of life before it restarts us.
    patience: Option<Duration>,
}

impl Supervisor {
    /// As the environment has it.
    pub(super) fn from_environment() -> Self {
        let Some(path) = env::var_os("NOTIFY_SOCKET") else {
            return Self { socket: None, patience: None };
        };
        let socket = connect(&path);
        if let Err(error) = &socket {
            tracing::warn!(?path, %error, "the service manager cannot be told anything");
        }
        Self { socket: socket.ok(), patience: patience() }
    }

    /// Clients are served.
    pub(super) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// Files are being read again; [`ready`](Self::ready) ends it.
    pub(super) fn reloading(&self) {
        self.say("RELOADING=1\nSTATUS=reading the configuration again");
    }

    /// The end has begun, and may take so long: the manager's own patience need not be known here.
    pub(super) fn stopping(&self, window: Duration) {
        let most_us = (window + STOP_MARGIN).as_micros();
        self.say(&format!("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={most_us}"));
    }

    /// Gives signs of life for as long as every shard's loop turns. With a shard that does not, there are
    /// none, and the manager restarts the process.
    pub(super) async fn keep_alive(self: Arc<Self>, fleet: Arc<Fleet>) {
        let Some(patience) = self.patience.filter(|_| self.socket.is_some()) else { return };
        // Half of it, as sd_watchdog_enabled(3) recommends.
        let mut signs = interval(patience / 2);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            signs.tick().await;
            let asked = Instant::now();
            let turning = fleet.report(0).await.len();
            if turning == fleet.len() {
                self.say("WATCHDOG=1");
            } else {
                let waited_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
                let shards = fleet.len();
                tracing::error!(turning, shards, waited_ms, "not every shard's loop turns");
            }
        }
    }

    fn say(&self, words: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(words.as_bytes()) {
            tracing::debug!(%error, words, "the service manager did not hear");
        }
    }
}

/// A socket to the manager's: a path, or with `@` in front a name without one.
fn connect(path: &OsStr) -> io::Result<UnixDatagram> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(path)?,
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// How long the manager waits for a sign of life, if it means this process.
fn patience() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = env::var_os("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
    let patience_us = number("WATCHDOG_USEC").filter(|us| is_ours && *us > 0)?;
    Some(Duration::from_micros(patience_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_by_path_and_by_name_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("tickcast-supervisor-{}", std::process::id());
        let by_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let abstract_path = format!("@{name}");
        for (path, manager) in [(path.as_os_str(), by_path), (abstract_path.as_ref(), by_name)] {
            let supervisor = Supervisor { socket: Some(connect(path).unwrap()), patience: None };
            supervisor.ready("serving");
            supervisor.stopping(Duration::from_secs(10));
            let mut heard = [0; 256];
            let mut next = || {
                let bytes = manager.recv(&mut heard).unwrap();
                String::from_utf8(heard[..bytes].to_vec()).unwrap()
            };
            assert_eq!(next(), "READY=1\nSTATUS=serving");
            assert_eq!(next(), "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=15000000");
        }
        assert!(connect("vsock:2:9999".as_ref()).is_err());
        assert!(connect("".as_ref()).is_err());
    }
}
