//! `wan`: a client far away. A proxy in user space puts delay, rate and window between it and the
//! gateway; what counts is how much arrives and how old it is beyond the delay.

use std::net::SocketAddr;

use serde::Deserialize;
use toml::{Table, Value};

use super::expect::Expect;
use super::offer::Offer;
use super::trial::{self, Trial};
use super::{Options, Scenario, ScenarioError};
use crate::generator::load::{self, LoadArgs};
use crate::generator::report::Report;
use crate::proxy::{ProxyArgs, Proxying};
use crate::record::{self, Record, Run, float};
use crate::server::{self, Kind};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "super::three")]
    rounds: u32,
    load: Table,
    way: Vec<Way>,
}

/// A way, and what is asked over it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Way {
    name: String,
    /// One way, ms; none: no proxy at all.
    delay_ms: Option<f64>,
    /// Bytes a second of its slowest link.
    rate: Option<f64>,
    /// Bytes that may be unacknowledged.
    #[serde(default = "window")]
    window: usize,
    /// Bytes that may wait in front of the slowest link.
    #[serde(default = "queue")]
    queue: usize,
    /// The delivery mode that the client asks for.
    mode: Option<String>,
    /// Further arguments of the gateway.
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    expect: Expect,
    /// Fewer bytes a second are a failure.
    #[serde(default)]
    bytes_per_s_min: f64,
    /// An age beyond the delay that is a failure, ms: of the median, and of 99 %.
    beyond_p50_max_ms: Option<f64>,
    beyond_p99_max_ms: Option<f64>,
}

/// As much as Linux lets a send buffer grow to by itself.
const fn window() -> usize {
    4 << 20
}

const fn queue() -> usize {
    64 << 10
}

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let settings: Settings = scenario.settings()?;
    let offer: Result<Offer, _> = Value::Table(settings.load.clone()).try_into();
    let mut offer =
        offer.map_err(|error| ScenarioError::Settings { name: scenario.name.clone(), error })?;
    if let Some(duration) = options.duration {
        offer.duration = duration;
    }
    scenario.refuse(offer.complaint())?;
    let is_wanted =
        |way: &&Way| options.variant.as_ref().is_none_or(|part| way.name.contains(part));
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for way in settings.way.iter().filter(is_wanted) {
            record.runs.push(far(&offer, way, round)?);
        }
    }
    record.summarise();
    let table = table(record);
    record.tables.push(table);
    Ok(())
}

/// One gateway, one way, one load.
fn far(offer: &Offer, way: &Way, round: u32) -> Result<Run, ScenarioError> {
    let mut spec = offer.spec(Kind::Tickcast);
    spec.args.extend(way.args.iter().cloned());
    let load = LoadArgs { mode: way.mode.clone(), ..offer.load() };
    let running = server::start(&spec)?;
    let load = running.aim(load);
    let (proxy, load) = match way.delay_ms {
        None => (None, load),
        Some(delay) => {
            let (to, behind) = split(running.url())?;
            let proxy = Proxying::start(&ProxyArgs {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                to,
                delay,
                rate: way.rate,
                window: way.window,
                queue: way.queue,
                cpu: Some(offer.client_core),
                seconds: 600,
            })?;
            let url = format!("ws://{}{behind}", proxy.address);
            (Some(proxy), LoadArgs { url, ..load })
        }
    };
    let report = load::run(&load)?;
    drop(proxy);
    let trial = Trial {
        spec,
        load,
        offered: offer.offered(),
        expect: way.expect,
        variant: way.name.clone(),
        round,
    };
    let figures = figures(way, &report);
    let mut run = trial.outcome(report);
    run.failures.extend(shortcomings(way, &figures));
    run.extra = figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    eprintln!("  {}", trial::line(&run));
    Ok(run)
}

/// The address of a URL, and what is behind it.
fn split(url: &str) -> Result<(SocketAddr, String), ScenarioError> {
    let authority = url.split('/').nth(2).unwrap_or_default();
    let address = authority.parse();
    let address = address.map_err(|_| ScenarioError::Address(url.to_owned()))?;
    Ok((address, url.splitn(4, '/').nth(3).map_or_else(String::new, |path| format!("/{path}"))))
}

/// Bytes of a quote on the wire, frame headers apart.
const QUOTE_BYTES: f64 = 64.0;

/// What counts here. Ages are from the time a tick was due, less the way's delay.
fn figures(way: &Way, report: &Report) -> [(&'static str, f64); 4] {
    let delay_ns = way.delay_ms.unwrap_or(0.0) * 1e6;
    let latency = &report.latency;
    [
        ("bytes_per_s", report.messages_per_s * QUOTE_BYTES),
        ("beyond_p50_ns", float(latency.p50_ns) - delay_ns),
        ("beyond_p99_ns", float(latency.p99_ns) - delay_ns),
        ("beyond_max_ns", float(latency.max_ns) - delay_ns),
    ]
}

fn shortcomings(way: &Way, figures: &[(&str, f64)]) -> Vec<String> {
    let of = |name| figures.iter().find(|(it, _)| *it == name).map_or(0.0, |(_, value)| *value);
    let mut found = Vec::new();
    let bytes_per_s = of("bytes_per_s");
    if bytes_per_s < way.bytes_per_s_min {
        found.push(format!("{:.2} MB/s of {:.2}", bytes_per_s / 1e6, way.bytes_per_s_min / 1e6));
    }
    for (name, most_ms, what) in [
        ("beyond_p50_ns", way.beyond_p50_max_ms, "half"),
        ("beyond_p99_ns", way.beyond_p99_max_ms, "1 %"),
    ] {
        let ms = of(name) / 1e6;
        if most_ms.is_some_and(|most_ms| ms > most_ms) {
            found.push(format!("{what} came {ms:.1} ms or more later than the way explains"));
        }
    }
    found
}

fn table(record: &Record) -> record::Table {
    let columns = [
        "way",
        "MB/s",
        "age beyond the delay, p50",
        "p99",
        "max",
        "announced as skipped",
        "failed",
    ];
    let row = |summary: &record::Summary| {
        let of = |name| summary.median(name).unwrap_or(0.0);
        let ms = |name| format!("{:.1} ms", of(name) / 1e6);
        vec![
            summary.variant.clone(),
            format!("{:.2}", of("bytes_per_s") / 1e6),
            ms("beyond_p50_ns"),
            ms("beyond_p99_ns"),
            ms("beyond_max_ns"),
            format!("{:.0}", of("skipped")),
            format!("{} of {}", summary.failed, summary.rounds),
        ]
    };
    record::Table {
        title: "One client behind a long way; medians over the rounds".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows: record.summary.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_stands_before_the_same_path() {
        let (address, path) = split("ws://127.0.0.1:9443/v1/stream").unwrap();
        assert_eq!((address.port(), path.as_str()), (9443, "/v1/stream"));
        assert!(split("ws://nowhere/").is_err());
    }

    #[test]
    fn too_little_and_too_old_are_failures() {
        let way: Way = toml::from_str(
            "name = 'far'\ndelay-ms = 50\nbytes-per-s-min = 5e6\nbeyond-p50-max-ms = 10\n\
             beyond-p99-max-ms = 20",
        )
        .unwrap();
        let figures = |bytes, p50, p99| {
            [("bytes_per_s", bytes), ("beyond_p50_ns", p50), ("beyond_p99_ns", p99)]
        };
        assert_eq!(shortcomings(&way, &figures(5e6, 1e6, 19e6)), Vec::<String>::new());
        assert_eq!(
            shortcomings(&way, &figures(4.5e6, 11e6, 20.5e6)),
            [
                "4.50 MB/s of 5.00",
                "half came 11.0 ms or more later than the way explains",
                "1 % came 20.5 ms or more later than the way explains",
            ]
        );
    }
}
