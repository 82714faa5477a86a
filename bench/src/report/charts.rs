//! Which plots a record gives: curves of latencies, and figures against what a sweep changed.
//!
//! A sweep is a server whose variants differ in one thing that was offered; what is drawn against it
//! follows from what it is.

use super::plot::{Axis, COLOURS, Line, Plot, Scale, Shape, Unit, float};
use crate::generator::report::Report;
use crate::latency::Latency;
use crate::record::{Record, Series, Summary};

/// Fewer points are in the table, where they are read more easily.
const SWEEP_MIN: usize = 3;

/// Each name its colour, in the whole report.
#[derive(Clone, Debug, Default)]
pub(super) struct Colours(Vec<String>);

impl Colours {
    /// Of all servers; the first colour is ours.
    pub(super) fn new(records: &[Record]) -> Self {
        let mut names = vec!["tickcast".to_owned()];
        for run in records.iter().flat_map(|record| &record.runs) {
            if !names.contains(&run.server) {
                names.push(run.server.clone());
            }
        }
        Self(names)
    }

    fn of(&self, name: &str, or: usize) -> usize {
        self.0.iter().position(|known| known == name).unwrap_or(or) % COLOURS
    }
}

/// All plots of a record, in the order in which they are shown.
pub(super) fn plots(record: &Record, colours: &Colours) -> Vec<Plot> {
    let mut plots = curves(record, colours);
    plots.extend(workers(record));
    plots.extend(sweeps(record, colours));
    plots.extend(record.series.iter().filter_map(|series| own(series, colours)));
    plots
}

/// Latency at each percentile, per server; one plot per variant, or one of all variants of a server
/// that is alone.
fn curves(record: &Record, colours: &Colours) -> Vec<Plot> {
    let with_latencies: Vec<&Summary> = record
        .summary
        .iter()
        .filter(|one| merged(record, one, |report| Some(&report.histogram)).is_some())
        .collect();
    let is_alone = with_latencies.iter().all(|one| one.server == with_latencies[0].server);
    let mut groups: Vec<(String, Vec<&Summary>)> = Vec::new();
    for one in with_latencies {
        let key = if is_alone { String::new() } else { one.variant.clone() };
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(one),
            None => groups.push((key, vec![one])),
        }
    }
    let plot = |(variant, group): (String, Vec<&Summary>)| {
        let lines = group.iter().enumerate().filter_map(|(index, one)| {
            let latency = merged(record, one, |report| Some(&report.histogram))?;
            let has_names = !is_alone || one.variant.is_empty();
            let (name, colour) = if has_names {
                (one.server.clone(), colours.of(&one.server, index))
            } else {
                (one.variant.clone(), index)
            };
            let name = if one.failed > 0 { format!("✗ {name}") } else { name };
            Some((name, colour, latency))
        });
        percentiles("Latency by percentile", &variant, lines.collect())
    };
    groups.into_iter().filter_map(plot).collect()
}

/// The same per worker of the generator, where there are several.
fn workers(record: &Record) -> Vec<Plot> {
    let plot = |one: &Summary| {
        let reports = reports(record, one);
        let count = reports.iter().map(|report| report.workers.len()).max()?;
        let lines = (0..count).filter_map(|worker| {
            let of = |report: &Report| report.workers.get(worker)?.histogram.clone();
            let latencies: Vec<Latency> = reports.iter().filter_map(|report| of(report)).collect();
            Some((format!("worker {worker}"), worker, sum(latencies.iter())?))
        });
        let lines: Vec<_> = lines.collect();
        let name = [one.server.as_str(), one.variant.as_str()].join(" ");
        (lines.len() > 1).then(|| percentiles("Latency per worker", name.trim(), lines)).flatten()
    };
    record.summary.iter().filter_map(plot).collect()
}

fn reports<'a>(record: &'a Record, one: &Summary) -> Vec<&'a Report> {
    let runs = record.runs.iter();
    let of = runs.filter(|run| run.server == one.server && run.variant == one.variant);
    of.filter_map(|run| run.report.as_ref()).collect()
}

/// All rounds' latencies in one; none if there are none.
fn merged<'a>(
    record: &'a Record,
    one: &Summary,
    of: impl Fn(&'a Report) -> Option<&'a Latency>,
) -> Option<Latency> {
    sum(reports(record, one).into_iter().filter_map(of))
}

fn sum<'a>(latencies: impl Iterator<Item = &'a Latency>) -> Option<Latency> {
    let mut sum = Latency::default();
    latencies.for_each(|latency| sum.add(latency));
    (sum.percentiles().count > 0).then_some(sum)
}

fn percentiles(title: &str, variant: &str, lines: Vec<(String, usize, Latency)>) -> Option<Plot> {
    let count = |latency: &Latency| precise(latency.percentiles().count);
    let most = lines.iter().map(|(.., latency)| count(latency)).fold(0.0, f64::max);
    let lines: Vec<Line> = lines
        .into_iter()
        .map(|(name, colour, latency)| {
            let all = count(&latency);
            let mut below = 0.0;
            let mut points = Vec::new();
            for (value, times) in latency.steps() {
                // Both ends of what this value covers: the curve is one of steps.
                points.push((below / all, precise(value)));
                below += precise(times);
                // The last sample is the maximum, at the percentile that it alone is above.
                points.push(((below / all).min(1.0 - 1.0 / all.max(2.0)), precise(value)));
            }
            let it = latency.percentiles();
            let [p50, p99, max] =
                [it.p50_ns, it.p99_ns, it.max_ns].map(|ns| Unit::Ns.text(precise(ns)));
            let remark =
                format!("p50 {p50}, p99 {p99}, max {max}, {} samples", Unit::Plain.text(all));
            Line { name, colour, points, remark }
        })
        .collect();
    if lines.is_empty() {
        return None;
    }
    let values = lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value));
    let title = if variant.is_empty() { title.to_owned() } else { format!("{title}: {variant}") };
    Some(Plot {
        title,
        x: Axis { label: "percentile".to_owned(), unit: Unit::Quantile, scale: Scale::nines(most) },
        y: Axis { label: "latency".to_owned(), unit: Unit::Ns, scale: Scale::log(values) },
        shape: Shape::Curve,
        lines,
    })
}

/// A label, the unit, and how the figure is found.
type Measure = (&'static str, Unit, fn(&Summary) -> Option<f64>);

/// What may be drawn against what.
struct Sweep {
    title: &'static str,
    x: Measure,
    y: Measure,
    /// What a server's variants must differ in, and what they must agree in.
    differs: fn(&Summary) -> f64,
    agrees: fn(&Summary) -> f64,
}

const SWEEPS: [Sweep; 7] = [
    Sweep {
        title: "Latency against throughput: median",
        x: ("delivered a second", Unit::Plain, |one| one.median("messages_per_s")),
        y: ("latency, p50", Unit::Ns, |one| one.median("p50_ns")),
        differs: |one| one.offered.deliveries_per_s,
        agrees: |one| precise(one.offered.connections),
    },
    Sweep {
        title: "Latency against throughput: 99th percentile",
        x: ("delivered a second", Unit::Plain, |one| one.median("messages_per_s")),
        y: ("latency, p99", Unit::Ns, |one| one.median("p99_ns")),
        differs: |one| one.offered.deliveries_per_s,
        agrees: |one| precise(one.offered.connections),
    },
    Sweep {
        title: "Latency against CPU, at the same load: median",
        x: ("cores used by the server", Unit::Share, |one| one.median("server_busy")),
        y: ("latency, p50", Unit::Ns, |one| one.median("p50_ns")),
        differs: |one| one.median("server_busy").unwrap_or(0.0),
        agrees: offer,
    },
    Sweep {
        title: "Latency against CPU, at the same load: 99th percentile",
        x: ("cores used by the server", Unit::Share, |one| one.median("server_busy")),
        y: ("latency, p99", Unit::Ns, |one| one.median("p99_ns")),
        differs: |one| one.median("server_busy").unwrap_or(0.0),
        agrees: offer,
    },
    Sweep {
        title: "CPU for a million deliveries against connections",
        x: ("connections", Unit::Plain, |one| Some(precise(one.offered.connections))),
        y: ("CPU time", Unit::Ns, |one| Some(one.median("cpu_ms_per_million")? * 1e6)),
        differs: |one| precise(one.offered.connections),
        agrees: |one| precise(one.offered.per_connection),
    },
    Sweep {
        title: "CPU for a million deliveries against topics per connection",
        x: ("topics per connection", Unit::Plain, |one| Some(precise(one.offered.per_connection))),
        y: ("CPU time", Unit::Ns, |one| Some(one.median("cpu_ms_per_million")? * 1e6)),
        differs: |one| precise(one.offered.per_connection),
        agrees: |one| precise(one.offered.connections),
    },
    Sweep {
        title: "Memory against connections",
        x: ("connections", Unit::Plain, |one| Some(precise(one.offered.connections))),
        y: ("proportional set size", Unit::Bytes, |one| one.median("pss_bytes")),
        differs: |one| precise(one.offered.connections),
        agrees: |one| precise(one.offered.per_connection),
    },
];

/// Everything that was offered, in one number that differs if any of it does.
fn offer(one: &Summary) -> f64 {
    let it = &one.offered;
    it.rate.mul_add(1e3, precise(it.connections) * 7.0)
        + precise(it.topics) * 11.0
        + precise(it.per_connection) * 13.0
}

fn sweeps(record: &Record, colours: &Colours) -> Vec<Plot> {
    SWEEPS.iter().filter_map(|sweep| sweep.plot(record, colours)).collect()
}

/// A server's variants that are the same but for their figures.
struct Family<'a> {
    server: &'a str,
    words: String,
    members: Vec<&'a Summary>,
}

/// What each server's line is made of: all of its variants, or, if there are several families that are
/// each big enough to be drawn, a line for each.
fn swept(record: &Record) -> Vec<(String, Vec<&Summary>)> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for one in &record.summary {
        let words = one.variant.replace(|it: char| it.is_ascii_digit() || it == ',', "");
        let is_its =
            |family: &&mut Family<'_>| family.server == one.server && family.words == words;
        match families.iter_mut().find(is_its) {
            Some(family) => family.members.push(one),
            None => families.push(Family { server: &one.server, words, members: vec![one] }),
        }
    }
    let is_apart = |server: &str| {
        let mut sizes = families.iter().filter(|it| it.server == server).map(|it| it.members.len());
        sizes.clone().count() > 1 && sizes.all(|size| size >= SWEEP_MIN)
    };
    let mut lines: Vec<(String, Vec<&Summary>)> = Vec::new();
    for Family { server, members, .. } in &families {
        if is_apart(server) {
            let name = members[0].variant.split(|it: char| it.is_ascii_digit()).next();
            lines.push((format!("{server}, {}", name.unwrap_or_default().trim()), members.clone()));
        } else if let Some((_, line)) = lines.iter_mut().find(|(known, _)| known == server) {
            line.extend(members);
        } else {
            lines.push(((*server).to_owned(), members.clone()));
        }
    }
    lines
}

impl Sweep {
    fn plot(&self, record: &Record, colours: &Colours) -> Option<Plot> {
        let mut lines: Vec<Line> = Vec::new();
        for (index, (server, of)) in swept(record).into_iter().enumerate() {
            if !self.is_swept(&of) {
                continue;
            }
            let point = |one: &&Summary| Some(((self.x.2)(one)?, (self.y.2)(one)?));
            let mut points: Vec<(f64, f64)> = of.iter().filter_map(point).collect();
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            let name = if of.iter().any(|one| one.failed > 0) {
                format!("✗ {server}")
            } else {
                server.clone()
            };
            let failed = of.iter().filter(|one| one.failed > 0).count();
            let remark = if failed > 0 { format!("{failed} points failed") } else { String::new() };
            lines.push(Line { name, colour: colours.of(&server, index), points, remark });
        }
        let axis = |label: &str, unit, scale| Axis { label: label.to_owned(), unit, scale };
        let x = lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
        let y = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
        let (x, y) = (
            axis(self.x.0, self.x.1, Scale::fitting(x)),
            axis(self.y.0, self.y.1, Scale::fitting(y)),
        );
        let title = self.title.to_owned();
        (!lines.is_empty()).then_some(Plot { title, x, y, shape: Shape::Points, lines })
    }

    fn is_swept(&self, of: &[&Summary]) -> bool {
        let mut values: Vec<f64> = of.iter().map(|one| (self.differs)(one)).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let first = of.first().map(|one| (self.agrees)(one).to_bits());
        values.len() >= SWEEP_MIN
            && of.iter().all(|one| Some((self.agrees)(one).to_bits()) == first)
    }
}

/// A series of the record's own.
fn own(series: &Series, colours: &Colours) -> Option<Plot> {
    let ((x_unit, x_factor), (y_unit, y_factor)) = (Unit::of(&series.x), Unit::of(&series.y));
    let line = |(index, line): (usize, &crate::record::Line)| Line {
        name: line.name.clone(),
        colour: colours.of(&line.name, index),
        points: line.points.iter().map(|(x, y)| (x * x_factor, y * y_factor)).collect(),
        remark: String::new(),
    };
    let mut lines: Vec<Line> = series.lines.iter().enumerate().map(line).collect();
    // Names that are no servers' are coloured by their order; two of a colour would be one.
    let colours: Vec<usize> = lines.iter().map(|line| line.colour).collect();
    if colours.iter().enumerate().any(|(index, colour)| colours[..index].contains(colour)) {
        (0..).zip(&mut lines).for_each(|(index, line)| line.colour = index);
    }
    let x = lines.iter().flat_map(|line| line.points.iter().map(|point| point.0));
    let y = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let longest = lines.iter().map(|line| line.points.len()).max()?;
    Some(Plot {
        title: series.title.clone(),
        x: Axis { label: series.x.clone(), unit: x_unit, scale: Scale::fitting(x) },
        y: Axis { label: series.y.clone(), unit: y_unit, scale: Scale::fitting(y) },
        // More points than that are a curve.
        shape: if float(longest) > 40.0 { Shape::Curve } else { Shape::Points },
        lines: lines.clone(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: 53 bits are plenty")]
const fn precise(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::About;

    /// The lines that these variants of one server make.
    fn lines(variants: &[&str]) -> Vec<(String, usize)> {
        let mut record = Record::new(About::default());
        record.summary.extend(variants.iter().map(|variant| Summary {
            server: "bun".to_owned(),
            variant: (*variant).to_owned(),
            ..Summary::default()
        }));
        swept(&record).into_iter().map(|(name, members)| (name, members.len())).collect()
    }

    #[test]
    fn two_settings_are_two_lines_and_the_points_of_one_are_one() {
        let searched = ["one by one 400 ticks/s", "one by one 600 ticks/s", "one by one 9 ticks/s"];
        assert_eq!(lines(&searched), [("bun".to_owned(), 3)]);
        let turn = ["a turn 400 ticks/s", "a turn 600 ticks/s", "a turn 900 ticks/s"];
        let both = [searched, turn].concat();
        let expected = [("bun, one by one".to_owned(), 3), ("bun, a turn".to_owned(), 3)];
        assert_eq!(lines(&both), expected);
        // Of other words, but too few to be a line each.
        assert_eq!(lines(&["1 topic", "10 topics", "1,000 topics"]), [("bun".to_owned(), 3)]);
    }
}
