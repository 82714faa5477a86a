//! Checkpoints: which instruments' recovery images are due.
//!
//! An image is good for as long as every record that changed its instrument since is still in the
//! ring. So only *dirty* instruments count, those with a record that is not in their image, and of
//! them the position of the first such record. They stand in a queue in the order of that position;
//! an instrument gets into it with its first change and leaves it with its image.
//!
//! Invariant, whenever due images have been written: head - first position in the queue < capacity / 4.
//! That is done after every batch, and in a longer one every sixteenth of the capacity.
//! Between an eighth and a quarter images are written at a small rate per record, so that thousands of
//! instruments that became dirty together do not stop the feed together.

use std::collections::VecDeque;

/// While no image is pressing, one is written for every so many records: at 2 µs an image (500 words)
/// that is about a tenth of the feeder's time.
const RECORDS_PER_IMAGE: u64 = 32;

/// The dirty instruments.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    queue: VecDeque<(u64, u32)>,
    is_dirty: Vec<bool>,
    /// From this age on, in records, images are written.
    age_due: u64,
    /// At this age an image is written at once.
    age_max: u64,
    /// Records published that have not yet paid for an image.
    credit: u64,
}

impl Checkpoints {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity as u64;
        Self { age_due: capacity / 8, age_max: capacity / 4, ..Self::default() }
    }

    /// All instruments are clean; there are so many of them.
    pub(super) fn begin(&mut self, instruments: usize) {
        self.queue.clear();
        self.queue.reserve(instruments);
        self.is_dirty.clear();
        self.is_dirty.resize(instruments, false);
        self.credit = 0;
    }

    /// Notes that the record at this position has changed the instrument.
    #[inline]
    pub(super) fn touch(&mut self, instrument: u32, position: u64) {
        let is_dirty = &mut self.is_dirty[instrument as usize];
        if !*is_dirty {
            *is_dirty = true;
            self.queue.push_back((position, instrument));
        }
    }

    /// Notes that so many records were published.
    pub(super) const fn earn(&mut self, records: u64) {
        self.credit += records;
    }

    /// The next instrument whose image is to be written now, if any; it is clean from here on.
    pub(super) fn next_due(&mut self, head: u64) -> Option<u32> {
        let &(position, _) = self.queue.front()?;
        let age = head - position;
        if age < self.age_due {
            // Nothing to pay for: credit does not pile up over quiet times.
            self.credit = 0;
            return None;
        }
        if age < self.age_max && self.credit < RECORDS_PER_IMAGE {
            return None;
        }
        self.credit = self.credit.saturating_sub(RECORDS_PER_IMAGE);
        self.next_dirty()
    }

    /// The dirty instrument that waits longest; it is clean from here on.
    pub(super) fn next_dirty(&mut self) -> Option<u32> {
        let (_, instrument) = self.queue.pop_front()?;
        self.is_dirty[instrument as usize] = false;
        Some(instrument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_dirty_instruments_is_spread_and_never_too_late() {
        let mut checkpoints = Checkpoints::new(1 << 16);
        checkpoints.begin(200);
        for instrument in 0..200 {
            checkpoints.touch(instrument, u64::from(instrument));
            checkpoints.touch(instrument, 1_000);
        }
        let (mut head, mut written) = (200, 0);
        let mut most_at_once = 0;
        while written < 200 {
            head += 64;
            checkpoints.earn(64);
            let mut at_once = 0;
            while let Some(instrument) = checkpoints.next_due(head) {
                assert_eq!(instrument, written, "in the order of becoming dirty");
                assert!(head >= (1 << 13), "not before it is needed");
                written += 1;
                at_once += 1;
            }
            most_at_once = at_once.max(most_at_once);
            assert!(head < (1 << 14), "not too late");
        }
        assert!(most_at_once <= 2, "{most_at_once}");
        assert_eq!(checkpoints.next_dirty(), None);
    }

    #[test]
    fn what_is_too_old_is_written_without_credit() {
        let mut checkpoints = Checkpoints::new(1 << 10);
        checkpoints.begin(50);
        (0..50).for_each(|instrument| checkpoints.touch(instrument, 0));
        assert_eq!(checkpoints.next_due(200), None, "due, but not paid for");
        let due = std::iter::from_fn(|| checkpoints.next_due(256)).count();
        assert_eq!(due, 50);
    }
}
