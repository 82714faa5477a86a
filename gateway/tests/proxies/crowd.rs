//! Many clients of the client library, each of which comes back when it is cut off and keeps a tape of its trades.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use client::{Client, CommandError, Event, Options, Reconnect, Subscription, Symbol};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::support::certificate::Certificate;
use crate::support::process::until;
use crate::tape::{Tape, Truth};

/// What one client has lived through.
pub(crate) struct Life {
    quotes: AtomicU64,
    losses: AtomicU64,
    tape: Mutex<Tape>,
}

impl Life {
    /// Its trades.
    pub(crate) fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap()
    }
}

/// The clients, on a thread of their own. They end with it.
pub(crate) struct Crowd {
    lives: Vec<Arc<Life>>,
    truth: Arc<Mutex<Truth>>,
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
        .connect_timeout(Duration::from_secs(60))
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
        let (lives, truth) = (Vec::new(), Arc::default());
        Self { lives, truth, runtime: handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Adds so many clients, one after the other, all of which subscribe to this topic.
    pub(crate) fn add(&mut self, many: usize, url: &str, topic: &str, certificate: &Certificate) {
        for _ in 0..many {
            self.seat(url, &[topic.to_owned()], certificate);
        }
    }

    /// Adds a client that subscribes to these topics.
    pub(crate) fn seat(
        &mut self,
        url: &str,
        topics: &[String],
        certificate: &Certificate,
    ) -> Arc<Life> {
        let mut tape = Tape::new(Arc::clone(&self.truth));
        let options = options(certificate);
        let client = self.runtime.block_on(async {
            let mut client = Client::connect(url, options).await.unwrap();
            let subscribed = loop {
                match client.subscribe(Subscription::new(topics.to_vec())).await {
                    // It comes back by itself.
                    Err(CommandError::Disconnected) => {}
                    subscribed => break subscribed.unwrap(),
                }
            };
            assert_eq!(subscribed.refused().count(), 0);
            for result in subscribed.results {
                let trades = result.topic.strip_suffix(".trade").map(Symbol::new);
                if let (Some(Ok(symbol)), Ok(Some(seq))) = (trades, result.outcome) {
                    tape.begin(symbol, seq);
                }
            }
            client
        });
        let (quotes, losses) = (AtomicU64::new(0), AtomicU64::new(0));
        let life = Arc::new(Life { quotes, losses, tape: Mutex::new(tape) });
        self.lives.push(Arc::clone(&life));
        self.runtime.spawn(live(client, Arc::clone(&life)));
        life
    }

    /// Everybody's lives.
    pub(crate) fn lives(&self) -> &[Arc<Life>] {
        &self.lives
    }

    /// What was sent to any of them.
    pub(crate) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    /// Everybody measures anew from here on.
    pub(crate) fn watch(&self) {
        self.lives.iter().for_each(|life| life.tape().watch());
    }

    /// Waits until there are so many more trades, and everybody has all that anybody has.
    pub(crate) fn catch_up(&self, more: usize) {
        let target = self.truth().count() + more;
        until("more trades", || (self.truth().count() >= target).then_some(()));
        let newest = self.truth().newest();
        until("everybody to have the newest trades", || {
            let mut all = self.lives.iter();
            all.all(|life| life.tape().has_reached(&newest)).then_some(())
        });
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
        let event = client.next().await.expect("a client that goes on for ever");
        life.tape().enter(&event);
        match event {
            Event::Quote(_) => life.quotes.fetch_add(1, Ordering::Relaxed),
            Event::Disconnected(_) => life.losses.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}
