//! The book of one instrument, built from snapshots and changes.
//!
//! Feed it every event; it picks those of its instrument's `depth`. It never guesses: a change that
//! does not follow what it has makes it wait for the snapshot that the server then sends.

use wire::{Channel, GapReason, Side, Symbol};

use crate::decimal::Decimal;
use crate::event::{Depth, DepthSnapshot, Event, Level, Levels};

/// An order book.
#[derive(Clone, Debug)]
pub struct Book {
    symbol: Symbol,
    levels: wire::Book,
    price_exponent: i8,
    quantity_exponent: i8,
    state: BookState,
    seq: u64,
    epoch: u64,
}

/// Whether a book can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookState {
    /// Not yet: a snapshot is to come, or its last part.
    Waiting,
    /// It is as the server had it at [`Book::seq`].
    Ready,
}

impl Book {
    /// The book of this instrument, with nothing in it yet.
    #[must_use]
    pub const fn new(symbol: Symbol) -> Self {
        Self {
            symbol,
            levels: wire::Book::new(),
            price_exponent: 0,
            quantity_exponent: 0,
            state: BookState::Waiting,
            seq: 0,
            epoch: 0,
        }
    }

    /// Takes an event, and says whether the book was changed by it and can be used.
    pub fn apply(&mut self, event: &Event) -> bool {
        match event {
            Event::DepthSnapshot(snapshot) if snapshot.origin.symbol == self.symbol => {
                self.replace(snapshot)
            }
            Event::Depth(depth) if depth.origin.symbol == self.symbol => self.change(depth),
            Event::Gap(gap) if gap.symbol == self.symbol && gap.channel == Channel::Depth => {
                // What is conflated comes merged, and follows; anything else is gone.
                if gap.reason == GapReason::Conflated && gap.first_seq == self.seq + 1 {
                    self.seq = gap.last_seq();
                } else {
                    self.state = BookState::Waiting;
                }
                false
            }
            Event::Connected(connected) => self.enter(connected.epoch),
            Event::FeedStatus { epoch, .. } => self.enter(*epoch),
            _ => false,
        }
    }

    /// Numbers of another epoch do not follow ours.
    const fn enter(&mut self, epoch: u64) -> bool {
        if epoch != 0 && epoch != self.epoch {
            self.epoch = epoch;
            self.state = BookState::Waiting;
        }
        false
    }

    fn replace(&mut self, snapshot: &DepthSnapshot) -> bool {
        if snapshot.part.is_first() {
            self.levels.clear();
            self.state = BookState::Waiting;
        }
        self.set(&snapshot.bids, &snapshot.asks);
        self.seq = snapshot.origin.seq;
        if snapshot.part.is_last() {
            self.state = BookState::Ready;
        }
        self.state == BookState::Ready
    }

    fn change(&mut self, depth: &Depth) -> bool {
        if depth.replaces_book {
            self.levels.clear();
            self.state = BookState::Ready;
        } else if depth.origin.seq != self.seq + 1 {
            self.state = BookState::Waiting;
        }
        if self.state == BookState::Waiting {
            return false;
        }
        self.set(&depth.bids, &depth.asks);
        self.seq = depth.origin.seq;
        true
    }

    fn set(&mut self, bids: &Levels, asks: &Levels) {
        self.price_exponent = bids.price_exponent;
        self.quantity_exponent = bids.quantity_exponent;
        for (side, levels) in [(Side::Bid, bids), (Side::Ask, asks)] {
            for &(price, quantity) in levels.mantissas() {
                self.levels.apply(&wire::Level { side, price, quantity });
            }
        }
    }

    /// Whether it can be used.
    #[must_use]
    pub const fn state(&self) -> BookState {
        self.state
    }

    /// The number of the last change contained.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl ExactSizeIterator<Item = Level> + '_ {
        self.levels.levels(side).map(|level| self.level(level))
    }

    /// The best level of a side.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.levels.best(side).map(|level| self.level(level))
    }

    const fn level(&self, (price, quantity): (i64, i64)) -> Level {
        Level {
            price: Decimal::new(price, self.price_exponent),
            quantity: Decimal::new(quantity, self.quantity_exponent),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use wire::SnapshotPart;

    use super::*;
    use crate::ledger::tests::{gap, origin};

    fn levels(mantissas: &[(i64, i64)]) -> Levels {
        Levels { price_exponent: -2, quantity_exponent: 0, mantissas: mantissas.to_vec() }
    }

    pub(crate) fn snapshot(
        seq: u64,
        part: SnapshotPart,
        bids: &[(i64, i64)],
        asks: &[(i64, i64)],
    ) -> Event {
        Event::DepthSnapshot(DepthSnapshot {
            origin: origin(Channel::Depth, seq),
            part,
            update_id: 0,
            bids: levels(bids),
            asks: levels(asks),
        })
    }

    pub(crate) fn change(seq: u64, bids: &[(i64, i64)]) -> Event {
        Event::Depth(Depth {
            origin: origin(Channel::Depth, seq),
            first_update_id: 0,
            last_update_id: 0,
            is_merged: false,
            replaces_book: false,
            bids: levels(bids),
            asks: levels(&[]),
        })
    }

    fn best(book: &Book) -> String {
        book.best(Side::Bid).map(|bid| bid.price.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_book_follows_snapshots_and_changes() {
        let mut book = Book::new(Symbol::new("BTCUSDT").unwrap());
        assert!(!book.apply(&change(4, &[(100, 1)])), "nothing to change yet");
        assert!(!book.apply(&snapshot(5, SnapshotPart::First, &[(100, 1)], &[])));
        assert!(book.apply(&snapshot(5, SnapshotPart::Last, &[], &[(103, 1)])));
        assert!(book.apply(&change(6, &[(101, 2), (100, 0)])));
        assert_eq!((best(&book), book.levels(Side::Bid).len(), book.seq()), ("1.01".into(), 1, 6));
        assert!(!book.apply(&gap(Channel::Depth, GapReason::Conflated, 7, 2)));
        assert!(book.apply(&change(9, &[(102, 1)])), "merged changes follow their gap");
        assert_eq!(best(&book), "1.02");
    }

    #[test]
    fn a_book_with_a_hole_waits_for_a_snapshot() {
        let mut book = Book::new(Symbol::new("BTCUSDT").unwrap());
        assert!(book.apply(&snapshot(5, SnapshotPart::Whole, &[(100, 1)], &[])));
        assert!(!book.apply(&gap(Channel::Depth, GapReason::Lapped, 6, 1)));
        assert!(!book.apply(&change(7, &[(101, 1)])));
        assert_eq!(book.state(), BookState::Waiting);
        assert!(book.apply(&snapshot(8, SnapshotPart::Whole, &[(99, 1)], &[])));
        assert!(!book.apply(&change(10, &[(101, 1)])), "9 is missing, whoever is to blame");
        assert_eq!(book.state(), BookState::Waiting);
    }
}
