//! Interest: which instruments somebody here is subscribed to, for sources that fetch no others.
//!
//! The shell is told of changes only, instrument by instrument, and channel by channel for wildcards.
//! It asks when it suits it: who comes and goes in between is not mentioned. Ids are those that subscribed
//! symbols have in the epoch that the shard is in; when another begins, what changes with it is told.

use std::cell::RefCell;

use wire::Channel;

use crate::bits::BitSet;
use crate::hub::Hub;
use crate::instruments::Instruments;

/// How many instruments may be asked for between two questions of the shell; more are asked for in vain,
/// and asked for again.
const TOUCHED_MAX: usize = 1024;

/// What somebody may be interested in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The instrument of this id.
    Instrument(u32),
    /// All instruments that have this channel.
    Channel(Channel),
}

/// A change of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// The first subscriber came.
    Begins(Scope),
    /// The last one is gone.
    Ends(Scope),
}

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Interests {
    /// By slot.
    slots: Vec<Wanted>,
    /// Slots of which there may be something to tell, each once.
    changed: Vec<u32>,
    is_changed: BitSet,
    /// The channels of all instruments that are wanted, as told: a set of [`Channel::bit`]s.
    channels_told: u64,
    channels_changed: bool,
    /// Slots that were asked for once, by who may only look.
    touched: RefCell<Vec<u32>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    /// Exact subscriptions to its topics.
    subscriptions: u32,
    /// Somebody asked for it once.
    is_touched: bool,
    /// The id by which it was told.
    told: Option<u32>,
}

impl Interests {
    /// Somebody subscribed to a topic of this slot.
    pub(crate) fn add(&mut self, slot: u32) {
        let wanted = self.reach(slot);
        wanted.subscriptions += 1;
        if wanted.subscriptions == 1 {
            self.change(slot);
        }
    }

    /// A subscription to a topic of this slot is gone.
    pub(crate) fn remove(&mut self, slot: u32) {
        let wanted = self.reach(slot);
        debug_assert!(wanted.subscriptions > 0, "none was added");
        wanted.subscriptions = wanted.subscriptions.saturating_sub(1);
        if wanted.subscriptions == 0 {
            self.change(slot);
        }
    }

    /// The slot's instrument was defined.
    pub(crate) fn defined(&mut self, slot: u32) {
        if self.reach(slot).subscriptions > 0 {
            self.change(slot);
        }
    }

    /// A wildcard came or went.
    pub(crate) fn wildcards_changed(&mut self) {
        self.channels_changed = true;
    }

    /// An epoch began: ids mean nothing any more.
    pub(crate) fn begin_epoch(&mut self) {
        for slot in (0..).take(self.slots.len()) {
            if self.slots[slot as usize].told.is_some() {
                self.change(slot);
            }
        }
    }

    /// Of each instrument that somebody asked for once, interest begins and ends.
    fn take_touched(&mut self) {
        let mut touched = std::mem::take(self.touched.get_mut());
        for slot in touched.drain(..) {
            self.reach(slot).is_touched = true;
            self.change(slot);
        }
        *self.touched.get_mut() = touched;
    }

    fn next_instrument(&mut self, instruments: &Instruments) -> Option<Interest> {
        while let Some(&slot) = self.changed.last() {
            let known = instruments.get(slot);
            let wanted = &mut self.slots[slot as usize];
            let is_wanted = known.is_defined && (wanted.subscriptions > 0 || wanted.is_touched);
            let id = is_wanted.then_some(known.definition.id);
            match (wanted.told, id) {
                (Some(told), id) if id != Some(told) => {
                    wanted.told = None;
                    return Some(Interest::Ends(Scope::Instrument(told)));
                }
                (None, Some(id)) => {
                    wanted.told = Some(id);
                    return Some(Interest::Begins(Scope::Instrument(id)));
                }
                _ if std::mem::take(&mut wanted.is_touched) => {}
                _ => {
                    self.changed.pop();
                    self.is_changed.remove(slot);
                }
            }
        }
        None
    }

    fn change(&mut self, slot: u32) {
        if !self.is_changed.contains(slot) {
            self.is_changed.insert(slot);
            self.changed.push(slot);
        }
    }

    fn reach(&mut self, slot: u32) -> &mut Wanted {
        if self.slots.len() <= slot as usize {
            self.slots.resize(slot as usize + 1, Wanted::default());
            self.is_changed.grow(slot + 1);
        }
        &mut self.slots[slot as usize]
    }
}

impl Hub {
    /// The next change of interest that the shell was not told yet.
    pub fn next_interest(&mut self) -> Option<Interest> {
        let (timed, market) = (&self.timed, &self.market);
        let has_array_of = |channel| timed.has_array_of(channel, market);
        let interests = &mut self.interests;
        if std::mem::take(&mut interests.channels_changed) {
            for channel in Channel::all() {
                let is_wanted = self.reaches.is_used(channel) || has_array_of(channel);
                if (interests.channels_told & channel.bit() != 0) != is_wanted {
                    interests.channels_told ^= channel.bit();
                    // There may be another.
                    interests.channels_changed = true;
                    let scope = Scope::Channel(channel);
                    let begins = Interest::Begins(scope);
                    return Some(if is_wanted { begins } else { Interest::Ends(scope) });
                }
            }
        }
        interests.take_touched();
        interests.next_instrument(&self.market.instruments)
    }

    /// Somebody who does not subscribe asks for an instrument: it is of interest for a moment.
    pub fn touch(&self, instrument: u32) {
        let Some(slot) = self.market.instruments.by_id(instrument) else { return };
        let mut touched = self.interests.touched.borrow_mut();
        if touched.len() < TOUCHED_MAX {
            touched.push(slot);
        }
    }
}
