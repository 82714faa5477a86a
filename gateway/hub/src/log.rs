//! The log of one shard: its most recent entries, in the order in which they came.
//!
//! An entry is what one sequence number of one topic is: a tick, or all ticks of a depth group. The
//! log is three rings: entries of fixed size, the ticks they consist of, and, per format, the bytes they
//! were encoded to on first need. In the exchange's formats those are whole frames. Positions of all three only grow. Entries of one topic are
//! linked forward, which is the direction of delivery.
//!
//! The log knows nothing of connections: they are cursors that hold positions in it, and an entry is
//! evicted whether anybody still wanted it or not. It does not know what a topic is either; whoever
//! appends passes the topic's newest position, and is told of evictions.
//!
//! Invariants: `tail <= head`; an entry's link is [`NOWHERE`] or a later position; the ticks of an
//! entry that is there are there, contiguously.

use wire::frame::{self, SERVER_HEADER_MAX};
use wire::{Channel, DepthHead, Quote, Side, Tick, flags};

use crate::arena::Arena;
use crate::counters::Counters;
use crate::format::{Described, FORMATS, Format, NATIVE};
use crate::framed::Framed;
use crate::limits::Limits;

/// No position.
pub(crate) const NOWHERE: u64 = u64::MAX;

/// One entry without its ticks: 64 bytes, a cache line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    /// Position of the topic's next entry, or [`NOWHERE`].
    pub(crate) next: u64,
    /// When the shard took it in, by the shard's clock.
    pub(crate) taken_ns: u64,
    /// Position of its first tick.
    body: u64,
    /// Positions in the arenas of the native formats; meaningful where the length is not 0.
    encoded_at: [u64; NATIVE],
    encoded_len: [u32; NATIVE],
    pub(crate) topic: u32,
    ticks: u16,
    pub(crate) marks: u8,
}

const _: () = assert!(size_of::<Entry>() <= 64);

/// Bits of [`Entry::marks`].
pub(crate) mod marks {
    /// The shard itself lacks the numbers between the topic's previous entry and this one.
    pub(crate) const HOLE: u8 = 1;
    /// A bar that will not change any more.
    pub(crate) const FINAL: u8 = 1 << 1;
    /// A depth group that replaces the book.
    pub(crate) const REPLACES_BOOK: u8 = 1 << 2;
    /// No group: it stands for the groups that an image's book had and the shard never got. Who
    /// comes to it needs the book.
    pub(crate) const BOOK_ONLY: u8 = 1 << 3;
    /// It came by image, after what the ring still had: its place in the log is not its place in the
    /// feed, which is before all of that.
    pub(crate) const RECOVERED: u8 = 1 << 4;
    /// With `HOLE`: the ring lapped the shard between the topic's previous entry and this one. Other holes
    /// are the feed's own.
    pub(crate) const LAPPED: u8 = 1 << 5;
}

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    entries_max: u64,
    ticks: Vec<Tick>,
    ticks_max: u64,
    /// Position of the next entry.
    head: u64,
    /// Position of the oldest entry; `head` if there is none.
    tail: u64,
    /// Position of the next tick.
    body_head: u64,
    arenas: [Arena; FORMATS],
    /// Where entries are in the arenas of the other formats.
    framed: Framed,
    /// What is being encoded, before it is copied into an arena.
    scratch: Vec<u8>,
    bids: Vec<(i64, i64)>,
    asks: Vec<(i64, i64)>,
    bests: Vec<Option<Quote>>,
}

fn index(at: u64, len: u64) -> usize {
    usize::try_from(at & (len - 1)).expect("rings are smaller than the address space")
}

impl Log {
    /// An empty log. Its memory is reserved and touched as it fills.
    ///
    /// # Panics
    /// If a ring's size is not a power of two, which [`Limits::validate`] refuses.
    pub(crate) fn new(limits: &Limits) -> Self {
        let (entries_max, ticks_max) = (limits.log_entries, limits.log_ticks);
        assert!(entries_max.is_power_of_two() && ticks_max.is_power_of_two());
        Self {
            entries: Vec::with_capacity(entries_max),
            entries_max: entries_max as u64,
            ticks: Vec::with_capacity(ticks_max),
            ticks_max: ticks_max as u64,
            head: 0,
            tail: 0,
            body_head: 0,
            arenas: Format::ALL.map(|format| Arena::new(limits.arena_bytes_of(format))),
            framed: Framed::default(),
            scratch: Vec::with_capacity(limits.visit_bytes),
            bids: Vec::new(),
            asks: Vec::new(),
            bests: Vec::new(),
        }
    }

    /// Position of the next entry.
    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    /// Position of the oldest entry.
    pub(crate) const fn tail(&self) -> u64 {
        self.tail
    }

    /// How many ticks have come, those counted that were left out at the ring's end.
    pub(crate) const fn ticks_written(&self) -> u64 {
        self.body_head
    }

    pub(crate) const fn holds(&self, at: u64) -> bool {
        self.tail <= at && at < self.head
    }

    /// The entry at a position that the log [`holds`](Self::holds).
    pub(crate) fn entry(&self, at: u64) -> &Entry {
        debug_assert!(self.holds(at), "{at} is not in {}..{}", self.tail, self.head);
        &self.entries[index(at, self.entries_max)]
    }

    /// The ticks of an entry that the log holds.
    pub(crate) fn ticks(&self, at: u64) -> &[Tick] {
        let entry = self.entry(at);
        let start = index(entry.body, self.ticks_max);
        &self.ticks[start..start + usize::from(entry.ticks)]
    }

    /// Where the first of `count` ticks would go: they do not straddle the ring's end.
    fn body_start(&self, count: usize) -> u64 {
        let room = self.ticks_max - (self.body_head & (self.ticks_max - 1));
        if room < count as u64 { self.body_head + room } else { self.body_head }
    }

    /// Whether an entry of so many ticks can be appended without evicting another.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        if self.tail == self.head {
            return true;
        }
        let oldest = self.entry(self.tail).body;
        self.head - self.tail < self.entries_max
            && self.body_start(count) + count as u64 - oldest <= self.ticks_max
    }

    /// Takes the oldest entry out and says what it was; its first tick can still be read from the
    /// answer.
    pub(crate) fn evict(&mut self) -> Option<(Entry, Tick)> {
        (self.tail < self.head).then(|| {
            let evicted = (*self.entry(self.tail), self.ticks(self.tail)[0]);
            self.tail += 1;
            evicted
        })
    }

    /// Appends an entry for which there [is room](Self::has_room), linked from the topic's newest
    /// one if that is still there.
    pub(crate) fn append(
        &mut self,
        topic: u32,
        newest: u64,
        ticks: &[Tick],
        marks: u8,
        now_ns: u64,
    ) -> u64 {
        debug_assert!(self.has_room(ticks.len()));
        let body = self.body_start(ticks.len());
        self.write_ticks(body, ticks);
        let entry = Entry {
            seq: ticks[0].seq,
            next: NOWHERE,
            taken_ns: now_ns,
            body,
            encoded_at: [0; NATIVE],
            encoded_len: [0; NATIVE],
            topic,
            ticks: u16::try_from(ticks.len()).expect("groups have at most 4,096 ticks"),
            marks: marks | marks_of(&ticks[0]),
        };
        let at = self.head;
        match self.entries.get_mut(index(at, self.entries_max)) {
            Some(slot) => *slot = entry,
            None => self.entries.push(entry),
        }
        self.head += 1;
        if newest != NOWHERE && self.tail <= newest {
            self.entries[index(newest, self.entries_max)].next = at;
        }
        at
    }

    fn write_ticks(&mut self, body: u64, ticks: &[Tick]) {
        let start = index(body, self.ticks_max);
        let end = start + ticks.len();
        if self.ticks.len() < end {
            // First time round: the memory is reserved, this does not allocate.
            self.ticks.resize(end, ticks[0]);
        }
        self.ticks[start..end].copy_from_slice(ticks);
        self.body_head = body + ticks.len() as u64;
    }

    /// Forgets all entries; positions go on growing.
    pub(crate) fn clear(&mut self) {
        self.tail = self.head;
    }

    /// The entry's bytes, encoded now if this is the first need or they were overwritten.
    pub(crate) fn encoded(
        &mut self,
        at: u64,
        format: Format,
        described: &Described<'_>,
        counters: &mut Counters,
    ) -> &[u8] {
        let which = format.index();
        let (mut position, mut len) = self.written(at, self.entry(at), format);
        if len == 0 || self.arenas[which].read(position, len).is_none() {
            counters.encodings += 1;
            counters.encodings_again += u64::from(len != 0);
            let start = self.encode(at, format, described);
            let Some(written) = self.arenas[which].write(&self.scratch[start..]) else {
                return &self.scratch[start..];
            };
            position = written;
            let bytes = self.scratch.len() - start;
            len = u32::try_from(bytes).expect("arenas are smaller than 4 GiB");
            let slot = index(at, self.entries_max);
            if format.is_exchange() {
                let slots = index(self.entries_max - 1, self.entries_max) + 1;
                self.framed.set(format, at, slot, slots, (position, len));
            } else {
                let entry = &mut self.entries[slot];
                entry.encoded_at[which] = position;
                entry.encoded_len[which] = len;
            }
        }
        self.arenas[which].read(position, len).unwrap_or_default()
    }

    /// Position and length of the entry's bytes in the format's arena; a length of 0: they were never
    /// there.
    #[inline]
    fn written(&self, at: u64, entry: &Entry, format: Format) -> (u64, u32) {
        let which = format.index();
        if which < NATIVE {
            (entry.encoded_at[which], entry.encoded_len[which])
        } else {
            self.framed.place(format, at, index(at, self.entries_max))
        }
    }

    /// Where the bytes of the entry at `at` are or were, from and to, in the arena of this format; `None`:
    /// it was never encoded.
    #[inline]
    pub(crate) fn place(&self, at: u64, entry: &Entry, format: Format) -> Option<(u64, u64)> {
        let (begin, len) = self.written(at, entry, format);
        (len != 0).then(|| (begin, begin + u64::from(len)))
    }

    /// Whether bytes at this place lie at their arena's front: not behind those before them.
    pub(crate) const fn is_at_front(&self, at: u64, format: Format) -> bool {
        self.arenas[format.index()].is_front(at)
    }

    /// The bytes from one place to another that does not lie before it, nor round the arena's end;
    /// `None` if they were overwritten.
    pub(crate) fn bytes(&self, format: Format, from: u64, to: u64) -> Option<&[u8]> {
        let len = u32::try_from(to - from).ok()?;
        self.arenas[format.index()].read(from, len)
    }

    /// Writes the entry's bytes to `scratch`, and answers where they begin there: behind what is left of
    /// the room for a frame's header.
    fn encode(&mut self, at: u64, format: Format, described: &Described<'_>) -> usize {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let payload = if format.is_exchange() { SERVER_HEADER_MAX } else { 0 };
        scratch.resize(payload, 0);
        if described.shows.channel().partial_levels().is_none() {
            let mut bests = std::mem::take(&mut self.bests);
            format.entry(&mut scratch, self.ticks(at), described, self, &mut bests);
            self.bests = bests;
        } else {
            let (mut bids, mut asks) =
                (std::mem::take(&mut self.bids), std::mem::take(&mut self.asks));
            bids.clear();
            asks.clear();
            let ticks = self.ticks(at);
            for level in ticks.iter().flat_map(Tick::depth_levels) {
                match level.side {
                    Side::Bid => bids.push((level.price, level.quantity)),
                    Side::Ask => asks.push((level.price, level.quantity)),
                }
            }
            let head = depth_head(&ticks[0]);
            format.partial_depth(&mut scratch, &head, &bids, &asks, described);
            (self.bids, self.asks) = (bids, asks);
        }
        let payload_bytes = scratch.len() - payload;
        let start = match scratch.first_chunk_mut() {
            Some(room) if format.is_exchange() => {
                frame::write_before(room, format.frame_first(), payload_bytes)
            }
            _ => 0,
        };
        self.scratch = scratch;
        start
    }
}

/// What a depth message says besides its levels, from the group's first tick.
pub(crate) fn depth_head(tick: &Tick) -> DepthHead {
    let (first_update_id, last_update_id) = tick.update_ids();
    DepthHead {
        ts_event_ns: tick.ts_event_ns,
        seq: tick.seq,
        instrument: tick.instrument,
        ring_delay_ns: tick.ring_delay_ns(),
        first_update_id,
        last_update_id,
    }
}

fn marks_of(tick: &Tick) -> u8 {
    match Channel::from_code(tick.kind) {
        Some(Channel::Bar(_)) if tick.flags & flags::FINAL != 0 => marks::FINAL,
        Some(Channel::Depth) if tick.flags & flags::REPLACES_BOOK != 0 => marks::REPLACES_BOOK,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use wire::exchange::LegacyTradeIds;
    use wire::{Instrument, Kind, Symbol};

    use super::*;
    use crate::instruments::Instruments;
    use crate::topics::Topics;

    fn tiny() -> Log {
        let limits =
            Limits { log_entries: 8, log_ticks: 16, arena_bytes: [256, 256], ..Limits::default() };
        Log::new(&limits)
    }

    fn quote(seq: u64) -> Tick {
        let price = seq.cast_signed();
        let quote = Quote {
            bid_price: price,
            bid_quantity: 1,
            ask_price: price + 1,
            ask_quantity: 1,
            update_id: 0,
        };
        Tick { seq, ..Tick::from_quote(0, seq, &quote) }
    }

    fn push(log: &mut Log, newest: u64, ticks: &[Tick]) -> u64 {
        while !log.has_room(ticks.len()) {
            log.evict().expect("a full log has an entry to evict");
        }
        log.append(0, newest, ticks, 0, 0)
    }

    #[test]
    fn entries_link_forward_and_leave_in_order() {
        let mut log = tiny();
        let mut newest = NOWHERE;
        for seq in 1..=100 {
            let at = push(&mut log, newest, &[quote(seq)]);
            assert_eq!(log.entry(at).next, NOWHERE);
            if newest != NOWHERE && log.holds(newest) {
                assert_eq!(log.entry(newest).next, at);
            }
            newest = at;
        }
        assert_eq!(log.head() - log.tail(), 8);
        assert_eq!(log.ticks(log.tail())[0].seq, 93);
    }

    #[test]
    fn groups_are_contiguous_wherever_they_begin() {
        let mut log = tiny();
        for (seq, len) in (1..).zip([3usize, 5, 1, 7, 2, 8, 8, 1, 6, 16, 1, 9]) {
            let group = vec![Tick { seq, ..Tick::new(Kind::Data(Channel::Depth), 0, 0) }; len];
            let at = push(&mut log, NOWHERE, &group);
            assert_eq!(log.ticks(at), group);
            for at in log.tail()..log.head() {
                let ticks = log.ticks(at);
                assert!(ticks.iter().all(|tick| tick.seq == ticks[0].seq), "entry {at} is torn");
            }
        }
    }

    #[test]
    fn an_entry_is_encoded_once_until_its_bytes_are_overwritten() {
        let instrument = Instrument {
            id: 0,
            symbol: Symbol::new("S0").unwrap(),
            base_len: 0,
            price_exponent: 0,
            quantity_exponent: 0,
            tick_size: 0,
            lot_size: 0,
            channels: Channel::Quote.bit(),
        };
        let (mut log, mut counters) = (tiny(), Counters::default());
        let at = push(&mut log, NOWHERE, &[quote(1)]);
        let (mut instruments, mut topics) = (Instruments::default(), Topics::default());
        instruments.define(&instrument, &mut topics, 1);
        let described = Described::new(0, &topics, &instruments, LegacyTradeIds::Omit);
        let mut encode =
            |log: &mut Log, at| log.encoded(at, Format::Sbe, &described, &mut counters).to_vec();
        let bytes = encode(&mut log, at);
        assert_eq!(bytes.len(), 64);
        assert_eq!(encode(&mut log, at), bytes);
        for seq in 2..=6 {
            let at = push(&mut log, NOWHERE, &[quote(seq)]);
            encode(&mut log, at);
        }
        assert_eq!(encode(&mut log, at), bytes, "overwritten in the arena, encoded again");
        assert_eq!((counters.encodings, counters.encodings_again), (7, 1));
    }
}
