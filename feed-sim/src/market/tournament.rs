//! Who is next: the earliest of many times, kept as a tournament.
//!
//! A binary heap moves entries about; a tournament only replays the matches between the changed leaf
//! and the root, the same nodes every time, and ties go to the lower number by construction. That
//! makes the order of ticks with one timestamp a function of the instruments alone.

/// The earliest of a fixed number of times.
#[derive(Clone, Debug)]
pub(super) struct Tournament {
    times_ns: Box<[u64]>,
    /// `winners[1]` is the root; the children of node n are 2n and 2n + 1; leaves begin at `size`.
    winners: Box<[u32]>,
    size: usize,
}

impl Tournament {
    /// A tournament between these times.
    pub(super) fn new(times_ns: &[u64]) -> Self {
        let size = times_ns.len().next_power_of_two();
        let mut padded = times_ns.to_vec();
        // Never wins: no event is at the end of time.
        padded.resize(size, u64::MAX);
        let mut tournament = Self {
            times_ns: padded.into_boxed_slice(),
            winners: vec![0; size].into_boxed_slice(),
            size,
        };
        for node in (1..size).rev() {
            tournament.winners[node] = tournament.play(node);
        }
        tournament
    }

    /// The number and the time of the earliest.
    pub(super) fn first(&self) -> (usize, u64) {
        let winner = if self.size == 1 { 0 } else { index(self.winners[1]) };
        (winner, self.times_ns[winner])
    }

    /// Gives one of them a new time.
    pub(super) fn set(&mut self, number: usize, time_ns: u64) {
        self.times_ns[number] = time_ns;
        let mut node = (self.size + number) / 2;
        while node > 0 {
            self.winners[node] = self.play(node);
            node /= 2;
        }
    }

    fn play(&self, node: usize) -> u32 {
        let entrant = |child: usize| {
            if child < self.size {
                self.winners[child]
            } else {
                u32::try_from(child - self.size).unwrap_or(u32::MAX)
            }
        };
        let (left, right) = (entrant(2 * node), entrant(2 * node + 1));
        if self.times_ns[index(right)] < self.times_ns[index(left)] { right } else { left }
    }
}

const fn index(number: u32) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_wins_and_ties_go_to_the_lower_number() {
        for count in [1, 2, 3, 7, 8, 100] {
            let mut times: Vec<u64> = (0..count).map(|i| (i * 7919) % 101).collect();
            let mut tournament = Tournament::new(&times);
            for step in 0..1_000u64 {
                let earliest = (0..times.len()).min_by_key(|&i| (times[i], i)).unwrap();
                assert_eq!(tournament.first(), (earliest, times[earliest]));
                times[earliest] += 1 + (step * 31) % 17;
                tournament.set(earliest, times[earliest]);
            }
        }
    }
}
