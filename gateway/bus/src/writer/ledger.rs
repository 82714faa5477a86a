//! The ledger: what a writer knows of every instrument, from the ticks it was given.
//!
//! For each topic the newest tick, for each instrument with depth the book: what images are made of, and
//! what puts readers right after ticks were dropped. It is ahead of the log by what is held: numbers in
//! it decide what of an image is new to a reader. Not a sequencer: ticks come numbered.

use wire::{
    Book, Channel, GROUP_LEVELS_MAX, Instrument, InstrumentImage, Kind, Level, Presence, Side,
    Tick, flags,
};

/// Channels that have no last tick of their own: depth is a book, partial depth is derived from it.
const BOOK_CHANNELS: u64 =
    Channel::Depth.bit() | Channel::Depth5.bit() | Channel::Depth10.bit() | Channel::Depth20.bit();

/// State of all instruments of an epoch.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    epoch: u64,
    /// By id.
    accounts: Vec<Account>,
    /// Newest tick of every topic but depth, an instrument's channels side by side, by code.
    last: Vec<Tick>,
}

/// State of one instrument.
#[derive(Debug)]
struct Account {
    definition: Instrument,
    /// The channels with a last tick: a set of [`Channel::bit`]s.
    channels: u64,
    /// Where its ticks begin in [`Ledger::last`].
    last_at: usize,
    book: Book,
    depth_seq: u64,
    update_id: u64,
    depth_ts_event_ns: u64,
}

/// What the ledger says to a group of ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It is newer than what was known.
    New,
    /// Its number was known already.
    Known,
    /// There is no such topic.
    Stray,
}

impl Ledger {
    /// Nothing is known yet of these instruments.
    pub(super) fn new(epoch: u64, instruments: &[Instrument]) -> Self {
        let mut ledger = Self { epoch, ..Self::default() };
        for instrument in instruments {
            let account = Account::new(*instrument, ledger.last.len());
            // A number of 0 says that the topic has had no tick yet.
            let none = Tick::new(Kind::Data(Channel::Status), instrument.id, 0);
            ledger.last.resize(ledger.last.len() + account.topics(), none);
            ledger.accounts.push(account);
        }
        ledger
    }

    /// How many topics have a last tick of their own.
    pub(super) const fn topics(&self) -> usize {
        self.last.len()
    }

    /// Takes a group: one tick of any channel but depth, or all ticks of a depth event.
    #[inline]
    pub(super) fn enter(&mut self, group: &[Tick]) -> Entered {
        let Some(first) = group.first() else { return Entered::Stray };
        let Some(account) = self.accounts.get_mut(first.instrument as usize) else {
            return Entered::Stray;
        };
        match first.kind() {
            Ok(Kind::Data(Channel::Depth)) if account.definition.has(Channel::Depth) => {
                if first.seq <= account.depth_seq {
                    return Entered::Known;
                }
                account.apply(group);
                Entered::New
            }
            Ok(Kind::Data(channel)) if account.channels & channel.bit() != 0 => {
                let last = &mut self.last[account.rank(channel)];
                if first.seq <= last.seq {
                    return Entered::Known;
                }
                *last = *first;
                Entered::New
            }
            _ => Entered::Stray,
        }
    }

    /// Takes what an image has that is newer, as after ticks were lost on their way here. Appends the last
    /// ticks it brought to `news`, and says whether it brought a book.
    pub(super) fn enter_image(&mut self, image: &InstrumentImage, news: &mut Vec<Tick>) -> bool {
        let id = image.definition.id as usize;
        let Some(account) = self.accounts.get_mut(id) else { return false };
        if image.epoch != self.epoch {
            return false;
        }
        for tick in &image.last {
            let Ok(Kind::Data(channel)) = tick.kind() else { continue };
            if account.channels & channel.bit() != 0 {
                let last = &mut self.last[account.rank(channel)];
                if tick.seq > last.seq {
                    *last = *tick;
                    news.push(*tick);
                }
            }
        }
        let is_newer =
            image.depth_seq > account.depth_seq && account.definition.has(Channel::Depth);
        if is_newer {
            account.depth_seq = image.depth_seq;
            account.update_id = image.update_id;
            account.depth_ts_event_ns = image.ts_event_ns;
            account.book.clear();
            for (side, levels) in [(Side::Bid, &image.bids), (Side::Ask, &image.asks)] {
                // The worst first: each level then goes to the end of its side.
                for &(price, quantity) in levels.iter().rev() {
                    account.book.apply(&Level { side, price, quantity });
                }
            }
        }
        is_newer
    }

    /// Whether anything is known of the instrument.
    pub(super) fn has_state(&self, instrument: u32) -> bool {
        let Some(account) = self.accounts.get(instrument as usize) else { return false };
        let last = &self.last[account.last_at..][..account.topics()];
        account.depth_seq > 0 || last.iter().any(|tick| tick.seq > 0)
    }

    /// The image of an instrument as it is now.
    pub(super) fn image(&self, instrument: u32) -> Option<InstrumentImage> {
        let account = self.accounts.get(instrument as usize)?;
        let last = &self.last[account.last_at..][..account.topics()];
        let side = |side| account.book.levels(side).collect();
        Some(InstrumentImage {
            epoch: self.epoch,
            definition: account.definition,
            presence: Presence::Attached,
            last: last.iter().filter(|tick| tick.seq > 0).copied().collect(),
            depth_seq: account.depth_seq,
            update_id: account.update_id,
            ts_event_ns: account.depth_ts_event_ns,
            bids: side(Side::Bid),
            asks: side(Side::Ask),
        })
    }

    /// Appends one depth group that replaces the instrument's book by the one that is known, with the
    /// number of the last group in it: the one number jumped to after groups were dropped. A book of more
    /// levels than a group can have loses its worst ones, both sides alike.
    pub(super) fn push_replacement(&self, instrument: u32, ts_ring_ns: u64, out: &mut Vec<Tick>) {
        let Some(account) = self.accounts.get(instrument as usize) else { return };
        if account.depth_seq == 0 {
            return;
        }
        let mut levels = Vec::new();
        for side in [Side::Bid, Side::Ask] {
            let best = account.book.levels(side).take(GROUP_LEVELS_MAX / 2);
            levels.extend(best.map(|(price, quantity)| Level { side, price, quantity }));
        }
        let start = out.len();
        let update_ids = account.update_id..=account.update_id;
        Tick::push_depth(out, instrument, account.depth_ts_event_ns, update_ids, &levels);
        for tick in &mut out[start..] {
            tick.seq = account.depth_seq;
            tick.ts_ring_ns = ts_ring_ns;
            tick.flags |= flags::REPLACES_BOOK;
        }
    }
}

impl Account {
    const fn new(definition: Instrument, last_at: usize) -> Self {
        Self {
            definition,
            channels: definition.channels & !BOOK_CHANNELS,
            last_at,
            book: Book::new(),
            depth_seq: 0,
            update_id: 0,
            depth_ts_event_ns: 0,
        }
    }

    const fn topics(&self) -> usize {
        self.channels.count_ones() as usize
    }

    /// Where in [`Ledger::last`] the channel's tick is.
    const fn rank(&self, channel: Channel) -> usize {
        self.last_at + (self.channels & (channel.bit() - 1)).count_ones() as usize
    }

    fn apply(&mut self, group: &[Tick]) {
        let first = &group[0];
        self.depth_seq = first.seq;
        self.update_id = first.update_ids().1;
        self.depth_ts_event_ns = first.ts_event_ns;
        if first.flags & flags::REPLACES_BOOK != 0 {
            self.book.clear();
        }
        for level in group.iter().flat_map(Tick::depth_levels) {
            self.book.apply(&level);
        }
    }
}
