//! Subscribers that do nothing wrong. They check every number, and must notice nothing of what others do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::process::until;
use crate::support::subscriber::{Message, Subscriber};
use crate::support::view::View;

/// Several subscribers of everything, each on a thread of its own.
pub(crate) struct Bystanders {
    stop: Arc<AtomicBool>,
    lives: Vec<(Arc<AtomicU64>, JoinHandle<Life>)>,
}

/// What one of them has lived through.
#[derive(Default)]
pub(crate) struct Life {
    view: View,
    /// How its connection ended, if it did.
    pub(crate) end: Option<Message>,
}

impl Bystanders {
    /// So many, subscribed at this address.
    pub(crate) fn at(address: SocketAddr, many: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let lives = (0..many).map(|_| {
            let (heard, stop) = (Arc::new(AtomicU64::new(0)), Arc::clone(&stop));
            let mut subscriber = Subscriber::connect(address, "tickcast.v1.sbe");
            subscriber.subscribe(&["*.quote"], "");
            let count = Arc::clone(&heard);
            (heard, std::thread::spawn(move || live(subscriber, &count, &stop)))
        });
        let lives = lives.collect();
        let all = Self { stop, lives };
        all.catch_up();
        all
    }

    /// Waits until each has heard a few messages more: it is served, now.
    pub(crate) fn catch_up(&self) {
        // Relaxed, here and below: counts and flags that say nothing of other memory.
        let count = |life: &(Arc<AtomicU64>, _)| life.0.load(Ordering::Relaxed);
        let before: Vec<u64> = self.lives.iter().map(count).collect();
        until("bystanders to be served", || {
            let mut now = self.lives.iter().zip(&before);
            now.all(|(life, before)| count(life) > before + 5 || life.1.is_finished()).then_some(())
        });
    }

    /// They are served to this moment, have missed nothing, and nobody ended their connections.
    pub(crate) fn noticed_nothing(self) {
        self.catch_up();
        self.stop.store(true, Ordering::Relaxed);
        for life in self.lives() {
            assert_eq!(life.end, None, "a bystander's connection ended");
            life.assert_whole();
        }
    }

    /// Waits until all connections have ended, and says what each saw.
    pub(crate) fn lives(self) -> Vec<Life> {
        self.lives.into_iter().map(|(_, thread)| thread.join().expect("its checks")).collect()
    }
}

impl Life {
    /// Everything came, one by one.
    pub(crate) fn assert_whole(&self) {
        assert_eq!(self.view.ledger.gaps, [], "a bystander missed something");
        let delivered: u64 =
            self.view.ledger.accounts().map(|(_, account)| account.delivered).sum();
        assert!(delivered > 0, "a bystander got nothing");
    }
}

fn live(mut subscriber: Subscriber, heard: &AtomicU64, stop: &AtomicBool) -> Life {
    let mut life = Life::default();
    while !stop.load(Ordering::Relaxed) {
        match subscriber.next(Duration::from_millis(50)) {
            Some(Message::Binary(bytes)) => {
                life.view.enter(&bytes);
                heard.fetch_add(1, Ordering::Relaxed);
            }
            Some(Message::Text(_)) | None => {}
            end => {
                life.end = end;
                break;
            }
        }
    }
    life
}
