//! Timed views: topics whose entries are made here, at a cadence, of what came since the last one.
//!
//! Changes of a book are gathered into one entry, by the machinery that also merges them for slow clients;
//! the best levels are taken from the book as it is; of bars the newest is told, and each that is final at
//! once; arrays have the newest ticker of each instrument that has changed. One entry serves everybody who is
//! subscribed. Entries are numbered here, update ids are the source's and stay contiguous: nothing is left out
//! between two entries but what the source itself lost, and then the ids show it.
//!
//! An entry is made when the cadence's time comes by the shard's clock, which is the same time for all
//! views of a cadence, so that a client of many gets them in one message. What comes after a pause of
//! at least the cadence does not wait for that. Where the source's groups come at the cadence already, each
//! is therefore an entry of its own, as it was, however fast a recording is replayed: distances are
//! those of the events' own times. Bars always wait, but for final ones: feeds tell them more often.

use wire::exchange::{Array, Speed, View};
use wire::{Channel, Level, Side, Tick};

use crate::hub::Hub;
use crate::log::{NOWHERE, marks};
use crate::market::Market;
use crate::topics::Shows;
use crate::visit::Merge;

/// Groups that come at a cadence are not quite evenly spaced: what part of it may be missing, as one in so
/// many. The recordings' groups are 99 to 300 ms apart.
const TOLERANCE: u64 = 4;

/// The most instruments in one entry of an array: 655,350 bytes are the most that clients take in one
/// frame, and a mini ticker has at most some 200.
const ARRAY_MAX: usize = 3_000;

/// Tickers are longer.
const TICKER_ARRAY_MAX: usize = 1_000;

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Timed {
    views: Vec<TimedView>,
    queues: [Queue; Speed::ALL.len()],
    arrays: Vec<TimedArray>,
    merge: Merge,
    /// An entry while it is being made.
    ticks: Vec<Tick>,
    levels: Vec<Level>,
    /// Views while they are looked at.
    due: Vec<u32>,
}

/// Views of one cadence for which something waits, and when its time comes.
#[derive(Debug, Default)]
struct Queue {
    views: Vec<u32>,
    due_ns: u64,
}

/// A view of one instrument's book or bars.
#[derive(Debug)]
struct TimedView {
    topic: u32,
    speed: Speed,
    /// Position of the first group that waits, or [`NOWHERE`].
    from: u64,
    /// How many groups wait.
    groups: u32,
    /// When the first of them happened, by the source's clock.
    first_ts_ns: u64,
    /// Number of the newest group that was looked at.
    seq: u64,
    /// When what was made last happened, by the source's clock; 0: nothing was.
    made_ts_ns: u64,
    /// Whether groups of its book are brought here.
    is_active: bool,
    is_queued: bool,
}

/// A view of all instruments together.
#[derive(Debug)]
struct TimedArray {
    topic: u32,
    /// By slot, the number of the newest tick that was in it.
    seqs: Vec<u64>,
    due_ns: u64,
}

impl Timed {
    /// When the next entry is to be made at the latest, if any waits.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let queues = self.queues.iter().filter(|queue| !queue.views.is_empty());
        let arrays = self.arrays.iter().map(|array| array.due_ns);
        queues.map(|queue| queue.due_ns).chain(arrays).min()
    }

    /// Numbers start anew: what waits is of numbers that are no more.
    pub(crate) fn reset(&mut self) {
        for view in &mut self.views {
            view.clear();
            (view.seq, view.made_ts_ns) = (0, 0);
        }
        for array in &mut self.arrays {
            array.seqs.fill(0);
        }
    }

    /// Whether an array is made of this channel of all instruments.
    pub(crate) fn has_array_of(&self, channel: Channel, market: &Market) -> bool {
        self.arrays.iter().any(|array| {
            let known = market.topics.get(array.topic);
            known.channel == channel && !known.subscribers.is_empty()
        })
    }

    fn wait(&mut self, index: u32, now_ns: u64) {
        let view = &mut self.views[index as usize];
        if std::mem::replace(&mut view.is_queued, true) {
            return;
        }
        let queue = &mut self.queues[view.speed as usize];
        if queue.views.is_empty() {
            queue.due_ns = next_multiple(now_ns, view.speed.cadence_ns());
        }
        queue.views.push(index);
    }
}

impl TimedView {
    fn clear(&mut self) {
        (self.from, self.groups) = (NOWHERE, 0);
    }

    /// Whether an event at this time comes the cadence, or nearly, after `since_ns`; 0: never, so that it
    /// needs not wait.
    const fn is_cadence_after(&self, ts_ns: u64, since_ns: u64, spacing: Spacing) -> bool {
        let cadence_ns = self.speed.cadence_ns();
        let least_ns = match spacing {
            Spacing::Full => cadence_ns,
            Spacing::Nearly => cadence_ns - cadence_ns / TOLERANCE,
        };
        since_ns == 0 || ts_ns >= since_ns.saturating_add(least_ns)
    }
}

/// How far apart events must be to be a cadence apart.
#[derive(Clone, Copy)]
enum Spacing {
    /// As far as the cadence says.
    Full,
    /// As far as groups are that come at the cadence.
    Nearly,
}

/// The first multiple of the cadence after a time.
const fn next_multiple(now_ns: u64, cadence_ns: u64) -> u64 {
    (now_ns / cadence_ns + 1) * cadence_ns
}

impl Hub {
    /// Somebody is subscribed to a topic: if it is a timed view, it is made from now on.
    pub(crate) fn begin_timed(&mut self, topic: u32) {
        let known = self.market.topics.get(topic);
        let slot = known.slot;
        match known.shows {
            Shows::Array(_) => {
                if !self.timed.arrays.iter().any(|array| array.topic == topic) {
                    self.begin_array(topic);
                }
            }
            Shows::View(view) => {
                let Some(speed) = view.speed() else { return };
                let views = &mut self.timed.views;
                let index = views.iter().position(|view| view.topic == topic);
                let index = index.unwrap_or_else(|| {
                    views.push(TimedView {
                        topic,
                        speed,
                        from: NOWHERE,
                        groups: 0,
                        first_ts_ns: 0,
                        seq: 0,
                        made_ts_ns: 0,
                        is_active: false,
                        is_queued: false,
                    });
                    views.len() - 1
                });
                if !std::mem::replace(&mut views[index].is_active, true) {
                    let index = u32::try_from(index).expect("not more than topics");
                    self.market.instruments.get_mut(slot).timed.push(index);
                }
            }
        }
    }
}

impl Hub {
    /// Makes what is due by now. Answers whether it made anything.
    pub(crate) fn make_timed(&mut self, now_ns: u64) -> bool {
        let before = self.counters.entries_derived;
        for nth in 0..self.timed.queues.len() {
            let queue = &mut self.timed.queues[nth];
            if queue.views.is_empty() || queue.due_ns > now_ns {
                continue;
            }
            let mut due = std::mem::take(&mut queue.views);
            for &index in &due {
                let view = &mut self.timed.views[index as usize];
                view.is_queued = false;
                if view.groups > 0 {
                    self.make_view(index, now_ns);
                }
            }
            due.clear();
            self.timed.queues[nth].views = due;
        }
        for nth in (0..self.timed.arrays.len()).rev() {
            if self.timed.arrays[nth].due_ns <= now_ns {
                self.make_array(nth, now_ns);
            }
        }
        self.counters.entries_derived > before
    }

    /// The group at this position of the log is in its book, if that is sound, or a bar is there: the views
    /// of this channel have it next.
    pub(crate) fn gather(&mut self, slot: u32, channel: Channel, at: u64, now_ns: u64) {
        let mut views = std::mem::take(&mut self.timed.due);
        views.clone_from(&self.market.instruments.get(slot).timed);
        for &index in &views {
            let view = &mut self.timed.views[index as usize];
            let known = self.market.topics.get(view.topic);
            if known.shows.source() != channel {
                continue;
            }
            if known.subscribers.is_empty() {
                view.clear();
                (view.is_active, view.made_ts_ns) = (false, 0);
                let timed = &mut self.market.instruments.get_mut(slot).timed;
                timed.retain(|other| *other != index);
            } else if !self.market.log.holds(at) {
                // What the views before it were made of has pushed the group out of a small log: this one
                // leaves it out, and the next ids show it.
                view.clear();
            } else {
                match known.channel {
                    Channel::Depth => self.gather_changes(index, at, now_ns),
                    Channel::Bar(_) => self.gather_bar(index, at, now_ns),
                    _ => self.gather_levels(index, at, now_ns),
                }
            }
        }
        self.timed.due = views;
    }

    /// As [`Hub::gather`], for a bar that was appended just now.
    pub(crate) fn gather_newest(&mut self, topic: u32, now_ns: u64) {
        let known = self.market.topics.get(topic);
        let slot = self.market.instruments.get(known.slot);
        if !slot.timed.is_empty() && slot.is_attached() {
            self.gather(known.slot, known.channel, known.head, now_ns);
        }
    }

    fn gather_changes(&mut self, index: u32, at: u64, now_ns: u64) {
        let entry = self.market.log.entry(at);
        let (seq, replaces) = (entry.seq, entry.marks & marks::REPLACES_BOOK != 0);
        let ts_ns = self.market.log.ticks(at)[0].ts_event_ns;
        let view = &self.timed.views[index as usize];
        if view.groups > 0 {
            let is_over = view.is_cadence_after(ts_ns, view.first_ts_ns, Spacing::Full);
            let is_alone =
                view.groups == 1 && view.is_cadence_after(ts_ns, view.first_ts_ns, Spacing::Nearly);
            // Over a hole of the source's nothing is merged: the ids would hide it.
            if is_over || is_alone || replaces || seq != view.seq + 1 {
                self.make_view(index, now_ns);
            }
        }
        let view = &mut self.timed.views[index as usize];
        view.seq = seq;
        if replaces {
            // It is not a change, so that nothing can be told of it: the next ids leave it out.
            return;
        }
        view.groups += 1;
        if view.groups == 1 {
            (view.from, view.first_ts_ns) = (at, ts_ns);
            if view.is_cadence_after(ts_ns, view.made_ts_ns, Spacing::Nearly) {
                return self.make_view(index, now_ns);
            }
        }
        self.timed.wait(index, now_ns);
    }

    fn gather_levels(&mut self, index: u32, at: u64, now_ns: u64) {
        let ts_ns = self.market.log.ticks(at)[0].ts_event_ns;
        let view = &mut self.timed.views[index as usize];
        // What waits already goes when its time comes, by the events' clock or by ours.
        let spacing = if view.groups == 0 { Spacing::Nearly } else { Spacing::Full };
        view.groups = 1;
        if view.is_cadence_after(ts_ns, view.made_ts_ns, spacing) {
            self.make_view(index, now_ns);
        } else {
            self.timed.wait(index, now_ns);
        }
    }

    /// A running bar waits for the cadence's time: feeds tell it more often. A final one is told itself, though an
    /// image may know a newer one already.
    fn gather_bar(&mut self, index: u32, at: u64, now_ns: u64) {
        let tick = self.market.log.ticks(at)[0];
        let view = &mut self.timed.views[index as usize];
        if tick.bar().is_final {
            view.clear();
            view.made_ts_ns = tick.ts_event_ns;
            let topic = view.topic;
            self.tell_bar(topic, tick, now_ns);
        } else {
            view.groups = 1;
            self.timed.wait(index, now_ns);
        }
    }

    /// Makes an entry of what waits.
    fn make_view(&mut self, index: u32, now_ns: u64) {
        let view = &mut self.timed.views[index as usize];
        let (topic, from, groups) = (view.topic, view.from, view.groups);
        view.clear();
        let known = self.market.topics.get(topic);
        if known.subscribers.is_empty() {
            return;
        }
        let made_ts_ns = match known.channel {
            Channel::Depth => self.make_changes(topic, from, groups, now_ns),
            Channel::Bar(_) => self.make_bar(topic, now_ns),
            _ => self.make_levels(topic, now_ns),
        };
        if let Some(made_ts_ns) = made_ts_ns {
            self.timed.views[index as usize].made_ts_ns = made_ts_ns;
        }
    }

    /// `None`: there is nothing that could be made.
    fn make_levels(&mut self, topic: u32, now_ns: u64) -> Option<u64> {
        let slot = self.market.topics.get(topic).slot;
        let book = self.market.instruments.get(slot).book.as_ref()?;
        book.seq()?;
        let ts_ns = book.head.ts_event_ns;
        self.derive(topic, now_ns);
        Some(ts_ns)
    }

    /// `None`: there is nothing that could be made.
    fn make_bar(&mut self, topic: u32, now_ns: u64) -> Option<u64> {
        let known = self.market.topics.get(topic);
        let bars = self.market.instruments.get(known.slot).topic(known.channel)?;
        let tick = self.market.newest_tick(bars)?;
        self.tell_bar(topic, tick, now_ns);
        Some(tick.ts_event_ns)
    }

    fn tell_bar(&mut self, topic: u32, tick: Tick, now_ns: u64) {
        self.timed.ticks.clear();
        self.timed.ticks.push(tick);
        self.take_made(topic, now_ns);
    }

    /// `None`: what waited has left the log. The next ids show it.
    fn make_changes(&mut self, topic: u32, from: u64, groups: u32, now_ns: u64) -> Option<u64> {
        if !self.market.log.holds(from) {
            return None;
        }
        let (mut position, mut newest) = (from, from);
        self.timed.merge.clear();
        for _ in 0..groups {
            self.timed.merge.add(self.market.log.ticks(position));
            newest = position;
            position = self.market.log.entry(position).next;
        }
        let newest = self.market.log.ticks(newest)[0];
        if groups > 1 && self.timed.merge.len() <= self.limits.group_levels_max {
            self.merge_waiting(from, &newest);
            self.take_made(topic, now_ns);
            return Some(newest.ts_event_ns);
        }
        // One, or so many changes that they are no group: each goes as it came.
        let mut position = from;
        for _ in 0..groups {
            if !self.market.log.holds(position) {
                break;
            }
            let next = self.market.log.entry(position).next;
            self.timed.ticks.clear();
            self.timed.ticks.extend_from_slice(self.market.log.ticks(position));
            self.take_made(topic, now_ns);
            position = next;
        }
        Some(newest.ts_event_ns)
    }

    /// Makes one group of the merged ones.
    fn merge_waiting(&mut self, from: u64, newest: &Tick) {
        let Timed { merge, levels, ticks, .. } = &mut self.timed;
        merge.reduce();
        levels.clear();
        for (side, changes) in [(Side::Bid, &merge.bid_levels), (Side::Ask, &merge.ask_levels)] {
            let level = |&(price, quantity): &_| Level { side, price, quantity };
            levels.extend(changes.iter().map(level));
        }
        let (first_id, _) = self.market.log.ticks(from)[0].update_ids();
        let ids = first_id..=newest.update_ids().1;
        ticks.clear();
        Tick::push_depth(ticks, newest.instrument, newest.ts_event_ns, ids, levels);
        ticks.iter_mut().for_each(|tick| tick.ts_ring_ns = newest.ts_ring_ns);
    }

    /// Appends what was made as the topic's next entry.
    fn take_made(&mut self, topic: u32, now_ns: u64) {
        let mut ticks = std::mem::take(&mut self.timed.ticks);
        let seq = self.market.topics.get(topic).head_seq + 1;
        ticks.iter_mut().for_each(|tick| tick.seq = seq);
        self.counters.entries_derived += u64::from(self.take(topic, &ticks, 0, now_ns));
        self.timed.ticks = ticks;
    }
}

impl Hub {
    /// The topic of an array.
    pub(crate) fn array_topic(&mut self, array: Array) -> u32 {
        let market = &mut self.market;
        market.instruments.array_topic(array, &mut market.topics)
    }

    /// Makes the mini ticker of a ticker's tick, if somebody is subscribed to it.
    pub(crate) fn make_mini(&mut self, topic: u32, tick: &Tick, now_ns: u64) {
        let slot = self.market.topics.get(topic).slot;
        let Some(mini) = self.market.instruments.get(slot).view(View::MiniTicker) else { return };
        if !self.market.topics.get(mini).subscribers.is_empty() {
            self.timed.ticks.clear();
            self.timed.ticks.push(*tick);
            self.take_made(mini, now_ns);
        }
    }

    /// Takes what is there already for told: an array has what changes from now on.
    fn begin_array(&mut self, topic: u32) {
        let mut array = TimedArray { topic, seqs: Vec::new(), due_ns: 0 };
        self.gather_tickers(&mut array);
        self.timed.arrays.push(array);
    }

    /// Replaces the ticks by the newest of each instrument that has changed since the last time.
    fn gather_tickers(&mut self, array: &mut TimedArray) {
        let market = &self.market;
        let channel = market.topics.get(array.topic).channel;
        self.timed.ticks.clear();
        array.seqs.resize(market.instruments.len() as usize, 0);
        for &slot in market.instruments.order() {
            let Some(topic) = market.instruments.get(slot).topic(channel) else { continue };
            let Some(tick) = market.newest_tick(topic) else { continue };
            let seq = &mut array.seqs[slot as usize];
            if std::mem::replace(seq, tick.seq) != tick.seq {
                self.timed.ticks.push(tick);
            }
        }
    }

    fn make_array(&mut self, nth: usize, now_ns: u64) {
        let mut array = self.timed.arrays.swap_remove(nth);
        let known = self.market.topics.get(array.topic);
        if known.subscribers.is_empty() {
            self.interests.wildcards_changed();
            return;
        }
        let whole = match known.shows {
            Shows::Array(Array::MiniTicker) => ARRAY_MAX,
            _ => TICKER_ARRAY_MAX,
        };
        array.due_ns = next_multiple(now_ns, Speed::Slow.cadence_ns());
        self.gather_tickers(&mut array);
        let gathered = std::mem::take(&mut self.timed.ticks);
        for part in gathered.chunks(whole.min(self.limits.log_ticks / 2)) {
            self.timed.ticks.clear();
            self.timed.ticks.extend_from_slice(part);
            self.take_made(array.topic, now_ns);
        }
        self.timed.ticks = gathered;
        self.timed.arrays.push(array);
    }
}
