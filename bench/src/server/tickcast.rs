//! Tickcast: `gateway` on the server's cores, fed by `feed-sim` on the client's through a ring in
//! shared memory, both from the folder that this program is in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Feed, Kind, Process, Running, Scratch, ServerError, Spec, Transport, free_address};
use crate::generator::dialect::Dialect;

/// How long the operators' port may take to answer once it accepts.
const ANSWER_MAX: Duration = Duration::from_secs(30);

pub(super) fn start(spec: &Spec) -> Result<Running, ServerError> {
    let (gateway, feed_sim) =
        (program(Kind::Tickcast, "gateway")?, program(Kind::Tickcast, "feed-sim")?);
    let scratch = Scratch::new()?;
    let ring = format!("shm:{}", scratch.path("ring").display());
    let publisher = Process::start(
        &feed_sim,
        [
            "run",
            "--source",
            "pulse",
            "--symbols",
            &spec.topics.to_string(),
            "--rate",
            &spec.rate.to_string(),
            "--out",
            &ring,
        ],
        &[spec.client_core],
    )?;
    let (listen, admin) = (free_address()?, free_address()?);
    let root = match spec.transport {
        Transport::Plain => None,
        Transport::Tls => Some(certificate(&scratch)?),
    };
    let server = gateway_process(&gateway, spec, &scratch, listen, admin)?;
    let scheme = if root.is_some() { "wss" } else { "ws" };
    let mut running = Running {
        kind: Kind::Tickcast,
        url: format!("{scheme}://{listen}/v1/stream"),
        dialect: Dialect::Tickcast,
        admin: Some(admin),
        root,
        server,
        feed: Feed::Ring(publisher),
        spec: spec.clone(),
        scratch,
    };
    let waited = running.server.wait_until(|| is_ready(admin));
    if let (Err(error), Feed::Ring(publisher)) = (waited, &mut running.feed) {
        // Without a feed there is no readiness: then the feed's words are the reason.
        return Err(if publisher.is_running() {
            error
        } else {
            ServerError::Ended { program: "feed-sim".to_owned(), log: publisher.log() }
        });
    }
    Ok(running)
}

/// Starts the gateway again, where it was.
pub(super) fn restart(running: &mut Running) -> Result<(), ServerError> {
    let gateway = program(Kind::Tickcast, "gateway")?;
    let authority = running.url.split('/').nth(2).unwrap_or_default();
    let listen = authority.parse().map_err(|_| ServerError::Ended {
        program: running.url.clone(),
        log: "no address to start again at".to_owned(),
    })?;
    let admin = free_address()?;
    let Running { spec, scratch, .. } = &*running;
    running.server = gateway_process(&gateway, spec, scratch, listen, admin)?;
    running.admin = Some(admin);
    Ok(())
}

fn gateway_process(
    gateway: &Path,
    spec: &Spec,
    scratch: &Scratch,
    listen: SocketAddr,
    admin: SocketAddr,
) -> Result<Process, ServerError> {
    let ring = format!("shm:{}", scratch.path("ring").display());
    let mut args: Vec<String> = Vec::new();
    let mut flag = |name: &str, value: String| {
        // What a scenario says goes before what every run has.
        if !spec.args.iter().any(|arg| arg == name) {
            args.extend([name.to_owned(), value]);
        }
    };
    flag("--listen", listen.to_string());
    flag("--admin-listen", admin.to_string());
    flag("--source", ring);
    flag("--shards", spec.cores.len().max(1).to_string());
    flag("--log-level", "warn".to_owned());
    // It is told to end only when nobody listens any more.
    flag("--drain-window", "0ms".to_owned());
    if spec.transport == Transport::Tls {
        flag("--tls-cert", scratch.path("cert.pem").display().to_string());
        flag("--tls-key", scratch.path("key.pem").display().to_string());
    }
    args.extend(spec.args.iter().cloned());
    Process::start(gateway, &args, &spec.cores)
}

/// A program of this project, beside this one. In a test, this one is a folder further down.
pub(super) fn program(server: Kind, name: &str) -> Result<PathBuf, ServerError> {
    let here = std::env::current_exe()
        .map_err(|error| ServerError::Io { what: "this program's path".to_owned(), error })?;
    let folders = here.ancestors().skip(1).take(2);
    let mut paths = folders.map(|folder| folder.join(name));
    paths.find(|path| path.is_file()).ok_or_else(|| ServerError::Missing {
        server,
        what: format!("{name} beside {}", here.display()),
        remedy: "build it first: cargo build --release -p gateway -p feed-sim -p tokio-broadcast"
            .to_owned(),
    })
}

/// A certificate for loopback, which is its own root.
fn certificate(scratch: &Scratch) -> Result<PathBuf, ServerError> {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    scratch.write("key.pem", &made.signing_key.serialize_pem())?;
    scratch.write("cert.pem", &made.cert.pem())
}

/// Whether the operators' port says that clients may come.
pub(super) fn is_ready(admin: SocketAddr) -> bool {
    get(admin, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// A page of the operators' port, head and all.
pub(super) fn get(admin: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(admin).ok()?;
    stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
