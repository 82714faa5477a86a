//! The truth check: a book built from depth events against independently recorded quotes.
//!
//! The venue sends best bid and offer (bookTicker) and depth events over different streams that share
//! update ids. After a depth event that ends at update id `u`, the book's best levels must be those of
//! the last quote with an id not above `u`. That quote may arrive a little later than the event, so a
//! comparison waits until a quote with a higher id shows that no other comes in between.
//!
//! Used by `feed-sim check`, and by tests with the books that clients built.

use std::collections::VecDeque;

use wire::Quote;

/// Best bid and offer of a book, `(price, quantity)` mantissas.
pub type Best = (Option<(i64, i64)>, Option<(i64, i64)>);

/// Quotes kept to look back at, for depth events that were held until their snapshot came: at the
/// busiest the recordings have 1,400 a second.
const QUOTES_MAX: usize = 16_384;

/// Compares books and quotes of one instrument as they come.
#[derive(Debug, Default)]
pub struct Truth {
    /// Best levels after depth events, by last update id, still to be compared.
    waiting: VecDeque<(u64, Best)>,
    /// The newest quotes, by update id.
    quotes: VecDeque<Quote>,
    compared: u64,
    equal: u64,
    without_quote: u64,
    first_difference: Option<Difference>,
}

/// A book that was not as the quotes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The depth event's last update id.
    pub update_id: u64,
    /// The book's best levels after it.
    pub book: Best,
    /// What they should have been.
    pub quote: Quote,
}

impl Truth {
    /// Takes a quote; update ids rise.
    pub fn handle_quote(&mut self, quote: &Quote) {
        self.settle(quote.update_id);
        if self.quotes.len() == QUOTES_MAX {
            self.quotes.pop_front();
        }
        self.quotes.push_back(*quote);
    }

    /// Takes the book's best levels after the depth event that ends at this update id.
    pub fn handle_book(&mut self, update_id: u64, best: Best) {
        if self.quotes.back().is_some_and(|quote| quote.update_id > update_id) {
            self.compare(update_id, best);
        } else {
            self.waiting.push_back((update_id, best));
        }
    }

    /// Compares what is left: no more quotes come.
    pub fn finish(&mut self) {
        self.settle(u64::MAX);
    }

    /// Comparisons made, and how many of them were equal.
    #[must_use]
    pub const fn compared(&self) -> (u64, u64) {
        (self.compared, self.equal)
    }

    /// Depth events that could not be compared because no quote belongs to them.
    #[must_use]
    pub const fn without_quote(&self) -> u64 {
        self.without_quote
    }

    /// The first difference, if there was one.
    #[must_use]
    pub const fn first_difference(&self) -> Option<Difference> {
        self.first_difference
    }

    /// Compares everything below this update id.
    fn settle(&mut self, next_update_id: u64) {
        while let Some((update_id, best)) = self.waiting.front().copied() {
            if update_id >= next_update_id {
                break;
            }
            self.waiting.pop_front();
            self.compare(update_id, best);
        }
    }

    fn compare(&mut self, update_id: u64, book: Best) {
        let at = self.quotes.partition_point(|quote| quote.update_id <= update_id);
        let Some(&quote) = at.checked_sub(1).and_then(|at| self.quotes.get(at)) else {
            self.without_quote += 1;
            return;
        };
        self.compared += 1;
        if book == best_of(&quote) {
            self.equal += 1;
        } else {
            self.first_difference.get_or_insert(Difference { update_id, book, quote });
        }
    }
}

fn best_of(quote: &Quote) -> Best {
    let side = |price, quantity| (quantity > 0).then_some((price, quantity));
    (side(quote.bid_price, quote.bid_quantity), side(quote.ask_price, quote.ask_quantity))
}
