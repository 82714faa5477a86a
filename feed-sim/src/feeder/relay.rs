//! Relay: a stream that was numbered elsewhere goes through this ring with the numbers it has.
//!
//! Numbers and `ts_ring_ns` stay as they are. A gap in the numbers stays one, for hubs to announce; a
//! number that was relayed already is dropped. Nothing that comes from outside ends the run: what
//! cannot be is dropped and counted.
//!
//! A feed may leave out what nobody wants. The order for an instrument that begins to be wanted is:
//! [`Feeder::learn`] its image, [`Feeder::relay`] its past from then on, and say that it is
//! [`Presence::Attached`]. The image may be newer than a part of that past: books then go on behind it.

use wire::{Channel, InstrumentImage, Kind, Presence, Tick};

use super::Feeder;
use super::ledger::Entered;

impl Feeder {
    /// Publishes ticks that have their numbers, as they are, and wakes readers. A depth group must be
    /// whole.
    pub fn relay(&mut self, ticks: &[Tick], now_ns: u64) {
        let stride = (self.shape.capacity / 16) as u64;
        let mut checkpoint_at = self.publisher.position() + stride;
        let mut rest = ticks;
        while !rest.is_empty() {
            rest = &rest[self.relay_first(rest)..];
            if self.publisher.position() >= checkpoint_at {
                checkpoint_at = self.publisher.position() + stride;
                self.publisher.wake();
                self.checkpoint();
            }
        }
        self.publisher.wake();
        self.checkpoint();
        self.heartbeat(now_ns);
    }

    /// Takes over what an image of the present epoch knows that is newer, without a word to readers:
    /// to be followed by [`Feeder::set_presence`].
    pub fn learn(&mut self, image: &InstrumentImage) {
        if image.epoch != self.epoch || self.ledger.learn(image).is_none() {
            self.counters.refused += 1;
        }
    }

    /// Takes over one depth group of changes that stand for several, up to its own number, without a word
    /// to readers: to be followed by [`Feeder::set_presence`].
    pub fn learn_changes(&mut self, group: &[Tick]) {
        let is_whole = self.split_group(group).is_ok_and(|found| found.len() == group.len());
        if !is_whole || !is_one(group) || self.ledger.learn_changes(group).is_none() {
            self.counters.refused += 1;
        }
    }

    /// Says of each of these instruments whether the stream has its data from here on. Of one that is
    /// attached, its recovery image is up to date at that place in the ring, for readers to look at.
    pub fn set_presence(
        &mut self,
        instruments: impl IntoIterator<Item = u32>,
        presence: Presence,
        now_ns: u64,
    ) {
        for instrument in instruments {
            if instrument >= self.ledger.len() {
                self.counters.refused += 1;
                continue;
            }
            self.ledger.set_presence(instrument, presence);
            self.write_image(instrument);
            self.publish_control(Tick::from_presence(instrument, presence, now_ns), now_ns);
        }
        self.publisher.wake();
        self.heartbeat(now_ns);
    }

    /// Relays what these ticks begin with and answers how many it was.
    fn relay_first(&mut self, ticks: &[Tick]) -> usize {
        let first = &ticks[0];
        let (entered, taken) = match first.validate() {
            Ok(Kind::Data(_)) if first.seq == 0 => (Entered::Nowhere, &ticks[..1]),
            Ok(Kind::Data(Channel::Depth)) => match self.split_group(ticks) {
                Ok(group) if is_one(group) => (self.ledger.relay_group(group), group),
                _ => (Entered::Nowhere, &ticks[..1]),
            },
            Ok(Kind::Data(channel)) => (self.ledger.relay(first, channel), &ticks[..1]),
            _ => (Entered::Nowhere, &ticks[..1]),
        };
        let count = taken.len();
        match entered {
            Entered::Next => taken.iter().for_each(|tick| self.publish_data(tick)),
            Entered::Repeated => self.counters.repeated += count as u64,
            Entered::Nowhere => self.counters.refused += count as u64,
        }
        count
    }
}

/// Whether the ticks of a group are valid and have one number.
fn is_one(group: &[Tick]) -> bool {
    group.iter().all(|tick| tick.seq == group[0].seq && tick.validate().is_ok())
}
