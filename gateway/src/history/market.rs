//! All instruments' past, within one amount of memory. No thread, no ring: records come in as ticks.

use wire::{InstrumentImage, Kind, Tick};

use super::Bounds;
use super::past::Past;

/// How many ticks are entered between two looks at the memory they take: at 96 bytes a bar, a few hundred
/// kilobytes.
const TICKS_PER_LOOK: u32 = 4096;

/// Ids beyond this are a mistake: hubs take no more either.
const INSTRUMENTS_MAX: usize = 1 << 22;

/// See the module's header.
#[derive(Debug)]
pub(super) struct Market {
    epoch: u64,
    bounds: Bounds,
    /// As short as the memory made it.
    tight: Bounds,
    /// By id.
    instruments: Vec<Past>,
    until_look: u32,
}

/// What a tick asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// Nothing.
    Nothing,
    /// This instrument's image, which may know more than what was read.
    Image(u32),
}

impl Market {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            epoch: 0,
            bounds,
            tight: bounds,
            instruments: Vec::new(),
            until_look: TICKS_PER_LOOK,
        }
    }

    /// An instrument's past, if it has one in this epoch.
    pub(super) fn past(&self, epoch: u64, instrument: u32) -> Option<&Past> {
        let instruments = (epoch == self.epoch).then_some(&self.instruments)?;
        instruments.get(usize::try_from(instrument).ok()?)
    }

    /// Enters a record of the ring.
    pub(super) fn handle(&mut self, tick: &Tick) -> Wants {
        match tick.validate() {
            Ok(Kind::Data(channel)) => {
                let Some(past) = usize::try_from(tick.instrument)
                    .ok()
                    .and_then(|slot| self.instruments.get_mut(slot))
                else {
                    return Wants::Nothing;
                };
                past.handle(channel, tick, &self.tight);
                self.look();
            }
            Ok(Kind::Definition) => self.define(tick.instrument),
            Ok(Kind::Epoch) => self.begin(tick.epoch()),
            Ok(Kind::Presence) if tick.presence() == wire::Presence::Attached => {
                return Wants::Image(tick.instrument);
            }
            Ok(Kind::Presence) | Err(_) => {}
        }
        Wants::Nothing
    }

    /// Enters what the ring remembers of an instrument.
    pub(super) fn handle_image(&mut self, image: &InstrumentImage) {
        if image.epoch != self.epoch {
            return;
        }
        self.define(image.definition.id);
        for tick in &image.last {
            if let Ok(Kind::Data(wire::Channel::Bar(_))) = tick.kind() {
                self.handle(tick);
            }
        }
    }

    /// Begins an epoch, unless it is the one that there is.
    pub(super) fn begin(&mut self, epoch: u64) {
        if epoch != self.epoch {
            *self = Self { epoch, ..Self::new(self.bounds) };
        }
    }

    fn define(&mut self, instrument: u32) {
        let len = usize::try_from(instrument).map_or(usize::MAX, |id| id.saturating_add(1));
        if len > self.instruments.len() && len <= INSTRUMENTS_MAX {
            self.instruments.resize_with(len, Past::default);
        }
    }

    /// Makes all series shorter if they take more memory than they may.
    fn look(&mut self) {
        self.until_look -= 1;
        if self.until_look > 0 {
            return;
        }
        self.until_look = TICKS_PER_LOOK;
        let bytes = |instruments: &[Past]| instruments.iter().map(Past::bytes).sum::<usize>();
        while bytes(&self.instruments) > self.bounds.bytes
            && (self.tight.trades > 0 || self.tight.bars > 0)
        {
            self.tight = self.tight.tightened();
            self.instruments.iter_mut().for_each(|past| past.shorten(&self.tight));
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::{Instrument, Symbol, Trade};

    use super::*;
    use crate::history::Span;

    fn definition(id: u32) -> Tick {
        let instrument = Instrument {
            id,
            symbol: Symbol::new("A").unwrap(),
            base_len: 0,
            price_exponent: 0,
            quantity_exponent: 0,
            tick_size: 0,
            lot_size: 0,
            channels: wire::Channel::Trade.bit(),
        };
        Tick::from_definition(&instrument, 0)
    }

    fn trade(instrument: u32, seq: u64) -> Tick {
        let trade =
            Trade { price: 1, quantity: 1, trade_id: seq, ts_trade_ns: seq, buyer_is_maker: false };
        Tick { seq, ..Tick::from_trade(instrument, seq, &trade) }
    }

    fn market(bytes: usize) -> Market {
        let mut market = Market::new(Bounds { trades: 1000, bars: 1000, bytes });
        market.handle(&Tick::from_epoch(7, 0));
        (0..2).for_each(|id| assert_eq!(market.handle(&definition(id)), Wants::Nothing));
        market
    }

    const ALL: Span = Span { from_ns: None, to_ns: None, limit: usize::MAX };

    #[test]
    fn memory_is_bounded_and_the_newest_are_kept() {
        let mut market = market(40_000);
        for seq in 1..=10_000 {
            market.handle(&trade(0, seq));
            market.handle(&trade(1, seq));
        }
        let kept: Vec<Vec<Trade>> =
            (0..2).map(|id| market.past(7, id).unwrap().trades(ALL)).collect();
        assert_eq!(kept[0], kept[1]);
        assert!((400..=500).contains(&kept[0].len()), "{}", kept[0].len());
        assert_eq!(kept[0].last().unwrap().trade_id, 10_000);
    }

    #[test]
    fn an_epoch_begins_with_nothing() {
        let mut market = market(1 << 20);
        market.handle(&trade(0, 1));
        market.handle(&Tick::from_epoch(7, 0));
        assert_eq!(market.past(7, 0).unwrap().trades(ALL).len(), 1, "the same epoch once more");
        market.handle(&Tick::from_epoch(8, 0));
        assert!(market.past(7, 0).is_none() && market.past(8, 0).is_none());
        market.handle(&definition(0));
        assert_eq!(market.past(8, 0).unwrap().trades(ALL), []);
        market.handle(&trade(9, 1));
        let attached = Tick::from_presence(0, wire::Presence::Attached, 0);
        assert_eq!(market.handle(&attached), Wants::Image(0));
    }
}
