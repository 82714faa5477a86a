//! What the servers that Tickcast is compared with have in common: a program found on this machine or in
//! `bench/peers`, a configuration filled in, a publisher that begins when the connections are open.
//!
//! One file per peer beside this one says which program with which settings; why those settings, is said
//! where they stand, in `bench/peers`.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use super::{
    Feed, Kind, Process, Running, Scratch, ServerError, Spec, Transport, bun, mosquitto, nats,
    nchan, node_ws, tokio_broadcast,
};
use crate::generator::dialect::Dialect;
use crate::publisher::{Protocol, PublisherArgs};

/// A peer, ready to be started.
pub(super) struct Peer {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) variables: Vec<(&'static str, &'static str)>,
    pub(super) url: String,
    pub(super) dialect: Dialect,
    pub(super) protocol: Protocol,
    /// Of subscribers, which tells that it is ready.
    pub(super) listen: SocketAddr,
    /// Of the publisher.
    pub(super) publish: SocketAddr,
    pub(super) scratch: Scratch,
}

impl Peer {
    /// One to which subscribers and publisher speak plain WebSocket at the same address.
    pub(super) fn websocket(
        program: PathBuf,
        args: Vec<OsString>,
        listen: SocketAddr,
    ) -> Result<Self, ServerError> {
        Ok(Self {
            program,
            args,
            variables: Vec::new(),
            url: format!("ws://{listen}/"),
            dialect: Dialect::Plain,
            protocol: Protocol::Websocket,
            listen,
            publish: listen,
            scratch: Scratch::new()?,
        })
    }
}

/// Starts a peer and waits until it accepts connections.
pub(super) fn start(spec: &Spec) -> Result<Running, ServerError> {
    if spec.transport == Transport::Tls {
        return Err(ServerError::NoTls(spec.kind));
    }
    let peer = match spec.kind {
        Kind::Tickcast => return super::tickcast::start(spec),
        Kind::Bun => bun::peer(spec)?,
        Kind::Nats => nats::peer(spec)?,
        Kind::Nchan => nchan::peer(spec)?,
        Kind::Mosquitto => mosquitto::peer(spec)?,
        Kind::NodeWs => node_ws::peer(spec)?,
        Kind::TokioBroadcast => tokio_broadcast::peer(spec)?,
    };
    let mut server = Process::start_with(&peer.program, &peer.args, &spec.cores, &peer.variables)?;
    for address in [peer.listen, peer.publish] {
        server.wait_until(|| TcpStream::connect(address).is_ok())?;
    }
    let feed = Feed::Ahead(PublisherArgs {
        protocol: peer.protocol,
        address: peer.publish,
        topics: u32::try_from(spec.topics).unwrap_or(u32::MAX),
        rate: spec.rate,
        core: Some(spec.client_core),
    });
    Ok(Running {
        kind: spec.kind,
        url: peer.url,
        dialect: peer.dialect,
        admin: None,
        root: None,
        server,
        feed,
        spec: spec.clone(),
        scratch: peer.scratch,
    })
}

/// The version of a peer that is on this machine, as it says itself.
pub(crate) fn version(kind: Kind) -> Result<String, ServerError> {
    let flag = match kind {
        Kind::Nchan => "-v",
        // It knows no flag for it, but its help begins with it.
        Kind::Mosquitto => "-h",
        _ => "--version",
    };
    let program = locate(kind)?;
    let failed = |error| ServerError::Spawn { program: program.display().to_string(), error };
    let output = std::process::Command::new(&program).arg(flag).output().map_err(failed)?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    Ok(match kind {
        Kind::Bun => format!("bun {line}"),
        Kind::NodeWs => {
            let package = std::fs::read(folder().join("node_modules/ws/package.json"));
            let package: Option<serde_json::Value> =
                package.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let ws = package.as_ref().and_then(|package| package["version"].as_str());
            format!("ws {} on node {line}", ws.unwrap_or("?"))
        }
        _ => line,
    })
}

/// The program of a peer, if all that it needs is there.
pub(super) fn locate(kind: Kind) -> Result<PathBuf, ServerError> {
    match kind {
        Kind::Tickcast => super::tickcast::program(kind, "gateway"),
        Kind::Bun => file(kind, folder().join("node_modules/.bin/bun")),
        Kind::Nats => program(kind, "nats-server"),
        Kind::Nchan => {
            file(kind, nchan::MODULE.into())?;
            program(kind, "nginx")
        }
        Kind::Mosquitto => program(kind, "mosquitto"),
        Kind::NodeWs => {
            file(kind, folder().join("node_modules/ws"))?;
            program(kind, "node")
        }
        Kind::TokioBroadcast => super::tickcast::program(kind, "tokio-broadcast"),
    }
}

/// The programs of `bench/peers`.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// A program of the system. Servers are in folders that only root has in its path.
fn program(kind: Kind, name: &str) -> Result<PathBuf, ServerError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let mut programs = folders.map(|folder| folder.join(name));
    programs.find(|path| path.is_file()).ok_or_else(|| missing(kind, name))
}

/// A file that an installation puts at one place.
fn file(kind: Kind, path: PathBuf) -> Result<PathBuf, ServerError> {
    if path.exists() { Ok(path) } else { Err(missing(kind, &path.display().to_string())) }
}

fn missing(server: Kind, what: &str) -> ServerError {
    let remedy = "bench peers install installs what is missing".to_owned();
    ServerError::Missing { server, what: what.to_owned(), remedy }
}

/// A configuration with its placeholders filled in. `changes`, a scenario's further arguments, replace
/// the lines that begin with the same word: `nchan_message_timeout 1m;` the one that sets another time.
pub(super) fn configuration(
    kind: Kind,
    template: &str,
    values: &[(&str, &str)],
    changes: &[String],
) -> Result<String, ServerError> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    let word = |line: &str| line.split_whitespace().next().map(ToOwned::to_owned);
    for change in changes {
        let wanted = word(change);
        let mut is_found = false;
        let lines = text.lines().map(|line| {
            if wanted.is_some() && word(line) == wanted {
                is_found = true;
                change.as_str()
            } else {
                line
            }
        });
        let changed = lines.collect::<Vec<_>>().join("\n");
        if !is_found {
            return Err(ServerError::Setting { server: kind, setting: change.clone() });
        }
        text = changed;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_can_be_changed_but_not_invented() {
        let template = "listen {port};\nlocation {\n    nchan_message_timeout 10s;\n}\n";
        let with = |change: &str| {
            configuration(Kind::Nchan, template, &[("port", "80")], &[change.to_owned()])
        };
        let text = with("nchan_message_timeout 1m;").unwrap();
        assert_eq!(text, "listen 80;\nlocation {\nnchan_message_timeout 1m;\n}");
        assert!(matches!(with("nchan_colour red;"), Err(ServerError::Setting { .. })));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = program(Kind::Nats, "no-such-program-anywhere").unwrap_err().to_string();
        assert!(error.contains("nats cannot be measured: no-such-program-anywhere"), "{error}");
    }
}
