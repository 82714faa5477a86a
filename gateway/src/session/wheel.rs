//! The timer wheel: when each session wants to be looked at next.
//!
//! Coarse and lazy on purpose. A session has one place in the wheel, and traffic does not move it: what
//! comes out of the wheel decides by its own time stamps whether something is due, and goes in again.
//! A session therefore costs the wheel nothing but one look per interval.

use hub::Pages;

const NONE: u32 = u32::MAX;

/// Slots of the wheel; the horizon is this many times [`GRAIN_MS`], 32.8 s. Later deadlines come out at
/// the horizon and go in again.
const SLOTS: usize = 512;

/// What a slot spans. Nothing that the wheel times is finer than a tenth of a second.
const GRAIN_MS: u64 = 64;

/// Deadlines by key. Keys are small integers, slots of a session table.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: [u32; SLOTS],
    /// One bit per slot that is not empty.
    occupied: [u64; SLOTS / 64],
    links: Pages<Link>,
    /// The next grain to be looked at, in grains since time 0.
    next_grain: u64,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
    /// In which slot; [`NONE`]: in none.
    slot: u32,
}

const UNLINKED: Link = Link { previous: NONE, next: NONE, slot: NONE };

impl Wheel {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            heads: [NONE; SLOTS],
            occupied: [0; SLOTS / 64],
            links: Pages::default(),
            next_grain: now_ms / GRAIN_MS,
        }
    }

    /// Sets the deadline of a key, in place of the one it had. It comes out up to a grain late, never
    /// early, unless it lies beyond the horizon.
    pub(crate) fn schedule(&mut self, key: u32, deadline_ms: u64) {
        self.cancel(key);
        self.links.reach(key, || UNLINKED);
        let grain =
            (deadline_ms / GRAIN_MS + 1).clamp(self.next_grain, self.next_grain + SLOTS as u64 - 1);
        let slot = slot_of(grain);
        let head = self.heads[slot];
        if let Some(link) = self.links.get_mut(head) {
            link.previous = key;
        }
        if let Some(link) = self.links.get_mut(key) {
            *link = Link { previous: NONE, next: head, slot: narrow(slot) };
        }
        self.heads[slot] = key;
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Takes a key out, if it is in.
    pub(crate) fn cancel(&mut self, key: u32) {
        let Some(link) = self.links.get_mut(key) else { return };
        let link = std::mem::replace(link, UNLINKED);
        if link.slot == NONE {
            return;
        }
        let slot = link.slot as usize;
        // No link has the number `NONE`.
        match self.links.get_mut(link.previous) {
            None => self.heads[slot] = link.next,
            Some(previous) => previous.next = link.next,
        }
        if let Some(next) = self.links.get_mut(link.next) {
            next.previous = link.previous;
        }
        if self.heads[slot] == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// Takes out the keys whose time has come, appending them to `out`.
    pub(crate) fn expire(&mut self, now_ms: u64, out: &mut Vec<u32>) {
        let now_grain = now_ms / GRAIN_MS;
        // After a long sleep every slot is due; once around is enough.
        let first = self.next_grain.max(now_grain.saturating_sub(SLOTS as u64 - 1));
        for grain in first..=now_grain {
            let slot = slot_of(grain);
            if self.occupied[slot / 64] & 1 << (slot % 64) == 0 {
                continue;
            }
            let mut key = std::mem::replace(&mut self.heads[slot], NONE);
            self.occupied[slot / 64] &= !(1 << (slot % 64));
            while let Some(link) = self.links.get_mut(key) {
                let link = std::mem::replace(link, UNLINKED);
                out.push(key);
                key = link.next;
            }
        }
        self.next_grain = self.next_grain.max(now_grain + 1);
    }

    /// When the next key comes out.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let start = slot_of(self.next_grain);
        let words = SLOTS / 64;
        // The word that the wheel stands in is looked at twice: behind the hand, and before it.
        (0..=words).find_map(|turn| {
            let word = (start / 64 + turn) % words;
            let behind_hand = u64::MAX << (start % 64);
            let mask = match turn {
                0 => behind_hand,
                turn if turn == words => !behind_hand,
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            (bits != 0).then(|| {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - start) % SLOTS;
                (self.next_grain + ahead as u64) * GRAIN_MS
            })
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below SLOTS")]
const fn slot_of(grain: u64) -> usize {
    (grain % SLOTS as u64) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "a slot is below SLOTS")]
const fn narrow(slot: usize) -> u32 {
    slot as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expired(wheel: &mut Wheel, now_ms: u64) -> Vec<u32> {
        let mut out = Vec::new();
        wheel.expire(now_ms, &mut out);
        out.sort_unstable();
        out
    }

    #[test]
    fn keys_come_out_at_their_time_and_never_before() {
        let mut wheel = Wheel::new(1000);
        for key in 0..100u32 {
            wheel.schedule(key, 1000 + u64::from(key) * 50);
        }
        wheel.cancel(10);
        wheel.schedule(20, 9000);
        let mut now = 1000;
        let mut seen = Vec::new();
        while let Some(next) = wheel.next_ms() {
            assert!(next > now);
            now = next;
            for key in expired(&mut wheel, now) {
                let deadline = if key == 20 { 9000 } else { 1000 + u64::from(key) * 50 };
                assert!(now >= deadline && now - deadline <= 2 * GRAIN_MS, "{key} at {now}");
                seen.push(key);
            }
        }
        seen.sort_unstable();
        let expected: Vec<u32> = (0..100).filter(|key| *key != 10).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_deadline_beyond_the_horizon_comes_out_early_and_a_long_sleep_loses_none() {
        let mut wheel = Wheel::new(0);
        wheel.schedule(1, 3_600_000);
        let horizon = wheel.next_ms().unwrap();
        assert!(horizon < SLOTS as u64 * GRAIN_MS);
        assert_eq!(expired(&mut wheel, horizon), [1]);
        wheel.schedule(1, horizon + 10);
        wheel.schedule(2, horizon + 20_000);
        assert_eq!(expired(&mut wheel, horizon + 10_000_000), [1, 2]);
        assert_eq!(wheel.next_ms(), None);
    }

    #[test]
    fn a_passed_deadline_comes_out_next() {
        let mut wheel = Wheel::new(0);
        assert!(expired(&mut wheel, 10_000).is_empty());
        wheel.schedule(7, 5);
        assert_eq!(expired(&mut wheel, 10_064), [7]);
    }
}
