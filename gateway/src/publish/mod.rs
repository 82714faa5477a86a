//! Publishing: ticks that clients write, on their way to the bus, and the answers on their way back.
//!
//! ```text
//! session ─ Publish ─► shard: entitled? listed? ─ Submission ─► thread: bus::Publisher ─► bus
//!         ◄─ ack ──── shard                     ◄ Settlement ─         (numbers, appends)
//! ```
//!
//! A shard checks all that it can itself and hands over ticks that only lack a number ([`PublishPort`]); one
//! thread of the process speaks with the bus (`thread`) and says what became of them. The ticks themselves come
//! back like anybody else's: through the source, if it is the same bus. Every queue on this way is bounded by ticks; at
//! the bound clients are told `busy`.

mod directory;
mod status;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bus::PublishError;
use sys::Token;
use tokio::sync::mpsc;
use wire::Tick;

use crate::config::{self, Config};

pub use directory::Directory;
pub(crate) use directory::Right;
pub use status::{PublishStatus, PublishView};
pub use thread::{OpenError, Opened, Running, open};

/// Ticks of all connections that may wait for the bus: 8 MiB of them, a second of sixty publishers at the
/// default rate. There: `busy`, `publish_busy`.
const HELD_TICKS_MAX: usize = 65_536;

/// Who may publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entitlement {
    /// Nobody: the gateway only reads.
    #[default]
    Nobody,
    /// Every connection.
    Anyone,
    /// Connections whose credentials allow it, what those allow.
    Granted,
}

/// What holds for those who publish.
#[derive(Clone, Debug)]
pub struct PublishSettings {
    /// Who may.
    pub entitlement: Entitlement,
    /// Ticks a second of one connection; twice as many at once.
    pub ticks_per_second: u32,
    /// Ticks of one connection that are not answered yet.
    pub in_flight_max: usize,
}

impl PublishSettings {
    /// As configured.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            entitlement: match config.publish {
                config::Publish::Off => Entitlement::Nobody,
                config::Publish::Local => Entitlement::Anyone,
                config::Publish::Granted => Entitlement::Granted,
            },
            ticks_per_second: u32::try_from(config.publish_rate).unwrap_or(u32::MAX),
            in_flight_max: usize::try_from(config.publish_in_flight).unwrap_or(usize::MAX),
        }
    }

    /// Whether anybody may publish at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !matches!(self.entitlement, Entitlement::Nobody)
    }
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self { entitlement: Entitlement::Nobody, ticks_per_second: 1_000, in_flight_max: 4_096 }
    }
}

/// Ticks for the bus.
#[derive(Debug)]
pub(crate) struct Submission {
    shard: usize,
    token: Token,
    ticket: u64,
    epoch: u64,
    ticks: Vec<Tick>,
}

/// What became of ticks, for the shard that they came from.
#[derive(Debug)]
pub struct Settlement {
    /// The session, if it still is.
    pub(crate) token: Token,
    /// The shard's name for the ticks.
    pub(crate) ticket: u64,
    /// One for each tick.
    pub(crate) numbers: Vec<Result<u64, PublishError>>,
}

/// A shard's way to the publishing thread.
#[derive(Clone, Debug)]
pub struct PublishPort {
    submissions: mpsc::Sender<Submission>,
    held: Arc<AtomicUsize>,
}

/// The thread's end of it.
#[derive(Debug)]
pub struct PublishDesk {
    submissions: mpsc::Receiver<Submission>,
    held: Arc<AtomicUsize>,
}

/// Too much waits for the bus already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// A way to the publishing thread, for all shards.
#[must_use]
pub fn port() -> (PublishPort, PublishDesk) {
    // A submission has at least one tick, so the bound in ticks is reached first.
    let (sender, receiver) = mpsc::channel(HELD_TICKS_MAX);
    let held = Arc::new(AtomicUsize::new(0));
    let port = PublishPort { submissions: sender, held: Arc::clone(&held) };
    (port, PublishDesk { submissions: receiver, held })
}

impl PublishPort {
    /// Hands ticks over. Never waits.
    pub(crate) fn submit(
        &self,
        shard: usize,
        token: Token,
        ticket: u64,
        epoch: u64,
        ticks: Vec<Tick>,
    ) -> Result<(), Busy> {
        let count = ticks.len();
        // Relaxed: a count, by which nothing else is published.
        if self.held.fetch_add(count, Ordering::Relaxed) + count > HELD_TICKS_MAX {
            self.held.fetch_sub(count, Ordering::Relaxed);
            return Err(Busy);
        }
        let submission = Submission { shard, token, ticket, epoch, ticks };
        self.submissions.try_send(submission).map_err(|_| {
            self.held.fetch_sub(count, Ordering::Relaxed);
            Busy
        })
    }
}
