//! Depth groups merged into one change set: for each price the newest quantity.
//!
//! Groups are taken whole, from the first one the client misses to the newest, so that the client's
//! book after the change set is the venue's after that group. Too many changes are not merged: a
//! snapshot is shared between clients, a merge is made for one.

use wire::{DepthHead, GapReason, Side, Tick};

use super::state::At;
use super::{Collector, Flow};
use crate::log::{NOWHERE, depth_head, marks};
use crate::subscription::Mark;

/// A level change and how old it is.
#[derive(Clone, Copy, Debug)]
struct Change {
    price: i64,
    quantity: i64,
    /// Rises with each change.
    age: u32,
}

/// Memory for one merge.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    bids: Vec<Change>,
    asks: Vec<Change>,
    pub(crate) bid_levels: Vec<(i64, i64)>,
    pub(crate) ask_levels: Vec<(i64, i64)>,
}

/// What became of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// It is in the message.
    Sent,
    /// It does not fit into the message any more.
    Full,
    /// There is only one group to deliver.
    Single,
    /// There are too many changes, or one that replaces the book.
    TooBig,
}

impl Merge {
    pub(crate) fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Changes added.
    pub(crate) fn len(&self) -> usize {
        self.bids.len() + self.asks.len()
    }

    pub(crate) fn add(&mut self, ticks: &[Tick]) {
        for level in ticks.iter().flat_map(Tick::depth_levels) {
            let age = u32::try_from(self.len()).unwrap_or(u32::MAX);
            let change = Change { price: level.price, quantity: level.quantity, age };
            match level.side {
                Side::Bid => self.bids.push(change),
                Side::Ask => self.asks.push(change),
            }
        }
    }

    /// Keeps the newest change of each price, best prices first.
    pub(crate) fn reduce(&mut self) {
        self.bids.sort_unstable_by_key(|change| {
            (std::cmp::Reverse(change.price), std::cmp::Reverse(change.age))
        });
        self.asks.sort_unstable_by_key(|change| (change.price, std::cmp::Reverse(change.age)));
        self.bids.dedup_by_key(|change| change.price);
        self.asks.dedup_by_key(|change| change.price);
        let levels = |changes: &[Change], out: &mut Vec<(i64, i64)>| {
            out.clear();
            out.extend(changes.iter().map(|change| (change.price, change.quantity)));
        };
        levels(&self.bids, &mut self.bid_levels);
        levels(&self.asks, &mut self.ask_levels);
    }
}

impl Collector<'_> {
    /// Merges the groups from `first` on, which is the next one for the client, to the newest, or as
    /// far as this visit may look.
    pub(super) fn merge_groups(&mut self, at: At, topic: u32, first: u64) -> Merged {
        self.merge.clear();
        let (mut position, mut newest, mut groups) = (first, first, 0u32);
        loop {
            let entry = self.market.log.entry(position);
            if groups > 0 && entry.marks & (marks::HOLE | marks::BOOK_ONLY) != 0 {
                break;
            }
            let levels_max = self.limits.merge_levels_max;
            let ticks = self.market.log.ticks(position);
            if entry.marks & marks::REPLACES_BOOK != 0 {
                return Merged::TooBig;
            }
            self.merge.add(ticks);
            if self.merge.len() > levels_max {
                return Merged::TooBig;
            }
            (newest, groups) = (position, groups + 1);
            position = entry.next;
            if position == NOWHERE || self.look() == Flow::Full {
                break;
            }
        }
        if groups == 1 {
            return Merged::Single;
        }
        self.merge.reduce();
        self.send_merged(at, topic, first, newest)
    }

    fn send_merged(&mut self, at: At, topic: u32, first: u64, newest: u64) -> Merged {
        let progress = self.progress(at);
        let levels = self.merge.bid_levels.len() + self.merge.ask_levels.len();
        let per_level = self.message.format.level_bytes();
        if self.room(256 + levels * per_level + self.message.gap_bytes()) == Flow::Full {
            return Merged::Full;
        }
        let (first_update_id, _) = self.market.log.ticks(first)[0].update_ids();
        let last = self.market.log.ticks(newest);
        let head = DepthHead { first_update_id, ..depth_head(&last[last.len() - 1]) };
        self.skip_to(topic, progress, head.seq, GapReason::Conflated);
        let (bids, asks) = (
            std::mem::take(&mut self.merge.bid_levels),
            std::mem::take(&mut self.merge.ask_levels),
        );
        self.deliver(at, topic, |out, format, market| {
            format.merged_depth(out, &head, &bids, &asks, market.definition(topic));
        });
        (self.merge.bid_levels, self.merge.ask_levels) = (bids, asks);
        self.tally.deliveries += 1;
        self.tally.merges += 1;
        self.set(at, progress.with_seq(head.seq).without(Mark::Resumed), newest);
        Merged::Sent
    }
}

#[cfg(test)]
mod tests {
    use wire::Level;

    use super::*;

    #[test]
    fn the_newest_quantity_of_each_price_remains() {
        let mut merge = Merge::default();
        let mut group = |levels: &[(Side, i64, i64)]| {
            let levels: Vec<Level> = levels
                .iter()
                .map(|&(side, price, quantity)| Level { side, price, quantity })
                .collect();
            let mut ticks = Vec::new();
            Tick::push_depth(&mut ticks, 0, 0, 1..=1, &levels);
            merge.add(&ticks);
        };
        group(&[(Side::Bid, 100, 5), (Side::Ask, 102, 1), (Side::Bid, 99, 7)]);
        group(&[(Side::Bid, 100, 0), (Side::Ask, 101, 4)]);
        group(&[(Side::Bid, 100, 2), (Side::Ask, 102, 0)]);
        merge.reduce();
        assert_eq!(merge.bid_levels, [(100, 2), (99, 7)]);
        assert_eq!(merge.ask_levels, [(101, 4), (102, 0)]);
    }
}
