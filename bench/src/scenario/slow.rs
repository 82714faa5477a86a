//! `slow`: some of the connections stop reading, or read as a slow link does; what does that cost the
//! others? Runs with and without them, in turn, and the ratio of the others' latencies.

use serde::Deserialize;

use super::expect::Expect;
use super::offer::Offer;
use super::trial::Trial;
use super::{Options, Scenario, ScenarioError};
use crate::generator::load::LoadArgs;
use crate::record::{Offered, Record, Table, float};
use crate::server::{Kind, Running};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "super::tickcast")]
    servers: Vec<Kind>,
    #[serde(default = "super::three")]
    rounds: u32,
    /// All connections, held back or not.
    load: Offer,
    #[serde(default)]
    held: Held,
    #[serde(default)]
    expect: Expect,
}

/// Who is held back, and how.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Held {
    /// Connections that stop reading when the window begins.
    #[serde(default)]
    stalled: u64,
    /// Connections that read this much a second.
    #[serde(default)]
    slow: u64,
    #[serde(default)]
    slow_bytes_per_s: u64,
    /// Receive buffers of both; the kernel's own choice swallows megabytes before a server notices.
    receive_buffer: Option<usize>,
}

const WITHOUT: &str = "without";
const WITH: &str = "with";

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let mut settings: Settings = scenario.settings()?;
    if let Some(duration) = options.duration {
        settings.load.duration = duration;
    }
    let held = settings.held;
    let complaint = settings.load.complaint().or_else(|| held.complaint(&settings.load));
    scenario.refuse(complaint)?;
    let servers = options.server.clone().unwrap_or_else(|| settings.servers.clone());
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for kind in &servers {
            for variant in [WITHOUT, WITH] {
                let trial = settings.trial(*kind, variant, round);
                record.runs.push(trial.run_asking(blocked)?);
            }
        }
    }
    record.summarise();
    record.tables.push(ratios(record, &servers));
    Ok(())
}

impl Held {
    const fn all(self) -> u64 {
        self.stalled + self.slow
    }

    fn complaint(self, load: &Offer) -> Option<String> {
        if self.all() == 0 {
            return Some("[held] holds nobody back: give stalled or slow".to_owned());
        }
        if self.all() >= load.connections {
            return Some(format!("{} of {} are held back", self.all(), load.connections));
        }
        (self.slow > 0 && self.slow_bytes_per_s == 0)
            .then(|| "slow connections need slow-bytes-per-s".to_owned())
    }
}

impl Settings {
    fn trial(&self, kind: Kind, variant: &str, round: u32) -> Trial {
        // Without them the others are as many as with them, not more.
        let others = self.load.connections - self.held.all();
        let alone = Offer { connections: others, ..self.load.clone() };
        let load = match variant {
            WITHOUT => alone.load(),
            _ => LoadArgs {
                stall: Some(self.held.stalled),
                stall_after: 0.0,
                stall_buffer: self.held.receive_buffer,
                slow: Some(self.held.slow),
                slow_rate: self.held.slow_bytes_per_s,
                ..self.load.load()
            },
        };
        Trial {
            spec: self.load.spec(kind),
            offered: Offered { connections: load.connections, ..alone.offered() },
            load,
            // A server may well part with those who do not read.
            expect: Expect { closed_max: self.expect.closed_max + self.held.all(), ..self.expect },
            variant: variant.to_owned(),
            round,
        }
    }
}

/// How many connections the server itself holds for blocked at the window's end, where it says so.
fn blocked(running: &Running) -> Vec<(String, f64)> {
    let blocked = running.metric("tickcast_sessions_blocked");
    blocked.map(|count| ("blocked_connections".to_owned(), count)).into_iter().collect()
}

fn ratios(record: &Record, servers: &[Kind]) -> Table {
    let mut rows = Vec::new();
    for kind in servers {
        let of = |variant| record.summary_of(kind.name(), variant);
        let (Some(without), Some(with)) = (of(WITHOUT), of(WITH)) else { continue };
        for figure in ["p50_ns", "p99_ns"] {
            let (Some(a), Some(b)) = (without.median(figure), with.median(figure)) else {
                continue;
            };
            rows.push(vec![
                kind.to_string(),
                figure.trim_end_matches("_ns").to_owned(),
                format!("{:.2} ms", a / 1e6),
                format!("{:.2} ms", b / 1e6),
                format!("{:.2}", b / a.max(float(1))),
            ]);
        }
    }
    Table {
        title: "Latency of the connections that read, without and with the others".to_owned(),
        columns: ["server", "", "without", "with", "ratio"].map(str::to_owned).to_vec(),
        rows,
    }
}
