//! Metrics: the one list of what is exported, and the scrape that fills it in.
//!
//! Every metric is declared once: in the list below, or in the tables of what shards and hubs
//! count. [`definitions`] joins them; the exporter and `docs/METRICS.md` both go through it, so that
//! a metric cannot be exported and undocumented, or the other way round. Nothing is kept between
//! scrapes: shards own the numbers and copy them when asked.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use wire::FeedState;

use crate::auth::AuthView;
use crate::publish::PublishView;
use crate::shard::ShardReport;
use crate::shard::counters::{Counter, Histograms};
use crate::source::FeedView;
use crate::telemetry::auth::AUTH;
use crate::telemetry::bus::BUS;
use crate::telemetry::delay::DELAY;
use crate::telemetry::process::ProcessView;

/// What every name begins with.
const PREFIX: &str = "tickcast_";

/// Upper bounds of histogram buckets, seconds: from a fast send to what nobody should see.
const BUCKETS_S: [f64; 18] = [
    5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1,
    0.25, 0.5, 1.0, 5.0,
];

/// All that one scrape looks at.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// How many shards there are.
    pub shards: usize,
    /// How many have a table of open files of their own.
    pub own_tables: usize,
    /// Reports of those that answered.
    pub reports: Vec<ShardReport>,
    /// The feed.
    pub feed: FeedView,
    /// The process.
    pub process: ProcessView,
    /// The publishing thread.
    pub publish: PublishView,
    /// What was read of credentials.
    pub auth: AuthView,
    /// Whether the gateway drains.
    pub is_draining: bool,
}

/// One metric: what it is, and how it is read from a scrape.
pub struct Definition {
    /// Its name as exported, without the suffix of its unit.
    pub name: String,
    /// What it says, in a sentence.
    pub help: &'static str,
    /// Its unit, which becomes a suffix of the name.
    pub unit: Option<Unit>,
    reading: Reading,
}

/// A metric that is not counted by a shard or a hub: its name, unit, sentence, and how it is read.
pub(super) type Own = (&'static str, Option<Unit>, &'static str, Reading);

/// How a metric is read.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// A counter of each shard.
    ShardCounter(Counter),
    /// A counter of each shard's hub, by its place among [`hub::Counters::each`].
    HubCounter(usize),
    /// A number of each shard.
    ShardGauge(fn(&ShardReport) -> u64),
    /// A number of the process.
    Gauge(fn(&Scrape) -> f64),
    /// A counter of the process.
    Counter(fn(&Scrape) -> u64),
    /// 1 for the feed's state, 0 for the others.
    FeedState,
    /// The version, as a label.
    Build,
    /// Times, of all shards together.
    Times(fn(&Histograms) -> &Histogram<u64>),
}

/// Metrics that are not counted by a shard or a hub.
const OWN: [Own; 42] = [
    ("build", None, "The running version, as a label.", Reading::Build),
    (
        "process_start_time",
        Some(Unit::Seconds),
        "When the process started, since the Unix epoch.",
        Reading::Gauge(|scrape| scrape.process.started_at_s),
    ),
    (
        "process_resident_memory",
        Some(Unit::Bytes),
        "Resident memory of the process.",
        Reading::Gauge(|scrape| approximate(scrape.process.resident_bytes)),
    ),
    (
        "process_open_files",
        None,
        "Open files of the main thread's table; shards may have tables of their own.",
        Reading::Gauge(|scrape| approximate(scrape.process.open_files)),
    ),
    (
        "process_open_files_limit",
        None,
        "How many files each table may have open.",
        Reading::Gauge(|scrape| approximate(scrape.process.open_files_limit)),
    ),
    (
        "certificate_reloads",
        None,
        "Times the certificate was read again.",
        Reading::Counter(|scrape| scrape.process.certificate_reloads),
    ),
    (
        "certificate_failures",
        None,
        "Times the certificate could not be read again; the old one stays in use.",
        Reading::Counter(|scrape| scrape.process.certificate_failures),
    ),
    (
        "certificate_expires",
        Some(Unit::Seconds),
        "When the certificate in use expires, since the Unix epoch; 0 where there is none.",
        Reading::Gauge(|scrape| seconds(scrape.process.certificate_expires_at_s)),
    ),
    (
        "config_reloads",
        None,
        "Times the configuration was read again.",
        Reading::Counter(|scrape| scrape.process.config_reloads),
    ),
    (
        "config_failures",
        None,
        "Times the configuration, or the certificate it names, was bad when it was read again; nothing has changed then.",
        Reading::Counter(|scrape| scrape.process.config_failures),
    ),
    (
        "log_lines_lost",
        None,
        "Log lines that were not written: nobody read standard error, or its disk was full.",
        Reading::Counter(|scrape| scrape.process.log_lines_lost),
    ),
    (
        "draining",
        None,
        "1 while the gateway drains, 0 otherwise.",
        Reading::Gauge(|scrape| f64::from(u8::from(scrape.is_draining))),
    ),
    ("shards", None, "Shards of the process.", Reading::Gauge(|scrape| count(scrape.shards))),
    (
        "shards_answering",
        None,
        "Shards that answered this scrape; fewer than shards means that one is stuck.",
        Reading::Gauge(|scrape| count(scrape.reports.len())),
    ),
    (
        "shards_own_tables",
        None,
        "Shards with a table of open files of their own.",
        Reading::Gauge(|scrape| count(scrape.own_tables)),
    ),
    (
        "feed_state",
        None,
        "1 for what the feed is: live, silent, restarted, stopped or none; 0 for what it is not.",
        Reading::FeedState,
    ),
    (
        "feed_heartbeat_age",
        Some(Unit::Seconds),
        "Since the feed's last sign of life.",
        Reading::Gauge(|scrape| approximate(scrape.feed.heartbeat_age_ns) / 1e9),
    ),
    (
        "feed_attaches",
        None,
        "Rings attached; more than one means that a feed was replaced.",
        Reading::Counter(|scrape| scrape.feed.attaches),
    ),
    (
        "feed_open_failures",
        None,
        "Times the ring in shared memory could not be opened.",
        Reading::Counter(|scrape| scrape.feed.open_failures),
    ),
    (
        "feed_published",
        None,
        "Records that the feed has published into its ring.",
        Reading::Counter(|scrape| scrape.feed.head),
    ),
    (
        "publish_connected",
        None,
        "1 while the connection on which is published stands, 0 otherwise.",
        Reading::Gauge(|scrape| f64::from(u8::from(scrape.publish.is_connected))),
    ),
    (
        "publish_held",
        None,
        "Published ticks that wait for the bus.",
        Reading::Gauge(|scrape| count(scrape.publish.held_ticks)),
    ),
    (
        "publish_batches",
        None,
        "Batches appended at the bus.",
        Reading::Counter(|scrape| scrape.publish.counters.batches),
    ),
    (
        "publish_conflicts",
        None,
        "Times a batch was numbered again because another gateway was faster.",
        Reading::Counter(|scrape| scrape.publish.counters.conflicts),
    ),
    (
        "publish_unknown",
        None,
        "Appends that the bus did not answer; the log tells what became of them.",
        Reading::Counter(|scrape| scrape.publish.counters.unknown),
    ),
    (
        "publish_images",
        None,
        "Images of published instruments that were renewed at the bus.",
        Reading::Counter(|scrape| scrape.publish.counters.images),
    ),
    (
        "lines_live",
        None,
        "Sources of two that are merged and bring something; 0 where there is one source.",
        Reading::Gauge(|scrape| {
            count(scrape.feed.lines.lines.iter().filter(|line| line.is_live).count())
        }),
    ),
    (
        "lines_duplicates",
        None,
        "Entries that the other of two sources had brought already.",
        Reading::Counter(|scrape| scrape.feed.lines.duplicates),
    ),
    (
        "lines_covered",
        None,
        "Entries that one of two sources had left out and the other brought in time.",
        Reading::Counter(|scrape| scrape.feed.lines.covered),
    ),
    (
        "lines_missing",
        None,
        "Numbers that neither of two sources brought in time.",
        Reading::Counter(|scrape| scrape.feed.lines.missing),
    ),
    (
        "lines_lapped",
        None,
        "Records of two sources that were overwritten before they were merged.",
        Reading::Counter(|scrape| scrape.feed.lines.lapped),
    ),
    (
        "sessions",
        None,
        "Open sessions, those that are closing included.",
        Reading::ShardGauge(|report| whole(report.sessions)),
    ),
    (
        "handshakes",
        None,
        "Connections that are no session yet, or plain HTTP.",
        Reading::ShardGauge(|report| whole(report.handshakes)),
    ),
    (
        "sessions_blocked",
        None,
        "Sessions whose client does not take data at the moment.",
        Reading::ShardGauge(|report| whole(report.blocked)),
    ),
    (
        "kept",
        Some(Unit::Bytes),
        "Kept for clients: rests of frames and replies. All that slow clients cost.",
        Reading::ShardGauge(|report| whole(report.kept_bytes)),
    ),
    (
        "ring_lag",
        None,
        "Records between the shard and the feed.",
        Reading::ShardGauge(|report| report.ring.map_or(0, |ring| ring.lag)),
    ),
    (
        "ring_position",
        None,
        "The next record that the shard reads.",
        Reading::ShardGauge(|report| report.ring.map_or(0, |ring| ring.position)),
    ),
    (
        "ring_delay",
        Some(Unit::Seconds),
        "From a record's entry into the ring until a shard read it; the oldest of each batch.",
        Reading::Times(|times| &times.ring_delay_ns),
    ),
    (
        "visit_wait",
        Some(Unit::Seconds),
        "From the read that made a connection due until its visit.",
        Reading::Times(|times| &times.visit_wait_ns),
    ),
    (
        "visit",
        Some(Unit::Seconds),
        "One visit: collecting what is new for a connection and sending it.",
        Reading::Times(|times| &times.visit_ns),
    ),
    (
        "send",
        Some(Unit::Seconds),
        "The send within a visit.",
        Reading::Times(|times| &times.send_ns),
    ),
    (
        "turn",
        Some(Unit::Seconds),
        "One turn of a shard's loop.",
        Reading::Times(|times| &times.turn_ns),
    ),
];

/// Every metric that is exported, in the order of export.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    let own =
        OWN.into_iter().chain(BUS).chain(DELAY).chain(AUTH).map(|(name, unit, help, reading)| {
            Definition { name: format!("{PREFIX}{name}"), help, unit, reading }
        });
    let shard = Counter::ALL.iter().map(|counter| Definition {
        name: format!("{PREFIX}{}", counter.name()),
        help: counter.doc(),
        unit: None,
        reading: Reading::ShardCounter(*counter),
    });
    let zero = hub::Counters::default();
    let hub: Vec<Definition> = zero
        .each()
        .enumerate()
        .map(|(place, (name, help, _))| Definition {
            name: format!("{PREFIX}{name}"),
            help,
            unit: None,
            reading: Reading::HubCounter(place),
        })
        .collect();
    own.chain(shard).chain(hub).collect()
}

impl Definition {
    /// What kind of metric it is.
    #[must_use]
    pub fn kind(&self) -> MetricType {
        match self.reading {
            Reading::ShardCounter(_) | Reading::HubCounter(_) | Reading::Counter(_) => {
                MetricType::Counter
            }
            Reading::ShardGauge(_) | Reading::Gauge(_) | Reading::FeedState => MetricType::Gauge,
            Reading::Build => MetricType::Info,
            Reading::Times(_) => MetricType::Histogram,
        }
    }

    /// The name of its samples, with unit and suffix, as it appears in queries.
    #[must_use]
    pub fn sample_name(&self) -> String {
        let unit =
            self.unit.as_ref().map_or_else(String::new, |unit| format!("_{}", unit.as_str()));
        let suffix = match self.kind() {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Histogram => "_bucket",
            _ => "",
        };
        format!("{}{unit}{suffix}", self.name)
    }

    /// The names of its labels.
    #[must_use]
    pub const fn labels(&self) -> &'static str {
        match self.reading {
            Reading::ShardCounter(_) | Reading::HubCounter(_) | Reading::ShardGauge(_) => "shard",
            Reading::FeedState => "state",
            Reading::Build => "version",
            Reading::Times(_) => "le",
            Reading::Gauge(_) | Reading::Counter(_) => "",
        }
    }

    fn encode(&self, scrape: &Scrape, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        match self.reading {
            Reading::ShardCounter(counter) => {
                for_each_shard(scrape, &mut encoder, |report, encoder| {
                    write_counter(encoder, report.counters[counter])
                })
            }
            Reading::HubCounter(place) => {
                for_each_shard(scrape, &mut encoder, |report, encoder| {
                    let value = report.hub.each().nth(place).map_or(0, |(_, _, value)| value);
                    write_counter(encoder, value)
                })
            }
            Reading::ShardGauge(read) => for_each_shard(scrape, &mut encoder, |report, encoder| {
                encoder.encode_gauge(&approximate(read(report)))
            }),
            Reading::Gauge(read) => encoder.encode_gauge(&read(scrape)),
            Reading::Counter(read) => write_counter(&mut encoder, read(scrape)),
            Reading::FeedState => {
                let states = FeedState::ALL.into_iter().map(Some).chain([None]);
                for state in states {
                    let label = [("state", state.map_or("none", |state| state.name()))];
                    let value = i64::from(state == scrape.feed.state);
                    encoder.encode_family(&label)?.encode_gauge(&value)?;
                }
                Ok(())
            }
            Reading::Build => encoder.encode_info(&[("version", env!("CARGO_PKG_VERSION"))]),
            Reading::Times(read) => {
                let times = merged(scrape, read);
                let (sum_s, buckets) = buckets(&times);
                encoder.encode_histogram::<NoLabelSet>(sum_s, times.len(), &buckets, None)
            }
        }
    }
}

impl Scrape {
    /// Everything as OpenMetrics text.
    #[must_use]
    pub fn encode(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Collected(self)));
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut out, &registry);
        out
    }
}

/// A scrape as the encoder takes it.
#[derive(Debug)]
struct Collected(Scrape);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        for definition in definitions() {
            let (name, unit) = (&definition.name, definition.unit.as_ref());
            let metric =
                encoder.encode_descriptor(name, definition.help, unit, definition.kind())?;
            definition.encode(&self.0, metric)?;
        }
        Ok(())
    }
}

fn for_each_shard(
    scrape: &Scrape,
    encoder: &mut MetricEncoder<'_>,
    write: impl Fn(&ShardReport, &mut MetricEncoder<'_>) -> std::fmt::Result,
) -> std::fmt::Result {
    for report in &scrape.reports {
        let label = [("shard", report.index)];
        write(report, &mut encoder.encode_family(&label)?)?;
    }
    Ok(())
}

fn write_counter(encoder: &mut MetricEncoder<'_>, value: u64) -> std::fmt::Result {
    encoder.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

/// One histogram of all shards together.
fn merged(scrape: &Scrape, read: fn(&Histograms) -> &Histogram<u64>) -> Histogram<u64> {
    let mut merged = read(&Histograms::default()).clone();
    for report in &scrape.reports {
        // All histograms have the same bounds, so that adding them cannot fail.
        let _ = merged.add(read(&report.histograms));
    }
    merged
}

/// The sum in seconds, and how many values are in each bucket, not cumulated.
fn buckets(times_ns: &Histogram<u64>) -> (f64, Vec<(f64, u64)>) {
    let mut buckets: Vec<(f64, u64)> = BUCKETS_S.iter().map(|bound| (*bound, 0)).collect();
    buckets.push((f64::INFINITY, 0));
    let mut sum_ns = 0.0;
    for value in times_ns.iter_recorded() {
        let value_ns = approximate(value.value_iterated_to());
        let count = value.count_at_value();
        sum_ns += value_ns * approximate(count);
        let place = BUCKETS_S.partition_point(|bound| *bound < value_ns / 1e9);
        buckets[place].1 += count;
    }
    (sum_ns / 1e9, buckets)
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(super) fn count(count: usize) -> f64 {
    approximate(whole(count))
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; exact up to 2^53")]
pub(super) fn approximate(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "seconds of our times are exact")]
fn seconds(since_epoch_s: i64) -> f64 {
    since_epoch_s as f64
}

/// `docs/METRICS.md`, written from the definitions. A test compares the file with this.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "<!-- Generated from gateway/src/telemetry, gateway/src/shard/counters.rs and \
         gateway/hub/src/counters.rs; do not edit. \
         `TICKCAST_REGENERATE=1 cargo test -p gateway --test docs` writes it anew. -->\n\
         # Metrics\n\n\
         The operators' port serves them at `/metrics` as OpenMetrics text. Shards own their \
         numbers and copy them when asked: nothing is shared or atomic on the tick path. Times are \
         histograms of all shards together; counters and numbers of shards have the label `shard`.\n\n\
         | name | kind | labels | |\n|---|---|---|---|\n",
    );
    for definition in definitions() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            definition.sample_name(),
            definition.kind().as_str(),
            definition.labels(),
            definition.help
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_unique_and_documented_in_sentences() {
        let definitions = definitions();
        for (i, definition) in definitions.iter().enumerate() {
            let name = &definition.name;
            assert!(definition.help.ends_with('.'), "{name}");
            assert!(definitions[..i].iter().all(|other| other.name != *name), "{name} twice");
        }
    }

    #[test]
    fn times_fall_into_the_bucket_that_bounds_them() {
        let mut times = Histograms::default().turn_ns;
        times.record(900_000).unwrap();
        times.record(1_100_000).unwrap();
        times.record(7_000_000_000).unwrap();
        let (sum_s, buckets) = buckets(&times);
        let count = |bound: f64| buckets.iter().find(|bucket| bucket.0 >= bound).unwrap().1;
        assert_eq!((count(1e-3), count(2.5e-3), count(f64::INFINITY)), (1, 1, 1));
        assert!((sum_s - 7.002).abs() < 0.1, "{sum_s}");
    }
}
