//! Clients that come, subscribe, stall, go on and go, for as long as one likes: every number is accounted for,
//! and in the end the gateway has nothing left of them.
//!
//! `TICKCAST_SOAK` is for how many seconds (20 unless set), `TICKCAST_SOAK_CLIENTS` how many clients (200).
//! A sample is printed each minute: `TICKCAST_SOAK=3600 TICKCAST_SOAK_CLIENTS=3000 cargo test --release -p gateway
//! --test soak -- --nocapture`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::{Account, Client, Ended, Ledger, Options, Position, Reconnect, Subscription};
use support::process::{Gateway, until};
use tokio::time::{sleep, timeout};

const SYMBOLS: u64 = 20;

/// What clients have done and seen, together.
#[derive(Debug, Default)]
struct Tally {
    visits: AtomicU64,
    stalls: AtomicU64,
    aborts: AtomicU64,
    closed_slow: AtomicU64,
    delivered: AtomicU64,
    conflated: AtomicU64,
    lost: AtomicU64,
    missing: AtomicU64,
    repeated: AtomicU64,
}

impl Tally {
    fn enter(&self, account: &Account) {
        let add = |sum: &AtomicU64, more| sum.fetch_add(more, Ordering::Relaxed);
        add(&self.delivered, account.delivered);
        add(&self.conflated, account.conflated);
        add(&self.lost, account.lost);
        add(&self.missing, account.missing);
        add(&self.repeated, account.repeated);
    }
}

/// A generator of numbers that need not be good (Marsaglia, "Xorshift RNGs", 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let nth = self.below(all.len() as u64);
        all[usize::try_from(nth).expect("one of a few")]
    }

    fn between(&mut self, min: Duration, max: Duration) -> Duration {
        min + (max - min).mul_f64(self.below(1_001) as f64 / 1_000.0)
    }
}

/// Memory, files and threads of the gateway.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    at: Duration,
    resident_kib: u64,
    files: usize,
    threads: usize,
}

fn footprint(gateway: &Gateway, begun: Instant) -> Footprint {
    let pid = gateway.process.pid();
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident_kib = line.trim().trim_end_matches(" kB").parse().unwrap();
    Footprint { at: begun.elapsed(), resident_kib, files: count("fd"), threads: count("task") }
}

/// Growth in KiB an hour, by least squares.
fn slope(samples: &[Footprint]) -> f64 {
    let n = samples.len() as f64;
    let points = samples.iter().map(|s| (s.at.as_secs_f64() / 3600.0, s.resident_kib as f64));
    let (x, y) = points.clone().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x / n, sum.1 + y / n));
    let (xy, xx) = points.fold((0.0, 0.0), |sum, point| {
        (sum.0 + (point.0 - x) * (point.1 - y), sum.1 + (point.0 - x) * (point.0 - x))
    });
    xy / xx
}

/// What one client does until it is told to end.
async fn live(url: String, number: u64, tally: Arc<Tally>, is_over: Arc<AtomicBool>) {
    let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let second = Duration::from_secs(1);
    // Not all at once.
    sleep(dice.between(Duration::ZERO, 5 * second)).await;
    let options = Options::new()
        .queue(1)
        .connect_timeout(60 * second)
        .command_timeout(120 * second)
        .reconnect(Reconnect::Never);
    let mut position: Option<(Vec<String>, Position, Ledger)> = None;
    while !is_over.load(Ordering::Relaxed) {
        if dice.one_in(20) {
            // One that goes in the middle of its handshake.
            let address = url.trim_start_matches("ws://").split('/').next().unwrap().to_owned();
            if let Ok(stream) = tokio::net::TcpStream::connect(address).await {
                let _ = stream.try_write(b"GET /v1/stream HTTP/1.1\r\nHost: te");
                tally.aborts.fetch_add(1, Ordering::Relaxed);
            }
        }
        let Ok(mut client) = Client::connect(&url, options.clone()).await else {
            sleep(dice.between(second, 5 * second)).await;
            continue;
        };
        tally.visits.fetch_add(1, Ordering::Relaxed);
        // Who goes on where it was knows what it had; others begin anew.
        let (topics, resumed, mut ledger) = match position.take() {
            Some((topics, position, ledger)) => (topics, Some(position), ledger),
            None => (some_topics(&mut dice), None, Ledger::new()),
        };
        let mut subscription = Subscription::new(topics.clone());
        if let Some(resumed) = resumed {
            subscription = subscription.resume(resumed);
        }
        let answer = client.subscribe(subscription).await;
        let is_subscribed = answer.is_ok_and(|answer| answer.refused().count() == 0);
        let mut ended = None;
        if is_subscribed {
            let stay = Instant::now() + dice.between(2 * second, 60 * second);
            while ended.is_none() && Instant::now() < stay && !is_over.load(Ordering::Relaxed) {
                if dice.one_in(2_000) {
                    tally.stalls.fetch_add(1, Ordering::Relaxed);
                    let go_on = Instant::now() + dice.between(second, 40 * second);
                    while Instant::now() < go_on && !is_over.load(Ordering::Relaxed) {
                        sleep(second / 4).await;
                    }
                }
                match timeout(second, client.next()).await {
                    Ok(Ok(event)) => ledger.enter(&event),
                    Ok(Err(end)) => ended = Some(end),
                    Err(_) => {}
                }
            }
        }
        if let Some(Ended::Lost(reason)) = &ended
            && reason.to_string().contains("4000")
        {
            tally.closed_slow.fetch_add(1, Ordering::Relaxed);
        }
        if dice.one_in(2) && is_subscribed {
            // What is known is what was taken out, so nothing of it may come again.
            position = Some((topics, client.position().clone(), ledger));
        } else {
            tally.enter(&ledger.total());
        }
        drop(client);
        sleep(dice.between(Duration::ZERO, 2 * second)).await;
    }
    if let Some((_, _, ledger)) = position {
        tally.enter(&ledger.total());
    }
}

fn some_topics(dice: &mut Dice) -> Vec<String> {
    const SOME: [&str; 4] = ["trade", "quote", "depth", "bar_1s"];
    if dice.one_in(20) {
        return vec!["*.trade".to_owned(), "*.quote".to_owned()];
    }
    let symbols = ["BTCUSDT", "ETHUSDT"];
    let mut topics: Vec<String> = (0..=dice.below(3))
        .map(|_| format!("{}.{}", dice.one_of(&symbols), dice.one_of(&SOME)))
        .collect();
    topics.sort();
    topics.dedup();
    topics
}

fn setting(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}: a number, not {text}"))
    })
}

#[test]
fn nothing_is_left_of_clients_that_came_and_went() {
    let length = Duration::from_secs(setting("TICKCAST_SOAK", 20));
    let clients = setting("TICKCAST_SOAK_CLIENTS", 200);
    let gateway = Gateway::start(&[
        "--symbols",
        &SYMBOLS.to_string(),
        "--rate",
        "200",
        "--derive",
        "charts",
        // What the kernel keeps of a client that stalls is to be full soon.
        "--sndbuf",
        "8KiB",
        "--notsent-lowat",
        "4KiB",
        "--descriptor-tables",
        "shared",
        "--history-trades",
        "100",
        "--history-bars",
        "100",
        // What is kept for all is to be full within minutes, or its filling would look like growth.
        "--log-entries",
        "32768",
        "--memory-budget",
        "32MiB",
        "--ring-capacity",
        "16384",
    ]);
    let begun = Instant::now();
    let before = footprint(&gateway, begun);
    let (tally, is_over) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("ws://{}/v1/stream", gateway.listen);
    let mut samples = Vec::new();
    runtime.block_on(async {
        let lives: Vec<_> = (1..=clients)
            .map(|number| {
                tokio::spawn(live(url.clone(), number, Arc::clone(&tally), Arc::clone(&is_over)))
            })
            .collect();
        let every = (length / 60).max(Duration::from_secs(1));
        // On a slow machine it takes longer until somebody has come twice.
        let is_enough = || tally.visits.load(Ordering::Relaxed) > clients;
        while begun.elapsed() < length || !is_enough() && begun.elapsed() < 10 * length {
            sleep(every).await;
            let sample = footprint(&gateway, begun);
            println!("{sample:?} {tally:?}");
            samples.push(sample);
        }
        is_over.store(true, Ordering::Relaxed);
        for life in lives {
            life.await.expect("no client panics");
        }
    });
    drop(runtime);
    until("all sessions to be gone", || (gateway.metric("tickcast_sessions") == 0.0).then_some(()));
    let read = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
    assert!(read(&tally.visits) > clients && read(&tally.delivered) > 1_000, "{tally:?}");
    assert_eq!((read(&tally.missing), read(&tally.repeated)), (0, 0), "{tally:?}");
    // A connection for operators may still be on its way out.
    let after = until("all files to be closed", || {
        let after = footprint(&gateway, begun);
        (after.files <= before.files + 1 && after.threads <= before.threads).then_some(after)
    });
    println!("before {before:?}\nafter {after:?}\n{tally:?}");
    let warm = &samples[samples.len() / 3..];
    let growth = slope(warm);
    println!("growth after warm-up: {growth:.0} KiB an hour");
    if length >= Duration::from_secs(1_800) {
        // A hundredth of what it takes is within what an allocator's pages come and go.
        let most = warm.iter().map(|sample| sample.resident_kib).max().unwrap() as f64 / 100.0;
        assert!(growth < most.max(1_024.0), "it grows by {growth:.0} KiB an hour");
    }
}
