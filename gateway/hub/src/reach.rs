//! Who has a wildcard, and which instruments it reaches: all that there are, or those that its
//! connection's grant allows.
//!
//! A tick marks the wildcards that reach its instrument and no others. Connections of equal grants share a
//! *reach*: the slots that it has of one channel, as bits, and who has it. Slots belong to symbols for
//! the life of the shard, whatever ids an epoch gives them, so that a slot is looked at once for each
//! reach. Where no grant restricts a wildcard there are no reaches, and a tick pays one look at that.
//!
//! Which grant a connection holds is in `grants.rs`.

use std::sync::Arc;

use wire::{CHANNEL_COUNT, Channel, Symbol};

use crate::bits::BitSet;
use crate::grant::Grant;
use crate::instruments::Instruments;
use crate::subscribers::Subscribers;

/// Every instrument, also those that are defined later.
pub(crate) const ALL: u32 = u32::MAX;

/// See the module's header.
#[derive(Debug)]
struct Reach {
    grant: Arc<Grant>,
    channel: Channel,
    /// Slots of instruments.
    slots: BitSet,
    /// Connections, by slot.
    wildcards: Subscribers,
}

/// All wildcards of a shard.
#[derive(Debug)]
pub(crate) struct Reaches {
    /// Connections whose wildcard reaches all instruments, by channel's code.
    whole: [Subscribers; CHANNEL_COUNT],
    /// By number; those that nobody has are free.
    parts: Vec<Option<Reach>>,
    /// Numbers of those in use, by channel's code.
    parts_of: [Vec<u32>; CHANNEL_COUNT],
    /// The channels that have some: a set of [`Channel::bit`]s.
    restricted: u64,
    /// Slots that were looked at.
    slots: u32,
}

impl Default for Reaches {
    fn default() -> Self {
        Self {
            whole: std::array::from_fn(|_| Subscribers::default()),
            parts: Vec::new(),
            parts_of: std::array::from_fn(|_| Vec::new()),
            restricted: 0,
            slots: 0,
        }
    }
}

impl Reaches {
    /// Adds a connection's wildcard and answers what it reaches under this grant; `None`: everything.
    pub(crate) fn join(
        &mut self,
        (conn, conn_slots): (u32, u32),
        channel: Channel,
        grant: Option<&Arc<Grant>>,
        instruments: &Instruments,
    ) -> u32 {
        let code = usize::from(channel.code());
        let Some(grant) = grant.filter(|grant| !grant.allows_all(channel)) else {
            self.whole[code].insert(conn, conn_slots);
            return ALL;
        };
        let same = |number: &&u32| {
            self.part(**number)
                .is_some_and(|reach| Arc::ptr_eq(&reach.grant, grant) || reach.grant == *grant)
        };
        let known = self.parts_of[code].iter().find(same).copied();
        let number = known.unwrap_or_else(|| self.add(grant, channel, instruments));
        if let Some(reach) = &mut self.parts[number as usize] {
            reach.wildcards.insert(conn, conn_slots);
        }
        number
    }

    fn add(&mut self, grant: &Arc<Grant>, channel: Channel, instruments: &Instruments) -> u32 {
        let mut slots = BitSet::default();
        for (slot, symbol) in instruments.symbols() {
            if grant.allows(symbol, channel) {
                slots.insert(slot);
            }
        }
        let wildcards = Subscribers::default();
        let reach = Some(Reach { grant: Arc::clone(grant), channel, slots, wildcards });
        let at = self.parts.iter().position(Option::is_none).unwrap_or_else(|| {
            self.parts.push(None);
            self.parts.len() - 1
        });
        self.parts[at] = reach;
        let number = u32::try_from(at).expect("not more than wildcards");
        self.parts_of[usize::from(channel.code())].push(number);
        self.restricted |= channel.bit();
        number
    }

    /// Takes a connection's wildcard out again.
    pub(crate) fn leave(&mut self, (conn, conn_slots): (u32, u32), channel: Channel, number: u32) {
        let code = usize::from(channel.code());
        let Some(part) = self.parts.get_mut(number as usize) else {
            return self.whole[code].remove(conn, conn_slots);
        };
        let Some(reach) = part else { return };
        reach.wildcards.remove(conn, conn_slots);
        if reach.wildcards.is_empty() {
            *part = None;
            self.parts_of[code].retain(|other| *other != number);
            if self.parts_of[code].is_empty() {
                self.restricted &= !channel.bit();
            }
        }
    }

    fn part(&self, number: u32) -> Option<&Reach> {
        self.parts.get(number as usize)?.as_ref()
    }

    /// Whether this reach has the instrument of this slot.
    #[inline]
    pub(crate) fn contains(&self, number: u32, slot: u32) -> bool {
        number == ALL || self.part(number).is_some_and(|reach| reach.slots.contains(slot))
    }

    /// A symbol has this slot. Only its first definition is news.
    pub(crate) fn defined(&mut self, slot: u32, symbol: &Symbol) {
        if slot < self.slots {
            return;
        }
        self.slots = slot + 1;
        for reach in self.parts.iter_mut().flatten() {
            if reach.grant.allows(symbol, reach.channel) {
                reach.slots.insert(slot);
            }
        }
    }

    /// Those of the channel's that have this instrument and are not whole.
    fn parts_with(&self, channel: Channel, slot: u32) -> impl Iterator<Item = &Reach> {
        let is_restricted = self.restricted & channel.bit() != 0;
        let numbers = is_restricted.then(|| &self.parts_of[usize::from(channel.code())]);
        let parts = numbers.into_iter().flatten().filter_map(|number| self.part(*number));
        parts.filter(move |reach| reach.slots.contains(slot))
    }

    /// Puts every connection whose wildcard reaches this instrument into `set`.
    #[inline]
    pub(crate) fn mark(&self, channel: Channel, slot: u32, set: &mut BitSet) {
        self.whole[usize::from(channel.code())].mark(set);
        if self.restricted & channel.bit() != 0 {
            self.parts_with(channel, slot).for_each(|reach| reach.wildcards.mark(set));
        }
    }

    /// Calls `each` with every connection whose wildcard reaches this instrument.
    pub(crate) fn for_each(&self, channel: Channel, slot: u32, mut each: impl FnMut(u32)) {
        self.whole[usize::from(channel.code())].for_each(&mut each);
        self.parts_with(channel, slot).for_each(|reach| reach.wildcards.for_each(&mut each));
    }

    /// Whether somebody's wildcard of this channel reaches this instrument.
    pub(crate) fn is_watched(&self, channel: Channel, slot: u32) -> bool {
        !self.whole[usize::from(channel.code())].is_empty()
            || self.parts_with(channel, slot).next().is_some()
    }

    /// Whether somebody has a wildcard of this channel.
    pub(crate) fn is_used(&self, channel: Channel) -> bool {
        !self.whole[usize::from(channel.code())].is_empty() || self.restricted & channel.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use wire::Instrument;

    use super::*;
    use crate::grant::Rules;
    use crate::topics::Topics;

    fn grant(rule: &str) -> Arc<Grant> {
        Arc::new(Grant { see: Rules::parse([rule]).unwrap(), ..Grant::nothing() })
    }

    fn instrument(id: u32, symbol: &str) -> Instrument {
        Instrument {
            id,
            symbol: Symbol::new(symbol).unwrap(),
            base_len: 0,
            price_exponent: 0,
            quantity_exponent: 0,
            tick_size: 1,
            lot_size: 1,
            channels: Channel::Quote.bit(),
        }
    }

    #[test]
    fn a_tick_marks_who_may_see_it_and_equal_grants_share() {
        let (mut instruments, mut topics) = (Instruments::default(), Topics::default());
        let mut reaches = Reaches::default();
        let mut define = |reaches: &mut Reaches, instruments: &mut Instruments, id, symbol| {
            let definition = instrument(id, symbol);
            instruments.define(&definition, &mut topics, 9);
            reaches.defined(id, &definition.symbol);
        };
        define(&mut reaches, &mut instruments, 0, "A1");
        let channel = Channel::Quote;
        let join = |reaches: &mut Reaches, conn, grant: Option<&Arc<Grant>>| {
            reaches.join((conn, 64), channel, grant, &instruments)
        };
        assert_eq!(join(&mut reaches, 0, None), ALL);
        assert_eq!(join(&mut reaches, 1, Some(&grant("*.quote"))), ALL);
        let a = join(&mut reaches, 2, Some(&grant("A*.quote")));
        assert_eq!(join(&mut reaches, 3, Some(&grant("A*.quote"))), a);
        let b = join(&mut reaches, 4, Some(&grant("B*.quote")));
        define(&mut reaches, &mut instruments, 1, "B1");
        define(&mut reaches, &mut instruments, 2, "A2");

        let marked = |reaches: &Reaches, slot| {
            let (mut set, mut called) = (BitSet::default(), Vec::new());
            reaches.mark(channel, slot, &mut set);
            reaches.for_each(channel, slot, |conn| called.push(conn));
            let marked: Vec<u32> = set.iter().collect();
            called.sort_unstable();
            assert_eq!(marked, called);
            marked
        };
        assert_eq!(marked(&reaches, 0), [0, 1, 2, 3]);
        assert_eq!(marked(&reaches, 1), [0, 1, 4]);
        assert_eq!(marked(&reaches, 2), [0, 1, 2, 3]);
        assert!(reaches.contains(ALL, 1) && reaches.contains(b, 1) && !reaches.contains(a, 1));

        (0..2).for_each(|conn| reaches.leave((conn, 64), channel, ALL));
        (2..4).for_each(|conn| reaches.leave((conn, 64), channel, a));
        assert!(!reaches.is_watched(channel, 0) && reaches.is_watched(channel, 1));
        reaches.leave((4, 64), channel, b);
        assert!(!reaches.is_used(channel));
        let instruments = &Instruments::default();
        assert_eq!(reaches.join((9, 64), channel, Some(&grant("C*.quote")), instruments), 0);
        assert!(!reaches.contains(0, 0), "a number that is used again begins with nothing");
    }
}
