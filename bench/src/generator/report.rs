//! The report of a load: merged over its workers, as JSON for records and as a table for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cpu::CpuUse;
use crate::generator::plan::{Connections, Recovery, WorkerReport};
use crate::generator::tally::{Accounting, LastArrivals, Traffic};
use crate::latency::{Latency, Percentiles};

/// A worker busier than this may be what limits the measurement.
const BUSY_MAX: f64 = 0.9;

/// Waiting for a core longer than this share of the time shows in the latencies.
const WAITING_MAX: f64 = 0.1;

/// What a load measured.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What was asked for: the command's arguments.
    pub(crate) load: BTreeMap<String, String>,
    pub(crate) window_s: f64,
    pub(crate) connections: Connections,
    pub(crate) ramp_s: f64,
    pub(crate) handshakes_per_s: f64,
    pub(crate) handshake: Percentiles,
    pub(crate) traffic: Traffic,
    pub(crate) messages_per_s: f64,
    pub(crate) accounting: Accounting,
    pub(crate) latency: Percentiles,
    /// Of connections made to stall.
    pub(crate) latency_stalled: Percentiles,
    /// From the event to the ring: the source's share of the latency.
    pub(crate) ring_delay: Percentiles,
    /// From the ring to the client: the rest of it.
    #[serde(default)]
    pub(crate) from_ring: Percentiles,
    /// Of each tick's last arrival, if that was kept.
    #[serde(default)]
    pub(crate) last_arrival: Percentiles,
    #[serde(default)]
    pub(crate) recovery: Recovery,
    pub(crate) cpu: CpuUse,
    pub(crate) workers: Vec<WorkerSummary>,
    pub(crate) warnings: Vec<Warning>,
    /// The latencies themselves, as pairs of ns and count.
    pub(crate) histogram: Latency,
    #[serde(default)]
    pub(crate) ring_delay_histogram: Latency,
}

/// One worker's part.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct WorkerSummary {
    pub(crate) worker: u64,
    pub(crate) open: u64,
    pub(crate) messages_in_window: u64,
    pub(crate) latency: Percentiles,
    pub(crate) cpu: CpuUse,
    /// Share of a core used, and waited for.
    pub(crate) busy: f64,
    pub(crate) waiting: f64,
    /// Kept where there are several workers; of one it is the report's.
    #[serde(default)]
    pub(crate) histogram: Option<Latency>,
}

/// Why the figures may not be the server's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Warning {
    GeneratorIsTheLimit { worker: u64, busy: f64 },
    GeneratorWaited { worker: u64, waiting: f64 },
    NotAllOpened { wanted: u64, opened: u64 },
    NotAllReceived { opened: u64, received: u64 },
    Closed { count: u64 },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GeneratorIsTheLimit { worker, busy } => write!(
                f,
                "worker {worker} used {:.0} % of its core: the generator, not the server, is the \
                 limit; give it more workers and cores, or a smaller load",
                busy * 100.0
            ),
            Self::GeneratorWaited { worker, waiting } => write!(
                f,
                "worker {worker} waited for a core {:.0} % of the time: latencies contain that; \
                 pin generator and server to different cores",
                waiting * 100.0
            ),
            Self::NotAllOpened { wanted, opened } => {
                write!(f, "only {opened} of {wanted} connections opened")
            }
            Self::NotAllReceived { opened, received } => {
                write!(f, "only {received} of {opened} connections received anything")
            }
            Self::Closed { count } => write!(f, "the server closed {count} connections"),
        }
    }
}

/// Whether a load expects to be sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Messages,
    Nothing,
}

impl Report {
    pub(crate) fn new(
        load: BTreeMap<String, String>,
        expect: Expect,
        reports: &[WorkerReport],
    ) -> Self {
        let mut connections = Connections::default();
        let (mut traffic, mut accounting) = (Traffic::default(), Accounting::default());
        let (mut healthy, mut stalled) = (Latency::default(), Latency::default());
        let (mut ring_delay, mut handshake) = (Latency::default(), Latency::default());
        let mut from_ring = Latency::default();
        let (mut last_arrivals, mut recovery) = (LastArrivals::default(), Recovery::default());
        let mut cpu = CpuUse::default();
        for report in reports {
            merge(&mut connections, &report.connections);
            traffic.add(&report.traffic);
            accounting.add(&report.accounting);
            healthy.add(&report.healthy);
            stalled.add(&report.stalled);
            ring_delay.add(&report.ring_delay);
            from_ring.add(&report.from_ring);
            handshake.add(&report.handshake);
            last_arrivals.merge(&report.last_arrivals);
            recover(&mut recovery, &report.recovery);
            cpu = cpu.plus(report.cpu);
        }
        let window_s = seconds(reports.iter().map(|report| report.window_ns).max().unwrap_or(0));
        let ramp_s = seconds(reports.iter().map(|report| report.ramp_ns).max().unwrap_or(0));
        let mut workers: Vec<WorkerSummary> = reports.iter().map(summary).collect();
        if workers.len() < 2 {
            workers.iter_mut().for_each(|worker| worker.histogram = None);
        }
        let warnings = warnings(expect, &connections, &workers);
        Self {
            load,
            window_s,
            ramp_s,
            handshakes_per_s: per_second(connections.opened, ramp_s),
            messages_per_s: per_second(traffic.messages_in_window, window_s),
            connections,
            handshake: handshake.percentiles(),
            traffic,
            accounting,
            latency: healthy.percentiles(),
            latency_stalled: stalled.percentiles(),
            ring_delay: ring_delay.percentiles(),
            from_ring: from_ring.percentiles(),
            last_arrival: last_arrivals.latency().percentiles(),
            recovery,
            cpu,
            workers,
            warnings,
            histogram: healthy,
            ring_delay_histogram: ring_delay,
        }
    }

    /// Share of a core that the busiest worker used.
    pub(crate) fn busiest(&self) -> f64 {
        self.workers.iter().map(|worker| worker.busy).fold(0.0, f64::max)
    }

    /// Why the figures may be the generator's, not the server's.
    pub(crate) fn generator_warnings(&self) -> impl Iterator<Item = &Warning> {
        let is_about_it = |warning: &&Warning| match warning {
            Warning::GeneratorIsTheLimit { .. } | Warning::GeneratorWaited { .. } => true,
            Warning::NotAllOpened { .. }
            | Warning::NotAllReceived { .. }
            | Warning::Closed { .. } => false,
        };
        self.warnings.iter().filter(is_about_it)
    }

    /// Whether all connections opened and the server kept its promises to them.
    pub(crate) const fn is_good(&self) -> bool {
        self.connections.opened == self.connections.wanted && !self.accounting.is_broken()
    }
}

fn merge(sum: &mut Connections, one: &Connections) {
    sum.wanted += one.wanted;
    sum.opened += one.opened;
    sum.open += one.open;
    sum.received += one.received;
    sum.topics_received += one.topics_received;
    sum.reconnects += one.reconnects;
    sum.fewest = [sum.fewest, one.fewest].into_iter().flatten().min();
    sum.most = sum.most.max(one.most);
    for (reasons, more) in [(&mut sum.failures, &one.failures), (&mut sum.closes, &one.closes)] {
        for (reason, count) in more {
            *reasons.entry(reason.clone()).or_default() += count;
        }
    }
}

/// The first break of any; back when the last is.
fn recover(all: &mut Recovery, one: &Recovery) {
    all.broke_ns = [all.broke_ns, one.broke_ns].into_iter().flatten().min();
    all.open_ns = all.open_ns.max(one.open_ns);
    all.receiving_ns = all.receiving_ns.max(one.receiving_ns);
}

fn summary(report: &WorkerReport) -> WorkerSummary {
    let share = |ns: u64| per_second(ns, seconds(report.wall_ns)) / 1e9;
    WorkerSummary {
        worker: report.worker,
        open: report.connections.open,
        messages_in_window: report.traffic.messages_in_window,
        latency: report.healthy.percentiles(),
        cpu: report.cpu,
        busy: share(report.cpu.used_ns()),
        waiting: share(report.cpu.waiting_ns),
        histogram: Some(report.healthy.clone()),
    }
}

fn warnings(expect: Expect, connections: &Connections, workers: &[WorkerSummary]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for &WorkerSummary { worker, busy, waiting, .. } in workers {
        if busy > BUSY_MAX {
            warnings.push(Warning::GeneratorIsTheLimit { worker, busy });
        }
        if waiting > WAITING_MAX {
            warnings.push(Warning::GeneratorWaited { worker, waiting });
        }
    }
    let &Connections { wanted, opened, received, .. } = connections;
    if opened < wanted {
        warnings.push(Warning::NotAllOpened { wanted, opened });
    }
    if expect == Expect::Messages && received < opened {
        warnings.push(Warning::NotAllReceived { opened, received });
    }
    let count = connections.closes.values().sum();
    if count > 0 {
        warnings.push(Warning::Closed { count });
    }
    warnings
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: 53 bits are plenty")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: 53 bits are plenty")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections: c, traffic, accounting: a, .. } = self;
        writeln!(
            f,
            "connections  {} wanted, {} opened, {} open at the end, {} received ({} topics)",
            c.wanted, c.opened, c.open, c.received, c.topics_received
        )?;
        writeln!(
            f,
            "ramp         {:.2} s, {:.0} a second, handshake p50 {}, p99 {}, max {}",
            self.ramp_s,
            self.handshakes_per_s,
            Ns(self.handshake.p50_ns),
            Ns(self.handshake.p99_ns),
            Ns(self.handshake.max_ns)
        )?;
        for (title, reasons) in [("failed", &c.failures), ("closed", &c.closes)] {
            for (reason, count) in reasons {
                writeln!(f, "{title:<12} {count} x {reason}")?;
            }
        }
        if c.reconnects > 0 {
            writeln!(f, "reconnected  {}", c.reconnects)?;
        }
        writeln!(
            f,
            "messages     {} in {:.1} s: {:.0} a second; in all {} in {} frames, {} reads, {:.1} MB",
            traffic.messages_in_window,
            self.window_s,
            self.messages_per_s,
            traffic.messages,
            traffic.frames,
            traffic.reads,
            per_second(traffic.bytes, 1e6)
        )?;
        if let (Some(fewest), Some(most)) = (c.fewest, c.most) {
            writeln!(f, "each         {fewest} to {most} messages per connection")?;
        }
        writeln!(
            f,
            "accounting   {} skipped, {} lost (both announced; {} of them at connections that never \
             stalled); {} missing, {} doubled, {} reordered, {} misaccounted, {} malformed",
            a.skipped,
            a.lost,
            a.healthy_skipped,
            a.missing,
            a.doubled,
            a.reordered,
            a.misaccounted,
            a.malformed
        )?;
        writeln!(
            f,
            "{:<12} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "p50", "p90", "p99", "p99.9", "max"
        )?;
        for (title, latency) in [
            ("latency", &self.latency),
            ("  stalled", &self.latency_stalled),
            ("  to ring", &self.ring_delay),
            ("  from ring", &self.from_ring),
            ("  last", &self.last_arrival),
        ] {
            if latency.count > 0 {
                let &Percentiles { p50_ns, p90_ns, p99_ns, p999_ns, max_ns, .. } = latency;
                let [p50, p90, p99, p999, max] = [p50_ns, p90_ns, p99_ns, p999_ns, max_ns].map(Ns);
                writeln!(f, "{title:<12} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {max:>9}")?;
            }
        }
        for worker in &self.workers {
            writeln!(
                f,
                "worker {:<5} {} open, {} messages, CPU {:.0} % ({:.0} % waiting for a core)",
                worker.worker,
                worker.open,
                worker.messages_in_window,
                worker.busy * 100.0,
                worker.waiting * 100.0
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

/// A duration with three digits and its unit.
#[derive(Clone, Copy)]
pub(crate) struct Ns(pub(crate) u64);

impl fmt::Display for Ns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, divisor) = match self.0 {
            0..1_000 => return f.pad(&format!("{} ns", self.0)),
            1_000..1_000_000 => ("µs", 1e3),
            1_000_000..1_000_000_000 => ("ms", 1e6),
            _ => ("s", 1e9),
        };
        let value = seconds(self.0) * 1e9 / divisor;
        let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        f.pad(&format!("{value:.places$} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(worker: u64, busy_ns: u64) -> WorkerReport {
        let mut healthy = Latency::default();
        healthy.record(1_000_000 * (worker + 1));
        WorkerReport {
            worker,
            connections: Connections {
                wanted: 10,
                opened: 10,
                open: 9,
                received: 10,
                fewest: Some(5 + worker),
                most: Some(7 + worker),
                closes: [("close code 4000".to_owned(), 1)].into(),
                ..Connections::default()
            },
            traffic: Traffic { messages: 60, messages_in_window: 50, ..Traffic::default() },
            accounting: Accounting { skipped: 3, ..Accounting::default() },
            healthy,
            stalled: Latency::default(),
            from_ring: Latency::default(),
            ring_delay: Latency::default(),
            last_arrivals: LastArrivals::default(),
            recovery: Recovery {
                broke_ns: Some(5 + worker),
                open_ns: Some(8 + worker),
                receiving_ns: None,
            },
            handshake: Latency::default(),
            ramp_ns: 2_000_000_000,
            cpu: CpuUse { user_ns: busy_ns, system_ns: 0, waiting_ns: 0 },
            wall_ns: 1_000_000_000,
            window_ns: 1_000_000_000,
        }
    }

    #[test]
    fn workers_are_merged_and_the_busy_one_is_named() {
        let reports = [worker(0, 100_000_000), worker(1, 950_000_000)];
        let report = Report::new(BTreeMap::new(), Expect::Messages, &reports);
        assert_eq!((report.connections.wanted, report.connections.open), (20, 18));
        assert_eq!((report.connections.fewest, report.connections.most), (Some(5), Some(8)));
        assert_eq!(report.connections.closes["close code 4000"], 2);
        assert_eq!((report.traffic.messages_in_window, report.accounting.skipped), (100, 6));
        assert_eq!((report.messages_per_s, report.handshakes_per_s), (100.0, 10.0));
        assert_eq!(report.latency.count, 2);
        let expected =
            [Warning::GeneratorIsTheLimit { worker: 1, busy: 0.95 }, Warning::Closed { count: 2 }];
        assert_eq!(report.warnings, expected);
        assert!(report.generator_warnings().eq(&expected[..1]));
        let recovery = Recovery { broke_ns: Some(5), open_ns: Some(9), receiving_ns: None };
        assert_eq!(report.recovery, recovery);
        assert!(report.is_good());
        let text = report.to_string();
        assert!(text.contains("worker 1 used 95 % of its core"), "{text}");
        assert!(text.contains("latency"), "{text}");
    }

    #[test]
    fn a_worker_that_sees_the_end_late_makes_no_rate_smaller() {
        let late = WorkerReport { wall_ns: 2_000_000_000, ..worker(0, 1_500_000_000) };
        let report = Report::new(BTreeMap::new(), Expect::Messages, &[late]);
        assert_eq!((report.window_s, report.messages_per_s), (1.0, 50.0));
        assert_eq!(report.busiest(), 0.75, "of the time in which it was used");
    }

    #[test]
    fn durations_have_three_digits() {
        let text = |ns| Ns(ns).to_string();
        assert_eq!(
            [text(12), text(1_234), text(45_678), text(999_000_000), text(12_345_678_900)],
            ["12 ns", "1.23 µs", "45.7 µs", "999 ms", "12.3 s"]
        );
        assert_eq!(format!("[{:>9}]", Ns(1_234)), "[  1.23 µs]");
    }
}
