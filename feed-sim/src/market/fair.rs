//! The fair value: the latent price that informed traders know and quotes follow.
//!
//! It stands still most of the time and then jumps, more often when the market is busy and further
//! when it is nervous: jump sizes have a power law's tail, and their scale follows a slow, mean-
//! reverting volatility. Over a chapter it is drawn to where the next chapter begins, so that a chapter
//! can be begun without its past (see [`super::schedule`]).
//!
//! Fixed point throughout: ticks with 16 binary places, counted from the price 0.

use super::random::{Chance, Dice, exp2_q8, log2, mix, signed, to_f64};

/// Binary places of a fair value.
pub(super) const PLACES: u32 = 16;

/// One tick.
const TICK: f64 = 65_536.0;

/// One event in this many moves the fair value.
pub(super) const EVENTS_PER_JUMP: u32 = 110;

/// The jump sizes' tail index: between the recordings' own (Hill: 1.6 to 4).
const TAIL_INDEX: f64 = 2.6;

/// The root mean square of a Pareto variate with [`TAIL_INDEX`] and least value 1.
const TAIL_RMS: f64 = 2.08;

/// A jump is at most this many times its scale, so that one never leaves the band.
const JUMP_MAX: f64 = 24.0;

/// What does not change about an instrument's fair value.
#[derive(Clone, Copy, Debug)]
pub(super) struct FairTraits {
    /// Seed of the instrument.
    pub(super) seed: u64,
    /// Long-run price, ticks.
    pub(super) center_ticks: i64,
    /// Standard deviation over one chapter, ticks.
    pub(super) chapter_ticks: f64,
    /// The least jump's size, ticks; see [`jump_ticks`].
    pub(super) jump_ticks: f64,
    /// The fair value keeps this near to where its chapter began, ticks.
    pub(super) reach_ticks: f64,
}

/// The least jump for this volatility, ticks per square root of a second, at `events_per_second`.
pub(super) fn jump_ticks(volatility: f64, events_per_second: f64) -> f64 {
    volatility / (events_per_second / f64::from(EVENTS_PER_JUMP)).sqrt() / TAIL_RMS
}

/// The fair value within one chapter.
#[derive(Clone, Debug)]
pub(super) struct Fair {
    traits: FairTraits,
    /// Where it is, ticks with [`PLACES`].
    value: i64,
    from: i64,
    to: i64,
    /// Base-2 logarithm of the volatility relative to its mean, in 1/256; it reverts to 0.
    nervousness: i32,
    events: u32,
}

impl Fair {
    pub(super) fn new(traits: FairTraits) -> Self {
        Self { traits, value: 0, from: 0, to: 0, nervousness: 0, events: 0 }
    }

    /// Goes to the begin of a chapter.
    pub(super) fn rewind(&mut self, chapter: u64) {
        self.from = self.at_begin(chapter);
        self.to = self.at_begin(chapter + 1);
        self.value = self.from;
        let noise = mix([self.traits.seed, chapter, 0x6E65_7276, 0]);
        self.nervousness = (noise.count_ones().cast_signed() - 32) * 24;
        self.events = 0;
    }

    /// The value, ticks with [`PLACES`].
    pub(super) const fn value(&self) -> i64 {
        self.value
    }

    /// The market has agreed on this value.
    pub(super) fn settle(&mut self, value: i64) {
        let reach = signed(self.traits.reach_ticks * TICK);
        self.value = value.clamp(self.from - reach, self.from + reach).max(1 << PLACES);
    }

    /// One event passed, with this fraction of the chapter over. Says if the value jumped.
    pub(super) fn step(&mut self, dice: &mut Dice, elapsed: f64) -> bool {
        self.events += 1;
        if self.events.is_multiple_of(64) {
            self.nervousness += dice.coins() * 12 - (self.nervousness >> 4);
        }
        if !dice.happens(Chance::new(1, EVENTS_PER_JUMP)) {
            return false;
        }
        let scale = self.traits.jump_ticks * exp2_q8(self.nervousness.clamp(-768, 768));
        // u^(-1/index), a Pareto variate, by way of logarithms.
        let tail = exp2_q8(whole_q8(-log2(dice.unit()) / TAIL_INDEX)).min(JUMP_MAX);
        let sign = if dice.bits() >> 63 == 0 { 1.0 } else { -1.0 };
        // The drift of a Brownian bridge: what is left to go, shared among the jumps to come.
        let left = to_f64(self.to.abs_diff(self.value)) / TICK;
        let direction = if self.to >= self.value { 1.0 } else { -1.0 };
        let jump_share = self.share_of_one_jump(scale, elapsed);
        let ticks = sign * scale * tail + direction * left * jump_share;
        self.settle(self.value + signed(ticks * TICK));
        true
    }

    /// The part of the way left that one jump goes: one over the number of jumps to come.
    fn share_of_one_jump(&self, scale: f64, elapsed: f64) -> f64 {
        let ratio = self.traits.chapter_ticks / (scale * TAIL_RMS);
        let jumps_to_come = ratio * ratio * (1.0 - elapsed);
        if jumps_to_come > 1.0 { 1.0 / jumps_to_come } else { 1.0 }
    }

    /// Where a chapter begins, ticks with [`PLACES`]: noise in octaves, each four times as slow and
    /// twice as large as the one before. Over times shorter than the slowest it looks like a random
    /// walk; over longer ones it stays near the long-run price; and any point costs the same.
    fn at_begin(&self, chapter: u64) -> i64 {
        let mut ticks = 0.0;
        let mut amplitude = self.traits.chapter_ticks;
        let limit = to_f64(self.traits.center_ticks.unsigned_abs()) * 0.08;
        for octave in 0..12u32 {
            if amplitude > limit {
                break;
            }
            let shift = 2 * octave;
            let cell = chapter >> shift;
            let within = to_f64(chapter - (cell << shift)) / to_f64(1 << shift);
            let corner = |cell: u64| {
                let bits = mix([self.traits.seed, cell, u64::from(octave), 0x6661_6972]);
                to_f64(bits >> 11) / 4_503_599_627_370_496.0 - 1.0
            };
            let (low, high) = (corner(cell), corner(cell + 1));
            ticks += amplitude * (low + (high - low) * within);
            amplitude *= 2.0;
        }
        (self.traits.center_ticks << PLACES) + signed(ticks * TICK)
    }
}

fn whole_q8(x: f64) -> i32 {
    i32::try_from(signed(x * 256.0)).unwrap_or(i32::MAX).min(8_191)
}
