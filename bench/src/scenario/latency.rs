//! `latency`: where a tick's time goes, stage by stage and shard by shard.
//!
//! Due → ring is in every message. Ring → shard and shard → sent are the gateway's own histograms
//! (`/stages` of its operators' port), of which the window's part is taken. Sent → client is what is
//! left of the whole: a difference of means, because no message knows when its send returned.

use std::collections::BTreeMap;
use std::error::Error;

use serde::Deserialize;

use super::expect::Expect;
use super::offer::Offer;
use super::trial::{self, Trial};
use super::{Options, Scenario, ScenarioError};
use crate::generator::load::{self, Witness};
use crate::generator::report::{Ns, Report};
use crate::latency::Latency;
use crate::record::{Line, Record, Run, Series, Table, float};
use crate::server::{self, Kind, Running};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "super::three")]
    rounds: u32,
    case: Vec<Case>,
    #[serde(default)]
    expect: Expect,
}

/// A load with a name.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Case {
    name: String,
    load: Offer,
}

/// The answer of `/stages`.
#[derive(Deserialize)]
struct Stages {
    shards: Vec<Shard>,
}

#[derive(Clone, Deserialize)]
struct Shard {
    shard: usize,
    sessions: u64,
    ring_delay_ns: Latency,
    visit_wait_ns: Latency,
    visit_ns: Latency,
    send_ns: Latency,
    turn_ns: Latency,
}

/// What one case found, all rounds together.
#[derive(Default)]
struct Found {
    due_to_ring: Latency,
    whole: Latency,
    /// By shard.
    shards: BTreeMap<usize, Shard>,
}

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let mut settings: Settings = scenario.settings()?;
    if let Some(part) = &options.variant {
        settings.case.retain(|case| case.name.contains(part));
    }
    for Case { load, .. } in &mut settings.case {
        if let Some(duration) = options.duration {
            load.duration = duration;
        }
        scenario.refuse(load.complaint())?;
    }
    let mut found: Vec<Found> = settings.case.iter().map(|_| Found::default()).collect();
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for (case, found) in settings.case.iter().zip(&mut found) {
            record.runs.push(measure(case, settings.expect, round, found)?);
        }
    }
    for (case, found) in settings.case.iter().zip(&found) {
        record.tables.push(found.table(&case.name));
        record.series.push(found.series(&case.name));
    }
    Ok(())
}

fn measure(
    case: &Case,
    expect: Expect,
    round: u32,
    found: &mut Found,
) -> Result<Run, ScenarioError> {
    let offer = &case.load;
    let trial = Trial {
        spec: offer.spec(Kind::Tickcast),
        load: offer.load(),
        offered: offer.offered(),
        expect,
        variant: case.name.clone(),
        round,
    };
    let running = server::start(&trial.spec)?;
    let mut readings = Readings { running: &running, begin: Vec::new(), end: Vec::new() };
    let report = load::run_watched(&running.aim(trial.load.clone()), &mut readings)?;
    let Readings { begin, end, .. } = readings;
    found.add(&report, &begin, end);
    let run = trial.outcome(report);
    eprintln!("  {}", trial::line(&run));
    Ok(run)
}

/// Reads the stages at the window's edges.
struct Readings<'a> {
    running: &'a Running,
    begin: Vec<Shard>,
    end: Vec<Shard>,
}

impl Readings<'_> {
    fn read(&self) -> Result<Vec<Shard>, Box<dyn Error>> {
        let answer = self.running.ask("/stages").ok_or("the gateway does not show its stages")?;
        let stages: Stages = serde_json::from_str(&answer)?;
        Ok(stages.shards)
    }
}

impl Witness for Readings<'_> {
    fn opened(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(())
    }

    fn begins(&mut self) -> Result<(), Box<dyn Error>> {
        self.begin = self.read()?;
        Ok(())
    }

    fn ended(&mut self) -> Result<(), Box<dyn Error>> {
        self.end = self.read()?;
        Ok(())
    }
}

impl Shard {
    /// Its histograms, each with the name of its stage.
    fn stages(&self) -> [(&'static str, &Latency); 5] {
        [
            ("ring → shard", &self.ring_delay_ns),
            ("shard → sent", &self.visit_wait_ns),
            ("of that, the visit", &self.visit_ns),
            ("of that, the send", &self.send_ns),
            ("a turn of the loop", &self.turn_ns),
        ]
    }

    fn since(self, earlier: &Self) -> Option<Self> {
        Some(Self {
            shard: self.shard,
            sessions: self.sessions,
            ring_delay_ns: self.ring_delay_ns.since(&earlier.ring_delay_ns)?,
            visit_wait_ns: self.visit_wait_ns.since(&earlier.visit_wait_ns)?,
            visit_ns: self.visit_ns.since(&earlier.visit_ns)?,
            send_ns: self.send_ns.since(&earlier.send_ns)?,
            turn_ns: self.turn_ns.since(&earlier.turn_ns)?,
        })
    }

    fn add(&mut self, other: &Self) {
        self.ring_delay_ns.add(&other.ring_delay_ns);
        self.visit_wait_ns.add(&other.visit_wait_ns);
        self.visit_ns.add(&other.visit_ns);
        self.send_ns.add(&other.send_ns);
        self.turn_ns.add(&other.turn_ns);
    }
}

impl Found {
    fn add(&mut self, report: &Report, begin: &[Shard], end: Vec<Shard>) {
        self.due_to_ring.add(&report.ring_delay_histogram);
        self.whole.add(&report.histogram);
        self.shards_within(begin, end);
    }

    /// Adds what shards recorded between two readings.
    fn shards_within(&mut self, begin: &[Shard], end: Vec<Shard>) {
        for shard in end {
            let earlier = begin.iter().find(|earlier| earlier.shard == shard.shard);
            let Some(within) = earlier.and_then(|earlier| shard.since(earlier)) else { continue };
            match self.shards.get_mut(&within.shard) {
                Some(sum) => sum.add(&within),
                None => {
                    self.shards.insert(within.shard, within);
                }
            }
        }
    }

    /// What is left of the mean when the stages known are taken away. Shards count by their samples.
    fn sent_to_client_ns(&self) -> f64 {
        let mean = |of: fn(&Shard) -> &Latency| {
            let (mut sum, mut count) = (0.0, 0.0);
            for shard in self.shards.values() {
                // Deliveries are in proportion to visits, which every shard samples alike.
                let visits = float(shard.visit_wait_ns.percentiles().count);
                sum += of(shard).percentiles().mean_ns * visits;
                count += visits;
            }
            if count > 0.0 { sum / count } else { 0.0 }
        };
        self.whole.percentiles().mean_ns
            - self.due_to_ring.percentiles().mean_ns
            - mean(|shard| &shard.ring_delay_ns)
            - mean(|shard| &shard.visit_wait_ns)
    }

    fn table(&self, name: &str) -> Table {
        let mut rows = Vec::new();
        let mut row = |shard: &str, stage: &str, times: &Latency| {
            let p = times.percentiles();
            let times = [p.p50_ns, p.p90_ns, p.p99_ns, p.p999_ns, p.max_ns, whole(p.mean_ns)];
            let texts =
                times.map(|ns| if p.count > 0 { Ns(ns).to_string() } else { "–".to_owned() });
            rows.push([vec![shard.to_owned(), stage.to_owned()], texts.into()].concat());
        };
        row("all", "due → ring", &self.due_to_ring);
        for (index, shard) in &self.shards {
            for (stage, times) in shard.stages() {
                row(&index.to_string(), stage, times);
            }
        }
        row("all", "due → client", &self.whole);
        let mut left = vec!["–".to_owned(); 8];
        left[0] = "all".to_owned();
        left[1] = "sent → client (difference of means)".to_owned();
        left[7] = Ns(whole(self.sent_to_client_ns())).to_string();
        let last = rows.len() - 1;
        rows.insert(last, left);
        let columns = ["shard", "stage", "p50", "p90", "p99", "p99.9", "max", "mean"];
        Table {
            title: format!("{name}: stages of a tick's way"),
            columns: columns.map(str::to_owned).into(),
            rows,
        }
    }

    /// Percentile curves: how many nines, and the time within which so many are.
    fn series(&self, name: &str) -> Series {
        let line = |name: String, times: &Latency| {
            let points = (0..=30).map(|step| {
                let nines = f64::from(step) / 10.0;
                (nines, float(times.at(1.0 - 10f64.powf(-nines))) / 1e6)
            });
            Line { name, points: points.collect() }
        };
        let mut lines = vec![line("due → ring".to_owned(), &self.due_to_ring)];
        for (index, shard) in &self.shards {
            for (stage, times) in &shard.stages()[..2] {
                lines.push(line(format!("{stage}, shard {index}"), times));
            }
        }
        lines.push(line("due → client".to_owned(), &self.whole));
        Series {
            title: format!("{name}: stages"),
            x: "nines (1: 90 %, 2: 99 %, 3: 99.9 %)".to_owned(),
            y: "ms".to_owned(),
            lines,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure for people")]
fn whole(ns: f64) -> u64 {
    ns.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(values: &[u64]) -> Latency {
        let mut latency = Latency::default();
        values.iter().for_each(|value| latency.record(*value));
        latency
    }

    fn shard(index: usize, ring: &[u64], visit: &[u64]) -> Shard {
        Shard {
            shard: index,
            sessions: 1,
            ring_delay_ns: times(ring),
            visit_wait_ns: times(visit),
            visit_ns: times(visit),
            send_ns: times(visit),
            turn_ns: times(&[]),
        }
    }

    #[test]
    fn an_answer_of_the_gateway_is_read() {
        let text = r#"{"shards":[{"shard":3,"sessions":2,"ring_delay_ns":[[1000,5]],"visit_wait_ns":
            [[2000,1],[3000,1]],"visit_ns":[],"send_ns":[],"turn_ns":[]}]}"#;
        let stages: Stages = serde_json::from_str(text).unwrap();
        let shard = &stages.shards[0];
        assert_eq!((shard.shard, shard.ring_delay_ns.percentiles().count), (3, 5));
        assert!(shard.visit_wait_ns.percentiles().max_ns.abs_diff(3_000) < 20);
    }

    #[test]
    fn only_the_windows_part_counts_and_rounds_add_up() {
        let mut found = Found::default();
        let begin = [shard(0, &[9_000_000], &[9_000_000]), shard(1, &[], &[])];
        for _round in 0..2 {
            let end = [
                shard(0, &[9_000_000, 1_000, 1_000], &[9_000_000, 5_000, 5_000]),
                shard(1, &[3_000], &[7_000, 7_000]),
            ];
            found.shards_within(&begin, end.into());
        }
        found.whole = times(&[20_000; 4]);
        found.due_to_ring = times(&[2_000; 4]);
        let visits: Vec<u64> =
            found.shards.values().map(|it| it.visit_wait_ns.percentiles().count).collect();
        assert_eq!(visits, [4, 4]);
        assert!(found.shards[&0].ring_delay_ns.percentiles().max_ns < 1_100);
        // 20 − 2 − (1 + 3) / 2 − (5 + 7) / 2
        assert!(
            (found.sent_to_client_ns() - 10_000.0).abs() < 100.0,
            "{}",
            found.sent_to_client_ns()
        );
        let table = found.table("x");
        assert_eq!(table.rows.len(), 1 + 2 * 5 + 2);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
    }
}
