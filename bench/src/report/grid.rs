//! Tables of figures: a row per server, a column per figure, medians with their spread, and how ours
//! stands to the best peer.
//!
//! A server that failed an expectation is shown, marked, and compared with nobody.

use super::plot::Unit;
use crate::record::{Figure, Record, Summary};

/// What is ours, beside peers; with other settings more words follow.
const OURS: &str = "tickcast";

/// What is nobody's: a bare sender.
const BARE: &str = "bare ";

/// Figures that every load has, in the order in which they are read.
const MAIN: [(&str, &str, Better); 10] = [
    ("p50_ns", "p50", Better::Lower),
    ("p99_ns", "p99", Better::Lower),
    ("p999_ns", "p99.9", Better::Lower),
    ("max_ns", "max", Better::Lower),
    ("messages_per_s", "delivered a second", Better::Higher),
    ("skipped", "skipped", Better::Neither),
    ("cpu_ms_per_million", "CPU per million", Better::Lower),
    ("server_busy", "server’s cores", Better::Neither),
    ("generator_busy", "generator’s core", Better::Neither),
    ("pss_bytes", "memory", Better::Lower),
];

/// What is not worth a column: in the curves, or in figures beside it.
const LEFT_OUT: [&str; 1] = ["p90_ns"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Better {
    Lower,
    Higher,
    Neither,
}

/// A table of figures.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub(super) columns: Vec<String>,
    pub(super) groups: Vec<Group>,
}

/// The servers of one variant.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) variant: String,
    pub(super) rows: Vec<Row>,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: RowKind,
    pub(super) cells: Vec<Cell>,
}

/// What a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    Ours,
    Peer,
    /// Rounds that failed, of all.
    Failed(u32, u32),
    Ratio,
}

/// A figure as text.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub(super) median: String,
    /// Empty if all rounds had the same.
    pub(super) spread: String,
    /// A count that ought to be 0 is not.
    pub(super) is_bad: bool,
}

struct Column {
    key: String,
    title: String,
    better: Better,
}

/// The figures that all loads have; none if the record has no loads.
pub(super) fn main(record: &Record) -> Option<Grid> {
    if !is_load(record) {
        return None;
    }
    let is_there = |key: &str| record.summary.iter().any(|one| one.figures.contains_key(key));
    let columns = MAIN.iter().filter(|(key, ..)| is_there(key));
    let columns = columns.map(|(key, title, better)| Column {
        key: (*key).to_owned(),
        title: (*title).to_owned(),
        better: *better,
    });
    grid(record, columns.collect())
}

/// Whether there are runs that the generator reported on.
pub(super) fn is_load(record: &Record) -> bool {
    record.runs.iter().any(|run| run.report.is_some())
}

/// The figures of the record's own kind.
pub(super) fn further(record: &Record) -> Option<Grid> {
    let main = if is_load(record) { &MAIN[..] } else { &[] };
    let mut keys: Vec<&String> = record.summary.iter().flat_map(|one| one.figures.keys()).collect();
    keys.sort();
    keys.dedup();
    let is_further = |key: &&&String| {
        !LEFT_OUT.contains(&key.as_str()) && main.iter().all(|(main, ..)| *main != key.as_str())
    };
    let columns = keys.iter().filter(is_further).map(|key| Column {
        key: (*key).clone(),
        title: title(key),
        better: better(key),
    });
    grid(record, columns.collect())
}

/// `reconnected_p99_ms` is read as “reconnected p99”: the unit stands at each figure.
fn title(key: &str) -> String {
    let units = ["_ns", "_us", "_ms", "_bytes", "_busy"];
    let name = units.iter().find_map(|unit| key.strip_suffix(unit)).unwrap_or(key);
    let name =
        name.strip_suffix("_per_s").map_or(name.to_owned(), |rate| rate.to_owned() + " a second");
    name.replace("_bytes_per_", " per ").replace("_us_per_", " per ").replace('_', " ")
}

fn better(key: &str) -> Better {
    let (unit, _) = Unit::of(key);
    if key.starts_with("publisher") {
        // How late ticks were offered is not the server's doing.
        Better::Neither
    } else if key.ends_with("per_s") {
        Better::Higher
    } else if matches!(unit, Unit::Ns | Unit::Bytes) {
        Better::Lower
    } else {
        Better::Neither
    }
}

fn grid(record: &Record, columns: Vec<Column>) -> Option<Grid> {
    if columns.is_empty() {
        return None;
    }
    let mut variants: Vec<&str> = Vec::new();
    for one in &record.summary {
        if !variants.contains(&one.variant.as_str()) {
            variants.push(&one.variant);
        }
    }
    let groups = variants.into_iter().map(|variant| {
        let of = record.summary.iter().filter(|one| one.variant == variant);
        group(variant, &of.collect::<Vec<_>>(), &columns)
    });
    let groups = groups.filter(|group| !group.rows.is_empty()).collect();
    Some(Grid { columns: columns.into_iter().map(|column| column.title).collect(), groups })
}

fn group(variant: &str, servers: &[&Summary], columns: &[Column]) -> Group {
    let is_empty = |row: &Row| row.cells.iter().all(|cell| cell.median.is_empty());
    let mut rows: Vec<Row> = servers.iter().map(|server| row(server, columns)).collect();
    let ours = servers.iter().find(|server| server.server == OURS);
    let peers: Vec<&Summary> = servers
        .iter()
        .filter(|one| !is_ours(&one.server) && !one.server.starts_with(BARE) && one.failed == 0)
        .copied()
        .collect();
    if let Some(ours) = ours.filter(|ours| ours.failed == 0)
        && !peers.is_empty()
    {
        let cells = columns.iter().map(|column| ratio(ours, &peers, column)).collect();
        rows.push(Row { name: format!("{OURS} ÷ best peer"), kind: RowKind::Ratio, cells });
    }
    // A figure that some servers have says nothing about the others.
    rows.retain(|row| !is_empty(row));
    Group { variant: variant.to_owned(), rows }
}

fn is_ours(server: &str) -> bool {
    server.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn row(server: &Summary, columns: &[Column]) -> Row {
    let kind = match (server.failed, is_ours(&server.server)) {
        (1.., _) => RowKind::Failed(server.failed, server.rounds),
        (0, true) => RowKind::Ours,
        (0, false) => RowKind::Peer,
    };
    let cells = columns.iter().map(|column| {
        server.figures.get(&column.key).map_or_else(Cell::default, |it| cell(&column.key, *it))
    });
    Row { name: server.server.clone(), kind, cells: cells.collect() }
}

fn cell(key: &str, figure: Figure) -> Cell {
    let (unit, factor) = Unit::of(key);
    let text = |value: f64| unit.text(value * factor);
    let Figure { median, min, max } = figure;
    let (low, high) = (text(min), text(max));
    let spread = if low == high { String::new() } else { format!("{low} – {high}") };
    Cell { median: text(median), spread, is_bad: key == "skipped" && max > 0.0 }
}

fn ratio(ours: &Summary, peers: &[&Summary], column: &Column) -> Cell {
    let theirs = peers.iter().filter_map(|peer| peer.median(&column.key));
    let best = match column.better {
        Better::Lower => theirs.min_by(f64::total_cmp),
        Better::Higher => theirs.max_by(f64::total_cmp),
        Better::Neither => None,
    };
    let ratio = ours.median(&column.key).zip(best).filter(|(_, best)| *best > 0.0);
    let median = ratio.map_or_else(String::new, |(ours, best)| format!("{:.2}", ours / best));
    Cell { median, ..Cell::default() }
}
