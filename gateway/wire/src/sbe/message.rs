//! Decoded binary messages: plain values, and iterators over the bytes of their groups.

use zerocopy::FromBytes;

use super::layout::{GapItem, LevelEntry};
use crate::body::{AggTrade, Average, Bar, Quote, RollingTicker, Ticker, Trade, TradingStatus};
use crate::event::{FeedState, GapEntry, GapReason, SnapshotPart};
use crate::instrument::Instrument;
use crate::topic::Channel;

/// What the root of every market-data message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHead {
    /// When it happened, by the venue's clock, ns since the epoch.
    pub ts_event_ns: u64,
    /// Number within its topic and epoch.
    pub seq: u64,
    /// The instrument's id, as in its definition.
    pub instrument: u32,
    /// From the event until it entered the ring, ns; `u32::MAX` is that or more.
    pub ring_delay_ns: u32,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message<'a> {
    /// One trade.
    Trade(EventHead, Trade),
    /// Best bid and offer; the update id is not in the message and 0 here.
    Quote(EventHead, Quote),
    /// Changes of the book.
    DepthUpdate(DepthUpdate<'a>),
    /// The best levels of each side.
    PartialDepth(PartialDepth<'a>),
    /// The book, or a part of it.
    DepthSnapshot(DepthSnapshot<'a>),
    /// Statistics over 24 hours.
    Ticker(EventHead, Ticker),
    /// A bar of this bar channel.
    Bar(EventHead, Channel, Bar),
    /// Trading status.
    Status(EventHead, TradingStatus),
    /// Consecutive trades of one taker order at one price.
    AggTrade(EventHead, AggTrade),
    /// Statistics over the last hours, of this rolling channel.
    Rolling(EventHead, Channel, RollingTicker),
    /// The average price of the last minutes.
    Average(EventHead, Average),
    /// Sequence numbers that are skipped.
    Gap(Gap<'a>),
    /// Nothing else to say.
    Heartbeat {
        /// The gateway's clock, ns since the epoch.
        ts_ns: u64,
        /// The epoch of sequence numbers.
        epoch: u64,
    },
    /// What an instrument id means.
    Definition {
        /// What it means.
        instrument: Instrument,
        /// In which epoch.
        epoch: u64,
    },
    /// What became of the feed.
    FeedStatus {
        /// The gateway's clock, ns since the epoch.
        ts_ns: u64,
        /// The epoch of sequence numbers from now on.
        epoch: u64,
        /// What became of it.
        state: FeedState,
    },
    /// From clients: the messages behind it are ticks to be published.
    Publish {
        /// The epoch of the instruments' ids.
        epoch: u64,
        /// The client's number for it, which the answer bears.
        request: u64,
    },
}

impl Message<'_> {
    /// What it begins with, if it is market data.
    #[must_use]
    pub const fn head(&self) -> Option<&EventHead> {
        match self {
            Self::Trade(head, _)
            | Self::Quote(head, _)
            | Self::Ticker(head, _)
            | Self::Bar(head, _, _)
            | Self::Status(head, _)
            | Self::AggTrade(head, _)
            | Self::Rolling(head, _, _)
            | Self::Average(head, _)
            | Self::DepthUpdate(DepthUpdate { head, .. })
            | Self::PartialDepth(PartialDepth { head, .. })
            | Self::DepthSnapshot(DepthSnapshot { head, .. }) => Some(head),
            Self::Gap(_)
            | Self::Heartbeat { .. }
            | Self::Definition { .. }
            | Self::FeedStatus { .. }
            | Self::Publish { .. } => None,
        }
    }

    /// The channel it belongs to, if it is market data.
    #[must_use]
    pub const fn channel(&self) -> Option<Channel> {
        Some(match self {
            Self::Trade(..) => Channel::Trade,
            Self::Quote(..) => Channel::Quote,
            Self::DepthUpdate(_) | Self::DepthSnapshot(_) => Channel::Depth,
            Self::PartialDepth(partial) => partial.channel,
            Self::Ticker(..) => Channel::Ticker,
            Self::Bar(_, channel, _) | Self::Rolling(_, channel, _) => *channel,
            Self::Status(..) => Channel::Status,
            Self::AggTrade(..) => Channel::AggTrade,
            Self::Average(..) => Channel::Average,
            Self::Gap(_)
            | Self::Heartbeat { .. }
            | Self::Definition { .. }
            | Self::FeedStatus { .. }
            | Self::Publish { .. } => return None,
        })
    }
}

/// Changes of a book: one group of the venue's, or several merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthUpdate<'a> {
    /// Of the newest group contained.
    pub head: EventHead,
    /// The venue's first update id contained.
    pub first_update_id: u64,
    /// The venue's last update id contained.
    pub last_update_id: u64,
    /// Whether several groups are merged.
    pub is_merged: bool,
    /// Whether the levels are the whole book from now on.
    pub replaces_book: bool,
    /// Changed bids: new quantities, 0 for a level that is gone.
    pub bids: Levels<'a>,
    /// Changed asks.
    pub asks: Levels<'a>,
}

/// The best levels of a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialDepth<'a> {
    /// With the number of the depth group after which the book is so.
    pub head: EventHead,
    /// `depth5`, `depth10` or `depth20`.
    pub channel: Channel,
    /// The venue's last update id contained.
    pub update_id: u64,
    /// Bids, best first.
    pub bids: Levels<'a>,
    /// Asks, best first.
    pub asks: Levels<'a>,
}

/// A whole book, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepthSnapshot<'a> {
    /// With the number of the depth group after which the book is so.
    pub head: EventHead,
    /// Which part.
    pub part: SnapshotPart,
    /// The venue's last update id contained.
    pub update_id: u64,
    /// Bids, best first.
    pub bids: Levels<'a>,
    /// Asks, best first.
    pub asks: Levels<'a>,
}

/// Sequence numbers that are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap<'a> {
    /// The gateway's clock, ns since the epoch.
    pub ts_ns: u64,
    /// Topic by topic.
    pub entries: GapEntries<'a>,
}

/// The entries of a group, each `stride` bytes of which the first are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> Entries<'a> {
    /// Entries that fill `bytes`; a stride of 0 is for no entries at all.
    pub(super) const fn new(bytes: &'a [u8], stride: usize) -> Self {
        Self { bytes, stride }
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let (entry, rest) = self.bytes.split_at_checked(self.stride)?;
        if entry.is_empty() {
            return None;
        }
        self.bytes = rest;
        Some(entry)
    }

    const fn len(&self) -> usize {
        match self.bytes.len().checked_div(self.stride) {
            Some(len) => len,
            None => 0,
        }
    }
}

/// Price and quantity mantissas of the levels of one side.
#[derive(Clone, Debug)]
pub struct Levels<'a>(pub(super) Entries<'a>);

impl Iterator for Levels<'_> {
    type Item = (i64, i64);

    fn next(&mut self) -> Option<(i64, i64)> {
        let (level, _) = LevelEntry::read_from_prefix(self.0.next()?).ok()?;
        Some((level.price.get(), level.quantity.get()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for Levels<'_> {}

/// Equal levels are equal, whatever unknown bytes are between them.
impl PartialEq for Levels<'_> {
    fn eq(&self, other: &Self) -> bool {
        Iterator::eq(self.clone(), other.clone())
    }
}

impl Eq for Levels<'_> {}

/// The entries of a [`Gap`], all with known channels and reasons: the decoder has looked.
#[derive(Clone, Debug)]
pub struct GapEntries<'a>(pub(super) Entries<'a>);

impl<'a> GapEntries<'a> {
    /// Iterates without the check; `None` in it is an entry that means nothing to us.
    pub(super) fn unchecked(mut entries: Entries<'a>) -> impl Iterator<Item = Option<GapEntry>> {
        std::iter::from_fn(move || entries.next().map(gap_entry))
    }
}

impl Iterator for GapEntries<'_> {
    type Item = GapEntry;

    fn next(&mut self) -> Option<GapEntry> {
        self.0.next().and_then(gap_entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for GapEntries<'_> {}

/// Equal entries are equal, whatever unknown bytes are between them.
impl PartialEq for GapEntries<'_> {
    fn eq(&self, other: &Self) -> bool {
        Iterator::eq(self.clone(), other.clone())
    }
}

impl Eq for GapEntries<'_> {}

fn gap_entry(bytes: &[u8]) -> Option<GapEntry> {
    let (item, _) = GapItem::read_from_prefix(bytes).ok()?;
    Some(GapEntry {
        instrument: item.instrument.get(),
        channel: Channel::from_native_code(item.channel)?,
        reason: GapReason::from_code(item.reason)?,
        first_seq: item.first_seq.get(),
        count: item.count.get(),
    })
}
