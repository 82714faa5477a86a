//! `hostile`: connections that mean harm beside subscribers that do not. What does it cost those?
//!
//! For each kind two runs beside the same subscribers: the hostile connections are sent to the server, or to one on
//! the same core that only accepts. What the second costs is the kernel's and the core's; what the first costs beyond it
//! is the server's. Afterwards all hostile connections end, and everything that was taken for them must be given back.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::expect::Expect;
use super::offer::Offer;
use super::trial::Trial;
use super::{Options, Scenario, ScenarioError};
use crate::hostile::{HostileArgs, Kind as Harm, Process};
use crate::record::{Record, Table, float};
use crate::server::{Kind, Running};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "super::three")]
    rounds: u32,
    /// Of those that mean no harm.
    load: Offer,
    #[serde(default)]
    hostile: Hostile,
    #[serde(default)]
    expect: Expect,
}

/// Of those that do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Hostile {
    kinds: Vec<Harm>,
    connections: usize,
    /// How many begin in a second.
    rate: f64,
}

impl Default for Hostile {
    fn default() -> Self {
        Self { kinds: Harm::ALL.to_vec(), connections: 10_000, rate: 1_000.0 }
    }
}

/// Whom they connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    AcceptOnly,
    Server,
}

impl Aim {
    const fn name(self) -> &'static str {
        match self {
            Self::AcceptOnly => "accept-only",
            Self::Server => "server",
        }
    }
}

fn variant(kind: Harm, aim: Aim) -> String {
    format!("{} at {}", kind.name(), aim.name())
}

/// How much higher the subscribers' p99 may be.
const RATIO_MAX: f64 = 1.5;

/// How long a server may take to give everything back.
const RELEASE_MAX: Duration = Duration::from_mins(1);

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let mut settings: Settings = scenario.settings()?;
    if let Some(duration) = options.duration {
        settings.load.duration = duration;
    }
    scenario.refuse(settings.load.complaint())?;
    let is_wanted =
        |kind: &&Harm| options.variant.as_ref().is_none_or(|part| kind.name().contains(part));
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for kind in settings.hostile.kinds.iter().filter(is_wanted) {
            for aim in [Aim::AcceptOnly, Aim::Server] {
                settings.trial(*kind, aim, round, record)?;
            }
        }
    }
    record.summarise();
    record.tables.push(table(record, &settings.hostile.kinds));
    Ok(())
}

impl Settings {
    fn trial(
        &self,
        kind: Harm,
        aim: Aim,
        round: u32,
        record: &mut Record,
    ) -> Result<(), ScenarioError> {
        let trial = Trial {
            spec: self.load.spec(Kind::Tickcast),
            offered: self.load.offered(),
            load: self.load.load(),
            expect: self.expect,
            variant: variant(kind, aim),
            round,
        };
        let core = self.load.server_cores.first().copied().unwrap_or(0);
        let acceptor = match aim {
            Aim::AcceptOnly => Some(Process::accept_only(core)?),
            Aim::Server => None,
        };
        let at = acceptor.as_ref().map(|(_, address)| *address);
        let harm = RefCell::new(None);
        let begin = |running: &Running| {
            let to = at.map_or_else(|| address(running), Ok)?;
            *harm.borrow_mut() = Some(Process::hostile(&HostileArgs {
                to,
                kind,
                connections: self.hostile.connections,
                rate: self.hostile.rate,
                topic: "S0.quote".to_owned(),
                seconds: 120.0,
                cpu: Some(self.load.client_core),
            })?);
            Ok(())
        };
        let before = RefCell::new(None);
        let run = trial.run_beside(
            |running| {
                *before.borrow_mut() = Some(Held::by(running));
                begin(running)
            },
            |running| {
                let (before, during) = (before.take().unwrap_or_default(), Held::by(running));
                let mut figures = during.beyond(&before);
                // Ended here, they end before the load does.
                if let Some(Ok((begun, refused))) = harm.take().map(Process::stop) {
                    figures.push(("hostile_begun".to_owned(), float(begun)));
                    figures.push(("hostile_refused".to_owned(), float(refused)));
                }
                figures.extend(release(running, &before));
                figures
            },
        )?;
        record.runs.push(run);
        Ok(())
    }
}

/// Where a server's clients connect.
fn address(running: &Running) -> Result<SocketAddr, ScenarioError> {
    let authority = running.url().split('/').nth(2).unwrap_or_default();
    authority.parse().map_err(|_| ScenarioError::Address(running.url().to_owned()))
}

/// What a server holds at a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    sessions: f64,
    handshakes: f64,
    kept_bytes: f64,
    descriptors: f64,
    pss: f64,
}

impl Held {
    fn by(running: &Running) -> Self {
        let metric = |name| running.metric(name).unwrap_or(0.0);
        Self {
            sessions: metric("tickcast_sessions"),
            handshakes: metric("tickcast_handshakes"),
            kept_bytes: metric("tickcast_kept_bytes"),
            descriptors: float(running.descriptors()),
            pss: running.usage().map_or(0.0, |usage| float(usage.pss)),
        }
    }

    /// What it has taken since.
    fn beyond(&self, before: &Self) -> Vec<(String, f64)> {
        [
            ("hostile_sessions", self.sessions - before.sessions),
            ("hostile_handshakes", self.handshakes),
            ("hostile_kept_bytes", self.kept_bytes),
            ("memory_taken_bytes", self.pss - before.pss),
        ]
        .map(|(name, figure)| (name.to_owned(), figure))
        .to_vec()
    }

    fn is_back_at(&self, before: &Self) -> bool {
        self.sessions <= before.sessions
            && self.handshakes == 0.0
            && self.kept_bytes <= before.kept_bytes
            // The look itself takes one or two, in each table.
            && self.descriptors <= before.descriptors + 16.0
    }
}

/// How long it takes until everything is given back; none if it is not.
fn release(running: &Running, before: &Held) -> Vec<(String, f64)> {
    let began = Instant::now();
    let mut figures = Vec::new();
    while began.elapsed() < RELEASE_MAX {
        let now = Held::by(running);
        if now.is_back_at(before) {
            let ms = began.elapsed().as_secs_f64() * 1e3;
            figures.push(("released_after_ms".to_owned(), ms));
            figures.push(("memory_left_bytes".to_owned(), now.pss - before.pss));
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    figures
}

fn table(record: &Record, kinds: &[Harm]) -> Table {
    let mut rows = Vec::new();
    for kind in kinds {
        let of = |aim| record.summary_of(Kind::Tickcast.name(), &variant(*kind, aim));
        let (Some(there), Some(here)) = (of(Aim::AcceptOnly), of(Aim::Server)) else { continue };
        let (Some(a), Some(b)) = (there.median("p99_ns"), here.median("p99_ns")) else { continue };
        let ratio = b / a.max(1.0);
        let mib = |name| {
            here.median(name).map_or_else(String::new, |b| format!("{:.1}", b / 1_048_576.0))
        };
        let released = here.median("released_after_ms");
        rows.push(vec![
            kind.name().to_owned(),
            format!("{:.2} ms", a / 1e6),
            format!("{:.2} ms", b / 1e6),
            format!("{ratio:.2}{}", if ratio > RATIO_MAX { " (!)" } else { "" }),
            mib("memory_taken_bytes"),
            mib("memory_left_bytes"),
            released.map_or_else(|| "not".to_owned(), |ms| format!("{ms:.0} ms")),
        ]);
    }
    Table {
        title: "The subscribers' p99 beside hostile connections".to_owned(),
        columns: [
            "",
            "at accept-only",
            "at the server",
            "ratio",
            "MiB taken",
            "MiB left",
            "released",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}
