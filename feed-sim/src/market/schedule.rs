//! The schedule: when the venue is open, and how an instrument's time is cut into chapters.
//!
//! A *session* is what users see: open, perhaps a halt in the middle, closed. A *chapter* is what lets
//! a late twin join in step: at a chapter's begin everything about an instrument (book, fair value,
//! excitement, ids) is a function of seed, instrument and chapter number alone, so that a market can be
//! begun at any chapter without playing the ones before. A session has a whole number of chapters.
//!
//! Ids go on without holes over chapters because each has a known number of them: exactly
//! [`Chapter::trades`] trades, and a fixed span of update ids, what is unused at its end being spanned
//! by the chapter's last depth group. All of it is closed-form: no loop over the past.
//!
//! *Trading time* is ns since a session opened, halts not counted.

use super::random::{Dice, mix, to_f64};

/// When the venue is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// From one opening to the next, ns.
    pub length_ns: u64,
    /// How long the venue is closed before the next opening, ns; less than the length. 0: never.
    pub closed_ns: u64,
    /// Whether single instruments are halted.
    pub halts: Halts,
}

/// Halts of single instruments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halts {
    /// None.
    None,
    /// Each instrument halts once in about every fourth session, for some time between the two, ns.
    Some {
        /// The shortest halt, ns.
        shortest_ns: u64,
        /// The longest halt, ns; with the closed time it must leave half the session.
        longest_ns: u64,
    },
}

impl Sessions {
    /// A day of trading but for its last ten seconds, halts of 5 to 30 s.
    pub const DAILY: Self = Self { length_ns: 86_400_000_000_000, ..Self::HOURLY };

    /// An hour of trading but for its last ten seconds, halts of 5 to 30 s: for those who want to see
    /// them.
    pub const HOURLY: Self = Self {
        length_ns: 3_600_000_000_000,
        closed_ns: 10_000_000_000,
        halts: Halts::Some { shortest_ns: 5_000_000_000, longest_ns: 30_000_000_000 },
    };

    /// Never closed and never halted. There are still sessions, but nobody sees them.
    pub const CONTINUOUS: Self =
        Self { length_ns: 3_600_000_000_000, closed_ns: 0, halts: Halts::None };

    /// Whether there is time to trade in each session.
    pub(super) fn is_valid(&self) -> bool {
        let halted_ns = match self.halts {
            Halts::None => 0,
            Halts::Some { shortest_ns, longest_ns } if shortest_ns <= longest_ns => longest_ns,
            Halts::Some { .. } => return false,
        };
        let shut_ns = self.closed_ns.saturating_add(halted_ns);
        self.length_ns >= 1_000 && shut_ns <= self.length_ns / 2
    }

    /// How long the venue is open in a session, halts included, ns.
    pub(super) const fn open_ns(&self) -> u64 {
        self.length_ns - self.closed_ns
    }
}

/// One instrument's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) index: u64,
    /// When it opens, ns since the epoch.
    pub(super) open_ns: u64,
    /// How long is traded, ns of trading time.
    pub(super) trading_ns: u64,
    pub(super) halt: Option<Halt>,
}

/// An instrument's halt in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Halt {
    /// When, ns of trading time.
    pub(super) at_ns: u64,
    /// How long, ns.
    pub(super) length_ns: u64,
}

/// One stretch of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chapter {
    /// Counted over all sessions.
    pub(super) number: u64,
    /// Ns of trading time.
    pub(super) begins_ns: u64,
    pub(super) ends_ns: u64,
    /// The id of its first trade, if it has one.
    pub(super) first_trade_id: u64,
    /// Exactly how many trades it has.
    pub(super) trades: u64,
    /// The span of its update ids.
    pub(super) first_update_id: u64,
    pub(super) last_update_id: u64,
}

/// One instrument's schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) sessions: Sessions,
    /// When the first session opens, ns since the epoch.
    pub(super) start_ns: u64,
    pub(super) chapters_per_session: u64,
    /// Trades in a chapter, with 32 binary places: slow instruments do not have one in each.
    pub(super) trades_per_chapter_q32: u64,
    /// Base-2 logarithm of the update ids a chapter spans.
    pub(super) update_span_log2: u32,
}

impl Schedule {
    /// The session that is on, or was last, at this time; the first before it.
    pub(super) const fn session_at(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.start_ns) / self.sessions.length_ns
    }

    pub(super) fn session(&self, index: u64) -> Session {
        let mut dice = Dice::new(mix([self.seed, index, 0x6861_6C74, 0]));
        let open_ns = self.sessions.open_ns();
        let halt = match self.sessions.halts {
            Halts::Some { shortest_ns, longest_ns } if dice.below(4) == 0 => {
                let length_ns = between(&mut dice, shortest_ns, longest_ns);
                // Not in the first or last tenth, where people look at the opening and the close.
                let trading_ns = open_ns - length_ns;
                let at_ns = between(&mut dice, trading_ns / 10, trading_ns / 10 * 9);
                Some(Halt { at_ns, length_ns })
            }
            Halts::Some { .. } | Halts::None => None,
        };
        Session {
            index,
            open_ns: self.start_ns + index * self.sessions.length_ns,
            trading_ns: open_ns - halt.map_or(0, |halt| halt.length_ns),
            halt,
        }
    }

    /// The chapter of a session that trading time `at_ns` is in; the last if it is over.
    pub(super) fn chapter_at(&self, session: &Session, at_ns: u64) -> Chapter {
        let share = u128::from(at_ns) * u128::from(self.chapters_per_session)
            / u128::from(session.trading_ns);
        let index = u64::try_from(share).unwrap_or(u64::MAX).min(self.chapters_per_session - 1);
        // Rounding may have put the time just behind the chapter's end.
        let chapter = self.chapter(session, index);
        if at_ns >= chapter.ends_ns && index + 1 < self.chapters_per_session {
            return self.chapter(session, index + 1);
        }
        chapter
    }

    /// The chapter after this one, unless the session ends with it.
    pub(super) fn chapter_after(&self, session: &Session, chapter: &Chapter) -> Option<Chapter> {
        let index = chapter.number % self.chapters_per_session + 1;
        (index < self.chapters_per_session).then(|| self.chapter(session, index))
    }

    fn chapter(&self, session: &Session, index: u64) -> Chapter {
        let number = session.index * self.chapters_per_session + index;
        let begin = |index: u64| {
            let scaled = u128::from(session.trading_ns) * u128::from(index);
            u64::try_from(scaled / u128::from(self.chapters_per_session)).unwrap_or(u64::MAX)
        };
        let trades_before = |number: u64| {
            let scaled = u128::from(self.trades_per_chapter_q32) * u128::from(number);
            u64::try_from(scaled >> 32).unwrap_or(u64::MAX)
        };
        Chapter {
            number,
            begins_ns: begin(index),
            ends_ns: begin(index + 1),
            first_trade_id: trades_before(number) + 1,
            trades: trades_before(number + 1) - trades_before(number),
            first_update_id: (number << self.update_span_log2) + 1,
            last_update_id: (number + 1) << self.update_span_log2,
        }
    }
}

impl Session {
    /// Trading time at this wall time, ns; times in a halt are its begin.
    pub(super) fn trading_at(&self, now_ns: u64) -> u64 {
        let open_ns = now_ns.saturating_sub(self.open_ns);
        let trading_ns = match self.halt {
            Some(Halt { at_ns, length_ns }) if open_ns > at_ns => {
                at_ns.max(open_ns.saturating_sub(length_ns))
            }
            Some(_) | None => open_ns,
        };
        trading_ns.min(self.trading_ns)
    }
}

fn between(dice: &mut Dice, low: u64, high: u64) -> u64 {
    let span = u128::from(high - low);
    low + u64::try_from((u128::from(dice.bits()) * span) >> 64).unwrap_or_default()
}

/// How many chapters fit in a session, for this many trades in each.
pub(super) fn chapters_per_session(trades_per_session: f64, trades_per_chapter: f64) -> u64 {
    super::random::whole(trades_per_session / trades_per_chapter).max(1)
}

/// Trades in a chapter, with 32 binary places.
pub(super) fn trades_per_chapter_q32(trades_per_session: f64, chapters_per_session: u64) -> u64 {
    super::random::whole(trades_per_session / to_f64(chapters_per_session) * 4_294_967_296.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(trades_per_session: f64, chapters: u64) -> Schedule {
        let halts = Halts::Some { shortest_ns: 700, longest_ns: 90_000 };
        Schedule {
            seed: 9,
            sessions: Sessions { length_ns: 1_000_003, closed_ns: 1_001, halts },
            start_ns: 5_000,
            chapters_per_session: chapters,
            trades_per_chapter_q32: trades_per_chapter_q32(trades_per_session, chapters),
            update_span_log2: 10,
        }
    }

    /// Chapters fill their session, and ids go on from one to the next, over sessions too.
    #[test]
    fn chapters_leave_no_holes() {
        for (trades, chapters) in [(700.0, 7), (1.5, 1), (0.3, 1), (12.0, 31)] {
            let schedule = schedule(trades, chapters);
            let (mut trade_id, mut update_id, mut halts) = (1, 1, 0);
            for index in 0..200 {
                let session = schedule.session(index);
                halts += u64::from(session.halt.is_some());
                let halted_ns = session.halt.map_or(0, |halt| halt.length_ns);
                assert_eq!(session.trading_ns + halted_ns, 1_000_003 - 1_001);
                assert_eq!(schedule.session_at(session.open_ns), index);
                let mut chapter = schedule.chapter_at(&session, 0);
                let mut at_ns = 0;
                loop {
                    assert_eq!(chapter.begins_ns, at_ns);
                    assert_eq!(
                        (chapter.first_trade_id, chapter.first_update_id),
                        (trade_id, update_id)
                    );
                    for inside_ns in [chapter.begins_ns, chapter.ends_ns - 1] {
                        assert_eq!(schedule.chapter_at(&session, inside_ns), chapter);
                    }
                    (trade_id, update_id) = (trade_id + chapter.trades, chapter.last_update_id + 1);
                    at_ns = chapter.ends_ns;
                    match schedule.chapter_after(&session, &chapter) {
                        Some(next) => chapter = next,
                        None => break,
                    }
                }
                assert_eq!(at_ns, session.trading_ns);
            }
            let expected = trades * 200.0;
            assert!((to_f64(trade_id - 1) - expected).abs() <= 1.0, "{trade_id} of {expected}");
            assert!((25..75).contains(&halts), "{halts} halts in 200 sessions");
        }
    }

    #[test]
    fn trading_time_stands_still_in_a_halt() {
        let halt = Some(Halt { at_ns: 100, length_ns: 40 });
        let session = Session { index: 0, open_ns: 1_000, trading_ns: 960, halt };
        let at = |now_ns| session.trading_at(now_ns);
        assert_eq!([at(1_050), at(1_100), at(1_120), at(1_140)], [50, 100, 100, 100]);
        assert_eq!([at(1_141), at(1_999), at(9_999), at(10)], [101, 959, 960, 0]);
    }

    #[test]
    fn sessions_without_time_to_trade_are_not_valid() {
        let halts = |shortest_ns, longest_ns| Halts::Some { shortest_ns, longest_ns };
        let valid =
            |length_ns, closed_ns, halts| Sessions { length_ns, closed_ns, halts }.is_valid();
        assert!(Sessions::DAILY.is_valid() && Sessions::HOURLY.is_valid());
        assert!(Sessions::CONTINUOUS.is_valid());
        assert!(!valid(10_000, 10_000, Halts::None) && !valid(10_000, 0, halts(10, 6_000)));
        assert!(!valid(10_000, 0, halts(11, 10)) && !valid(10, 0, Halts::None));
    }
}
