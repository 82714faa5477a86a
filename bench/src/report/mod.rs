//! `bench report`: records as one page that needs nothing else, and as tables for documents.
//!
//! A report shows what was kept and hides nothing: runs that failed an expectation are named before
//! any figure, and take no part in comparisons. It computes nothing that records do not have but
//! ratios; `plot` draws, `grid` makes tables of figures, `charts` decides what to draw.

mod charts;
mod findings;
mod grid;
mod page;
pub(crate) mod plot;
mod section;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::record::{Record, RecordError};
use crate::stdout;

/// Show records.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Where the records are; report.html goes there too.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print the tables as Markdown instead.
    #[arg(long)]
    markdown: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ReportError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("{0}: {1}")]
    File(PathBuf, #[source] std::io::Error),
    #[error("{0}: no records, that is files of `bench run`")]
    Empty(PathBuf),
}

pub(crate) fn run(args: &ReportArgs) -> Result<(), ReportError> {
    let records = records(&args.folder)?;
    if args.markdown {
        stdout::say(page::markdown(&records));
        return Ok(());
    }
    let path = args.folder.join("report.html");
    std::fs::write(&path, page::html(&records))
        .map_err(|error| ReportError::File(path.clone(), error))?;
    stdout::say(format_args!("{}\n", path.display()));
    Ok(())
}

/// The folder's records, by name.
fn records(folder: &Path) -> Result<Vec<Record>, ReportError> {
    let failed = |error| ReportError::File(folder.to_owned(), error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(ReportError::Empty(folder.to_owned()));
    }
    Ok(paths.iter().map(|path| Record::read(path)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cpu::CpuUse;
    use crate::generator::plan::{Connections, WorkerReport};
    use crate::generator::report::{Expect, Report};
    use crate::generator::tally::{Accounting, Traffic};
    use crate::latency::Latency;
    use crate::record::{About, Line, Offered, Run, Series, ServerUsage, Table};

    /// A worker whose latencies are a thousand around `latency_ns`, and that was busy all the time.
    fn worker(latency_ns: u64, skipped: u64) -> WorkerReport {
        let mut healthy = Latency::default();
        (0..1000).for_each(|i| healthy.record(latency_ns + latency_ns * i / 1000));
        WorkerReport {
            worker: 0,
            connections: Connections {
                wanted: 10,
                opened: 10,
                received: 10,
                ..Connections::default()
            },
            traffic: Traffic { messages: 1000, messages_in_window: 1000, ..Traffic::default() },
            accounting: Accounting { skipped, healthy_skipped: skipped, ..Accounting::default() },
            healthy,
            stalled: Latency::default(),
            from_ring: Latency::default(),
            ring_delay: Latency::default(),
            handshake: Latency::default(),
            last_arrivals: Default::default(),
            recovery: Default::default(),
            ramp_ns: 1,
            cpu: CpuUse { user_ns: 990_000_000, ..CpuUse::default() },
            wall_ns: 1_000_000_000,
            window_ns: 1_000_000_000,
        }
    }

    fn run(server: &str, variant: &str, round: u32, latency_ns: u64, skipped: u64) -> Run {
        let report = Report::new(BTreeMap::new(), Expect::Messages, &[worker(latency_ns, skipped)]);
        let connections = if variant == "more" { 20 } else { 10 };
        Run {
            server: server.to_owned(),
            variant: variant.to_owned(),
            round,
            offered: Offered { connections, deliveries_per_s: 1000.0, ..Offered::default() },
            report: Some(report),
            server_usage: Some(ServerUsage {
                busy: 0.5,
                cpu_ms_per_million: 100.0,
                pss_after: 1 << 20,
                ..ServerUsage::default()
            }),
            failures: if skipped > 0 {
                vec![format!("{skipped} skipped at connections that read")]
            } else {
                Vec::new()
            },
            extra: BTreeMap::from([("odd_ms".to_owned(), 3.0)]),
        }
    }

    fn record(skipped: u64) -> Record {
        let about = About {
            name: "some".to_owned(),
            kind: "fanout".to_owned(),
            title: "Ticks & <clients>".to_owned(),
            why: "To \"see\".".to_owned(),
            settings: serde_json::json!({"rounds": 2}),
        };
        let mut record = Record::new(about);
        for round in 1..=2 {
            for variant in ["few", "more"] {
                record.runs.push(run("tickcast", variant, round, 1_000_000, skipped));
                record.runs.push(run("bun", variant, round, 2_000_000, 0));
                record.runs.push(run("nats", variant, round, 500_000, 7));
            }
        }
        record.summarise();
        record.tables.push(Table {
            title: "A table".to_owned(),
            columns: vec!["what".to_owned(), "a|b".to_owned()],
            rows: vec![vec!["x < y".to_owned(), "12.5".to_owned()]],
        });
        record.series.push(Series {
            title: "A series".to_owned(),
            x: "connections".to_owned(),
            y: "memory, bytes".to_owned(),
            lines: vec![Line { name: "user".to_owned(), points: vec![(1.0, 5.0), (9.0, 80.0)] }],
        });
        record.notes.push("A note.".to_owned());
        record
    }

    /// The page as XML, which it is too but for the document type.
    fn parsed(html: &str) -> roxmltree::Document<'_> {
        let text = html.strip_prefix("<!DOCTYPE html>\n").expect("a document type");
        roxmltree::Document::parse(text).unwrap()
    }

    fn text(node: roxmltree::Node<'_, '_>) -> String {
        node.descendants().filter(roxmltree::Node::is_text).filter_map(|it| it.text()).collect()
    }

    #[test]
    fn a_report_is_well_formed_and_needs_nothing_else() {
        let html = page::html(&[record(0)]);
        let document = parsed(&html);
        let tags: Vec<&str> = document.descendants().map(|it| it.tag_name().name()).collect();
        assert!(tags.iter().filter(|tag| **tag == "svg").count() >= 3, "curves and the series");
        for needless in ["script", "link", "img", "iframe"] {
            assert!(!tags.contains(&needless), "{needless}");
        }
        assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("url("));
        let all = text(document.root_element());
        for expected in [
            "Ticks & <clients>",
            "To \"see\".",
            "cargo run --release -p bench -- run some",
            "A table",
            "x < y",
            "A note.",
            "A series",
        ] {
            assert!(all.contains(expected), "{expected}");
        }
    }

    #[test]
    fn a_run_that_skipped_ticks_does_not_look_like_a_win() {
        let html = page::html(&[record(4)]);
        let document = parsed(&html);
        let alerts: Vec<String> = document
            .descendants()
            .filter(|it| it.attribute("class") == Some("failures"))
            .map(text)
            .collect();
        let alerts = alerts.join("\n");
        assert!(alerts.contains("tickcast"), "{alerts}");
        assert!(alerts.contains("4 skipped at connections that read"), "{alerts}");
        let all = text(document.root_element());
        assert!(!all.contains("0.50"), "half of a peer's latency, but not of all ticks");
        let markdown = page::markdown(&[record(4)]);
        assert!(markdown.contains("**failed in 2 of 2 rounds**"), "{markdown}");
        assert!(markdown.contains("4 skipped at connections that read"), "{markdown}");
    }

    #[test]
    fn the_best_peer_is_one_that_did_not_fail() {
        // nats is faster than both, and skips.
        let markdown = page::markdown(&[record(0)]);
        let ratio = markdown.lines().find(|line| line.contains("÷ best peer")).unwrap();
        assert!(ratio.contains("0.50"), "{ratio}");
        assert!(markdown.contains("7 skipped"), "{markdown}");
        assert!(markdown.contains("a\\|b"), "a bar in a cell: {markdown}");
        assert!(markdown.contains("worker 0 used 99 % of its core"), "{markdown}");
    }

    #[test]
    fn other_settings_of_ours_and_bare_senders_are_no_peers() {
        let mut record = record(0);
        for run in &mut record.runs {
            match run.server.as_str() {
                "bun" => run.server = "tickcast spinning".to_owned(),
                "nats" => (run.server, run.failures) = ("bare burst send".to_owned(), Vec::new()),
                _ => {}
            }
        }
        record.summarise();
        let markdown = page::markdown(&[record]);
        assert!(markdown.contains("**tickcast spinning**"), "{markdown}");
        assert!(!markdown.contains("÷ best peer"), "{markdown}");
    }

    #[test]
    fn ticks_of_bytes_are_round_in_their_unit() {
        let mut record = record(0);
        record.series[0].y = "MiB".to_owned();
        let html = page::html(&[record]);
        assert!(html.contains(">20 MiB<") && !html.contains(".073 MiB<"), "{html}");
    }

    #[test]
    fn folders_are_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let args = |markdown| ReportArgs { folder: folder.path().to_owned(), markdown };
        assert!(super::run(&args(false)).unwrap_err().to_string().contains("no records"));
        record(0).write(folder.path()).unwrap();
        super::run(&args(false)).unwrap();
        super::run(&args(true)).unwrap();
        let html = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
        assert!(html.contains("A series"));
        std::fs::write(folder.path().join("broken.json"), "{}").unwrap();
        assert!(super::run(&args(false)).unwrap_err().to_string().contains("not a record"));
    }
}
