//! Intake: what becomes of the records of the ring, of its laps, and of recovery images.
//!
//! Every record is checked: it may come from another process. Data goes into the log, into the book
//! and marks its subscribers; nothing is encoded and nobody is visited here.
//!
//! Recovery, after a lap or at a late start: the shell calls [`Hub::handle_lapped`], then
//! [`Hub::handle_image`] for each image, oldest first, reads on from the ring's oldest record, and
//! calls [`Hub::handle_recovered`] once it has read up to where it found the ring's head. In between,
//! records that the images know already still go to the log, because a client that resumes may need
//! them; only books skip them. What images know and the ring no longer has is appended at the end, so
//! that clients get the newest values and a count of what is missing.

use wire::{
    Channel, DepthHead, FeedState, Instrument, InstrumentImage, Kind, LEVELS_PER_TICK, Presence,
    Side, Tick, flags,
};

use crate::book::Applied;
use crate::hub::Hub;
use crate::instruments::{Defined, PARTIAL};
use crate::log::marks;
use crate::subscription::SEQ_MAX;

/// How long after the last lap or image recovery is taken to be over if the shell does not say so.
const RECOVERY_MAX_NS: u64 = 1_000_000_000;

/// How long after the last definition of an epoch without data more of them may follow.
const DEFINING_MAX_NS: u64 = 1_000_000_000;

/// What wildcards are to do when something happened that no entry shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// An instrument was defined: go on to it.
    On,
    /// Any instrument may be concerned: look at all once more.
    Again,
}

/// What intake keeps between records.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    /// A depth group until its end comes.
    group: Vec<Tick>,
    /// A partial book while it is being derived.
    partial: Vec<Tick>,
    /// Until when recovery may go on; `None`: there is nothing to recover.
    pub(crate) recovering_until_ns: Option<u64>,
    /// The slots of images that were taken over since.
    recovered: Vec<u32>,
    /// The instrument whose image is to be looked at now.
    pub(crate) image_wanted: Option<u32>,
    /// The epoch is known from an image only: its own record may still come.
    is_adopted: bool,
    /// Until when instruments of the epoch may still be defined; its first data ends that.
    defining_until_ns: u64,
}

/// A tick for the log without level changes, with the number of a book that came in an image.
fn book_only(head: &DepthHead) -> Tick {
    let kind = Kind::Data(Channel::Depth);
    Tick { seq: head.seq, ..Tick::new(kind, head.instrument, head.ts_event_ns) }
}

impl Hub {
    /// Takes one record of the ring. Malformed ones are counted and dropped.
    pub fn handle_record(&mut self, tick: &Tick, now_ns: u64) {
        self.counters.ticks += 1;
        let Ok(kind) = tick.validate() else {
            return self.refuse_record();
        };
        if self.market.epoch == 0 && kind != Kind::Epoch {
            // Numbers without an epoch mean nothing: a late start without a single image.
            return self.refuse_record();
        }
        self.market.clock_ns = tick.ts_ring_ns.max(tick.ts_event_ns);
        self.intake.defining_until_ns = match kind {
            Kind::Epoch | Kind::Definition => now_ns.saturating_add(DEFINING_MAX_NS),
            Kind::Data(_) | Kind::Presence => 0,
        };
        match kind {
            Kind::Data(Channel::Depth) => self.handle_depth(tick, now_ns),
            Kind::Data(channel) => {
                self.break_group();
                match self.topic_of(tick, channel) {
                    Some(topic) => {
                        let is_new = self.take(topic, std::slice::from_ref(tick), 0, now_ns);
                        match channel {
                            Channel::Ticker if is_new => self.make_mini(topic, tick, now_ns),
                            Channel::Bar(_) if is_new => self.gather_newest(topic, now_ns),
                            _ => {}
                        }
                    }
                    None => self.refuse_record(),
                }
            }
            Kind::Definition => {
                self.break_group();
                match tick.definition() {
                    Ok(instrument) => self.define(&instrument, tick.presence()),
                    Err(_) => self.refuse_record(),
                }
            }
            Kind::Epoch => {
                self.break_group();
                self.handle_epoch(tick.epoch());
            }
            Kind::Presence => {
                self.break_group();
                self.handle_presence(tick);
            }
        }
    }

    /// The ring lapped this shard: `lost` records are gone. Images follow.
    pub fn handle_lapped(&mut self, lost: u64, now_ns: u64) {
        self.counters.laps += 1;
        self.counters.laps_lost += lost;
        self.market.whole_from = self.market.log.head();
        self.break_group();
        for slot in 0..self.market.instruments.len() {
            if let Some(book) = &mut self.market.instruments.get_mut(slot).book {
                book.doubt();
            }
        }
        self.intake.recovering_until_ns = Some(now_ns.saturating_add(RECOVERY_MAX_NS));
        // All images are looked at now.
        self.intake.recovered.clear();
    }

    /// Takes over what a recovery image knows. Images must come in the order of the positions they
    /// were written at. One of an epoch that is over is ignored; one of an unknown epoch begins it.
    pub fn handle_image(&mut self, image: &InstrumentImage, now_ns: u64) {
        if image.epoch != self.market.epoch {
            if self.market.is_past(image.epoch) {
                self.counters.images_ignored += 1;
                return;
            }
            self.begin_epoch(image.epoch);
            self.intake.is_adopted = true;
            self.intake.defining_until_ns = now_ns.saturating_add(DEFINING_MAX_NS);
        }
        self.counters.images += 1;
        self.intake.recovering_until_ns = Some(now_ns.saturating_add(RECOVERY_MAX_NS));
        self.define(&image.definition, image.presence);
        let Some(slot) = self.market.instruments.by_id(image.definition.id) else { return };
        self.intake.recovered.push(slot);
        for tick in &image.last {
            let Ok(Kind::Data(channel)) = tick.kind() else { continue };
            if let Some(topic) = self.topic_of(tick, channel) {
                self.market.topics.keep(topic, tick);
                self.rouse(topic);
            }
        }
        let levels_max = self.limits.book_levels_max;
        let known = self.market.instruments.get_mut(slot);
        if let Some(book) = &mut known.book
            && image.depth_seq <= SEQ_MAX
            && book.load(image, levels_max)
        {
            for channel in PARTIAL.into_iter().chain([Channel::Depth]) {
                if let Some(topic) = self.market.instruments.get(slot).topic(channel) {
                    self.rouse(topic);
                }
            }
        }
        self.set_presence(image.definition.id, image.presence);
    }

    /// Recovery is over: the ring was read up to where it was. What only images know, clients get
    /// now, with a count of what is missing.
    pub fn handle_recovered(&mut self, now_ns: u64) {
        if self.intake.recovering_until_ns.take().is_none() {
            return;
        }
        let mut recovered = std::mem::take(&mut self.intake.recovered);
        for slot in recovered.drain(..) {
            // Of one that is not in the stream the past may still come; its image is looked at then.
            if self.market.instruments.get(slot).is_attached() {
                self.recover(slot, now_ns);
            }
        }
        self.intake.recovered = recovered;
    }

    /// Appends what only an image knows of an instrument.
    fn recover(&mut self, slot: u32, now_ns: u64) {
        for channel in Channel::all() {
            let Some(topic) = self.market.instruments.get(slot).topic(channel) else { continue };
            let head_seq = self.market.topics.get(topic).head_seq;
            if let Some(tick) = self.market.topics.ahead(topic) {
                let is_new = self.take(topic, &[tick], marks::RECOVERED, now_ns);
                if is_new && matches!(channel, Channel::Bar(_)) {
                    self.gather_newest(topic, now_ns);
                }
            } else if self.market.is_book(channel) {
                let known = self.market.instruments.get(slot);
                let Some(book) = known.book.as_ref().filter(|book| book.seq() > Some(head_seq))
                else {
                    continue;
                };
                if channel == Channel::Depth {
                    let tick = book_only(&book.head);
                    self.take(topic, &[tick], marks::BOOK_ONLY | marks::RECOVERED, now_ns);
                } else {
                    self.derive(topic, now_ns);
                }
            }
        }
    }

    /// Whether an instrument that is not known may yet be defined: there is no feed, or it has only
    /// begun to say what it has.
    #[must_use]
    pub fn is_defining(&self, now_ns: u64) -> bool {
        self.market.epoch == 0 || now_ns < self.intake.defining_until_ns
    }

    fn refuse_record(&mut self) {
        self.break_group();
        self.counters.ticks_invalid += 1;
    }

    /// The topic that a tick of market data is of, if it is one that feeds have.
    fn topic_of(&self, tick: &Tick, channel: Channel) -> Option<u32> {
        let slot = self.market.instruments.get(self.market.instruments.by_id(tick.instrument)?);
        let valid = tick.seq > 0
            && tick.seq <= SEQ_MAX
            && slot.definition.has(channel)
            && channel.partial_levels().is_none();
        if valid { slot.topic(channel) } else { None }
    }

    fn handle_epoch(&mut self, epoch: u64) {
        let is_adopted = std::mem::take(&mut self.intake.is_adopted);
        let has_entries = self.market.log.head() > self.market.log.tail();
        // An image was first to tell of this epoch, and that is fine, unless data was taken since:
        // that was of an older one. All there is of this epoch follows, from its first numbers.
        if epoch != self.market.epoch || is_adopted && has_entries {
            self.begin_epoch(epoch);
        }
    }

    fn begin_epoch(&mut self, epoch: u64) {
        let is_restart = self.market.epoch != 0;
        self.market.begin_epoch(epoch);
        self.counters.epochs += 1;
        self.intake.recovering_until_ns = None;
        self.intake.recovered.clear();
        self.interests.begin_epoch();
        self.timed.reset();
        self.peers.status = if is_restart { FeedState::Restarted } else { FeedState::Live };
        self.peers.status_number += 1;
        self.peers.urge_all();
    }

    fn define(&mut self, instrument: &Instrument, presence: Presence) {
        let instruments_max = self.limits.instruments_max;
        let market = &mut self.market;
        match market.instruments.define(instrument, &mut market.topics, instruments_max) {
            Defined::New(slot) => {
                self.counters.definitions += 1;
                self.market.instruments.set_presence(slot, presence);
                self.interests.defined(slot);
                self.reaches.defined(slot, &instrument.symbol);
                self.begin_waiting(&instrument.symbol);
                for channel in Channel::all() {
                    if let Some(topic) = self.market.instruments.get(slot).topic(channel) {
                        self.rouse_exact(topic);
                        self.rouse_wildcards(topic, Walk::On);
                    }
                }
            }
            Defined::Same => {}
            Defined::Refused => self.counters.definitions_refused += 1,
        }
    }

    /// Has every subscriber of the topic look at it once more, although no entry came.
    pub(crate) fn rouse(&mut self, topic: u32) {
        self.rouse_exact(topic);
        self.rouse_wildcards(topic, Walk::Again);
    }

    fn rouse_exact(&mut self, topic: u32) {
        let peers = &mut self.peers;
        self.market.topics.get(topic).subscribers.for_each(|index| {
            if let Some(conn) = peers.get_mut(index) {
                conn.sweep();
            }
            peers.urge(index);
        });
    }

    fn rouse_wildcards(&mut self, topic: u32, walk: Walk) {
        let peers = &mut self.peers;
        let known = self.market.topics.get(topic);
        self.reaches.for_each(known.channel, known.slot, |index| {
            if walk == Walk::Again
                && let Some(wildcard) = peers.wildcard_mut(index, known.channel)
            {
                wildcard.walked = 0;
            }
            peers.urge(index);
        });
    }

    /// Appends an entry and marks its subscribers. `false` if its number was taken already.
    pub(crate) fn take(&mut self, topic: u32, ticks: &[Tick], marks: u8, now_ns: u64) -> bool {
        let (seq, known) = (ticks[0].seq, self.market.topics.get(topic));
        if seq <= known.head_seq && !self.forget(topic) {
            self.counters.ticks_repeated += ticks.len() as u64;
            return false;
        }
        let known = self.market.topics.get(topic);
        let missing = seq - known.head_seq - 1;
        if missing > 0
            && (!self.market.is_book(known.channel) || known.channel == Channel::Depth)
            && self.market.instruments.get(known.slot).is_attached()
        {
            self.counters.ticks_missing += missing;
        }
        self.market.append(topic, ticks, marks, now_ns, &mut self.counters);
        let known = self.market.topics.get(topic);
        known.subscribers.mark(&mut self.peers.dirty);
        if !known.is_view() {
            self.reaches.mark(known.channel, known.slot, &mut self.peers.dirty);
        }
        true
    }

    fn handle_depth(&mut self, tick: &Tick, now_ns: u64) {
        let Some(topic) = self.topic_of(tick, Channel::Depth) else {
            return self.refuse_record();
        };
        if tick.begins() {
            self.break_group();
        } else {
            let belongs =
                |first: &Tick| (first.instrument, first.seq) == (tick.instrument, tick.seq);
            let ticks_max = self.limits.group_levels_max.div_ceil(LEVELS_PER_TICK);
            let group = &self.intake.group;
            if !group.first().is_some_and(belongs) || group.len() >= ticks_max {
                return self.refuse_record();
            }
        }
        if tick.begins() && tick.ends() {
            return self.handle_group(topic, std::slice::from_ref(tick), now_ns);
        }
        self.intake.group.push(*tick);
        if tick.ends() {
            let group = std::mem::take(&mut self.intake.group);
            self.handle_group(topic, &group, now_ns);
            self.intake.group = group;
            self.intake.group.clear();
        }
    }

    /// Drops a group whose end will not come. Its number is missing from then on.
    fn break_group(&mut self) {
        if !self.intake.group.is_empty() {
            self.counters.groups_broken += 1;
            self.intake.group.clear();
        }
    }

    fn handle_group(&mut self, topic: u32, group: &[Tick], now_ns: u64) {
        if !self.take(topic, group, 0, now_ns) {
            return;
        }
        let at = self.market.topics.get(topic).head;
        let slot = self.market.topics.get(topic).slot;
        let levels_max = self.limits.book_levels_max;
        let Some(book) = &mut self.market.instruments.get_mut(slot).book else { return };
        match book.apply(group, levels_max) {
            Applied::Yes => {
                for channel in PARTIAL {
                    if let Some(topic) = self.market.instruments.get(slot).topic(channel) {
                        self.derive(topic, now_ns);
                    }
                }
            }
            Applied::Broke => self.counters.books_broken += 1,
            Applied::Ahead | Applied::Unsound => {}
        }
        if !self.market.instruments.get(slot).timed.is_empty() {
            self.gather(slot, Channel::Depth, at, now_ns);
        }
    }

    /// Appends the best levels of a sound book as an entry, if somebody is subscribed to that.
    pub(crate) fn derive(&mut self, topic: u32, now_ns: u64) {
        let known = self.market.topics.get(topic);
        let Some(levels) = known.channel.partial_levels() else { return };
        let is_watched = || self.reaches.is_watched(known.channel, known.slot);
        if known.subscribers.is_empty() && (known.is_view() || !is_watched()) {
            return;
        }
        let Some(book) = &self.market.instruments.get(known.slot).book else { return };
        let mut tick =
            Tick::new(Kind::Data(known.channel), book.head.instrument, book.head.ts_event_ns);
        tick.ts_ring_ns = tick.ts_event_ns + u64::from(book.head.ring_delay_ns);
        // A view has no number for what was not told.
        tick.seq = if known.is_view() { known.head_seq + 1 } else { book.head.seq };
        tick.flags = 0;
        tick.body[1] = book.head.last_update_id;
        let partial = &mut self.intake.partial;
        partial.clear();
        let bids = book.levels.levels(Side::Bid).take(levels).map(|level| (Side::Bid, level));
        let asks = book.levels.levels(Side::Ask).take(levels).map(|level| (Side::Ask, level));
        for (count, (side, (price, quantity))) in bids.chain(asks).enumerate() {
            if count % LEVELS_PER_TICK == 0 {
                partial.push(tick);
            }
            let at = count % LEVELS_PER_TICK;
            if let Some(tick) = partial.last_mut() {
                tick.body[2 + 2 * at] = price.cast_unsigned();
                tick.body[3 + 2 * at] = quantity.cast_unsigned();
                tick.sides |= u8::from(side == Side::Ask) << at;
                tick.levels += 1;
            }
        }
        if partial.is_empty() {
            partial.push(tick);
        }
        partial[0].flags |= flags::BEGIN;
        if let Some(last) = partial.last_mut() {
            last.flags |= flags::END;
        }
        let partial = std::mem::take(&mut self.intake.partial);
        self.counters.entries_derived += u64::from(self.take(topic, &partial, 0, now_ns));
        self.intake.partial = partial;
    }
}
