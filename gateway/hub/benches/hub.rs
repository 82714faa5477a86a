//! What a tick and a visit cost.
//!
//! `cargo bench -p tickcast-hub` measures time. For instruction counts, which do not depend on what
//! else the machine does, `HUB_COUNT=case cargo bench …` runs one case 100,000 times and nothing
//! else, so that `valgrind --tool=callgrind --toggle-collect='*measured*'` counts it; see
//! `.ci/` and `bench/record/` for how that is run and what came out.
//!
//! Subscribers are connections of one quote topic; a tick is a quote of that topic, validated,
//! appended to a log that is full, and marked for all of them. A visit is collected and committed
//! without a socket.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::hint::black_box;

use criterion::{Criterion, criterion_group};
use harness::Bench;
use tickcast_hub::{ConnId, Limits};
use wire::{Encoding, Quote, Tick};

/// A log small enough to be full, and large enough not to live in the cache.
fn limits() -> Limits {
    Limits { log_entries: 1 << 16, log_ticks: 1 << 17, ..Limits::default() }
}

fn quote(seq: u64) -> Tick {
    let price = seq as i64;
    let quote = Quote {
        bid_price: price,
        bid_quantity: 5,
        ask_price: price + 1,
        ask_quantity: 6,
        update_id: seq,
    };
    Tick { seq, ts_ring_ns: 1, ..Tick::from_quote(0, 1, &quote) }
}

struct Ticks {
    bench: Bench,
    seq: u64,
}

impl Ticks {
    fn new(subscribers: u32) -> Self {
        let mut bench = Bench::new(limits(), 1);
        for _ in 0..subscribers {
            bench.client(Encoding::Sbe, &["S0.quote"], "");
        }
        bench.settle();
        let mut ticks = Self { bench, seq: 0 };
        (0..1 << 17).for_each(|_| ticks.measured_tick());
        ticks
    }

    #[inline(never)]
    fn measured_tick(&mut self) {
        self.seq += 1;
        let tick = quote(self.seq);
        self.bench.hub.handle_record(black_box(&tick), 1);
    }
}

/// A connection of so many topics, each of which has one new entry in each visit.
struct Visits {
    bench: Bench,
    conn: ConnId,
    other: ConnId,
    topics: u32,
}

impl Visits {
    fn new(topics: u32) -> Self {
        let mut bench = Bench::new(limits(), topics);
        let names: Vec<String> = (0..topics).map(|id| format!("S{id}.quote")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let conn = bench.client(Encoding::Sbe, &names, "");
        // Another one has everything encoded before it: that cost is the tick's, not the visit's.
        let other = bench.client(Encoding::Sbe, &names, "");
        bench.settle();
        let mut visits = Self { bench, conn, other, topics };
        for _ in 0..(1 << 17) / topics {
            visits.prepare();
            visits.measured_visit();
        }
        visits
    }

    fn prepare(&mut self) {
        (0..self.topics).for_each(|id| self.bench.quote(id));
        self.bench.out.clear();
        self.bench.hub.collect(self.other, 1, &mut self.bench.out);
        self.bench.hub.commit(self.other);
    }

    #[inline(never)]
    fn measured_visit(&mut self) -> usize {
        self.bench.out.clear();
        let visit = self.bench.hub.collect(self.conn, 1, &mut self.bench.out);
        self.bench.hub.commit(self.conn);
        visit.bytes
    }
}

fn ticks(criterion: &mut Criterion) {
    for subscribers in [0, 1, 10_000] {
        let mut ticks = Ticks::new(subscribers);
        criterion.bench_function(&format!("tick, {subscribers} subscribers"), |bencher| {
            bencher.iter(|| ticks.measured_tick());
        });
    }
}

fn visits(criterion: &mut Criterion) {
    for topics in [1, 50] {
        let mut visits = Visits::new(topics);
        criterion.bench_function(&format!("visit, {topics} topics"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    visits.prepare();
                    let start = std::time::Instant::now();
                    black_box(visits.measured_visit());
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
}

/// A crowd: each connection has `topics` of `instruments` topics, evenly spread, and between two passes
/// over all of them come `entries` entries, evenly spread too. Unlike above, what a visit touches was
/// thrown out of the caches by the others'.
struct Crowd {
    bench: Bench,
    case: Case,
    next: u32,
}

#[derive(Clone, Copy)]
struct Case {
    connections: u32,
    instruments: u32,
    /// 0: a wildcard.
    topics: u32,
    entries: u32,
}

const CROWDS: [Case; 12] = [
    Case { connections: 5000, instruments: 1, topics: 1, entries: 1 },
    Case { connections: 5000, instruments: 1, topics: 1, entries: 35 },
    Case { connections: 5000, instruments: 1000, topics: 1, entries: 35 },
    Case { connections: 5000, instruments: 100, topics: 10, entries: 1 },
    Case { connections: 5000, instruments: 100, topics: 10, entries: 25 },
    Case { connections: 5000, instruments: 1000, topics: 50, entries: 25 },
    Case { connections: 5000, instruments: 1000, topics: 50, entries: 250 },
    Case { connections: 5000, instruments: 50, topics: 50, entries: 50 },
    Case { connections: 1000, instruments: 10_000, topics: 1000, entries: 100 },
    Case { connections: 1000, instruments: 10_000, topics: 1000, entries: 1000 },
    Case { connections: 1000, instruments: 1000, topics: 0, entries: 35 },
    Case { connections: 1, instruments: 10_000, topics: 0, entries: 1000 },
];

impl Crowd {
    fn new(case: Case) -> Self {
        let mut bench =
            Bench::new(Limits { wildcard_states_max: 1 << 30, ..limits() }, case.instruments);
        let step = case.instruments / case.topics.max(1);
        for index in 0..case.connections {
            let first = index.wrapping_mul(7919);
            let names: Vec<String> = (0..case.topics)
                .map(|nth| format!("S{}.quote", (first + nth * step) % case.instruments))
                .collect();
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            if case.topics == 0 {
                names.push("*.quote");
            }
            bench.client(Encoding::Sbe, &names, "");
        }
        bench.settle();
        let mut crowd = Self { bench, case, next: 0 };
        for _ in 0..3 {
            crowd.prepare();
            crowd.measured_pass();
        }
        crowd
    }

    fn prepare(&mut self) {
        for _ in 0..self.case.entries {
            self.next = (self.next + 617) % self.case.instruments;
            self.bench.quote(self.next);
        }
    }

    /// Visits everybody who has something; answers how many visits that took.
    #[inline(never)]
    fn measured_pass(&mut self) -> u64 {
        self.bench.settle().0
    }
}

fn crowds(criterion: &mut Criterion) {
    for case in CROWDS {
        let mut crowd = Crowd::new(case);
        let Case { connections, instruments, topics, entries } = case;
        let name = format!(
            "visit, {topics} of {instruments} topics, {entries} entries, {connections} connections"
        );
        criterion.bench_function(&name, |bencher| {
            bencher.iter_custom(|rounds| {
                let (mut spent, mut visits) = (std::time::Duration::ZERO, 0);
                while visits < rounds {
                    crowd.prepare();
                    let start = std::time::Instant::now();
                    visits += crowd.measured_pass();
                    spent += start.elapsed();
                }
                spent.mul_f64(rounds as f64 / visits as f64)
            });
        });
    }
}

criterion_group!(all, ticks, visits, crowds);

const ROUNDS: usize = 100_000;

fn main() {
    match std::env::var("HUB_COUNT").as_deref() {
        Ok(case) => count(case),
        Err(_) => all(),
    }
}

/// Runs one case and nothing else, to be counted from outside.
fn count(case: &str) {
    let (what, number) = case.split_once('-').expect("tick-N, visit-N or crowd-N");
    let number = number.parse().expect("a number");
    match what {
        "tick" => {
            let mut ticks = Ticks::new(number);
            (0..ROUNDS).for_each(|_| ticks.measured_tick());
        }
        "crowd" => {
            let mut crowd = Crowd::new(CROWDS[number as usize]);
            let mut visits = 0;
            while visits < ROUNDS as u64 {
                crowd.prepare();
                visits += crowd.measured_pass();
            }
        }
        _ => {
            let mut visits = Visits::new(number);
            for _ in 0..ROUNDS / number as usize {
                visits.prepare();
                black_box(visits.measured_visit());
            }
        }
    }
}
