//! What the hub knows of one instrument now, as numbers: for answers over plain HTTP that have a form of
//! their own.

use wire::{Channel, Instrument, Side, Symbol, Tick};

use crate::hub::Hub;

/// The best levels of a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BestLevels {
    /// The venue's last update id that is in it.
    pub update_id: u64,
    /// Price and quantity mantissas, best first.
    pub bids: Vec<(i64, i64)>,
    /// Price and quantity mantissas, best first.
    pub asks: Vec<(i64, i64)>,
}

impl Hub {
    /// The instrument of this symbol in this epoch.
    #[must_use]
    pub fn instrument(&self, symbol: &Symbol) -> Option<&Instrument> {
        let slot = self.market.instruments.by_symbol(symbol)?;
        Some(&self.market.instruments.get(slot).definition)
    }

    /// The newest tick of a topic that is not a book.
    #[must_use]
    pub fn newest(&self, instrument: u32, channel: Channel) -> Option<Tick> {
        let slot = self.market.instruments.by_id(instrument)?;
        let topic = self.market.instruments.get(slot).topic(channel)?;
        self.market.newest_tick(topic)
    }

    /// So many levels of each side of an instrument's book, if that is known.
    #[must_use]
    pub fn best_levels(&self, instrument: u32, levels: usize) -> Option<BestLevels> {
        let slot = self.market.instruments.by_id(instrument)?;
        let book = self.market.instruments.get(slot).book.as_ref()?;
        book.seq()?;
        Some(BestLevels {
            update_id: book.head.last_update_id,
            bids: book.levels.levels(Side::Bid).take(levels).collect(),
            asks: book.levels.levels(Side::Ask).take(levels).collect(),
        })
    }
}
