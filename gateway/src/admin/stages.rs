//! `/stages`: where time goes between the ring and the kernel, shard by shard, as whole histograms.
//!
//! `/metrics` has the same times in a few buckets and all shards together, which is what dashboards
//! want; this is for whoever asks which shard, and how the tail looks. Counted since the start: who
//! wants a while takes the difference of two answers.

use bytes::Bytes;
use hdrhistogram::Histogram;
use hyper::{Response, StatusCode};

use crate::admin::Admin;
use crate::routes::json;
use crate::shard::counters::Histograms;

/// The histograms of every shard that answers, as pairs of ns and count.
pub(super) async fn stages(admin: &Admin) -> Response<Bytes> {
    let reports = admin.fleet.report(0).await;
    let shards: Vec<_> = reports
        .iter()
        .map(|report| {
            let Histograms { ring_delay_ns, visit_wait_ns, visit_ns, send_ns, turn_ns } =
                &report.histograms;
            serde_json::json!({
                "shard": report.index,
                "sessions": report.sessions,
                "ring_delay_ns": pairs(ring_delay_ns),
                "visit_wait_ns": pairs(visit_wait_ns),
                "visit_ns": pairs(visit_ns),
                "send_ns": pairs(send_ns),
                "turn_ns": pairs(turn_ns),
            })
        })
        .collect();
    let body = serde_json::json!({ "shards": shards });
    json(StatusCode::OK, format!("{body}\n").into_bytes())
}

fn pairs(times_ns: &Histogram<u64>) -> Vec<(u64, u64)> {
    let recorded = times_ns.iter_recorded();
    recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
}
