//! An instrument's book in a shard: its levels, the number of the last depth group in it, whether it
//! can be trusted, and its encoded snapshots while somebody may still want the same one.
//!
//! A book is *sound* while every group up to its number is in it. A hole in the numbers makes it
//! unsound; only an image or a group that replaces the book makes it sound again. When the ring laps
//! the shard a book is *doubtful*: the next group, or an image, tells whether something is missing.

use std::cell::Cell;
use std::rc::Rc;

use wire::{
    Book, DepthHead, Encoding, Instrument, InstrumentImage, Side, SnapshotPart, Tick, flags,
};

use crate::format::Format;
use crate::log::depth_head;

/// What applying a group did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// The book has it now.
    Yes,
    /// The book, from an image, is ahead of it.
    Ahead,
    /// The book was unsound before.
    Unsound,
    /// The book became unsound with this group.
    Broke,
}

/// Whether a book can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Soundness {
    /// It has every group up to its number.
    Sound,
    /// Groups may have been missed after its number.
    Doubtful,
    /// Groups are missing; the levels are gone.
    Unsound,
}

/// Book, number, soundness, snapshots.
#[derive(Debug)]
pub(crate) struct BookState {
    pub(crate) levels: Book,
    /// The newest group in the book; `seq` 0: none in this epoch.
    pub(crate) head: DepthHead,
    pub(crate) soundness: Soundness,
    snapshots: [Option<Rc<Snapshot>>; 2],
}

const NO_GROUP: DepthHead = DepthHead {
    ts_event_ns: 0,
    seq: 0,
    instrument: 0,
    ring_delay_ns: 0,
    first_update_id: 0,
    last_update_id: 0,
};

impl Default for BookState {
    fn default() -> Self {
        // Before the first group every book is empty, and that is sound.
        Self {
            levels: Book::new(),
            head: NO_GROUP,
            soundness: Soundness::Sound,
            snapshots: [None, None],
        }
    }
}

impl BookState {
    /// An epoch began.
    pub(crate) fn reset(&mut self) {
        self.levels.clear();
        self.head = NO_GROUP;
        self.soundness = Soundness::Sound;
        self.snapshots = [None, None];
    }

    /// The book's number if it is sound and not the empty book before the first group.
    pub(crate) fn seq(&self) -> Option<u64> {
        (self.soundness == Soundness::Sound && self.head.seq > 0).then_some(self.head.seq)
    }

    /// Whether no group came yet in this epoch, so that the first one will begin it.
    pub(crate) fn is_unborn(&self) -> bool {
        self.soundness == Soundness::Sound && self.head.seq == 0
    }

    /// Applies a whole group.
    pub(crate) fn apply(&mut self, group: &[Tick], levels_max: usize) -> Applied {
        let first = &group[0];
        if first.seq <= self.head.seq {
            return Applied::Ahead;
        }
        let replaces = first.flags & flags::REPLACES_BOOK != 0;
        if replaces {
            self.levels.clear();
        } else if self.soundness == Soundness::Unsound {
            return Applied::Unsound;
        } else if first.seq != self.head.seq + 1 {
            self.break_off();
            return Applied::Broke;
        }
        self.soundness = Soundness::Sound;
        self.snapshots = [None, None];
        for level in group.iter().flat_map(Tick::depth_levels) {
            self.levels.apply(&level);
        }
        self.head = DepthHead { first_update_id: 0, ..depth_head(&group[group.len() - 1]) };
        if self.levels.len(Side::Bid).max(self.levels.len(Side::Ask)) > levels_max {
            self.break_off();
            return Applied::Broke;
        }
        Applied::Yes
    }

    /// The ring lapped the shard.
    pub(crate) fn doubt(&mut self) {
        if self.soundness == Soundness::Sound {
            self.soundness = Soundness::Doubtful;
        }
    }

    /// The book can no longer be trusted.
    pub(crate) fn break_off(&mut self) {
        self.soundness = Soundness::Unsound;
        self.levels.clear();
        self.snapshots = [None, None];
    }

    /// Takes over an image's book if it helps: if it is newer. Says whether it did.
    pub(crate) fn load(&mut self, image: &InstrumentImage, levels_max: usize) -> bool {
        let same_helps = self.soundness != Soundness::Sound && image.depth_seq == self.head.seq;
        let is_newer = image.depth_seq > self.head.seq || same_helps;
        if !is_newer || image.bids.len().max(image.asks.len()) > levels_max {
            return false;
        }
        self.levels.clear();
        let sides = [(Side::Bid, &image.bids), (Side::Ask, &image.asks)];
        for (side, levels) in sides {
            // Worst first: every level is then inserted at the end.
            for &(price, quantity) in levels.iter().rev() {
                self.levels.apply(&wire::Level { side, price, quantity });
            }
        }
        self.head = DepthHead {
            ts_event_ns: image.ts_event_ns,
            seq: image.depth_seq,
            instrument: image.definition.id,
            ring_delay_ns: 0,
            first_update_id: 0,
            last_update_id: image.update_id,
        };
        self.soundness = Soundness::Sound;
        self.snapshots = [None, None];
        true
    }

    /// The encoded snapshot, if it is there already.
    pub(crate) fn cached(&self, encoding: Encoding) -> Option<Rc<Snapshot>> {
        self.snapshots[encoding.index()].clone()
    }

    /// Keeps no encoded snapshot any more.
    pub(crate) fn forget_cached(&mut self) {
        self.snapshots = [None, None];
    }

    /// Encodes the snapshot, to be shared by all who want it until the book changes.
    pub(crate) fn encode(
        &mut self,
        encoding: Encoding,
        instrument: &Instrument,
        visit_bytes: usize,
        meter: &Rc<Cell<usize>>,
    ) -> Rc<Snapshot> {
        let part_levels = (visit_bytes / 2 / Format::from(encoding).level_bytes()).max(2);
        let bids: Vec<_> = self.levels.levels(Side::Bid).collect();
        let asks: Vec<_> = self.levels.levels(Side::Ask).collect();
        // A part takes half a visit, and finds room beside other messages.
        let parts_len = (bids.len() + asks.len()).div_ceil(part_levels).max(1);
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(parts_len));
        let (mut bids_left, mut asks_left) = (&bids[..], &asks[..]);
        for part in 1..=parts_len {
            // Both sides advance together, so that the first part shows a market.
            let bids_now = (part_levels / 2).max(part_levels.saturating_sub(asks_left.len()));
            let (bids_part, rest) = bids_left.split_at(bids_now.min(bids_left.len()));
            bids_left = rest;
            let asks_now = part_levels - bids_part.len();
            let (asks_part, rest) = asks_left.split_at(asks_now.min(asks_left.len()));
            asks_left = rest;
            let which = SnapshotPart::from_ends(part == 1, part == parts_len);
            encoding
                .depth_snapshot(&mut bytes, &self.head, which, bids_part, asks_part, instrument);
            ends.push(bytes.len());
        }
        debug_assert!(bids_left.is_empty() && asks_left.is_empty());
        let snapshot = Rc::new(Snapshot::new(self.head.seq, bytes, ends, meter));
        self.snapshots[encoding.index()] = Some(Rc::clone(&snapshot));
        snapshot
    }
}

/// A whole book, encoded, in parts of a visit's size.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) seq: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The bytes of all snapshots of the shard that exist.
    meter: Rc<Cell<usize>>,
}

impl Snapshot {
    fn new(seq: u64, bytes: Vec<u8>, ends: Vec<usize>, meter: &Rc<Cell<usize>>) -> Self {
        meter.set(meter.get() + bytes.len());
        Self { seq, bytes, ends, meter: Rc::clone(meter) }
    }

    pub(crate) fn parts(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn part(&self, part: usize) -> &[u8] {
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[part]]
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.meter.set(self.meter.get() - self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use wire::{Level, Symbol};

    use super::*;

    fn group(seq: u64, levels: &[Level], extra: u8) -> Vec<Tick> {
        let mut ticks = Vec::new();
        Tick::push_depth(&mut ticks, 0, 0, seq..=seq, levels);
        ticks.iter_mut().for_each(|tick| {
            tick.seq = seq;
            tick.flags |= extra;
        });
        ticks
    }

    fn bid(price: i64) -> Level {
        Level { side: Side::Bid, price, quantity: 1 }
    }

    #[test]
    fn a_hole_makes_a_book_unsound_until_it_is_replaced() {
        let mut book = BookState::default();
        assert_eq!(book.apply(&group(1, &[bid(5)], 0), 10), Applied::Yes);
        assert_eq!(book.apply(&group(1, &[bid(5)], 0), 10), Applied::Ahead);
        assert_eq!(book.apply(&group(3, &[bid(6)], 0), 10), Applied::Broke);
        assert_eq!(book.apply(&group(4, &[bid(6)], 0), 10), Applied::Unsound);
        assert_eq!(book.seq(), None);
        assert_eq!(book.apply(&group(5, &[bid(7)], flags::REPLACES_BOOK), 10), Applied::Yes);
        assert_eq!((book.seq(), book.levels.len(Side::Bid)), (Some(5), 1));
        let many: Vec<_> = (0..11).map(bid).collect();
        assert_eq!(book.apply(&group(6, &many, 0), 10), Applied::Broke);
    }

    #[test]
    fn snapshots_are_parts_of_all_levels_and_are_metered() {
        let instrument = Instrument {
            id: 0,
            symbol: Symbol::new("A").unwrap(),
            base_len: 0,
            price_exponent: 0,
            quantity_exponent: 0,
            tick_size: 0,
            lot_size: 0,
            channels: 0,
        };
        for (bids, asks) in [(0, 0), (1, 0), (2000, 3), (3, 2000), (700, 700), (256, 256)] {
            let meter = Rc::new(Cell::new(0));
            let mut book = BookState::default();
            let mut levels: Vec<Level> = (0..bids).map(bid).collect();
            levels.extend((0..asks).map(|i| Level {
                side: Side::Ask,
                price: 9000 + i,
                quantity: 1,
            }));
            book.apply(&group(1, &levels, 0), 10_000);
            let snapshot = book.encode(Encoding::Sbe, &instrument, 16_384, &meter);
            let whole: usize = (0..snapshot.parts()).map(|part| snapshot.part(part).len()).sum();
            assert_eq!(whole, meter.get());
            // Head 32, update id 8, flags 1, two group headers of 4, then 16 a level.
            let expected = snapshot.parts() * 49 + levels.len() * 16;
            assert_eq!(whole, expected, "{bids} bids, {asks} asks");
            drop(snapshot);
            book.reset();
            assert_eq!(meter.get(), 0);
        }
    }
}
