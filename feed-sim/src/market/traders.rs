//! The traders of one instrument: who sends which order when it is somebody's turn.
//!
//! Each turn is one message to the matching engine. What it is depends on the book and on the fair
//! value: when that is outside the best prices, informed traders take what is mispriced and market
//! makers withdraw; when the spread is wide, somebody quotes inside it; otherwise market orders of
//! people with reasons of their own arrive, runs of them on one side, and the best levels are refilled
//! and thinned. Behind the best levels orders come and go in bulk before each depth group, since
//! nobody sees them earlier; they never touch the best prices.

use wire::{Side, Tick};

use super::book::Book;
use super::catalog::Listing;
use super::fair::{EVENTS_PER_JUMP, Fair, PLACES};
use super::level_set::NO_LEVEL;
use super::random::{Chance, Dice, Quantiles, exp2_q8, to_f64, whole};
use super::tape::Tape;

/// Sizes of market orders, lots: the recorded BTCUSDT's.
const MARKET_ORDERS: Quantiles = Quantiles {
    log2_q8: [
        820, 1080, 1130, 1230, 1320, 1500, 1700, 1950, 2170, 2400, 2560, 2700, 2820, 3000, 3280,
        3600, 4700,
    ],
};

/// Sizes of orders at the best levels, lots.
const BEST_ORDERS: Quantiles = Quantiles {
    log2_q8: [
        700, 800, 850, 900, 950, 1100, 1300, 1500, 1800, 2300, 2800, 3300, 3600, 3850, 4100, 4300,
        4650,
    ],
};

/// Sizes of orders behind them, lots: those of the recorded snapshot.
const ORDERS_BEHIND: Quantiles = Quantiles {
    log2_q8: [
        700, 820, 900, 980, 1048, 1140, 1300, 1480, 1640, 2000, 2400, 2750, 3070, 3400, 3700, 4100,
        4900,
    ],
};

/// One turn in this many is a market order, as long as the chapter's trades are on schedule.
const MARKET_ORDER: Chance = Chance::new(1, 11);
/// The next market order is on the side of the last: order flow has a long memory.
const SAME_SIDE: Chance = Chance::new(3, 4);
/// When the best price is wrong, an informed trader takes it, or its owners withdraw it.
const TAKEN: Chance = Chance::new(1, 4);
/// Somebody quotes inside a wide spread.
const NARROWED: Chance = Chance::new(11, 20);
/// An order that goes inside goes all the way.
const NARROWED_FULLY: Chance = Chance::new(1, 2);
/// When the best price is wrong, somebody quotes next to it from the other side.
const FOLLOWED: Chance = Chance::new(2, 5);
/// Who withdraws, withdraws from all mispriced levels at once.
const WITHDRAWN_FULLY: Chance = Chance::new(1, 4);
/// How much of the way that a market order moved the best price the fair value follows.
const IMPACT_PERCENT: i64 = 60;
/// What a turn excites when the fair value jumps.
const JUMP_EXCITES: f64 = 6.0;
/// What any other turn excites: so much that the mean is 1 and the tempo's rate holds.
const TURN_EXCITES: f64 = (EVENTS_PER_JUMP as f64 - JUMP_EXCITES) / (EVENTS_PER_JUMP as f64 - 1.0);

/// Book, fair value and habits.
#[derive(Clone, Debug)]
pub(super) struct Traders {
    pub(super) book: Book,
    pub(super) fair: Fair,
    pub(super) dice: Dice,
    /// The fair value may be this far outside the best prices before anyone minds, 1/65,536 ticks.
    tolerance: i64,
    band: u16,
    depth_ticks: u16,
    /// Base-2 logarithm of the depth, in 1/256.
    depth_log2_q8: u32,
    gap_ticks: f64,
    size_shift_q8: i32,
    /// The quantity market makers aim at on a best level, lots.
    usual_best_lots: u64,
    /// The side the last market order took from.
    taken: Side,
}

impl Traders {
    pub(super) fn new(listing: &Listing, fair: Fair, tolerance_ticks: f64) -> Self {
        let depth_log2 = super::random::log2(f64::from(listing.depth_ticks));
        Self {
            book: Book::new(listing.band, listing.orders),
            fair,
            dice: Dice::new(listing.seed),
            tolerance: super::random::signed(tolerance_ticks * 65_536.0),
            band: listing.band,
            depth_ticks: listing.depth_ticks,
            depth_log2_q8: u32::try_from(whole(depth_log2 * 256.0)).unwrap_or_default(),
            gap_ticks: listing.gap_ticks,
            size_shift_q8: listing.size_shift_q8,
            usual_best_lots: usual_best_lots(listing.size_shift_q8),
            taken: Side::Bid,
        }
    }

    /// Prices in the band.
    pub(super) const fn band(&self) -> u16 {
        self.band
    }

    /// A chapter begins: an opening book around the fair value, made from its seed.
    pub(super) fn open(&mut self, seed: u64, tape: &mut Tape) {
        self.dice = Dice::new(seed);
        self.taken = if self.dice.bits() >> 63 == 0 { Side::Bid } else { Side::Ask };
        self.book.clear();
        let middle = self.fair_level(tape).clamp(1, i64::from(self.band) - 2);
        let middle = u16::try_from(middle).unwrap_or(self.band / 2);
        for side in [Side::Bid, Side::Ask] {
            let best = if side == Side::Bid { middle } else { middle + 1 };
            for _ in 0..6 {
                self.rest_best(side, best, tape);
            }
            let mut distance = 0.0;
            loop {
                distance += 1.0 + (self.gap_ticks - 1.0) * self.dice.exponential();
                let Ok(ticks) = u16::try_from(whole(distance)) else { break };
                if ticks > self.depth_ticks {
                    break;
                }
                let Some(level) = self.behind(side, best, ticks) else { break };
                let lots = ORDERS_BEHIND.draw(&mut self.dice, self.size_shift_q8);
                self.rest(side, level, lots, tape);
            }
        }
    }

    /// Somebody's turn, with this fraction of the chapter over. `eagerness` scales how many orders
    /// take liquidity. Returns how much the turn excites others, in ordinary events.
    pub(super) fn turn(
        &mut self,
        elapsed: f64,
        eagerness: f64,
        out: &mut Vec<Tick>,
        now_ns: u64,
        tape: &mut Tape,
    ) -> f64 {
        let jumped = self.fair.step(&mut self.dice, elapsed);
        let fair = self.fair.value() - (tape.floor_ticks() << PLACES);
        let (bid, ask) = (self.book.best(Side::Bid), self.book.best(Side::Ask));
        if bid == NO_LEVEL || ask == NO_LEVEL {
            self.restore(tape);
        } else if fair > (i64::from(ask) << PLACES) + self.tolerance {
            self.reprice(Side::Ask, eagerness, out, now_ns, tape);
        } else if fair < (i64::from(bid) << PLACES) - self.tolerance {
            self.reprice(Side::Bid, eagerness, out, now_ns, tape);
        } else if self.dice.happens(MARKET_ORDER.scaled(eagerness)) {
            self.market_order(out, now_ns, tape);
        } else if ask - bid > 1 && self.dice.happens(NARROWED) {
            self.narrow(bid, ask, tape);
        } else {
            self.refill_or_thin(bid, ask, tape);
        }
        self.settle_fair(bid, ask, tape);
        tape.quote(out, now_ns, &self.book);
        if jumped { JUMP_EXCITES } else { TURN_EXCITES }
    }

    /// What is nearly fair becomes fair: where the prices have settled, gaps are closed again, and do
    /// not lead farther.
    fn settle_fair(&mut self, bid: u16, ask: u16, tape: &Tape) {
        if bid == NO_LEVEL || ask == NO_LEVEL {
            return;
        }
        let floor = tape.floor_ticks() << PLACES;
        let (low, high) = (i64::from(bid) << PLACES, i64::from(ask) << PLACES);
        let fair = self.fair.value() - floor;
        if fair >= high && fair <= high + self.tolerance {
            self.fair.settle(floor + high - 1);
        } else if fair < low && fair >= low - self.tolerance {
            self.fair.settle(floor + low);
        }
    }

    /// Makes the trades that the chapter still owes, one resting order at a time.
    pub(super) fn settle(&mut self, out: &mut Vec<Tick>, now_ns: u64, tape: &mut Tape) {
        while tape.trades_left() > 0 {
            if self.book.best(self.taken) == NO_LEVEL {
                self.restore(tape);
            }
            self.take(self.taken, 1, self.farthest(self.taken), out, now_ns, tape);
            tape.quote(out, now_ns, &self.book);
            self.taken = opposite(self.taken);
        }
    }

    /// `count` messages behind the best levels.
    ///
    /// Distances are drawn as those of the recorded changes are spread: over all powers of two, more of
    /// the far ones. What is found there decides: a gap is filled, a level with close neighbours goes.
    /// So the book keeps its density at every distance, though near orders live shortest.
    pub(super) fn turn_over(&mut self, count: u32, tape: &mut Tape) {
        for _ in 0..count {
            let bits = self.dice.bits();
            let side = if bits >> 63 == 0 { Side::Bid } else { Side::Ask };
            let best = self.book.best(side);
            if best == NO_LEVEL {
                return;
            }
            let distance = self.distance(bits);
            let Some(level) = self.behind(side, best, distance) else { continue };
            let found = self.book.next_behind(side, level);
            let apart = if found == NO_LEVEL { self.depth_ticks } else { found.abs_diff(level) };
            let wanted = self.gap_ticks * self.dice.exponential();
            if f64::from(apart) > wanted {
                let lots = ORDERS_BEHIND.draw(&mut self.dice, self.size_shift_q8);
                self.rest(side, level, lots, tape);
            } else if found != best && self.book.cancel_youngest(found) {
                tape.updated();
            }
        }
    }

    /// The best price of one side is wrong: it is taken, or the other side follows it, or its owners
    /// withdraw together.
    fn reprice(
        &mut self,
        wrong: Side,
        eagerness: f64,
        out: &mut Vec<Tick>,
        now_ns: u64,
        tape: &mut Tape,
    ) {
        let (bid, ask) = (self.book.best(Side::Bid), self.book.best(Side::Ask));
        if ask - bid > 1 && self.dice.happens(FOLLOWED) {
            self.narrow(bid, ask, tape);
        } else if self.dice.happens(TAKEN.scaled(eagerness)) {
            let limit = self.fair_level(tape).clamp(0, i64::from(self.band) - 1);
            let limit = u16::try_from(limit).unwrap_or_default();
            let lots = MARKET_ORDERS.draw(&mut self.dice, self.size_shift_q8 + 512);
            self.take(wrong, lots, limit, out, now_ns, tape);
        } else {
            self.withdraw(wrong, tape);
        }
    }

    /// The owners of mispriced levels withdraw: from all of them, or from the first few.
    fn withdraw(&mut self, wrong: Side, tape: &mut Tape) {
        let best = self.book.best(wrong);
        let fair = self.fair_level(tape).clamp(0, i64::from(self.band) - 1);
        let way = best.abs_diff(u16::try_from(fair).unwrap_or(best));
        let way = if self.dice.happens(WITHDRAWN_FULLY) {
            way
        } else {
            u16::try_from(self.dice.below(u32::from(way) + 1)).unwrap_or(way)
        };
        let mut level = best;
        while level != NO_LEVEL && level.abs_diff(best) <= way {
            while self.book.cancel_youngest(level) {
                tape.updated();
            }
            level = self.book.best(wrong);
        }
    }

    /// Somebody trades for reasons of their own. Others suspect that they know something: the fair value
    /// follows part of the way.
    fn market_order(&mut self, out: &mut Vec<Tick>, now_ns: u64, tape: &mut Tape) {
        if !self.dice.happens(SAME_SIDE) {
            self.taken = opposite(self.taken);
        }
        let lots = MARKET_ORDERS.draw(&mut self.dice, self.size_shift_q8);
        let before = self.book.best(self.taken);
        self.take(self.taken, lots, self.farthest(self.taken), out, now_ns, tape);
        let after = self.book.best(self.taken);
        if after != NO_LEVEL && after != before {
            let way = i64::from(after) - i64::from(before);
            self.fair.settle(self.fair.value() + (way << PLACES) * IMPACT_PERCENT / 100);
        }
    }

    /// A market order: walks the book until it is filled, at its limit, or the chapter's trades are made.
    fn take(
        &mut self,
        maker: Side,
        lots: u32,
        limit: u16,
        out: &mut Vec<Tick>,
        now_ns: u64,
        tape: &mut Tape,
    ) {
        let mut left = lots;
        while tape.trades_left() > 0 {
            let Some(fill) = self.book.fill(maker, left, limit) else { break };
            tape.trade(out, now_ns, maker, fill);
            left -= fill.quantity;
        }
    }

    /// Quotes inside a wide spread, on the side that is farther from the fair value.
    fn narrow(&mut self, bid: u16, ask: u16, tape: &mut Tape) {
        let fair = self.fair_level(tape);
        let to_bid = fair.clamp(i64::from(bid), i64::from(ask) - 1) - i64::from(bid);
        let to_ask = i64::from(ask) - (fair + 1).clamp(i64::from(bid) + 1, i64::from(ask));
        let (side, way) = if to_bid >= to_ask { (Side::Bid, to_bid) } else { (Side::Ask, to_ask) };
        let way = u16::try_from(way).unwrap_or_default();
        if way == 0 {
            return;
        }
        let part = if self.dice.happens(NARROWED_FULLY) {
            way
        } else {
            1 + u16::try_from(self.dice.below(u32::from(way))).unwrap_or_default()
        };
        let level = if side == Side::Bid { bid + part } else { ask - part };
        self.rest_best(side, level, tape);
    }

    /// Adds to the best levels or takes from them; what is small grows, what is large shrinks.
    fn refill_or_thin(&mut self, bid: u16, ask: u16, tape: &mut Tape) {
        let bits = self.dice.bits();
        let (side, level) = if bits >> 63 == 0 { (Side::Bid, bid) } else { (Side::Ask, ask) };
        let usual = self.usual_best_lots;
        let lots = u64::from(self.book.quantity(level));
        // An empty level is always added to, one of the usual size two times in three.
        let adds = (bits & 0xFFFF) * (lots + usual) * 3 < 0x1_0000 * usual * 4;
        if adds {
            self.rest_best(side, level, tape);
            return;
        }
        let part = self.book.quantity(level) / 8;
        let done = if bits >> 61 & 1 == 0 {
            self.book.cancel_youngest(level)
        } else {
            self.book.amend_oldest(level, part) || self.book.cancel_youngest(level)
        };
        if done {
            tape.updated();
        }
    }

    /// Puts an order on each side that has none, near the fair value.
    fn restore(&mut self, tape: &mut Tape) {
        let fair = self.fair_level(tape).clamp(1, i64::from(self.band) - 2);
        let fair = u16::try_from(fair).unwrap_or(self.band / 2);
        let (bid, ask) = (self.book.best(Side::Bid), self.book.best(Side::Ask));
        if bid == NO_LEVEL {
            let level = if ask == NO_LEVEL { fair } else { fair.min(ask - 1) };
            self.rest_best(Side::Bid, level, tape);
        }
        if ask == NO_LEVEL {
            let level = (fair + 1).max(self.book.best(Side::Bid) + 1);
            self.rest_best(Side::Ask, level, tape);
        }
    }

    fn rest_best(&mut self, side: Side, level: u16, tape: &mut Tape) {
        let lots = BEST_ORDERS.draw(&mut self.dice, self.size_shift_q8);
        self.rest(side, level, lots, tape);
    }

    fn rest(&mut self, side: Side, level: u16, lots: u32, tape: &mut Tape) {
        if self.book.rest(side, level, lots) {
            tape.updated();
        }
    }

    /// How far behind the best an order is placed, ticks: 2 to the larger of two uniform numbers.
    fn distance(&self, bits: u64) -> u16 {
        let (one, two) = (bits & 0xFFFF, (bits >> 16) & 0xFFFF);
        let log2_q8 = (one.max(two) * u64::from(self.depth_log2_q8)) >> 16;
        let mantissa = 256 + (log2_q8 & 0xFF);
        u16::try_from((mantissa << (log2_q8 >> 8)) >> 8).unwrap_or(self.depth_ticks)
    }

    /// The level `ticks` behind `best`, if the band reaches that far.
    fn behind(&self, side: Side, best: u16, ticks: u16) -> Option<u16> {
        match side {
            Side::Bid => best.checked_sub(ticks),
            Side::Ask => best.checked_add(ticks).filter(|&level| level < self.band),
        }
    }

    /// The last level of a side that a market order may reach.
    const fn farthest(&self, side: Side) -> u16 {
        match side {
            Side::Bid => 0,
            Side::Ask => self.band - 1,
        }
    }

    /// The level at or under the fair value.
    fn fair_level(&self, tape: &Tape) -> i64 {
        (self.fair.value() >> PLACES) - tape.floor_ticks()
    }
}

const fn opposite(side: Side) -> Side {
    match side {
        Side::Bid => Side::Ask,
        Side::Ask => Side::Bid,
    }
}

/// The usual quantity at a best price, lots.
fn usual_best_lots(size_shift_q8: i32) -> u64 {
    whole(9e4 * exp2_q8(size_shift_q8)).max(2)
}

/// How many changes of level behind the best one touch of the best levels comes with, in the mean.
pub(super) fn messages_behind(dice: &mut Dice, touches: u32) -> u32 {
    let burst = dice.exponential();
    let mean = 4.5 + 1.75 * f64::from(touches);
    u32::try_from(whole(mean * (0.4 + 0.3 * burst * burst * burst))).unwrap_or(0)
}

/// Seconds as ns.
pub(super) fn seconds(ns: u64) -> f64 {
    to_f64(ns) * 1e-9
}
