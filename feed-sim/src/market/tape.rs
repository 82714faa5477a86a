//! The tape: writes what happens in a pit as ticks, and keeps its ids.
//!
//! Inside, prices are levels of a band and sizes are lots; here they become the mantissas that travel.
//! Every change of the book takes one update id, every fill one trade id; neither has holes.

use wire::{Level, Quote, Side, Tick, Trade, TradingStatus};

use super::book::{Book, Change, Fill};
use super::level_set::NO_LEVEL;
use super::schedule::Chapter;

/// Ids and scales of one instrument.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    instrument: u32,
    tick_size: i64,
    lot_size: i64,
    /// Price of the band's level 0, ticks.
    floor_ticks: i64,
    /// The newest update id taken.
    update_id: u64,
    /// The newest update id a depth group spanned.
    published_id: u64,
    /// The last id of the chapter.
    last_update_id: u64,
    next_trade_id: u64,
    trades_left: u64,
    quote: Quote,
}

impl Tape {
    pub(super) const fn new(instrument: u32, tick_size: i64, lot_size: i64) -> Self {
        Self {
            instrument,
            tick_size,
            lot_size,
            floor_ticks: 0,
            update_id: 0,
            published_id: 0,
            last_update_id: 0,
            next_trade_id: 1,
            trades_left: 0,
            quote: Quote {
                bid_price: 0,
                bid_quantity: 0,
                ask_price: 0,
                ask_quantity: 0,
                update_id: 0,
            },
        }
    }

    /// A chapter begins: its ids come next, and its band begins at `floor_ticks`.
    pub(super) const fn begin(&mut self, chapter: &Chapter, floor_ticks: i64) {
        self.floor_ticks = floor_ticks;
        self.update_id = chapter.first_update_id - 1;
        self.published_id = self.update_id;
        self.last_update_id = chapter.last_update_id;
        self.next_trade_id = chapter.first_trade_id;
        self.trades_left = chapter.trades;
    }

    /// Takes an update id for a change of the book.
    pub(super) const fn updated(&mut self) {
        self.update_id += 1;
    }

    /// Whether the chapter has ids for another `count` changes and its last group.
    pub(super) const fn has_update_ids(&self, count: u64) -> bool {
        self.last_update_id - self.update_id > count
    }

    /// How many trades the chapter still has to have.
    pub(super) const fn trades_left(&self) -> u64 {
        self.trades_left
    }

    /// Price of the band's level 0, ticks.
    pub(super) const fn floor_ticks(&self) -> i64 {
        self.floor_ticks
    }

    /// One fill of a market order that took from `maker`.
    pub(super) fn trade(&mut self, out: &mut Vec<Tick>, now_ns: u64, maker: Side, fill: Fill) {
        let trade = Trade {
            price: self.price(fill.level),
            quantity: self.quantity(fill.quantity),
            trade_id: self.next_trade_id,
            ts_trade_ns: now_ns,
            buyer_is_maker: maker == Side::Bid,
        };
        self.next_trade_id += 1;
        self.trades_left -= 1;
        self.update_id += 1;
        out.push(Tick::from_trade(self.instrument, now_ns, &trade));
    }

    /// The best bid and offer, if they are not what the last quote said.
    pub(super) fn quote(&mut self, out: &mut Vec<Tick>, now_ns: u64, book: &Book) {
        let next = self.best_of(book);
        let before = Quote { update_id: next.update_id, ..self.quote };
        if next != before {
            self.quote = next;
            out.push(Tick::from_quote(self.instrument, now_ns, &next));
        }
    }

    /// The best bid and offer, whatever the last quote said.
    pub(super) fn requote(&mut self, out: &mut Vec<Tick>, now_ns: u64, book: &Book) {
        self.quote = self.best_of(book);
        self.last_quote(out, now_ns);
    }

    /// Takes the book as known to the readers, though nothing was written.
    pub(super) fn assume_told(&mut self, book: &Book) {
        self.quote = self.best_of(book);
        self.published_id = self.update_id;
    }

    /// The last quote again.
    pub(super) fn last_quote(&self, out: &mut Vec<Tick>, now_ns: u64) {
        out.push(Tick::from_quote(self.instrument, now_ns, &self.quote));
    }

    /// A depth group of these changes, up to the newest update.
    pub(super) fn depth(&mut self, out: &mut Vec<Tick>, now_ns: u64, changes: &[Level]) {
        let ids = self.published_id + 1..=self.update_id;
        Tick::push_depth(out, self.instrument, now_ns, ids, changes);
        self.published_id = self.update_id;
    }

    /// The chapter's last depth group: it spans all ids that are left.
    pub(super) fn last_depth(&mut self, out: &mut Vec<Tick>, now_ns: u64, changes: &[Level]) {
        self.update_id = self.last_update_id;
        self.depth(out, now_ns, changes);
    }

    /// A depth group that holds the whole book as of the last group, for a reader who begins here.
    pub(super) fn whole_depth(&self, out: &mut Vec<Tick>, now_ns: u64, levels: &[Level]) {
        let first = out.len();
        let ids = self.published_id..=self.published_id;
        Tick::push_depth(out, self.instrument, now_ns, ids, levels);
        out[first].flags |= wire::flags::REPLACES_BOOK;
    }

    /// A change of the trading status.
    pub(super) fn status(&self, out: &mut Vec<Tick>, now_ns: u64, status: TradingStatus) {
        out.push(Tick::from_status(self.instrument, now_ns, status));
    }

    /// A change in the mantissas that travel.
    pub(super) fn level(&self, change: Change) -> Level {
        Level {
            side: change.side,
            price: self.price(change.level),
            quantity: self.quantity(change.quantity),
        }
    }

    /// Whether the book has this price on this side.
    pub(super) fn is_on(&self, book: &Book, level: &Level) -> bool {
        let ticks = level.price / self.tick_size - self.floor_ticks;
        u16::try_from(ticks).is_ok_and(|index| {
            let best = book.best(level.side);
            let behind = match level.side {
                Side::Bid => index <= best,
                Side::Ask => index >= best,
            };
            best != NO_LEVEL && behind && book.quantity(index) > 0
        })
    }

    #[cfg(test)]
    pub(super) const fn lot_size(&self) -> i64 {
        self.lot_size
    }

    fn best_of(&self, book: &Book) -> Quote {
        let side = |side: Side| match book.best(side) {
            NO_LEVEL => (0, 0),
            level => (self.price(level), self.quantity(book.quantity(level))),
        };
        let ((bid_price, bid_quantity), (ask_price, ask_quantity)) =
            (side(Side::Bid), side(Side::Ask));
        Quote { bid_price, bid_quantity, ask_price, ask_quantity, update_id: self.update_id }
    }

    fn price(&self, level: u16) -> i64 {
        (self.floor_ticks + i64::from(level)) * self.tick_size
    }

    fn quantity(&self, lots: u32) -> i64 {
        i64::from(lots) * self.lot_size
    }
}
