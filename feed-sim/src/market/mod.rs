//! The market: a believable venue, seeded and reproducible.
//!
//! Each instrument has a limit order book in price-time priority around a latent fair value
//! ([`fair`]), traders who send it orders ([`traders`]) at the times of a self-exciting clock
//! ([`tempo`]), and a schedule of sessions, halts and chapters ([`schedule`]). Trades, quotes and
//! level changes come from that one book, so they agree with each other; [`pit`] says how exactly.
//!
//! The stream is a function of [`MarketConfig`]: two markets of one configuration produce the same
//! ticks, and one that [joins](Market::join) late produces those the first produces from then on. What
//! a market is not: a clock (the caller waits) or a publisher (the caller numbers the ticks).
//!
//! Invariants: books never cross; every trade is at a price and for a quantity the book had; ids have
//! no holes; times never go back; ticks of one instant are in the order of their instruments' ids;
//! after creation nothing is allocated but the caller's vector.

mod book;
mod catalog;
mod config;
mod fair;
mod level_set;
mod pit;
mod random;
mod schedule;
mod tape;
mod tempo;
mod tournament;
mod traders;

pub use config::{DepthCadence, INSTRUMENTS_MAX, MarketConfig, MarketError, RATE_MAX};
pub use schedule::{Halts, Sessions};

use wire::{Instrument, Level, Tick};

use crate::{Feed, Next};
use pit::Pit;
use random::{exp2_neg, log2, to_f64};
use tournament::Tournament;

/// A batch spans at most this long, ns: ticks are late by no more. It spares the caller a look at the
/// clock for each tick.
const BATCH_NS: u64 = 20_000;

/// A batch ends with the event that brings it to this many ticks.
const BATCH_TICKS: usize = 256;

/// Ticks a second of one instrument at the venue's pace, by the pace's base-2 logarithm from 0 down:
/// slow instruments have fewer changes in a depth group, which fill its ticks less well. Measured by
/// `feed-sim stats`; the recorded BTCUSDT has 204.
const TICKS_PER_SECOND: [f64; 1] = [200.0];

/// A venue's market: a [`Feed`] of all its instruments.
#[derive(Clone, Debug)]
pub struct Market {
    instruments: Vec<Instrument>,
    pits: Vec<Pit>,
    order: Tournament,
    /// Where the feed's time begins, ns since the epoch.
    origin_ns: u64,
    /// Whether readers know the books.
    introduction: Introduction,
    changes: Vec<Level>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Introduction {
    Owed,
    Made,
}

impl Market {
    /// The market from the start of its schedule.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn new(config: &MarketConfig) -> Result<Self, MarketError> {
        Self::join(config, config.start_ns)
    }

    /// The market from `now_ns` (since the epoch) on: from the next event on it produces exactly the
    /// ticks of one that was created at the start of the schedule, after an introduction of status,
    /// quote and book. The feed's time begins at `now_ns`.
    ///
    /// Costs half a chapter of each instrument in the mean, about 2 ms each, however late it is.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn join(config: &MarketConfig, now_ns: u64) -> Result<Self, MarketError> {
        config.validate()?;
        let now_ns = now_ns.max(config.start_ns);
        let shares: Vec<f64> =
            (1..=config.instruments).map(|n| exp2_neg(config.zipf * log2(f64::from(n)))).collect();
        let whole: f64 = shares.iter().sum();
        let (mut instruments, mut pits) = (Vec::new(), Vec::new());
        let (mut ticks, mut changes) = (Vec::new(), Vec::new());
        for (rank, share) in (0..config.instruments).zip(&shares) {
            let listing = catalog::listing(config.seed, rank);
            let mut pit = Pit::new(&listing, config, pace_of(to_f64(config.rate) * share / whole));
            pit.enter(now_ns);
            while pit.due_ns() < now_ns {
                pit.wake(&mut ticks, &mut changes);
                ticks.clear();
            }
            instruments.push(listing.instrument);
            pits.push(pit);
        }
        let times: Vec<u64> = pits.iter().map(Pit::due_ns).collect();
        Ok(Self {
            instruments,
            order: Tournament::new(&times),
            pits,
            origin_ns: now_ns,
            introduction: Introduction::Owed,
            changes,
        })
    }
}

impl Feed for Market {
    fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    fn next(&mut self, out: &mut Vec<Tick>) -> Next {
        if self.introduction == Introduction::Owed {
            self.introduction = Introduction::Made;
            for pit in &self.pits {
                pit.introduce(out, self.origin_ns, &mut self.changes);
            }
            return Next::At(0);
        }
        let start = out.len();
        let (_, first_ns) = self.order.first();
        let mut due_ns = first_ns;
        // Some events tell nothing; a batch has at least one tick.
        loop {
            let (number, now_ns) = self.order.first();
            let enough = out.len() >= start + BATCH_TICKS || now_ns > first_ns + BATCH_NS;
            if enough && out.len() > start {
                break;
            }
            let pit = &mut self.pits[number];
            pit.wake(out, &mut self.changes);
            self.order.set(number, pit.due_ns());
            due_ns = now_ns;
        }
        Next::At(due_ns - self.origin_ns)
    }
}

/// How fast an instrument runs to have this many ticks a second.
fn pace_of(ticks_per_second: f64) -> f64 {
    ticks_per_second / TICKS_PER_SECOND[0]
}
