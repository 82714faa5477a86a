//! Servers under test: child processes, pinned, told apart from everything else that runs.
//!
//! [`start`] gives a [`Running`] server that accepts connections and ends when it is dropped. Every
//! server gets ticks from a process on the client's core, so that the core of the server pays for
//! taking them in and for nothing else. One file per kind of server; `scenario` is the caller.

mod bun;
mod launch;
mod mosquitto;
mod nats;
mod nchan;
mod node_ws;
mod peer;
mod process;
mod scratch;
mod tickcast;
mod tokio_broadcast;
mod usage;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::generator::dialect::Dialect;
use crate::generator::load::LoadArgs;
use crate::publisher::{Publisher, PublisherArgs, PublisherError, PublisherReport};

pub(crate) use self::launch::{LaunchArgs, launch, words as launch_words};
pub(crate) use self::peer::{folder as peer_folder, version};
pub(crate) use self::process::Process;
pub(crate) use self::scratch::{Scratch, remove_on_signals};
pub(crate) use self::usage::{MachineMemory, Usage, UsageError};

/// What can be measured.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Tickcast,
    Bun,
    Nats,
    Nchan,
    Mosquitto,
    NodeWs,
    TokioBroadcast,
}

impl Kind {
    /// All but Tickcast.
    pub(crate) const PEERS: [Self; 6] =
        [Self::Bun, Self::Nats, Self::Nchan, Self::Mosquitto, Self::NodeWs, Self::TokioBroadcast];

    /// As in scenario files and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tickcast => "tickcast",
            Self::Bun => "bun",
            Self::Nats => "nats",
            Self::Nchan => "nchan",
            Self::Mosquitto => "mosquitto",
            Self::NodeWs => "node-ws",
            Self::TokioBroadcast => "tokio-broadcast",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// With or without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    #[default]
    Plain,
    Tls,
}

/// A server to start.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) kind: Kind,
    pub(crate) transport: Transport,
    /// Of the server.
    pub(crate) cores: Vec<usize>,
    /// Of its publisher.
    pub(crate) client_core: usize,
    /// S0.quote, S1.quote and so on.
    pub(crate) topics: u64,
    /// Ticks a second over all topics.
    pub(crate) rate: f64,
    /// Further arguments of the server's own command line.
    pub(crate) args: Vec<String>,
}

/// A server that accepts connections; dropped, it ends.
pub(crate) struct Running {
    kind: Kind,
    url: String,
    dialect: Dialect,
    /// The operators' port, for servers that have one.
    admin: Option<SocketAddr>,
    root: Option<PathBuf>,
    server: Process,
    feed: Feed,
    /// What it needs to be started again with.
    spec: Spec,
    /// Removed after the processes have ended: fields are dropped in this order.
    scratch: Scratch,
}

/// Where its ticks come from.
enum Feed {
    /// The ring of Tickcast, which is written from the start, because its topics come from there.
    Ring(Process),
    /// Nothing yet: what is to be offered when the connections are open.
    Ahead(PublisherArgs),
    Offered(Publisher),
    Over,
}

/// Why there is no server to measure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ServerError {
    #[error("{server} cannot be measured: {what} is missing; {remedy}")]
    Missing { server: Kind, what: String, remedy: String },
    #[error("cannot start {program}: {error}")]
    Spawn { program: String, error: std::io::Error },
    #[error("{program} ended: {log}")]
    Ended { program: String, log: String },
    #[error("{program} was not ready after {after:?}: {log}")]
    Late { program: String, after: Duration, log: String },
    #[error("{what}: {error}")]
    Io { what: String, error: std::io::Error },
    #[error("{0} is not measured with TLS")]
    NoTls(Kind),
    #[error("{server} has no setting to change in its configuration for '{setting}'")]
    Setting { server: Kind, setting: String },
    #[error(transparent)]
    Publisher(#[from] PublisherError),
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Usage(#[from] UsageError),
}

/// Starts a server and waits until it accepts connections.
pub(crate) fn start(spec: &Spec) -> Result<Running, ServerError> {
    match spec.kind {
        Kind::Tickcast => tickcast::start(spec),
        _ => peer::start(spec),
    }
}

impl Running {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A page of the operators' port; none where there is no such port, or no answer.
    pub(crate) fn ask(&self, path: &str) -> Option<String> {
        let answer = tickcast::get(self.admin?, path)?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    /// A load directed at this server: its address and the certificate it shows.
    pub(crate) fn aim(&self, load: LoadArgs) -> LoadArgs {
        let url = self.url.clone();
        LoadArgs { url, dialect: self.dialect, ca: self.root.clone(), ..load }
    }

    /// Begins to offer ticks, for servers whose publisher waits until connections are open.
    pub(crate) fn start_publisher(&mut self) -> Result<(), ServerError> {
        if let Feed::Ahead(args) = &self.feed {
            self.feed = Feed::Offered(Publisher::start(args)?);
        }
        Ok(())
    }

    /// Ends what was started and says how that went.
    pub(crate) fn stop_publisher(&mut self) -> Result<Option<PublisherReport>, ServerError> {
        match std::mem::replace(&mut self.feed, Feed::Over) {
            Feed::Offered(publisher) => Ok(Some(publisher.stop()?)),
            other => {
                self.feed = other;
                Ok(None)
            }
        }
    }

    /// CPU time and memory of all processes of the server, not of its publisher.
    pub(crate) fn usage(&self) -> Result<Usage, UsageError> {
        Usage::of(self.server.pid())
    }

    /// Open descriptors, over the tables of all threads: one that threads share counts for each of them.
    pub(crate) fn descriptors(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.server.pid()));
        let tables = tasks.into_iter().flatten().flatten().map(|task| task.path().join("fd"));
        let open = tables.filter_map(|table| std::fs::read_dir(table).ok()).map(Iterator::count);
        open.map(|count| u64::try_from(count).unwrap_or(u64::MAX)).sum()
    }

    /// The publisher's, if it runs.
    pub(crate) fn publisher_usage(&self) -> Option<Usage> {
        let pid = match &self.feed {
            Feed::Ring(process) => process.pid(),
            Feed::Offered(publisher) => publisher.pid(),
            Feed::Ahead(_) | Feed::Over => return None,
        };
        Usage::of(pid).ok()
    }

    /// A metric of the server's own, summed over its labels; none if it does not say.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let page = tickcast::get(self.admin?, "/metrics")?;
        let values = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let is_name = rest.starts_with(['{', ' ']);
            is_name.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        values.reduce(|sum, value| sum + value)
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.server.is_running()
    }

    /// What the server wrote to standard error, its end if it was much.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// Kills the server, as a crash would, and starts it again at the same address; the publisher goes
    /// on meanwhile. Returns as soon as the new process has begun, ready or not.
    pub(crate) fn crash_and_restart(&mut self) -> Result<(), ServerError> {
        self.server.end();
        match self.kind {
            Kind::Tickcast => tickcast::restart(self),
            other => Err(ServerError::Missing {
                server: other,
                what: "a way to restart it".to_owned(),
                remedy: "storm measures tickcast only".to_owned(),
            }),
        }
    }
}

/// The first of the ports that servers listen on, and how many there are. They lie below those that the system
/// gives to whoever connects or asks for any: it would give away one that was free a moment ago.
const PORTS: (u32, u32) = (20_000, 12_000);

/// A port that nothing listens on, given out once by this process.
pub(crate) fn free_address() -> Result<SocketAddr, ServerError> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let (first, count) = PORTS;
    // Processes begin at different places.
    let start = std::process::id().wrapping_mul(97);
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(first + start.wrapping_add(given) % count).unwrap_or(0);
        match TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr()) {
            Ok(address) => return Ok(address),
            Err(_) if given < count => {}
            Err(error) => {
                return Err(ServerError::Io { what: "a free port".to_owned(), error });
            }
        }
    }
}
