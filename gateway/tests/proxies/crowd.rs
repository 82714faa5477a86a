//! Many clients of the client library behind one URL, each of which comes back when it is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use client::{Client, Event, Options, Reconnect, Subscription};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::support::certificate::Certificate;
use crate::support::process::until;

/// What one client has lived through.
#[derive(Debug, Default)]
struct Life {
    quotes: AtomicU64,
    losses: AtomicU64,
}

/// The clients, on a thread of their own. They end with it.
pub(crate) struct Crowd {
    lives: Vec<Arc<Life>>,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Options of a client that trusts the certificate and comes back quickly.
fn options(certificate: &Certificate) -> Options {
    let (min, max) = (Duration::from_millis(20), Duration::from_millis(500));
    Options::new()
        .root_certificates([certificate.der()])
        .reconnect(Reconnect::WithBackoff { min, max, attempts: None })
        .connect_timeout(Duration::from_secs(20))
        .command_timeout(Duration::from_secs(60))
}

/// Connects once, and says whether that worked.
pub(crate) fn knock(url: &str, certificate: &Certificate) -> bool {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let options = options(certificate).reconnect(Reconnect::Never);
    runtime.block_on(Client::connect(url, options)).is_ok()
}

impl Crowd {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let _ = runtime.block_on(stopped);
        });
        Self { lives: Vec::new(), runtime: handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Adds so many clients, one after the other, all of which subscribe to this topic.
    pub(crate) fn add(&mut self, many: usize, url: &str, topic: &str, certificate: &Certificate) {
        for _ in 0..many {
            let options = options(certificate);
            let client = self.runtime.block_on(async {
                let mut client = Client::connect(url, options).await.unwrap();
                let subscribed = client.subscribe(Subscription::new([topic])).await.unwrap();
                assert_eq!(subscribed.refused().count(), 0);
                client
            });
            let life = Arc::new(Life::default());
            self.lives.push(Arc::clone(&life));
            self.runtime.spawn(live(client, life));
        }
    }

    /// How often clients were cut off, altogether.
    pub(crate) fn losses(&self) -> u64 {
        self.lives.iter().map(|life| life.losses.load(Ordering::Relaxed)).sum()
    }

    /// Waits until each client has got a quote since now.
    pub(crate) fn wait_for_quotes(&self) {
        let quotes = |life: &Arc<Life>| life.quotes.load(Ordering::Relaxed);
        let before: Vec<u64> = self.lives.iter().map(quotes).collect();
        until("a quote for everybody", || {
            let mut now = self.lives.iter().map(quotes).zip(&before);
            now.all(|(now, before)| now > *before).then_some(())
        });
    }

    /// Waits until somebody was cut off, and says how long that took from `since` on.
    pub(crate) fn time_to_loss(&self, since: Instant) -> Duration {
        until("a client that notices", || (self.losses() > 0).then(|| since.elapsed()))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn live(mut client: Client, life: Arc<Life>) {
    // Relaxed: counts that say nothing of other memory.
    loop {
        match client.next().await.expect("a client that goes on for ever") {
            Event::Quote(_) => life.quotes.fetch_add(1, Ordering::Relaxed),
            Event::Disconnected(_) => life.losses.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}
