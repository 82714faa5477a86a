//! Interest of all shards together: how many of them have somebody subscribed to an instrument, or to a
//! channel of all. Shards write, at the end of a turn in which something changed; the source reads.
//!
//! Not on the tick path, and without a lock all the same: a shard never waits for the source.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use hub::{Interest, Scope};
use tokio::sync::Notify;
use wire::{CHANNEL_COUNT, Channel};

/// See the module's header.
#[derive(Debug)]
pub struct InterestTable {
    /// How many shards are interested, by the instrument's id.
    instruments: Box<[AtomicU32]>,
    /// A bit for each instrument of which something changed since the source looked.
    changed: Box<[AtomicU64]>,
    /// How many shards have a wildcard, by the channel's code.
    channels: [AtomicU32; CHANNEL_COUNT],
    bell: Notify,
}

impl InterestTable {
    /// A table for instruments with ids below this.
    #[must_use]
    pub fn new(instruments_max: usize) -> Self {
        Self {
            instruments: (0..instruments_max).map(|_| AtomicU32::new(0)).collect(),
            changed: (0..instruments_max.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            channels: std::array::from_fn(|_| AtomicU32::new(0)),
            bell: Notify::new(),
        }
    }

    /// A shard's interest has changed like this.
    pub fn tell(&self, changes: impl Iterator<Item = Interest>) {
        let mut has_any = false;
        for change in changes {
            has_any = true;
            let (scope, step) = match change {
                Interest::Begins(scope) => (scope, 1),
                // Wraps: adding the greatest number takes one away.
                Interest::Ends(scope) => (scope, u32::MAX),
            };
            match scope {
                Scope::Instrument(id) => {
                    let at = usize::try_from(id).unwrap_or(usize::MAX);
                    let Some(count) = self.instruments.get(at) else { continue };
                    // Relaxed: the bit that is set next publishes it.
                    count.fetch_add(step, Ordering::Relaxed);
                    // Release: who takes the bit sees the count.
                    self.changed[at / 64].fetch_or(1 << (at % 64), Ordering::Release);
                }
                Scope::Channel(channel) => {
                    let count = &self.channels[usize::from(channel.code())];
                    // Release: who sees the bell ring sees the count; see `changed`.
                    count.fetch_add(step, Ordering::Release);
                }
            }
        }
        if has_any {
            self.bell.notify_one();
        }
    }

    /// Waits until something has changed since [`InterestTable::take_changed`]. For one source only.
    pub async fn changed(&self) {
        self.bell.notified().await;
    }

    /// Calls `each` with every instrument of which something changed since the last time, if only for a
    /// moment, and whether it is of interest now.
    pub fn take_changed(&self, mut each: impl FnMut(u32, bool)) {
        for (word, changed) in self.changed.iter().enumerate() {
            if changed.load(Ordering::Relaxed) == 0 {
                continue;
            }
            // Acquire: with the bit comes the count.
            let mut bits = changed.swap(0, Ordering::Acquire);
            while bits != 0 {
                let at = word * 64 + usize::try_from(bits.trailing_zeros()).unwrap_or(0);
                bits &= bits - 1;
                let id = u32::try_from(at).expect("ids are 32-bit numbers");
                each(id, self.is_wanted(id));
            }
        }
    }

    /// Whether somebody is subscribed to this instrument by name.
    #[must_use]
    pub fn is_wanted(&self, instrument: u32) -> bool {
        let at = usize::try_from(instrument).unwrap_or(usize::MAX);
        self.instruments.get(at).is_some_and(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// The channels that somebody is subscribed to by wildcard, as a set of [`Channel::bit`]s; for
    /// partial books it is depth, which they are made of.
    #[must_use]
    pub fn channels(&self) -> u64 {
        let wanted = Channel::all().filter(|channel| {
            self.channels[usize::from(channel.code())].load(Ordering::Acquire) > 0
        });
        wanted.fold(0, |set, channel| {
            let source = if channel.partial_levels().is_some() { Channel::Depth } else { channel };
            set | source.bit()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(id: u32) -> Interest {
        Interest::Begins(Scope::Instrument(id))
    }

    fn ends(id: u32) -> Interest {
        Interest::Ends(Scope::Instrument(id))
    }

    fn changed(table: &InterestTable) -> Vec<(u32, bool)> {
        let mut changed = Vec::new();
        table.take_changed(|id, is_wanted| changed.push((id, is_wanted)));
        changed
    }

    #[test]
    fn interest_of_shards_adds_up_and_a_moment_of_it_is_seen() {
        let table = InterestTable::new(130);
        table.tell([begins(3), begins(129)].into_iter());
        table.tell([begins(3), begins(64), ends(64), begins(500)].into_iter());
        assert_eq!(changed(&table), [(3, true), (64, false), (129, true)]);
        table.tell([ends(3)].into_iter());
        assert_eq!(changed(&table), [(3, true)], "another shard is still interested");
        table.tell([ends(3)].into_iter());
        assert_eq!((changed(&table), changed(&table)), (vec![(3, false)], vec![]));
        assert!(!table.is_wanted(500));
    }

    #[test]
    fn partial_books_are_interest_in_depth() {
        let table = InterestTable::new(1);
        let channel = |channel| Scope::Channel(channel);
        let all = [Channel::Trade, Channel::Depth10, Channel::Depth5];
        table.tell(all.into_iter().map(|all| Interest::Begins(channel(all))));
        assert_eq!(table.channels(), Channel::Trade.bit() | Channel::Depth.bit());
        table.tell([Interest::Ends(channel(Channel::Depth5))].into_iter());
        assert_eq!(table.channels(), Channel::Trade.bit() | Channel::Depth.bit());
        table.tell([Interest::Ends(channel(Channel::Depth10))].into_iter());
        assert_eq!(table.channels(), Channel::Trade.bit());
    }

    #[tokio::test]
    async fn a_change_before_the_wait_is_not_missed() {
        let table = InterestTable::new(1);
        table.tell([begins(0)].into_iter());
        table.changed().await;
        assert_eq!(changed(&table), [(0, true)]);
    }
}
