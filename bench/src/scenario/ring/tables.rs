//! The ring's tables: a row per contender, a column per cell, medians with their spread, and how ours
//! stands to the best of the disruptor's variants.

use super::contenders::Contender;
use super::{Cell, Publishing};
use crate::record::{Figure, Line, Record, Series, Table};

/// A column: where its figures are, and how they are shown.
struct Column {
    title: String,
    variant: String,
    figure: &'static str,
    /// Shown in units of this.
    unit: f64,
    best: Best,
}

#[derive(Clone, Copy)]
enum Best {
    Lowest,
    Highest,
}

pub(super) fn tables(record: &Record, cells: &[Cell], contenders: &[Contender]) -> Vec<Table> {
    let (mut costs, mut flows, mut pings) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        let variant = cell.name();
        let column = |title: &str, figure, unit, best| Column {
            title: title.to_owned(),
            variant: variant.clone(),
            figure,
            unit,
            best,
        };
        match cell {
            Cell::SameThread(publishing) => {
                let title = match publishing {
                    Publishing::Single => "publish one by one",
                    Publishing::Batch => "publish in batches",
                };
                costs.push(column(title, "publish_ns", 1.0, Best::Lowest));
                if *publishing == Publishing::Batch {
                    costs.push(column("read", "read_ns", 1.0, Best::Lowest));
                }
            }
            Cell::Throughput(..) => {
                flows.push(column(&variant, "records_per_s", 1e6, Best::Highest));
            }
            Cell::Ping => {
                for (title, figure) in [("p50", "p50_ns"), ("p99", "p99_ns"), ("p99.9", "p999_ns")]
                {
                    pings.push(column(title, figure, 1.0, Best::Lowest));
                }
            }
        }
    }
    [
        ("Cost of a record on one thread, ns (median, lowest–highest round)", costs),
        ("Million records a second, read by every reader (median, lowest–highest round)", flows),
        ("One record there and back between two cores, ns (median, lowest–highest round)", pings),
    ]
    .into_iter()
    .map(|(title, columns)| table(title, record, &columns, contenders))
    .filter(|table| !table.rows.is_empty())
    .collect()
}

/// Throughput against readers, a plot for each way to publish.
pub(super) fn series(record: &Record, cells: &[Cell], contenders: &[Contender]) -> Vec<Series> {
    let titles = [
        (Publishing::Single, "Records a second, one by one"),
        (Publishing::Batch, "Records a second, in batches"),
    ];
    let line = |publishing: Publishing, contender: &Contender| {
        let point = |cell: &Cell| match cell {
            Cell::Throughput(it, readers) if *it == publishing => {
                let one = record.summary_of(contender.name(), &cell.name())?;
                let readers = u32::try_from(*readers).unwrap_or(u32::MAX);
                Some((f64::from(readers), one.median("records_per_s")?))
            }
            _ => None,
        };
        let points: Vec<_> = cells.iter().filter_map(point).collect();
        (points.len() > 1).then(|| Line { name: contender.name().to_owned(), points })
    };
    titles
        .into_iter()
        .map(|(publishing, title)| Series {
            title: title.to_owned(),
            x: "readers, all on one core".to_owned(),
            y: "records a second, through to every reader".to_owned(),
            lines: contenders.iter().filter_map(|it| line(publishing, it)).collect(),
        })
        .filter(|series| !series.lines.is_empty())
        .collect()
}

fn table(title: &str, record: &Record, columns: &[Column], contenders: &[Contender]) -> Table {
    let figure = |contender: Contender, column: &Column| {
        record.summary_of(contender.name(), &column.variant)?.figures.get(column.figure).copied()
    };
    let mut rows = Vec::new();
    for contender in contenders {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| figure(*contender, column).map_or(String::new(), |it| text(it, column)))
            .collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push([vec![contender.name().to_owned()], cells].concat());
        }
    }
    let disruptors = [Contender::Disruptor, Contender::DisruptorAligned];
    for ours in [Contender::Ring, Contender::RingUnpaced] {
        let ratio = |column: &Column| {
            let theirs = disruptors.iter().filter_map(|it| Some(figure(*it, column)?.median));
            let best = match column.best {
                Best::Lowest => theirs.min_by(f64::total_cmp),
                Best::Highest => theirs.max_by(f64::total_cmp),
            };
            Some(format!("{:.2}", figure(ours, column)?.median / best?))
        };
        let cells: Vec<String> =
            columns.iter().map(|column| ratio(column).unwrap_or_default()).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push([vec![format!("{} ÷ best disruptor", ours.name())], cells].concat());
        }
    }
    let titles = columns.iter().map(|column| column.title.clone()).collect();
    Table { title: title.to_owned(), columns: [vec![String::new()], titles].concat(), rows }
}

fn text(figure: Figure, column: &Column) -> String {
    let Figure { median, min, max } = figure;
    let text = |value: f64| {
        let value = value / column.unit;
        let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        format!("{value:.places$}")
    };
    format!("{} ({}–{})", text(median), text(min), text(max))
}
