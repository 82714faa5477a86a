//! One table for each server and offer: the ways beside each other.

use super::way::Way;
use super::{Offer, Settings, variant};
use crate::record::{Record, Summary, Table};
use crate::server::Kind;

const COLUMNS: [&str; 10] = [
    "way",
    "quotes in",
    "received, B/s a client",
    "sent, B/s a client",
    "requests/s a client",
    "updates seen",
    "had within, p50",
    "p99",
    "max",
    "server CPU, µs/s a client",
];

pub(super) fn tables(record: &Record, settings: &Settings) -> Vec<Table> {
    let mut tables = Vec::new();
    for kind in &settings.servers {
        for offer in &settings.offer {
            let rows: Vec<_> =
                Way::of(*kind).iter().filter_map(|way| row(record, *kind, offer, *way)).collect();
            if !rows.is_empty() {
                tables.push(Table {
                    title: format!(
                        "{kind}: {} clients, {} of {} symbols each, a symbol's quotes {}",
                        settings.clients, settings.per_client, settings.symbols, offer.name
                    ),
                    columns: COLUMNS.map(str::to_owned).to_vec(),
                    rows,
                });
            }
        }
    }
    tables
}

/// What the figures do not say by themselves.
pub(super) fn notes() -> [String; 4] {
    [
        "An update counts as had when the client has it or a newer one. Bytes are those of HTTP and \
         WebSocket, without TCP, IP and TLS. Requests are as short as HTTP lets them be; a browser's \
         have some 500 bytes of headers each."
            .to_owned(),
        "Tickcast has no long polling, so that long polling is nchan's, beside nchan's own polling, \
         event stream and WebSocket: compare within a table."
            .to_owned(),
        "nchan's event stream carries the 64 bytes as they are, which a browser's EventSource would \
         not give to a page unchanged: in base64 they are a third longer."
            .to_owned(),
        "Polling asks for each symbol once a second over one connection that is kept. The server's \
         CPU time is with what it needs to take the quotes in."
            .to_owned(),
    ]
}

fn row(record: &Record, kind: Kind, offer: &Offer, way: Way) -> Option<Vec<String>> {
    let summary = record.summary_of(kind.name(), &variant(offer, way))?;
    let figure = |name: &str| summary.median(name).unwrap_or(f64::NAN);
    let span = |name: &str| duration(figure(name));
    Some(vec![
        name(summary, way),
        way.encoding().to_owned(),
        format!("{:.0}", figure("received_bytes")),
        format!("{:.0}", figure("sent_bytes")),
        format!("{:.2}", figure("requests")),
        format!("{:.1} %", figure("seen_share") * 100.0),
        span("p50_ns"),
        span("p99_ns"),
        span("max_ns"),
        format!("{:.1}", figure("server_cpu_us")),
    ])
}

/// With a mark where a round failed.
fn name(summary: &Summary, way: Way) -> String {
    match summary.failed {
        0 => way.name().to_owned(),
        failed => format!("{} ({failed} of {} failed)", way.name(), summary.rounds),
    }
}

fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e6 => format!("{:.0} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_for_people() {
        let written = [420e3, 1.26e6, 499.6e6, 5.021e9].map(duration);
        assert_eq!(written, ["420 µs", "1.3 ms", "499.6 ms", "5.02 s"]);
    }
}
