//! `/connections?top=N`: who is furthest behind, and by how much.

use bytes::Bytes;
use hyper::{Response, StatusCode};

use crate::admin::Admin;
use crate::routes::json;
use crate::shard::ConnectionReport;

/// The slowest connections of all shards, worst first.
pub(super) async fn slowest(admin: &Admin, top: usize) -> Response<Bytes> {
    let reports = admin.fleet.report(top).await;
    let mut all: Vec<(usize, ConnectionReport)> = reports
        .into_iter()
        .flat_map(|report| {
            let index = report.index;
            report.slowest.into_iter().map(move |connection| (index, connection))
        })
        .collect();
    // As each shard sorts its own: blocked longest, then furthest behind, then skipped most.
    all.sort_by_key(|(_, connection)| {
        let view = &connection.view;
        std::cmp::Reverse((view.blocked_ns, view.lag_entries, view.skipped))
    });
    all.truncate(top);
    let connections: Vec<_> = all
        .iter()
        .map(|(shard, connection)| {
            // A client behind a proxy is remote, and the proxy's end of the socket is the way it came.
            let peer = connection.peer.map(|peer| peer.to_string());
            let (remote, via) = match connection.client {
                Some(client) => (Some(client.to_string()), peer),
                None => (peer, None),
            };
            serde_json::json!({
                "remote": remote,
                "via": via,
                "shard": shard,
                "encoding": connection.view.format.name(),
                "blocked_ms": connection.view.blocked_ns / 1_000_000,
                "lag_entries": connection.view.lag_entries,
                "skipped": connection.view.skipped,
                "topics": connection.view.topics,
                "wildcards": connection.view.wildcards,
                "unacknowledged_bytes": connection.unacknowledged_bytes,
            })
        })
        .collect();
    let body = serde_json::json!({
        "sessions": admin.fleet.sessions(),
        "connections": connections,
    });
    json(StatusCode::OK, format!("{body}\n").into_bytes())
}
