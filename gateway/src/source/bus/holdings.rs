//! Which buckets a gateway holds, given what its clients are interested in. It decides; the source asks
//! the bus. No clock: the time is an argument.
//!
//! A bucket is wanted while somebody is subscribed to an instrument of it, or by wildcard to a channel
//! that one of its instruments has. One that is not wanted any more is kept for a while: who comes back
//! in a moment finds it as it was.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bus::Catalog;

use crate::shard::InterestTable;

/// What is to be done at the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Take this bucket.
    Want(u32),
    /// Let it go.
    Leave(u32),
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Holdings {
    catalog: Arc<Catalog>,
    linger_ns: u64,
    held: BTreeMap<u32, Held>,
    /// The channels with a wildcard when they were last looked at.
    channels: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Wanted,
    /// Nobody wants it, since then.
    Idle {
        since_ns: u64,
    },
}

impl Holdings {
    /// Holds nothing yet of this catalog. What is not wanted is kept for `linger_ns`.
    pub(super) fn new(catalog: Arc<Catalog>, linger_ns: u64) -> Self {
        Self { catalog, linger_ns, held: BTreeMap::new(), channels: 0 }
    }

    /// Holds every bucket for good.
    pub(super) fn take_all(&mut self, steps: &mut Vec<Step>) {
        for bucket in self.catalog.buckets() {
            self.held.insert(bucket, Held::Wanted);
            steps.push(Step::Want(bucket));
        }
    }

    /// Looks at every bucket: the catalog is new.
    pub(super) fn begin(&mut self, table: &InterestTable, now_ns: u64, steps: &mut Vec<Step>) {
        self.channels = table.channels();
        for bucket in self.catalog.buckets() {
            self.look_at(bucket, table, now_ns, steps);
        }
    }

    /// Looks at the buckets of which something changed.
    pub(super) fn look(&mut self, table: &InterestTable, now_ns: u64, steps: &mut Vec<Step>) {
        let mut touched = BTreeSet::new();
        let instruments = u32::try_from(self.catalog.instruments().len()).unwrap_or(u32::MAX);
        table.take_changed(|id, _| {
            // An id of another epoch may be beyond this one's.
            if id < instruments {
                touched.insert(self.catalog.bucket_of(id));
            }
        });
        let channels = table.channels();
        if channels != self.channels {
            self.channels = channels;
            for bucket in self.catalog.buckets() {
                self.look_at(bucket, table, now_ns, steps);
            }
        }
        for bucket in touched {
            self.look_at(bucket, table, now_ns, steps);
            // Somebody was there for a moment, perhaps to come back for what they asked for.
            if let Entry::Vacant(vacant) = self.held.entry(bucket) {
                vacant.insert(Held::Idle { since_ns: now_ns });
                steps.push(Step::Want(bucket));
            }
        }
    }

    /// Lets go what nobody has wanted for long enough.
    pub(super) fn expire(&mut self, now_ns: u64, steps: &mut Vec<Step>) {
        let linger_ns = self.linger_ns;
        self.held.retain(|bucket, held| match held {
            Held::Idle { since_ns } if now_ns.saturating_sub(*since_ns) >= linger_ns => {
                steps.push(Step::Leave(*bucket));
                false
            }
            _ => true,
        });
    }

    fn look_at(&mut self, bucket: u32, table: &InterestTable, now_ns: u64, steps: &mut Vec<Step>) {
        if self.is_wanted(bucket, table) {
            if self.held.insert(bucket, Held::Wanted).is_none() {
                steps.push(Step::Want(bucket));
            }
        } else if let Some(held) = self.held.get_mut(&bucket) {
            *held = Held::Idle { since_ns: now_ns };
        }
    }

    fn is_wanted(&self, bucket: u32, table: &InterestTable) -> bool {
        self.catalog.instruments_of(bucket).any(|id| {
            let at = usize::try_from(id).unwrap_or(usize::MAX);
            let by_wildcard = self
                .catalog
                .instruments()
                .get(at)
                .is_some_and(|instrument| instrument.channels & self.channels != 0);
            by_wildcard || table.is_wanted(id)
        })
    }
}

#[cfg(test)]
mod tests {
    use hub::{Interest, Scope};
    use wire::{Channel, Instrument, Symbol};

    use super::*;

    /// Six instruments in buckets of two; only the last has depth.
    fn catalog() -> Arc<Catalog> {
        let instrument = |id: u32| Instrument {
            id,
            symbol: Symbol::new(&format!("X{id}")).unwrap(),
            base_len: 0,
            price_exponent: -2,
            quantity_exponent: -2,
            tick_size: 1,
            lot_size: 1,
            channels: if id == 5 { Channel::Depth.bit() } else { Channel::Trade.bit() },
        };
        Arc::new(Catalog::new(7, 2, (0..6).map(instrument).collect(), 6).unwrap())
    }

    struct Bench {
        holdings: Holdings,
        table: InterestTable,
    }

    impl Bench {
        fn new() -> Self {
            Self { holdings: Holdings::new(catalog(), 100), table: InterestTable::new(8) }
        }

        fn tell(&mut self, changes: &[Interest], now_ns: u64) -> Vec<Step> {
            self.table.tell(changes.iter().copied());
            let mut steps = Vec::new();
            self.holdings.look(&self.table, now_ns, &mut steps);
            steps
        }

        fn expire(&mut self, now_ns: u64) -> Vec<Step> {
            let mut steps = Vec::new();
            self.holdings.expire(now_ns, &mut steps);
            steps
        }
    }

    fn begins(id: u32) -> Interest {
        Interest::Begins(Scope::Instrument(id))
    }

    fn ends(id: u32) -> Interest {
        Interest::Ends(Scope::Instrument(id))
    }

    #[test]
    fn a_bucket_is_held_from_its_first_instrument_until_a_while_after_its_last() {
        let mut bench = Bench::new();
        assert_eq!(bench.tell(&[begins(1), begins(7)], 0), [Step::Want(0)]);
        assert_eq!(bench.tell(&[begins(0)], 10), []);
        assert_eq!(bench.tell(&[ends(1)], 20), []);
        assert_eq!(bench.expire(500), []);
        assert_eq!(bench.tell(&[ends(0)], 500), []);
        assert_eq!(bench.expire(599), []);
        // Somebody comes back in time, and goes again.
        assert_eq!(bench.tell(&[begins(1)], 599), []);
        assert_eq!((bench.expire(700), bench.tell(&[ends(1)], 700)), (vec![], vec![]));
        assert_eq!(bench.expire(799), []);
        assert_eq!(bench.expire(800), [Step::Leave(0)]);
        assert_eq!(bench.tell(&[begins(0)], 900), [Step::Want(0)]);
    }

    #[test]
    fn who_asks_once_has_it_fetched_and_kept_for_the_linger() {
        let mut bench = Bench::new();
        assert_eq!(bench.tell(&[begins(2), ends(2)], 0), [Step::Want(1)]);
        assert_eq!(bench.expire(99), []);
        assert_eq!(bench.expire(100), [Step::Leave(1)]);
    }

    #[test]
    fn a_wildcard_wants_the_buckets_that_have_its_channel() {
        let mut bench = Bench::new();
        let depth = Scope::Channel(Channel::Depth5);
        assert_eq!(bench.tell(&[Interest::Begins(depth)], 0), [Step::Want(2)]);
        let trades = Scope::Channel(Channel::Trade);
        assert_eq!(bench.tell(&[Interest::Begins(trades)], 0), [Step::Want(0), Step::Want(1)]);
        assert_eq!(bench.tell(&[Interest::Ends(trades)], 10), []);
        assert_eq!(bench.expire(110), [Step::Leave(0), Step::Leave(1)]);
    }

    #[test]
    fn another_catalog_begins_with_who_is_there() {
        let mut bench = Bench::new();
        bench.tell(&[begins(4)], 0);
        let mut steps = Vec::new();
        let mut holdings = Holdings::new(catalog(), 100);
        holdings.begin(&bench.table, 0, &mut steps);
        assert_eq!(steps, [Step::Want(2)]);
        let mut steps = Vec::new();
        Holdings::new(catalog(), 100).take_all(&mut steps);
        assert_eq!(steps, [Step::Want(0), Step::Want(1), Step::Want(2)]);
    }
}
