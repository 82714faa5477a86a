//! `fanout`: ticks to many connections. Variants are points of a curve or settings beside each other.

use serde::Deserialize;
use toml::{Table, Value};

use super::expect::Expect;
use super::offer::Offer;
use super::trial::Trial;
use super::{Options, Scenario, ScenarioError};
use crate::record::Record;
use crate::server::Kind;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "tickcast")]
    servers: Vec<Kind>,
    #[serde(default = "three")]
    rounds: u32,
    load: Table,
    /// Each has a name, servers it is for if not all, and what it changes of the load.
    #[serde(default)]
    variant: Vec<Table>,
    #[serde(default)]
    expect: Expect,
}

fn tickcast() -> Vec<Kind> {
    vec![Kind::Tickcast]
}

const fn three() -> u32 {
    3
}

/// A point: a name and a whole offer.
struct Variant {
    name: String,
    offer: Offer,
}

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let settings: Settings = scenario.settings()?;
    let variants = variants(scenario, &settings, options)?;
    let servers = options.server.as_ref().unwrap_or(&settings.servers);
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for Variant { name, offer } in &variants {
            for kind in servers {
                let trial = Trial {
                    spec: offer.spec(*kind),
                    load: offer.load(),
                    offered: offer.offered(),
                    expect: settings.expect,
                    variant: name.clone(),
                    round,
                };
                record.runs.push(trial.run()?);
            }
        }
    }
    Ok(())
}

/// The load with each variant's changes; the load itself if there are none.
fn variants(
    scenario: &Scenario,
    settings: &Settings,
    options: &Options,
) -> Result<Vec<Variant>, ScenarioError> {
    let nothing = [Table::new()];
    let changes =
        if settings.variant.is_empty() { &nothing[..] } else { settings.variant.as_slice() };
    let mut variants = Vec::new();
    for change in changes {
        let mut table = settings.load.clone();
        table.extend(change.clone());
        let name = match table.remove("name") {
            Some(Value::String(name)) => name,
            Some(_) => return Err(scenario.senseless("a variant's name is a text")),
            None => String::new(),
        };
        if options.variant.as_ref().is_some_and(|part| !name.contains(part)) {
            continue;
        }
        let offer: Result<Offer, _> = Value::Table(table).try_into();
        let mut offer = offer
            .map_err(|error| ScenarioError::Settings { name: scenario.name.clone(), error })?;
        if let Some(duration) = options.duration {
            offer.duration = duration;
        }
        if let Some(complaint) = offer.complaint() {
            return Err(scenario.senseless(complaint));
        }
        variants.push(Variant { name, offer });
    }
    Ok(variants)
}
