//! `/healthz`: should this process be restarted? `/readyz`: should it get new clients?

use bytes::Bytes;
use hyper::{Response, StatusCode};

use crate::admin::Admin;
use crate::routes::json;
use crate::shard::ShardReport;
use crate::source::LineView;

/// 200 while every shard's loop turns. A lost feed is no ill health: a restart would not help.
pub(super) async fn healthz(admin: &Admin) -> Response<Bytes> {
    let answered: Vec<usize> =
        admin.fleet.report(0).await.into_iter().map(|report| report.index).collect();
    let stuck: Vec<usize> =
        (0..admin.fleet.len()).filter(|index| !answered.contains(index)).collect();
    let status = if stuck.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "healthy": stuck.is_empty(),
        "shards": admin.fleet.len(),
        "stuck_shards": stuck,
        "sessions": admin.fleet.sessions(),
        "uptime_s": admin.process.uptime().as_secs(),
    });
    json(status, format!("{body}\n").into_bytes())
}

/// 200 while shards listen and know the feed's instruments, the feed is live and no drain is under
/// way; the reasons otherwise.
pub(super) async fn readyz(admin: &Admin) -> Response<Bytes> {
    let feed = admin.feed.view();
    let mut reasons = Vec::new();
    if *admin.draining.borrow() {
        reasons.push("draining".to_owned());
    }
    if !feed.is_live() {
        reasons.push(match (feed.state, &feed.trouble) {
            (Some(state), Some(trouble)) => format!("the feed is {}: {trouble}", state.name()),
            (Some(state), None) => format!("the feed is {}", state.name()),
            (None, Some(trouble)) => format!("no feed yet: {trouble}"),
            (None, None) => "no feed yet".to_owned(),
        });
        reasons.extend(
            feed.delay
                .first_in_ns
                .map(|left_ns| format!("the delay line fills: first data in {}", minutes(left_ns))),
        );
    }
    let reports = admin.fleet.report(0).await;
    // Before that a client would be told that its topics do not exist.
    let knows =
        |report: &&ShardReport| report.hub.epochs > 0 && report.hub.definitions >= feed.instruments;
    let knowing = reports.iter().filter(knows).count();
    if feed.is_live() && knowing < admin.fleet.len() {
        reasons
            .push(format!("{knowing} of {} shards know the feed's instruments", admin.fleet.len()));
    }
    let lines: Vec<_> = feed.lines.lines.iter().map(line).collect();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "feed": feed.state.map_or("none", |state| state.name()),
        "lines": lines,
    });
    json(status, format!("{body}\n").into_bytes())
}

/// A time for people, to the second.
fn minutes(ns: u64) -> String {
    let seconds = ns.div_ceil(1_000_000_000);
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} m {seconds} s"),
    }
}

/// One of two sources. A dead one is no reason not to be ready: that is what the other is for.
fn line(line: &LineView) -> serde_json::Value {
    serde_json::json!({ "source": line.source, "live": line.is_live, "trouble": line.trouble })
}
