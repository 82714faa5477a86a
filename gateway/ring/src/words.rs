//! How a record's words get into a slot and out of it.
//!
//! Both ways are relaxed atomic accesses, word by word, in no order: what keeps words of different
//! records apart is the slot's sequence, never the width of an access. The compiler would emit one
//! instruction a word, since it does not merge atomics; on x86-64 they are written out here two words
//! at a time (SSE2, which every x86-64 has), as that is what a copy of plain memory costs.

#[cfg(any(loom, miri, not(target_arch = "x86_64")))]
pub(crate) use portable::{load, own, store};
#[cfg(not(any(loom, miri, not(target_arch = "x86_64"))))]
pub(crate) use wide::{load, own, store};

#[cfg(any(test, loom, miri, not(target_arch = "x86_64")))]
mod portable {
    use crate::slot::{RECORD_WORDS, Record, SLOT_WORDS};
    use crate::sync::{AtomicU64, Ordering};

    /// Stores a record's words, relaxed.
    #[inline]
    pub(crate) fn store(words: &[AtomicU64; SLOT_WORDS], record: &Record) {
        for (word, &value) in words.iter().zip(record) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Nothing: there is no portable hint.
    #[cfg(any(loom, miri, not(target_arch = "x86_64")))]
    #[inline]
    pub(crate) const fn own(_: &[AtomicU64; SLOT_WORDS]) {}

    /// Loads a record's words, relaxed.
    #[inline]
    pub(crate) fn load(words: &[AtomicU64; SLOT_WORDS]) -> Record {
        let mut record = [0; RECORD_WORDS];
        for (value, word) in record.iter_mut().zip(words) {
            *value = word.load(Ordering::Relaxed);
        }
        record
    }
}

#[cfg(not(any(loom, miri, not(target_arch = "x86_64"))))]
mod wide {
    use std::arch::asm;
    use std::arch::x86_64::__m128i;
    use std::mem::MaybeUninit;

    use crate::slot::{RECORD_WORDS, Record};
    use crate::sync::AtomicU64;

    /// Pairs of words in a record; one word is left over.
    const PAIRS: usize = RECORD_WORDS / 2;
    const _: () = assert!(PAIRS == 7 && RECORD_WORDS == 15);

    /// Stores a record's words, as if each by a relaxed store.
    #[inline(always)]
    pub(crate) fn store(words: &[AtomicU64; RECORD_WORDS], record: &Record) {
        let pairs = record.as_ptr().cast::<__m128i>();
        // SAFETY: 7 pairs and a word are the 15 words of the record.
        let pair = |i: usize| unsafe { pairs.add(i).read_unaligned() };
        // SAFETY: writes the 15 words that the reference is to, all of them atomics that anybody may
        // write at any time. To the compiler it is a call that stores into them relaxed: the memory is
        // clobbered, and each half of a 16-byte store is a store of its word.
        unsafe {
            asm!(
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + 32], {c}",
                "movups [{to} + 48], {d}",
                "movups [{to} + 64], {e}",
                "movups [{to} + 80], {f}",
                "movups [{to} + 96], {g}",
                "mov [{to} + 112], {last}",
                to = in(reg) words.as_ptr(),
                a = in(xmm_reg) pair(0),
                b = in(xmm_reg) pair(1),
                c = in(xmm_reg) pair(2),
                d = in(xmm_reg) pair(3),
                e = in(xmm_reg) pair(4),
                f = in(xmm_reg) pair(5),
                g = in(xmm_reg) pair(6),
                last = in(reg) record[RECORD_WORDS - 1],
                options(nostack, preserves_flags),
            );
        }
    }

    /// Hints that a slot is going to be written: its two cache lines are fetched to be owned. Otherwise
    /// each waits its turn in the store buffer, which holds eight records' stores.
    #[inline(always)]
    pub(crate) fn own(words: &[AtomicU64; RECORD_WORDS]) {
        // SAFETY: a hint, which reads and writes nothing the program can see and never faults.
        unsafe {
            asm!(
                "prefetchw [{at}]",
                "prefetchw [{at} + 64]",
                at = in(reg) words.as_ptr(),
                options(nostack, preserves_flags, readonly),
            );
        }
    }

    /// Loads a record's words, as if each by a relaxed load.
    #[inline(always)]
    pub(crate) fn load(words: &[AtomicU64; RECORD_WORDS]) -> Record {
        let (a, b, c, d, e, f, g): (__m128i, __m128i, __m128i, __m128i, __m128i, __m128i, __m128i);
        let last: u64;
        // SAFETY: reads the 15 words that the reference is to. To the compiler it is a call that loads
        // them relaxed, not `pure`, so it is made exactly here; other threads may write them meanwhile,
        // and the pairs may then be of different records, as words loaded one by one may be.
        unsafe {
            asm!(
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + 32]",
                "movups {d}, [{from} + 48]",
                "movups {e}, [{from} + 64]",
                "movups {f}, [{from} + 80]",
                "movups {g}, [{from} + 96]",
                "mov {last}, [{from} + 112]",
                from = in(reg) words.as_ptr(),
                a = out(xmm_reg) a,
                b = out(xmm_reg) b,
                c = out(xmm_reg) c,
                d = out(xmm_reg) d,
                e = out(xmm_reg) e,
                f = out(xmm_reg) f,
                g = out(xmm_reg) g,
                last = lateout(reg) last,
                options(nostack, preserves_flags, readonly),
            );
        }
        let mut record = MaybeUninit::<Record>::uninit();
        let to = record.as_mut_ptr();
        for (i, pair) in [a, b, c, d, e, f, g].into_iter().enumerate() {
            // SAFETY: 7 pairs are the first 14 words of the record.
            unsafe { to.cast::<__m128i>().add(i).write_unaligned(pair) };
        }
        // SAFETY: with its last word all of it is written.
        unsafe {
            to.cast::<u64>().add(RECORD_WORDS - 1).write(last);
            record.assume_init()
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::array::from_fn;

    use crate::slot::{RECORD_WORDS, Record};
    use crate::sync::{AtomicU64, Ordering};

    #[test]
    fn words_come_out_as_they_went_in_and_nothing_beside_them_is_touched() {
        let record: Record = from_fn(|i| (i as u64 + 1) * 0x0101_0101_0101_0101);
        let around: [AtomicU64; RECORD_WORDS + 2] = from_fn(|_| AtomicU64::new(u64::MAX));
        for start in [0, 1, 2] {
            around.iter().for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
            let words: &[AtomicU64; RECORD_WORDS] =
                around[start..start + RECORD_WORDS].try_into().unwrap();
            super::store(words, &record);
            assert_eq!(super::load(words), record);
            assert_eq!(super::portable::load(words), record, "both ways are the same");
            let mut all = around.iter().map(|word| word.load(Ordering::Relaxed)).enumerate();
            assert!(all.all(|(i, word)| {
                let inside = (start..start + RECORD_WORDS).contains(&i);
                word == if inside { record[i - start] } else { u64::MAX }
            }));
            super::portable::store(words, &record.map(|word| !word));
            assert_eq!(super::load(words), record.map(|word| !word));
        }
    }
}
