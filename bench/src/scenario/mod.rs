//! Scenarios: what is measured and why, as files; running them; keeping what they find.
//!
//! A file in `bench/scenarios` names its [`Kind`]; the rest of it is read by the module of that kind,
//! which runs servers and loads and writes into a [`Record`]. Everything is run interleaved: all
//! servers and variants once, then all again, so that what disturbs the machine disturbs all alike.

mod bus;
mod ceiling;
mod connections;
mod encode;
mod expect;
mod fanout;
mod hostile;
mod latency;
mod million;
mod offer;
mod ring;
mod search;
mod slow;
mod storm;
mod transports;
mod trial;
mod wan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::ceiling::CeilingError;
use crate::generator::fleet::FleetError;
use crate::generator::load::LoadError;
use crate::hostile::HostileError;
use crate::proxy::ProxyError;
use crate::record::{About, Record, RecordError, Run};
use crate::server::{self, ServerError, UsageError};
use crate::stdout;

/// What a scenario measures; each has a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Ticks to many connections: latency, CPU time, capacity.
    Fanout,
    /// Some who do not read, beside others who do.
    Slow,
    /// Some who mean harm, beside others who do not.
    Hostile,
    /// Opening connections, and having them wait.
    Connections,
    /// All reconnect at once.
    Storm,
    /// As many sockets as fit.
    Million,
    /// The ring beside other ways between threads.
    Ring,
    /// A bare loop of sends, and servers beside it.
    Ceiling,
    /// Where a tick's time goes.
    Latency,
    /// A client far away.
    Wan,
    /// What messages cost, encoding by encoding.
    Encode,
    /// The same quotes by polling, long polling, event stream, WebSocket.
    Transports,
    /// Ticks through a bus.
    Bus,
}

impl Kind {
    /// As in scenario files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Slow => "slow",
            Self::Hostile => "hostile",
            Self::Connections => "connections",
            Self::Storm => "storm",
            Self::Million => "million",
            Self::Ring => "ring",
            Self::Ceiling => "ceiling",
            Self::Latency => "latency",
            Self::Wan => "wan",
            Self::Encode => "encode",
            Self::Bus => "bus",
            Self::Transports => "transports",
        }
    }
}

/// Run scenarios and keep what they find.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Names of scenarios that `bench list` shows, or paths of files.
    #[arg(value_name = "NAME|FILE", required = true)]
    scenarios: Vec<String>,
    /// Where records go, one file for each scenario.
    #[arg(long, value_name = "DIR", default_value = "bench-records")]
    out: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// What goes before the scenarios' own settings.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Rounds, instead of the scenario's; 0 reads the scenario and measures nothing.
    #[arg(long)]
    pub(crate) rounds: Option<u32>,
    /// Servers, separated by commas, instead of the scenario's.
    #[arg(long, value_delimiter = ',', value_name = "SERVERS")]
    pub(crate) server: Option<Vec<server::Kind>>,
    /// Seconds measured in each run, instead of the scenario's.
    #[arg(long, value_name = "SECONDS", value_parser = some_seconds)]
    pub(crate) duration: Option<f64>,
    /// Only variants whose names contain this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) variant: Option<String>,
}

impl Options {
    /// The rounds and servers to be measured, interleaved: each server once, then all again. A scenario's
    /// own numbers hold where the command line says nothing.
    fn turns(&self, rounds: u32, servers: &[server::Kind]) -> Vec<(u32, server::Kind)> {
        let servers = self.server.as_deref().unwrap_or(servers);
        let round = |round| servers.iter().map(move |kind| (round, *kind));
        (1..=self.rounds.unwrap_or(rounds)).flat_map(round).collect()
    }
}

/// A scenario as its file has it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) title: String,
    pub(crate) why: String,
    /// The rest, for the kind's own module.
    settings: Table,
}

/// Why a scenario was not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ScenarioError {
    #[error("{0}: {1}")]
    File(PathBuf, #[source] std::io::Error),
    #[error("{0}: {1}")]
    Toml(PathBuf, #[source] toml::de::Error),
    #[error("no scenario {0}; there are {1}")]
    Unknown(String, String),
    #[error("{name}: {error}")]
    Settings { name: String, error: toml::de::Error },
    #[error("{name}: {what}")]
    Senseless { name: String, what: String },
    #[error("{0}: nothing in it has what --variant and --server ask for")]
    Nothing(String),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Ceiling(#[from] CeilingError),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Hostile(#[from] HostileError),
    #[error("{0}: no address in it")]
    Address(String),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// `bench run`: 1 if Tickcast failed an expectation.
pub(crate) fn run(args: &RunArgs) -> Result<ExitCode, ScenarioError> {
    let scenarios: Vec<Scenario> =
        args.scenarios.iter().map(|name| Scenario::find(name)).collect::<Result<_, _>>()?;
    let mut has_failed = false;
    for scenario in &scenarios {
        eprintln!("{}: {}", scenario.name, scenario.title);
        let mut record = Record::new(scenario.about());
        let measured = measure(scenario, &args.options, &mut record);
        // What there is before an error is kept, and nothing replaces no earlier record.
        if !record.runs.is_empty() {
            record.summarise();
            let path = record.write(&args.out)?;
            eprintln!("{}: kept in {}", scenario.name, path.display());
        }
        measured?;
        if record.runs.is_empty() && args.options.rounds != Some(0) {
            return Err(ScenarioError::Nothing(scenario.name.clone()));
        }
        has_failed |= record.runs.iter().any(is_our_failure);
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Has the kind's module run a scenario.
fn measure(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    match scenario.kind {
        Kind::Fanout => fanout::run(scenario, options, record),
        Kind::Slow => slow::run(scenario, options, record),
        Kind::Hostile => hostile::run(scenario, options, record),
        Kind::Connections => connections::run(scenario, options, record),
        Kind::Storm => storm::run(scenario, options, record),
        Kind::Million => million::run(scenario, options, record),
        Kind::Ring => ring::run(scenario, options, record),
        Kind::Ceiling => ceiling::run(scenario, options, record),
        Kind::Latency => latency::run(scenario, options, record),
        Kind::Wan => wan::run(scenario, options, record),
        Kind::Encode => encode::run(scenario, options, record),
        Kind::Bus => bus::run(scenario, options, record),
        Kind::Transports => transports::run(scenario, options, record),
    }
}

/// A peer that fails is a finding; Tickcast failing is a defect.
fn is_our_failure(run: &Run) -> bool {
    // Also the ring, which is not a server.
    run.server.starts_with(server::Kind::Tickcast.name()) && !run.failures.is_empty()
}

/// The servers of a scenario that names none.
fn tickcast() -> Vec<server::Kind> {
    vec![server::Kind::Tickcast]
}

/// The rounds of a scenario that names no number.
const fn three() -> u32 {
    3
}

/// A time in which something can be measured.
fn some_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if offer::is_some_seconds(seconds) { Ok(seconds) } else { Err(offer::SOME_SECONDS.to_owned()) }
}

/// `bench list`: what there is to run.
pub(crate) fn list() -> Result<(), ScenarioError> {
    for name in names()? {
        let Scenario { name, kind, title, why, .. } = Scenario::find(&name)?;
        stdout::say(format_args!("{name:<20} {:<12} {title}\n{:<33} {why}\n\n", kind.name(), ""));
    }
    Ok(())
}

/// Where scenarios are looked for by name.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// All scenarios of the folder, sorted.
fn names() -> Result<Vec<String>, ScenarioError> {
    let folder = folder();
    let entries =
        std::fs::read_dir(&folder).map_err(|error| ScenarioError::File(folder.clone(), error))?;
    let name = |path: PathBuf| Some(path.file_name()?.to_str()?.strip_suffix(".toml")?.to_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| name(entry.path())).collect();
    names.sort();
    Ok(names)
}

impl Scenario {
    /// By name or by path.
    fn find(name: &str) -> Result<Self, ScenarioError> {
        let path = if name.ends_with(".toml") || name.contains('/') {
            PathBuf::from(name)
        } else if names()?.iter().any(|known| known == name) {
            folder().join(format!("{name}.toml"))
        } else {
            return Err(ScenarioError::Unknown(name.to_owned(), names()?.join(", ")));
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| ScenarioError::File(path.clone(), error))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
        Self::parse(stem, &text).map_err(|error| ScenarioError::Toml(path.clone(), error))
    }

    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, toml::de::Error> {
        #[derive(Deserialize)]
        struct Head {
            kind: Kind,
            title: String,
            why: String,
        }
        let Head { kind, title, why } = toml::from_str(text)?;
        let mut settings: Table = toml::from_str(text)?;
        settings.retain(|key, _| !matches!(key, "kind" | "title" | "why"));
        Ok(Self { name: name.to_owned(), kind, title, why, settings })
    }

    /// The settings as the kind's module understands them.
    pub(crate) fn settings<T: DeserializeOwned>(&self) -> Result<T, ScenarioError> {
        let read = Value::Table(self.settings.clone()).try_into();
        read.map_err(|error| ScenarioError::Settings { name: self.name.clone(), error })
    }

    /// A setting that cannot be meant.
    pub(crate) fn senseless(&self, what: impl Into<String>) -> ScenarioError {
        ScenarioError::Senseless { name: self.name.clone(), what: what.into() }
    }

    /// Refuses the scenario if there is a complaint about its settings.
    pub(crate) fn refuse(&self, complaint: Option<impl Into<String>>) -> Result<(), ScenarioError> {
        complaint.map_or(Ok(()), |what| Err(self.senseless(what)))
    }

    fn about(&self) -> About {
        About {
            name: self.name.clone(),
            kind: self.kind.name().to_owned(),
            title: self.title.clone(),
            why: self.why.clone(),
            settings: serde_json::to_value(&self.settings).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_read() {
        let nothing = Options { rounds: Some(0), ..Options::default() };
        for name in names().unwrap() {
            let scenario = Scenario::find(&name).unwrap();
            assert!(!scenario.title.is_empty() && !scenario.why.is_empty(), "{name}");
            let mut record = Record::new(scenario.about());
            measure(&scenario, &nothing, &mut record).unwrap();
            assert!(record.runs.is_empty(), "{name}");
        }
    }

    const HEAD: &str = "kind = 'fanout'\ntitle = 't'\nwhy = 'w'\n";

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        servers: Vec<server::Kind>,
    }

    fn settings(rest: &str) -> Result<Settings, String> {
        let scenario = Scenario::parse("x", &format!("{HEAD}{rest}"));
        let scenario = scenario.map_err(|error| error.to_string())?;
        scenario.settings().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named() {
        assert_eq!(settings("servers = ['bun']").unwrap().servers, [server::Kind::Bun]);
        let unknown = settings("server = ['bun']").unwrap_err();
        assert!(unknown.contains("x: unknown field `server`, expected `servers`"), "{unknown}");
        let server = settings("servers = ['pony']").unwrap_err();
        assert!(server.contains("unknown variant `pony`, expected one of `tickcast`"), "{server}");
        let syntax = settings("servers = [").unwrap_err();
        assert!(syntax.contains("line 4"), "{syntax}");
        let kind = Scenario::parse("x", "kind = 'pony'\ntitle = ''\nwhy = ''").unwrap_err();
        assert!(kind.to_string().contains("unknown variant `pony`"), "{kind}");
        let title = Scenario::parse("x", "kind = 'fanout'").unwrap_err();
        assert!(title.to_string().contains("missing field `title`"), "{title}");
        let name = Scenario::find("pony").unwrap_err().to_string();
        assert!(name.contains("no scenario pony; there are "), "{name}");
    }
}
