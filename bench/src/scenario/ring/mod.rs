//! `ring`: our ring and what else could be in its place, cell by cell, all contenders in turn.
//!
//! A cell is one measurement of one contender: what publishing and reading cost on one thread, how many
//! records a second reach every reader, how long one record takes there and back. With more readers than
//! one, readers share a core and give it away when they find nothing; the tables say so.

mod contender;
mod contenders;
mod measure;
mod tables;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use self::contender::Idle;
use self::contenders::Contender;
use self::measure::{Cores, Publishing, SameThread, Throughput, ping};
use super::{Options, Scenario, ScenarioError};
use crate::record::{Offered, Record, Run, float};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "all")]
    contenders: Vec<Contender>,
    /// Records that fit: a power of two.
    capacity: usize,
    readers: Vec<usize>,
    rounds: u32,
    duration: f64,
    pings: u64,
    cores: Cores,
}

fn all() -> Vec<Contender> {
    Contender::ALL.to_vec()
}

/// One thing that is measured of each contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    SameThread(Publishing),
    Throughput(Publishing, usize),
    Ping,
}

/// The largest buffer: 2^20 records are 128 MiB, and several exist at once in a ping.
const CAPACITY_MAX: usize = 1 << 20;

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let mut settings: Settings = scenario.settings()?;
    settings.rounds = options.rounds.unwrap_or(settings.rounds);
    settings.duration = options.duration.unwrap_or(settings.duration);
    if let Some(complaint) = settings.complaint() {
        return Err(scenario.senseless(complaint));
    }
    let cells = settings.cells();
    for round in 1..=settings.rounds {
        eprintln!("{}: round {round} of {}", scenario.name, settings.rounds);
        for cell in &cells {
            let variant = cell.name();
            if options.variant.as_ref().is_some_and(|part| !variant.contains(part)) {
                continue;
            }
            for contender in &settings.contenders {
                if let Some(run) = settings.measure(*cell, *contender, round) {
                    record.runs.push(run);
                }
            }
        }
    }
    record.summarise();
    record.tables = tables::tables(record, &cells, &settings.contenders);
    record.series = tables::series(record, &cells, &settings.contenders);
    record.notes.push(
        "Every reader checks the number of each record and adds up its 15 words. “paced” and all \
         others wait for the slowest reader and lose nothing; “unpaced” is the ring as the gateway \
         uses it, whose writer never looks at a reader."
            .to_owned(),
    );
    Ok(())
}

impl Settings {
    fn complaint(&self) -> Option<&'static str> {
        let Self { capacity, readers, duration, .. } = self;
        if !capacity.is_power_of_two() || !(1024..=CAPACITY_MAX).contains(capacity) {
            return Some("capacity is a power of two from 1,024 to 1,048,576");
        }
        if readers.iter().any(|readers| !(1..=64).contains(readers)) {
            return Some("readers are 1 to 64");
        }
        if !(0.001..=60.0).contains(duration) {
            return Some("duration is 0.001 to 60 seconds");
        }
        None
    }

    fn cells(&self) -> Vec<Cell> {
        let publishing = [Publishing::Single, Publishing::Batch];
        let mut cells: Vec<Cell> = publishing.map(Cell::SameThread).to_vec();
        for readers in &self.readers {
            cells.extend(publishing.map(|publishing| Cell::Throughput(publishing, *readers)));
        }
        cells.push(Cell::Ping);
        cells
    }

    /// None: this contender has no such cell.
    fn measure(&self, cell: Cell, contender: Contender, round: u32) -> Option<Run> {
        let duration = Duration::from_secs_f64(self.duration);
        let mut failures = Vec::new();
        let extra: BTreeMap<&str, f64> = match cell {
            Cell::SameThread(publishing) => {
                let job = SameThread { publishing, core: self.cores[0], duration };
                let costs = contender.with(self.capacity, 1, job);
                [("publish_ns", costs.publish_ns), ("read_ns", costs.read_ns)].into()
            }
            // It loses records where a writer is faster than a reader: not the same duty.
            Cell::Throughput(..) if contender == Contender::RingUnpaced => return None,
            Cell::Throughput(publishing, readers) => {
                let idle = if readers == 1 { Idle::Spin } else { Idle::Yield };
                let job = Throughput { publishing, idle, cores: self.cores, duration };
                let flow = contender.with(self.capacity, readers, job);
                if flow.broken > 0 {
                    failures.push(format!("{} records out of order or not read", flow.broken));
                }
                [("records_per_s", flow.records_per_s)].into()
            }
            Cell::Ping => {
                let ns = ping(contender, self.capacity, self.cores, self.pings);
                let at = |quantile| float(ns.value_at_quantile(quantile));
                [("p50_ns", at(0.5)), ("p99_ns", at(0.99)), ("p999_ns", at(0.999))].into()
            }
        };
        Some(Run {
            server: contender.name().to_owned(),
            variant: cell.name(),
            round,
            offered: Offered { duration_s: self.duration, ..Offered::default() },
            report: None,
            server_usage: None,
            failures,
            extra: extra.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        })
    }
}

impl Cell {
    fn name(self) -> String {
        let how = |publishing| match publishing {
            Publishing::Single => "one by one",
            Publishing::Batch => "in batches",
        };
        match self {
            Self::SameThread(publishing) => format!("one thread, {}", how(publishing)),
            Self::Throughput(publishing, 1) => format!("1 reader, {}", how(publishing)),
            Self::Throughput(publishing, readers) => {
                format!("{readers} readers on one core, {}", how(publishing))
            }
            Self::Ping => "there and back".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            contenders: all(),
            capacity: 1024,
            readers: vec![1, 2],
            rounds: 1,
            duration: 0.002,
            pings: 50,
            cores: [0, 0],
        }
    }

    #[test]
    fn every_contender_hands_every_record_to_every_reader() {
        let settings = settings();
        for contender in all() {
            for publishing in [Publishing::Single, Publishing::Batch] {
                let job = || Throughput {
                    publishing,
                    // The threads may have to share a core here.
                    idle: Idle::Yield,
                    cores: settings.cores,
                    duration: Duration::from_millis(2),
                };
                for readers in [1, 3] {
                    if contender == Contender::RingUnpaced {
                        continue;
                    }
                    let flow = contender.with(settings.capacity, readers, job());
                    assert_eq!(flow.broken, 0, "{contender:?} {publishing:?} {readers}");
                    assert!(flow.records_per_s > 0.0);
                }
            }
        }
    }

    #[test]
    fn costs_on_one_thread_are_of_all_contenders() {
        let settings = settings();
        for contender in all() {
            let cell = Cell::SameThread(Publishing::Batch);
            let run = settings.measure(cell, contender, 1).unwrap();
            assert!(run.extra["publish_ns"] > 0.0 && run.extra["read_ns"] > 0.0);
            assert_eq!(run.failures, Vec::<String>::new());
        }
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        assert_eq!(settings().complaint(), None);
        assert!(Settings { capacity: 1000, ..settings() }.complaint().is_some());
        assert!(Settings { readers: vec![0], ..settings() }.complaint().is_some());
        assert!(Settings { duration: f64::NAN, ..settings() }.complaint().is_some());
    }
}
