//! Clusters under faults: nothing is lost silently, doubled or reordered, and everybody is complete again.
//!
//! Every run is checked tick by tick while it goes on (see `truth`), at readers and at clients of real hubs; at the
//! end, when all is at rest, every node has the newest number of every topic of its buckets, and every client has
//! it or was told what it did not get. What was acknowledged to clients that publish is in the log, with the
//! number they were told.

use cluster_sim::{Costs, Delivery, Fault, Memory, Plan, Report, World};

const MS: u64 = 1_000_000;

/// Thirty gateways with three clients each, a feed, and clients that publish at two nodes.
fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        nodes: 30,
        instruments: 48,
        bucket_size: 4,
        published: 6,
        publishers: 2,
        publish_rate: 100,
        rate: 1_500,
        clients: 3,
        topics: 3,
        span_ns: 3_000 * MS,
        delivery: Delivery::Real(3),
        ..Plan::default()
    }
}

fn run(plan: Plan) -> Report {
    let (seed, name, publishers) = (plan.seed, plan.costs.name, plan.publishers);
    let report = World::new(plan).run();
    assert!(report.behind.is_empty(), "{name}, seed {seed}: {report}");
    assert!(report.complete_ns.is_some(), "{name}, seed {seed}: {report}");
    assert_eq!(report.dropped, 0, "the writer's bound is not reached: {report}");
    let (taken, refused, uncertain) = report.published;
    let is_published = publishers > 0;
    assert!(!is_published || taken > 0 && taken + refused + uncertain > 400, "{report}");
    assert!(report.delivered > report.accepted, "{report}");
    report
}

fn with(seed: u64, faults: &[(u64, Fault)]) -> Vec<Report> {
    let each = [Costs::NATS, Costs::REDIS]
        .map(|costs| run(Plan { costs, faults: faults.to_vec(), ..plan(seed) }));
    each.to_vec()
}

#[test]
fn nothing_goes_wrong_and_nothing_is_missing() {
    for report in with(1, &[]) {
        let readers = report.readers;
        assert_eq!((readers.lost, readers.holes, readers.malformed), (0, 0, 0), "{report}");
        assert_eq!(report.published.1 + report.published.2, 0, "{report}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let faults = vec![(900 * MS, Fault::Cut { node: 3, ns: 700 * MS })];
    let plan = Plan { faults, ..plan(2) };
    assert_eq!(run(plan.clone()), run(plan));
}

#[test]
fn a_bus_that_begins_again_with_its_memory_loses_nothing() {
    let restart = Fault::Restart { after_ns: 400 * MS, memory: Memory::Kept };
    for report in with(3, &[(1_200 * MS, restart)]) {
        assert_eq!(report.readers.lost, 0, "{report}");
        assert!(report.readers.connections >= 60 && report.readers.ticks_replayed > 0, "{report}");
    }
}

/// Without clients that publish: numbers that were given to them and forgotten are given again, which is why a bus
/// for them keeps its logs on disk (decision 0019).
#[test]
fn a_bus_that_begins_again_without_it_is_announced() {
    let restart = Fault::Restart { after_ns: 400 * MS, memory: Memory::Lost };
    for costs in [Costs::NATS, Costs::REDIS] {
        let faults = vec![(1_200 * MS, restart)];
        let report = run(Plan { costs, faults, publishers: 0, published: 0, ..plan(4) });
        assert!(report.readers.resets > 0, "{report}");
    }
}

#[test]
fn a_stall_a_cut_and_a_frozen_node_are_caught_up() {
    let faults = [
        (600 * MS, Fault::Stall { ns: 500 * MS }),
        (1_300 * MS, Fault::Cut { node: 0, ns: 900 * MS }),
        (1_400 * MS, Fault::Freeze { node: 5, ns: 1_000 * MS }),
        (1_500 * MS, Fault::CutWriter { ns: 300 * MS }),
    ];
    for report in with(5, &faults) {
        assert_eq!(report.readers.lost, 0, "{report}");
        assert!(report.readers.ticks_replayed > 0, "{report}");
    }
}

/// A stall longer than requests may take: what was asked is in doubt, and done all the same.
#[test]
fn a_long_stall_leaves_no_doubt_behind() {
    let faults = [(1_000 * MS, Fault::Stall { ns: 8_000 * MS })];
    for report in with(6, &faults) {
        assert_eq!(report.readers.lost, 0, "{report}");
    }
}

#[test]
fn nodes_that_come_under_load_are_complete_soon() {
    let faults: Vec<_> =
        (0..30).map(|node| (1_000 * MS + node as u64 * 20 * MS, Fault::Replace { node })).collect();
    for report in with(7, &faults) {
        assert_eq!(report.readers.lost, 0, "{report}");
        assert!(report.complete_ns.unwrap() < 1_000 * MS, "{report}");
    }
}

/// Inboxes too small for a moment's ticks, and output buffers of the bus likewise.
#[test]
fn buffers_that_overflow_are_holes_like_any_other() {
    let mut plan = plan(8);
    plan.gateway.inbox_bytes = 4_000;
    plan.faults = (0..10).map(|node| (1_000 * MS, Fault::Freeze { node, ns: 700 * MS })).collect();
    let report = run(plan.clone());
    assert!(report.readers.overflowed > 100 && report.readers.holes > 0, "{report}");
    assert_eq!(report.readers.lost, 0, "{report}");
    plan.faults.clear();
    plan.costs = Costs { link_bytes: 60_000, output_bytes: 6_000, ..Costs::REDIS };
    plan.rate = 300;
    let report = World::new(plan).run();
    assert!(report.overflows > 0, "{report}");
}

#[test]
fn any_mixture_of_faults_leaves_the_truth() {
    for seed in 100..104 {
        let mut chance = cluster_sim::Chance::new(seed);
        let faults = (0..6).map(|_| {
            let at_ns = (500 + chance.below(2_500)) * MS;
            let (node, ns) = (chance.index(30), chance.below(1_500) * MS);
            let fault = match chance.below(6) {
                0 => Fault::Restart { after_ns: ns, memory: Memory::Kept },
                1 => Fault::Stall { ns },
                2 => Fault::Cut { node, ns },
                3 => Fault::CutWriter { ns },
                4 => Fault::Freeze { node, ns },
                _ => Fault::Replace { node },
            };
            (at_ns, fault)
        });
        let faults: Vec<_> = faults.collect();
        let report = run(Plan { faults, ..plan(seed) });
        assert_eq!(report.readers.lost, 0, "seed {seed}: {report}");
    }
}
