//! The `cluster-sim` command: checks clusters under random faults, finds where they break, writes the tables of
//! capacity. Exit code 101, a panic with what was found, if anything was delivered wrongly.

#![forbid(unsafe_code)]

use clap::{Parser, Subcommand, ValueEnum};
use cluster_sim::{
    Backoff, Chance, Costs, Delivery, Dimension, Fault, Memory, Plan, World, capacity, storm, sweep,
};

/// A cluster on paper.
#[derive(Debug, Parser)]
#[command(name = "cluster-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run clusters under random faults, one for each seed, and check everything that is delivered.
    Check {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many seeds.
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// Gateways.
        #[arg(long, default_value_t = 300)]
        nodes: usize,
        /// Clients of each that are followed through a real hub.
        #[arg(long, default_value_t = 2)]
        clients: usize,
        /// Faults in each run.
        #[arg(long, default_value_t = 12)]
        faults: u64,
        /// Say for each seed what it was like.
        #[arg(long)]
        verbose: bool,
    },
    /// Let clusters grow until something does not hold, with and without remedies.
    Limits {
        /// Which bus.
        #[arg(long, value_enum, default_value = "both")]
        bus: BusArg,
        /// The most gateways that are tried.
        #[arg(long, default_value_t = 1_024)]
        nodes: u64,
    },
    /// End the bus for a second under clusters of several sizes.
    Storm {
        /// Which bus.
        #[arg(long, value_enum, default_value = "both")]
        bus: BusArg,
        /// The most gateways that are tried.
        #[arg(long, default_value_t = 1_000)]
        nodes: usize,
    },
    /// Write the tables of docs/CAPACITY.md.
    Capacity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BusArg {
    Nats,
    Redis,
    Both,
}

impl BusArg {
    fn costs(self) -> Vec<Costs> {
        match self {
            Self::Nats => vec![Costs::NATS],
            Self::Redis => vec![Costs::REDIS],
            Self::Both => vec![Costs::NATS, Costs::REDIS],
        }
    }
}

const MS: u64 = 1_000_000;

fn main() {
    match Cli::parse().command {
        Command::Check { seed, seeds, nodes, clients, faults, verbose } => {
            for seed in seed..seed + seeds {
                check(seed, nodes, clients, faults, verbose);
            }
            println!(
                "{seeds} seeds: nothing lost silently, doubled or reordered; all complete at the end"
            );
        }
        Command::Limits { bus, nodes } => {
            bus.costs().into_iter().for_each(|costs| limits(costs, nodes));
        }
        Command::Storm { bus, nodes } => {
            bus.costs().into_iter().for_each(|costs| storms(costs, nodes));
        }
        Command::Capacity => print!("{}", capacity::tables()),
    }
}

fn check(seed: u64, nodes: usize, clients: usize, count: u64, verbose: bool) {
    let mut chance = Chance::new(seed);
    let faults = (0..count).map(|_| {
        let at_ns = (500 + chance.below(3_000)) * MS;
        let (node, ns) = (chance.index(nodes), chance.below(2_000) * MS);
        let fault = match chance.below(10) {
            0 => Fault::Restart { after_ns: ns, memory: Memory::Kept },
            1 => Fault::Stall { ns },
            2 => Fault::CutWriter { ns },
            3 | 4 => Fault::Freeze { node, ns },
            5 | 6 => Fault::Replace { node },
            _ => Fault::Cut { node, ns },
        };
        (at_ns, fault)
    });
    let faults = faults.collect();
    let costs = if seed.is_multiple_of(2) { Costs::NATS } else { Costs::REDIS };
    let plan = Plan {
        seed,
        nodes,
        instruments: 96,
        bucket_size: [1, 4, 16][chance.index(3)],
        published: 6,
        publishers: 3,
        publish_rate: 100,
        rate: 2_000,
        topics: 3,
        span_ns: 4_000 * MS,
        delivery: Delivery::Real(clients),
        costs,
        faults,
        ..Plan::default()
    };
    let name = plan.costs.name;
    let report = World::new(plan).run();
    if verbose {
        println!("seed {seed}, {name}\n{report}\n");
    }
    assert!(report.behind.is_empty() && report.complete_ns.is_some(), "seed {seed}: {report}");
    assert_eq!(report.readers.lost, 0, "seed {seed}: the log has everything: {report}");
}

/// A plan that is measured briefly: what it costs does not change with time.
fn base(costs: Costs) -> Plan {
    Plan {
        costs,
        nodes: 30,
        span_ns: 600 * MS,
        warm_up_ns: 250 * MS,
        clients: 300,
        ..Plan::default()
    }
}

fn doublings(from: u64, to: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(from), |value| Some(value * 2)).take_while(move |value| *value <= to)
}

fn limits(costs: Costs, nodes: u64) {
    let name = costs.name;
    println!(
        "| {name}: what grows | how | held | broke | used up then | p99 to nodes, to clients, before |"
    );
    println!("|---|---|---|---|---|---|");
    let plan = base(costs);
    let sharded = Plan { shards: 4, ..plan.clone() };
    let aged = Plan { batch_age_ns: 10 * MS, ..plan.clone() };
    let wide = Plan { bucket_size: 256, ..plan.clone() };
    let both = Plan { shards: 4, ..aged.clone() };
    let single = Plan { bucket_size: 1, ..plan.clone() };
    let rows: [(&str, Dimension, &Plan, u64, u64); 12] = [
        ("as it is", Dimension::Nodes, &plan, 16, nodes),
        ("batches of 10 ms", Dimension::Nodes, &aged, 16, nodes),
        ("buckets of 256", Dimension::Nodes, &wide, 16, nodes),
        ("buckets of 1", Dimension::Nodes, &single, 8, nodes),
        ("four servers", Dimension::Nodes, &sharded, 16, nodes),
        ("four servers, 10 ms", Dimension::Nodes, &both, 16, nodes),
        ("as it is", Dimension::Rate, &plan, 5_000, 2_560_000),
        ("batches of 10 ms", Dimension::Rate, &aged, 5_000, 2_560_000),
        ("four servers", Dimension::Rate, &sharded, 5_000, 2_560_000),
        ("as it is", Dimension::Instruments, &plan, 500, 16_000),
        ("batches of 10 ms", Dimension::Instruments, &aged, 500, 16_000),
        ("as it is", Dimension::Clients, &plan, 100, 102_400),
    ];
    for (how, dimension, plan, from, to) in rows {
        let found = sweep(plan, dimension, doublings(from, to));
        let ms = |ns: u64| ns.div_ceil(10_000) as f64 / 100.0;
        let held =
            found.held.as_ref().map_or_else(|| "–".to_owned(), |(value, _)| value.to_string());
        let (broke, limit) = found.broke.map_or_else(
            || ("–".to_owned(), "–".to_owned()),
            |(value, limit)| (value.to_string(), limit.to_string()),
        );
        let times = found.held.map_or_else(String::new, |(_, report)| {
            format!("{} ms, {} ms", ms(report.node_ns.at(990)), ms(report.client_ns.at(990)))
        });
        println!("| {dimension} | {how} | {held} | {broke} | {limit} | {times} |");
    }
    println!();
}

fn storms(costs: Costs, nodes: usize) {
    println!(
        "| {}: gateways | a connection costs | waits | attempts | complete after the bus was back | most waiting in the bus | closed by it |",
        costs.name
    );
    println!("|---|---|---|---|---|---|---|");
    // A handshake of TLS with its certificates, and what authorisation may add.
    let dear = Costs { connect_ns: 5 * MS, ..costs };
    let sizes = [30, 100, 300, 1_000].into_iter().filter(|size| *size <= nodes);
    for nodes in sizes {
        for costs in [costs, dear] {
            for (how, backoff) in [
                ("jittered", Backoff::Jittered),
                ("doubled, no jitter", Backoff::Plain),
                ("every 50 ms", Backoff::Fixed(50 * MS)),
            ] {
                let plan = Plan {
                    costs,
                    nodes,
                    backoff,
                    rate: 2_000,
                    batch_age_ns: 10 * MS,
                    span_ns: 3_000 * MS,
                    ..Plan::default()
                };
                let report = storm(&plan);
                let complete = report
                    .complete_ns
                    .map_or_else(|| "never".to_owned(), |ns| format!("{} ms", ns / MS));
                println!(
                    "| {nodes} | {} ms | {how} | {} | {complete} | {} kB | {} |",
                    costs.connect_ns as f64 / 1e6,
                    report.attempts,
                    report.output_peak / 1_000,
                    report.overflows
                );
            }
        }
    }
    println!();
}
