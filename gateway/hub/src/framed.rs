//! Where entries lie in the arenas of the exchange's formats: tables beside the log, one for each format,
//! that take no memory before its first client comes.
//!
//! A place says which entry it is of. Nobody has to clear it when its slot of the log is used anew, and
//! a tick costs these tables nothing.

use crate::format::{FORMATS, Format, NATIVE};

/// Where an entry's frame is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Position of the entry, plus one; 0: none.
    entry: u64,
    at: u64,
    len: u32,
}

const _: () = assert!(size_of::<Place>() == PLACE_BYTES);

/// What a format in use costs for each entry of the log.
pub(crate) const PLACE_BYTES: usize = 24;

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Framed {
    tables: [Vec<Place>; FORMATS - NATIVE],
}

impl Framed {
    /// Position and length of the entry's bytes in the format's arena; a length of 0: they were never
    /// there.
    #[inline]
    pub(crate) fn place(&self, format: Format, entry: u64, slot: usize) -> (u64, u32) {
        match self.tables[format.index() - NATIVE].get(slot) {
            Some(place) if place.entry == entry + 1 => (place.at, place.len),
            _ => (0, 0),
        }
    }

    /// Notes where an entry's bytes are. `slots` is how many entries the log has room for.
    pub(crate) fn set(
        &mut self,
        format: Format,
        entry: u64,
        slot: usize,
        slots: usize,
        (at, len): (u64, u32),
    ) {
        let table = &mut self.tables[format.index() - NATIVE];
        if table.is_empty() {
            // All zero: the kernel gives the pages as they are touched.
            *table = vec![Place::default(); slots];
        }
        table[slot] = Place { entry: entry + 1, at, len };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_of_one_entry_only() {
        let mut framed = Framed::default();
        let format = Format::ExchangeMillis;
        assert_eq!(framed.place(format, 0, 0), (0, 0));
        framed.set(format, 5, 1, 4, (100, 7));
        assert_eq!(framed.place(format, 5, 1), (100, 7));
        assert_eq!(framed.place(format, 1, 1), (0, 0), "an entry before it in the same slot");
        assert_eq!(framed.place(format, 9, 1), (0, 0), "the next one in the same slot");
        assert_eq!(framed.place(Format::ExchangeSbe, 5, 1), (0, 0));
    }
}
