//! Metrics of the bus that a gateway's source reads. All are 0 where the source is another.

use prometheus_client::registry::Unit;

use super::metrics::{Own, Reading, count};

/// See the module's header.
pub(super) const BUS: [Own; 16] = [
    (
        "bus_connected",
        None,
        "1 while the connection to the source's bus stands, 0 otherwise.",
        Reading::Gauge(|scrape| f64::from(u8::from(scrape.feed.bus.is_connected))),
    ),
    (
        "bus_buckets_wanted",
        None,
        "Buckets of the bus that this gateway takes.",
        Reading::Gauge(|scrape| count(scrape.feed.bus.wanted)),
    ),
    (
        "bus_buckets_behind",
        None,
        "Buckets that it takes and that are not complete up to now.",
        Reading::Gauge(|scrape| count(scrape.feed.bus.behind)),
    ),
    (
        "bus_connections",
        None,
        "Times the connection to the bus was made; more than one means that it was lost.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.connections),
    ),
    (
        "bus_batches",
        None,
        "Batches taken from the bus.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.batches),
    ),
    (
        "bus_batches_replayed",
        None,
        "Batches that were read from the bus's log, not live.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.batches_replayed),
    ),
    (
        "bus_ticks",
        None,
        "Ticks taken from the bus.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.ticks),
    ),
    (
        "bus_ticks_replayed",
        None,
        "Ticks that were read from the bus's log, not live.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.ticks_replayed),
    ),
    (
        "bus_holes",
        None,
        "Times live batches were missed and read from the log.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.holes),
    ),
    (
        "bus_lost",
        None,
        "Times the log did not have any more what was missed: clients get a gap.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.lost),
    ),
    (
        "bus_foreign",
        None,
        "Batches of another epoch than the catalog's, left out.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.foreign),
    ),
    (
        "bus_malformed",
        None,
        "Batches, images and catalogs whose bytes are none.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.malformed),
    ),
    (
        "bus_crowded",
        None,
        "Live batches that had no room while the log was read, and were read from it.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.crowded),
    ),
    (
        "bus_overflowed",
        None,
        "Live batches dropped because the source did not come to take them; they are read from the log.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.overflowed),
    ),
    (
        "bus_failures",
        None,
        "Requests to the bus that failed; they are made again.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.failures),
    ),
    (
        "bus_received",
        Some(Unit::Bytes),
        "Bytes of batches taken from the bus.",
        Reading::Counter(|scrape| scrape.feed.bus.counters.bytes),
    ),
];
