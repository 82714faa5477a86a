//! `transports`: the same quotes to the same clients by polling, long polling, event streams and
//! WebSocket, on Tickcast and on nginx with nchan, which has all four.
//!
//! A client follows a few symbols. What is measured is what a user of each way gets and pays for: how
//! long after an update was due the client has it, or has something newer; which updates it ever saw;
//! bytes both ways, as the sockets' owners see them (without headers of TCP and IP); requests; the
//! server's CPU time. Polling asks for each symbol once a second, over one connection that is kept.

mod client;
mod holdings;
mod reader;
mod request;
mod tables;
mod way;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use self::client::{Plan, Seen, Window};
use self::way::Way;
use super::{Options, Scenario, ScenarioError};
use crate::clock::realtime_ns;
use crate::generator::target::Target;
use crate::record::{Offered, Record, Run, ServerUsage, float};
use crate::server::{self, Kind, Spec, Transport};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "both")]
    servers: Vec<Kind>,
    #[serde(default = "super::three")]
    rounds: u32,
    clients: u64,
    symbols: u64,
    per_client: u64,
    duration: f64,
    #[serde(default = "core_0")]
    server_cores: Vec<usize>,
    /// Of the clients and of the publisher.
    #[serde(default = "core_1")]
    client_core: usize,
    offer: Vec<Offer>,
}

/// How often there is something new.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Offer {
    name: String,
    /// Quotes a second of each symbol.
    rate: f64,
}

fn core_0() -> Vec<usize> {
    vec![0]
}

const fn core_1() -> usize {
    1
}

fn both() -> Vec<Kind> {
    vec![Kind::Tickcast, Kind::Nchan]
}

/// The shortest time from the first tick to the window: each client has polled once by then.
const WARM_UP_LEAST: f64 = 1.2;

/// In how many quotes' time each client holds something of every symbol, or nearly.
const WARM_UP_PERIODS: f64 = 1.2;

/// What a client that keeps up must see of what happens.
const SEEN_LEAST: f64 = 0.999;

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let mut settings: Settings = scenario.settings()?;
    settings.duration = options.duration.unwrap_or(settings.duration);
    settings.servers = options.server.clone().unwrap_or(settings.servers);
    if settings.per_client > settings.symbols || settings.per_client == 0 {
        return Err(scenario.senseless("per-client is from 1 to symbols"));
    }
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for offer in &settings.offer {
            for kind in &settings.servers {
                for way in Way::of(*kind) {
                    let variant = variant(offer, *way);
                    if options.variant.as_ref().is_some_and(|part| !variant.contains(part)) {
                        continue;
                    }
                    eprintln!("{}: round {round}, {kind}, {variant}", scenario.name);
                    record.runs.push(settings.measure(offer, *kind, *way, round)?);
                }
            }
        }
    }
    record.summarise();
    record.tables = tables::tables(record, &settings);
    record.notes.extend(tables::notes());
    Ok(())
}

fn variant(offer: &Offer, way: Way) -> String {
    format!("{}, {}", offer.name, way.name())
}

impl Settings {
    fn spec(&self, offer: &Offer, kind: Kind) -> Spec {
        Spec {
            kind,
            transport: Transport::Plain,
            cores: self.server_cores.clone(),
            client_core: self.client_core,
            topics: self.symbols,
            rate: offer.rate * float(self.symbols),
            args: Vec::new(),
        }
    }

    fn measure(
        &self,
        offer: &Offer,
        kind: Kind,
        way: Way,
        round: u32,
    ) -> Result<Run, ScenarioError> {
        let mut server = server::start(&self.spec(offer, kind))?;
        let target = Target::parse(server.url()).map_err(|error| ScenarioError::Senseless {
            name: kind.name().to_owned(),
            what: error.to_string(),
        })?;
        let before = server.usage()?;
        let window = Arc::new(Window::default());
        let clients = client::start(Plan {
            way,
            address: target.address,
            clients: self.clients,
            symbols: self.symbols,
            per_client: self.per_client,
            period: Duration::from_secs_f64(1.0 / offer.rate),
            core: self.client_core,
            window: Arc::clone(&window),
        });
        let clients = clients.map_err(|error| ScenarioError::Senseless {
            name: variant(offer, way),
            what: error.to_string(),
        })?;
        server.start_publisher()?;
        let warm_up = WARM_UP_LEAST.max(WARM_UP_PERIODS / offer.rate);
        std::thread::sleep(Duration::from_secs_f64(warm_up));
        let duration = Duration::from_secs_f64(self.duration);
        window.open(realtime_ns(), duration);
        let begin = server.usage()?;
        let began_ns = realtime_ns();
        std::thread::sleep(duration);
        let end = server.usage()?;
        let wall_ns = realtime_ns() - began_ns;
        let seen = clients.finish();
        let mut usage = ServerUsage::between(&before, &begin, &end, wall_ns, seen.seen);
        usage.publisher_busy = 0.0;
        Ok(Run {
            server: kind.name().to_owned(),
            variant: variant(offer, way),
            round,
            offered: Offered {
                connections: self.clients,
                topics: self.symbols,
                per_connection: self.per_client,
                rate: offer.rate * float(self.symbols),
                deliveries_per_s: offer.rate * float(self.per_client * self.clients),
                duration_s: self.duration,
            },
            report: None,
            server_usage: Some(usage),
            failures: failures(&seen, way),
            extra: self.figures(&seen, &usage),
        })
    }

    /// Per client and second, where a figure is a rate.
    fn figures(&self, seen: &Seen, usage: &ServerUsage) -> BTreeMap<String, f64> {
        let client_seconds = float(self.clients) * self.duration;
        let delay = seen.delay.percentiles();
        [
            ("received_bytes", float(seen.received_bytes) / client_seconds),
            ("sent_bytes", float(seen.sent_bytes) / client_seconds),
            ("requests", float(seen.requests) / client_seconds),
            ("seen_share", float(seen.seen) / float(seen.due.max(1))),
            ("p50_ns", float(delay.p50_ns)),
            ("p99_ns", float(delay.p99_ns)),
            ("max_ns", float(delay.max_ns)),
            ("server_cpu_us", float(usage.cpu_ns) / 1e3 / client_seconds),
            ("generator_busy", float(seen.cpu_ns) / float(usage.wall_ns.max(1))),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

fn failures(seen: &Seen, way: Way) -> Vec<String> {
    let mut failures = Vec::new();
    if seen.lost > 0 {
        let (lost, why) = (seen.lost, seen.complaint.as_deref().unwrap_or("ended"));
        failures.push(format!("{lost} connections were lost, one because: {why}"));
    }
    let share = float(seen.seen) / float(seen.due.max(1));
    if seen.due == 0 {
        failures.push("nothing was seen".to_owned());
    } else if way.shows_everything() && share < SEEN_LEAST {
        failures.push(format!("{:.2} % of all updates were seen", share * 100.0));
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenario_means_something() {
        let text = include_str!("../../../scenarios/transports.toml");
        let settings: Settings = Scenario::parse("transports", text).unwrap().settings().unwrap();
        assert_eq!(settings.servers, [Kind::Tickcast, Kind::Nchan]);
        let spec = settings.spec(&settings.offer[0], Kind::Tickcast);
        assert_eq!((spec.topics, spec.rate), (20, 200.0));
    }
}
