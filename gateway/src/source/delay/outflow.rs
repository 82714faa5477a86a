//! The way out: what leaves the line goes through a ring of its own to shards and history, with the epoch, the
//! numbers and the event times that it has.
//!
//! The time at which a record entered a ring is that at which it left the line: what shards measure from it is
//! theirs, and not the delay.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use feed_sim::Feeder;
use ring::{Record, Ring};
use wire::{FeedState, Instrument, InstrumentImage, Kind, Presence, TICK_WORDS, Tick};

use super::item::Item;
use crate::clock::realtime_ns;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::source::outlet;
use crate::source::readers::wait_for_shards;
use crate::source::status::FeedStatus;

/// See the module's header.
pub(super) struct Outflow {
    config: Config,
    fleet: Arc<Fleet>,
    status: Arc<FeedStatus>,
    /// `None` before anything has come out.
    stream: Option<(Feeder, Ring)>,
    /// Instruments of the last begin of which the stream has the data.
    present: Vec<u32>,
    /// Ticks of a depth group of which not all has come out.
    ticks: Vec<Tick>,
}

impl Outflow {
    pub(super) fn new(config: Config, fleet: Arc<Fleet>, status: Arc<FeedStatus>) -> Self {
        Self { config, fleet, status, stream: None, present: Vec::new(), ticks: Vec::new() }
    }

    /// Whether anything has come out.
    pub(super) const fn has_begun(&self) -> bool {
        self.stream.is_some()
    }

    /// Says that the line is alive.
    pub(super) fn heartbeat(&mut self) {
        if let Some((feeder, _)) = &mut self.stream {
            feeder.heartbeat(realtime_ns());
        }
    }

    /// Something of the stream could not be read again.
    pub(super) fn forget_halves(&mut self) {
        self.ticks.clear();
    }

    pub(super) fn close(self) {
        if let Some((feeder, _)) = self.stream {
            feeder.close();
        }
    }

    /// Lets one item out.
    pub(super) fn take(&mut self, item: Item, epoch: u64, words: &[u64], stop: &AtomicBool) {
        match item {
            Item::Begin => self.begin(epoch, &records(words)),
            Item::Feed(state) => self.tell(state, stop),
            _ if self.epoch() != Some(epoch) => {
                tracing::warn!(epoch, "what belongs to an epoch that did not come out is left out");
            }
            Item::Image => self.learn(words),
            Item::Records => self.relay(&records(words)),
            Item::Present => self.attach(),
        }
    }

    fn epoch(&self) -> Option<u64> {
        self.stream.as_ref().map(|(feeder, _)| feeder.epoch())
    }

    fn begin(&mut self, epoch: u64, definitions: &[Record]) {
        self.ticks.clear();
        let ticks = definitions.iter().map(|words| Tick::from_words(*words));
        let present = ticks.clone().filter(|tick| tick.presence() == Presence::Attached);
        self.present = present.map(|tick| tick.instrument).collect();
        if self.epoch() == Some(epoch) {
            return;
        }
        let instruments: Vec<Instrument> =
            ticks.filter_map(|tick| tick.definition().ok()).collect();
        let is_restart = self.stream.is_some();
        let (config, fleet) = (&self.config, &self.fleet);
        let begun = outlet::begin(
            self.stream.take(),
            epoch,
            &instruments,
            Presence::Detached,
            config,
            fleet,
        );
        match begun {
            Ok(stream) => {
                self.status.expects(instruments.len());
                let state = if is_restart { FeedState::Restarted } else { FeedState::Live };
                self.status.attached(&stream.1, state);
                tracing::info!(
                    epoch,
                    instruments = instruments.len(),
                    "an epoch leaves the delay line"
                );
                self.stream = Some(stream);
            }
            Err(error) => tracing::error!(%error, "the delayed epoch cannot be used"),
        }
    }

    fn learn(&mut self, words: &[u64]) {
        let (Some((feeder, _)), Ok(mut image)) = (&mut self.stream, InstrumentImage::decode(words))
        else {
            return;
        };
        let now_ns = realtime_ns();
        image.last.iter_mut().for_each(|tick| tick.ts_ring_ns = now_ns);
        feeder.learn(&image);
    }

    /// Hands on what is whole.
    fn relay(&mut self, records: &[Record]) {
        let Self { stream: Some((feeder, _)), ticks, .. } = self else { return };
        let now_ns = realtime_ns();
        for words in records {
            let mut tick = Tick::from_words(*words);
            match tick.kind() {
                Ok(Kind::Data(_)) => {
                    tick.ts_ring_ns = now_ns;
                    ticks.push(tick);
                }
                Ok(Kind::Presence) => {
                    feeder.relay(ticks, now_ns);
                    ticks.clear();
                    feeder.set_presence([tick.instrument], tick.presence(), now_ns);
                }
                // Instruments came with the epoch.
                Ok(Kind::Definition | Kind::Epoch) | Err(_) => {}
            }
        }
        let whole = ticks.iter().rposition(Tick::ends).map_or(0, |last| last + 1);
        feeder.relay(&ticks[..whole], now_ns);
        ticks.drain(..whole);
    }

    fn attach(&mut self) {
        if let Some((feeder, _)) = &mut self.stream {
            feeder.set_presence(self.present.drain(..), Presence::Attached, realtime_ns());
        }
    }

    fn tell(&self, state: FeedState, stop: &AtomicBool) {
        if let (FeedState::Stopped, Some((_, ring))) = (state, &self.stream) {
            wait_for_shards(&self.fleet, ring, stop);
        }
        tracing::info!(state = state.name(), "the feed, as it was a delay ago; clients are told");
        self.status.changed(state);
        self.fleet.tell_feed(state);
    }
}

/// The records that these words are.
fn records(words: &[u64]) -> Vec<Record> {
    words.as_chunks::<TICK_WORDS>().0.to_vec()
}
