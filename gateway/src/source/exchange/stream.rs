//! The stream of such an upstream: its frames as ticks, with what is derived of them, into a ring.

use feed_sim::derive::Derived;
use feed_sim::replay::Live;
use feed_sim::{Feed, Feeder, FeederError, fresh_epoch};
use ring::Ring;
use tokio::time::Instant;
use wire::{Channel, Instrument, Presence, Symbol, Tick};

use super::{BOOK_AGAIN_AFTER, Request};
use crate::clock::realtime_ns;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::source::{embedded, outlet};

/// See the module's header.
pub(super) struct Stream {
    live: Derived<Live>,
    /// As the upstream lists them, without what is derived.
    listed: Vec<Instrument>,
    feeder: Feeder,
    ring: Ring,
    /// What goes into the ring next.
    ticks: Vec<Tick>,
    /// When each book was last asked for; `None`: it is not being asked for.
    asked: Vec<Option<Instant>>,
    /// Frames that were not understood.
    strange: u64,
}

impl Stream {
    /// Begins an epoch with these instruments: in the old stream's ring, if that has room.
    pub(super) fn begin(
        old: Option<Self>,
        listed: Vec<Instrument>,
        config: &Config,
        fleet: &Fleet,
    ) -> Result<Self, FeederError> {
        let live = Derived::with(Live::new(listed.clone()), embedded::of_frames(config));
        let old = old.map(|old| (old.feeder, old.ring));
        let epoch = fresh_epoch(realtime_ns());
        let instruments = live.instruments();
        let (feeder, ring) =
            outlet::begin(old, epoch, instruments, Presence::Attached, config, fleet)?;
        let asked = vec![None; listed.len()];
        Ok(Self { live, listed, feeder, ring, ticks: Vec::new(), asked, strange: 0 })
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Whether these are its instruments.
    pub(super) fn has(&self, listed: &[Instrument]) -> bool {
        self.listed == listed
    }

    /// There is another connection.
    pub(super) fn reconnected(&mut self) {
        self.live.inner_mut().reconnected();
        self.asked.fill(None);
    }

    /// What is to be subscribed to.
    pub(super) fn names(&self) -> Vec<String> {
        let of = |instrument: &Instrument| {
            let symbol = instrument.symbol.as_str().to_ascii_lowercase();
            ["trade", "bookTicker", "depth@100ms"].map(|channel| format!("{symbol}@{channel}"))
        };
        self.listed.iter().flat_map(of).collect()
    }

    /// All instruments, whose books are asked for from now on.
    pub(super) fn symbols(&mut self) -> Vec<(u32, Symbol)> {
        self.asked.fill(Some(Instant::now()));
        self.listed.iter().map(|instrument| (instrument.id, instrument.symbol)).collect()
    }

    /// Takes a frame into the ring. The book that is wanted, if it shows that there is none.
    pub(super) fn take_frame(&mut self, received_ns: u64, text: &mut [u8]) -> Option<Request> {
        let (id, lost) = match self.live.inner_mut().take_frame(received_ns, text) {
            Ok(taken) => taken,
            Err(fault) => {
                // Answers to commands come here, too.
                self.strange += 1;
                tracing::debug!(%fault, frames = self.strange, "a frame is passed over");
                return None;
            }
        };
        if let Some(lost) = lost {
            // The trade that shows it is in there: its number must come behind the hole.
            tracing::info!(
                instrument = lost.instrument,
                trades = lost.trades,
                "trades are missing"
            );
            self.feeder.skip(lost.instrument, Channel::Trade, lost.trades);
        }
        self.flush();
        let asked = &mut self.asked[id as usize];
        let is_time = asked.is_none_or(|at| at.elapsed() >= BOOK_AGAIN_AFTER);
        if !is_time || !self.live.inner().lacks_book(id) {
            return None;
        }
        *asked = Some(Instant::now());
        Some(Request { id, symbol: self.listed[id as usize].symbol })
    }

    /// Takes a book into the ring.
    pub(super) fn take_snapshot(&mut self, id: u32, received_ns: u64, text: &mut [u8]) {
        if let Err(fault) = self.live.inner_mut().take_snapshot(id, received_ns, text) {
            tracing::warn!(id, %fault, "the upstream's book is not understood");
        }
        self.flush();
        self.has_no_snapshot(id);
    }

    /// A book that was asked for does not come, or has come.
    pub(super) fn has_no_snapshot(&mut self, id: u32) {
        if let Some(asked) = self.asked.get_mut(id as usize) {
            *asked = None;
        }
    }

    /// Puts what has come, and what is derived of it, into the ring.
    pub(super) fn flush(&mut self) {
        self.live.next(&mut self.ticks);
        if self.ticks.is_empty() {
            return;
        }
        if let Err(error) = self.feeder.publish(&self.ticks, realtime_ns()) {
            tracing::error!(%error, "the upstream's ticks made a batch that cannot be");
        }
        self.ticks.clear();
    }

    pub(super) fn heartbeat(&mut self, now_ns: u64) {
        self.feeder.heartbeat(now_ns);
    }

    pub(super) fn close(self) {
        self.feeder.close();
    }
}
