//! Renewal: which instruments' images at the bus are due.
//!
//! An image is good for as long as everything appended since is still in the log. So only *dirty*
//! instruments count, those of which something was appended that is not in their image, and of them when
//! that first happened: in time, in bytes of all logs, and in bytes of their bucket's. They are due at a
//! quarter of what the bus keeps by either measure, or sooner where a bucket is so busy that a reader would
//! have much to read behind its images.

use std::collections::VecDeque;

/// Images stored at the same time: they must not keep batches waiting for the connection.
const PUTS_MAX: usize = 4;

/// When an instrument became dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Since {
    ns: u64,
    /// Bytes appended to all logs until then.
    bytes: u64,
}

/// The dirty instruments.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    age_max_ns: u64,
    bytes_max: u64,
    dirty: Vec<Option<Since>>,
    is_putting: Vec<bool>,
    putting: usize,
    /// In the order in which they became dirty. Entries that `dirty` does not have are stale.
    queue: VecDeque<(u32, Since)>,
    /// Due whatever their age.
    hurried: VecDeque<u32>,
    /// Everything dirty is due.
    is_closing: bool,
}

impl Renewal {
    /// For so many instruments, none of them dirty.
    pub(super) fn new(instruments: usize, age_max_ns: u64, bytes_max: u64) -> Self {
        Self {
            age_max_ns,
            bytes_max,
            dirty: vec![None; instruments],
            is_putting: vec![false; instruments],
            ..Self::default()
        }
    }

    /// Notes that something of the instrument was appended.
    pub(super) fn touch(&mut self, instrument: u32, ns: u64, bytes: u64) {
        let dirty = &mut self.dirty[instrument as usize];
        if dirty.is_none() {
            let since = Since { ns, bytes };
            *dirty = Some(since);
            self.queue.push_back((instrument, since));
        }
    }

    /// Makes the dirty ones of these instruments due.
    pub(super) fn hurry(&mut self, instruments: impl Iterator<Item = u32>) {
        let dirty = &self.dirty;
        self.hurried.extend(instruments.filter(|id| dirty[*id as usize].is_some()));
    }

    /// Makes these due though nothing may be missing in them: readers read the log from the oldest image on.
    pub(super) fn renew(&mut self, instruments: impl Iterator<Item = u32>, ns: u64, bytes: u64) {
        for instrument in instruments {
            self.touch(instrument, ns, bytes);
            self.hurried.push_back(instrument);
        }
    }

    /// Makes everything dirty due, now and from now on.
    pub(super) const fn close(&mut self) {
        self.is_closing = true;
    }

    /// Whether every image is as the log is, or will be as soon as it is stored.
    pub(super) fn is_done(&self) -> bool {
        self.putting == 0 && self.dirty.iter().all(Option::is_none)
    }

    /// When the next becomes due by its age, if one is dirty.
    pub(super) fn wake_at_ns(&self) -> Option<u64> {
        let (instrument, since) = self.queue.front()?;
        if self.putting >= PUTS_MAX || self.is_putting[*instrument as usize] {
            // An answer comes before.
            return None;
        }
        Some(since.ns.saturating_add(self.age_max_ns))
    }

    /// The next whose image is to be stored; it counts as clean from here on.
    pub(super) fn next_due(&mut self, now_ns: u64, bytes: u64) -> Option<u32> {
        if self.putting >= PUTS_MAX {
            return None;
        }
        let instrument = self.next_hurried().or_else(|| self.next_old(now_ns, bytes))?;
        self.dirty[instrument as usize] = None;
        self.is_putting[instrument as usize] = true;
        self.putting += 1;
        Some(instrument)
    }

    /// The image was stored, or was not and is due again after `at_ns`.
    pub(super) fn handle_put(&mut self, instrument: u32, is_stored: bool, now: (u64, u64)) {
        let Some(is_putting) = self.is_putting.get_mut(instrument as usize) else { return };
        if std::mem::take(is_putting) {
            self.putting -= 1;
            if !is_stored {
                self.touch(instrument, now.0, now.1);
            }
        }
    }

    fn next_hurried(&mut self) -> Option<u32> {
        while let Some(instrument) = self.hurried.pop_front() {
            let at = instrument as usize;
            if self.dirty[at].is_some() && !self.is_putting[at] {
                return Some(instrument);
            }
        }
        None
    }

    fn next_old(&mut self, now_ns: u64, bytes: u64) -> Option<u32> {
        while let Some(&(instrument, since)) = self.queue.front() {
            let at = instrument as usize;
            if self.dirty[at] != Some(since) {
                self.queue.pop_front();
                continue;
            }
            let is_due = self.is_closing
                || now_ns >= since.ns.saturating_add(self.age_max_ns)
                || bytes >= since.bytes.saturating_add(self.bytes_max);
            if !is_due || self.is_putting[at] {
                // One that is being stored and dirty again has at least an age before it.
                return None;
            }
            self.queue.pop_front();
            return Some(instrument);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_due_by_age_by_bytes_and_by_hurry() {
        let mut renewal = Renewal::new(4, 100, 1_000);
        renewal.touch(0, 10, 0);
        renewal.touch(1, 50, 500);
        renewal.touch(0, 60, 600);
        assert_eq!(renewal.wake_at_ns(), Some(110));
        assert_eq!(renewal.next_due(109, 999), None);
        assert_eq!(renewal.next_due(110, 999), Some(0), "by its age, since it was first dirty");
        assert_eq!(renewal.next_due(110, 1_500), Some(1), "by bytes");
        renewal.touch(2, 120, 1_600);
        renewal.touch(3, 121, 1_600);
        renewal.hurry([3, 1].into_iter());
        assert_eq!(renewal.next_due(122, 1_600), Some(3), "1 is clean");
        assert_eq!(renewal.next_due(122, 1_600), None);
        assert!(!renewal.is_done());
        for instrument in [0, 1, 3] {
            renewal.handle_put(instrument, true, (130, 1_600));
        }
        renewal.close();
        assert_eq!(renewal.next_due(130, 1_600), Some(2));
        renewal.handle_put(2, false, (131, 1_600));
        assert_eq!(renewal.next_due(131, 1_600), Some(2), "not stored: still due");
        renewal.handle_put(2, true, (132, 1_600));
        assert!(renewal.is_done());
    }
}
