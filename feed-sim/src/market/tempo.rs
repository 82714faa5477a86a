//! The tempo of one instrument: a self-exciting clock of events.
//!
//! A Hawkes process with two exponential kernels: events raise the intensity, which falls back within
//! milliseconds (reactions to one another) and within seconds (attention). Its mean is known in closed
//! form, which is what makes the market's rate a setting; its branching ratio is what makes bursts.
//! Sampled exactly by thinning (Ogata, 1981): between events the intensity only falls, so the present
//! one bounds it.
//!
//! Times are ns of trading time since the chapter's begin: halts and closes do not exist here.

use super::random::{Dice, exp2_neg, exp2_q8, whole};

/// Events one event brings about within milliseconds, in the mean.
const FAST_OFFSPRING: f64 = 0.62;
/// Events one event brings about within seconds, in the mean.
const SLOW_OFFSPRING: f64 = 0.31;
/// The fast kernel's decay at the venue's pace, per second.
const FAST_DECAY: f64 = 900.0;
/// The slow kernel's decay at the venue's pace, per second.
const SLOW_DECAY: f64 = 0.9;
/// The mood changes this often, seconds at the venue's pace, and forgets itself in sixteen changes.
const MOOD_STEP_S: f64 = 1.0;
/// By how much, in 1/256 of a doubling, for each of some four coins' deviation.
const MOOD_STEP: i32 = 27;
/// The same for where a chapter begins: the stationary deviation, sqrt(8) times a step's.
const MOOD_SPREAD: i32 = 76;
/// How much the mean of 2^x is above 1 for such moods, in 1/256 of a doubling.
const MOOD_MEAN: i32 = 127;
/// A decay's rate in halvings: intensities fall as powers of two here.
const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// How excited the market is, and when that was last brought up to date.
#[derive(Clone, Debug)]
pub(super) struct Tempo {
    /// Intensity without excitement, events per ns.
    base: f64,
    fast: f64,
    slow: f64,
    /// Halvings per ns.
    fast_decay: f64,
    slow_decay: f64,
    /// What one event adds to the two, events per ns.
    fast_step: f64,
    slow_step: f64,
    /// Base-2 logarithm of the base intensity relative to its mean, in 1/256; it reverts to 0.
    mood: i32,
    /// The mood changes after this time, ns.
    mood_step_ns: f64,
    next_mood_ns: f64,
    /// Of the state above, ns since the chapter's begin.
    at_ns: f64,
}

impl Tempo {
    /// A clock with `events_per_second` in the mean at the venue's pace, run `pace` times as fast.
    /// In slow motion reactions keep their speed: a quiet instrument's bursts are as short as others'.
    pub(super) fn new(events_per_second: f64, pace: f64) -> Self {
        let mean = events_per_second * pace * 1e-9;
        let fast = FAST_DECAY * 1e-9 * if pace > 1.0 { pace } else { 1.0 };
        let slow = SLOW_DECAY * 1e-9 * pace;
        Self {
            base: mean * (1.0 - FAST_OFFSPRING - SLOW_OFFSPRING),
            // The stationary means: what a market that has been running looks like.
            fast: mean * FAST_OFFSPRING,
            slow: mean * SLOW_OFFSPRING,
            fast_decay: fast * LOG2_E,
            slow_decay: slow * LOG2_E,
            fast_step: FAST_OFFSPRING * fast,
            slow_step: SLOW_OFFSPRING * slow,
            mood: 0,
            mood_step_ns: MOOD_STEP_S * 1e9 / pace,
            next_mood_ns: 0.0,
            at_ns: 0.0,
        }
    }

    /// Back to the chapter's begin and the stationary means, in a mood of the chapter's own.
    pub(super) fn rewind(&mut self, dice: &mut Dice) {
        let mean = self.base / (1.0 - FAST_OFFSPRING - SLOW_OFFSPRING);
        self.fast = mean * FAST_OFFSPRING;
        self.slow = mean * SLOW_OFFSPRING;
        self.at_ns = 0.0;
        self.mood = dice.coins() * MOOD_SPREAD;
        self.next_mood_ns = self.mood_step_ns;
    }

    /// When the next event is, ns since the chapter's begin, if the base intensity is `hurry` times what
    /// it is by itself.
    pub(super) fn next_ns(&mut self, dice: &mut Dice, hurry: f64) -> u64 {
        // The mean of 2^x is above 1 for a spread-out x of mean 0: without this the rate would be.
        let base = self.base * exp2_q8(self.mood - MOOD_MEAN) * hurry;
        loop {
            let bound = base + self.fast + self.slow;
            let wait_ns = dice.exponential() / bound;
            self.at_ns += wait_ns;
            self.fast *= exp2_neg(wait_ns * self.fast_decay);
            self.slow *= exp2_neg(wait_ns * self.slow_decay);
            if dice.unit() * bound <= base + self.fast + self.slow {
                self.change_mood(dice);
                return whole(self.at_ns);
            }
        }
    }

    /// Lets the mood follow the time that has passed. Steps beyond sixteen would forget it anyway.
    fn change_mood(&mut self, dice: &mut Dice) {
        let mut steps = 0;
        while self.at_ns >= self.next_mood_ns && steps < 16 {
            self.mood += dice.coins() * MOOD_STEP - (self.mood >> 4);
            self.next_mood_ns += self.mood_step_ns;
            steps += 1;
        }
        if steps == 16 {
            self.next_mood_ns = self.at_ns + self.mood_step_ns;
        }
    }

    /// An event as weighty as `weight` ordinary ones happened.
    pub(super) fn excite(&mut self, weight: f64) {
        self.fast += self.fast_step * weight;
        self.slow += self.slow_step * weight;
    }

    /// When the state was last brought up to date, ns since the chapter's begin.
    pub(super) fn at_ns(&self) -> u64 {
        whole(self.at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::random::to_f64;

    #[test]
    fn the_mean_rate_is_the_one_asked_for_and_events_cluster() {
        let mut dice = Dice::new(3);
        let mut tempo = Tempo::new(80.0, 2.0);
        let (mut previous, mut waits) = (0, Vec::new());
        for _ in 0..2_000_000 {
            let at = tempo.next_ns(&mut dice, 1.0);
            tempo.excite(1.0);
            waits.push(to_f64(at - previous));
            previous = at;
        }
        let mean = waits.iter().sum::<f64>() / 2_000_000.0;
        let variance = waits.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2_000_000.0;
        assert!((1e9 / mean / 160.0 - 1.0).abs() < 0.1, "{} events a second", 1e9 / mean);
        assert!(
            variance.sqrt() / mean > 1.8,
            "coefficient of variation {}",
            variance.sqrt() / mean
        );
    }
}
