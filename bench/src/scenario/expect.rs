//! What a run must have delivered, and why it did not.
//!
//! Sequence numbers find what is missing between two deliveries; the count finds a tail that never
//! came. Both together mean: every tick due in the window reached everyone who asked for it.

use serde::Deserialize;

use crate::generator::report::Report;
use crate::record::{Offered, float};

/// The `[expect]` of a scenario.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Expect {
    #[serde(default)]
    pub(crate) delivered: Delivered,
    /// Numbers announced as skipped or lost at connections that read.
    #[serde(default)]
    pub(crate) skipped_max: u64,
    /// Connections that the server may close.
    #[serde(default)]
    pub(crate) closed_max: u64,
}

/// How much of what was offered must arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Delivered {
    /// Every tick due in the window, at every subscriber.
    #[default]
    All,
    /// At least one tick at every connection.
    OneEach,
    /// Whatever comes: conflation, idle connections.
    Any,
}

/// Why a run is not what was expected; empty if it is.
pub(crate) fn failures(expect: &Expect, offered: &Offered, report: &Report) -> Vec<String> {
    let mut failures = Vec::new();
    let mut note = |is_wrong: bool, what: String| {
        if is_wrong {
            failures.push(what);
        }
    };
    let connections = &report.connections;
    let (wanted, opened, received) = (connections.wanted, connections.opened, connections.received);
    note(opened < wanted, format!("{opened} of {wanted} connections opened"));
    let closed: u64 = connections.closes.values().sum();
    note(closed > expect.closed_max, format!("the server closed {closed} connections"));
    let a = &report.accounting;
    for (count, what) in [
        (a.missing, "missing"),
        (a.doubled, "doubled"),
        (a.reordered, "reordered"),
        (a.misaccounted, "misaccounted gaps"),
        (a.malformed, "malformed messages"),
    ] {
        note(count > 0, format!("{count} {what}"));
    }
    let skipped = a.healthy_skipped;
    note(skipped > expect.skipped_max, format!("{skipped} skipped at connections that read"));
    match expect.delivered {
        Delivered::All => {
            let edges = edges(offered);
            // The window is cut by the ticks' own times, however late a busy generator saw its end.
            let due = offered.deliveries_per_s * offered.duration_s;
            // Of those that read: stalled and slow connections are not what was offered.
            let came = float(report.latency.count);
            note(came < due - edges, format!("{came:.0} of {due:.0} due deliveries came"));
            note(came > due + edges, format!("{came:.0} deliveries, more than {due:.0} due"));
        }
        Delivered::OneEach => {
            note(received < opened, format!("{received} of {opened} connections got a tick"));
        }
        Delivered::Any => {}
    }
    failures
}

/// How many deliveries more or fewer than were due the window may have: where it begins and ends between
/// two ticks, one tick of all. Not one of each topic: of many topics a window may be shorter than a
/// round, and then that would excuse that nothing came.
fn edges(offered: &Offered) -> f64 {
    let subscriptions = float(offered.connections) * float(offered.per_connection);
    let subscribers = offered.deliveries_per_s / offered.rate;
    // Where subscriptions do not divide evenly, a part of a round has more or fewer than its share: by
    // one for each topic at most.
    let uneven = if subscribers.fract() == 0.0 { 0.0 } else { float(offered.topics) };
    (subscribers.ceil() + uneven).min(subscriptions)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cpu::CpuUse;
    use crate::generator::plan::{Connections, Recovery, WorkerReport};
    use crate::generator::report;
    use crate::generator::tally::{Accounting, LastArrivals, Traffic};
    use crate::latency::Latency;

    const OFFERED: Offered = Offered {
        connections: 10,
        topics: 1,
        per_connection: 1,
        rate: 100.0,
        deliveries_per_s: 1_000.0,
        duration_s: 1.0,
    };

    fn report(messages_in_window: u64, accounting: Accounting) -> Report {
        let connections =
            Connections { wanted: 10, opened: 10, received: 10, ..Connections::default() };
        let mut healthy = Latency::default();
        (0..messages_in_window).for_each(|_| healthy.record(1_000));
        let worker = WorkerReport {
            worker: 0,
            connections,
            traffic: Traffic { messages_in_window, ..Traffic::default() },
            accounting,
            healthy,
            stalled: Latency::default(),
            from_ring: Latency::default(),
            ring_delay: Latency::default(),
            last_arrivals: LastArrivals::default(),
            recovery: Recovery::default(),
            handshake: Latency::default(),
            ramp_ns: 1,
            cpu: CpuUse::default(),
            wall_ns: 1_000_000_000,
            window_ns: 1_000_000_000,
        };
        Report::new(BTreeMap::new(), report::Expect::Messages, &[worker])
    }

    #[test]
    fn a_tail_that_never_came_is_a_failure() {
        let failures = |messages| {
            super::failures(&Expect::default(), &OFFERED, &report(messages, Accounting::default()))
        };
        assert_eq!(failures(1_000), Vec::<String>::new());
        assert_eq!(failures(991), Vec::<String>::new(), "the window's edges");
        assert_eq!(failures(900), ["900 of 1000 due deliveries came"]);
        assert_eq!(failures(1_100), ["1100 deliveries, more than 1000 due"]);
    }

    #[test]
    fn a_window_shorter_than_a_round_of_the_topics_excuses_nothing() {
        // A tick every 10 ms, of each topic every 10 s, and ten subscribers of each.
        let offered = Offered { topics: 1_000, per_connection: 1_000, ..OFFERED };
        let failures = |messages| {
            super::failures(&Expect::default(), &offered, &report(messages, Accounting::default()))
        };
        assert_eq!(failures(1_000), Vec::<String>::new());
        assert_eq!(failures(990), Vec::<String>::new(), "a tick at the edge");
        assert_eq!(failures(0), ["0 of 1000 due deliveries came"]);
        // Seven connections with one topic of three each: two have two subscribers, one has three.
        let uneven = Offered {
            connections: 7,
            topics: 3,
            deliveries_per_s: 7.0 * 90.0 / 3.0,
            rate: 90.0,
            ..OFFERED
        };
        assert_eq!(edges(&uneven), 6.0);
    }

    #[test]
    fn each_broken_promise_is_named() {
        let accounting = Accounting {
            missing: 1,
            doubled: 2,
            reordered: 3,
            healthy_skipped: 4,
            ..Accounting::default()
        };
        let report = report(1_000, accounting);
        let expected =
            ["1 missing", "2 doubled", "3 reordered", "4 skipped at connections that read"];
        assert_eq!(failures(&Expect::default(), &OFFERED, &report), expected);
        let lenient = Expect { skipped_max: 4, delivered: Delivered::Any, closed_max: 0 };
        assert_eq!(failures(&lenient, &OFFERED, &report), expected[..3]);
    }

    #[test]
    fn connections_that_did_not_open_or_got_nothing_are_failures() {
        let mut report = report(0, Accounting::default());
        report.connections.opened = 9;
        report.connections.received = 8;
        report.connections.closes.insert("reset".to_owned(), 2);
        let one_each = Expect { delivered: Delivered::OneEach, ..Expect::default() };
        assert_eq!(
            failures(&one_each, &OFFERED, &report),
            [
                "9 of 10 connections opened",
                "the server closed 2 connections",
                "8 of 9 connections got a tick"
            ]
        );
    }
}
