//! How a gateway comes up and goes down, in order. Each step says why it stands where it stands.

mod access;
mod certificate;
mod memory;
mod reload;
mod settings;
mod supervisor;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admin::{self, Admin};
use crate::auth::AuthError;
use crate::clock::saturating_ns;
use crate::config::{self, Config, LogFormat, Switch};
use crate::fleet::Fleet;
use crate::history::{Bounds, History};
use crate::publish::{self, PublishStatus};
use crate::routes::{InfoCache, PublicRoutes, StatusBoard, Weights};
use crate::shard::{self, DescriptorTable, ShardSettings, ShardSpec, StartError};
use crate::source::{self, FeedStatus, SourceError};
use crate::telemetry::{self, Process};

use access::Doorkeeping;
use certificate::Certificate;
use reload::Reins;
use supervisor::Supervisor;

pub use certificate::CertificateError;
pub use reload::{ReadConfig, ReloadError, Reloader, Running};

/// How long after the drain window shards may take for the last close frames.
const DRAIN_MARGIN: Duration = Duration::from_secs(1);

/// How often a drain looks whether everybody has gone.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the service manager shows of a gateway that is up.
const SERVING: &str = "serving";

/// What a second signal makes of the exit code: ended by the operator before the end.
const EXIT_INTERRUPTED: i32 = 130;

/// Why a gateway does not come up. All of these are one line on standard error and exit code 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// Somebody else listens there, or it is not our address.
    #[error("cannot listen on {address} ({key}): {}", explain(source))]
    Listen {
        /// The key that names the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The certificate or key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Credentials cannot be checked.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// What clients publish has no way to the bus.
    #[error(transparent)]
    Publish(#[from] publish::OpenError),
    /// The shards cannot be started.
    #[error(transparent)]
    Shards(#[from] StartError),
    /// `descriptor-tables = own`, and the kernel says no.
    #[error(
        "descriptor-tables = own, but the kernel gives {own} of {shards} shards a table of open \
         files of their own; use auto or shared"
    )]
    Tables {
        /// Shards that have one.
        own: usize,
        /// Shards.
        shards: usize,
    },
    /// Limits that contradict each other.
    #[error("these settings do not go together: {0}")]
    Limits(#[from] hub::LimitsError),
    /// No runtime, no signal handlers: out of descriptors or threads.
    #[error("cannot start: {0}")]
    Resources(io::Error),
}

/// The system's reason with what to do about it.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another process".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no interface has this address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied (ports below 1024 need a privilege)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Runs a gateway until it is told to end; `read` reads its configuration again. The exit code says how it ended.
#[must_use]
pub fn run(config: &Config, strangers: &[String], read: ReadConfig) -> ExitCode {
    // 1. Logs, so that everything after this can say something.
    telemetry::start_logging(config.log_format, &config.log_level);
    for variable in strangers {
        tracing::warn!(variable, "an environment variable with our prefix is no configuration key");
    }
    let ended = up_and_down(config, read);
    if let Err(error) = &ended {
        tracing::debug!(?error, "boot failed");
    }
    telemetry::finish_logging();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who takes no log lines takes no last words either.
            let _ = writeln!(io::stderr(), "gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

fn up_and_down(config: &Config, read: ReadConfig) -> Result<(), BootError> {
    // 2. The limit on open files, before anybody counts on it, and the size of pages, before most of
    //    them are touched.
    if let Err(error) = sys::raise_open_files_limit() {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }

    if let Err(error) = sys::avoid_huge_pages() {
        tracing::debug!(%error, "huge pages are the kernel's choice");
    }

    // 3. What can be wrong with files and addresses, before there is anything to take down again.
    //    Shards listen with SO_REUSEPORT, which a second gateway would quietly join: hence the probe.
    let process = Process::new();
    let feed = Arc::new(FeedStatus::default());
    let certificate = certificate(config)?;
    if let Some(certificate) = &certificate {
        process.note_expiry(certificate.expires_at_s);
        certificate.warn_of_expiry(SystemTime::now());
    }
    let access = access::open(config)?;
    let source = source::open(config, &feed)?;
    let published = Arc::new(PublishStatus::default());
    let publisher = publish::open(config, &published)?;
    probe("listen", config.listen)?;
    probe("admin-listen", config.admin_listen)?;
    if !config.admin_listen.ip().is_loopback() {
        tracing::warn!(
            admin = %config.admin_listen,
            "the operators' port has no credentials and is not on loopback: keep others away from it"
        );
    }

    // 4. The main thread's runtime and signal handlers. A handler writes into a pipe from whichever
    //    thread the signal hits: the pipe must be in every table of open files, so it comes before
    //    the shards split theirs off.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BootError::Resources)?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new().map_err(BootError::Resources)?
    };

    // 5. Shards: eventfds and runtimes, then a barrier, then tables of their own, then listeners.
    //    When this returns all of them listen.
    let bounds = Bounds::of(config);
    let history = (!bounds.is_nothing()).then(|| History::new(bounds));
    let board = config.public_status.is_shown_by(config).then(Arc::<StatusBoard>::default);
    let routes = Arc::new(PublicRoutes {
        history: history.clone(),
        status: board.clone(),
        weights: Weights::new(config.exchange_weight),
        info: InfoCache::default(),
        age_ns: saturating_ns(access::age(config)),
    });
    let settings = Arc::new(ShardSettings {
        access: access::of_shards(access.as_ref(), config),
        ..settings::settings(config)?
    });
    let tls = certificate.map(|certificate| certificate.tls);
    let fleet = start_shards(config, &settings, tls.as_ref(), publisher.as_ref(), &routes)?;
    if let Some(access) = &access {
        access.meet(&fleet);
    }
    let fleet = Arc::new(fleet.with_history(history.clone()));

    // 6. The operators' listener, after the shards' tables were split off: in theirs it would live on.
    let listener = runtime.block_on(admin::listen(config.admin_listen)).map_err(|source| {
        BootError::Listen { key: "admin-listen", address: config.admin_listen, source }
    })?;
    let admin_address = listener.local_addr().map_err(BootError::Resources)?;

    // 7. The history, the way for what clients publish, and the source, last: from here on ticks flow.
    let history =
        history.map(|history| history.start()).transpose().map_err(BootError::Resources)?;
    let publisher = publisher.map(|publisher| publisher.start(&fleet)).transpose()?;
    let source = source.start(&fleet)?;
    let mut doorkeeping = Doorkeeping::default();
    if let Some(access) = access {
        doorkeeping = runtime.block_on(access.start(&fleet));
    }
    announce(config, &fleet, admin_address);
    let supervisor = Arc::new(Supervisor::from_environment());
    supervisor.ready(SERVING);

    // 8. Serve until a signal or an operator asks for a drain.
    let (draining, drain_asked) = watch::channel(false);
    let (running, goes_by) = watch::channel(Arc::new(Running::of(config)));
    let reins = Reins {
        fleet: Arc::clone(&fleet),
        process: Arc::clone(&process),
        routes,
        running,
        credentials: Arc::clone(&doorkeeping.reload),
        supervisor: Arc::clone(&supervisor),
    };
    let reloader = Arc::new(Reloader::new(read, config.clone(), settings, reins));
    let admin = Arc::new(Admin {
        fleet: Arc::clone(&fleet),
        feed,
        process: Arc::clone(&process),
        publish: published,
        auth: doorkeeping.status.clone(),
        draining,
        running: goes_by.clone(),
        reloader: Arc::clone(&reloader),
    });
    runtime.block_on(async {
        let operators = tokio::spawn(admin::serve(listener, Arc::clone(&admin)));
        let alive = tokio::spawn(Arc::clone(&supervisor).keep_alive(Arc::clone(&fleet)));
        let overview =
            board.map(|board| tokio::spawn(admin::keep_overview(board, Arc::clone(&admin))));
        let memory = tokio::spawn(memory::keep_below(goes_by.clone(), Arc::clone(&fleet)));
        let asked_by = signals.serve(&reloader, drain_asked).await;

        // 9. Drain: `/readyz` says no, listeners close, clients are told and closed one by one.
        admin.draining.send_replace(true);
        let window = goes_by.borrow().drain_window;
        supervisor.stopping(window + DRAIN_MARGIN);
        drain(&fleet, window, asked_by, &mut signals).await;
        operators.abort();
        alive.abort();
        doorkeeping.stop();
        let _ = tokio::join!(operators, alive);
        for task in [overview, Some(memory)].into_iter().flatten() {
            task.abort();
            let _ = task.await;
        }
    });

    // 10. The source, then the shards with what is still open. Tasks that held the fleet end with
    //     the runtime.
    source.stop();
    if let Some(publisher) = publisher {
        publisher.stop();
    }
    if let Some(history) = history {
        history.stop();
    }
    drop((admin, reloader));
    runtime.shutdown_timeout(Duration::from_millis(100));
    if let Some(fleet) = Arc::into_inner(fleet) {
        for shard in fleet.stop() {
            tracing::error!(shard, "a shard panicked");
        }
    }
    tracing::info!("bye");
    Ok(())
}

/// The configured certificate, if there is one.
fn certificate(config: &Config) -> Result<Option<Certificate>, CertificateError> {
    match (&config.tls_cert, &config.tls_key) {
        (Some(cert), Some(key)) => certificate::load(cert, key).map(Some),
        _ => Ok(None),
    }
}

/// Whether nobody else listens at an address.
fn probe(key: &'static str, address: SocketAddr) -> Result<(), BootError> {
    // Port 0 is free by definition.
    if address.port() == 0 {
        return Ok(());
    }
    StdTcpListener::bind(address).map(drop).map_err(|source| BootError::Listen {
        key,
        address,
        source,
    })
}

fn start_shards(
    config: &Config,
    settings: &Arc<ShardSettings>,
    tls: Option<&Arc<ServerConfig>>,
    publisher: Option<&publish::Opened>,
    routes: &Arc<PublicRoutes>,
) -> Result<Fleet, BootError> {
    let cores = match config.pin {
        Switch::On => sys::allowed_cores().unwrap_or_default(),
        Switch::Off => Vec::new(),
    };
    let specs = (0..config.shards)
        .map(|index| ShardSpec {
            index,
            core: if cores.is_empty() { None } else { Some(cores[index % cores.len()]) },
            settings: Arc::clone(settings),
            listen: config.listen,
            tls: tls.cloned(),
            routes: Arc::clone(routes) as Arc<dyn shard::Routes>,
            descriptors: match config.descriptor_tables {
                config::DescriptorTables::Shared => DescriptorTable::Shared,
                _ => DescriptorTable::Own,
            },
            publish: publisher.map(publish::Opened::port),
        })
        .collect();
    let fleet = Fleet::new(shard::start(specs).map_err(|error| match error {
        StartError::Listen { address, source } => {
            BootError::Listen { key: "listen", address, source }
        }
        other => other.into(),
    })?);
    let (own, shards) = (fleet.own_tables(), fleet.len());
    if config.descriptor_tables == config::DescriptorTables::Own && own < shards {
        return Err(BootError::Tables { own, shards });
    }
    Ok(fleet)
}

/// Says that the gateway is up: a line for machines, and on a terminal a word for people.
fn announce(config: &Config, fleet: &Fleet, admin: SocketAddr) {
    let listen = fleet.address().unwrap_or(config.listen);
    tracing::info!(
        %listen, %admin, shards = fleet.len(), own_tables = fleet.own_tables(),
        connections_max = fleet.connections_max(),
        source = %config.source, tls = config.tls_cert.is_some(), pid = std::process::id(),
        version = env!("CARGO_PKG_VERSION"), "listening"
    );
    if config.log_format == LogFormat::Text && io::stdout().is_terminal() {
        print!("{}", banner(config, listen, admin));
    }
}

/// What a person who has just typed `cargo run` wants to know.
fn banner(config: &Config, listen: SocketAddr, admin: SocketAddr) -> String {
    let secure = if config.tls_cert.is_some() { "s" } else { "" };
    let source = match &config.source.first {
        config::Source::Sim => format!(
            "the embedded simulator, {} instruments, {} ticks a second",
            config.symbols, config.rate
        ),
        _ => config.source.to_string(),
    };
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n  Tickcast {}, fed by {source}\n\n\
         \x20   page     http{secure}://{listen}/\n\
         \x20   stream   ws{secure}://{listen}/v1/stream\n\
         \x20   health   http://{admin}/healthz  /readyz  /metrics  /connections?top=10\n\n\
         \x20 Try: gateway tail --url ws{secure}://{listen}/v1/stream '*.trade'\n\
         \x20      curl http{secure}://{listen}/v1/instruments\n\
         \x20      gateway --help\n\n",
        env!("CARGO_PKG_VERSION"),
    );
    out
}

/// Closes sessions over the window, bounded; a second signal ends the process at once.
async fn drain(fleet: &Fleet, window: Duration, asked_by: Asker, signals: &mut Signals) {
    let deadline = Instant::now() + window + DRAIN_MARGIN;
    tracing::info!(
        sessions = fleet.sessions(),
        window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
        "draining"
    );
    fleet.drain(window);
    let gone = async {
        // The first look comes after the shards' next turn, or connections that were being opened
        // when the drain began would be missed.
        loop {
            tokio::time::sleep(DRAIN_LOOK_EVERY).await;
            if fleet.sessions() == 0 {
                return;
            }
        }
    };
    tokio::select! {
        () = gone => tracing::info!("drained"),
        () = tokio::time::sleep_until(deadline) => {
            tracing::warn!(sessions = fleet.sessions(), "the drain's time is over");
        }
        () = signals.end_again(asked_by) => {
            tracing::warn!("second signal: ending at once");
            telemetry::finish_logging();
            std::process::exit(EXIT_INTERRUPTED);
        }
    }
}

/// Who wants the gateway to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// A signal.
    Signal,
    /// An operator, by `/drain`.
    Operator,
}

/// The signals that a gateway heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the second signal. After an operator's `/drain` the first one is what orchestrators send
    /// anyway when their hook is done: it hurries nobody.
    async fn end_again(&mut self, asked_by: Asker) {
        if asked_by == Asker::Operator {
            self.end().await;
            tracing::info!("a signal: the drain goes on");
        }
        self.end().await;
    }

    /// Has files read again on SIGHUP until the gateway is asked to end, by signal or operator.
    async fn serve(
        &mut self,
        reloader: &Reloader,
        mut drain_asked: watch::Receiver<bool>,
    ) -> Asker {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Asker::Signal,
                _ = self.interrupt.recv() => return Asker::Signal,
                _ = drain_asked.wait_for(|asked| *asked) => return Asker::Operator,
                _ = self.hangup.recv() => {
                    // It has said what became of it.
                    let _ = reloader.reload();
                }
            }
        }
    }
}
