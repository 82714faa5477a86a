//! `bench load`: so many subscribed connections for so long, and what they saw.
//!
//! The parent of a [`Fleet`]: it starts the workers, waits until all connections are open, sets the
//! measured window by the wall clock, lets it pass, waits for stragglers, merges the reports.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use wire::Encoding;

use crate::clock::realtime_ns;
use crate::generator::dialect::{Dialect, mqtt};
use crate::generator::fleet::{Fleet, FleetError, Go, connections_per_worker};
use crate::generator::plan::{AfterClose, Plan, Progress, Ramp, Slow, Stall};
use crate::generator::report::{Expect, Report};
use crate::generator::tally::{Arrivals, Window};
use crate::generator::target::{Scheme, Target, TargetError};
use crate::generator::template::{TemplateError, Templates};
use crate::stdout;

/// A load: connections, what they subscribe to, for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct LoadArgs {
    /// Where to connect: ws:// or wss://.
    #[arg(long, default_value = "ws://127.0.0.1:9443/v1/stream")]
    pub(crate) url: String,
    /// Use TLS whatever the URL says.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Root certificates (PEM) of the server; on loopback any certificate is taken without.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Connections in all.
    #[arg(short = 'n', long, default_value_t = 1)]
    pub(crate) connections: u64,
    /// Topics, separated by commas. In braces, n is the connection's number and k counts its topics,
    /// and both may be reckoned with: S{n%100}.quote, S{(n*10+k)%1000}.quote.
    #[arg(short, long, required_unless_present = "idle")]
    pub(crate) topics: Option<String>,
    /// Topics per connection: how far {k} counts.
    #[arg(short = 'k', long, default_value_t = 1)]
    pub(crate) per_connection: u64,
    /// Delivery mode to ask for: every or conflate.
    #[arg(long)]
    pub(crate) mode: Option<String>,
    /// Deliveries a second to ask for, per topic.
    #[arg(long)]
    pub(crate) max_rate: Option<u32>,
    /// How the server is spoken to.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) dialect: Dialect,
    /// Encoding to ask for.
    #[arg(long, value_enum, default_value_t = Subprotocol::Sbe)]
    pub(crate) subprotocol: Subprotocol,
    /// Seconds measured.
    #[arg(short, long, default_value_t = 10.0)]
    pub(crate) duration: f64,
    /// End earlier, after so many messages of the measured time.
    #[arg(long)]
    pub(crate) count: Option<u64>,
    /// Seconds between the last connection's opening and the measurement.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) warm_up: f64,
    /// Seconds to wait for stragglers behind the measurement, at most.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) drain: f64,
    /// So many messages are due in the measured time: when they have come there are no stragglers.
    #[arg(long, value_name = "MESSAGES")]
    pub(crate) due: Option<u64>,
    /// Worker processes; as many as the limit on open files demands if not given.
    #[arg(long)]
    pub(crate) workers: Option<u64>,
    /// Cores to pin workers to, in turn.
    #[arg(long, value_delimiter = ',')]
    pub(crate) cpu: Vec<usize>,
    /// Connects a second, in all.
    #[arg(long, default_value_t = 4_000.0)]
    pub(crate) ramp_rate: f64,
    /// Connects that a worker has under way at once.
    #[arg(long, default_value_t = 128)]
    pub(crate) ramp_concurrency: usize,
    /// Seconds after which a connection that is not open has failed, beyond what the rate takes.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) patience: f64,
    /// So many connections stop reading for a while.
    #[arg(long, value_name = "CONNECTIONS")]
    pub(crate) stall: Option<u64>,
    /// Seconds from the measurement's begin until they stop.
    #[arg(long, default_value_t = 1.0, requires = "stall")]
    pub(crate) stall_after: f64,
    /// Seconds from the measurement's begin until they read on; never if not given.
    #[arg(long, requires = "stall")]
    pub(crate) resume_after: Option<f64>,
    /// Receive buffer of the connections that stop reading or are slow; the kernel's own choice swallows megabytes
    /// before the server can notice.
    #[arg(long, value_name = "BYTES")]
    pub(crate) stall_buffer: Option<usize>,
    /// So many connections behind them read at a bounded rate.
    #[arg(long, value_name = "CONNECTIONS")]
    pub(crate) slow: Option<u64>,
    /// Bytes a second that each of those reads.
    #[arg(long, value_name = "BYTES", default_value_t = 4096, requires = "slow")]
    pub(crate) slow_rate: u64,
    /// Keep the last arrival of each tick: how long until everybody has it.
    #[arg(long)]
    pub(crate) last_arrivals: bool,
    /// Connect again when the server closes a connection.
    #[arg(long)]
    pub(crate) reconnect: bool,
    /// Expect nothing; without topics connections do not even subscribe.
    #[arg(long)]
    pub(crate) idle: bool,
    /// Write the report as JSON; - is standard output, instead of the table.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What the flags say when they are not given; a test compares the two.
impl Default for LoadArgs {
    fn default() -> Self {
        Self {
            url: "ws://127.0.0.1:9443/v1/stream".to_owned(),
            tls: false,
            ca: None,
            connections: 1,
            topics: None,
            per_connection: 1,
            mode: None,
            max_rate: None,
            dialect: Dialect::default(),
            subprotocol: Subprotocol::Sbe,
            duration: 10.0,
            count: None,
            warm_up: 2.0,
            drain: 1.0,
            due: None,
            workers: None,
            cpu: Vec::new(),
            ramp_rate: 4_000.0,
            ramp_concurrency: 128,
            patience: 30.0,
            stall: None,
            stall_after: 1.0,
            resume_after: None,
            stall_buffer: None,
            slow: None,
            slow_rate: 4096,
            last_arrivals: false,
            reconnect: false,
            idle: false,
            json: None,
        }
    }
}

/// The encodings by their short names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subprotocol {
    Sbe,
    Json,
}

impl From<Subprotocol> for Encoding {
    fn from(subprotocol: Subprotocol) -> Self {
        match subprotocol {
            Subprotocol::Sbe => Self::Sbe,
            Subprotocol::Json => Self::Json,
        }
    }
}

/// Why a load could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LoadError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("--topics: {0}")]
    Topics(#[from] TemplateError),
    #[error("--{0} must be a number of seconds, 0 or more")]
    Seconds(&'static str),
    #[error("--{0} must be at least 1")]
    Zero(&'static str),
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error("no connection opened: {0}")]
    NothingOpened(String),
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, #[source] std::io::Error),
    #[error("{0}")]
    Witness(Box<dyn std::error::Error>),
}

/// Somebody who acts at a load's moments: reads the server's counters, starts its publisher.
pub(crate) trait Witness {
    /// All connections are open and subscribed, or have failed.
    fn opened(&mut self) -> Result<(), Box<dyn std::error::Error>>;
    /// The measured window begins.
    fn begins(&mut self) -> Result<(), Box<dyn std::error::Error>>;
    /// The measured window has ended; stragglers are still awaited.
    fn ended(&mut self) -> Result<(), Box<dyn std::error::Error>>;
}

/// Nobody.
struct Unwatched;

impl Witness for Unwatched {
    fn opened(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
    fn begins(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
    fn ended(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

/// Runs the load to its end.
pub(crate) fn run(args: &LoadArgs) -> Result<Report, LoadError> {
    run_watched(args, &mut Unwatched)
}

/// The same, with a witness.
pub(crate) fn run_watched(
    args: &LoadArgs,
    witness: &mut impl Witness,
) -> Result<Report, LoadError> {
    let warm_up = seconds("warm-up", args.warm_up)?;
    let duration = seconds("duration", args.duration)?;
    let drain = seconds("drain", args.drain)?;
    let mut fleet = Fleet::launch(&plans(args)?)?;
    let mut line = ProgressLine::new();
    let opened = fleet.ready(|progress| line.show("connecting", args.connections, progress))?;
    if opened.open == 0 {
        line.clear();
        return Err(LoadError::NothingOpened(first_failure(fleet)?));
    }
    witness.opened().map_err(LoadError::Witness)?;

    // The window is named before it begins, and named anew if a worker has not heard of it by then.
    let begin = loop {
        let begin = Instant::now() + warm_up + ORDER_LEAD;
        let start_ns = realtime_ns() + ns(begin.saturating_duration_since(Instant::now()));
        fleet.measure(Window { start_ns, end_ns: start_ns + ns(duration) })?;
        if realtime_ns() < start_ns {
            break begin;
        }
    };
    let end = begin + duration;
    let watch = |line: &mut ProgressLine, stage, progress| {
        line.show(stage, args.connections, progress);
        Go::On
    };
    fleet.pass(begin, |progress| watch(&mut line, "warming up", progress))?;
    witness.begins().map_err(LoadError::Witness)?;
    let mut is_enough = false;
    fleet.pass(end, |progress| {
        is_enough = args.count.is_some_and(|count| progress.in_window >= count);
        line.show("measuring", args.connections, progress);
        if is_enough { Go::Stop } else { Go::On }
    })?;
    witness.ended().map_err(LoadError::Witness)?;
    if !is_enough {
        fleet.pass(end + drain, |progress| {
            line.show("draining", args.connections, progress);
            let is_all = args.due.is_some_and(|due| progress.in_window >= due);
            if is_all { Go::Stop } else { Go::On }
        })?;
    }
    line.clear();
    let expect = if args.idle { Expect::Nothing } else { Expect::Messages };
    Ok(Report::new(description(args), expect, &fleet.finish()?))
}

/// Long enough for an order to reach every worker, busy as they are.
const ORDER_LEAD: Duration = Duration::from_millis(300);

/// What each worker is to do.
pub(crate) fn plans(args: &LoadArgs) -> Result<Vec<Plan>, LoadError> {
    let mut target = Target::parse(&args.url)?;
    if args.tls {
        target.scheme = Scheme::Wss;
    }
    if args.connections == 0 {
        return Err(LoadError::Zero("connections"));
    }
    if args.workers == Some(0) {
        return Err(LoadError::Zero("workers"));
    }
    if !(args.ramp_rate.is_finite() && args.ramp_rate >= 1.0) {
        return Err(LoadError::Zero("ramp-rate"));
    }
    if let Some(topics) = &args.topics {
        let templates = Templates::parse(topics)?;
        for n in [0, args.connections - 1] {
            templates.expand(n, args.per_connection)?;
        }
    }
    let stall = match args.stall {
        None => None,
        Some(connections) => {
            let resume = args.resume_after.map(|at| seconds("resume-after", at)).transpose()?;
            Some(Stall {
                connections,
                after_ms: ms(seconds("stall-after", args.stall_after)?),
                resume_ms: resume.map(ms),
                receive_buffer: args.stall_buffer,
            })
        }
    };
    let needed = args.connections.div_ceil(connections_per_worker());
    let workers = args.workers.unwrap_or(needed).max(needed).min(args.connections);
    #[expect(clippy::cast_precision_loss, reason = "a time to wait")]
    let ramp_s = args.connections as f64 / args.ramp_rate;
    let patience = seconds("patience", args.patience + ramp_s)?;
    let mut cores = args.cpu.iter().copied().cycle();
    let plan = |worker| Plan {
        worker,
        workers,
        connections: args.connections,
        target: target.clone(),
        dialect: args.dialect,
        subprotocol: subprotocol(args).map(str::to_owned),
        topics: args.topics.clone(),
        topics_per_connection: args.per_connection,
        mode: args.mode.clone(),
        max_rate: args.max_rate,
        ramp: Ramp {
            rate: args.ramp_rate,
            concurrency: args.ramp_concurrency,
            patience_ms: ms(patience),
        },
        stall,
        slow: args.slow.map(|connections| Slow {
            connections,
            bytes_per_s: args.slow_rate,
            receive_buffer: args.stall_buffer,
        }),
        arrivals: if args.last_arrivals { Arrivals::Last } else { Arrivals::Unkept },
        after_close: if args.reconnect { AfterClose::Reconnect } else { AfterClose::Leave },
        cpu: cores.next(),
        root: args.ca.clone(),
    };
    Ok((0..workers).map(plan).collect())
}

/// The WebSocket subprotocol to ask for.
fn subprotocol(args: &LoadArgs) -> Option<&'static str> {
    match args.dialect {
        Dialect::Tickcast => Some(Encoding::from(args.subprotocol).subprotocol()),
        Dialect::Mqtt => Some(mqtt::SUBPROTOCOL),
        Dialect::Plain | Dialect::Path | Dialect::Nats => None,
    }
}

/// The commonest reason why connections failed.
fn first_failure(fleet: Fleet) -> Result<String, LoadError> {
    let mut reasons = BTreeMap::<String, u64>::new();
    for report in fleet.finish()? {
        for (reason, count) in report.connections.failures {
            *reasons.entry(reason).or_default() += count;
        }
    }
    let commonest = reasons.into_iter().max_by_key(|(_, count)| *count);
    Ok(commonest.map_or_else(|| "not in time".to_owned(), |(reason, _)| reason))
}

/// The arguments that make two loads comparable.
fn description(args: &LoadArgs) -> BTreeMap<String, String> {
    let mut load = BTreeMap::from([
        ("url", args.url.clone()),
        ("connections", args.connections.to_string()),
        ("per_connection", args.per_connection.to_string()),
        ("subprotocol", subprotocol(args).unwrap_or("none").to_owned()),
        ("duration_s", args.duration.to_string()),
        ("warm_up_s", args.warm_up.to_string()),
        ("tls", args.tls.to_string()),
    ]);
    let optional = [
        ("topics", args.topics.clone()),
        ("mode", args.mode.clone()),
        ("max_rate", args.max_rate.map(|rate| rate.to_string())),
        ("stall", args.stall.map(|stall| stall.to_string())),
        ("slow", args.slow.map(|slow| slow.to_string())),
        ("slow_bytes_per_s", args.slow.map(|_| args.slow_rate.to_string())),
        ("stall_after_s", args.stall.map(|_| args.stall_after.to_string())),
        ("resume_after_s", args.resume_after.map(|at| at.to_string())),
    ];
    load.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
    load.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Writes a report where the arguments want it.
pub(crate) fn write(report: &Report, json: Option<&PathBuf>) -> Result<(), LoadError> {
    let Some(path) = json else {
        stdout::say(report);
        return Ok(());
    };
    let text = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
    if path.as_os_str() == "-" {
        stdout::say(text);
        return Ok(());
    }
    stdout::say(report);
    std::fs::write(path, text).map_err(|error| LoadError::Write(path.clone(), error))
}

pub(crate) fn seconds(name: &'static str, value: f64) -> Result<Duration, LoadError> {
    Duration::try_from_secs_f64(value).map_err(|_| LoadError::Seconds(name))
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One line on a terminal that says how far it is; nothing where nobody watches.
pub(crate) struct ProgressLine {
    is_shown: bool,
    last: Option<(Instant, u64)>,
    rate: f64,
}

impl ProgressLine {
    pub(crate) fn new() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), last: None, rate: 0.0 }
    }

    pub(crate) fn show(&mut self, stage: &str, wanted: u64, progress: Progress) {
        if !self.is_shown {
            return;
        }
        let now = Instant::now();
        match self.last {
            Some((at, _)) if now - at < Duration::from_millis(200) => return,
            Some((at, messages)) => {
                let new = progress.messages.saturating_sub(messages);
                #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
                let new = new as f64;
                self.rate = new / (now - at).as_secs_f64();
            }
            None => {}
        }
        self.last = Some((now, progress.messages));
        let Progress { open, failed, closed, messages, .. } = progress;
        let rate = self.rate;
        let mut err = std::io::stderr().lock();
        // A terminal that is gone takes nothing more, and nobody misses it.
        let _ = write!(
            err,
            "\r\x1b[K{stage}: {open} of {wanted} open, {failed} failed, {closed} closed, \
             {messages} messages, {rate:.0}/s"
        );
        let _ = err.flush();
    }

    pub(crate) fn clear(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_default_is_what_flags_say_when_not_given() {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            load: LoadArgs,
        }
        let given = Line::parse_from(["load", "--idle"]).load;
        let default = LoadArgs { idle: true, ..LoadArgs::default() };
        assert_eq!(format!("{given:?}"), format!("{default:?}"));
    }
}
