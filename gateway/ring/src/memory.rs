//! The memory of a ring: header, slots and images, on the heap or in a mapping.
//!
//! Both kinds are reached through the same two pointers, so that reading and publishing do not ask
//! which kind it is. A [`Memory`] that exists is as large as its shape says, and stays where it is.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::header::Header;
use crate::images::Images;
#[cfg(not(loom))]
use crate::mapping::Mapping;
use crate::shape::Shape;
use crate::slot::Slot;

/// See the module.
#[derive(Debug)]
pub(crate) struct Memory {
    header: NonNull<Header>,
    /// `mask + 1` of them.
    slots: NonNull<Slot>,
    mask: u64,
    images: Images,
    owner: Owner,
}

#[derive(Debug)]
enum Owner {
    /// Header and slots are boxes of their own, given up for the pointers.
    Heap,
    #[cfg(not(loom))]
    Mapped(Mapping),
}

// SAFETY: all that the pointers lead to is atomics, which any thread may use, and it is owned.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// # Panics
    /// If the shape is none.
    pub(crate) fn heap(shape: &Shape) -> Self {
        if let Err(error) = shape.layout() {
            panic!("{error}");
        }
        let header = NonNull::from(Box::leak(Box::new(Header::new())));
        let slots: Box<[Slot]> = (0..shape.capacity).map(|_| Slot::new()).collect();
        let slots = NonNull::from(Box::leak(slots)).cast();
        Self {
            header,
            slots,
            mask: shape.capacity as u64 - 1,
            images: Images::heap(shape),
            owner: Owner::Heap,
        }
    }

    #[cfg(not(loom))]
    pub(crate) fn mapped(mapping: Mapping) -> Self {
        let (shape, layout) = (mapping.shape(), mapping.layout());
        let base = mapping.base();
        // SAFETY: a mapping is `layout.bytes` long and page-aligned; the layout's offsets lie within,
        // and are multiples of a page and of a slot. Zeroes and all other values are valid atomics.
        let (slots, images) = unsafe {
            let images = base.add(layout.images_offset).cast();
            (base.add(layout.slots_offset).cast(), Images::mapped(shape, images))
        };
        Self {
            header: base.cast(),
            slots,
            mask: shape.capacity as u64 - 1,
            images,
            owner: Owner::Mapped(mapping),
        }
    }

    #[inline]
    pub(crate) const fn header(&self) -> &Header {
        // SAFETY: valid for as long as `self`, see the constructors; only atomics.
        unsafe { self.header.as_ref() }
    }

    #[inline]
    pub(crate) const fn slots(&self) -> Slots<'_> {
        Slots { first: self.slots, mask: self.mask, memory: PhantomData }
    }

    pub(crate) const fn images(&self) -> &Images {
        &self.images
    }

    /// The mapping this lives in, if it is one.
    #[cfg(not(loom))]
    pub(crate) const fn mapping(&self) -> Option<&Mapping> {
        match &self.owner {
            Owner::Heap => None,
            Owner::Mapped(mapping) => Some(mapping),
        }
    }
}

/// The slots of a [`Memory`]: where they are, by value, so that a loop over them keeps it in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots<'a> {
    first: NonNull<Slot>,
    mask: u64,
    memory: PhantomData<&'a Memory>,
}

impl<'a> Slots<'a> {
    /// The slot that holds `position`, if any does.
    #[inline]
    pub(crate) const fn at(self, position: u64) -> &'a Slot {
        #[expect(clippy::cast_possible_truncation, reason = "the mask came from a usize")]
        let index = (position & self.mask) as usize;
        // SAFETY: `mask + 1` slots are valid for as long as the memory, and the index is at most `mask`.
        unsafe { self.first.add(index).as_ref() }
    }

    /// The slots of `position` and those behind it, at most `max` and not beyond the memory's end, where
    /// positions go on at its beginning. Not empty unless `max` is 0.
    #[inline]
    pub(crate) fn run(self, position: u64, max: usize) -> &'a [Slot] {
        let (first, left) = (position & self.mask, self.mask - (position & self.mask));
        #[expect(clippy::cast_possible_truncation, reason = "the mask came from a usize")]
        let (first, left) = (first as usize, left as usize);
        // SAFETY: of `mask + 1` slots the first `first` are left out, and `left` are behind the next;
        // all of them are valid for as long as the memory, and shared as they are.
        unsafe {
            let slots = NonNull::slice_from_raw_parts(self.first.add(first), max.min(left + 1));
            slots.as_ref()
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self.owner {
            Owner::Heap => {
                #[expect(clippy::cast_possible_truncation, reason = "the mask came from a usize")]
                let slots = NonNull::slice_from_raw_parts(self.slots, self.mask as usize + 1);
                // SAFETY: both were boxes in `heap`, given up for these pointers; nobody has them now.
                unsafe {
                    drop(Box::from_raw(self.header.as_ptr()));
                    drop(Box::from_raw(slots.as_ptr()));
                }
            }
            // It unmaps itself.
            #[cfg(not(loom))]
            Owner::Mapped(_) => {}
        }
    }
}
