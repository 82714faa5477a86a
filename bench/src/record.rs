//! A record: everything that running one scenario found, as it is kept in `DIR/<scenario>.json`.
//!
//! `scenario` writes it, `report` draws it. A record is complete in itself: what was asked, on which
//! machine, by which commit, every run with its whole histogram, and the medians over rounds.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::generator::report::Report;
use crate::server::Usage;

/// See the module's documentation.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) scenario: About,
    pub(crate) machine: Machine,
    /// The commit of the working tree, `+` behind it if files differed.
    pub(crate) commit: String,
    /// When it was written, seconds since 1970.
    pub(crate) at_s: u64,
    /// In the order in which they were made.
    pub(crate) runs: Vec<Run>,
    /// Medians over the rounds of each server and variant.
    pub(crate) summary: Vec<Summary>,
    /// Figures of kinds that are not loads.
    #[serde(default)]
    pub(crate) tables: Vec<Table>,
    #[serde(default)]
    pub(crate) series: Vec<Series>,
    /// What was found beside, in sentences: a search's result, why something stopped.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
}

/// The scenario that was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The file's name without its ending.
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) why: String,
    /// The rest of the file.
    pub(crate) settings: Value,
}

/// Where it was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
}

/// One load on one server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) server: String,
    /// What sets it apart from other runs of the scenario: a sweep's point, `with` and `without`.
    pub(crate) variant: String,
    /// From 1.
    pub(crate) round: u32,
    pub(crate) offered: Offered,
    pub(crate) report: Option<Report>,
    pub(crate) server_usage: Option<ServerUsage>,
    /// Why its figures are not what they claim to be; none if all was as expected.
    pub(crate) failures: Vec<String>,
    /// Further figures of its kind, by names with their units.
    pub(crate) extra: BTreeMap<String, f64>,
}

/// What was asked of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Offered {
    pub(crate) connections: u64,
    pub(crate) topics: u64,
    pub(crate) per_connection: u64,
    /// Ticks a second over all topics.
    pub(crate) rate: f64,
    /// What must reach clients if nothing is conflated.
    pub(crate) deliveries_per_s: f64,
    pub(crate) duration_s: f64,
}

/// What the server used within the measured window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerUsage {
    pub(crate) cpu_ns: u64,
    pub(crate) wall_ns: u64,
    /// Cores used: 1 is a whole one.
    pub(crate) busy: f64,
    /// CPU time for a million messages that clients received.
    pub(crate) cpu_ms_per_million: f64,
    /// Before the first connection, and at the window's end, bytes.
    pub(crate) pss_before: u64,
    pub(crate) pss_after: u64,
    pub(crate) rss_after: u64,
    pub(crate) threads: u64,
    /// Cores that the publisher used.
    pub(crate) publisher_busy: f64,
}

/// Median and spread over rounds of each figure of a server and variant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) server: String,
    pub(crate) variant: String,
    pub(crate) offered: Offered,
    pub(crate) rounds: u32,
    /// Rounds that failed; their figures are in the medians all the same.
    pub(crate) failed: u32,
    /// By name with unit: `p50_ns`, `messages_per_s`, `cpu_ms_per_million` and so on.
    pub(crate) figures: BTreeMap<String, Figure>,
}

/// A figure over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// A table as it is to be shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// A plot as it is to be drawn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) title: String,
    /// Axes, with units.
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) lines: Vec<Line>,
}

/// A named line of a plot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Why a record cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RecordError {
    #[error("{0}: {1}")]
    File(PathBuf, #[source] io::Error),
    #[error("{0}: not a record: {1}")]
    Form(PathBuf, #[source] serde_json::Error),
}

impl Record {
    pub(crate) fn new(scenario: About) -> Self {
        Self {
            scenario,
            machine: Machine::here(),
            commit: commit(),
            at_s: crate::clock::realtime_ns() / 1_000_000_000,
            runs: Vec::new(),
            summary: Vec::new(),
            tables: Vec::new(),
            series: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Computes [`Self::summary`] from the runs.
    pub(crate) fn summarise(&mut self) {
        self.summary.clear();
        let mut keys: Vec<(&str, &str)> = Vec::new();
        for run in &self.runs {
            let key = (run.server.as_str(), run.variant.as_str());
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let of = |(server, variant): (&str, &str)| {
            let runs = self.runs.iter();
            let runs: Vec<&Run> =
                runs.filter(|run| run.server == server && run.variant == variant).collect();
            Summary::of(&runs)
        };
        self.summary = keys.into_iter().map(of).collect();
    }

    /// The summary of one server's variant.
    pub(crate) fn summary_of(&self, server: &str, variant: &str) -> Option<&Summary> {
        self.summary.iter().find(|one| one.server == server && one.variant == variant)
    }

    /// Writes it as `folder/<scenario>.json`.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, RecordError> {
        let path = folder.join(format!("{}.json", self.scenario.name));
        let failed = |error| RecordError::File(path.clone(), error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let text =
            serde_json::to_string(self).map_err(|error| RecordError::Form(path.clone(), error))?;
        std::fs::write(&path, text + "\n").map_err(failed)?;
        Ok(path)
    }

    pub(crate) fn read(path: &Path) -> Result<Self, RecordError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| RecordError::File(path.to_owned(), error))?;
        serde_json::from_str(&text).map_err(|error| RecordError::Form(path.to_owned(), error))
    }
}

impl Run {
    /// Its figures by name, as they are summed up.
    pub(crate) fn figures(&self) -> BTreeMap<String, f64> {
        let mut figures = self.extra.clone();
        let mut put = |name: &str, value: f64| {
            figures.insert(name.to_owned(), value);
        };
        if let Some(report) = &self.report {
            let latency = &report.latency;
            // Where nothing came there is no latency, not one of 0, which would be the best of all.
            if latency.count > 0 {
                put("p50_ns", float(latency.p50_ns));
                put("p90_ns", float(latency.p90_ns));
                put("p99_ns", float(latency.p99_ns));
                put("p999_ns", float(latency.p999_ns));
                put("max_ns", float(latency.max_ns));
            }
            put("messages_per_s", report.messages_per_s);
            put("skipped", float(report.accounting.skipped));
            put("generator_busy", report.busiest());
        }
        if let Some(usage) = &self.server_usage {
            put("server_busy", usage.busy);
            if self.report.as_ref().is_none_or(|report| report.traffic.messages_in_window > 0) {
                put("cpu_ms_per_million", usage.cpu_ms_per_million);
            }
            put("pss_bytes", float(usage.pss_after));
        }
        figures
    }
}

impl Summary {
    fn of(runs: &[&Run]) -> Self {
        let Some(first) = runs.first() else { return Self::default() };
        let mut values = BTreeMap::<String, Vec<f64>>::new();
        for run in runs {
            for (name, value) in run.figures() {
                values.entry(name).or_default().push(value);
            }
        }
        let count = |is: fn(&Run) -> bool| {
            u32::try_from(runs.iter().filter(|run| is(run)).count()).unwrap_or(u32::MAX)
        };
        Self {
            server: first.server.clone(),
            variant: first.variant.clone(),
            offered: first.offered,
            rounds: count(|_| true),
            failed: count(|run| !run.failures.is_empty()),
            figures: values
                .into_iter()
                .filter_map(|(name, values)| Some((name, Figure::of(values)?)))
                .collect(),
        }
    }

    /// The median of a figure.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.figures.get(name).map(|figure| figure.median)
    }
}

impl Figure {
    /// None of no values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

impl Machine {
    pub(crate) fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Self {
            cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_bytes: kib.unwrap_or(0) << 10,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// The working tree's commit; empty where there is none.
fn commit() -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").arg("-C").arg(folder).args(args).output();
        let output = output.ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return String::new() };
    let is_clean = git(&["status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|changes| changes.is_empty());
    if is_clean { commit } else { commit + "+" }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: 53 bits are plenty")]
pub(crate) const fn float(value: u64) -> f64 {
    value as f64
}

impl ServerUsage {
    /// Of readings around the window and what was received within it.
    pub(crate) fn between(
        before: &Usage,
        begin: &Usage,
        end: &Usage,
        wall_ns: u64,
        messages: u64,
    ) -> Self {
        let cpu_ns = end.cpu_since(begin);
        Self {
            cpu_ns,
            wall_ns,
            busy: float(cpu_ns) / float(wall_ns.max(1)),
            cpu_ms_per_million: float(cpu_ns) / float(messages.max(1)),
            pss_before: before.pss,
            pss_after: end.pss,
            rss_after: end.rss,
            threads: end.threads,
            publisher_busy: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(server: &str, round: u32, figure: f64) -> Run {
        Run {
            server: server.to_owned(),
            variant: String::new(),
            round,
            offered: Offered { connections: 5, ..Offered::default() },
            report: None,
            server_usage: None,
            failures: if figure > 90.0 { vec!["late".to_owned()] } else { Vec::new() },
            extra: BTreeMap::from([("figure".to_owned(), figure)]),
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let figure = |values: &[f64]| Figure::of(values.to_vec());
        assert_eq!(figure(&[]), None);
        assert_eq!(figure(&[3.0]), Some(Figure { median: 3.0, min: 3.0, max: 3.0 }));
        assert_eq!(figure(&[9.0, 1.0, 2.0]).unwrap().median, 2.0);
        let even = Figure { median: 2.5, min: 1.0, max: 9.0 };
        assert_eq!(figure(&[9.0, 1.0, 2.0, 3.0]), Some(even));
    }

    #[test]
    fn a_round_in_which_nothing_came_has_no_latency() {
        use crate::generator::report::Expect;
        let nothing = Report::new(BTreeMap::new(), Expect::Messages, &[]);
        let run = Run { report: Some(nothing), ..run("a", 1, 1.0) };
        let figures = run.figures();
        assert!(!figures.contains_key("p99_ns"), "{figures:?}");
        assert_eq!(figures["messages_per_s"], 0.0);
    }

    #[test]
    fn rounds_of_each_server_are_summed_up_apart() {
        let mut record = Record::new(About::default());
        let figures = [("a", 1, 1.0), ("b", 1, 50.0), ("a", 2, 3.0), ("b", 2, 99.0), ("a", 3, 2.0)];
        record.runs.extend(figures.map(|(server, round, value)| run(server, round, value)));
        record.summarise();
        assert_eq!(record.summary.len(), 2);
        let (a, b) = (record.summary_of("a", "").unwrap(), record.summary_of("b", "").unwrap());
        assert_eq!((a.rounds, a.failed, a.median("figure")), (3, 0, Some(2.0)));
        assert_eq!((b.rounds, b.failed, b.median("figure")), (2, 1, Some(74.5)));
        assert_eq!(a.offered.connections, 5);
        record.summarise();
        assert_eq!(record.summary.len(), 2, "it can be done again");
    }

    #[test]
    fn a_record_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let about = About { name: "some".to_owned(), ..About::default() };
        let mut record = Record::new(about);
        record.runs.push(run("a", 1, 1.0));
        record.summarise();
        let path = record.write(&folder.path().join("deep")).unwrap();
        let back = Record::read(&path).unwrap();
        assert_eq!((back.scenario, back.machine), (record.scenario, record.machine));
        assert_eq!(back.summary, record.summary);
        std::fs::write(&path, "{}").unwrap();
        let error = Record::read(&path).err().unwrap().to_string();
        assert!(error.contains("some.json: not a record: missing field"), "{error}");
    }
}
