//! The gateway in one JSON object, kept fresh for `/v1/status` on the public port.
//!
//! What it holds may be read by whoever can open the dashboard, so it has sums and times, and of slow connections
//! how slow, but not whose they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;

use crate::admin::Admin;
use crate::routes::StatusBoard;
use crate::shard::ShardReport;
use crate::shard::counters::Counter;

/// How old an answer may be.
const EVERY: Duration = Duration::from_secs(1);

/// How many of the slowest connections it shows of each shard.
const SLOWEST: usize = 5;

/// Writes the answer as long as somebody wants it, until the future is dropped.
pub async fn keep(board: Arc<StatusBoard>, admin: Arc<Admin>) {
    let mut ticks = tokio::time::interval(EVERY / 4);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut quarters = 0_u32;
    loop {
        ticks.tick().await;
        if !board.is_wanted() {
            // The first one who asks waits a quarter for an answer.
            quarters = 0;
            continue;
        }
        if quarters.is_multiple_of(4) {
            board.write(overview(&admin).await);
        }
        quarters = quarters.wrapping_add(1);
    }
}

async fn overview(admin: &Admin) -> Bytes {
    let reports = admin.fleet.report(SLOWEST).await;
    let feed = admin.feed.view();
    let shards: Vec<_> = reports.iter().map(shard).collect();
    let body = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": admin.process.uptime().as_secs(),
        "resident_bytes": admin.process.view().resident_bytes,
        "draining": *admin.draining.borrow(),
        "sessions": admin.fleet.sessions(),
        "connections_max": admin.fleet.connections_max(),
        "shards_configured": admin.fleet.len(),
        "feed": {
            "state": feed.state.map_or("none", |state| state.name()),
            "heartbeat_age_ms": feed.heartbeat_age_ns / 1_000_000,
        },
        "shards": shards,
    });
    Bytes::from(format!("{body}\n"))
}

fn shard(report: &ShardReport) -> serde_json::Value {
    let (counters, hub, times) = (&report.counters, &report.hub, &report.histograms);
    let slowest: Vec<_> = report
        .slowest
        .iter()
        .map(|connection| {
            serde_json::json!({
                "encoding": connection.view.format.name(),
                "blocked_ms": connection.view.blocked_ns / 1_000_000,
                "lag_entries": connection.view.lag_entries,
                "skipped": connection.view.skipped,
                "topics": connection.view.topics,
                "wildcards": connection.view.wildcards,
            })
        })
        .collect();
    serde_json::json!({
        "shard": report.index,
        "sessions": report.sessions,
        "handshakes": report.handshakes,
        "blocked": report.blocked,
        "kept_bytes": report.kept_bytes,
        "ring_lag": report.ring.map(|ring| ring.lag),
        "ring_lapped": counters[Counter::RingLapped],
        "ticks": hub.ticks,
        "deliveries": hub.deliveries,
        "bytes_sent": counters[Counter::BytesSent],
        "sends_blocked": counters[Counter::SendsBlocked],
        "closed_slow": counters[Counter::CloseSlow],
        "skipped_conflated": hub.skipped_conflated,
        "skipped_lost": hub.skipped_lost + hub.skipped_lapped + hub.skipped_resume,
        "ring_delay_us": times_us(&times.ring_delay_ns),
        "visit_wait_us": times_us(&times.visit_wait_ns),
        "turn_us": times_us(&times.turn_ns),
        "slowest": slowest,
    })
}

/// Median, 99th percentile and maximum since the start, µs.
fn times_us(times_ns: &Histogram<u64>) -> serde_json::Value {
    serde_json::json!({
        "p50": times_ns.value_at_quantile(0.5) / 1000,
        "p99": times_ns.value_at_quantile(0.99) / 1000,
        "max": times_ns.max() / 1000,
    })
}
