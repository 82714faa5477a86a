//! `million`: as many sockets as asked for, each with at least one tick, and where the memory went.
//!
//! Clients are on the same machine, in as many processes and from as many addresses as it takes. It
//! stops by itself when memory runs low, and then says how many fitted.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::expect::{Delivered, Expect};
use super::offer::Offer;
use super::trial::Trial;
use super::{Options, Scenario, ScenarioError};
use crate::generator::fleet::{Fleet, Go};
use crate::generator::load::{self, LoadArgs, ProgressLine};
use crate::generator::plan::Progress;
use crate::generator::report::{self, Report};
use crate::record::{Record, Run, Table, float};
use crate::server::{self, Kind, MachineMemory, Usage};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "super::tickcast")]
    servers: Vec<Kind>,
    #[serde(default = "one")]
    rounds: u32,
    load: Offer,
    /// No more are opened when less memory than this is available.
    #[serde(default = "gibibyte")]
    available_min_bytes: u64,
    /// Seconds, once all are open, for the last to get its first tick.
    #[serde(default = "minute")]
    patience: f64,
}

const fn one() -> u32 {
    1
}

const fn gibibyte() -> u64 {
    1 << 30
}

const fn minute() -> f64 {
    60.0
}

/// How often a line says how far it is, where nobody watches a terminal.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Before memory is read: what starting and opening took for a moment is given back.
const SETTLE: Duration = Duration::from_secs(3);

/// Memory before and with all connections.
struct Memory {
    server: Usage,
    clients: Usage,
    machine: MachineMemory,
}

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let settings: Settings = scenario.settings()?;
    scenario.refuse(settings.load.complaint())?;
    for (round, kind) in options.turns(settings.rounds, &settings.servers) {
        let run = one_run(&settings, kind, round, record)?;
        for failure in &run.failures {
            eprintln!("  failed: {failure}");
        }
        record.runs.push(run);
    }
    Ok(())
}

fn one_run(
    settings: &Settings,
    kind: Kind,
    round: u32,
    record: &mut Record,
) -> Result<Run, ScenarioError> {
    let offer = &settings.load;
    let trial = Trial {
        spec: offer.spec(kind),
        load: offer.load(),
        offered: offer.offered(),
        expect: Expect { delivered: Delivered::OneEach, ..Expect::default() },
        variant: String::new(),
        round,
    };
    let mut running = server::start(&trial.spec)?;
    let load = LoadArgs { patience: 120.0, ..running.aim(trial.load.clone()) };
    std::thread::sleep(SETTLE);
    let before = Memory {
        server: running.usage()?,
        clients: Usage::default(),
        machine: MachineMemory::read()?,
    };
    let began = Instant::now();
    let mut fleet = Fleet::launch(&load::plans(&load)?)?;
    let mut watch = Watch::new(offer.connections, settings.available_min_bytes);
    let opened = fleet.ready_or_enough(|progress| watch.look("connecting", progress))?;
    let ramp = began.elapsed();
    running.start_publisher()?;
    let patience = load::seconds("patience", settings.patience)?;
    fleet.pass(Instant::now() + patience, |progress| {
        watch.look("receiving", progress);
        if progress.receiving >= progress.open { Go::Stop } else { Go::On }
    })?;
    fleet.pass(Instant::now() + SETTLE, |progress| watch.look("settling", progress))?;
    watch.line.clear();
    let during = Memory {
        server: running.usage()?,
        clients: fleet.usage(),
        machine: MachineMemory::read()?,
    };
    let progress = fleet.progress();
    let reports = fleet.finish()?;
    let report = Report::new(std::collections::BTreeMap::new(), report::Expect::Messages, &reports);
    let mut run = trial.outcome(report);
    if let Some(available) = watch.stopped_at {
        record.notes.push(format!(
            "{kind}: stopped at {} connections: {} MiB of memory were left",
            opened.open,
            available >> 20
        ));
        // It is not the server that refused them.
        run.failures.retain(|failure| !failure.ends_with("connections opened"));
    }
    run.extra.insert("ramp_s".to_owned(), ramp.as_secs_f64());
    run.extra.insert("open".to_owned(), float(progress.open));
    run.extra.insert("receiving".to_owned(), float(progress.receiving));
    account(&mut run, record, kind, (&before, &during), progress);
    Ok(run)
}

/// Watches progress and memory while connections open.
struct Watch {
    wanted: u64,
    available_min: u64,
    line: ProgressLine,
    said: Instant,
    /// What was available when it became too little.
    stopped_at: Option<u64>,
}

impl Watch {
    fn new(wanted: u64, available_min: u64) -> Self {
        let line = ProgressLine::new();
        Self { wanted, available_min, line, said: Instant::now(), stopped_at: None }
    }

    fn look(&mut self, stage: &str, progress: Progress) -> Go {
        self.line.show(stage, self.wanted, progress);
        let available = MachineMemory::read().map_or(u64::MAX, |memory| memory.available);
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            eprintln!(
                "  {stage}: {} of {} open, {} receiving, {} failed, {} MiB available",
                progress.open,
                self.wanted,
                progress.receiving,
                progress.failed,
                available >> 20
            );
        }
        if stage == "connecting" && available < self.available_min && self.stopped_at.is_none() {
            self.stopped_at = Some(available);
        }
        if self.stopped_at.is_some() { Go::Stop } else { Go::On }
    }
}

/// Where the memory went: in the run's figures and as a table.
fn account(
    run: &mut Run,
    record: &mut Record,
    kind: Kind,
    (before, during): (&Memory, &Memory),
    progress: Progress,
) {
    let sockets = float(progress.open.max(1));
    let grown = |during: u64, before: u64| float(during.saturating_sub(before));
    let parts = [
        ("server", "server_bytes", grown(during.server.pss, before.server.pss)),
        ("clients", "client_bytes", grown(during.clients.pss, before.clients.pss)),
        ("kernel, slabs", "kernel_slab_bytes", grown(during.machine.slab, before.machine.slab)),
        ("kernel, TCP buffers", "kernel_tcp_bytes", grown(during.machine.tcp, before.machine.tcp)),
        (
            "the machine, all told",
            "machine_bytes",
            grown(before.machine.available, during.machine.available),
        ),
    ];
    let mut rows = Vec::new();
    for (title, name, bytes) in parts {
        run.extra.insert(name.to_owned(), bytes);
        run.extra.insert(format!("{name}_per_connection"), bytes / sockets);
        let row = [
            title.to_owned(),
            format!("{:.0} MiB", bytes / 1_048_576.0),
            format!("{:.0}", bytes / sockets),
        ];
        eprintln!("  {:<24} {:>12} {:>8} bytes each", row[0], row[1], row[2]);
        rows.push(row.to_vec());
    }
    record.tables.push(Table {
        title: format!(
            "{kind}: memory of {} connections, {} of them with a tick",
            progress.open, progress.receiving
        ),
        columns: ["where", "all", "bytes per connection"].map(str::to_owned).to_vec(),
        rows,
    });
}
