//! The merge of two lines of one stream: every entry that one of them has comes out once and in order.
//!
//! Entries of a topic are placed by a key: the feed's own number where both lines count alike, else what
//! the venue says of them ([`super::ids`]). An entry whose turn it is comes out at once, whichever line
//! brought it first; one that is behind comes out never; one that is ahead waits for what is missing
//! before it, until the other line brings that, or both lines have gone past it, or the wait is over.
//!
//! No clock, no line, no ring: what arrives and the time are arguments, and the same arguments give the
//! same outcome. Bounds: what waits, in ticks; beyond it, the oldest waits no more.

use std::collections::{BTreeMap, HashMap, VecDeque};

use wire::{Channel, Tick};

use super::ids::{self, Place, Unplaceable};

/// How many lines there are.
pub(super) const LINES: usize = 2;

/// Ticks that may wait for what is before them: 8 MiB, a second of a hundred thousand a second and more.
const HELD_TICKS_MAX: usize = 1 << 16;

/// Whose numbers come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbering {
    /// The feed's: both lines have the same.
    OfFeed,
    /// Our own, because each line has its own. Entries are known by the venue's ids.
    ByIds,
}

/// Numbers that neither line brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) instrument: u32,
    pub(super) channel: Channel,
    pub(super) count: u64,
}

/// What comes out.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Entries, with their final numbers, in order.
    pub(super) ticks: Vec<Tick>,
    /// What is missing between them.
    pub(super) holes: Vec<Hole>,
}

/// What the merge has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Entries that the other line had brought, or that came behind newer ones.
    pub(super) duplicates: u64,
    /// Entries that the other line had left out.
    pub(super) covered: u64,
    /// Numbers that neither line brought in time.
    pub(super) missing: u64,
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Merge {
    numbering: Numbering,
    wait_ns: u64,
    topics: HashMap<(u32, u8), Topic>,
    /// What waits, by the time at which it does no longer.
    deadlines: VecDeque<(u64, (u32, u8), u64)>,
    held_ticks: usize,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Topic {
    /// The first key that has not come out; `None`: any is the first.
    next: Option<u64>,
    /// By their first key.
    held: BTreeMap<u64, Held>,
    /// Behind the newest key that each line has brought.
    reached: [u64; LINES],
    /// The newest of what is only ever replaced.
    newest: Option<ids::Age>,
    /// The number that came out last, where numbers are ours.
    seq: u64,
}

#[derive(Debug)]
struct Held {
    /// Behind its last key.
    end: u64,
    line: usize,
    ticks: Vec<Tick>,
}

impl Merge {
    pub(super) fn new(numbering: Numbering, wait_ns: u64) -> Self {
        Self {
            numbering,
            wait_ns,
            topics: HashMap::new(),
            deadlines: VecDeque::new(),
            held_ticks: 0,
            counters: Counters::default(),
        }
    }

    pub(super) const fn numbering(&self) -> Numbering {
        self.numbering
    }

    pub(super) const fn counters(&self) -> Counters {
        self.counters
    }

    /// A line begins anew: it may bring once more what it has brought.
    pub(super) fn line_begins(&mut self, line: usize) {
        self.topics.values_mut().for_each(|topic| topic.reached[line] = 0);
    }

    /// Everything of this tick's topic up to its number is known already, where numbers are the feed's.
    pub(super) fn begin_behind(&mut self, tick: &Tick) {
        let topic = self.topics.entry(key_of(tick)).or_default();
        topic.next = Some(topic.next.unwrap_or(0).max(tick.seq + 1));
    }

    /// The number that is the topic's next, where numbers are the feed's; 0: any.
    pub(super) fn next(&self, instrument: u32, channel: Channel) -> u64 {
        let topic = self.topics.get(&(instrument, channel.code()));
        topic.and_then(|topic| topic.next).unwrap_or(0)
    }

    /// Takes an entry of a line: a tick, or a whole depth group.
    ///
    /// # Errors
    /// If the venue gave it no id, and it is to be known by that.
    pub(super) fn enter(
        &mut self,
        line: usize,
        entry: &[Tick],
        now_ns: u64,
        out: &mut Outcome,
    ) -> Result<(), Unplaceable> {
        let place = self.place(entry)?;
        let key = key_of(&entry[0]);
        let topic = self.topics.entry(key).or_default();
        let (first, end) = match place {
            Place::Run { first, end } => (first, end),
            Place::Anew { end } => {
                if topic.next.is_none_or(|next| end > next) {
                    let passed =
                        topic.held.range(..end).map(|(first, _)| *first).collect::<Vec<_>>();
                    for first in passed {
                        self.held_ticks -= topic.held.remove(&first).map_or(0, |h| h.ticks.len());
                    }
                    topic.next = Some(end);
                    emit(topic, entry, self.numbering, out);
                } else {
                    self.counters.duplicates += 1;
                }
                return Ok(());
            }
            Place::Newest(age) => {
                if topic.newest < Some(age) {
                    topic.newest = Some(age);
                    emit(topic, entry, self.numbering, out);
                } else {
                    self.counters.duplicates += 1;
                }
                return Ok(());
            }
        };
        topic.reached[line] = topic.reached[line].max(end);
        let next = topic.next.unwrap_or(first);
        if end <= next || topic.held.contains_key(&first) {
            self.counters.duplicates += 1;
            // The line that has gone past it may have been the last that could bring what is missing.
            self.give_up_passed(key, out);
            return Ok(());
        }
        if first <= next {
            // What waits, waits for what the other line left out.
            self.counters.covered += u64::from(topic.held.values().any(|held| held.line != line));
            topic.next = Some(end);
            emit(topic, entry, self.numbering, out);
            self.release(key, out);
        } else {
            topic.next = Some(next);
            topic.held.insert(first, Held { end, line, ticks: entry.to_vec() });
            self.held_ticks += entry.len();
            self.deadlines.push_back((now_ns.saturating_add(self.wait_ns), key, first));
        }
        self.give_up_passed(key, out);
        while self.held_ticks > HELD_TICKS_MAX && self.give_up_oldest(out) {}
        Ok(())
    }

    /// When [`Merge::expire`] has something to do.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.deadlines.front().map(|(at_ns, _, _)| *at_ns)
    }

    /// Gives up what was waited for long enough.
    pub(super) fn expire(&mut self, now_ns: u64, out: &mut Outcome) {
        while self.deadline_ns().is_some_and(|at_ns| at_ns <= now_ns) {
            self.give_up_oldest(out);
        }
    }

    /// Gives up what is missing before the entry that waits longest. `false`: nothing waits.
    fn give_up_oldest(&mut self, out: &mut Outcome) -> bool {
        let Some((_, key, first)) = self.deadlines.pop_front() else { return false };
        loop {
            let Some(topic) = self.topics.get(&key) else { return true };
            let earliest = topic.held.keys().next().copied();
            match earliest.filter(|earliest| *earliest <= first) {
                Some(earliest) => self.give_up_before(key, earliest, out),
                None => return true,
            }
        }
    }

    /// Gives up what both lines have gone past.
    fn give_up_passed(&mut self, key: (u32, u8), out: &mut Outcome) {
        while let Some(topic) = self.topics.get(&key)
            && let Some(earliest) = topic.held.keys().next().copied()
            && topic.reached.iter().all(|reached| *reached >= earliest)
        {
            self.give_up_before(key, earliest, out);
        }
    }

    fn give_up_before(&mut self, key: (u32, u8), earliest: u64, out: &mut Outcome) {
        let Some(topic) = self.topics.get_mut(&key) else { return };
        let count = earliest.saturating_sub(topic.next.unwrap_or(earliest));
        topic.next = Some(earliest);
        if count > 0
            && let Some(channel) = Channel::from_code(key.1)
        {
            // A depth event spans many ids: at least one event is missing.
            let by_ids = self.numbering == Numbering::ByIds;
            let count = if by_ids && channel == Channel::Depth { 1 } else { count };
            topic.seq += count;
            self.counters.missing += count;
            out.holes.push(Hole { instrument: key.0, channel, count });
        }
        self.release(key, out);
    }

    /// Lets out what waits and whose turn it is.
    fn release(&mut self, key: (u32, u8), out: &mut Outcome) {
        let Some(topic) = self.topics.get_mut(&key) else { return };
        while let Some(entry) = topic.held.first_entry() {
            let next = topic.next.unwrap_or(0);
            if *entry.key() > next {
                return;
            }
            let held = entry.remove();
            self.held_ticks -= held.ticks.len();
            if held.end > next {
                topic.next = Some(held.end);
                emit(topic, &held.ticks, self.numbering, out);
            } else {
                self.counters.duplicates += 1;
            }
        }
    }

    fn place(&self, entry: &[Tick]) -> Result<Place, Unplaceable> {
        match self.numbering {
            Numbering::OfFeed => Ok(Place::Run { first: entry[0].seq, end: entry[0].seq + 1 }),
            Numbering::ByIds => ids::place(&entry[0]),
        }
    }
}

fn key_of(tick: &Tick) -> (u32, u8) {
    (tick.instrument, tick.kind)
}

fn emit(topic: &mut Topic, entry: &[Tick], numbering: Numbering, out: &mut Outcome) {
    let begin = out.ticks.len();
    out.ticks.extend_from_slice(entry);
    if numbering == Numbering::ByIds {
        topic.seq += 1;
        out.ticks[begin..].iter_mut().for_each(|tick| tick.seq = topic.seq);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::{Trade, flags};

    use super::*;

    const WAIT_NS: u64 = 50;

    fn trade(number: u64) -> Tick {
        let trade = Trade {
            price: 1,
            quantity: 1,
            trade_id: number,
            ts_trade_ns: 0,
            buyer_is_maker: false,
        };
        Tick { seq: number, ..Tick::from_trade(0, number, &trade) }
    }

    fn numbers(out: &Outcome) -> Vec<u64> {
        out.ticks.iter().map(|tick| tick.trade().trade_id).collect()
    }

    #[test]
    fn a_loss_on_one_line_is_covered_by_the_other() {
        for numbering in [Numbering::OfFeed, Numbering::ByIds] {
            let (mut merge, mut out) = (Merge::new(numbering, WAIT_NS), Outcome::default());
            for (line, number) in [(0, 5), (0, 6), (1, 5), (0, 8), (1, 6), (1, 7), (1, 8), (0, 9)] {
                merge.enter(line, &[trade(number)], 0, &mut out).unwrap();
            }
            assert_eq!(numbers(&out), [5, 6, 7, 8, 9]);
            assert_eq!(merge.counters(), Counters { duplicates: 3, covered: 1, missing: 0 });
            assert!(out.holes.is_empty());
        }
    }

    #[test]
    fn what_neither_line_has_is_a_hole_of_that_size_and_no_longer_waited_for() {
        let (mut merge, mut out) = (Merge::new(Numbering::ByIds, WAIT_NS), Outcome::default());
        for (line, number) in [(0, 1), (1, 1), (0, 5)] {
            merge.enter(line, &[trade(number)], 0, &mut out).unwrap();
        }
        assert_eq!(numbers(&out), [1], "the other line may have it");
        merge.enter(1, &[trade(5)], 0, &mut out).unwrap();
        assert_eq!(numbers(&out), [1, 5], "it has not");
        assert_eq!(out.holes, [Hole { instrument: 0, channel: Channel::Trade, count: 3 }]);
        assert_eq!(out.ticks[1].seq, 5, "three numbers are left out");
        merge.enter(0, &[trade(7)], 10, &mut out).unwrap();
        merge.expire(59, &mut out);
        assert_eq!(out.ticks.len(), 2);
        merge.expire(60, &mut out);
        assert_eq!(numbers(&out), [1, 5, 7]);
        merge.enter(1, &[trade(6)], 61, &mut out).unwrap();
        assert_eq!(out.ticks.len(), 3, "too late");
    }

    #[test]
    fn depth_is_known_by_the_ids_that_it_spans_and_a_whole_book_begins_anew() {
        let (mut merge, mut out) = (Merge::new(Numbering::ByIds, WAIT_NS), Outcome::default());
        let group = |ids: std::ops::RangeInclusive<u64>| {
            let mut group = Vec::new();
            Tick::push_depth(&mut group, 0, 1, ids, &[]);
            group
        };
        merge.enter(0, &group(10..=12), 0, &mut out).unwrap();
        merge.enter(1, &group(10..=12), 0, &mut out).unwrap();
        merge.enter(0, &group(15..=15), 0, &mut out).unwrap();
        merge.enter(1, &group(13..=14), 0, &mut out).unwrap();
        assert_eq!(out.ticks.iter().map(|tick| tick.seq).collect::<Vec<_>>(), [1, 2, 3]);
        let mut whole = group(20..=30);
        whole[0].flags |= flags::REPLACES_BOOK;
        merge.enter(0, &whole, 0, &mut out).unwrap();
        merge.enter(1, &group(29..=30), 0, &mut out).unwrap();
        assert_eq!(out.ticks.len(), 4);
        assert_eq!(merge.enter(0, &group(0..=0), 0, &mut out), Err(Unplaceable(Channel::Depth)));
    }

    /// What one line does with an entry.
    #[derive(Clone, Debug)]
    struct Fate {
        is_lost: bool,
        /// After the one before it, on this line.
        delay_ns: u64,
        is_doubled: bool,
    }

    fn fates() -> impl Strategy<Value = Vec<Fate>> {
        let fate = (prop::bool::weighted(0.2), 0..40u64, prop::bool::weighted(0.1))
            .prop_map(|(is_lost, delay_ns, is_doubled)| Fate { is_lost, delay_ns, is_doubled });
        prop::collection::vec(fate, 60)
    }

    proptest! {
        /// Each line brings its entries in order, some not, some twice, each later than the one before it by
        /// anything. What either has brought before the wait for it was over must come out, once, in order.
        #[test]
        fn what_one_line_has_in_time_comes_out_once_and_in_order(
            fates in [fates(), fates()],
            by_ids: bool,
        ) {
            let numbering = if by_ids { Numbering::ByIds } else { Numbering::OfFeed };
            let mut arrivals = Vec::new();
            for (line, fates) in fates.iter().enumerate() {
                let mut at_ns = 0;
                for (number, fate) in (2..).zip(fates) {
                    at_ns += fate.delay_ns;
                    let times = u64::from(!fate.is_lost) * (1 + u64::from(fate.is_doubled));
                    arrivals.extend((0..times).map(|_| (at_ns, line, number)));
                }
            }
            arrivals.sort_by_key(|(at_ns, line, number)| (*at_ns, *line, *number));
            let (mut merge, mut out) = (Merge::new(numbering, WAIT_NS), Outcome::default());
            merge.enter(0, &[trade(1)], 0, &mut out).unwrap();
            for (at_ns, line, number) in &arrivals {
                merge.expire(*at_ns, &mut out);
                merge.enter(*line, &[trade(*number)], *at_ns, &mut out).unwrap();
            }
            merge.expire(u64::MAX, &mut out);
            prop_assert_eq!(merge.deadline_ns(), None);
            let came_out = numbers(&out);
            prop_assert!(came_out.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", came_out);
            for number in 2..62 {
                let first = |wanted: &dyn Fn(u64) -> bool| {
                    arrivals.iter().find(|(_, _, number)| wanted(*number)).map(|(at_ns, _, _)| *at_ns)
                };
                let brought_at = first(&|found| found == number);
                let missed_at = first(&|found| found > number);
                let in_time = match (brought_at, missed_at) {
                    (Some(brought), Some(missed)) => brought < missed + WAIT_NS,
                    (brought, _) => brought.is_some(),
                };
                if in_time {
                    prop_assert!(came_out.contains(&number), "{} is missing", number);
                }
                prop_assert!(brought_at.is_some() || !came_out.contains(&number));
            }
            let last = came_out.last().copied().unwrap_or(0);
            prop_assert_eq!(last - u64::try_from(came_out.len()).unwrap(), merge.counters().missing);
        }
    }
}
