//! Numbered places in pages that never move.
//!
//! A vector that grows copies everything it holds, leaves its old memory to the allocator, and has
//! places to spare: more of each idle connection than what it held. Here the next page is allocated when the last one is full, and given back
//! when it is not needed any more; a place is found by one look at a short list of pages.

/// Places in a page. 64 connections are a page of 4 KiB.
const PLACES: usize = 64;

/// A growing number of places, from 0 without gaps.
#[derive(Debug)]
pub struct Pages<T> {
    pages: Vec<Box<[T; PLACES]>>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Pages<T> {
    /// How many places there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.pages.len() * PLACES).expect("places have 32-bit numbers")
    }

    /// Whether there are no places.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The place of this number.
    #[must_use]
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        let index = index as usize;
        Some(&self.pages.get(index / PLACES)?[index % PLACES])
    }

    /// The place of this number.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let index = index as usize;
        Some(&mut self.pages.get_mut(index / PLACES)?[index % PLACES])
    }

    /// All places in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }

    /// Adds pages until there is a place of this number, with `fill` in every new one.
    pub fn reach(&mut self, index: u32, mut fill: impl FnMut() -> T) {
        while self.len() <= index {
            let page: Box<[T]> = (0..PLACES).map(|_| fill()).collect();
            match page.try_into() {
                Ok(page) => self.pages.push(page),
                Err(_) => unreachable!("a page has just been made with {PLACES} places"),
            }
        }
    }

    /// Gives pages at the end back in which every place is `unused`, but for one, so that a place
    /// that comes and goes at the border does not cost a page each time.
    pub fn give_back(&mut self, unused: impl Fn(&T) -> bool) {
        while let [.., before, last] = self.pages.as_slice()
            && last.iter().all(&unused)
            && before.iter().all(&unused)
        {
            self.pages.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_where_they_are_while_pages_come_and_go() {
        let mut pages = Pages::default();
        assert!(pages.is_empty() && pages.get(0).is_none());
        pages.reach(0, || 0u64);
        *pages.get_mut(7).unwrap() = 7;
        let place = std::ptr::from_ref(pages.get(7).unwrap());
        pages.reach(1000, || 0);
        assert_eq!((pages.len(), std::ptr::from_ref(pages.get(7).unwrap())), (1024, place));
        assert_eq!(pages.iter().sum::<u64>(), 7);
        assert!(pages.get(1024).is_none());
        *pages.get_mut(200).unwrap() = 1;
        pages.give_back(|number| *number == 0);
        assert_eq!(pages.len(), 320, "the page of 200, and one to spare");
        *pages.get_mut(200).unwrap() = 0;
        *pages.get_mut(7).unwrap() = 0;
        pages.give_back(|number| *number == 0);
        assert_eq!(pages.len(), 64);
    }
}
