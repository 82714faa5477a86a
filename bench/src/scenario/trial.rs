//! A trial: one server started, one load put on it, its use read around the window, the outcome
//! checked. The unit that scenarios of loads are made of; each trial has a server of its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use super::ScenarioError;
use super::expect::{self, Expect};
use crate::generator::load::{self, LoadArgs, Witness};
use crate::generator::report::{Ns, Report};
use crate::record::{Offered, Run, ServerUsage, float};
use crate::server::{self, Kind, Running, ServerError, Spec, Usage};

/// What is to be tried.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) spec: Spec,
    pub(crate) load: LoadArgs,
    pub(crate) offered: Offered,
    pub(crate) expect: Expect,
    pub(crate) variant: String,
    pub(crate) round: u32,
}

impl Trial {
    /// Starts the server, runs the load, checks the outcome. What goes wrong is in the run, so that one
    /// server's trouble takes nothing away from the others' figures; an error means that Tickcast is
    /// not even there to be measured.
    pub(crate) fn run(&self) -> Result<Run, ScenarioError> {
        self.run_asking(|_| Vec::new())
    }

    /// The same; `ask` gets further figures from the server at the window's end.
    pub(crate) fn run_asking(
        &self,
        ask: impl Fn(&Running) -> Vec<(String, f64)>,
    ) -> Result<Run, ScenarioError> {
        self.run_beside(|_| Ok(()), ask)
    }

    /// The same; `begin` starts something else when the window begins.
    pub(crate) fn run_beside(
        &self,
        begin: impl Fn(&Running) -> Result<(), ScenarioError>,
        ask: impl Fn(&Running) -> Vec<(String, f64)>,
    ) -> Result<Run, ScenarioError> {
        let run = match self.measure(begin, ask) {
            Err(error @ ScenarioError::Server(ServerError::Missing { .. }))
                if self.spec.kind == Kind::Tickcast =>
            {
                return Err(error);
            }
            Err(error) => self.failed(error.to_string()),
            Ok(run) => run,
        };
        eprintln!("  {}", line(&run));
        Ok(run)
    }

    /// A run that came to nothing.
    fn failed(&self, why: String) -> Run {
        Run {
            server: self.spec.kind.name().to_owned(),
            variant: self.variant.clone(),
            round: self.round,
            offered: self.offered,
            report: None,
            server_usage: None,
            failures: vec![why],
            extra: BTreeMap::new(),
        }
    }

    fn measure(
        &self,
        start: impl Fn(&Running) -> Result<(), ScenarioError>,
        ask: impl Fn(&Running) -> Vec<(String, f64)>,
    ) -> Result<Run, ScenarioError> {
        let mut running = server::start(&self.spec)?;
        let before = running.usage()?;
        let load = running.aim(self.load.clone());
        let mut readings = Readings {
            running: &mut running,
            start,
            ask,
            begin: None,
            end: None,
            answers: Vec::new(),
        };
        let report = load::run_watched(&load, &mut readings)?;
        let (begin, end) = (readings.begin.take(), readings.end.take());
        let answers = std::mem::take(&mut readings.answers);
        let mut run = self.outcome(report);
        run.extra.extend(answers);
        if let (Some(begin), Some(end)) = (begin, end) {
            run.server_usage = Some(usage(&before, &begin, &end, run.report.as_ref()));
        }
        match running.stop_publisher() {
            Ok(Some(publisher)) => {
                let late = publisher.late;
                run.extra.insert("publisher_late_p50_ns".to_owned(), float(late.p50_ns));
                run.extra.insert("publisher_late_p99_ns".to_owned(), float(late.p99_ns));
                run.extra.insert("publisher_late_max_ns".to_owned(), float(late.max_ns));
            }
            Ok(None) => {}
            Err(error) => run.failures.push(error.to_string()),
        }
        if !running.is_running() {
            run.failures.push(format!("the server ended: {}", running.log()));
        }
        Ok(run)
    }

    /// A run with the report and what is wrong with it.
    pub(crate) fn outcome(&self, report: Report) -> Run {
        Run {
            server: self.spec.kind.name().to_owned(),
            variant: self.variant.clone(),
            round: self.round,
            offered: self.offered,
            failures: expect::failures(&self.expect, &self.offered, &report),
            extra: last_arrival(&report),
            report: Some(report),
            server_usage: None,
        }
    }
}

/// When the last subscriber had a tick, if the load kept that.
fn last_arrival(report: &Report) -> BTreeMap<String, f64> {
    let last = &report.last_arrival;
    let figures = [
        ("last_arrival_p50_ns", last.p50_ns),
        ("last_arrival_p90_ns", last.p90_ns),
        ("last_arrival_p99_ns", last.p99_ns),
        ("last_arrival_max_ns", last.max_ns),
    ];
    let kept = figures.into_iter().filter(|_| last.count > 0);
    kept.map(|(name, ns)| (name.to_owned(), float(ns))).collect()
}

/// One reading of the server and of its publisher.
struct Reading {
    at: Instant,
    server: Usage,
    publisher: Option<Usage>,
}

/// Reads the server's use at the window's edges.
struct Readings<'a, Start, Ask> {
    running: &'a mut Running,
    start: Start,
    ask: Ask,
    begin: Option<Reading>,
    end: Option<Reading>,
    answers: Vec<(String, f64)>,
}

impl<Start, Ask> Readings<'_, Start, Ask> {
    fn read(&self) -> Result<Reading, Box<dyn Error>> {
        let (at, server) = (Instant::now(), self.running.usage()?);
        Ok(Reading { at, server, publisher: self.running.publisher_usage() })
    }
}

impl<Start, Ask> Witness for Readings<'_, Start, Ask>
where
    Start: Fn(&Running) -> Result<(), ScenarioError>,
    Ask: Fn(&Running) -> Vec<(String, f64)>,
{
    fn opened(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(self.running.start_publisher()?)
    }

    fn begins(&mut self) -> Result<(), Box<dyn Error>> {
        self.begin = Some(self.read()?);
        Ok((self.start)(self.running)?)
    }

    fn ended(&mut self) -> Result<(), Box<dyn Error>> {
        self.end = Some(self.read()?);
        self.answers = (self.ask)(self.running);
        Ok(())
    }
}

fn usage(before: &Usage, begin: &Reading, end: &Reading, report: Option<&Report>) -> ServerUsage {
    let messages = report.map_or(0, |report| report.traffic.messages_in_window);
    // What lies between the readings, which need not be exactly the window.
    let wall_ns = u64::try_from((end.at - begin.at).as_nanos()).unwrap_or(u64::MAX);
    let mut usage = ServerUsage::between(before, &begin.server, &end.server, wall_ns, messages);
    if let (Some(begin), Some(end)) = (&begin.publisher, &end.publisher) {
        usage.publisher_busy = float(end.cpu_since(begin)) / float(wall_ns.max(1));
    }
    usage
}

/// A run in a line, for those who watch.
pub(crate) fn line(run: &Run) -> String {
    let mut line = format!("round {} {:<16} {:<24}", run.round, run.server, run.variant);
    if let Some(report) = run.report.as_ref().filter(|report| report.latency.count > 0) {
        line += &format!(
            " {:>10.0}/s  p50 {:>8}  p99 {:>8}  max {:>8}  generator {:>3.0} %",
            report.messages_per_s,
            Ns(report.latency.p50_ns),
            Ns(report.latency.p99_ns),
            Ns(report.latency.max_ns),
            report.busiest() * 100.0
        );
    }
    if let Some(usage) = &run.server_usage {
        line += &format!(
            "  server {:>3.0} %, {:.1} ms per million",
            usage.busy * 100.0,
            usage.cpu_ms_per_million
        );
    }
    for (name, figure) in &run.extra {
        line += &format!("\n    {name:<36} {figure:>14.1}");
    }
    for warning in run.report.iter().flat_map(Report::generator_warnings) {
        line += &format!("\n    warning: {warning}");
    }
    for failure in &run.failures {
        line += &format!("\n    failed: {failure}");
    }
    line
}
