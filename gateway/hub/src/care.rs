//! What only a connection that needs care has: one that is or was not writable, has a timer, or did
//! not get every number.
//!
//! Most connections are simply live and have none of it, so it lies in a table on the side and a
//! connection holds a number. The table's places are reused: it is as long as there were connections
//! in need of care at one time, and a connection that has stalled before costs nothing new.

use crate::connection::{Connection, NEVER};
use crate::log::NOWHERE;
use crate::pages::Pages;

/// No care.
pub(crate) const NO_CARE: u32 = u32::MAX;

/// See the module's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Care {
    /// Since when it is not writable, or [`NEVER`].
    pub(crate) blocked_since_ns: u64,
    /// Position of the log's head when it was first blocked since it was last up to date, or
    /// [`NOWHERE`]: what came later it may be missing.
    pub(crate) behind_from: u64,
    /// When that was.
    pub(crate) behind_since_ns: u64,
    /// Entries before this position fall under their channel's rule: it lagged.
    pub(crate) lag_to: u64,
    /// When its timer fires, or [`NEVER`].
    pub(crate) timer_ns: u64,
    /// Numbers it did not get one by one.
    pub(crate) skipped: u64,
    /// It was blocked since its last visit.
    pub(crate) was_blocked: bool,
}

const _: () = assert!(size_of::<Care>() <= 56, "a million slow connections are 56 MB of care");

impl Care {
    /// What a connection has that needs none.
    pub(crate) const NONE: Self = Self {
        blocked_since_ns: NEVER,
        behind_from: NOWHERE,
        behind_since_ns: NEVER,
        lag_to: 0,
        timer_ns: NEVER,
        skipped: 0,
        was_blocked: false,
    };

    pub(crate) const fn is_blocked(&self) -> bool {
        self.blocked_since_ns != NEVER
    }
}

/// All cares of a shard.
#[derive(Debug, Default)]
pub(crate) struct Cares {
    all: Pages<Care>,
    free: Vec<u32>,
    /// Places that were ever used.
    used: u32,
}

impl Cares {
    /// The connection's care, or [`Care::NONE`].
    #[inline]
    pub(crate) fn of(&self, conn: &Connection) -> &Care {
        if conn.care == NO_CARE {
            return &Care::NONE;
        }
        self.all.get(conn.care).unwrap_or(&Care::NONE)
    }

    /// The connection's care, if it has one.
    #[inline]
    pub(crate) fn get_mut(&mut self, conn: &Connection) -> Option<&mut Care> {
        if conn.care == NO_CARE {
            return None;
        }
        self.all.get_mut(conn.care)
    }

    /// The connection's care, begun now if it has none.
    pub(crate) fn begin(&mut self, conn: &mut Connection) -> &mut Care {
        if conn.care == NO_CARE {
            conn.care = self.free.pop().unwrap_or_else(|| {
                self.all.reach(self.used, || Care::NONE);
                self.used += 1;
                // Room for all to be free at once, so that letting go never allocates.
                self.free.reserve(self.all.len() as usize - self.free.len());
                self.used - 1
            });
        }
        self.all.get_mut(conn.care).expect("a care's number comes from this table")
    }

    /// Ends the care if there is nothing left of it.
    pub(crate) fn end_if_over(&mut self, conn: &mut Connection) {
        if conn.care != NO_CARE && *self.of(conn) == Care::NONE {
            self.end(conn);
        }
    }

    /// Ends the care, whatever is left of it.
    pub(crate) fn end(&mut self, conn: &mut Connection) {
        if let Some(care) = self.get_mut(conn) {
            *care = Care::NONE;
            self.free.push(conn.care);
            conn.care = NO_CARE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn care_ends_when_nothing_is_left_of_it_and_its_place_is_used_again() {
        let mut cares = Cares::default();
        let (mut one, mut other) = (Connection::FREE, Connection::FREE);
        assert!(!cares.of(&one).is_blocked());
        cares.begin(&mut one).blocked_since_ns = 5;
        cares.end_if_over(&mut one);
        assert!(cares.of(&one).is_blocked());
        cares.begin(&mut one).blocked_since_ns = NEVER;
        cares.end_if_over(&mut one);
        assert_eq!((one.care, cares.of(&one)), (NO_CARE, &Care::NONE));
        cares.begin(&mut other).skipped = 7;
        assert_eq!(other.care, 0);
        cares.end(&mut other);
        assert_eq!((cares.begin(&mut one).skipped, one.care), (0, 0));
    }
}
