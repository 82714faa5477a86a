//! The feed: numbered trades and quotes, of which popular instruments have more.

use std::collections::BTreeMap;

use wire::{Channel, Instrument, Quote, Tick, Trade};

use crate::chance::Chance;

/// The epoch of all simulations.
pub(crate) const EPOCH: u64 = 7;

/// Draws instruments by their popularity.
#[derive(Debug)]
pub(crate) struct Urn(Vec<f64>);

impl Urn {
    pub(crate) fn new(popularity: &[f64]) -> Self {
        let sums = popularity.iter().scan(0.0, |sum, part| {
            *sum += part;
            Some(*sum)
        });
        Self(sums.collect())
    }

    pub(crate) fn draw(&self, chance: &mut Chance) -> u32 {
        let drawn = chance.share();
        let at = self.0.partition_point(|sum| *sum <= drawn);
        u32::try_from(at.min(self.0.len() - 1)).expect("instruments are counted in u32")
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Feed {
    chance: Chance,
    urn: Urn,
    seqs: BTreeMap<(u32, u8), u64>,
    rate: u64,
    /// Ticks that are due and were not made, in parts of a second.
    due: u64,
}

impl Feed {
    pub(crate) fn new(seed: u64, popularity: &[f64], rate: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            urn: Urn::new(popularity),
            seqs: BTreeMap::new(),
            rate,
            due: 0,
        }
    }

    /// The ticks of so much time.
    pub(crate) fn pass(&mut self, ns: u64, now_ns: u64) -> Vec<Tick> {
        self.due += self.rate * ns;
        let count = self.due / 1_000_000_000;
        self.due %= 1_000_000_000;
        (0..count).map(|_| self.tick(now_ns)).collect()
    }

    fn tick(&mut self, now_ns: u64) -> Tick {
        let instrument = self.urn.draw(&mut self.chance);
        let is_trade = self.chance.happens(0.2);
        let mut tick = if is_trade {
            trade(instrument, now_ns, self.chance.below(1 << 20))
        } else {
            quote(instrument, now_ns, self.chance.below(1 << 20))
        };
        let seq = self.seqs.entry((instrument, tick.kind)).or_default();
        *seq += 1;
        tick.seq = *seq;
        tick.ts_ring_ns = now_ns;
        tick
    }
}

/// A trade without a number.
pub(crate) fn trade(instrument: u32, now_ns: u64, id: u64) -> Tick {
    let trade = Trade {
        price: 6_183_763,
        quantity: 378_826,
        trade_id: id,
        ts_trade_ns: now_ns,
        buyer_is_maker: false,
    };
    Tick::from_trade(instrument, now_ns, &trade)
}

fn quote(instrument: u32, now_ns: u64, id: u64) -> Tick {
    let quote = Quote {
        bid_price: 6_183_763,
        bid_quantity: 378_826,
        ask_price: 6_183_764,
        ask_quantity: 61_000,
        update_id: id,
    };
    Tick::from_quote(instrument, now_ns, &quote)
}

/// So many instruments from `first` on.
pub(crate) fn instruments(first: u32, count: u32) -> Vec<Instrument> {
    let instrument = |id| Instrument::numbered(id, Channel::Trade.bit() | Channel::Quote.bit());
    (first..first + count).map(instrument).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popular_instruments_are_drawn_as_often_as_they_should_be() {
        let urn = Urn::new(&[0.5, 0.3, 0.2]);
        let mut chance = Chance::new(1);
        let mut drawn = [0_u32; 3];
        for _ in 0..10_000 {
            drawn[urn.draw(&mut chance) as usize] += 1;
        }
        for (count, expected) in drawn.into_iter().zip([5_000_u32, 3_000, 2_000]) {
            assert!(count.abs_diff(expected) < 200, "{drawn:?}");
        }
    }

    #[test]
    fn a_feed_keeps_its_rate_and_numbers_every_topic_from_one() {
        let mut feed = Feed::new(1, &[0.7, 0.3], 1_500);
        let ticks: Vec<Tick> = (1..=2_000).flat_map(|ms| feed.pass(1_000_000, ms)).collect();
        assert_eq!(ticks.len(), 3_000);
        let mut last: BTreeMap<(u32, u8), u64> = BTreeMap::new();
        for tick in ticks {
            let seq = last.entry((tick.instrument, tick.kind)).or_default();
            *seq += 1;
            assert_eq!(tick.seq, *seq);
        }
    }
}
