//! What a worker counts: traffic, accounting findings, latencies.
//!
//! Counting is by the tick's own time: a tick that was due inside the measured window counts, however
//! late it comes (a drain after the window waits for the last), and one due outside does not. So
//! neither a slow start nor a full socket at the end flatters a figure. Accounting findings count
//! always: a lost tick is one during warm-up too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wire::{Encoding, GapReason};

use crate::generator::ledger::{Announced, Delivery, Ledger};
use crate::generator::market::{Item, JsonReader, Malformed, read_sbe};
use crate::latency::Latency;

/// The measured time, by the wall clock that ticks bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

impl Window {
    const fn contains(self, ts_ns: u64) -> bool {
        self.start_ns <= ts_ns && ts_ns < self.end_ns
    }
}

/// Which connections a sample is of: stalled ones have latencies of their own making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cohort {
    Healthy,
    Stalled,
}

/// What came, in the whole run unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Market messages.
    pub(crate) messages: u64,
    /// Of those, due inside the window.
    pub(crate) messages_in_window: u64,
    /// WebSocket data frames.
    pub(crate) frames: u64,
    /// Bytes read from sockets, TLS and all.
    pub(crate) bytes: u64,
    /// Reads that gave something: `frames` over `reads` says how much one carries.
    pub(crate) reads: u64,
}

/// What the sequence numbers say. Sums over all connections and topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accounting {
    /// Announced as conflated: newer values came instead.
    pub(crate) skipped: u64,
    /// Announced as lost for another reason.
    pub(crate) lost: u64,
    /// Never came and never announced.
    pub(crate) missing: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    /// Gap notices that do not begin where the last delivery ended.
    pub(crate) misaccounted: u64,
    /// Messages that could not be read.
    pub(crate) malformed: u64,
    /// Announced changes of the epoch, per topic.
    pub(crate) resets: u64,
    /// Of those skipped or lost, the ones at connections that never stopped reading.
    pub(crate) healthy_skipped: u64,
}

impl Traffic {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.messages_in_window += other.messages_in_window;
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.reads += other.reads;
    }
}

impl Accounting {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.skipped += other.skipped;
        self.lost += other.lost;
        self.missing += other.missing;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.misaccounted += other.misaccounted;
        self.malformed += other.malformed;
        self.resets += other.resets;
        self.healthy_skipped += other.healthy_skipped;
    }

    /// Whether the server broke its promise: every number delivered once, in order, or announced.
    pub(crate) const fn is_broken(&self) -> bool {
        self.missing + self.doubled + self.reordered + self.misaccounted + self.malformed > 0
    }
}

/// Whether the last arrival of each tick is kept beside the latencies of all: a look-up for each
/// message, so not at millions a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Arrivals {
    #[default]
    Unkept,
    Last,
}

/// The longest that a tick due inside the window took to any healthy connection, by its due time. Ticks
/// of several topics with one due time are one here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastArrivals(BTreeMap<u64, u64>);

impl LastArrivals {
    fn record(&mut self, ts_event_ns: u64, latency_ns: u64) {
        let longest = self.0.entry(ts_event_ns).or_default();
        *longest = latency_ns.max(*longest);
    }

    /// The later of both for each tick: what two workers saw of it.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (ts_event_ns, latency_ns) in &other.0 {
            self.record(*ts_event_ns, *latency_ns);
        }
    }

    /// One sample for each tick.
    pub(crate) fn latency(&self) -> Latency {
        let mut latency = Latency::default();
        for longest in self.0.values() {
            latency.record(*longest);
        }
        latency
    }
}

/// See the module's documentation.
pub(crate) struct Tally {
    pub(crate) traffic: Traffic,
    pub(crate) accounting: Accounting,
    pub(crate) healthy: Latency,
    pub(crate) stalled: Latency,
    /// From the ring to the client: the latency without the source's share.
    pub(crate) from_ring: Latency,
    /// From the event to the ring, as the messages themselves say: the source's share of the latency.
    pub(crate) ring_delay: Latency,
    pub(crate) last_arrivals: LastArrivals,
    arrivals: Arrivals,
    window: Option<Window>,
    encoding: Encoding,
    json: JsonReader,
}

impl Tally {
    pub(crate) fn new(encoding: Encoding, arrivals: Arrivals) -> Self {
        Self {
            traffic: Traffic::default(),
            accounting: Accounting::default(),
            healthy: Latency::default(),
            stalled: Latency::default(),
            from_ring: Latency::default(),
            ring_delay: Latency::default(),
            last_arrivals: LastArrivals::default(),
            arrivals,
            window: None,
            encoding,
            json: JsonReader::default(),
        }
    }

    /// Sets what is measured; what came before stays uncounted.
    pub(crate) fn measure(&mut self, window: Window) {
        self.window = Some(window);
        self.traffic.messages_in_window = 0;
        self.healthy.clear();
        self.stalled.clear();
        self.from_ring.clear();
        self.ring_delay.clear();
        self.last_arrivals = LastArrivals::default();
    }

    /// Takes one WebSocket message of market data; returns how many ticks it carried.
    pub(crate) fn message(
        &mut self,
        ledger: &mut Ledger,
        cohort: Cohort,
        payload: &[u8],
        received_ns: u64,
    ) -> u64 {
        self.traffic.frames += 1;
        self.ticks(ledger, cohort, payload, received_ns)
    }

    /// The same for a part of a message.
    pub(crate) fn ticks(
        &mut self,
        ledger: &mut Ledger,
        cohort: Cohort,
        payload: &[u8],
        received_ns: u64,
    ) -> u64 {
        let Self { traffic, accounting, healthy, stalled, from_ring, ring_delay, window, .. } =
            self;
        let mut last_arrivals = match (cohort, self.arrivals) {
            (Cohort::Healthy, Arrivals::Last) => Some(&mut self.last_arrivals),
            _ => None,
        };
        let latency = match cohort {
            Cohort::Healthy => healthy,
            Cohort::Stalled => stalled,
        };
        let before = traffic.messages;
        let visit = |item: Item| match item {
            Item::Data { topic, rule, seq, ts_event_ns, ring_delay_ns } => {
                traffic.messages += 1;
                if window.is_some_and(|window| window.contains(ts_event_ns)) {
                    traffic.messages_in_window += 1;
                    let latency_ns = received_ns.saturating_sub(ts_event_ns);
                    latency.record(latency_ns);
                    if let Some(last) = &mut last_arrivals {
                        last.record(ts_event_ns, latency_ns);
                    }
                    ring_delay.record(u64::from(ring_delay_ns));
                    from_ring.record(latency_ns.saturating_sub(u64::from(ring_delay_ns)));
                }
                match ledger.deliver(topic, seq, rule) {
                    Delivery::Expected => {}
                    Delivery::Missing(count) => accounting.missing += count,
                    Delivery::Doubled => accounting.doubled += 1,
                    Delivery::Reordered => accounting.reordered += 1,
                }
            }
            Item::Gap { topic, reason, first_seq, count } => {
                match reason {
                    GapReason::Conflated => accounting.skipped += count,
                    GapReason::Reset => {
                        accounting.resets += 1;
                        return ledger.reset(topic);
                    }
                    _ => accounting.lost += count,
                }
                if cohort == Cohort::Healthy {
                    accounting.healthy_skipped += count;
                }
                match ledger.announce(topic, first_seq, count) {
                    Announced::Fits => {}
                    Announced::Misaccounted => accounting.misaccounted += 1,
                }
            }
            Item::Other => {}
        };
        let read = match self.encoding {
            Encoding::Sbe => read_sbe(payload, visit),
            Encoding::Json => self.json.read(payload, visit),
        };
        if read == Err(Malformed) {
            self.accounting.malformed += 1;
        }
        self.traffic.messages - before
    }
}

#[cfg(test)]
mod tests {
    use wire::{Channel, GapEntry, Instrument, Quote, Symbol, Tick};

    use super::*;

    fn quotes(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let instrument = Instrument {
            id: 3,
            symbol: Symbol::new("S3").unwrap(),
            base_len: 0,
            price_exponent: 0,
            quantity_exponent: 0,
            tick_size: 0,
            lot_size: 0,
            channels: Channel::Quote.bit(),
        };
        let quote =
            Quote { bid_price: 1, bid_quantity: 1, ask_price: 2, ask_quantity: 1, update_id: 0 };
        let mut out = Vec::new();
        for seq in numbers {
            let mut tick = Tick::from_quote(3, seq * 1_000, &quote);
            tick.ts_ring_ns = seq * 1_000 + 50;
            tick.seq = seq;
            Encoding::Sbe.entry(&mut out, &[tick], &instrument);
        }
        out
    }

    #[test]
    fn only_ticks_due_inside_the_window_are_measured() {
        let mut tally = Tally::new(Encoding::Sbe, Arrivals::Unkept);
        let mut ledger = Ledger::default();
        tally.message(&mut ledger, Cohort::Healthy, &quotes(1..=2), 5_000);
        tally.measure(Window { start_ns: 5_000, end_ns: 8_000 });
        let ticks = tally.message(&mut ledger, Cohort::Healthy, &quotes(3..=9), 20_000);
        assert_eq!((ticks, tally.traffic.messages, tally.traffic.messages_in_window), (7, 9, 3));
        let latency = tally.healthy.percentiles();
        assert_eq!(latency.count, 3);
        assert!(latency.max_ns.abs_diff(15_000) < 20, "{latency:?}");
        assert!(tally.ring_delay.percentiles().max_ns.abs_diff(50) < 16);
        assert!(tally.from_ring.percentiles().max_ns.abs_diff(14_950) < 20);
        assert!(!tally.accounting.is_broken());
    }

    #[test]
    fn the_last_arrival_of_a_tick_is_the_latest_at_any_worker() {
        let mut merged = LastArrivals::default();
        for (connection, received_ns) in [(0, 10_000), (1, 30_000), (2, 20_000)] {
            let mut tally = Tally::new(Encoding::Sbe, Arrivals::Last);
            tally.measure(Window { start_ns: 2_000, end_ns: 4_000 });
            let mut ledger = Ledger::default();
            tally.message(&mut ledger, Cohort::Healthy, &quotes(1..=4), received_ns);
            // What stalled by intent is nobody's last.
            tally.message(&mut Ledger::default(), Cohort::Stalled, &quotes(1..=4), 90_000);
            assert_eq!(tally.last_arrivals.0.len(), 2, "connection {connection}");
            merged.merge(&tally.last_arrivals);
        }
        assert_eq!(merged.0, BTreeMap::from([(2_000, 28_000), (3_000, 27_000)]));
        assert_eq!(merged.latency().percentiles().count, 2);
    }

    #[test]
    fn skipped_numbers_are_those_announced() {
        let mut tally = Tally::new(Encoding::Sbe, Arrivals::Unkept);
        let mut ledger = Ledger::default();
        let mut payload = quotes([1]);
        let gap = |reason, first_seq, count| {
            let entry =
                GapEntry { instrument: 3, channel: Channel::Quote, reason, first_seq, count };
            let mut out = Vec::new();
            Encoding::Sbe.gap(&mut out, 0, &[entry], |_| None);
            out
        };
        payload.extend(gap(GapReason::Conflated, 2, 98));
        payload.extend(quotes([100]));
        payload.extend(gap(GapReason::Lapped, 101, 5));
        payload.extend(quotes([106]));
        payload.extend(gap(GapReason::Reset, 0, 0));
        payload.extend(quotes([1, 2, 4]));
        tally.message(&mut ledger, Cohort::Healthy, &payload, 0);
        let found = tally.accounting;
        assert_eq!((found.skipped, found.lost, found.resets, found.missing), (98, 5, 1, 1));
        assert_eq!(found.misaccounted, 0);
        tally.message(&mut ledger, Cohort::Healthy, &payload[..70], 0);
        assert_eq!(tally.accounting.malformed, 1);
    }
}
