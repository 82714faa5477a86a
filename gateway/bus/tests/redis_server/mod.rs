//! Real servers of Redis for tests: started on free ports in folders of their own, gone with the test.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bus::BusUrl;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::machine::{self, free_port};

const PATIENCE: Duration = Duration::from_secs(60);

/// One server.
pub(crate) struct RedisServer {
    folder: TempDir,
    settings: Vec<String>,
    port: u16,
    process: Child,
}

impl RedisServer {
    /// Keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--save", ""])
    }

    /// Keeps everything that it has acknowledged.
    pub(crate) fn start_persistent() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
    }

    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let folder = TempDir::new().unwrap();
            let port = free_port();
            let process = spawn(&folder, port, &settings);
            let mut server = Self { folder, settings: settings.clone(), port, process };
            // Somebody else may have taken the port in the meantime: then it has exited.
            if server.answers() {
                return server;
            }
            assert!(Instant::now() < deadline, "no redis-server starts");
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> BusUrl {
        format!("redis://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// What redis-cli prints for this command.
    pub(crate) fn cli(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let mut cli = Command::new("redis-cli");
        let output = cli.args(["-h", "127.0.0.1", "-p", &port]).args(command).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A field of INFO.
    pub(crate) fn info(&self, field: &str) -> u64 {
        let info = self.cli(&["INFO", "all"]);
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse().ok())
            .unwrap_or_else(|| panic!("{field}:\n{info}"))
    }

    /// Ends it without a chance to write anything more.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again with what is on its disk.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.folder, self.port, &self.settings);
        assert!(self.answers(), "it starts again on its port");
    }

    /// Stops it from doing anything, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        machine::signal(self.process.id(), signal);
    }

    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            let pong = self.cli(&["PING"]);
            if pong == "PONG" || pong.starts_with("NOAUTH") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may be killed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &TempDir, port: u16, settings: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .arg("--dir")
        .arg(folder.path())
        .args(settings)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

/// A cluster of three primaries.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub(crate) fn start() -> Self {
        let cluster = Self { nodes: (0..3).map(|_| Self::start_node()).collect() };
        let addresses = cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port()));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&created.stdout);
        assert!(created.status.success(), "{said}");
        cluster.wait_until("no cluster comes about", |node| {
            node.cli(&["CLUSTER", "INFO"]).contains("_state:ok")
        });
        cluster
    }

    fn wait_until(&self, otherwise: &str, reached: impl Fn(&RedisServer) -> bool) {
        patiently(otherwise, || self.nodes.iter().all(&reached));
    }

    fn start_node() -> RedisServer {
        let gossip = free_port().to_string();
        let mut settings = vec!["--save", "", "--cluster-enabled", "yes"];
        settings.extend(["--cluster-port", &gossip, "--cluster-node-timeout", "15000"]);
        RedisServer::start_with(&settings)
    }

    pub(crate) fn url(&self) -> BusUrl {
        let port = self.nodes[0].port();
        format!("redis://127.0.0.1:{port}/tickcast?topology=cluster").parse().unwrap()
    }

    /// The node that has this key's slot.
    pub(crate) fn node_of(&self, key: &str) -> &RedisServer {
        let slot: u16 = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).parse().unwrap();
        let has = |node: &&RedisServer| {
            node.cli(&["CLUSTER", "NODES"]).lines().any(|line| {
                let mine = line.contains("myself");
                mine && line.split(' ').skip(8).any(|range| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    let within = first.parse().is_ok_and(|first: u16| first <= slot);
                    within && last.parse().is_ok_and(|last: u16| slot <= last)
                })
            })
        };
        self.nodes.iter().find(has).expect("every slot is somewhere")
    }
}

fn patiently(otherwise: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "{otherwise}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
