//! A set of price levels that answers "the next one above" and "the next one below" at once.
//!
//! Two layers of bits: one bit per level, and above it one bit per word that has any. A search looks
//! at one word and then at the summary, which for the largest band (65,536 levels) is 16 words.

/// No level. Bands are shorter than this.
pub(super) const NO_LEVEL: u16 = u16::MAX;

const WORD: usize = 64;

/// A set of levels below a fixed bound.
#[derive(Clone, Debug)]
pub(super) struct LevelSet {
    words: Box<[u64]>,
    summary: Box<[u64]>,
}

impl LevelSet {
    /// An empty set of levels under `bound`.
    pub(super) fn new(bound: u16) -> Self {
        let words = usize::from(bound).div_ceil(WORD);
        Self {
            words: vec![0; words].into_boxed_slice(),
            summary: vec![0; words.div_ceil(WORD)].into_boxed_slice(),
        }
    }

    #[inline]
    pub(super) fn insert(&mut self, level: u16) {
        let word = usize::from(level) / WORD;
        self.words[word] |= 1 << (level % 64);
        self.summary[word / WORD] |= 1 << (word % WORD);
    }

    #[inline]
    pub(super) fn remove(&mut self, level: u16) {
        let word = usize::from(level) / WORD;
        self.words[word] &= !(1 << (level % 64));
        if self.words[word] == 0 {
            self.summary[word / WORD] &= !(1 << (word % WORD));
        }
    }

    /// The lowest level of the set that is at least `from`, or [`NO_LEVEL`].
    #[inline]
    pub(super) fn at_or_above(&self, from: u16) -> u16 {
        let word = usize::from(from) / WORD;
        let Some(&bits) = self.words.get(word) else { return NO_LEVEL };
        let here = bits & (u64::MAX << (from % 64));
        if here != 0 {
            return at(word, here.trailing_zeros());
        }
        let next = word + 1;
        let mut index = next / WORD;
        let mut mask = u64::MAX << (next % WORD);
        while let Some(&summary) = self.summary.get(index) {
            if summary & mask != 0 {
                let word = index * WORD + bit_index((summary & mask).trailing_zeros());
                return at(word, self.words[word].trailing_zeros());
            }
            mask = u64::MAX;
            index += 1;
        }
        NO_LEVEL
    }

    /// The highest level of the set that is at most `from`, or [`NO_LEVEL`].
    #[inline]
    pub(super) fn at_or_below(&self, from: u16) -> u16 {
        let word = usize::from(from) / WORD;
        let here = self.words[word] & (u64::MAX >> (63 - from % 64));
        if here != 0 {
            return at(word, 63 - here.leading_zeros());
        }
        let mut index = word / WORD;
        // The words under this one in its summary word; at the lowest there are none.
        let mut mask = (1u64 << (word % WORD)) - 1;
        loop {
            let summary = self.summary[index] & mask;
            if summary != 0 {
                let word = index * WORD + bit_index(63 - summary.leading_zeros());
                return at(word, 63 - self.words[word].leading_zeros());
            }
            if index == 0 {
                return NO_LEVEL;
            }
            mask = u64::MAX;
            index -= 1;
        }
    }

    /// Takes every level out, from the lowest up, and hands it to `take`.
    #[inline]
    pub(super) fn drain(&mut self, mut take: impl FnMut(u16)) {
        for (index, summary) in self.summary.iter_mut().enumerate() {
            while *summary != 0 {
                let word = index * WORD + bit_index(summary.trailing_zeros());
                *summary &= *summary - 1;
                let mut bits = std::mem::take(&mut self.words[word]);
                while bits != 0 {
                    take(at(word, bits.trailing_zeros()));
                    bits &= bits - 1;
                }
            }
        }
    }

    /// Removes every level.
    pub(super) fn clear(&mut self) {
        self.words.fill(0);
        self.summary.fill(0);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a set has less than 65,536 levels")]
fn at(word: usize, bit: u32) -> u16 {
    (word * WORD) as u16 + bit as u16
}

const fn bit_index(bit: u32) -> usize {
    bit as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::market::random::Dice;

    #[test]
    fn searches_agree_with_a_sorted_set() {
        let bound = 9_000u16;
        let mut dice = Dice::new(7);
        let (mut set, mut truth) = (LevelSet::new(bound), BTreeSet::new());
        for round in 0..20_000 {
            let level = u16::try_from(dice.below(u32::from(bound))).unwrap();
            // Sparse at first, then emptied, so that summaries are searched too.
            if (round / 100) % 2 == 0 {
                set.insert(level);
                truth.insert(level);
            } else if let Some(&known) = truth.range(level..).next() {
                set.remove(known);
                truth.remove(&known);
            }
            let probe = u16::try_from(dice.below(u32::from(bound))).unwrap();
            let above = truth.range(probe..).next().copied().unwrap_or(NO_LEVEL);
            let below = truth.range(..=probe).next_back().copied().unwrap_or(NO_LEVEL);
            assert_eq!((set.at_or_above(probe), set.at_or_below(probe)), (above, below));
        }
        let mut drained = Vec::new();
        set.clone().drain(|level| drained.push(level));
        assert!(drained.iter().eq(truth.iter()));
        set.clear();
        assert_eq!((set.at_or_above(0), set.at_or_below(bound - 1)), (NO_LEVEL, NO_LEVEL));
    }
}
