//! The market: a believable venue, seeded and reproducible.
//!
//! Each instrument has a limit order book in price-time priority around a latent fair value (`fair`),
//! traders who send it orders (`traders`) at the times of a self-exciting clock (`tempo`), and a
//! schedule of sessions, halts and chapters (`schedule`). What comes of it is told by its `pit`.
//!
//! The stream is a function of [`MarketConfig`]: two markets of one configuration produce the same
//! ticks, and one that [joins](Market::join) late produces those that the first produces from then on.
//! What a market is not: a clock (the caller waits) or a publisher (the caller numbers the ticks).
//!
//! # How the channels agree
//! Trades, quotes and level changes come from one book. Every change of it takes an update id, every
//! fill a trade id, one more than the last.
//! - A market order walks the book. Each resting order it meets makes a trade, at that order's price
//!   and in the book's order; the first is at the best price of the last quote.
//! - A quote is told whenever the best bid or offer (price or quantity) is not what the last quote
//!   said: at once, behind the trades that caused it, with the update id the book had then.
//! - A depth group is told at the cadence, with every level that changed since the last group and its
//!   quantity now. It spans the update ids from behind the last group's to the book's newest one.
//!
//! So at each depth group a reader's book has the best bid and offer of the last quote whose update id
//! is not above the group's last, as it is in recordings. The stream begins with each instrument's
//! status, quote and whole book: a depth group that replaces the book. While an instrument is halted or
//! closed there is nothing of it but the status, told when it changes.
//!
//! # Invariants
//! Books never cross; times never go back; ticks of one instant are in the order of their instruments'
//! ids; after creation nothing is allocated but the caller's vector.

mod book;
mod catalog;
mod changes;
mod config;
mod fair;
mod level_set;
mod pace;
mod pit;
mod random;
mod schedule;
mod tape;
mod tempo;
mod tournament;
mod traders;

pub use config::{DepthCadence, INSTRUMENTS_MAX, MarketConfig, MarketError, RATE_MAX};
pub use schedule::{Halts, Sessions};

use wire::{Instrument, Tick};

use crate::{Feed, Next};
use changes::Changes;
use pit::Pit;
use random::{exp2_neg, log2, to_f64};
use tournament::Tournament;

/// A batch spans at most this long, ns: ticks are late by no more. It spares the caller a look at the
/// clock for each tick.
const BATCH_NS: u64 = 20_000;

/// A batch ends with the event that brings it to this many ticks.
const BATCH_TICKS: usize = 256;

/// A venue's market: a [`Feed`] of all its instruments.
#[derive(Clone, Debug)]
pub struct Market {
    instruments: Vec<Instrument>,
    pits: Vec<Pit>,
    order: Tournament,
    /// Where the schedule starts, ns since the epoch.
    start_ns: u64,
    /// Where the feed's time begins, ns since the epoch.
    origin_ns: u64,
    /// Whether readers know the books.
    introduction: Introduction,
    changes: Changes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Introduction {
    Owed,
    Made,
}

impl Market {
    /// The market from the start of its schedule, whatever the time is now.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn new(config: &MarketConfig) -> Result<Self, MarketError> {
        config.validate()?;
        let shares: Vec<f64> =
            (1..=config.instruments).map(|n| exp2_neg(config.zipf * log2(f64::from(n)))).collect();
        let whole: f64 = shares.iter().sum();
        let (mut instruments, mut pits) = (Vec::new(), Vec::new());
        for (rank, share) in (0..config.instruments).zip(&shares) {
            let listing = catalog::listing(config.seed, rank);
            let rate = to_f64(config.rate) * share / whole;
            pits.push(Pit::new(&listing, config, pace::of(rate, listing.levels())));
            instruments.push(listing.instrument);
        }
        // A chapter's first group may tell that all orders' levels are gone and that as many came.
        let room = pits.iter().map(|pit| 2 * pit.orders()).max().unwrap_or(0);
        let mut market = Self {
            instruments,
            pits,
            order: Tournament::new(&[]),
            start_ns: config.start_ns,
            origin_ns: config.start_ns,
            introduction: Introduction::Owed,
            changes: Changes::with_room_for(room),
        };
        market.enter(config.start_ns);
        Ok(market)
    }

    /// The market from `now_ns` (since the epoch) on: after an introduction of status, quote and book it
    /// produces exactly the ticks of one that was begun at the start of the schedule. The feed's time
    /// begins at `now_ns`.
    ///
    /// Costs half a chapter of each instrument in the mean, about 2 ms each, however late it is.
    ///
    /// # Errors
    /// If the configuration is not valid.
    pub fn join(config: &MarketConfig, now_ns: u64) -> Result<Self, MarketError> {
        let mut market = Self::new(config)?;
        market.enter(now_ns);
        Ok(market)
    }

    /// Brings every instrument to the state just before `now_ns` and owes an introduction.
    fn enter(&mut self, now_ns: u64) {
        let now_ns = now_ns.max(self.start_ns);
        let mut untold = Vec::new();
        for pit in &mut self.pits {
            pit.enter(now_ns);
            while pit.due_ns() < now_ns {
                pit.wake(&mut untold, &mut self.changes);
                untold.clear();
            }
        }
        let times: Vec<u64> = self.pits.iter().map(Pit::due_ns).collect();
        self.order = Tournament::new(&times);
        self.origin_ns = now_ns;
        self.introduction = Introduction::Owed;
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
