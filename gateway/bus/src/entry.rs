//! Where things stand in a bucket's log: offsets, and the entries that have them.

use std::fmt;

use bytes::Bytes;

/// A place in a bucket's log. Offsets rise within a bucket, not necessarily by one (at NATS all buckets
/// count together); which entry follows which is said by [`Entry::previous`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// Before the first entry: what an empty log's newest offset is.
    pub const START: Self = Self(0);
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One appended batch, as the bus keeps it and sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place; above [`Offset::START`].
    pub offset: Offset,
    /// The place of the entry before it in the same bucket; [`Offset::START`]: it was the first.
    /// Known for live entries and for those read from the log, also if that entry is kept no longer.
    pub previous: Offset,
    /// The bytes of a [`crate::Batch`].
    pub payload: Bytes,
}

/// What reading a piece of a bucket's log gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// In order, beginning with the oldest kept entry behind what was asked for. Empty only if there was none.
    pub entries: Vec<Entry>,
    /// The bucket's newest offset, not of a later time than the entries: above the last of them, there is more;
    /// above what was read behind, without any entries, what there was is kept no longer; below what was
    /// read behind, the log began anew.
    pub tail: Offset,
}
