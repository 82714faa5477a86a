//! `ceiling`: what the machine can do at best, and servers beside it: the same sockets, bytes and
//! clients with a bare loop of sends, in turns with servers under the same load.

use serde::Deserialize;
use toml::{Table, Value};

use super::expect::Expect;
use super::offer::Offer;
use super::trial::{Trial, line};
use super::{Options, Scenario, ScenarioError};
use crate::ceiling::{Order, Sender, SenderArgs, Via};
use crate::generator::load::{self, LoadArgs};
use crate::generator::report::Ns;
use crate::record::{self, Record, Run, float};
use crate::server::{Kind, Spec};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(default = "super::three")]
    rounds: u32,
    /// The bare senders: each order with each way to the kernel.
    orders: Vec<Order>,
    #[serde(default = "send")]
    via: Vec<Via>,
    /// Sends of one system call, with io_uring.
    #[serde(default = "sixty_four")]
    group: usize,
    /// Servers under the same load.
    #[serde(default)]
    beside: Vec<Beside>,
    /// What all points have in common, as in `fanout`.
    #[serde(default)]
    load: Table,
    /// Each has its connections and its rate, and may have a duration.
    point: Vec<Table>,
    #[serde(default)]
    expect: Expect,
}

/// A server, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Beside {
    server: Kind,
    /// Sets it apart from the same server with other arguments.
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Vec<String>,
}

const fn sixty_four() -> usize {
    64
}

fn send() -> Vec<Via> {
    vec![Via::Send]
}

pub(super) fn run(
    scenario: &Scenario,
    options: &Options,
    record: &mut Record,
) -> Result<(), ScenarioError> {
    let settings: Settings = scenario.settings()?;
    let points = points(scenario, &settings, options)?;
    for round in 1..=options.rounds.unwrap_or(settings.rounds) {
        for offer in &points {
            for via in &settings.via {
                for order in &settings.orders {
                    record.runs.push(bare(offer, *order, *via, &settings, round)?);
                }
            }
            for beside in &settings.beside {
                let is_wanted = |kinds: &Vec<Kind>| kinds.contains(&beside.server);
                if options.server.as_ref().is_none_or(is_wanted) {
                    record.runs.push(served(offer, beside, &settings, round)?);
                }
            }
        }
    }
    record.summarise();
    let table = table(record, &points);
    record.tables.push(table);
    Ok(())
}

fn points(
    scenario: &Scenario,
    settings: &Settings,
    options: &Options,
) -> Result<Vec<Offer>, ScenarioError> {
    let mut offers = Vec::new();
    for point in &settings.point {
        let mut table = settings.load.clone();
        table.extend(point.clone());
        let offer: Result<Offer, _> = Value::Table(table).try_into();
        let mut offer = offer
            .map_err(|error| ScenarioError::Settings { name: scenario.name.clone(), error })?;
        if let Some(duration) = options.duration {
            offer.duration = duration;
        }
        let complaint = offer.complaint().or_else(|| {
            let is_bare = offer.topics == 1 && !offer.server_cores.is_empty();
            (!is_bare).then(|| "a bare sender has one topic and a core".to_owned())
        });
        scenario.refuse(complaint)?;
        if options.variant.as_ref().is_none_or(|part| variant(&offer).contains(part)) {
            offers.push(offer);
        }
    }
    Ok(offers)
}

/// The name of a point.
fn variant(offer: &Offer) -> String {
    format!("{} × {}/s", offer.connections, offer.rate)
}

/// The load of a point. When the last one had each tick is noted where ticks are so few that it costs
/// nothing.
fn load(offer: &Offer) -> LoadArgs {
    LoadArgs { last_arrivals: is_burst(offer), ..offer.load() }
}

/// Whether a tick has gone everywhere before the next one comes, on any machine.
fn is_burst(offer: &Offer) -> bool {
    float(offer.connections) * offer.rate <= 20_000.0
}

fn bare(
    offer: &Offer,
    order: Order,
    via: Via,
    settings: &Settings,
    round: u32,
) -> Result<Run, ScenarioError> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "numbers of seconds and ticks, saturating"
    )]
    let whole = |value: f64| value.ceil() as u64;
    let opening_s = float(offer.connections) / offer.ramp_rate;
    let sender = Sender::start(&SenderArgs {
        connections: offer.connections,
        order,
        via,
        group: settings.group,
        rate: offer.rate,
        warm_up_ticks: whole(offer.warm_up * offer.rate),
        cpu: offer.server_cores.first().copied().unwrap_or(0),
        seconds: whole(opening_s + offer.warm_up + offer.duration + offer.drain) + 30,
    })?;
    let report = load::run(&LoadArgs { url: sender.url(), ..load(offer) })?;
    let said = sender.finish()?;
    let mut run = trial(offer, offer.spec(Kind::Tickcast), settings, round).outcome(report);
    run.server = format!("bare {} {}", order.name(), via.name());
    add_figures(&mut run);
    let pass = said.pass.percentiles();
    for (name, value) in [
        ("ns_per_send", said.ns_per_send()),
        ("pass_p50_ns", Some(float(pass.p50_ns))),
        ("pass_max_ns", Some(float(pass.max_ns))),
        ("sends_blocked", Some(float(said.blocked))),
    ] {
        if let Some(value) = value {
            run.extra.insert(name.to_owned(), value);
        }
    }
    eprintln!("  {}", line(&run));
    Ok(run)
}

fn served(
    offer: &Offer,
    beside: &Beside,
    settings: &Settings,
    round: u32,
) -> Result<Run, ScenarioError> {
    let mut spec = offer.spec(beside.server);
    spec.args.extend(beside.args.iter().cloned());
    let mut run = trial(offer, spec, settings, round).run()?;
    if !beside.name.is_empty() {
        run.server = format!("{} {}", run.server, beside.name);
    }
    add_figures(&mut run);
    Ok(run)
}

fn trial(offer: &Offer, spec: Spec, settings: &Settings, round: u32) -> Trial {
    Trial {
        spec,
        load: load(offer),
        offered: offer.offered(),
        expect: settings.expect,
        variant: variant(offer),
        round,
    }
}

/// The figures that a scenario of this kind is about.
fn add_figures(run: &mut Run) {
    let Some(report) = &run.report else { return };
    let mut put = |name: &str, value_ns: u64| {
        run.extra.insert(name.to_owned(), float(value_ns));
    };
    put("from_ring_p50_ns", report.from_ring.p50_ns);
    put("from_ring_p99_ns", report.from_ring.p99_ns);
}

/// Medians over rounds; ratios to the first line of each point, which is the bare one.
fn table(record: &Record, points: &[Offer]) -> record::Table {
    let columns = [
        "connections × ticks",
        "",
        "a send",
        "a pass, p50",
        "until the last has it, p50",
        "×",
        "due to client, p50",
        "p99",
        "ring to client, p50",
        "×",
        "p99",
        "×",
        "failed",
    ];
    let mut rows = Vec::new();
    for point in points {
        let variant = variant(point);
        let mut first = None;
        for summary in record.summary.iter().filter(|summary| summary.variant == variant) {
            let base = *first.get_or_insert(summary);
            let time = |name: &str| summary.median(name).map_or_else(dash, figure);
            let ratio = |name: &str| {
                let ratio = summary.median(name).zip(base.median(name));
                ratio.map_or_else(dash, |(here, there)| format!("{:.2}", here / there))
            };
            rows.push(vec![
                variant.clone(),
                summary.server.clone(),
                time("ns_per_send"),
                time("pass_p50_ns"),
                time("last_arrival_p50_ns"),
                ratio("last_arrival_p50_ns"),
                time("p50_ns"),
                time("p99_ns"),
                time("from_ring_p50_ns"),
                ratio("from_ring_p50_ns"),
                time("from_ring_p99_ns"),
                ratio("from_ring_p99_ns"),
                format!("{} of {}", summary.failed, summary.rounds),
            ]);
        }
    }
    record::Table {
        title: "Medians over the rounds; × is the ratio to the first line of the same load"
            .to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows,
    }
}

fn dash() -> String {
    "–".to_owned()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure for people")]
fn figure(ns: f64) -> String {
    Ns(ns.round() as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "kind = 'ceiling'\ntitle = 't'\nwhy = 'w'\norders = ['late-binding']\n";

    fn offers(rest: &str) -> Result<Vec<Offer>, String> {
        let scenario = Scenario::parse("x", &format!("{HEAD}{rest}")).map_err(|e| e.to_string())?;
        let settings: Settings = scenario.settings().map_err(|e| e.to_string())?;
        points(&scenario, &settings, &Options::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_point_goes_before_what_all_have_in_common() {
        let offers = offers(
            "load.duration = 3\n[[point]]\nconnections = 100\nrate = 1\n\
             [[point]]\nconnections = 5000\nrate = 1000\nduration = 7",
        );
        let offers = offers.unwrap();
        let seen: Vec<_> = offers.iter().map(|o| (variant(o), o.duration, is_burst(o))).collect();
        assert_eq!(
            seen,
            [("100 × 1/s".to_owned(), 3.0, true), ("5000 × 1000/s".to_owned(), 7.0, false)]
        );
    }

    #[test]
    fn what_a_bare_sender_cannot_do_is_refused() {
        let error = offers("[[point]]\nconnections = 10\nrate = 1\ntopics = 2").unwrap_err();
        assert!(error.contains("one topic"), "{error}");
        let error = offers("via = ['pigeon']\n[[point]]").unwrap_err();
        assert!(error.contains("unknown variant `pigeon`"), "{error}");
    }

    #[test]
    fn ratios_are_to_the_bare_sender_of_the_same_point() {
        let about = record::About::default();
        let mut record = Record::new(about);
        let run = |server: &str, last_ns: f64| Run {
            server: server.to_owned(),
            variant: "100 × 1/s".to_owned(),
            round: 1,
            offered: record::Offered::default(),
            report: None,
            server_usage: None,
            failures: Vec::new(),
            extra: [("last_arrival_p50_ns".to_owned(), last_ns)].into(),
        };
        record.runs = vec![run("bare burst send", 2e6), run("tickcast", 2.1e6)];
        record.summarise();
        let offers = offers("[[point]]\nconnections = 100\nrate = 1").unwrap();
        let table = table(&record, &offers);
        let seen: Vec<_> =
            table.rows.iter().map(|row| (&row[1][..], &row[4][..], &row[5][..])).collect();
        assert_eq!(seen, [("bare burst send", "2.00 ms", "1.00"), ("tickcast", "2.10 ms", "1.05")]);
    }
}
