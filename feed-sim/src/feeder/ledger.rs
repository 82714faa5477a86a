//! The ledger: what the feeder knows of every instrument in the current epoch.
//!
//! For each topic the newest tick, whose number is the topic's number; for each instrument with depth
//! the book. All of it is what a recovery image is made of. Nothing is allocated after
//! [`Ledger::begin`] but the memory that books grow into.

use wire::{Book, Channel, Instrument, InstrumentImage, Kind, Side, Tick, flags};

/// Channels that have no last tick of their own: depth is a book, partial depth is derived from it.
const BOOK_CHANNELS: [Channel; 4] =
    [Channel::Depth, Channel::Depth5, Channel::Depth10, Channel::Depth20];

/// State of all instruments.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
    /// Newest tick of every topic but depth, an instrument's channels side by side, by code.
    last: Vec<Tick>,
}

/// State of one instrument.
#[derive(Debug)]
struct Account {
    definition: Instrument,
    /// The channels with a last tick: a set of [`Channel::bit`]s.
    channels: u32,
    /// Where its ticks begin in [`Ledger::last`].
    last_at: usize,
    book: Book,
    depth_seq: u64,
    update_id: u64,
    depth_ts_event_ns: u64,
}

impl Ledger {
    /// Forgets everything; these are the instruments now.
    pub(super) fn begin(&mut self, instruments: &[Instrument]) {
        self.accounts.clear();
        self.last.clear();
        for instrument in instruments {
            let account = Account::new(*instrument, self.last.len());
            // A number of 0 says that the topic has had no tick yet.
            let none = Tick::new(Kind::Data(Channel::Status), instrument.id, 0);
            self.last.resize(self.last.len() + account.topics(), none);
            self.accounts.push(account);
        }
    }

    /// Numbers a tick of any channel but depth and keeps it. None: there is no such topic.
    #[inline]
    pub(super) fn enter(&mut self, tick: &mut Tick, channel: Channel) -> Option<()> {
        let account = self.accounts.get(tick.instrument as usize)?;
        let bit = channel.bit();
        if account.channels & bit == 0 {
            return None;
        }
        let rank = (account.channels & (bit - 1)).count_ones() as usize;
        let last = &mut self.last[account.last_at + rank];
        tick.seq = last.seq + 1;
        *last = *tick;
        Some(())
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
            channels: definition.channels & !book,
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
