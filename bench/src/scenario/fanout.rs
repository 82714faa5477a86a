//! `fanout`: ticks to many connections. Variants are points of a curve or settings beside each other;
//! with a `[search]`, each variant is offered more and more until the server cannot keep up.

use serde::Deserialize;
use toml::{Table, Value};

use super::expect::Expect;
use super::offer::Offer;
use super::search::{Search, Step};
use super::trial::Trial;
use super::{Options, Scenario, ScenarioError};
use crate::generator::report::{Ns, Report};
use crate::record::{self, Record, Run};
use crate::server::Kind;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "super::tickcast")]
    servers: Vec<Kind>,
    #[serde(default = "super::three")]
    rounds: u32,
    load: Table,
    /// Each has a name and what it changes of the load; `only` names the servers it is for.
    #[serde(default)]
    variant: Vec<Table>,
    #[serde(default)]
    search: Option<Search>,
    #[serde(default)]
    expect: Expect,
}

/// A point: a name and a whole offer.
#[derive(Debug)]
struct Variant {
    name: String,
    /// Empty: for all servers.
    only: Vec<Kind>,
    offer: Offer,
}

impl Settings {
    fn trial(&self, variant: &Variant, kind: Kind, round: u32) -> Trial {
        Trial {
            spec: variant.offer.spec(kind),
            load: variant.offer.load(),
            offered: variant.offer.offered(),
            expect: self.expect,
            variant: variant.name.clone(),
            round,
        }
    }
}

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let settings: Settings = scenario.settings()?;
    let variants = variants(scenario, &settings, options)?;
    let servers = options.server.as_ref().unwrap_or(&settings.servers);
    let mut found = Vec::new();
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for variant in &variants {
            let is_meant = |kind: &&Kind| variant.only.is_empty() || variant.only.contains(kind);
            for kind in servers.iter().filter(is_meant) {
                match &settings.search {
                    None => record.runs.push(settings.trial(variant, *kind, round).run()?),
                    Some(search) => {
                        let highest = highest(&settings, search, variant, *kind, round, record)?;
                        found.push((kind.name(), variant.name.clone(), highest));
                    }
                }
            }
        }
    }
    if settings.search.is_some() {
        record.tables.push(capacities(&found));
    }
    Ok(())
}

/// Looks for the highest rate that the server keeps up with; every attempt is kept. In deliveries a
/// second; 0 if even the first was too much.
fn highest(
    settings: &Settings,
    search: &Search,
    variant: &Variant,
    kind: Kind,
    round: u32,
    record: &mut Record,
) -> Result<f64, ScenarioError> {
    let mut steps = search.steps();
    let mut highest = 0.0;
    while let Some(rate) = steps.next_rate() {
        let offer = Offer { rate, ..variant.offer.clone() };
        let name = format!("{} {rate:.0} ticks/s", variant.name).trim_start().to_owned();
        let attempt = Variant { name, only: Vec::new(), offer };
        let mut run = settings.trial(&attempt, kind, round).run()?;
        let keeps_up = search.keeps_up(&run);
        if keeps_up {
            highest = run.offered.deliveries_per_s;
        } else {
            // Where a search ends is its finding, not a failure.
            let mut reasons = std::mem::take(&mut run.failures);
            let warnings = run.report.iter().flat_map(Report::generator_warnings);
            reasons.extend(warnings.map(ToString::to_string));
            record.notes.push(sentence(&run, &reasons));
        }
        record.runs.push(run);
        steps.tell(if keeps_up { Step::KeptUp } else { Step::TooMuch });
    }
    eprintln!("  {kind}: keeps up with {highest:.0} deliveries a second");
    Ok(highest)
}

fn sentence(run: &Run, reasons: &[String]) -> String {
    let p99 = run.report.as_ref().map_or(0, |report| report.latency.p99_ns);
    format!(
        "{} at {:.2} million deliveries a second: p99 {}{}{}",
        run.server,
        run.offered.deliveries_per_s / 1e6,
        Ns(p99),
        if reasons.is_empty() { "" } else { ", " },
        reasons.join(", ")
    )
}

fn capacities(found: &[(&str, String, f64)]) -> record::Table {
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for (server, variant, _) in found {
        if !keys.contains(&(*server, variant)) {
            keys.push((server, variant));
        }
    }
    let row = |(server, variant): (&str, &str)| {
        let of = found.iter().filter(|(s, v, _)| *s == server && v == variant);
        let figure = record::Figure::of(of.map(|(.., rate)| *rate).collect()).unwrap_or_default();
        let millions = |rate: f64| format!("{:.2}", rate / 1e6);
        vec![
            server.to_owned(),
            variant.to_owned(),
            millions(figure.median),
            format!("{} to {}", millions(figure.min), millions(figure.max)),
        ]
    };
    record::Table {
        title: "Highest load kept up with, million deliveries a second".to_owned(),
        columns: ["server", "variant", "median", "rounds"].map(str::to_owned).to_vec(),
        rows: keys.into_iter().map(row).collect(),
    }
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
        let unread = |error| ScenarioError::Settings { name: scenario.name.clone(), error };
        let name = match table.remove("name") {
            Some(name) => name.try_into().map_err(unread)?,
            None if settings.variant.is_empty() => String::new(),
            None => return Err(scenario.senseless("a variant has a name")),
        };
        let only = table.remove("only").map(Value::try_into).transpose().map_err(unread)?;
        let mut offer: Offer = Value::Table(table).try_into().map_err(unread)?;
        if let Some(duration) = options.duration {
            offer.duration = duration;
        }
        if let Some(complaint) = offer.complaint() {
            return Err(scenario.senseless(format!("{name}: {complaint}")));
        }
        let variant = Variant { name, only: only.unwrap_or_default(), offer };
        if options.variant.as_ref().is_none_or(|part| variant.name.contains(part)) {
            variants.push(variant);
        }
    }
    Ok(variants)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variants_of(rest: &str, options: &Options) -> Result<Vec<Variant>, String> {
        let head = "kind = 'fanout'\ntitle = 't'\nwhy = 'w'\n";
        let scenario = Scenario::parse("x", &format!("{head}{rest}")).unwrap();
        let settings: Settings = scenario.settings().map_err(|error| error.to_string())?;
        variants(&scenario, &settings, options).map_err(|error| error.to_string())
    }

    const LOAD: &str = "[load]\nconnections = 10\nrate = 5\n";

    #[test]
    fn a_variant_changes_the_load_for_itself_alone() {
        let rest = format!(
            "{LOAD}[[variant]]\nname = 'few'\nconnections = 2\n[[variant]]\nname = 'spinning'\n\
             only = ['tickcast']\nargs.tickcast = ['--spin', 'always']"
        );
        let found = variants_of(&rest, &Options::default()).unwrap();
        let connections: Vec<u64> = found.iter().map(|it| it.offer.connections).collect();
        assert_eq!(connections, [2, 10]);
        assert_eq!((found[0].only.len(), found[1].only.as_slice()), (0, &[Kind::Tickcast][..]));
        assert_eq!(found[1].offer.args[&Kind::Tickcast], ["--spin", "always"]);
        let options =
            Options { variant: Some("spin".to_owned()), duration: Some(1.5), ..Options::default() };
        let found = variants_of(&rest, &options).unwrap();
        assert_eq!((found.len(), found[0].offer.duration), (1, 1.5));
        assert_eq!(variants_of(LOAD, &Options::default()).unwrap()[0].name, "");
    }

    #[test]
    fn a_mistake_in_a_variant_is_named() {
        let error = |rest: &str| {
            variants_of(&format!("{LOAD}[[variant]]\n{rest}"), &Options::default()).unwrap_err()
        };
        assert!(error("name = 'a'\ncolour = 1").contains("x: unknown field `colour`"));
        assert_eq!(error("name = 'a'\nrate = 0"), "x: a: rate = 0: expected a number above 0");
        assert_eq!(error("connections = 1"), "x: a variant has a name");
    }
}
