//! The stream of an upstream: the ring that it goes through, and how far each instrument is.
//!
//! Events go in, ticks come out in the ring. It knows no socket and asks for nothing; [`super::session`]
//! does. An instrument's events pass while it is being fetched or present, and are dropped otherwise: they
//! were on their way when it was let go.

use std::collections::HashMap;

use client::{Catalog, Channel, DepthSnapshot, Event, Gap, SnapshotPart, Symbol};
use feed_sim::{Feeder, FeederError};
use ring::Ring;
use wire::{FeedState, Instrument, InstrumentImage, Presence, Tick};

use super::fetching::Fetching;
use super::ticks;
use crate::clock::{monotonic_ns, realtime_ns};
use crate::config::Config;
use crate::fleet::Fleet;
use crate::shard::InterestTable;
use crate::source::outlet;

/// See the module's header.
pub(super) struct Stream {
    feeder: Feeder,
    ring: Ring,
    instruments: Vec<Instrument>,
    by_symbol: HashMap<Symbol, u32>,
    holdings: Vec<Holding>,
    /// Snapshots of which not all parts have come.
    snapshots: HashMap<u32, Levels>,
    /// What is to be relayed next.
    ticks: Vec<Tick>,
    /// How many instruments are being fetched.
    fetching: usize,
}

#[derive(Default)]
struct Levels {
    bids: Vec<(i64, i64)>,
    asks: Vec<(i64, i64)>,
}

/// How far an instrument is.
#[derive(Debug, Default)]
struct Holding {
    stage: Stage,
    /// Something has come of it since it was asked for.
    has_anything: bool,
    /// Since when nobody wants it.
    idle_since_ns: Option<u64>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Not asked for.
    #[default]
    Absent,
    /// Asked for; not all is here.
    Fetching(Fetching),
    /// All is here.
    Present,
}

impl Stream {
    /// Begins the catalog's epoch with nothing attached: in the old stream's ring, if that has room.
    pub(super) fn begin(
        old: Option<Self>,
        catalog: Catalog,
        config: &Config,
        fleet: &Fleet,
    ) -> Result<Self, FeederError> {
        let Catalog { epoch, instruments } = catalog;
        let old = old.map(|old| (old.feeder, old.ring));
        let (feeder, ring) =
            outlet::begin(old, epoch, &instruments, Presence::Detached, config, fleet)?;
        Ok(Self {
            feeder,
            ring,
            by_symbol: instruments.iter().map(|one| (one.symbol, one.id)).collect(),
            holdings: instruments.iter().map(|_| Holding::default()).collect(),
            instruments,
            snapshots: HashMap::new(),
            ticks: Vec::new(),
            fetching: 0,
        })
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.feeder.epoch()
    }

    pub(super) const fn ring(&self) -> &Ring {
        &self.ring
    }

    pub(super) fn instrument(&self, id: u32) -> &Instrument {
        &self.instruments[id as usize]
    }

    pub(super) fn heartbeat(&mut self, now_ns: u64) {
        self.feeder.heartbeat(now_ns);
    }

    pub(super) fn close(self) {
        self.feeder.close();
    }

    /// What is fetched is to be asked for once more: another connection.
    pub(super) fn restart_fetching(&mut self) {
        for holding in &mut self.holdings {
            if matches!(holding.stage, Stage::Fetching(_)) {
                holding.stage = Stage::Absent;
            }
        }
        self.fetching = 0;
        self.snapshots.clear();
    }

    /// The instruments that are complete.
    pub(super) fn present(&self) -> Vec<u32> {
        let is_present = |id: &u32| matches!(self.holdings[*id as usize].stage, Stage::Present);
        self.ids().filter(is_present).collect()
    }

    /// All instruments that are not asked for.
    pub(super) fn absent(&self) -> Vec<u32> {
        let is_absent = |id: &u32| matches!(self.holdings[*id as usize].stage, Stage::Absent);
        self.ids().filter(is_absent).collect()
    }

    /// Those that somebody wants and that are not asked for. Also notes which are not wanted any more.
    pub(super) fn wanted(&mut self, table: &InterestTable, now_ns: u64) -> Vec<u32> {
        let channels = table.channels();
        let mut wanted = Vec::new();
        for (holding, instrument) in self.holdings.iter_mut().zip(&self.instruments) {
            if table.is_wanted(instrument.id) || instrument.channels & channels != 0 {
                holding.idle_since_ns = None;
                if matches!(holding.stage, Stage::Absent) {
                    wanted.push(instrument.id);
                }
            } else if !matches!(holding.stage, Stage::Absent) {
                holding.idle_since_ns.get_or_insert(now_ns);
            }
        }
        wanted
    }

    /// Those that nobody has wanted for so long. They are absent from here on.
    pub(super) fn let_go(&mut self, linger_ns: u64, now_ns: u64) -> Vec<u32> {
        let is_over = |holding: &Holding| {
            let since_ns =
                holding.idle_since_ns.filter(|_| matches!(holding.stage, Stage::Present));
            since_ns.is_some_and(|since_ns| now_ns.saturating_sub(since_ns) >= linger_ns)
        };
        let over: Vec<u32> =
            self.ids().filter(|id| is_over(&self.holdings[*id as usize])).collect();
        if !over.is_empty() {
            self.flush();
        }
        for id in &over {
            self.holdings[*id as usize] = Holding::default();
            self.snapshots.remove(id);
        }
        self.feeder.set_presence(over.iter().copied(), Presence::Detached, realtime_ns());
        over
    }

    /// This instrument has been asked for.
    pub(super) fn asked(&mut self, id: u32, fetching: Fetching) {
        self.fetching += 1;
        self.holdings[id as usize] =
            Holding { stage: Stage::Fetching(fetching), has_anything: false, idle_since_ns: None };
    }

    /// Takes an event; [`Stream::flush`] makes it visible. The feed's state, if it is about that.
    pub(super) fn enter(&mut self, event: &Event) -> Option<FeedState> {
        match event {
            Event::FeedStatus { state, .. } => return Some(*state),
            Event::Gap(gap) => self.enter_gap(gap),
            event => {
                let origin = event.origin()?;
                let id = *self.by_symbol.get(&origin.symbol)?;
                let holding = &mut self.holdings[id as usize];
                holding.has_anything = true;
                let passes = match &mut holding.stage {
                    Stage::Absent => false,
                    Stage::Fetching(fetching) => fetching.admits(origin.channel, origin.seq),
                    Stage::Present => true,
                };
                if !passes {
                    return None;
                }
                match event {
                    Event::DepthSnapshot(snapshot) => {
                        if !self.enter_snapshot(id, snapshot) {
                            return None;
                        }
                    }
                    Event::Depth(depth) if depth.is_merged => self.enter_merged(id, event),
                    event => ticks::push(&mut self.ticks, id, event),
                }
                if let Stage::Fetching(fetching) = &mut self.holdings[id as usize].stage {
                    fetching.note(origin.channel, origin.seq);
                }
            }
        }
        None
    }

    /// Relays what was entered, and attaches what is complete.
    pub(super) fn flush(&mut self) {
        let now_ns = realtime_ns();
        if !self.ticks.is_empty() {
            self.feeder.relay(&self.ticks, now_ns);
            self.ticks.clear();
        }
        if self.fetching == 0 {
            return;
        }
        let mut complete = Vec::new();
        for (holding, instrument) in self.holdings.iter_mut().zip(&self.instruments) {
            if let Stage::Fetching(fetching) = &holding.stage
                && fetching.is_complete(holding.has_anything, monotonic_ns())
            {
                holding.stage = Stage::Present;
                complete.push(instrument.id);
            }
        }
        self.fetching -= complete.len();
        tracing::debug!(instruments = complete.len(), "attached");
        self.feeder.set_presence(complete, Presence::Attached, now_ns);
    }

    /// How many records the ring holds that were not there at this position.
    pub(super) const fn position(&self) -> u64 {
        self.feeder.position()
    }

    fn enter_gap(&mut self, gap: &Gap) {
        let Some(id) = self.by_symbol.get(&gap.symbol) else { return };
        if let Stage::Fetching(fetching) = &mut self.holdings[*id as usize].stage
            && gap.count > 0
        {
            fetching.note_gap(gap.channel, gap.first_seq, gap.last_seq());
        }
    }

    /// Takes a part of a book; whether it was the last.
    fn enter_snapshot(&mut self, id: u32, snapshot: &DepthSnapshot) -> bool {
        let levels = self.snapshots.entry(id).or_default();
        if snapshot.part.is_first() {
            *levels = Levels::default();
        }
        levels.bids.extend_from_slice(snapshot.bids.mantissas());
        levels.asks.extend_from_slice(snapshot.asks.mantissas());
        if matches!(snapshot.part, SnapshotPart::First | SnapshotPart::Middle) {
            return false;
        }
        let Levels { bids, asks } = self.snapshots.remove(&id).unwrap_or_default();
        let image = InstrumentImage {
            epoch: self.epoch(),
            definition: *self.instrument(id),
            presence: Presence::Attached,
            last: Vec::new(),
            depth_seq: snapshot.origin.seq,
            update_id: snapshot.update_id,
            ts_event_ns: snapshot.origin.ts_event_ns,
            bids,
            asks,
        };
        self.relay_entered();
        self.feeder.learn(&image);
        self.say_again(id);
        true
    }

    /// Takes changes that stand for several groups: hubs learn of them as of a new book.
    fn enter_merged(&mut self, id: u32, event: &Event) {
        self.relay_entered();
        let mut group = Vec::new();
        ticks::push(&mut group, id, event);
        self.feeder.learn_changes(&group);
        self.say_again(id);
    }

    fn relay_entered(&mut self) {
        self.feeder.relay(&self.ticks, realtime_ns());
        self.ticks.clear();
    }

    /// The image of an attached instrument knows something that no record has brought.
    fn say_again(&mut self, id: u32) {
        if matches!(self.holdings[id as usize].stage, Stage::Present) {
            self.feeder.set_presence([id], Presence::Attached, realtime_ns());
        }
    }

    fn ids(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.instruments.len()).unwrap_or(u32::MAX)
    }

    /// The channels that are asked for: partial books are made here.
    pub(super) fn channels(&self, id: u32) -> impl Iterator<Item = Channel> + use<> {
        let instrument = *self.instrument(id);
        let is_own = |channel: &Channel| channel.partial_levels().is_none();
        Channel::all().filter(move |channel| instrument.has(*channel)).filter(is_own)
    }
}
