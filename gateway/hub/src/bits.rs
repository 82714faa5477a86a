//! A growable set of small numbers, one bit each: connections that are dirty, ready, subscribed.
//!
//! It is not a general bitmap: it grows and never shrinks, because connection slots are reused.

const WORD_BITS: u32 = u64::BITS;

/// A set of connection slots.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitSet {
    words: Vec<u64>,
}

const fn split(index: u32) -> (usize, u64) {
    ((index / WORD_BITS) as usize, 1 << (index % WORD_BITS))
}

impl BitSet {
    /// Makes room for numbers below `len`, so that inserting them allocates nothing.
    pub(crate) fn grow(&mut self, len: u32) {
        let words = len.div_ceil(WORD_BITS) as usize;
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    pub(crate) fn insert(&mut self, index: u32) {
        let (word, bit) = split(index);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    pub(crate) fn remove(&mut self, index: u32) {
        let (word, bit) = split(index);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    pub(crate) fn contains(&self, index: u32) -> bool {
        let (word, bit) = split(index);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Adds every number of `other`. This is what a tick of a popular topic costs: one pass over
    /// two arrays that the compiler turns into vector instructions.
    pub(crate) fn union(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// The first number from `start` on that is in both sets and not in `except`, which has grown as
    /// far as they have.
    pub(crate) fn next_in_both(&self, other: &Self, except: &Self, start: u32) -> Option<u32> {
        let (first, _) = split(start);
        let mut mask = u64::MAX << (start % WORD_BITS);
        let words = self.words.iter().zip(&other.words).zip(&except.words);
        for (at, ((word, more), less)) in words.enumerate().skip(first) {
            let both = word & more & !less & mask;
            if both != 0 {
                let base = u32::try_from(at).expect("sets hold 32-bit numbers") * WORD_BITS;
                return Some(base + both.trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }

    /// The first number from `start` on.
    pub(crate) fn next(&self, start: u32) -> Option<u32> {
        let (first, _) = split(start);
        let mut mask = u64::MAX << (start % WORD_BITS);
        for (at, word) in self.words.iter().enumerate().skip(first) {
            if word & mask != 0 {
                let base = u32::try_from(at).expect("sets hold 32-bit numbers") * WORD_BITS;
                return Some(base + (word & mask).trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }

    /// The numbers in the set, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip(0u32..).flat_map(|(&word, at)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at * WORD_BITS + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[u32]) -> BitSet {
        let mut set = BitSet::default();
        numbers.iter().for_each(|&n| set.insert(n));
        set
    }

    #[test]
    fn numbers_come_back_in_order() {
        let mut bits = set(&[200, 0, 63, 64, 3]);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 3, 63, 64, 200]);
        bits.remove(63);
        bits.remove(100_000);
        assert!(!bits.contains(63) && bits.contains(64) && !bits.contains(100_000));
    }

    #[test]
    fn union_grows_and_adds() {
        let mut bits = set(&[1]);
        bits.union(&set(&[1, 2, 500]));
        assert_eq!(bits.iter().collect::<Vec<_>>(), [1, 2, 500]);
    }

    #[test]
    fn the_next_in_both_is_found_across_words() {
        let (a, b, mut less) = (set(&[5, 70, 130]), set(&[6, 70, 130, 300]), set(&[5, 300]));
        assert_eq!(a.next_in_both(&b, &less, 0), Some(70));
        assert_eq!(a.next_in_both(&b, &less, 70), Some(70));
        assert_eq!(a.next_in_both(&b, &less, 71), Some(130));
        assert_eq!(a.next_in_both(&b, &less, 131), None);
        assert_eq!(a.next_in_both(&b, &less, 5000), None);
        less.insert(70);
        assert_eq!(a.next_in_both(&b, &less, 0), Some(130));
        assert_eq!(
            (a.next(0), a.next(6), a.next(130), a.next(131)),
            (Some(5), Some(70), Some(130), None)
        );
    }
}
