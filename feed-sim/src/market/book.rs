//! The venue's limit order book: orders in price-time priority on a grid of price levels.
//!
//! Not [`wire::Book`], which is what a reader has: levels without orders. This one is a fixed band of
//! levels indexed by tick, each with a queue of orders, and two sets of levels: those that have
//! orders, and those that changed since the last depth group. Nothing is allocated after creation.
//!
//! Invariants: the best bid is below the best ask; every level from the best bid down is a bid, every
//! level from the best ask up an ask; a level's quantity is the sum of its orders'; the live orders
//! are exactly those in queues.

use wire::Side;

use super::level_set::{LevelSet, NO_LEVEL};

/// No order.
const NO_ORDER: u16 = u16::MAX;

/// The most a level can hold, in lots: half of what fits, so that a sum of two never wraps.
const LEVEL_QUANTITY_MAX: u32 = 1 << 30;

/// One resting order, a link of its level's queue.
#[derive(Clone, Copy, Debug)]
struct Order {
    /// The order behind it at its price; of a free slot: the next free one.
    next: u16,
    /// The order before it.
    previous: u16,
    /// Where it rests; [`NO_LEVEL`] if the slot is free.
    level: u16,
    /// What is left of it, lots.
    quantity: u32,
}

/// One price: a queue of orders, oldest first.
#[derive(Clone, Copy, Debug)]
struct Level {
    head: u16,
    tail: u16,
    /// The sum of the orders, lots.
    quantity: u32,
    /// What the last depth group said of this level: lots, and the side in the lowest bit.
    published: u32,
}

const EMPTY_LEVEL: Level = Level { head: NO_ORDER, tail: NO_ORDER, quantity: 0, published: 0 };

/// A part of a market order that met one resting order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fill {
    pub(super) level: u16,
    pub(super) quantity: u32,
}

/// A level's change as a depth group tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) side: Side,
    pub(super) level: u16,
    /// Lots; 0: the level is gone.
    pub(super) quantity: u32,
}

/// Orders and levels of one instrument.
#[derive(Clone, Debug)]
pub(super) struct Book {
    levels: Box<[Level]>,
    orders: Box<[Order]>,
    free: u16,
    occupied: LevelSet,
    changed: LevelSet,
    best_bid: u16,
    best_ask: u16,
}

impl Book {
    /// An empty book of `levels` prices and room for `orders`; both under 65,535.
    pub(super) fn new(levels: u16, orders: u16) -> Self {
        let free = Order { next: NO_ORDER, previous: NO_ORDER, level: NO_LEVEL, quantity: 0 };
        let mut book = Self {
            levels: vec![EMPTY_LEVEL; usize::from(levels)].into_boxed_slice(),
            orders: vec![free; usize::from(orders)].into_boxed_slice(),
            free: NO_ORDER,
            occupied: LevelSet::new(levels),
            changed: LevelSet::new(levels),
            best_bid: NO_LEVEL,
            best_ask: NO_LEVEL,
        };
        book.clear();
        book
    }

    /// Forgets everything, published state included.
    pub(super) fn clear(&mut self) {
        self.levels.fill(EMPTY_LEVEL);
        self.occupied.clear();
        self.changed.clear();
        (self.best_bid, self.best_ask) = (NO_LEVEL, NO_LEVEL);
        self.free = NO_ORDER;
        let last = u16::try_from(self.orders.len()).unwrap_or(NO_ORDER);
        for (index, order) in (0..last).zip(self.orders.iter_mut()).rev() {
            *order = Order { next: self.free, previous: NO_ORDER, level: NO_LEVEL, quantity: 0 };
            self.free = index;
        }
    }

    /// How many orders can rest at once.
    pub(super) fn room(&self) -> usize {
        self.orders.len()
    }

    /// The best level of a side, or [`NO_LEVEL`].
    pub(super) const fn best(&self, side: Side) -> u16 {
        match side {
            Side::Bid => self.best_bid,
            Side::Ask => self.best_ask,
        }
    }

    /// Lots at a level.
    pub(super) fn quantity(&self, level: u16) -> u32 {
        self.levels.get(usize::from(level)).map_or(0, |level| level.quantity)
    }

    /// Rests an order at the end of its level's queue. It must not reach the other side: a limit
    /// order that would, trades first. Does nothing (and says so) if there is no room.
    pub(super) fn rest(&mut self, side: Side, level: u16, quantity: u32) -> bool {
        debug_assert!(quantity > 0, "an order has a quantity");
        debug_assert!(self.is_free_for(side, level), "a resting order must not cross");
        let index = self.free;
        let Some(queue) = self.levels.get_mut(usize::from(level)) else { return false };
        if index == NO_ORDER || queue.quantity + quantity > LEVEL_QUANTITY_MAX {
            return false;
        }
        let order = &mut self.orders[usize::from(index)];
        self.free = order.next;
        *order = Order { next: NO_ORDER, previous: queue.tail, level, quantity };
        let previous = queue.tail;
        queue.tail = index;
        queue.quantity += quantity;
        if previous == NO_ORDER {
            queue.head = index;
            self.occupied.insert(level);
            match side {
                Side::Bid if self.best_bid == NO_LEVEL || level > self.best_bid => {
                    self.best_bid = level;
                }
                Side::Ask if self.best_ask == NO_LEVEL || level < self.best_ask => {
                    self.best_ask = level;
                }
                Side::Bid | Side::Ask => {}
            }
        } else {
            self.orders[usize::from(previous)].next = index;
        }
        self.changed.insert(level);
        true
    }

    /// Matches up to `quantity` lots against the oldest order at the best level of `side`, if that is
    /// within `limit`. A market order is a loop of these.
    pub(super) fn fill(&mut self, side: Side, quantity: u32, limit: u16) -> Option<Fill> {
        let level = self.best(side);
        let reached = match side {
            Side::Bid => level >= limit,
            Side::Ask => level <= limit,
        };
        if level == NO_LEVEL || !reached || quantity == 0 {
            return None;
        }
        let head = self.levels[usize::from(level)].head;
        let filled = quantity.min(self.orders[usize::from(head)].quantity);
        self.shrink(head, filled);
        Some(Fill { level, quantity: filled })
    }

    /// Cancels the youngest order at a level; its whole quantity goes. Says whether there was one.
    pub(super) fn cancel_youngest(&mut self, level: u16) -> bool {
        let Some(queue) = self.levels.get(usize::from(level)) else { return false };
        let tail = queue.tail;
        if tail == NO_ORDER {
            return false;
        }
        self.shrink(tail, self.orders[usize::from(tail)].quantity);
        true
    }

    /// Takes a part off the oldest order at a level, which keeps its place, as an amendment does.
    /// Says whether there was one that could lose that much and still stand.
    pub(super) fn amend_oldest(&mut self, level: u16, part: u32) -> bool {
        let Some(queue) = self.levels.get(usize::from(level)) else { return false };
        let head = queue.head;
        if head == NO_ORDER || self.orders[usize::from(head)].quantity <= part || part == 0 {
            return false;
        }
        self.shrink(head, part);
        true
    }

    /// The level at or behind this one on the same side, or [`NO_LEVEL`].
    pub(super) fn next_behind(&self, side: Side, level: u16) -> u16 {
        match side {
            Side::Bid => self.occupied.at_or_below(level),
            Side::Ask => self.occupied.at_or_above(level),
        }
    }

    /// Hands every level that changed since the last call to `tell`, from the lowest up. A level that
    /// changed sides is told twice: gone here, there now.
    pub(super) fn publish_changes(&mut self, mut tell: impl FnMut(Change)) {
        let (levels, best_bid) = (&mut self.levels, self.best_bid);
        self.changed.drain(|level| {
            let known = &mut levels[usize::from(level)];
            let side = side_of(best_bid, level);
            let (was, before) = (side_told(known.published), known.published >> 1);
            if was != side && before != 0 {
                tell(Change { side: was, level, quantity: 0 });
            }
            let before = if was == side { before } else { 0 };
            if before != known.quantity {
                tell(Change { side, level, quantity: known.quantity });
            }
            known.published = known.quantity << 1 | u32::from(side == Side::Ask);
        });
    }

    /// The levels as the last depth group left them, from the lowest up.
    pub(super) fn published(&self, mut tell: impl FnMut(Change)) {
        // A level that was told of has orders now or has changed since.
        let above = |from| self.occupied.at_or_above(from).min(self.changed.at_or_above(from));
        let mut level = above(0);
        while level != NO_LEVEL {
            let known = self.levels[usize::from(level)].published;
            if known >> 1 != 0 {
                tell(Change { side: side_told(known), level, quantity: known >> 1 });
            }
            level = above(level + 1);
        }
    }

    fn is_free_for(&self, side: Side, level: u16) -> bool {
        match side {
            Side::Bid => level < self.best_ask,
            Side::Ask => self.best_bid == NO_LEVEL || level > self.best_bid,
        }
    }

    fn shrink(&mut self, index: u16, by: u32) {
        let order = &mut self.orders[usize::from(index)];
        let Order { next, previous, level, .. } = *order;
        order.quantity -= by;
        let gone = order.quantity == 0;
        let queue = &mut self.levels[usize::from(level)];
        queue.quantity -= by;
        self.changed.insert(level);
        if !gone {
            return;
        }
        order.level = NO_LEVEL;
        order.next = self.free;
        self.free = index;
        if previous == NO_ORDER {
            queue.head = next;
        } else {
            self.orders[usize::from(previous)].next = next;
        }
        if next == NO_ORDER {
            queue.tail = previous;
        } else {
            self.orders[usize::from(next)].previous = previous;
        }
        if queue.head == NO_ORDER {
            self.occupied.remove(level);
            self.leave(level);
        }
    }

    /// Finds the next best level after this one emptied.
    fn leave(&mut self, level: u16) {
        if level == self.best_bid {
            self.best_bid = self.occupied.at_or_below(level);
        } else if level == self.best_ask {
            self.best_ask = self.occupied.at_or_above(level);
        }
    }
}

/// The side a level is on. Where nothing rests it does not matter: its quantity is 0.
const fn side_of(best_bid: u16, level: u16) -> Side {
    if best_bid != NO_LEVEL && level <= best_bid { Side::Bid } else { Side::Ask }
}

/// The side that was published with a level.
const fn side_told(published: u32) -> Side {
    if published & 1 == 0 { Side::Bid } else { Side::Ask }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;
    use crate::market::random::Dice;

    const LEVELS: u16 = 300;

    /// The same book in the plainest way: a queue of quantities per level.
    #[derive(Default)]
    struct Plain {
        bids: BTreeMap<u16, VecDeque<u32>>,
        asks: BTreeMap<u16, VecDeque<u32>>,
    }

    impl Plain {
        fn side(&mut self, side: Side) -> &mut BTreeMap<u16, VecDeque<u32>> {
            match side {
                Side::Bid => &mut self.bids,
                Side::Ask => &mut self.asks,
            }
        }

        fn best(&mut self, side: Side) -> u16 {
            let best = match side {
                Side::Bid => self.bids.keys().next_back(),
                Side::Ask => self.asks.keys().next(),
            };
            best.copied().unwrap_or(NO_LEVEL)
        }

        fn take(&mut self, side: Side, level: u16, from_front: bool, lots: u32) -> u32 {
            let queue = self.side(side).get_mut(&level).expect("has orders");
            let index = if from_front { 0 } else { queue.len() - 1 };
            let taken = lots.min(queue[index]);
            queue[index] -= taken;
            if queue[index] == 0 {
                queue.remove(index);
            }
            if queue.is_empty() {
                self.side(side).remove(&level);
            }
            taken
        }

        fn quantity(&self, level: u16) -> u32 {
            let queue = self.bids.get(&level).or_else(|| self.asks.get(&level));
            queue.map_or(0, |queue| queue.iter().sum())
        }
    }

    /// Random orders, cancellations, amendments and fills to both; a reader follows the changes.
    #[test]
    fn it_agrees_with_the_plainest_book_and_tells_every_change() {
        let (mut book, mut plain) = (Book::new(LEVELS, 400), Plain::default());
        let mut told: BTreeMap<(u16, bool), u32> = BTreeMap::new();
        let mut dice = Dice::new(11);
        for step in 0..60_000 {
            let side = if dice.below(2) == 0 { Side::Bid } else { Side::Ask };
            let best = book.best(side);
            // The middle wanders, so that levels change sides.
            let middle = 150 + u16::try_from((step / 40) % 100).unwrap() - 50;
            let distance = 1 + u16::try_from(dice.below(40)).unwrap();
            let lots = 1 + dice.below(50);
            match dice.below(6) {
                0..=2 => {
                    let wanted =
                        if side == Side::Bid { middle - distance } else { middle + distance };
                    let level = match side {
                        Side::Bid if book.best(Side::Ask) <= wanted => continue,
                        Side::Ask
                            if book.best(Side::Bid) != NO_LEVEL
                                && book.best(Side::Bid) >= wanted =>
                        {
                            continue;
                        }
                        _ => wanted,
                    };
                    if book.rest(side, level, lots) {
                        plain.side(side).entry(level).or_default().push_back(lots);
                    }
                }
                3 if best != NO_LEVEL => {
                    let fill = book.fill(side, lots, best).expect("somebody rests there");
                    assert_eq!(fill.quantity, plain.take(side, best, true, lots));
                }
                4 => {
                    let level = book.next_behind(side, middle);
                    let side = if level <= book.best(Side::Bid) && book.best(Side::Bid) != NO_LEVEL
                    {
                        Side::Bid
                    } else {
                        Side::Ask
                    };
                    if book.cancel_youngest(level) {
                        plain.take(side, level, false, u32::MAX);
                    }
                }
                _ => {
                    if book.amend_oldest(best, lots) {
                        assert_eq!(plain.take(side, best, true, lots), lots);
                    }
                }
            }
            assert_eq!(book.best(Side::Bid), plain.best(Side::Bid));
            assert_eq!(book.best(Side::Ask), plain.best(Side::Ask));
            if step % 50 == 0 {
                book.publish_changes(|change| {
                    let key = (change.level, change.side == Side::Ask);
                    match change.quantity {
                        0 => assert!(told.remove(&key).is_some(), "gone though never told"),
                        quantity => assert_ne!(told.insert(key, quantity), Some(quantity)),
                    }
                });
                let levels = (0..LEVELS).filter(|&level| plain.quantity(level) > 0);
                let truth: Vec<((u16, bool), u32)> =
                    levels.map(|l| ((l, plain.asks.contains_key(&l)), plain.quantity(l))).collect();
                assert!(told.iter().map(|(&key, &lots)| (key, lots)).eq(truth));
                let mut published = Vec::new();
                book.published(|c| published.push(((c.level, c.side == Side::Ask), c.quantity)));
                assert!(told.iter().map(|(&key, &lots)| (key, lots)).eq(published));
            }
        }
    }

    #[test]
    fn a_full_book_refuses_orders_and_stays_whole() {
        let mut book = Book::new(10, 3);
        assert!(
            book.rest(Side::Bid, 3, 5) && book.rest(Side::Bid, 3, 6) && book.rest(Side::Ask, 5, 7)
        );
        assert!(!book.rest(Side::Ask, 6, 1), "there is no room for a fourth");
        assert_eq!((book.quantity(3), book.quantity(5), book.quantity(6)), (11, 7, 0));
        assert_eq!(book.fill(Side::Bid, 100, 3), Some(Fill { level: 3, quantity: 5 }));
        assert!(book.rest(Side::Ask, 6, 1), "a filled order's place is free again");
    }
}
