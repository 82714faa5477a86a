//! What a writer has done: plain numbers, written by it alone.

/// Counts since the writer was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterCounters {
    /// Ticks taken.
    pub pushed: u64,
    /// Ticks acknowledged by the bus.
    pub appended: u64,
    /// Batches acknowledged by the bus.
    pub batches: u64,
    /// Bytes of acknowledged batches.
    pub appended_bytes: u64,
    /// Ticks dropped because too many were not acknowledged, or because their epoch was over before.
    pub dropped: u64,
    /// Times that the bound was reached.
    pub overflows: u64,
    /// Depth groups made to replace books after others were dropped.
    pub replacements: u64,
    /// Ticks left out because their numbers had been seen.
    pub repeated: u64,
    /// Ticks left out because the catalog has no such topic of a feed.
    pub stray: u64,
    /// Appends whose outcome was not known at first.
    pub doubts: u64,
    /// Appends that found another entry than expected.
    pub conflicts: u64,
    /// Times that the bus was found to have lost what it had.
    pub bus_losses: u64,
    /// Images stored.
    pub images: u64,
    /// Catalogs stored.
    pub catalogs: u64,
}
