//! Who waits for the next turn of the loop, counted: a loop that somebody waits for does not sleep.

use std::cell::Cell;

/// Counts one for as long as it lives, however its task ends.
pub(super) struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    pub(super) fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
