//! Real buses: a nats-server or a redis-server of the test's own, which can be stopped for a while.

use std::net::TcpStream;
use std::process::Command;

use super::process::{Process, free_address, until};

/// Which bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusKind {
    /// NATS with JetStream.
    Nats,
    /// Redis.
    Redis,
}

/// A server that ends with the test.
pub struct BusServer {
    /// Which one it is.
    pub kind: BusKind,
    /// The URL of the bus, with the default prefix.
    pub url: String,
    process: Process,
    _folder: tempfile::TempDir,
}

impl BusServer {
    /// Starts one and waits until it takes connections.
    ///
    /// # Panics
    /// If the server is not installed.
    #[must_use]
    pub fn start(kind: BusKind) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server's files");
        let address = free_address();
        let port = address.port().to_string();
        let (mut command, scheme) = match kind {
            BusKind::Nats => {
                let mut command = Command::new("nats-server");
                command.args(["-a", "127.0.0.1", "-p", &port, "-js", "-sd"]).arg(folder.path());
                (command, "nats")
            }
            BusKind::Redis => {
                let mut command = Command::new("redis-server");
                command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--dir"]);
                command.arg(folder.path());
                (command, "redis")
            }
        };
        command.current_dir(folder.path());
        let process = Process::spawn(command);
        until("the bus to take connections", || TcpStream::connect(address).ok());
        Self { kind, url: format!("{scheme}://{address}"), process, _folder: folder }
    }

    /// Has it do nothing until [`BusServer::go_on`]; connections stay.
    pub fn stall(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.pid().to_string();
        let status = Command::new("kill").args([name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot signal {pid}");
    }
}
