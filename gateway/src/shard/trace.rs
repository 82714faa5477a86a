//! The journey of one tick through one shard: when it was read, and when its first and last subscribers
//! had it.
//!
//! An operator asks for one (`admin/trace.rs`), and all shards are told ([`TraceOrder`]). Once all look out, the first that
//! reads a tick of the topic chooses it for all, by its number. While nobody asks, this costs a look at an
//! `Option` for each batch of the ring, each visit and each turn; while somebody does, a look at each record until
//! the tick has come, and then at the number of each connection that is visited.
//!
//! What it is not: a statistic. For that there are the histograms, which are always kept.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hub::{ConnId, Hub};
use ring::Record;
use tokio::sync::oneshot;
use wire::{Channel, Kind, Symbol, Tick};

use super::limits::FOLLOW_MAX;
use crate::clock::{monotonic_ns, realtime_ns, saturating_ns};

/// What is to be traced.
#[derive(Clone, Debug)]
pub struct TraceOrder {
    symbol: Symbol,
    channel: Channel,
    /// How long the tick is waited for.
    patience: Duration,
    choice: Arc<Choice>,
}

/// The tick that is traced: the same at all shards.
#[derive(Debug)]
struct Choice {
    /// Shards that do not look out yet.
    awaited: AtomicUsize,
    /// The tick's number; 0: not chosen yet.
    seq: AtomicU64,
}

impl TraceOrder {
    /// The next tick of a topic, to be looked out for by so many shards.
    #[must_use]
    pub fn new(symbol: Symbol, channel: Channel, patience: Duration, shards: usize) -> Self {
        let choice = Choice { awaited: AtomicUsize::new(shards), seq: AtomicU64::new(0) };
        Self { symbol, channel, patience, choice: Arc::new(choice) }
    }

    /// Whether it is the tick of this number. A shard that had read it before the others looked out misses it,
    /// which is rare and shows: it has no times then.
    fn is(&self, seq: u64) -> bool {
        // Acquire and release: who sees the last shard look out sees that nothing is chosen.
        if self.choice.awaited.load(Ordering::Acquire) > 0 {
            return false;
        }
        let chosen = self.choice.seq.compare_exchange(0, seq, Ordering::AcqRel, Ordering::Acquire);
        chosen.map_or_else(|chosen| chosen == seq, |_| true)
    }
}

/// What one shard saw of it.
#[derive(Clone, Debug, Default)]
pub struct Journey {
    /// Which shard.
    pub shard: usize,
    /// Whether it knows the instrument and its channel.
    pub is_known: bool,
    /// Its connections that are subscribed to the topic.
    pub subscribers: usize,
    /// The tick as it was read; `None`: none came in time.
    pub read: Option<Read>,
    /// What became of it at subscribers; `None`: none of them had it in time.
    pub sent: Option<SentTimes>,
}

/// A tick that was read from the ring.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Its number.
    pub seq: u64,
    /// When it happened, by the venue's clock, real time.
    pub event_ns: u64,
    /// When it entered the ring, by the feed's clock, real time.
    pub ring_ns: u64,
    /// When the batch that it is in was read, real time.
    pub read_ns: u64,
    /// When that whole batch was in the log and its subscribers marked, real time.
    pub logged_ns: u64,
}

/// Times of visits, real time.
#[derive(Clone, Copy, Debug)]
pub struct SentTimes {
    /// When the first subscriber's message was gathered, with the tick encoded in it.
    pub gathered_ns: u64,
    /// When the kernel, or the session's TLS, had that message.
    pub first_ns: u64,
    /// The same for the last of those who had it in time.
    pub last_ns: u64,
    /// How many those are.
    pub reached: usize,
}

/// A trace under way.
#[derive(Debug)]
pub(crate) struct Trace {
    order: TraceOrder,
    instrument: u32,
    journey: Journey,
    /// Who has had it.
    reached: HashSet<u32>,
    /// Real time less monotonic time when the trace began.
    epoch_ns: u64,
    /// When it ends whatever has been seen.
    end_ns: u64,
    reply: oneshot::Sender<Journey>,
}

impl Trace {
    /// Looks out from now on.
    pub(super) fn begin(
        shard: usize,
        order: TraceOrder,
        reply: oneshot::Sender<Journey>,
        hub: &Hub,
        now_ns: u64,
    ) -> Self {
        let known = hub.instrument(&order.symbol);
        let known = known.filter(|known| known.has(order.channel)).map(|known| known.id);
        let subscribers = known.map_or(0, |id| hub.subscribers(id, order.channel));
        let journey =
            Journey { shard, is_known: known.is_some(), subscribers, ..Journey::default() };
        order.choice.awaited.fetch_sub(1, Ordering::AcqRel);
        Self {
            instrument: known.unwrap_or_default(),
            journey,
            reached: HashSet::new(),
            epoch_ns: realtime_ns().saturating_sub(monotonic_ns()),
            end_ns: now_ns.saturating_add(saturating_ns(order.patience)),
            reply,
            order,
        }
    }

    /// Looks for the tick in a batch that the hub has just taken. `read_ns`: when it was read.
    #[cold]
    pub(super) fn look(&mut self, batch: &[Record], read_ns: u64) {
        if self.journey.read.is_some() || !self.journey.is_known {
            return;
        }
        let kind = Ok(Kind::Data(self.order.channel));
        // Of a depth group the last tick makes it an entry.
        let concerns =
            |tick: &Tick| tick.instrument == self.instrument && tick.ends() && tick.kind() == kind;
        let ticks = batch.iter().map(|record| Tick::from_words(*record));
        let Some(tick) = ticks.filter(concerns).find(|tick| self.order.is(tick.seq)) else {
            return;
        };
        let logged_ns = monotonic_ns();
        self.journey.read = Some(Read {
            seq: tick.seq,
            event_ns: tick.ts_event_ns,
            ring_ns: tick.ts_ring_ns,
            read_ns: self.epoch_ns + read_ns,
            logged_ns: self.epoch_ns + logged_ns,
        });
        self.end_ns = logged_ns.saturating_add(saturating_ns(FOLLOW_MAX));
    }

    /// A connection was visited and its message sent: now, after it had been gathered at `gathered_ns`.
    #[cold]
    pub(crate) fn visited(&mut self, conn: ConnId, gathered_ns: u64, hub: &Hub) {
        let Some(read) = self.journey.read else { return };
        let reached = hub.reached(conn, self.instrument, self.order.channel);
        if reached.is_none_or(|seq| seq < read.seq) || !self.reached.insert(conn.0) {
            return;
        }
        let now_ns = self.epoch_ns + monotonic_ns();
        let sent = self.journey.sent.get_or_insert(SentTimes {
            gathered_ns: self.epoch_ns + gathered_ns,
            first_ns: now_ns,
            last_ns: now_ns,
            reached: 0,
        });
        sent.last_ns = now_ns;
        sent.reached = self.reached.len();
    }

    /// Whether nothing more is to be seen, or nobody asks any more.
    pub(super) fn is_over(&self, now_ns: u64) -> bool {
        let is_complete =
            self.journey.read.is_some() && self.reached.len() >= self.journey.subscribers;
        is_complete || !self.journey.is_known || now_ns >= self.end_ns || self.reply.is_closed()
    }

    /// Tells who asked.
    pub(super) fn end(self) {
        // They may have given up.
        let _ = self.reply.send(self.journey);
    }
}
