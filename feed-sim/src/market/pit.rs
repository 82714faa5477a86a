//! The pit: one instrument's market, from event to event.
//!
//! A pit knows when something next happens in it and, when told to wake, lets it happen and appends
//! the ticks. Between it and the others there is nothing shared; [`super::Market`] only puts them in
//! order of time.
//!
//! What is told, and when, is in the header of [`super`].

use wire::{Level, Tick, TradingStatus};

use super::catalog::Listing;
use super::changes::Changes;
use super::config::{DepthCadence, MarketConfig};
use super::fair::{Fair, FairTraits, jump_ticks};
use super::random::{mix, to_f64, whole};
use super::schedule::{self, Chapter, Schedule, Session};
use super::tape::Tape;
use super::tempo::Tempo;
use super::traders::{Traders, messages_behind, seconds};

/// Messages to the best levels a second, at the venue's pace.
const TURNS_PER_SECOND: f64 = 80.0;

/// Trades a second, at the venue's pace.
const TRADES_PER_SECOND: f64 = 22.0;

/// Ns between depth groups, at the venue's pace.
const DEPTH_INTERVAL_NS: u64 = 100_000_000;

/// A chapter's standard deviation is this part of the book's depth: farther prices are then so rare
/// that stopping the fair value at the depth is not seen.
const CHAPTER_PART: f64 = 0.4;

/// The most trades in a chapter. Joining late means playing half a chapter of each instrument.
const CHAPTER_TRADES_MAX: f64 = 2_048.0;

/// Ids a chapter spans for each of its trades: several times what it uses in the mean.
const UPDATES_PER_TRADE: f64 = 100.0;

/// The part of the least jump by which the fair value may be outside the best prices.
const TOLERANCE_PART: f64 = 0.35;

/// From this many trades on, a chapter's tempo is steered so that they all happen.
const STEERED_TRADES: u64 = 64;

/// How much busier than usual a market behind its schedule gets at most.
const HURRY_MAX: f64 = 32.0;

/// How much keener its traders get to take liquidity at most.
const EAGERNESS_MAX: f64 = 6.0;

/// Never.
const NEVER_NS: u64 = u64::MAX;

/// What happens next in a pit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// A session opens.
    Open,
    /// Somebody's turn.
    Turn,
    /// A depth group.
    Depth,
    /// A chapter ends, and with its last one the session.
    ChapterEnd,
    /// The instrument is halted.
    Halt,
    /// The halt is over.
    Resume,
}

/// Whether a halt of the session is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HaltState {
    Ahead,
    Halted,
    Past,
}

/// One instrument's market.
#[derive(Clone, Debug)]
pub(super) struct Pit {
    traders: Traders,
    tempo: Tempo,
    tape: Tape,
    schedule: Schedule,
    session: Session,
    chapter: Chapter,
    halt: HaltState,
    status: TradingStatus,
    /// One over the chapter's length, per ns.
    chapter_rate: f64,
    depth_interval_ns: u64,
    /// The part of a depth interval that the pits' grids are apart.
    depth_phase_ns: u64,
    /// Whether depth groups come at every interval or only after something happened.
    depth_always: bool,
    next_turn_ns: u64,
    next_depth_ns: u64,
    turns_since_depth: u32,
    due: Due,
    due_ns: u64,
}

impl Pit {
    /// The pit of this listing, which runs `pace` times as fast as the venue. It is to be
    /// [entered](Self::enter) before anything happens in it.
    pub(super) fn new(listing: &Listing, config: &MarketConfig, pace: f64) -> Self {
        let session_seconds = seconds(config.sessions.open_ns()) * pace;
        let trades_per_session = session_seconds * TRADES_PER_SECOND;
        let depth = f64::from(listing.depth_ticks);
        let chapter_seconds = (CHAPTER_PART * depth / listing.volatility_ticks).powi(2);
        let chapter_trades = (chapter_seconds * TRADES_PER_SECOND).clamp(64.0, CHAPTER_TRADES_MAX);
        let chapters_per_session =
            schedule::chapters_per_session(trades_per_session, chapter_trades);
        let chapter_seconds = session_seconds / to_f64(chapters_per_session);
        let updates = (chapter_seconds * TRADES_PER_SECOND + 1.0) * UPDATES_PER_TRADE + 65_536.0;
        let schedule = Schedule {
            seed: listing.seed,
            sessions: config.sessions,
            start_ns: config.start_ns,
            chapters_per_session,
            trades_per_chapter_q32: schedule::trades_per_chapter_q32(
                trades_per_session,
                chapters_per_session,
            ),
            update_span_log2: whole(updates).next_power_of_two().trailing_zeros(),
        };
        let jump_ticks = jump_ticks(listing.volatility_ticks, TURNS_PER_SECOND);
        let fair = Fair::new(FairTraits {
            seed: listing.seed,
            center_ticks: listing.center_ticks,
            chapter_ticks: listing.volatility_ticks * chapter_seconds.sqrt(),
            jump_ticks,
            reach_ticks: depth * 0.9,
        });
        let depth_interval_ns = match config.depth {
            DepthCadence::VenuePace if pace > 1.0 => {
                whole(to_f64(DEPTH_INTERVAL_NS) / pace).max(1_000)
            }
            DepthCadence::VenuePace => DEPTH_INTERVAL_NS,
            DepthCadence::Every(ns) => ns,
        };
        let instrument = &listing.instrument;
        let session = schedule.session(0);
        Self {
            traders: Traders::new(listing, fair, (jump_ticks * TOLERANCE_PART).max(0.5)),
            tempo: Tempo::new(TURNS_PER_SECOND, pace),
            tape: Tape::new(instrument.id, instrument.tick_size, instrument.lot_size),
            schedule,
            session,
            chapter: schedule.chapter_at(&session, 0),
            halt: HaltState::Ahead,
            status: TradingStatus::Closed,
            chapter_rate: 0.0,
            depth_interval_ns,
            depth_phase_ns: mix([listing.seed, 0x7068, 0, 0]) % depth_interval_ns,
            depth_always: seconds(depth_interval_ns) * pace * TURNS_PER_SECOND >= 2.0,
            next_turn_ns: NEVER_NS,
            next_depth_ns: NEVER_NS,
            turns_since_depth: 0,
            due: Due::Open,
            due_ns: config.start_ns,
        }
    }

    /// Begins the chapter that is on just before `now_ns`, telling nobody. From here on waking the pit
    /// until `now_ns` brings it into the state it would have had it been played from the start.
    pub(super) fn enter(&mut self, now_ns: u64) {
        let before_ns = now_ns.saturating_sub(1);
        self.session = self.schedule.session(self.schedule.session_at(before_ns));
        let trading_ns = self.session.trading_at(before_ns);
        self.chapter = self.schedule.chapter_at(&self.session, trading_ns);
        self.status = TradingStatus::Trading;
        self.halt = match self.session.halt {
            Some(halt) if self.chapter.begins_ns <= halt.at_ns => HaltState::Ahead,
            Some(_) | None => HaltState::Past,
        };
        self.begin_chapter();
        self.tape.assume_told(&self.traders.book);
        self.find_due();
    }

    /// How many orders its book has room for.
    pub(super) fn orders(&self) -> usize {
        self.traders.book.room()
    }

    /// When something next happens, ns since the epoch.
    pub(super) const fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// What a reader who begins here has to know: status, best bid and offer, the whole book.
    pub(super) fn introduce(&self, out: &mut Vec<Tick>, now_ns: u64, changes: &mut Changes) {
        self.tape.status(out, now_ns, self.status);
        self.tape.last_quote(out, now_ns);
        changes.clear();
        self.traders.book.published(|change| changes.push(self.tape.level(change)));
        self.tape.whole_depth(out, now_ns, changes.ordered());
    }

    /// Lets happen what is due, appending its ticks. `changes` is scratch space.
    pub(super) fn wake(&mut self, out: &mut Vec<Tick>, changes: &mut Changes) {
        let now_ns = self.due_ns;
        match self.due {
            Due::Turn => self.take_turn(out, now_ns),
            Due::Depth => self.tell_depth(out, now_ns, changes),
            Due::ChapterEnd => self.end_chapter(out, now_ns, changes),
            Due::Open => {
                self.session = self.schedule.session(self.session.index + 1);
                self.chapter = self.schedule.chapter_at(&self.session, 0);
                self.halt = match self.session.halt {
                    Some(_) => HaltState::Ahead,
                    None => HaltState::Past,
                };
                if self.status != TradingStatus::Trading {
                    self.tell_status(out, now_ns, TradingStatus::Trading);
                }
                self.turn_page(out, now_ns, changes);
            }
            Due::Halt => {
                self.flush_depth(out, now_ns, changes);
                self.tell_status(out, now_ns, TradingStatus::Halted);
                self.halt = HaltState::Halted;
            }
            Due::Resume => {
                self.halt = HaltState::Past;
                self.tell_status(out, now_ns, TradingStatus::Trading);
            }
        }
        self.find_due();
    }

    fn take_turn(&mut self, out: &mut Vec<Tick>, now_ns: u64) {
        let elapsed = self.elapsed();
        let eagerness = self.arrears(elapsed).powi(2).min(EAGERNESS_MAX);
        if self.tape.has_update_ids(4_096) {
            let weight = self.traders.turn(elapsed, eagerness, out, now_ns, &mut self.tape);
            self.tempo.excite(weight);
        }
        self.turns_since_depth += 1;
        if self.next_depth_ns == NEVER_NS {
            self.next_depth_ns = self.depth_after(self.next_turn_ns);
        }
        self.next_turn_ns = self.turn_after();
    }

    /// How far the chapter's trades are behind schedule, with this fraction of it over: 1 is on it, 2 is
    /// twice as many left as there should be.
    fn arrears(&self, elapsed: f64) -> f64 {
        if self.tape.trades_left() == 0 {
            return 0.0;
        }
        let left = to_f64(self.tape.trades_left()) / to_f64(self.chapter.trades);
        left / (1.0 - elapsed).max(1e-6)
    }

    /// What makes a chapter's trades a known number without anyone seeing it: a market behind its
    /// schedule gets busier, and its orders keener, bit by bit. Few trades need no such help; they are
    /// made up for when the chapter ends.
    fn hurry(&self, elapsed: f64) -> f64 {
        if self.chapter.trades < STEERED_TRADES {
            return 1.0;
        }
        self.arrears(elapsed).powi(2).clamp(0.5, HURRY_MAX)
    }

    fn tell_depth(&mut self, out: &mut Vec<Tick>, now_ns: u64, changes: &mut Changes) {
        let count = messages_behind(&mut self.traders.dice, self.turns_since_depth);
        if self.tape.has_update_ids(4_096) {
            self.traders.turn_over(count, &mut self.tape);
        }
        self.flush_depth(out, now_ns, changes);
        self.turns_since_depth = 0;
        self.next_depth_ns =
            if self.depth_always { self.depth_after(self.next_depth_ns) } else { NEVER_NS };
    }

    fn flush_depth(&mut self, out: &mut Vec<Tick>, now_ns: u64, changes: &mut Changes) {
        let levels = self.gather_changes(changes);
        if !levels.is_empty() {
            self.tape.depth(out, now_ns, levels);
        }
    }

    /// What changed since the last group.
    fn gather_changes<'a>(&mut self, changes: &'a mut Changes) -> &'a [Level] {
        changes.clear();
        let tape = &self.tape;
        self.traders.book.publish_changes(|change| changes.push(tape.level(change)));
        changes.ordered()
    }

    fn tell_status(&mut self, out: &mut Vec<Tick>, now_ns: u64, status: TradingStatus) {
        self.status = status;
        self.tape.status(out, now_ns, status);
    }

    fn end_chapter(&mut self, out: &mut Vec<Tick>, now_ns: u64, changes: &mut Changes) {
        self.traders.settle(out, now_ns, &mut self.tape);
        let levels = self.gather_changes(changes);
        self.tape.last_depth(out, now_ns, levels);
        match self.schedule.chapter_after(&self.session, &self.chapter) {
            Some(next) => {
                self.chapter = next;
                self.turn_page(out, now_ns, changes);
            }
            None => {
                self.next_turn_ns = NEVER_NS;
                self.next_depth_ns = NEVER_NS;
                if self.schedule.sessions.closed_ns > 0 {
                    self.tell_status(out, now_ns, TradingStatus::Closed);
                }
            }
        }
    }

    /// Begins the chapter in sight of the readers: one depth group leads from the old book to the new.
    fn turn_page(&mut self, out: &mut Vec<Tick>, now_ns: u64, changes: &mut Changes) {
        changes.clear();
        self.traders.book.published(|change| changes.push(self.tape.level(change)));
        self.begin_chapter();
        self.tape.requote(out, now_ns, &self.traders.book);
        let (book, tape) = (&self.traders.book, &self.tape);
        // What stays is told once, with its new quantity.
        changes.remove_all(|level| tape.is_on(book, level));
        book.published(|change| changes.push(tape.level(change)));
        self.tape.depth(out, now_ns, changes.sorted());
    }

    fn begin_chapter(&mut self) {
        let chapter = self.chapter;
        self.chapter_rate = 1.0 / to_f64((chapter.ends_ns - chapter.begins_ns).max(1));
        self.traders.fair.rewind(chapter.number);
        let middle_ticks = self.traders.fair.value() >> super::fair::PLACES;
        self.tape.begin(&chapter, middle_ticks - i64::from(self.traders.band() / 2));
        let seed = mix([self.schedule.seed, chapter.number, 0x6368_6170, 0]);
        self.traders.open(seed, &mut self.tape);
        self.traders.book.publish_changes(|_| {});
        self.tempo.rewind(&mut self.traders.dice);
        self.turns_since_depth = 0;
        self.next_turn_ns = self.turn_after();
        self.next_depth_ns =
            if self.depth_always { self.depth_after(chapter.begins_ns) } else { NEVER_NS };
    }

    /// The next turn, ns of trading time.
    fn turn_after(&mut self) -> u64 {
        let hurry = self.hurry(self.elapsed());
        self.chapter.begins_ns + self.tempo.next_ns(&mut self.traders.dice, hurry)
    }

    /// The part of the chapter that is over.
    fn elapsed(&self) -> f64 {
        to_f64(self.tempo.at_ns()) * self.chapter_rate
    }

    /// The next time on the depth grid, ns of trading time.
    const fn depth_after(&self, trading_ns: u64) -> u64 {
        let steps =
            (trading_ns + self.depth_interval_ns - self.depth_phase_ns) / self.depth_interval_ns;
        steps * self.depth_interval_ns + self.depth_phase_ns
    }

    /// Finds what happens next and when; of what is due at one time first the chapter's end, then a halt,
    /// a depth group, a turn.
    fn find_due(&mut self) {
        let halt = self.session.halt.map_or((NEVER_NS, 0), |halt| (halt.at_ns, halt.length_ns));
        if self.halt == HaltState::Halted {
            (self.due, self.due_ns) = (Due::Resume, self.session.open_ns + halt.0 + halt.1);
            return;
        }
        if self.next_turn_ns == NEVER_NS {
            let next_ns = self.session.open_ns + self.schedule.sessions.length_ns;
            (self.due, self.due_ns) = (Due::Open, next_ns);
            return;
        }
        let mut next = (Due::ChapterEnd, self.chapter.ends_ns);
        if self.next_turn_ns < next.1 {
            next = (Due::Turn, self.next_turn_ns);
        }
        if self.next_depth_ns <= next.1 && self.next_depth_ns < self.chapter.ends_ns {
            next = (Due::Depth, self.next_depth_ns);
        }
        if self.halt == HaltState::Ahead && halt.0 <= next.1 && halt.0 < self.chapter.ends_ns {
            next = (Due::Halt, halt.0);
        }
        let halted_ns = if self.halt == HaltState::Past { halt.1 } else { 0 };
        (self.due, self.due_ns) = (next.0, self.session.open_ns + next.1 + halted_ns);
    }
}

#[cfg(test)]
mod tests {
    use wire::{Channel, Kind, Side};

    use super::*;
    use crate::market::catalog::listing;
    use crate::market::random::Dice;

    /// Plays a pit, showing each event's ticks with the pit before the event.
    fn play(rank: u32, events: usize, mut show: impl FnMut(&Pit, &[Tick])) {
        let config = MarketConfig::default();
        let mut pit = Pit::new(&listing(7, rank), &config, 1.0);
        pit.enter(config.start_ns);
        let (mut ticks, mut changes) = (Vec::new(), Changes::default());
        for _ in 0..events {
            let before = pit.clone();
            ticks.clear();
            pit.wake(&mut ticks, &mut changes);
            show(&before, &ticks);
        }
    }

    /// Every trade is made of what the book had when its order arrived: at the best price that was
    /// left, and no more than there was.
    #[test]
    fn trades_walk_the_book_that_was_there() {
        let (mut walks, mut checked) = (0, 0);
        play(40, 60_000, |before, ticks| {
            // When a chapter ends, two orders may arrive at once; they are in the test of the stream.
            if before.due != Due::Turn {
                return;
            }
            let mut book = before.traders.book.clone();
            let mut levels = std::collections::HashSet::new();
            for tick in ticks.iter().filter(|t| t.kind() == Ok(Kind::Data(Channel::Trade))) {
                let trade = tick.trade();
                let maker = if trade.buyer_is_maker { Side::Bid } else { Side::Ask };
                let level = book.best(maker);
                let price = before.tape.level(super::super::book::Change {
                    side: maker,
                    level,
                    quantity: 0,
                });
                assert_eq!(trade.price, price.price, "the best price that is left");
                let limit = if maker == Side::Bid { 0 } else { u16::MAX - 1 };
                let lots = u32::try_from(trade.quantity / before.tape.lot_size()).unwrap();
                let fill = book.fill(maker, lots, limit).expect("somebody rests there");
                assert_eq!(fill.quantity, lots, "a fill is of one order");
                levels.insert(level);
                checked += 1;
            }
            walks += usize::from(levels.len() > 1);
        });
        assert!(checked > 3_000 && walks > 100, "{checked} trades, {walks} walks");
    }

    /// The parts of a day that are told once are told when they should be.
    #[test]
    fn an_entered_pit_is_where_a_played_one_is() {
        let config = MarketConfig::default();
        let new = || Pit::new(&listing(3, 70), &config, 40.0);
        let (mut played, mut dice) = (new(), Dice::new(1));
        played.enter(config.start_ns);
        let (mut ticks, mut changes) = (Vec::new(), Changes::default());
        for _ in 0..20 {
            let until_ns = played.due_ns() + u64::from(dice.below(2_000_000_000));
            while played.due_ns() < until_ns {
                played.wake(&mut ticks, &mut changes);
            }
            let mut entered = new();
            entered.enter(until_ns);
            while entered.due_ns() < until_ns {
                entered.wake(&mut ticks, &mut changes);
            }
            let (mut one, mut two) = (Vec::new(), Vec::new());
            played.introduce(&mut one, until_ns, &mut changes);
            entered.introduce(&mut two, until_ns, &mut changes);
            assert!(one == two);
            assert_eq!((played.due, played.due_ns), (entered.due, entered.due_ns));
            ticks.clear();
        }
    }

    /// The trades that a chapter still owes at its end are so few that nobody sees a rush.
    #[test]
    fn chapters_have_their_trades_in_time() {
        let (mut chapters, mut owed, mut all) = (0, 0, 0);
        let config = MarketConfig::default();
        let mut pit = Pit::new(&listing(7, 5), &config, 1.0);
        pit.enter(config.start_ns);
        let (mut ticks, mut changes) = (Vec::new(), Changes::default());
        while chapters < 40 {
            if pit.due == Due::ChapterEnd {
                chapters += 1;
                owed += pit.tape.trades_left();
                all += pit.chapter.trades;
            }
            ticks.clear();
            pit.wake(&mut ticks, &mut changes);
        }
        assert!(owed * 200 < all, "{owed} of {all} trades came at the ends of chapters");
    }
}
