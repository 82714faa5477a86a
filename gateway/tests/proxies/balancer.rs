//! A real proxy with one of the configurations of `deploy/`, on a free port.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::certificate::Certificate;
use crate::support::process::{Gateway, Process, free_address, until};

/// Which proxy, and where TLS ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    NginxPassthrough,
    Haproxy,
    HaproxyPassthrough,
}

pub(crate) const KINDS: [Kind; 4] =
    [Kind::Nginx, Kind::NginxPassthrough, Kind::Haproxy, Kind::HaproxyPassthrough];

impl Kind {
    fn is_nginx(self) -> bool {
        matches!(self, Self::Nginx | Self::NginxPassthrough)
    }

    fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx/nginx.conf",
            Self::NginxPassthrough => "nginx/nginx-passthrough.conf",
            Self::Haproxy => "haproxy/haproxy.cfg",
            Self::HaproxyPassthrough => "haproxy/haproxy-passthrough.cfg",
        }
    }

    /// What the head of the file says that gateways need.
    pub(crate) fn gateway_arguments(self, certificate: &Certificate) -> Vec<String> {
        let mut arguments = vec!["--trusted-proxies".to_owned(), "127.0.0.1".to_owned()];
        if matches!(self, Self::NginxPassthrough | Self::HaproxyPassthrough) {
            let (chain, key) = (certificate.file("chain.pem"), certificate.file("key.pem"));
            for word in ["--proxy-protocol", "on", "--tls-cert", &chain, "--tls-key", &key] {
                arguments.push(word.to_owned());
            }
        }
        arguments
    }
}

/// Where a proxy finds a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl From<&Gateway> for Target {
    fn from(gateway: &Gateway) -> Self {
        Self { listen: gateway.listen, admin: gateway.admin }
    }
}

/// A running proxy.
pub(crate) struct Balancer {
    kind: Kind,
    process: Process,
    folder: TempDir,
    pub(crate) address: SocketAddr,
}

impl Balancer {
    /// Starts one in front of gateways (of HAProxy two), which ends connections that are silent for so long.
    pub(crate) fn start(
        kind: Kind,
        targets: &[Target],
        silence_max: Duration,
        certificate: &Certificate,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let address = free_address();
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        let text = fs::read_to_string(deploy.join(kind.file())).unwrap();
        let mut filled = Filled { text, file: kind.file() };
        filled.replace("75s", &format!("{}ms", silence_max.as_millis()));
        if kind.is_nginx() {
            fill_nginx(&mut filled, kind, folder.path(), address, targets, certificate);
        } else {
            fill_haproxy(&mut filled, kind, folder.path(), address, targets, certificate);
        }
        let path = folder.path().join("configuration");
        fs::write(&path, filled.text).unwrap();
        let mut command = if kind.is_nginx() {
            let mut command = Command::new("nginx");
            command.arg("-c").arg(&path).args(["-g", "daemon off;"]);
            command
        } else {
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(&path);
            command
        };
        // Debian keeps servers where only administrators look.
        let paths = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{paths}:/usr/local/sbin:/usr/sbin:/sbin"));
        let mut balancer = Self { kind, process: Process::spawn(command), folder, address };
        until("the proxy to listen", || {
            let log = balancer.process.log();
            assert!(balancer.process.is_running(), "{kind:?} ended:\n{log}");
            std::net::TcpStream::connect(address).ok()
        });
        balancer
    }

    /// The URL of streams behind it.
    pub(crate) fn url(&self) -> String {
        format!("wss://{}/v1/stream", self.address)
    }

    /// Waits until HAProxy's health checks have found a gateway (0 or 1) to be up or not.
    pub(crate) fn wait_for_health(&self, gateway: usize, is_up: bool) {
        assert!(!self.kind.is_nginx(), "nginx has no health checks");
        let name = format!("gateways,gateway{},", gateway + 1);
        until("the health checks' verdict", || {
            use std::io::{Read as _, Write as _};
            // It may not be there yet.
            let mut socket = UnixStream::connect(self.folder.path().join("admin.sock")).ok()?;
            socket.write_all(b"show stat\n").unwrap();
            let mut text = String::new();
            socket.read_to_string(&mut text).unwrap();
            let line = text.lines().find(|line| line.starts_with(&name)).expect("both are listed");
            // A verdict says which check it came from; until the first one everybody is taken to be up.
            let says = if is_up { ",UP," } else { ",DOWN," };
            (line.contains(says) && line.contains(",L7")).then_some(())
        });
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // To be killed would leave nginx's workers behind.
        if self.process.is_running() {
            self.process.terminate();
        }
    }
}

/// A configuration in which a test fills in its own values.
struct Filled {
    text: String,
    file: &'static str,
}

impl Filled {
    fn replace(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{} has no `{from}` any more", self.file);
        self.text = self.text.replace(from, to);
    }
}

fn fill_nginx(
    filled: &mut Filled,
    kind: Kind,
    folder: &Path,
    address: SocketAddr,
    targets: &[Target],
    certificate: &Certificate,
) {
    let folder = folder.to_str().unwrap();
    filled.replace("user www-data;\n", "");
    filled.replace("pid /run/nginx.pid;", &format!("pid {folder}/pid;"));
    filled.replace("error_log /var/log/nginx/error.log warn;", "error_log stderr warn;");
    // Workers allocate for all of them at once.
    filled.replace("worker_connections 131072;", "worker_connections 1024;");
    filled.replace("worker_rlimit_nofile 262144;\n", "");
    filled.replace("listen 443", &format!("listen {address}"));
    let line = |target: &Target| format!("server {} max_fails=0;", target.listen);
    let (first, others) = targets.split_first().unwrap();
    let others: Vec<String> = others.iter().map(line).collect();
    filled.replace("server 10.0.0.11:9443 max_fails=0;", &line(first));
    filled.replace("server 10.0.0.12:9443 max_fails=0;", &others.join("\n"));
    if kind == Kind::NginxPassthrough {
        let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
        assert!(Path::new(module).is_file(), "{module} is missing: install libnginx-mod-stream");
        return;
    }
    filled.replace("/etc/tickcast/tls/chain.pem", &certificate.file("chain.pem"));
    filled.replace("/etc/tickcast/tls/key.pem", &certificate.file("key.pem"));
    let mut places = String::from("http {\n");
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        places.push_str(&format!("    {name}_temp_path {folder}/{name};\n"));
    }
    filled.replace("http {\n", &places);
}

fn fill_haproxy(
    filled: &mut Filled,
    kind: Kind,
    folder: &Path,
    address: SocketAddr,
    targets: &[Target],
    certificate: &Certificate,
) {
    filled.replace("log /dev/log local0", "log stderr format raw local0");
    filled.replace("    user haproxy\n    group haproxy\n", "");
    filled.replace("/run/haproxy/admin.sock", folder.join("admin.sock").to_str().unwrap());
    let maxconn = if kind == Kind::Haproxy { "maxconn 100000" } else { "maxconn 200000" };
    filled.replace(maxconn, "maxconn 1000");
    filled.replace("bind :443", &format!("bind {address}"));
    // Gateways on one machine have different ports for operators.
    filled.replace("check port 9444 inter 2s fastinter 500ms", "check inter 200ms");
    // A gateway that is late, on a busy machine, must not be mistaken for one that is gone.
    filled.replace("fall 2 rise 2", "fall 8 rise 2");
    filled.replace("timeout check 2s", "timeout check 30s");
    filled.replace("timeout queue 5s", "timeout queue 30s");
    for (index, (line, target)) in
        ["10.0.0.11:9443", "10.0.0.12:9443"].iter().zip(targets).enumerate()
    {
        let name = format!("server gateway{}", index + 1);
        let (listen, admin) = (target.listen, target.admin.port());
        filled.replace(&format!("{name} {line}"), &format!("{name} {listen} port {admin}"));
    }
    if kind == Kind::Haproxy {
        filled.replace("/etc/tickcast/tls/both.pem", &certificate.file("both.pem"));
    }
}
