//! Metrics of the line that delays a source. All are 0 where nothing does.

use prometheus_client::registry::Unit;

use super::metrics::{Own, Reading, approximate};

/// See the module's header.
pub(super) const DELAY: [Own; 6] = [
    (
        "delay",
        Some(Unit::Seconds),
        "How long everything of the source is held.",
        Reading::Gauge(|scrape| approximate(scrape.feed.delay.delay_ns) / 1e9),
    ),
    (
        "delay_oldest_age",
        Some(Unit::Seconds),
        "How long the oldest of what is held has been; above the delay, what is due does not get out.",
        Reading::Gauge(|scrape| approximate(scrape.feed.delay.oldest_age_ns) / 1e9),
    ),
    (
        "delay_held_records",
        None,
        "Records that are held.",
        Reading::Gauge(|scrape| approximate(scrape.feed.delay.records)),
    ),
    (
        "delay_held",
        Some(Unit::Bytes),
        "Bytes that are held, in memory and in files; at most delay-spool-max.",
        Reading::Gauge(|scrape| approximate(scrape.feed.delay.bytes)),
    ),
    (
        "delay_dropped",
        None,
        "Records that were overwritten while nothing could be held, or could not be read again: clients get a gap.",
        Reading::Counter(|scrape| scrape.feed.delay.dropped),
    ),
    (
        "delay_refused",
        None,
        "Times nothing could be held: the spool was full, or its disk failed.",
        Reading::Counter(|scrape| scrape.feed.delay.refused),
    ),
];
