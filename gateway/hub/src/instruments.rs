//! Instruments of a shard: by the feed's number, by symbol, and in the order of their definition.
//!
//! An instrument's *slot* is the shard's own number for a symbol. Slots and topics stay when an epoch
//! ends, so that subscriptions by symbol live on without being touched; the feed's ids do not.

use std::collections::HashMap;

use wire::exchange::{Array, View};
use wire::{CHANNEL_COUNT, Channel, Instrument, Presence, Symbol};

use crate::book::BookState;
use crate::topics::{NO_TOPIC, Shows, Topics};

const NO_SLOT: u32 = u32::MAX;

/// What stands in for the instrument of topics that are of all.
fn no_instrument() -> Instrument {
    Instrument {
        id: u32::MAX,
        symbol: Symbol::new("-").expect("a symbol"),
        base_len: 0,
        price_exponent: 0,
        quantity_exponent: 0,
        tick_size: 0,
        lot_size: 0,
        channels: 0,
    }
}

/// The channels that are derived here from depth.
pub(crate) const PARTIAL: [Channel; 3] = [Channel::Depth5, Channel::Depth10, Channel::Depth20];

/// What a shard knows of one symbol.
#[derive(Debug)]
pub(crate) struct Slot {
    /// As of its newest definition, with the derived channels added.
    pub(crate) definition: Instrument,
    /// Whether it is defined in this epoch.
    pub(crate) is_defined: bool,
    /// Whether the stream has its data. What comes while it has not is the past.
    presence: Presence,
    topics: [u32; CHANNEL_COUNT],
    /// Topics of views: those that were ever asked for.
    views: Vec<(Shows, u32)>,
    /// Views that are made of its depth at a cadence, by their number there, while somebody is subscribed.
    pub(crate) timed: Vec<u32>,
    /// `None` if the instrument has no depth.
    pub(crate) book: Option<Box<BookState>>,
}

impl Slot {
    fn new(definition: &Instrument) -> Self {
        Self {
            definition: *definition,
            is_defined: false,
            presence: Presence::Attached,
            topics: [NO_TOPIC; CHANNEL_COUNT],
            views: Vec::new(),
            timed: Vec::new(),
            book: None,
        }
    }

    /// The topic of a view, if it was ever asked for.
    pub(crate) fn view(&self, view: View) -> Option<u32> {
        let shows = Shows::View(view);
        self.views.iter().find(|(known, _)| *known == shows).map(|(_, topic)| *topic)
    }

    /// The topic that shows this, made now if it was never asked for.
    fn reach(&mut self, slot: u32, shows: Shows, topics: &mut Topics) -> u32 {
        let known = self.views.iter().find(|(known, _)| *known == shows);
        known.map(|(_, topic)| *topic).unwrap_or_else(|| {
            let topic = topics.add(slot, shows);
            self.views.push((shows, topic));
            topic
        })
    }

    /// The topic of this channel, if the symbol ever had it.
    pub(crate) fn topic(&self, channel: Channel) -> Option<u32> {
        let topic = self.topics[usize::from(channel.code())];
        (topic != NO_TOPIC).then_some(topic)
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.presence == Presence::Attached
    }
}

/// What a definition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defined {
    /// The symbol is new, or back in a new epoch.
    New(u32),
    /// It was known like this.
    Same,
    /// It contradicts what is known in this epoch, or there are too many.
    Refused,
}

/// All instruments of a shard.
#[derive(Debug, Default)]
pub(crate) struct Instruments {
    slots: Vec<Slot>,
    by_symbol: HashMap<Symbol, u32>,
    by_id: Vec<u32>,
    /// Slots in the order in which this epoch defined them.
    order: Vec<u32>,
    /// How many of them the stream does not have.
    detached: u32,
    /// The slot that the topics of arrays are of, once there is one.
    arrays: Option<u32>,
}

impl Instruments {
    /// The slot of the instrument that has this number in this epoch.
    pub(crate) fn by_id(&self, id: u32) -> Option<u32> {
        self.by_id.get(id as usize).copied().filter(|&slot| slot != NO_SLOT)
    }

    /// The slot of the instrument that has this symbol in this epoch.
    pub(crate) fn by_symbol(&self, symbol: &Symbol) -> Option<u32> {
        let slot = *self.by_symbol.get(symbol)?;
        self.get(slot).is_defined.then_some(slot)
    }

    /// The slot of this symbol, in whichever epoch it was defined.
    pub(crate) fn ever(&self, symbol: &Symbol) -> Option<u32> {
        self.by_symbol.get(symbol).copied()
    }

    pub(crate) fn get(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// All symbols that there ever were, with their slots.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = (u32, &Symbol)> {
        self.by_symbol.iter().map(|(symbol, slot)| (*slot, symbol))
    }

    /// How many symbols there ever were.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("instruments_max is a 32-bit number")
    }

    /// Whether the stream has every instrument of this epoch.
    pub(crate) const fn are_all_attached(&self) -> bool {
        self.detached == 0
    }

    /// Answers what was there before.
    pub(crate) fn set_presence(&mut self, slot: u32, presence: Presence) -> Presence {
        let before = std::mem::replace(&mut self.slots[slot as usize].presence, presence);
        match (before, presence) {
            (Presence::Attached, Presence::Detached) => self.detached += 1,
            (Presence::Detached, Presence::Attached) => self.detached -= 1,
            _ => {}
        }
        before
    }

    /// Slots in the order in which this epoch defined them.
    pub(crate) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Takes a definition over. Topics of channels the symbol did not have before are added.
    pub(crate) fn define(
        &mut self,
        instrument: &Instrument,
        topics: &mut Topics,
        instruments_max: u32,
    ) -> Defined {
        let mut definition = *instrument;
        // Only what is derived here counts as partial depth, whatever the feed says it has.
        for channel in PARTIAL {
            let has = instrument.has(Channel::Depth);
            definition.channels &= !channel.bit();
            definition.channels |= if has { channel.bit() } else { 0 };
        }
        if definition.id >= instruments_max {
            return Defined::Refused;
        }
        if let Some(slot) = self.by_id(definition.id) {
            let is_same = self.get(slot).definition == definition;
            return if is_same { Defined::Same } else { Defined::Refused };
        }
        let slot = match self.ever(&definition.symbol) {
            Some(slot) if self.get(slot).is_defined => return Defined::Refused,
            Some(slot) => slot,
            None if self.len() >= instruments_max => return Defined::Refused,
            None => self.add(&definition),
        };
        self.fill(slot, &definition, topics);
        let id = definition.id as usize;
        if self.by_id.len() <= id {
            self.by_id.resize(id + 1, NO_SLOT);
        }
        self.by_id[id] = slot;
        self.order.push(slot);
        Defined::New(slot)
    }

    fn add(&mut self, definition: &Instrument) -> u32 {
        let slot = self.len();
        self.slots.push(Slot::new(definition));
        self.by_symbol.insert(definition.symbol, slot);
        slot
    }

    fn fill(&mut self, slot: u32, definition: &Instrument, topics: &mut Topics) {
        let known = &mut self.slots[slot as usize];
        known.definition = *definition;
        known.is_defined = true;
        for channel in Channel::all().filter(|channel| definition.has(*channel)) {
            let topic = &mut known.topics[usize::from(channel.code())];
            if *topic == NO_TOPIC {
                *topic = topics.add(slot, Shows::channel_of(channel));
            }
        }
        if definition.has(Channel::Depth) && known.book.is_none() {
            known.book = Some(Box::default());
        }
    }

    /// The topic of what a client may see of this slot: of a channel if the instrument has it, of another
    /// view if it has the channel that this is made of. That one's topic is made when it is first asked for.
    pub(crate) fn view_topic(&mut self, slot: u32, view: View, topics: &mut Topics) -> Option<u32> {
        let known = &mut self.slots[slot as usize];
        if !known.is_defined || !known.definition.has(view.source()) {
            return None;
        }
        match view {
            View::Channel(channel) => known.topic(channel),
            _ => Some(known.reach(slot, Shows::View(view), topics)),
        }
    }

    /// The topic of an array. It is of no instrument; its slot is never defined.
    pub(crate) fn array_topic(&mut self, array: Array, topics: &mut Topics) -> u32 {
        let slot = *self.arrays.get_or_insert_with(|| {
            let slot = u32::try_from(self.slots.len()).expect("instruments_max is a 32-bit number");
            self.slots.push(Slot::new(&no_instrument()));
            slot
        });
        self.slots[slot as usize].reach(slot, Shows::Array(array), topics)
    }

    /// An epoch began: nothing is defined, books are empty. Slots stay.
    pub(crate) fn reset(&mut self) {
        for slot in &mut self.slots {
            slot.is_defined = false;
            slot.presence = Presence::Attached;
            if let Some(book) = &mut slot.book {
                book.reset();
            }
        }
        self.by_id.clear();
        self.order.clear();
        self.detached = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instrument(id: u32, symbol: &str, channels: &[Channel]) -> Instrument {
        Instrument {
            id,
            symbol: Symbol::new(symbol).unwrap(),
            base_len: 0,
            price_exponent: -2,
            quantity_exponent: 0,
            tick_size: 1,
            lot_size: 1,
            channels: channels.iter().fold(0, |bits, channel| bits | channel.bit()),
        }
    }

    #[test]
    fn symbols_keep_their_slots_and_topics_across_epochs() {
        let (mut instruments, mut topics) = (Instruments::default(), Topics::default());
        let mut define =
            |instruments: &mut Instruments, i: &Instrument| instruments.define(i, &mut topics, 3);
        let a = instrument(0, "A", &[Channel::Quote, Channel::Depth]);
        let b = instrument(1, "B", &[Channel::Quote]);
        assert_eq!(define(&mut instruments, &a), Defined::New(0));
        assert_eq!(define(&mut instruments, &b), Defined::New(1));
        assert_eq!(define(&mut instruments, &a), Defined::Same);
        let other = Instrument { price_exponent: -3, ..a };
        assert_eq!(define(&mut instruments, &other), Defined::Refused);
        let depth5 = instruments.get(0).topic(Channel::Depth5);
        assert!(depth5.is_some() && instruments.get(1).topic(Channel::Depth5).is_none());

        instruments.reset();
        assert_eq!(instruments.by_symbol(&a.symbol), None);
        // B comes first this time, and A has an exponent more.
        let (b, other) = (Instrument { id: 0, ..b }, Instrument { id: 1, ..other });
        assert_eq!(define(&mut instruments, &b), Defined::New(1));
        assert_eq!(define(&mut instruments, &other), Defined::New(0));
        assert_eq!(instruments.by_id(0), Some(1));
        assert_eq!(instruments.get(0).topic(Channel::Depth5), depth5);
        assert_eq!(instruments.order(), [1, 0]);
        assert_eq!(define(&mut instruments, &instrument(2, "C", &[])), Defined::New(2));
        assert_eq!(define(&mut instruments, &instrument(3, "D", &[])), Defined::Refused);
    }
}
