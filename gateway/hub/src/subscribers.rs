//! Who is subscribed to one topic, or to one channel by wildcard: a short list while they are few,
//! a bit per connection slot when they are many.
//!
//! Marking is what every tick pays. A list of n costs n scattered writes; a bitset costs a pass over
//! slots / 64 words, whoever is in it. They cross near one subscriber per word, which is where a list
//! turns into a bitset; it turns back at a quarter of that, so that no topic flaps between them.

use crate::bits::BitSet;

/// A list of this length or shorter is never turned into a bitset: it is one or two cache lines.
const SPARSE_ALWAYS: usize = 32;

/// A list of this length or shorter is looked through at once: 512 B, compared eight at a time.
const GLANCE: usize = 128;

/// The subscribers of a topic, by connection slot.
#[derive(Debug)]
pub(crate) enum Subscribers {
    Sparse(Vec<u32>),
    Dense { bits: BitSet, count: u32 },
}

impl Default for Subscribers {
    fn default() -> Self {
        Self::Sparse(Vec::new())
    }
}

impl Subscribers {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Sparse(list) => list.is_empty(),
            Self::Dense { count, .. } => *count == 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_dense(&self) -> bool {
        matches!(self, Self::Dense { .. })
    }

    /// Adds a connection; `slots` is how many connection slots exist, used or not.
    pub(crate) fn insert(&mut self, conn: u32, slots: u32) {
        match self {
            Self::Sparse(list) => {
                if list.contains(&conn) {
                    return;
                }
                list.push(conn);
                if list.len() > SPARSE_ALWAYS && list.len() * 64 > slots as usize {
                    let mut bits = BitSet::default();
                    bits.grow(slots);
                    list.iter().for_each(|&conn| bits.insert(conn));
                    let count = u32::try_from(list.len()).expect("slots are 32-bit numbers");
                    *self = Self::Dense { bits, count };
                }
            }
            Self::Dense { bits, count } => {
                *count += u32::from(!bits.contains(conn));
                bits.insert(conn);
            }
        }
    }

    /// Removes a connection if it is there.
    pub(crate) fn remove(&mut self, conn: u32, slots: u32) {
        match self {
            Self::Sparse(list) => {
                if let Some(at) = list.iter().position(|&other| other == conn) {
                    list.swap_remove(at);
                }
                if list.is_empty() {
                    *list = Vec::new();
                }
            }
            Self::Dense { bits, count } => {
                *count -= u32::from(bits.contains(conn));
                bits.remove(conn);
                if (*count as usize) * 256 < slots as usize || *count as usize <= SPARSE_ALWAYS / 2
                {
                    *self = Self::Sparse(bits.iter().collect());
                }
            }
        }
    }

    /// Whether this connection is certainly not in it, as far as that is known at once. Asked in visits,
    /// where most topics of the log are not the connection's: this is hot, the connection is not.
    #[inline]
    pub(crate) fn excludes(&self, conn: u32) -> bool {
        match self {
            Self::Sparse(list) => list.len() <= GLANCE && !list.contains(&conn),
            Self::Dense { bits, .. } => !bits.contains(conn),
        }
    }

    /// Puts every subscriber into `set`.
    pub(crate) fn mark(&self, set: &mut BitSet) {
        match self {
            Self::Sparse(list) => list.iter().for_each(|&conn| set.insert(conn)),
            Self::Dense { bits, .. } => set.union(bits),
        }
    }

    /// Calls `each` with every subscriber.
    pub(crate) fn for_each(&self, mut each: impl FnMut(u32)) {
        match self {
            Self::Sparse(list) => list.iter().for_each(|&conn| each(conn)),
            Self::Dense { bits, .. } => bits.iter().for_each(each),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(subscribers: &Subscribers) -> Vec<u32> {
        let mut all = Vec::new();
        subscribers.for_each(|conn| all.push(conn));
        all.sort_unstable();
        all
    }

    #[test]
    fn a_list_becomes_a_bitset_and_a_list_again() {
        let mut subscribers = Subscribers::default();
        for conn in 0..100 {
            subscribers.insert(conn * 3, 1000);
            subscribers.insert(conn * 3, 1000);
        }
        assert!(subscribers.is_dense());
        assert_eq!(members(&subscribers), (0..100).map(|c| c * 3).collect::<Vec<_>>());
        let mut marked = BitSet::default();
        subscribers.mark(&mut marked);
        assert_eq!(marked.iter().count(), 100);
        for conn in 2..100 {
            subscribers.remove(conn * 3, 1000);
            subscribers.remove(conn * 3, 1000);
        }
        assert!(!subscribers.is_dense());
        assert_eq!(members(&subscribers), [0, 3]);
        subscribers.remove(0, 1000);
        subscribers.remove(3, 1000);
        assert!(subscribers.is_empty());
    }

    #[test]
    fn few_among_many_slots_stay_a_list() {
        let mut subscribers = Subscribers::default();
        (0..200).for_each(|conn| subscribers.insert(conn, 20_000));
        assert!(!subscribers.is_dense());
    }
}
