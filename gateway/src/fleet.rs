//! All shards of the process, as those outside see them: sources, operators, boot.
//!
//! Telling them something never waits. Asking waits for each shard's next turn, but not for a shard
//! that does not turn: it is left out, and the answer is shorter.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::Ring;
use rustls::ServerConfig;
use wire::{Channel, FeedState, Symbol};

use crate::history::History;
use crate::publish::Directory;
use crate::shard::limits::FOLLOW_MAX;
use crate::shard::{
    Control, DescriptorTable, InterestTable, Journey, Order, Post, Pressure, ShardHandle,
    ShardReport, ShardSettings, TraceOrder,
};

/// How long a shard may take to answer: thousands of turns.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);

/// All shards.
pub struct Fleet {
    shards: Vec<ShardHandle>,
    history: Option<Arc<History>>,
}

impl Fleet {
    /// These shards, all of which listen.
    #[must_use]
    pub fn new(shards: Vec<ShardHandle>) -> Self {
        Self { shards, history: None }
    }

    /// The same with a history that reads every ring that the shards read.
    #[must_use]
    pub fn with_history(self, history: Option<Arc<History>>) -> Self {
        Self { history, ..self }
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Where clients connect: the same for all.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.shards.first().map(ShardHandle::address)
    }

    /// How many shards have a table of open files of their own.
    #[must_use]
    pub fn own_tables(&self) -> usize {
        self.shards.iter().filter(|shard| shard.table() == DescriptorTable::Own).count()
    }

    /// How many connections all shards take together.
    #[must_use]
    pub fn connections_max(&self) -> usize {
        self.shards.iter().map(ShardHandle::connections_max).sum()
    }

    /// Open sessions, as of each shard's last turn.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shards.iter().map(ShardHandle::sessions).sum()
    }

    /// Has every shard, and the history, read this ring from its oldest record and its images on.
    pub fn attach(&self, ring: &Ring, order: Order) {
        if let Some(history) = &self.history {
            history.attach(ring);
        }
        self.tell(|| Control::Attach(ring.clone(), order));
    }

    /// Has every shard tell this table which instruments are of interest.
    pub fn watch_interest(&self, table: &Arc<InterestTable>) {
        self.tell(|| Control::Interest(Arc::clone(table)));
    }

    /// Has every client told what became of the feed.
    pub fn tell_feed(&self, state: FeedState) {
        self.tell(|| Control::Feed(state));
    }

    /// Has every shard take ticks for what this lists.
    pub fn use_directory(&self, directory: &Arc<Directory>) {
        self.tell(|| Control::Directory(Arc::clone(directory)));
    }

    /// The ways to the shards, by their number.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        self.shards.iter().map(ShardHandle::post).collect()
    }

    /// Has every shard look at its sessions' credentials again.
    pub fn review_badges(&self) {
        self.tell(|| Control::Review);
    }

    /// Tells one shard something.
    pub fn tell_one(&self, shard: usize, control: Control) {
        if let Some(shard) = self.shards.get(shard) {
            shard.send(control);
        }
    }

    /// Has every new connection get this certificate.
    pub fn use_certificate(&self, tls: &Arc<ServerConfig>) {
        self.tell(|| Control::Tls(Arc::clone(tls)));
    }

    /// Has every shard go by these settings.
    pub fn use_settings(&self, settings: &Arc<ShardSettings>) {
        self.shards.iter().for_each(|shard| shard.use_settings(settings));
    }

    /// Tells every shard how short memory is.
    pub fn press(&self, pressure: Pressure) {
        self.tell(|| Control::Pressure(pressure));
    }

    /// Has every shard take nobody any more and close its sessions over this time.
    pub fn drain(&self, window: Duration) {
        self.tell(|| Control::Drain(window));
    }

    /// Has every shard close what is left, and waits for their threads. Says which of them panicked.
    #[must_use]
    pub fn stop(self) -> Vec<usize> {
        self.tell(|| Control::Stop);
        let ended = self.shards.into_iter().map(|shard| (shard.index(), shard.join()));
        ended.filter(|(_, end)| end.is_err()).map(|(index, _)| index).collect()
    }

    /// Asks every shard for a report with so many of its slowest connections.
    pub async fn report(&self, top: usize) -> Vec<ShardReport> {
        let asked: Vec<_> = self.shards.iter().map(|shard| shard.report(top)).collect();
        let deadline = tokio::time::Instant::now() + REPORT_PATIENCE;
        let mut reports = Vec::with_capacity(asked.len());
        for report in asked {
            if let Ok(Ok(report)) = tokio::time::timeout_at(deadline, report).await {
                reports.push(report);
            }
        }
        reports
    }

    /// Asks every shard for the journey of one tick.
    pub async fn trace(
        &self,
        symbol: Symbol,
        channel: Channel,
        patience: Duration,
    ) -> Vec<Journey> {
        let order = TraceOrder::new(symbol, channel, patience, self.shards.len());
        let asked: Vec<_> = self.shards.iter().map(|shard| shard.trace(order.clone())).collect();
        let deadline = tokio::time::Instant::now() + patience + FOLLOW_MAX + REPORT_PATIENCE;
        let mut journeys = Vec::with_capacity(asked.len());
        for journey in asked {
            if let Ok(Ok(journey)) = tokio::time::timeout_at(deadline, journey).await {
                journeys.push(journey);
            }
        }
        journeys
    }

    /// A report for a thread without a runtime, which may wait for as long as it takes.
    #[must_use]
    pub fn report_blocking(&self, top: usize) -> Vec<ShardReport> {
        let asked: Vec<_> = self.shards.iter().map(|shard| shard.report(top)).collect();
        asked.into_iter().filter_map(|report| report.blocking_recv().ok()).collect()
    }

    fn tell(&self, control: impl Fn() -> Control) {
        for shard in &self.shards {
            shard.send(control());
        }
    }
}
