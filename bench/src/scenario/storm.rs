//! `storm`: everybody comes back at once. Either every connection is cut, or the server crashes and is
//! started again; how long until all are subscribed and receiving once more?

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::expect::Expect;
use super::offer::Offer;
use super::trial::{Trial, line};
use super::{Options, Scenario, ScenarioError};
use crate::generator::fleet::{Fleet, Go};
use crate::generator::load::{self, LoadArgs, ProgressLine};
use crate::generator::plan::Order;
use crate::generator::report::{self, Report};
use crate::record::{Record, Run, float};
use crate::server::{self, Kind};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "super::tickcast")]
    servers: Vec<Kind>,
    #[serde(default = "super::three")]
    rounds: u32,
    load: Offer,
    /// What breaks; each is a variant.
    breaks: Vec<Break>,
    /// Seconds within which all must be back.
    patience: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Break {
    /// Every connection ends at the client, which connects again within a tenth of a second.
    Connections,
    /// The server is killed and started again; clients connect again with backoff.
    Server,
}

impl Break {
    const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections cut",
            Self::Server => "server restarted",
        }
    }
}

/// Connects of a worker under way at once: a storm is not polite.
const UNDER_WAY: usize = 4_096;

/// Undisturbed before the break and after the comeback.
const QUIET: Duration = Duration::from_secs(2);

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let settings: Settings = scenario.settings()?;
    scenario.refuse(settings.load.complaint())?;
    for (round, kind) in options.turns(settings.rounds, &settings.servers) {
        for what in &settings.breaks {
            let run = one(&settings, kind, *what, round)?;
            eprintln!("  {}", line(&run));
            record.runs.push(run);
        }
    }
    Ok(())
}

fn one(settings: &Settings, kind: Kind, what: Break, round: u32) -> Result<Run, ScenarioError> {
    let offer = &settings.load;
    let trial = Trial {
        spec: offer.spec(kind),
        load: LoadArgs {
            reconnect: true,
            ramp_rate: 1e6,
            ramp_concurrency: UNDER_WAY,
            ..offer.load()
        },
        offered: offer.offered(),
        // Judged below: what a reconnected client missed meanwhile it did not subscribe to.
        expect: Expect::default(),
        variant: what.name().to_owned(),
        round,
    };
    let mut running = server::start(&trial.spec)?;
    let mut fleet = Fleet::launch(&load::plans(&running.aim(trial.load.clone()))?)?;
    let mut line = ProgressLine::new();
    fleet.ready(|progress| line.show("connecting", offer.connections, progress))?;
    running.start_publisher()?;
    fleet.pass(Instant::now() + QUIET, |_| Go::On)?;
    match what {
        Break::Connections => fleet.order(Order::Cut)?,
        Break::Server => running.crash_and_restart()?,
    }
    let broke = Instant::now();
    let patience = load::seconds("patience", settings.patience)?;
    // The first look must not take the figures from before the break for the comeback.
    let mut has_broken = false;
    fleet.pass(broke + patience, |progress| {
        line.show("coming back", offer.connections, progress);
        has_broken |= progress.closed > 0;
        let is_back = has_broken && progress.receiving == offer.connections;
        if is_back { Go::Stop } else { Go::On }
    })?;
    fleet.pass(Instant::now() + QUIET, |_| Go::On)?;
    line.clear();
    let usage = running.usage()?;
    let reports = fleet.finish()?;
    let report = Report::new(std::collections::BTreeMap::new(), report::Expect::Messages, &reports);
    let mut run = Run { failures: Vec::new(), ..trial.outcome(report) };
    judge(&mut run);
    if what == Break::Server {
        // All of it since the restart.
        let per_connection = float(usage.cpu_ns) / float(offer.connections) / 1e3;
        run.extra.insert("server_cpu_us_per_connection".to_owned(), per_connection);
    }
    Ok(run)
}

/// When all were back, and that nothing was lost of what came after.
fn judge(run: &mut Run) {
    let Some(report) = &run.report else { return };
    let recovery = report.recovery;
    let since = |then: Option<u64>| Some(float(then?.saturating_sub(recovery.broke_ns?)) / 1e6);
    let times = [("all_open_ms", recovery.open_ns), ("all_receiving_ms", recovery.receiving_ns)];
    for (name, then) in times {
        match since(then) {
            Some(ms) => drop(run.extra.insert(name.to_owned(), ms)),
            None => run.failures.push(format!("never {}", name.trim_end_matches("_ms"))),
        }
    }
    if report.accounting.is_broken() {
        run.failures.push(format!("broken promises: {:?}", report.accounting));
    }
    let failures: u64 = report.connections.failures.values().sum();
    run.extra.insert("failed_attempts".to_owned(), float(failures));
}
