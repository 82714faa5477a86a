//! Recovery images: per slot the newest state of something, for readers that cannot have seen it all.
//!
//! Each slot has two buffers, written in turn; each is a seqlock of its own: sequence, position,
//! length, words. Version `v` goes to buffer `v % 2`, whose sequence is `2v + 1` during the write and
//! `2v + 2` after it. So one of the two is whole at any moment, also if the writer dies in the middle,
//! and a reader is only disturbed by a writer that writes two images while it copies one. Behind the
//! last word the sequence stands again: where a file was cut in the middle of an image it is missing.
//!
//! Memory is taken when a slot is first written: on the heap by allocating it, in a mapped file by
//! touching its pages. What is in an image is the feed's and the hub's business.

use std::sync::OnceLock;

#[cfg(not(loom))]
use std::ptr::NonNull;

use crate::shape::{IMAGE_HEAD_WORDS, Shape};
use crate::sync::{AtomicU64, Ordering, fence};

/// How often a reader tries to get ahead of a writer before it says there is no image. Each failure
/// means that two whole images were written meanwhile.
const ATTEMPTS: usize = 8;

/// Words of a page.
const REACH_WORDS: usize = 512;

/// The image does not fit into the place for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageTooLarge {
    /// More words than an image of this ring has.
    #[error("an image of {words} words; the ring's images have at most {max}")]
    Words {
        /// Words given.
        words: usize,
        /// [`Shape::image_words`].
        max: usize,
    },
    /// The number of the slot is too large.
    #[error("image slot {slot} of a ring that has {slots}")]
    Slot {
        /// Slot given.
        slot: usize,
        /// [`Shape::images`].
        slots: usize,
    },
    /// The file system of the ring's file has no room for the pages of this image. /dev/shm of a
    /// container often has 64 MiB.
    #[error("no memory for an image of {words} words: the ring's file system is full")]
    Memory {
        /// Words given.
        words: usize,
    },
}

/// How much of each image is known to have memory. The publisher's; nothing for a heap ring.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// Words, per slot.
    words: Vec<usize>,
}

/// All images of a ring.
#[derive(Debug)]
pub(crate) struct Images {
    slots: usize,
    words_max: usize,
    buffer_words: usize,
    stride_words: usize,
    store: Store,
}

#[derive(Debug)]
enum Store {
    /// Allocated slot by slot.
    Heap(Box<[OnceLock<Box<[AtomicU64]>>]>),
    /// One after the other in a mapping, which outlives this.
    #[cfg(not(loom))]
    Mapped(NonNull<AtomicU64>),
}

/// One of a slot's two buffers.
struct Buffer<'a> {
    sequence: &'a AtomicU64,
    position: &'a AtomicU64,
    length: &'a AtomicU64,
    /// The image's words and the tail behind them.
    words: &'a [AtomicU64],
}

impl Images {
    pub(crate) fn heap(shape: &Shape) -> Self {
        let store = Store::Heap((0..shape.images).map(|_| OnceLock::new()).collect());
        let images = Self::new(shape, store);
        if cfg!(loom) {
            // Loom does not see that OnceLock orders the allocation before its use.
            for slot in 0..shape.images {
                images.area_or_new(slot);
            }
        }
        images
    }

    /// # Safety
    /// At `base`, which is aligned for it, there is zeroed or formerly written memory for the images
    /// of this shape, valid for reads and writes for as long as the result is used.
    #[cfg(not(loom))]
    pub(crate) unsafe fn mapped(shape: &Shape, base: NonNull<AtomicU64>) -> Self {
        Self::new(shape, Store::Mapped(base))
    }

    fn new(shape: &Shape, store: Store) -> Self {
        Self {
            slots: shape.images,
            words_max: shape.image_words,
            buffer_words: shape.image_buffer_words(),
            stride_words: shape.image_stride_words(),
            store,
        }
    }

    pub(crate) const fn slots(&self) -> usize {
        self.slots
    }

    /// Writes the image of a slot. Only the publisher calls this, always with the same `reached`.
    pub(crate) fn write(
        &self,
        slot: usize,
        position: u64,
        words: &[u64],
        reached: &mut Reached,
    ) -> Result<(), ImageTooLarge> {
        if slot >= self.slots {
            return Err(ImageTooLarge::Slot { slot, slots: self.slots });
        }
        if words.len() > self.words_max {
            return Err(ImageTooLarge::Words { words: words.len(), max: self.words_max });
        }
        let buffers = self.buffers(self.area_or_new(slot));
        self.reach(slot, &buffers, words.len(), reached)?;
        let newest = buffers.each_ref().map(|buffer| buffer.sequence.load(Ordering::Relaxed));
        // Wraps only if somebody else has written into the mapping: then the image is lost anyhow.
        let version = newest[0].max(newest[1]).div_ceil(2);
        let buffer = &buffers[usize::from(version % 2 == 1)];
        let sequence = version.wrapping_mul(2);
        buffer.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Nothing below may be seen before the mark above.
        fence(Ordering::Release);
        buffer.position.store(position, Ordering::Relaxed);
        buffer.length.store(words.len() as u64, Ordering::Relaxed);
        for (word, &value) in buffer.words.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
        let whole = sequence.wrapping_add(2);
        buffer.words[words.len()].store(whole, Ordering::Relaxed);
        // Release: who sees this number sees all of the image.
        buffer.sequence.store(whole, Ordering::Release);
        Ok(())
    }

    /// Replaces `out` by the newest whole image of the slot and returns its position.
    pub(crate) fn read(&self, slot: usize, out: &mut Vec<u64>) -> Option<u64> {
        out.clear();
        let buffers = self.buffers(self.area(slot)?);
        for _ in 0..ATTEMPTS {
            let (sequence, buffer) = buffers
                .iter()
                // Acquire: with a whole image's number comes the image.
                .map(|buffer| (buffer.sequence.load(Ordering::Acquire), buffer))
                .filter(|(sequence, _)| *sequence != 0 && sequence % 2 == 0)
                .max_by_key(|(sequence, _)| *sequence)?;
            let position = buffer.position.load(Ordering::Relaxed);
            let length = usize::try_from(buffer.length.load(Ordering::Relaxed));
            let words = length.ok().and_then(|length| buffer.words.get(..=length));
            // Too long: being overwritten, or garbage in a mapping.
            let Some([words @ .., tail]) = words else {
                continue;
            };
            out.clear();
            out.extend(words.iter().map(|word| word.load(Ordering::Relaxed)));
            let is_uncut = tail.load(Ordering::Relaxed) == sequence;
            // The second look must not happen before the copy.
            fence(Ordering::Acquire);
            if is_uncut && buffer.sequence.load(Ordering::Relaxed) == sequence {
                return Some(position);
            }
        }
        out.clear();
        None
    }

    /// Makes sure that there is memory for so many words. Writing to a hole of a file when its file
    /// system is full raises SIGBUS; asking for the page first is answered with an error.
    fn reach(
        &self,
        slot: usize,
        buffers: &[Buffer<'_>; 2],
        words: usize,
        reached: &mut Reached,
    ) -> Result<(), ImageTooLarge> {
        if matches!(self.store, Store::Heap(_)) {
            return Ok(());
        }
        reached.words.resize(self.slots, 0);
        if words < reached.words[slot] {
            return Ok(());
        }
        // By pages, as an image grows by a little each time.
        let target = (words + 1).next_multiple_of(REACH_WORDS).min(self.words_max + 1);
        for buffer in buffers {
            // The sequence is the buffer's first word.
            if !populate(buffer.sequence, IMAGE_HEAD_WORDS + target) {
                return Err(ImageTooLarge::Memory { words });
            }
        }
        reached.words[slot] = target;
        Ok(())
    }

    fn buffers<'a>(&self, area: &'a [AtomicU64]) -> [Buffer<'a>; 2] {
        let (first, rest) = area.split_at(self.buffer_words);
        let second = &rest[..self.buffer_words];
        [first, second].map(|words| {
            let (head, words) = words.split_at(IMAGE_HEAD_WORDS);
            Buffer { sequence: &head[0], position: &head[1], length: &head[2], words }
        })
    }

    fn area(&self, slot: usize) -> Option<&[AtomicU64]> {
        match &self.store {
            Store::Heap(areas) => areas.get(slot)?.get().map(|area| &**area),
            #[cfg(not(loom))]
            Store::Mapped(base) if slot < self.slots => {
                // SAFETY: `mapped` was promised `slots` areas of `stride_words` from `base` on.
                Some(unsafe {
                    let area = base.add(slot * self.stride_words);
                    std::slice::from_raw_parts(area.as_ptr(), self.stride_words)
                })
            }
            #[cfg(not(loom))]
            Store::Mapped(_) => None,
        }
    }

    fn area_or_new(&self, slot: usize) -> &[AtomicU64] {
        match &self.store {
            Store::Heap(areas) => areas[slot].get_or_init(|| zeroed(self.stride_words)),
            #[cfg(not(loom))]
            Store::Mapped(_) => self.area(slot).expect("the caller checked the slot"),
        }
    }
}

/// Asks for the pages of so many words. False: there are none. Kernels before 5.14 do not know the
/// question; on them a full file system poisons the publisher's ring.
#[cfg(not(loom))]
fn populate(first: &AtomicU64, words: usize) -> bool {
    // SAFETY: sysconf takes any name.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let start = first.as_ptr();
    let into_page = start.addr() % page;
    // SAFETY: the words lie within a mapping, of which this asks for whole pages, and the advice
    // changes no content.
    let answer = unsafe {
        libc::madvise(
            start.byte_sub(into_page).cast(),
            into_page + words * size_of::<u64>(),
            libc::MADV_POPULATE_WRITE,
        )
    };
    let error = std::io::Error::last_os_error().raw_os_error();
    answer == 0 || !matches!(error, Some(libc::EFAULT | libc::ENOMEM))
}

#[cfg(loom)]
fn populate(_first: &AtomicU64, _words: usize) -> bool {
    true
}

/// Zeroed words, of which the allocator gets large ones untouched from the kernel: a slot's unused
/// part then costs no memory.
#[cfg(not(loom))]
fn zeroed(words: usize) -> Box<[AtomicU64]> {
    let words = Box::into_raw(vec![0u64; words].into_boxed_slice());
    // SAFETY: AtomicU64 has the size, and on 64-bit targets the alignment, of u64, and any value of
    // one is one of the other; the box is given up above.
    unsafe { Box::from_raw(words as *mut [AtomicU64]) }
}

#[cfg(loom)]
fn zeroed(words: usize) -> Box<[AtomicU64]> {
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { capacity: 2, images: 3, image_words: 4 };

    fn write(
        images: &Images,
        slot: usize,
        position: u64,
        words: &[u64],
    ) -> Result<(), ImageTooLarge> {
        images.write(slot, position, words, &mut Reached::default())
    }

    #[test]
    fn an_image_is_replaced_whole_and_is_no_longer_than_written() {
        let images = Images::heap(&SHAPE);
        let mut out = vec![1, 2, 3];
        assert_eq!(images.read(1, &mut out), None);
        assert_eq!(out, []);
        write(&images, 1, 10, &[1, 2, 3, 4]).unwrap();
        assert_eq!(images.read(1, &mut out), Some(10));
        assert_eq!(out, [1, 2, 3, 4]);
        write(&images, 1, 20, &[5]).unwrap();
        write(&images, 1, 30, &[]).unwrap();
        assert_eq!(images.read(1, &mut out), Some(30));
        assert_eq!(out, []);
        assert_eq!(images.read(0, &mut out), None);
        assert_eq!(images.read(3, &mut out), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let images = Images::heap(&SHAPE);
        assert_eq!(write(&images, 0, 0, &[0; 5]), Err(ImageTooLarge::Words { words: 5, max: 4 }));
        assert_eq!(write(&images, 3, 0, &[]), Err(ImageTooLarge::Slot { slot: 3, slots: 3 }));
    }

    #[test]
    fn a_writer_that_dies_in_the_middle_leaves_the_image_before() {
        let images = Images::heap(&SHAPE);
        let mut out = Vec::new();
        for version in 0..4 {
            write(&images, 0, version, &[version; 4]).unwrap();
            let area = images.area(0).unwrap();
            let next = &images.buffers(area)[usize::from(version % 2 == 0)];
            // As far as `write` gets before the last word.
            next.sequence.store(2 * (version + 1) + 1, Ordering::Relaxed);
            next.position.store(99, Ordering::Relaxed);
            next.length.store(u64::MAX, Ordering::Relaxed);
            next.words[0].store(99, Ordering::Relaxed);
            assert_eq!(images.read(0, &mut out), Some(version));
            assert_eq!(out, [version; 4]);
            next.sequence.store(2 * version, Ordering::Relaxed);
        }
    }

    #[test]
    fn garbage_in_a_slot_is_no_image() {
        let images = Images::heap(&SHAPE);
        write(&images, 0, 1, &[1]).unwrap();
        write(&images, 0, 1, &[1]).unwrap();
        let mut out = Vec::new();
        for buffer in images.buffers(images.area(0).unwrap()) {
            buffer.sequence.store(u64::MAX - 1, Ordering::Relaxed);
            buffer.length.store(6, Ordering::Relaxed);
        }
        assert_eq!(images.read(0, &mut out), None);
        write(&images, 0, 2, &[2]).unwrap();
    }
}
