//! Latency histograms: from the time a tick was due to its receipt, in ns.
//!
//! Open loop: the start of each interval is the tick's own time stamp, which is when the source ought
//! to have sent it, so a delay anywhere (source, ring, shard, socket, this generator) is in every
//! sample that it delayed. Nothing is corrected afterwards. Both ends read `CLOCK_REALTIME` of one
//! machine; a tick from the future (a clock step) counts as 0 and shows in the minimum.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Ten minutes: longer than any run whose latencies mean anything; longer ones saturate here.
const LONGEST_NS: u64 = 600_000_000_000;

/// 16 ns is below the resolution of everything measured, and saves four of the histogram's buckets.
const SHORTEST_NS: u64 = 16;

/// Three digits: 0.1 % is far inside the spread of repeated runs.
const DIGITS: u8 = 3;

/// A histogram of durations.
#[derive(Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        let bounds = Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS);
        Self(bounds.expect("constant bounds that the crate accepts"))
    }
}

/// The figures of a histogram that people read, ns.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) min_ns: u64,
    pub(crate) mean_ns: f64,
    pub(crate) p50_ns: u64,
    pub(crate) p90_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
}

impl Latency {
    pub(crate) fn record(&mut self, duration_ns: u64) {
        self.0.saturating_record(duration_ns);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// What was recorded since `earlier`, an earlier reading of the same; none if it is not that.
    pub(crate) fn since(mut self, earlier: &Self) -> Option<Self> {
        self.0.subtract(&earlier.0).ok()?;
        Some(self)
    }

    /// The duration that this share of all is within.
    pub(crate) fn at(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// Values with how many there are of each, from the lowest on.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.0.len(),
            min_ns: self.0.min(),
            mean_ns: self.0.mean(),
            p50_ns: self.0.value_at_quantile(0.5),
            p90_ns: self.0.value_at_quantile(0.9),
            p99_ns: self.0.value_at_quantile(0.99),
            p999_ns: self.0.value_at_quantile(0.999),
            max_ns: self.0.max(),
        }
    }
}

/// On its way between processes and into records: pairs of value and count, sparse.
impl Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.steps())
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<(u64, u64)>::deserialize(deserializer)?;
        let mut latency = Self::default();
        for (value, count) in pairs {
            latency.0.saturating_record_n(value, count);
        }
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_its_way_between_processes() {
        let mut latency = Latency::default();
        for i in 0..10_000u64 {
            latency.record(i * i * 37);
        }
        latency.record(u64::MAX);
        let text = serde_json::to_string(&latency).unwrap();
        let back: Latency = serde_json::from_str(&text).unwrap();
        let (there, here) = (latency.percentiles(), back.percentiles());
        assert_eq!(there.count, here.count);
        assert_eq!(
            (there.p50_ns, there.p99_ns, there.max_ns),
            (here.p50_ns, here.p99_ns, here.max_ns)
        );
        let mut sum = Latency::default();
        sum.add(&latency);
        sum.add(&back);
        let only = sum.clone().since(&latency).unwrap().percentiles();
        assert_eq!((only.count, only.p99_ns), (10_001, there.p99_ns));
        assert!(latency.clone().since(&sum).is_none(), "it is not earlier");
        assert_eq!(sum.percentiles().count, 20_002);
        assert_eq!(sum.percentiles().p90_ns, there.p90_ns);
    }
}
