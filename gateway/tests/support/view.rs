//! What a subscriber of the binary protocol knows: built only from what it was sent, and checked on the
//! way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wire::sbe::{self, Message as Event};
use wire::{Book, FeedState, Level, Side};

use super::ledger::Ledger;
use super::process::PATIENCE;
use super::subscriber::{Message, Subscriber};

/// What a subscriber knows, built only from what it was sent.
#[derive(Default)]
pub struct View {
    /// Sequence numbers.
    pub ledger: Ledger,
    /// The epoch; 0: none yet.
    pub epoch: u64,
    /// Symbols by id.
    pub symbols: BTreeMap<u32, String>,
    /// What became of the feed, with the epoch.
    pub states: Vec<(FeedState, u64)>,
    /// The book now.
    pub book: Book,
    /// The book after each depth number, as text: all levels, best first.
    pub books: BTreeMap<u64, String>,
    /// How many trades there were.
    pub trades: u64,
}

impl View {
    /// Enters events until `enough` says so. Panics if the connection ends first, or nothing comes.
    pub fn follow(&mut self, subscriber: &mut Subscriber, mut enough: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !enough(self) {
            assert!(Instant::now() < deadline, "{PATIENCE:?} were not enough: {:?}", self.ledger);
            match subscriber.next(Duration::from_secs(60)) {
                Some(Message::Binary(bytes)) => self.enter(&bytes),
                Some(Message::Text(_)) => {}
                other => panic!("the stream stopped: {other:?}"),
            }
        }
    }

    /// Enters a binary message.
    pub fn enter(&mut self, bytes: &[u8]) {
        for event in sbe::decode(bytes) {
            let event = event.expect("the gateway's messages decode");
            if let Event::FeedStatus { state, epoch, .. } = event {
                self.states.push((state, epoch));
                if epoch != self.epoch {
                    self.ledger.clear();
                    self.symbols.clear();
                    self.epoch = epoch;
                }
            }
            if let Event::Definition { instrument, epoch } = &event {
                if *epoch != self.epoch {
                    assert_eq!(self.epoch, 0, "a new epoch is announced before its definitions");
                    self.epoch = *epoch;
                }
                self.symbols.insert(instrument.id, instrument.symbol.to_string());
            }
            if let Some(head) = event.head() {
                assert!(self.symbols.contains_key(&head.instrument), "defined before first use");
            }
            self.ledger.enter(&event);
            match event {
                Event::Trade(..) => self.trades += 1,
                Event::DepthSnapshot(part) => {
                    if part.part.is_first() {
                        self.book.clear();
                    }
                    self.change(part.bids, part.asks);
                    if part.part.is_last() {
                        self.books.insert(part.head.seq, self.book_text());
                    }
                }
                Event::DepthUpdate(update) => {
                    if update.replaces_book {
                        self.book.clear();
                    }
                    self.change(update.bids, update.asks);
                    self.books.insert(update.head.seq, self.book_text());
                }
                _ => {}
            }
        }
    }

    fn change(
        &mut self,
        bids: impl Iterator<Item = (i64, i64)>,
        asks: impl Iterator<Item = (i64, i64)>,
    ) {
        let bids = bids.map(|(price, quantity)| Level { side: Side::Bid, price, quantity });
        let asks = asks.map(|(price, quantity)| Level { side: Side::Ask, price, quantity });
        for level in bids.chain(asks) {
            self.book.apply(&level);
        }
        assert!(!self.book.is_crossed(), "books never cross");
    }

    /// The book as text: all levels, best first.
    pub fn book_text(&self) -> String {
        let side = |side| self.book.levels(side).collect::<Vec<_>>();
        format!("{:?} {:?}", side(Side::Bid), side(Side::Ask))
    }

    /// The id of a symbol.
    pub fn instrument(&self, symbol: &str) -> u32 {
        let found = self.symbols.iter().find(|(_, name)| *name == symbol);
        *found.unwrap_or_else(|| panic!("{symbol} is not among {:?}", self.symbols)).0
    }
}

/// Books that both saw at the same number must be equal, level by level.
pub fn assert_same_books(one: &View, other: &View) {
    let mut compared = 0;
    for (seq, book) in &one.books {
        if let Some(same) = other.books.get(seq) {
            assert_eq!(book, same, "books at number {seq}");
            compared += 1;
        }
    }
    assert!(compared > 5, "only {compared} numbers were seen by both");
}
