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
    all.sort_by_key(|(_, connection)| std::cmp::Reverse(connection.view.lag_entries));
    all.truncate(top);
    let connections: Vec<_> = all
        .iter()
        .map(|(shard, connection)| {
            serde_json::json!({
                "remote": connection.remote,
                "shard": shard,
                "lag_entries": connection.view.lag_entries,
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
