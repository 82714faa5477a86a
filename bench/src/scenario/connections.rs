//! `connections`: what it costs to open connections and to have them wait.
//!
//! They are opened as fast as the server takes them, in steps; after each step memory is read, the
//! server's own and the kernel's apart. Some are opened before and counted out: what a server sets up
//! once, with its first connections, is not a connection's.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::expect::{Delivered, Expect};
use super::offer::Offer;
use super::trial::{Trial, line};
use super::{Options, Scenario, ScenarioError};
use crate::generator::fleet::{Fleet, Go};
use crate::generator::load::{self, LoadArgs, ProgressLine};
use crate::generator::report::{self, Report};
use crate::record::{Line, Record, Run, Series, float};
use crate::server::{self, Kind, MachineMemory, Running, Usage};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "super::tickcast")]
    servers: Vec<Kind>,
    #[serde(default = "super::three")]
    rounds: u32,
    /// Its connections are those of one step.
    load: Offer,
    #[serde(default = "five")]
    steps: u64,
    /// Opened before everything and counted out.
    #[serde(default)]
    uncounted: u64,
    /// Seconds before each reading.
    #[serde(default = "two")]
    settle: f64,
}

const fn five() -> u64 {
    5
}

const fn two() -> f64 {
    2.0
}

/// A reading of everything, with so many connections counted.
#[derive(Clone, Copy)]
struct Point {
    connections: u64,
    server: Usage,
    machine: MachineMemory,
}

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let settings: Settings = scenario.settings()?;
    scenario.refuse(settings.load.complaint())?;
    let mut series = Series {
        title: "Memory against connections".to_owned(),
        x: "connections".to_owned(),
        y: "MiB".to_owned(),
        lines: Vec::new(),
    };
    for (round, kind) in options.turns(settings.rounds, &settings.servers) {
        let (run, points) = one(&settings, kind, round)?;
        eprintln!("  {}", line(&run));
        record.runs.push(run);
        if round == 1 {
            series.lines.extend(lines(kind, &points));
        }
    }
    record.series.push(series);
    Ok(())
}

fn one(settings: &Settings, kind: Kind, round: u32) -> Result<(Run, Vec<Point>), ScenarioError> {
    let step = &settings.load;
    let all = Offer { connections: step.connections * settings.steps, ..step.clone() };
    let trial = Trial {
        spec: all.spec(kind),
        load: LoadArgs { idle: true, ..step.load() },
        offered: all.offered(),
        expect: Expect { delivered: Delivered::Any, ..Expect::default() },
        variant: String::new(),
        round,
    };
    let mut running = server::start(&trial.spec)?;
    running.start_publisher()?;
    let load = running.aim(trial.load.clone());
    let settle = load::seconds("settle", settings.settle)?;
    let fresh = running.usage()?;
    let mut fleets = Vec::new();
    if settings.uncounted > 0 {
        fleets.push(open(&LoadArgs { connections: settings.uncounted, ..load.clone() }, settle)?.0);
    }
    let mut points = vec![read(&running, 0)?];
    let mut opening = Opening::default();
    for number in 1..=settings.steps {
        let before = running.usage()?;
        let (fleet, took) = open(&load, settle)?;
        opening.add(&running.usage()?, &before, took);
        fleets.push(fleet);
        points.push(read(&running, number * step.connections)?);
    }
    let idle = idle(&running, &mut fleets, settle)?;
    let mut reports = Vec::new();
    for (index, fleet) in fleets.into_iter().enumerate() {
        let finished = fleet.finish()?;
        // The uncounted ones are not in the report either.
        if settings.uncounted == 0 || index > 0 {
            reports.extend(finished);
        }
    }
    let report = Report::new(std::collections::BTreeMap::new(), report::Expect::Nothing, &reports);
    let mut run = trial.outcome(report);
    figures(&mut run, &points, &fresh, settings.uncounted);
    run.extra.insert("idle_server_busy".to_owned(), idle);
    let count = float(all.connections);
    run.extra.insert("handshakes_per_s".to_owned(), count / opening.took.as_secs_f64());
    run.extra.insert("handshake_cpu_us".to_owned(), float(opening.cpu_ns) / count / 1e3);
    Ok((run, points))
}

/// What opening took over all steps.
#[derive(Default)]
struct Opening {
    took: Duration,
    cpu_ns: u64,
}

impl Opening {
    fn add(&mut self, after: &Usage, before: &Usage, took: Duration) {
        self.took += took;
        self.cpu_ns += after.cpu_since(before);
    }
}

/// Opens connections and lets things settle; how long the opening took.
fn open(load: &LoadArgs, settle: Duration) -> Result<(Fleet, Duration), ScenarioError> {
    let mut line = ProgressLine::new();
    let plans = load::plans(load)?;
    let began = Instant::now();
    let mut fleet = Fleet::launch(&plans)?;
    fleet.ready(|progress| line.show("connecting", load.connections, progress))?;
    let took = began.elapsed();
    fleet.pass(Instant::now() + settle, |progress| {
        line.show("settling", load.connections, progress);
        Go::On
    })?;
    line.clear();
    Ok((fleet, took))
}

/// The share of a core that the server uses while everybody waits.
fn idle(running: &Running, fleets: &mut [Fleet], wait: Duration) -> Result<f64, ScenarioError> {
    let (before, began) = (running.usage()?, Instant::now());
    if let Some(fleet) = fleets.last_mut() {
        fleet.pass(began + wait, |_| Go::On)?;
    }
    let used = running.usage()?.cpu_since(&before);
    Ok(float(used) / 1e9 / began.elapsed().as_secs_f64())
}

fn read(running: &Running, connections: u64) -> Result<Point, ScenarioError> {
    Ok(Point { connections, server: running.usage()?, machine: MachineMemory::read()? })
}

fn figures(run: &mut Run, points: &[Point], fresh: &Usage, uncounted: u64) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let per =
        |after: u64, before: u64| (float(after) - float(before)) / float(last.connections.max(1));
    let kernel = |point: &Point| point.machine.slab + point.machine.tcp;
    let mut put = |name: &str, value: f64| run.extra.insert(name.to_owned(), value);
    put("user_bytes_per_connection", per(last.server.pss, first.server.pss));
    // Both ends of each: the clients are on this machine.
    put("kernel_bytes_per_connection", per(kernel(last), kernel(first)));
    put("available_bytes_per_connection", per(first.machine.available, last.machine.available));
    if uncounted > 0 {
        // What the first connections cost beyond what the later ones do.
        let each = per(last.server.pss, first.server.pss);
        let once = float(first.server.pss) - float(fresh.pss) - each * float(uncounted);
        put("once_bytes", once);
    }
}

fn lines(kind: Kind, points: &[Point]) -> [Line; 2] {
    let Some(first) = points.first().copied() else { return Default::default() };
    let line = |name: &str, value: &dyn Fn(&Point) -> f64| Line {
        name: format!("{kind}, {name}"),
        points: points
            .iter()
            .map(|point| (float(point.connections), (value(point) - value(&first)) / 1_048_576.0))
            .collect(),
    };
    [
        line("user", &|point| float(point.server.pss)),
        line("kernel, both ends", &|point| float(point.machine.slab + point.machine.tcp)),
    ]
}
