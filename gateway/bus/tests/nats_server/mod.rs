//! Real servers of NATS for tests: started on free ports with stores of their own, gone with the test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bus::BusUrl;
use tempfile::TempDir;

use crate::machine::free_port;

const PATIENCE: Duration = Duration::from_secs(60);

/// One server.
pub(crate) struct NatsServer {
    folder: TempDir,
    port: u16,
    monitor: u16,
    process: Child,
}

impl NatsServer {
    pub(crate) fn start() -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let folder = TempDir::new().unwrap();
            let (port, monitor) = (free_port(), free_port());
            let process = spawn(&folder, port, monitor);
            let mut server = Self { folder, port, monitor, process };
            // Somebody else may have taken a port in the meantime: then it has exited.
            if server.answers() {
                return server;
            }
            assert!(Instant::now() < deadline, "no nats-server starts");
        }
    }

    pub(crate) fn url(&self) -> BusUrl {
        format!("nats://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// Ends it without a chance to write anything more.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again with what is on its disk.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.folder, self.port, self.monitor);
        assert!(self.answers(), "it starts again on its ports");
    }

    /// What its monitoring port says of this.
    pub(crate) fn monitor(&self, what: &str) -> Option<serde_json::Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitor)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = format!("GET /{what} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }

    /// The server's counter of messages sent to the connection of this name.
    pub(crate) fn sent_to(&self, name: &str) -> u64 {
        let connections = self.monitor("connz?subs=1").expect("it answers");
        let connections = connections["connections"].as_array().expect("a list").clone();
        let connection = connections.into_iter().find(|c| c["name"] == name);
        connection.expect("it is connected")["out_msgs"].as_u64().expect("a number")
    }

    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            // Another process may answer on a port that this one did not get; it soon exits then.
            let healthy = self.monitor("healthz").is_some_and(|health| health["status"] == "ok");
            if healthy && self.monitor("varz").is_some_and(|v| v["port"] == self.port) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        // It may be killed already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &TempDir, port: u16, monitor: u16) -> Child {
    Command::new("nats-server")
        .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
        .args(["--http_port", &monitor.to_string(), "--jetstream", "--store_dir"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server is installed")
}
