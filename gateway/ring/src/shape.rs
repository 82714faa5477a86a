//! A ring's shape: how many records, how many images, how large. And what follows from it: where in
//! memory everything lies.
//!
//! A [`Layout`] exists only for a shape within the limits below, so that no arithmetic on offsets can
//! overflow and no offset of a slot or image can lie outside the ring's memory.

use crate::header::HEADER_BYTES;
use crate::slot::SLOT_BYTES;

/// The smallest capacity: one slot being written, one being read.
const CAPACITY_MIN: usize = 2;

/// The largest capacity, 2^26 records: 8 GiB of slots, half a minute at two million a second.
const CAPACITY_MAX: usize = 1 << 26;

/// The most images: four times as many instruments as any venue lists.
const IMAGES_MAX: usize = 1 << 20;

/// The most words in an image, 32 MiB: a book of a million levels on each side.
const IMAGE_WORDS_MAX: usize = 1 << 22;

/// The most bytes in all, a tebibyte of mostly untouched pages: larger is a garbled header.
const BYTES_MAX: usize = 1 << 40;

/// Words before an image in its buffer: sequence, position, length.
pub(crate) const IMAGE_HEAD_WORDS: usize = 3;

/// Words behind an image: the sequence again.
pub(crate) const IMAGE_TAIL_WORDS: usize = 1;

/// Images start on cache lines of their own: pairs of them, as adjacent ones are prefetched together.
const IMAGE_ALIGN_WORDS: usize = 16;

/// How large a ring is. Fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Records: a power of two from 2 to 2^26. Each takes 128 bytes.
    pub capacity: usize,
    /// Slots for recovery images, at most 2^20.
    pub images: usize,
    /// The most words in an image, at most 2^22. Memory is taken when an image is first written.
    pub image_words: usize,
}

/// Why a shape is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The capacity is not a power of two, or not within the limits.
    #[error("a ring's capacity is a power of two from 2 to 2^26, not {0}")]
    Capacity(usize),
    /// Too many images.
    #[error("a ring has at most 2^20 images, not {0}")]
    Images(usize),
    /// Too large images.
    #[error("an image has at most 2^22 words, not {0}")]
    ImageWords(usize),
    /// Each of them is possible, all of them together are too large.
    #[error("the ring would take {0} bytes; at most 2^40 are possible")]
    Bytes(usize),
}

/// Offsets and sizes, in bytes from the start of the memory, of everything in a ring of one shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Where the slots begin.
    pub(crate) slots_offset: usize,
    /// Where the images begin; everything before them is touched in every ring.
    pub(crate) images_offset: usize,
    /// Where the ring ends.
    pub(crate) bytes: usize,
}

impl Shape {
    /// Checks the shape and lays it out.
    pub(crate) fn layout(&self) -> Result<Layout, ShapeError> {
        let capacity = self.capacity;
        if !capacity.is_power_of_two() || !(CAPACITY_MIN..=CAPACITY_MAX).contains(&capacity) {
            return Err(ShapeError::Capacity(capacity));
        }
        if self.images > IMAGES_MAX {
            return Err(ShapeError::Images(self.images));
        }
        if self.image_words > IMAGE_WORDS_MAX {
            return Err(ShapeError::ImageWords(self.image_words));
        }
        let slots_offset = HEADER_BYTES;
        let images_offset = slots_offset + capacity * SLOT_BYTES;
        // At most 2^20 * 2^23 words of 8 bytes: far from overflow.
        let bytes = images_offset + self.images * self.image_stride_words() * size_of::<u64>();
        if bytes > BYTES_MAX {
            return Err(ShapeError::Bytes(bytes));
        }
        Ok(Layout { slots_offset, images_offset, bytes })
    }

    /// Words from one image to the next: two buffers, rounded up.
    pub(crate) const fn image_stride_words(&self) -> usize {
        (2 * self.image_buffer_words()).next_multiple_of(IMAGE_ALIGN_WORDS)
    }

    /// Words of one of an image's two buffers.
    pub(crate) const fn image_buffer_words(&self) -> usize {
        IMAGE_HEAD_WORDS + self.image_words + IMAGE_TAIL_WORDS
    }

    /// How far behind the head a reader is safe for a while: a lapped reader that was put at the very
    /// oldest record would be lapped again by the next one. An eighth of the ring is its head start.
    pub(crate) const fn reach(&self) -> u64 {
        (self.capacity - self.margin()) as u64
    }

    /// That eighth. Also the most that is written beyond the head: what a reader that was put back is
    /// going to read is not overwritten before the head moves.
    pub(crate) const fn margin(&self) -> usize {
        if self.capacity < 16 { 1 } else { self.capacity / 8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_outside_the_limits_are_named() {
        let good = Shape { capacity: 8, images: 3, image_words: 10 };
        let layout = good.layout().unwrap();
        assert_eq!(layout.images_offset, HEADER_BYTES + 8 * SLOT_BYTES);
        assert_eq!(layout.bytes, layout.images_offset + 3 * 32 * 8);
        for capacity in [0, 1, 3, 12, CAPACITY_MAX * 2, usize::MAX] {
            assert_eq!(Shape { capacity, ..good }.layout(), Err(ShapeError::Capacity(capacity)));
        }
        let images = IMAGES_MAX + 1;
        assert_eq!(Shape { images, ..good }.layout(), Err(ShapeError::Images(images)));
        let image_words = usize::MAX;
        assert_eq!(
            Shape { image_words, ..good }.layout(),
            Err(ShapeError::ImageWords(image_words))
        );
        let huge = Shape { capacity: 8, images: IMAGES_MAX, image_words: IMAGE_WORDS_MAX };
        assert!(matches!(huge.layout(), Err(ShapeError::Bytes(_))));
    }

    #[test]
    fn a_reader_is_put_back_with_a_head_start() {
        let shape = |capacity| Shape { capacity, images: 0, image_words: 0 };
        assert_eq!(shape(2).reach(), 1);
        assert_eq!(shape(4).reach(), 3);
        assert_eq!(shape(1024).reach(), 896);
    }
}
