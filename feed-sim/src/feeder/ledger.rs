//! The ledger: what the feeder knows of every instrument in the current epoch.
//!
//! For each topic the newest tick, whose number is the topic's number; for each instrument with depth
//! the book. All of it is what a recovery image is made of. Nothing is allocated after
//! [`Ledger::begin`] but the memory that books grow into.

use wire::{Book, Channel, Instrument, InstrumentImage, Kind, Level, Presence, Side, Tick, flags};

/// Channels that have no last tick of their own: depth is a book, partial depth is derived from it.
const BOOK_CHANNELS: [Channel; 4] =
    [Channel::Depth, Channel::Depth5, Channel::Depth10, Channel::Depth20];

/// State of all instruments.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
    /// Newest tick of every topic but depth, an instrument's channels side by side, by code.
    last: Vec<Tick>,
    /// The number that was relayed last for each of them. An image may know a newer tick.
    relayed: Vec<u64>,
}

/// What became of a relayed tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It is the topic's next, perhaps behind a hole.
    Next,
    /// Its number was relayed already.
    Repeated,
    /// There is no such topic.
    Nowhere,
}

/// State of one instrument.
#[derive(Debug)]
struct Account {
    definition: Instrument,
    presence: Presence,
    /// The channels with a last tick: a set of [`Channel::bit`]s.
    channels: u64,
    /// Where its ticks begin in [`Ledger::last`].
    last_at: usize,
    book: Book,
    /// The number of the last depth group in the book.
    depth_seq: u64,
    /// The number of the depth group that was relayed last.
    depth_relayed: u64,
    update_id: u64,
    depth_ts_event_ns: u64,
}

impl Ledger {
    /// Forgets everything; these are the instruments now.
    pub(super) fn begin(&mut self, instruments: &[Instrument], presence: Presence) {
        self.accounts.clear();
        self.last.clear();
        self.relayed.clear();
        for instrument in instruments {
            let account = Account { presence, ..Account::new(*instrument, self.last.len()) };
            // A number of 0 says that the topic has had no tick yet.
            let none = Tick::new(Kind::Data(Channel::Status), instrument.id, 0);
            self.last.resize(self.last.len() + account.topics(), none);
            self.relayed.resize(self.last.len(), 0);
            self.accounts.push(account);
        }
    }

    /// How many instruments there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.accounts.len()).expect("ids are 32-bit numbers")
    }

    /// Numbers a tick of any channel but depth and keeps it. None: there is no such topic.
    #[inline]
    pub(super) fn enter(&mut self, tick: &mut Tick, channel: Channel) -> Option<()> {
        let at = self.place(tick.instrument, channel)?;
        let last = &mut self.last[at];
        tick.seq = last.seq + 1;
        *last = *tick;
        Some(())
    }

    /// Passes over numbers of a topic. None: there is no such topic.
    pub(super) fn skip(&mut self, instrument: u32, channel: Channel, count: u64) -> Option<()> {
        let at = self.place(instrument, channel)?;
        self.last[at].seq += count;
        Some(())
    }

    /// Keeps a tick of any channel but depth that has its number.
    #[inline]
    pub(super) fn relay(&mut self, tick: &Tick, channel: Channel) -> Entered {
        let Some(at) = self.place(tick.instrument, channel) else { return Entered::Nowhere };
        if tick.seq <= self.relayed[at] {
            return Entered::Repeated;
        }
        self.relayed[at] = tick.seq;
        if tick.seq > self.last[at].seq {
            self.last[at] = *tick;
        }
        Entered::Next
    }

    /// Keeps a depth group that has its number. One behind a hole leaves the book as it was: only an
    /// image, or a group that replaces it, helps then.
    pub(super) fn relay_group(&mut self, group: &[Tick]) -> Entered {
        let first = &group[0];
        let Some(account) = self.accounts.get_mut(first.instrument as usize) else {
            return Entered::Nowhere;
        };
        if !account.definition.has(Channel::Depth) {
            return Entered::Nowhere;
        }
        if first.seq <= account.depth_relayed {
            return Entered::Repeated;
        }
        account.depth_relayed = first.seq;
        let replaces = first.flags & flags::REPLACES_BOOK != 0;
        if first.seq == account.depth_seq + 1 || replaces && first.seq > account.depth_seq {
            account.depth_seq = first.seq;
            group.iter().for_each(|tick| self.apply(tick));
        }
        Entered::Next
    }

    /// Takes over what an image knows that is newer. `None`: it is of no instrument of this epoch.
    pub(super) fn learn(&mut self, image: &InstrumentImage) -> Option<()> {
        let id = image.definition.id;
        if self.accounts.get(id as usize)?.definition != image.definition {
            return None;
        }
        for tick in &image.last {
            if let Ok(Kind::Data(channel)) = tick.kind()
                && let Some(at) = self.place(id, channel)
                && tick.seq > self.last[at].seq
            {
                self.last[at] = *tick;
            }
        }
        let account = &mut self.accounts[id as usize];
        if account.definition.has(Channel::Depth) && image.depth_seq > account.depth_seq {
            account.depth_seq = image.depth_seq;
            account.update_id = image.update_id;
            account.depth_ts_event_ns = image.ts_event_ns;
            account.book.clear();
            for (side, levels) in [(Side::Bid, &image.bids), (Side::Ask, &image.asks)] {
                // Worst first: every level is then inserted at the end.
                for &(price, quantity) in levels.iter().rev() {
                    account.book.apply(&Level { side, price, quantity });
                }
            }
        }
        Some(())
    }

    /// Applies changes that bring the book from its number to theirs. `None`: there is no such book.
    pub(super) fn learn_changes(&mut self, group: &[Tick]) -> Option<()> {
        let account = self.accounts.get_mut(group[0].instrument as usize)?;
        if !account.definition.has(Channel::Depth) {
            return None;
        }
        if group[0].seq > account.depth_seq {
            account.depth_seq = group[0].seq;
            group.iter().for_each(|tick| self.apply(tick));
        }
        Some(())
    }

    /// Whether the stream has the instrument's data. Who begins anew may be given numbers once more:
    /// readers that have them drop them, others may have lost them meanwhile.
    pub(super) fn set_presence(&mut self, instrument: u32, presence: Presence) {
        let account = &mut self.accounts[instrument as usize];
        account.presence = presence;
        if presence == Presence::Detached {
            account.depth_relayed = 0;
            let (at, topics) = (account.last_at, account.topics());
            self.relayed[at..at + topics].fill(0);
        }
    }

    /// Where the topic's last tick is.
    #[inline]
    fn place(&self, instrument: u32, channel: Channel) -> Option<usize> {
        let account = self.accounts.get(instrument as usize)?;
        let bit = channel.bit();
        if account.channels & bit == 0 {
            return None;
        }
        Some(account.last_at + (account.channels & (bit - 1)).count_ones() as usize)
    }

    /// Numbers a depth group. None: there is no such topic.
    #[inline]
    pub(super) fn begin_group(&mut self, instrument: u32) -> Option<u64> {
        let account = self.accounts.get_mut(instrument as usize)?;
        if !account.definition.has(Channel::Depth) {
            return None;
        }
        account.depth_seq += 1;
        Some(account.depth_seq)
    }

    /// Applies one tick of a depth group to the book.
    #[inline]
    pub(super) fn apply(&mut self, tick: &Tick) {
        let account = &mut self.accounts[tick.instrument as usize];
        if tick.begins() {
            account.update_id = tick.update_ids().1;
            account.depth_ts_event_ns = tick.ts_event_ns;
            if tick.flags & flags::REPLACES_BOOK != 0 {
                account.book.clear();
            }
        }
        for level in tick.depth_levels() {
            account.book.apply(&level);
        }
    }

    /// Fills in the image of an instrument, with at most as many levels as fit into `words`. Returns
    /// how many levels had no room.
    pub(super) fn image(
        &self,
        instrument: u32,
        words: usize,
        image: &mut InstrumentImage,
    ) -> usize {
        let account = &self.accounts[instrument as usize];
        image.definition = account.definition;
        image.presence = account.presence;
        image.depth_seq = account.depth_seq;
        image.update_id = account.update_id;
        image.ts_event_ns = account.depth_ts_event_ns;
        image.last.clear();
        let last = &self.last[account.last_at..][..account.topics()];
        image.last.extend(last.iter().filter(|tick| tick.seq > 0));

        let room = words.saturating_sub(InstrumentImage::words(image.last.len(), 0)) / 2;
        let book = &account.book;
        let (bids, asks) = share(book.len(Side::Bid), book.len(Side::Ask), room);
        image.bids.clear();
        image.bids.extend(book.levels(Side::Bid).take(bids));
        image.asks.clear();
        image.asks.extend(book.levels(Side::Ask).take(asks));
        book.len(Side::Bid) + book.len(Side::Ask) - bids - asks
    }
}

impl Account {
    fn new(definition: Instrument, last_at: usize) -> Self {
        let book = BOOK_CHANNELS.iter().fold(0, |set, channel| set | channel.bit());
        Self {
            definition,
            presence: Presence::Attached,
            channels: definition.channels & !book,
            last_at,
            book: Book::new(),
            depth_seq: 0,
            depth_relayed: 0,
            update_id: 0,
            depth_ts_event_ns: 0,
        }
    }

    const fn topics(&self) -> usize {
        self.channels.count_ones() as usize
    }
}

/// How many words the image of this instrument takes at most, with so many levels in all.
pub(super) fn image_words(instrument: &Instrument, levels: usize) -> usize {
    InstrumentImage::words(Account::new(*instrument, 0).topics(), levels)
}

/// Divides the room between the sides: half each, and what one does not need is the other's.
fn share(bids: usize, asks: usize, room: usize) -> (usize, usize) {
    if bids + asks <= room {
        return (bids, asks);
    }
    let half = room / 2;
    if bids <= half {
        (bids, room - bids)
    } else if asks <= half {
        (room - asks, asks)
    } else {
        (half, half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_shared_by_need() {
        assert_eq!(share(3, 4, 7), (3, 4));
        assert_eq!(share(10, 10, 7), (3, 3));
        assert_eq!(share(1, 10, 7), (1, 6));
        assert_eq!(share(10, 2, 7), (5, 2));
        assert_eq!(share(10, 2, 0), (0, 0));
    }
}
