//! Everybody at once: a gateway that is killed, one that drains, and a crowd that comes back beside those who
//! stayed. Whoever resumes has lost nothing.
//!
//! `TICKCAST_STORM_CLIENTS` is how many clients there are (300 unless set; the process needs a file for each).
//! Times are printed, not judged: `TICKCAST_STORM_CLIENTS=15000 cargo test --release -p gateway --test storm --
//! --nocapture`.

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::{
    Client, ErrorCode, Event, Ledger, Options, Position, Quote, Reconnect, Subscription, Trade,
};
use support::process::{Gateway, feed_sim, free_address, until};
use support::ring_file::RingFile;
use tokio::sync::watch;

/// Ticks a second that the crowd is sent at most, about: the storm is what is to be looked at.
const DELIVERIES_PER_S: usize = 300_000;

/// Clients that stay while the others come back.
const STEADY: usize = 50;

/// What all clients know together.
#[derive(Debug, Default)]
struct Crowd {
    /// How many have had an event since they connected.
    served: AtomicUsize,
    lost: AtomicU64,
    missing: AtomicU64,
    repeated: AtomicU64,
    delivered: AtomicU64,
    is_over: AtomicBool,
    /// Of those who stay: how long quotes were under way from the ring, ns.
    delays_ns: Mutex<Vec<u64>>,
}

/// Who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It never leaves by itself.
    Steady,
    /// It cuts its connection whenever it is told, and resumes.
    Moving,
}

impl Role {
    const fn topic(self) -> &'static str {
        match self {
            Self::Steady => "ETHUSDT.quote",
            Self::Moving => "BTCUSDT.trade",
        }
    }
}

async fn live(url: String, role: Role, crowd: Arc<Crowd>, mut cut: watch::Receiver<u32>) {
    let options = Options::new()
        .connect_timeout(Duration::from_secs(120))
        .command_timeout(Duration::from_secs(240))
        .reconnect(Reconnect::WithBackoff {
            min: Duration::from_millis(100),
            max: Duration::from_secs(2),
            attempts: None,
        });
    let mut ledger = Ledger::new();
    let mut position = None;
    'connections: loop {
        let mut client = loop {
            match Client::connect(&url, options.clone()).await {
                Ok(client) => break client,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        loop {
            let mut subscription = Subscription::new([role.topic()]);
            if let Some(position) = &position {
                subscription = subscription.resume(Position::clone(position));
            }
            let answer = client.subscribe(subscription).await.expect("an answer");
            // A gateway that has just begun may not know what its feed has.
            if answer.refused().all(|(_, why)| why.code != Some(ErrorCode::Unavailable)) {
                assert_eq!(answer.refused().count(), 0, "{answer:?}");
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut is_served = false;
        loop {
            let event = tokio::select! {
                event = client.next() => event.expect("a client that goes on"),
                told = cut.changed(), if role == Role::Moving => {
                    told.expect("the test goes on");
                    crowd.served.fetch_sub(usize::from(is_served), Ordering::Relaxed);
                    position = Some(client.position().clone());
                    // Its socket is closed by a task that must have had its turn before there is another one.
                    drop(client);
                    tokio::task::yield_now().await;
                    continue 'connections;
                }
            };
            ledger.enter(&event);
            match event {
                Event::Disconnected(_) => {
                    crowd.served.fetch_sub(usize::from(is_served), Ordering::Relaxed);
                    is_served = false;
                }
                Event::Quote(Quote { origin, .. }) | Event::Trade(Trade { origin, .. }) => {
                    if role == Role::Steady {
                        let ring_ns = origin.ts_event_ns + u64::from(origin.ring_delay_ns);
                        let in_ring = UNIX_EPOCH + Duration::from_nanos(ring_ns);
                        let delay = SystemTime::now().duration_since(in_ring).unwrap_or_default();
                        let delay_ns = u64::try_from(delay.as_nanos()).unwrap();
                        crowd.delays_ns.lock().unwrap().push(delay_ns);
                    }
                    crowd.served.fetch_add(usize::from(!is_served), Ordering::Relaxed);
                    is_served = true;
                }
                _ => {}
            }
            if crowd.is_over.load(Ordering::Relaxed) {
                let total = ledger.total();
                let add = |sum: &AtomicU64, more| sum.fetch_add(more, Ordering::Relaxed);
                add(&crowd.lost, total.lost + total.conflated + total.resets);
                add(&crowd.missing, total.missing);
                add(&crowd.repeated, total.repeated);
                add(&crowd.delivered, total.delivered);
                return;
            }
        }
    }
}

/// Waits until all of them are served, and answers how long that took.
fn back(crowd: &Crowd, clients: usize, since: Instant) -> Duration {
    let begun = Instant::now();
    while crowd.served.load(Ordering::Relaxed) < clients {
        let served = crowd.served.load(Ordering::Relaxed);
        assert!(begun.elapsed() < Duration::from_secs(300), "{served} of {clients} are back");
        std::thread::sleep(Duration::from_millis(5));
    }
    since.elapsed()
}

fn percentile(delays_ns: &mut [u64], percent: usize) -> f64 {
    delays_ns.sort_unstable();
    let at = delays_ns.len().saturating_sub(1) * percent / 100;
    delays_ns.get(at).map_or(0.0, |ns| *ns as f64 / 1e6)
}

fn post(address: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

#[test]
fn whoever_comes_back_has_lost_nothing() {
    let set = std::env::var("TICKCAST_STORM_CLIENTS").ok();
    let clients: usize = set.map_or(300, |text| text.parse().expect("a number of clients"));
    let ring = RingFile::new("storm");
    // Records of minutes: a crowd that comes back finds what it missed.
    let rate = (DELIVERIES_PER_S / clients).clamp(10, 100).to_string();
    let out = ring.url();
    let _feed = feed_sim(&["--out", &out, "--symbols", "2", "--rate", &rate, "--derive", "none"]);
    until("the ring's file", || ring.path().exists().then_some(()));
    let (source, listen) = (ring.url(), free_address());
    let arguments =
        ["--source", &source, "--drain-window", "5s", "--lag-age", "1h", "--slow-age", "1h"];
    let mut gateway = Gateway::spawn(listen, &arguments);

    let crowd = Arc::new(Crowd::default());
    let (cut, told) = watch::channel(0);
    let url = format!("ws://{listen}/v1/stream");
    // On threads of their own: those who stay are not to wait for those who come back.
    let living = [(Role::Steady, STEADY), (Role::Moving, clients - STEADY)].map(|(role, count)| {
        let (url, crowd, told) = (url.clone(), Arc::clone(&crowd), told.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap();
            let live = || live(url.clone(), role, Arc::clone(&crowd), told.clone());
            let lives: Vec<_> = (0..count).map(|_| runtime.spawn(live())).collect();
            runtime.block_on(async {
                for life in lives {
                    life.await.expect("no client panics");
                }
            });
        })
    });
    let ramp = back(&crowd, clients, Instant::now());
    println!("{clients} clients: all served {ramp:?} after they began at once");

    // Undisturbed for comparison, then a crowd that leaves and comes back at once.
    crowd.delays_ns.lock().unwrap().clear();
    std::thread::sleep(ramp.max(Duration::from_secs(3)));
    let mut quiet = std::mem::take(&mut *crowd.delays_ns.lock().unwrap());
    let begun = Instant::now();
    cut.send_replace(1);
    until("the crowd to leave", || {
        (crowd.served.load(Ordering::Relaxed) < clients || begun.elapsed().as_secs() > 5)
            .then_some(())
    });
    let storm = back(&crowd, clients, begun);
    let mut stormy = std::mem::take(&mut *crowd.delays_ns.lock().unwrap());
    println!(
        "storm of {}: all back after {storm:?}; the {STEADY} that stayed had {} quotes: p50 {:.1} ms (before {:.1}), p99 {:.1} ms (before {:.1}), longest {:.1} ms",
        clients - STEADY,
        stormy.len(),
        percentile(&mut stormy, 50),
        percentile(&mut quiet, 50),
        percentile(&mut stormy, 99),
        percentile(&mut quiet, 99),
        percentile(&mut stormy, 100),
    );
    for name in ["handshakes_evicted", "handshakes_timed_out", "accept_paced"] {
        println!("  {name}: {}", gateway.metric(&format!("tickcast_{name}_total")));
    }

    gateway.process.kill();
    let killed = Instant::now();
    until("the crowd to notice", || (crowd.served.load(Ordering::Relaxed) < clients).then_some(()));
    let mut gateway = Gateway::spawn(listen, &arguments);
    let again = back(&crowd, clients, killed);
    println!("killed: all served again {again:?} after it");

    let asked = Instant::now();
    post(gateway.admin, "/drain");
    assert_eq!(gateway.process.wait(), Some(0));
    let drained = asked.elapsed();
    let gateway = Gateway::spawn(listen, &arguments);
    let again = back(&crowd, clients, asked);
    println!("drained in {drained:?}: all served again {again:?} after it was asked for");

    crowd.is_over.store(true, Ordering::Relaxed);
    for thread in living {
        thread.join().expect("no client panics");
    }
    drop(gateway);
    let read = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
    let delivered = read(&crowd.delivered);
    println!("{delivered} events delivered");
    assert!(delivered > 5 * clients as u64);
    let wrong = (read(&crowd.lost), read(&crowd.missing), read(&crowd.repeated));
    assert_eq!(wrong, (0, 0, 0), "lost, missing, repeated");
}
