//! The publishing thread: one per process, with the connection to the bus on which it publishes.
//!
//! The bus may be away: what is submitted waits for as long as the setting says, and is then refused. The
//! thread ends when it is told to, with what has not been settled.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use bus::{Backend, BusError, BusUrl, Nats, Published, Publisher, PublisherOptions, Redis};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{
    Directory, PublishDesk, PublishPort, PublishStatus, PublishView, Settlement, Submission, port,
};
use crate::config::{self, Config};
use crate::fleet::Fleet;
use crate::runtime::woken_by_shards;
use crate::shard::Control;

/// Why there is no publishing thread.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No runtime or thread for it.
    #[error("cannot start the publishing thread: {0}")]
    Thread(io::Error),
}

/// A publishing thread that has not begun.
pub struct Opened {
    port: PublishPort,
    runtime: Runtime,
    url: BusUrl,
    options: PublisherOptions,
    desk: PublishDesk,
    status: Arc<PublishStatus>,
}

/// A publishing thread at work.
pub struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Opens what the configuration says, before the shards are started, and connects to nothing yet.
/// `None`: nobody may publish.
///
/// # Errors
/// If there is no runtime.
pub fn open(config: &Config, status: &Arc<PublishStatus>) -> Result<Option<Opened>, OpenError> {
    if config.publish == config::Publish::Off {
        return Ok(None);
    }
    // Without a bus the configuration is refused before it comes here.
    let config::Bus::At(url) = &config.bus else { return Ok(None) };
    let (port, desk) = port();
    let options = PublisherOptions {
        name: format!("tickcast publisher {}", std::process::id()),
        patience: config.publish_patience,
    };
    let runtime = woken_by_shards().map_err(OpenError::Thread)?;
    let (url, status) = (url.clone(), Arc::clone(status));
    Ok(Some(Opened { port, runtime, url, options, desk, status }))
}

impl Opened {
    /// A shard's way to it.
    #[must_use]
    pub fn port(&self) -> PublishPort {
        self.port.clone()
    }

    /// Starts it, to answer these shards.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start(self, fleet: &Arc<Fleet>) -> Result<Running, OpenError> {
        let (stop, told) = watch::channel(false);
        let fleet = Arc::clone(fleet);
        let thread = std::thread::Builder::new()
            .name("publish".to_owned())
            .spawn(move || self.run(&fleet, told))
            .map_err(OpenError::Thread)?;
        Ok(Running { stop, thread })
    }

    fn run(self, fleet: &Fleet, told: watch::Receiver<bool>) {
        let Self { runtime, url, options, desk, status, .. } = self;
        let ended = if url.scheme().is_nats() {
            runtime.block_on(serve::<Nats>(&url, options, desk, &status, fleet, told))
        } else {
            runtime.block_on(serve::<Redis>(&url, options, desk, &status, fleet, told))
        };
        if let Err(error) = ended {
            tracing::error!(%url, %error, "nothing can be published");
        }
    }
}

impl Running {
    /// Stops it and waits for its end. What is not settled by then has no answer.
    pub fn stop(self) {
        // A thread that has ended does not listen.
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the publishing thread panicked");
        }
    }
}

/// Whose ticks they are.
struct Sender {
    shard: usize,
    settlement: Settlement,
    count: usize,
}

async fn serve<B: Backend>(
    url: &BusUrl,
    options: PublisherOptions,
    mut desk: PublishDesk,
    status: &PublishStatus,
    fleet: &Fleet,
    mut told: watch::Receiver<bool>,
) -> Result<(), BusError> {
    let mut publisher = Publisher::<B>::open(url, options).await?;
    let mut senders: HashMap<u64, Sender> = HashMap::new();
    let (mut last_ticket, mut is_connected) = (0, false);
    loop {
        let event = tokio::select! {
            _ = told.wait_for(|stop| *stop) => return Ok(()),
            Some(submission) = desk.submissions.recv() => {
                last_ticket += 1;
                let Submission { shard, token, ticket, epoch, ticks } = submission;
                let settlement = Settlement { token, ticket, numbers: Vec::new() };
                senders.insert(last_ticket, Sender { shard, settlement, count: ticks.len() });
                publisher.publish(last_ticket, epoch, ticks);
                continue;
            }
            event = publisher.next() => event,
        };
        match event {
            Published::Settled { ticket, numbers } => {
                if let Some(Sender { shard, mut settlement, count }) = senders.remove(&ticket) {
                    // Relaxed: a count, by which nothing else is published.
                    desk.held.fetch_sub(count, Ordering::Relaxed);
                    settlement.numbers = numbers;
                    fleet.tell_one(shard, Control::Published(settlement));
                }
            }
            Published::Catalog(catalog) => {
                tracing::info!(epoch = catalog.epoch(), "the bus's catalog is known to publishers");
                fleet.use_directory(&Arc::new(Directory::new(catalog)));
            }
            Published::Connected => {
                is_connected = true;
                tracing::info!(%url, "publishers are connected to the bus");
            }
            Published::Disconnected(reason) => {
                // Said once per loss, not once per attempt to connect again.
                if is_connected {
                    tracing::warn!(%url, reason, "publishers have lost the bus");
                }
                is_connected = false;
            }
            _ => {}
        }
        let (held_ticks, counters) = (publisher.held_ticks(), publisher.counters());
        status.set(PublishView { is_connected, held_ticks, counters });
    }
}
