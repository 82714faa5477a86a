//! The pace: visits of one connection at least so far apart.
//!
//! A send costs the same whether it carries one tick or forty, so that whoever may wait a little costs
//! less. A connection that was given everything is not visited again before the interval is over; what
//! comes meanwhile goes in one message. Nothing is skipped for it: that would be a rate, which a client
//! asks for.
//!
//! There is no timer for each connection. The interval is the same for all, so that whoever was visited
//! first is due first: a queue in the order of visits is in the order of due times.
//!
//! The pace does not hold up what is asked for or must be told at once (see
//! [`Peers::urge`](crate::peers::Peers::urge)), nor a connection for which there is more than one
//! message takes. Nor does it cost a connection its place in the log: who would be reached by a quarter
//! of what the log holds is due before its time.

use std::collections::VecDeque;

use crate::bits::BitSet;

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// 0: there is no pace.
    interval_ns: u64,
    /// How many ticks may come before a connection is due whatever the time.
    ticks_max: u64,
    /// Who waits.
    waiting: BitSet,
    /// Who is in the queue: all who wait, and those whose wait an urgent visit ended.
    queued: BitSet,
    /// In the order of their visits.
    queue: VecDeque<Visited>,
}

#[derive(Clone, Copy, Debug)]
struct Visited {
    due_ns: u64,
    /// How many ticks had come by then.
    ticks: u64,
    index: u32,
}

impl Pace {
    pub(crate) fn new(interval_ns: u64, ticks_max: u64) -> Self {
        Self { interval_ns, ticks_max, ..Self::default() }
    }

    /// Makes room for connections below `slots`, so that pacing them allocates nothing.
    pub(crate) fn grow(&mut self, slots: u32) {
        self.waiting.grow(slots);
        if self.interval_ns > 0 {
            self.queued.grow(slots);
            let room = (slots as usize).saturating_sub(self.queue.len());
            self.queue.reserve(room);
        }
    }

    /// Who waits.
    pub(crate) const fn waiting(&self) -> &BitSet {
        &self.waiting
    }

    /// The connection was given everything there is.
    pub(crate) fn visited(&mut self, index: u32, ticks: u64, now_ns: u64) {
        if self.interval_ns == 0 {
            return;
        }
        self.waiting.insert(index);
        // After an urgent visit it is still in the queue and waits for the time it had: one entry each
        // bounds the queue.
        if !self.queued.contains(index) {
            self.queued.insert(index);
            let due_ns = now_ns.saturating_add(self.interval_ns);
            self.queue.push_back(Visited { due_ns, ticks, index });
        }
    }

    /// The connection was visited and given no ticks: if it waited before, it goes on waiting.
    pub(crate) fn resume(&mut self, index: u32) {
        if self.interval_ns > 0 && self.queued.contains(index) {
            self.waiting.insert(index);
        }
    }

    /// The connection is to be visited at once.
    pub(crate) fn urge(&mut self, index: u32) {
        self.waiting.remove(index);
    }

    /// Ends the wait of all who are due when so many ticks have come. Answers how many of them were
    /// due because of the ticks.
    #[inline]
    pub(crate) fn release(&mut self, ticks: u64, now_ns: u64) -> u64 {
        let mut cut = 0;
        while let Some(first) = self.queue.front() {
            let is_due = first.due_ns <= now_ns;
            if !is_due && ticks - first.ticks <= self.ticks_max {
                break;
            }
            cut += u64::from(!is_due);
            self.waiting.remove(first.index);
            self.queued.remove(first.index);
            self.queue.pop_front();
        }
        cut
    }

    /// When the first is due for whom there may be something: who is in both sets.
    pub(crate) fn next_due_ns(&self, dirty: &BitSet, ready: &BitSet) -> Option<u64> {
        let concerns = |index| dirty.contains(index) && ready.contains(index);
        let first = self.queue.iter().find(|visited| concerns(visited.index));
        first.map(|visited| visited.due_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(pace: &Pace) -> Vec<u32> {
        pace.waiting().iter().collect()
    }

    #[test]
    fn who_was_visited_first_is_due_first() {
        let mut pace = Pace::new(100, 1000);
        pace.visited(7, 0, 1);
        pace.visited(3, 0, 5);
        pace.release(0, 100);
        assert_eq!(waiting(&pace), [3, 7]);
        pace.release(0, 101);
        assert_eq!(waiting(&pace), [3]);
        pace.visited(7, 0, 102);
        pace.release(0, 105);
        assert_eq!(waiting(&pace), [7]);
    }

    #[test]
    fn an_urgent_visit_neither_waits_nor_moves_the_next_one() {
        let mut pace = Pace::new(100, 1000);
        pace.visited(7, 0, 0);
        pace.urge(7);
        assert!(waiting(&pace).is_empty());
        pace.visited(7, 0, 40);
        assert_eq!(waiting(&pace), [7]);
        pace.urge(7);
        pace.resume(7);
        pace.resume(8);
        assert_eq!(waiting(&pace), [7]);
        pace.release(0, 100);
        assert!(waiting(&pace).is_empty());
        assert!(pace.queue.is_empty());
    }

    #[test]
    fn only_who_has_something_is_waited_for() {
        let mut pace = Pace::new(100, 1000);
        let (mut dirty, mut ready) = (BitSet::default(), BitSet::default());
        for index in 0..5 {
            pace.visited(index, 0, u64::from(index));
            ready.insert(index);
        }
        assert_eq!(pace.next_due_ns(&dirty, &ready), None);
        dirty.insert(3);
        assert_eq!(pace.next_due_ns(&dirty, &ready), Some(103));
        ready.remove(3);
        assert_eq!(pace.next_due_ns(&dirty, &ready), None);
    }

    #[test]
    fn a_log_that_fills_ends_the_wait() {
        let mut pace = Pace::new(100, 1000);
        pace.visited(1, 50, 0);
        assert_eq!(pace.release(1050, 1), 0);
        assert_eq!(waiting(&pace), [1]);
        assert_eq!(pace.release(1051, 1), 1);
        assert!(waiting(&pace).is_empty());
    }

    #[test]
    fn without_an_interval_nobody_waits() {
        let mut pace = Pace::new(0, 1000);
        pace.visited(1, 0, 0);
        assert!(waiting(&pace).is_empty() && pace.queue.is_empty());
    }
}
