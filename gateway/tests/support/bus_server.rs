//! Real buses: a nats-server or a redis-server of the test's own, which can be killed, started again with what it
//! kept, and stopped for a while; and what it says itself of whom it serves.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

use super::process::{Process, free_address, until};

/// Which bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusKind {
    /// `nats-server` with JetStream.
    Nats,
    /// `redis-server`.
    Redis,
}

/// Both.
pub const BUSES: [BusKind; 2] = [BusKind::Nats, BusKind::Redis];

/// What a server that is started again still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Everything that it acknowledged. At NATS a stream that is made with storage on file.
    Everything,
    /// Nothing. At NATS: if the stream was made with storage in memory.
    Nothing,
}

/// A server on a free port that ends with the test.
pub struct BusServer {
    kind: BusKind,
    keeps: Keeps,
    address: SocketAddr,
    monitor: SocketAddr,
    // Ends before its folder goes.
    process: Option<Process>,
    folder: tempfile::TempDir,
}

impl BusServer {
    /// Starts one that keeps everything, and waits until it takes connections.
    ///
    /// # Panics
    /// If the server is not installed.
    #[must_use]
    pub fn start(kind: BusKind) -> Self {
        let mut server = Self::reserve(kind, Keeps::Everything);
        server.run();
        server
    }

    /// A place for one, where nothing listens yet.
    #[must_use]
    pub fn reserve(kind: BusKind, keeps: Keeps) -> Self {
        Self::reserve_at(IpAddr::V4(Ipv4Addr::LOCALHOST), kind, keeps)
    }

    /// The same at another address of this machine, beside loopback.
    #[must_use]
    pub fn reserve_at(ip: IpAddr, kind: BusKind, keeps: Keeps) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server's files");
        let free = || SocketAddr::new(ip, free_address().port());
        Self { kind, keeps, address: free(), monitor: free(), process: None, folder }
    }

    /// Starts it, again or for the first time, and waits until it takes connections.
    pub fn run(&mut self) {
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let mut command = match self.kind {
            BusKind::Nats => {
                let mut command = Command::new("nats-server");
                command.args(["--addr", &ip, "--port", &port, "--jetstream"]);
                command.args(["--http_port", &self.monitor.port().to_string(), "--store_dir"]);
                command.arg(self.folder.path());
                command
            }
            BusKind::Redis => {
                let mut command = Command::new("redis-server");
                command.args(["--protected-mode", "no", "--bind", &ip]);
                command.args(["--port", &port, "--save", "", "--dir"]).arg(self.folder.path());
                if self.keeps == Keeps::Everything {
                    command.args(["--appendonly", "yes", "--appendfsync", "always"]);
                }
                command
            }
        };
        command.current_dir(self.folder.path());
        // Debian keeps servers where only administrators look.
        let paths = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{paths}:/usr/local/sbin:/usr/sbin:/sbin"));
        self.process = Some(Process::spawn(command));
        until("the bus to take connections", || TcpStream::connect(self.address).ok());
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Has it do nothing until [`BusServer::go_on`]; connections stay.
    pub fn stall(&self) {
        self.process().stall();
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.process().go_on();
    }

    /// Which one it is.
    #[must_use]
    pub const fn kind(&self) -> BusKind {
        self.kind
    }

    /// What it has when it is started again.
    #[must_use]
    pub const fn keeps(&self) -> Keeps {
        self.keeps
    }

    /// The URL of the bus, with the default prefix.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.kind == BusKind::Nats { "nats" } else { "redis" };
        format!("{scheme}://{}", self.address)
    }

    /// What NATS says it has delivered to each subscription to live entries: the client's name, the
    /// subject, and how many.
    #[must_use]
    pub fn live_deliveries(&self) -> Vec<(String, String, u64)> {
        let connz = self.connections();
        let none = Vec::new();
        let mut deliveries = Vec::new();
        for connection in connz.as_array().unwrap_or(&none) {
            let name = connection["name"].as_str().unwrap_or_default();
            for subscription in connection["subscriptions_list_detail"].as_array().unwrap_or(&none)
            {
                let subject = subscription["subject"].as_str().unwrap_or_default();
                let is_bucket = subject.rsplit('.').next().is_some_and(|end| {
                    !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit())
                });
                if subject.starts_with("tickcast.live.") && is_bucket {
                    let count = subscription["msgs"].as_u64().unwrap_or(0);
                    deliveries.push((name.to_owned(), subject.to_owned(), count));
                }
            }
        }
        deliveries
    }

    /// What NATS knows of each connection, by its monitoring port.
    #[must_use]
    pub fn connections(&self) -> serde_json::Value {
        assert_eq!(self.kind, BusKind::Nats, "only NATS says so");
        let mut stream = TcpStream::connect(self.monitor).expect("the monitor listens");
        // Of version 1.0, so that the answer is not in chunks.
        write!(stream, "GET /connz?subs=detail HTTP/1.0\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let mut connz: serde_json::Value = serde_json::from_str(body).expect("JSON");
        connz["connections"].take()
    }

    /// What Redis answers to this command.
    #[must_use]
    pub fn ask_redis(&self, command: &[&str]) -> String {
        assert_eq!(self.kind, BusKind::Redis, "only Redis understands");
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let asked = Command::new("redis-cli").args(["-h", &ip, "-p", &port]).args(command).output();
        String::from_utf8(asked.expect("redis-cli is installed").stdout).expect("text")
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }
}
