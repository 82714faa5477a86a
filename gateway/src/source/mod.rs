//! Where ticks come from: an embedded feed, a ring that another process writes, or a bus; now, or some time ago.
//!
//! A source gives every shard a ring to read and says what becomes of the feed. It runs on a thread
//! of its own and never touches a tick on its way to a client. Opening comes before starting, so
//! that a missing file or a senseless rate is known before anything listens.

mod arbitration;
mod bus;
mod delay;
mod embedded;
mod exchange;
mod outlet;
mod readers;
mod roll;
mod shm;
mod status;
mod upstream;
mod watch;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use wire::FeedState;

use crate::background::Background;
use crate::config::{Config, Source};
use crate::fleet::Fleet;

pub(crate) use exchange::{Incoming, Line, Request};
pub use status::{BusView, DelayView, FeedStatus, FeedView, LineView, LinesView};

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The simulator cannot be set like this.
    #[error("source sim: {0}")]
    Market(#[from] feed_sim::market::MarketError),
    /// The pulse cannot be set like this.
    #[error("source pulse: {0}")]
    Pulse(#[from] feed_sim::pulse::PulseError),
    /// A recording cannot be opened.
    #[error("source replay: {0}")]
    Replay(#[from] feed_sim::replay::ReplayError),
    /// The root certificates or the token for an upstream cannot be used.
    #[error("source-ca, source-token-file: {0}")]
    Upstream(#[from] client::ConnectError),
    /// What is delayed cannot be kept.
    #[error("delay-spool: no file can be made in {}: {error}", folder.display())]
    Spool {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// No thread for it.
    #[error("cannot start the source's thread: {0}")]
    Thread(io::Error),
}

/// What runs a source until it is told to stop: on the source's own thread.
type Run = Box<dyn FnOnce(Arc<Fleet>, &AtomicBool) + Send>;

/// A source that could be opened and has not begun.
pub struct Opened {
    run: Run,
    status: Arc<FeedStatus>,
}

/// Opens the configured source: reads the head of recordings, checks numbers. Starts nothing.
///
/// # Errors
/// If the source cannot be what the configuration says. A shared ring that is not there is no
/// error: it is waited for, and so is a bus.
pub fn open(config: &Config, status: &Arc<FeedStatus>) -> Result<Opened, SourceError> {
    let run = if config.delay.is_zero() {
        open_undelayed(config, status)?
    } else {
        delay::open(config, status)?
    };
    Ok(Opened { run, status: Arc::clone(status) })
}

/// Opens what is configured as it is now.
fn open_undelayed(config: &Config, status: &Arc<FeedStatus>) -> Result<Run, SourceError> {
    match &config.source.second {
        Some(second) => arbitration::open(config, &config.source.first, second, Arc::clone(status)),
        None => open_one(config, status),
    }
}

/// Opens the first source that is configured.
fn open_one(config: &Config, status: &Arc<FeedStatus>) -> Result<Run, SourceError> {
    Ok(match &config.source.first {
        Source::Shm(path) => shm::open(path, config.feed_silent_after, Arc::clone(status)),
        Source::Upstream(url) => upstream::open(url, config, Arc::clone(status))?,
        Source::Exchange(url) => exchange::open(url, config, Arc::clone(status))?,
        Source::Bus(url) => bus::open(url, config, Arc::clone(status))?,
        Source::Sim | Source::Pulse | Source::Replay(_) => embedded::open(config, status)?,
    })
}

impl Opened {
    /// Starts the source for these shards.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start(self, fleet: &Arc<Fleet>) -> Result<Background, SourceError> {
        let Self { run, status } = self;
        let fleet = Arc::clone(fleet);
        let work = move |told: &AtomicBool| {
            let _farewell = Farewell { fleet: Arc::clone(&fleet), status };
            run(fleet, told);
        };
        Background::start("source", work).map_err(SourceError::Thread)
    }
}

/// Tells everybody if the source panics: without it they would wait for ticks in good faith.
struct Farewell {
    fleet: Arc<Fleet>,
    status: Arc<FeedStatus>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the source has panicked: there will be no more ticks");
            self.status.changed(FeedState::Silent);
            self.fleet.tell_feed(FeedState::Silent);
        }
    }
}
