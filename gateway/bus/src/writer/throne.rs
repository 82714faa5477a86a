//! The throne: which writer a stream has.
//!
//! A log of its own, in which the writer appends a beat every so often. Whoever appended the last beat
//! may write; compare-and-append makes that one at any time, without clocks that agree and without a
//! lease. A writer that begins takes the throne if it is empty, was given up, or if its holder has not
//! beaten for as long as [`PATIENCE_BEATS`] beats take by the beginner's own clock. One that finds
//! another's beat behind its own has been succeeded and ends. One that finds less than it wrote knows
//! that the bus has lost its memory.
//!
//! No I/O and no clock: times are arguments.

use crate::entry::Offset;

/// The bucket of the log of beats. No instrument is in it.
pub const THRONE_BUCKET: u32 = u32::MAX;

/// The writer of a beat that gives the throne up.
pub(super) const NOBODY: u64 = 0;

/// How many beats a holder may leave out before it counts as dead.
const PATIENCE_BEATS: u64 = 3;

/// Who appended an entry, and as which of its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The entry's place.
    pub offset: Offset,
    /// Whose.
    pub writer: u64,
    /// Its number among the writer's.
    pub number: u64,
}

/// Why a writer may not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deposed {
    /// Somebody else holds the throne and lives.
    Occupied {
        /// Who.
        writer: u64,
    },
    /// Somebody else has taken it.
    Succeeded {
        /// Who.
        writer: u64,
    },
}

/// What the throne wants to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Tail,
    Beat { writer: u64, number: u64, expected: Offset },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The tail is to be asked for, from this time on.
    Look {
        at_ns: u64,
    },
    Looking,
    /// Another's beat was seen; if it is still the last when the time is over, that one is dead.
    Watch {
        until_ns: u64,
    },
    /// A beat is to be appended, from this time on.
    Beat {
        expected: Offset,
        at_ns: u64,
    },
    Beating,
}

/// One writer's view of the throne.
#[derive(Debug)]
pub(super) struct Throne {
    writer: u64,
    beat_ns: u64,
    stage: Stage,
    /// Number of the last beat that was tried.
    number: u64,
    /// Number of the last beat that is known to be appended; 0: it was never held.
    known: u64,
    /// Another's beat that was there when this one first looked.
    watched: Option<Offset>,
    /// Giving up: the next beat is nobody's.
    is_leaving: bool,
    /// Nobody's beat was tried.
    has_tried_to_leave: bool,
    has_left: bool,
    /// The next beat is wanted as soon as it can be.
    is_urgent: bool,
    /// Beats that are known to be appended.
    beats: u64,
    /// Whether the bus was found to have forgotten; the owner takes it.
    pub(super) has_bus_forgotten: bool,
}

impl Throne {
    pub(super) const fn new(writer: u64, beat_ns: u64) -> Self {
        Self {
            writer,
            beat_ns,
            stage: Stage::Look { at_ns: 0 },
            number: 0,
            known: 0,
            watched: None,
            is_leaving: false,
            has_tried_to_leave: false,
            has_left: false,
            is_urgent: false,
            beats: 0,
            has_bus_forgotten: false,
        }
    }

    /// Whether it was taken and nobody is known to have taken it since.
    pub(super) const fn is_held(&self) -> bool {
        self.known > 0
    }

    /// Whether it was given up.
    pub(super) const fn has_left(&self) -> bool {
        self.has_left
    }

    /// Makes a beat come now. That it was held at this moment is known when [`Self::has_confirmed`] says so.
    pub(super) const fn verify(&mut self) -> u64 {
        if let Stage::Beat { at_ns, .. } = &mut self.stage {
            *at_ns = 0;
            return self.beats + 1;
        }
        // One that is in flight may have been appended before this moment: the next one tells.
        self.is_urgent = true;
        self.beats + 2
    }

    /// Whether the beat that [`Self::verify`] named was appended.
    pub(super) const fn has_confirmed(&self, beat: u64) -> bool {
        self.beats >= beat
    }

    /// Gives the throne up with the next beat.
    pub(super) const fn leave(&mut self) {
        self.is_leaving = true;
        self.verify();
    }

    /// When there is something to do.
    pub(super) const fn wake_at_ns(&self) -> Option<u64> {
        match self.stage {
            Stage::Look { at_ns } | Stage::Watch { until_ns: at_ns } => Some(at_ns),
            Stage::Beat { at_ns, .. } if !self.has_left => Some(at_ns),
            _ => None,
        }
    }

    pub(super) fn poll(&mut self, now_ns: u64) -> Option<Ask> {
        if self.wake_at_ns().is_none_or(|at_ns| at_ns > now_ns) {
            return None;
        }
        match self.stage {
            Stage::Look { .. } | Stage::Watch { .. } => {
                self.stage = Stage::Looking;
                Some(Ask::Tail)
            }
            Stage::Beat { expected, .. } => {
                self.stage = Stage::Beating;
                self.number += 1;
                self.has_tried_to_leave |= self.is_leaving;
                let writer = if self.is_leaving { NOBODY } else { self.writer };
                Some(Ask::Beat { writer, number: self.number, expected })
            }
            Stage::Looking | Stage::Beating => None,
        }
    }

    pub(super) const fn handle_beat(&mut self, offset: Offset, now_ns: u64) {
        if self.has_tried_to_leave {
            // Nobody's beat is the last that is asked for.
            self.has_left = true;
        } else {
            self.confirm(self.number, offset, now_ns);
        }
    }

    /// The beat was not appended, or is not known to be, or the tail could not be asked for: the tail
    /// tells, from `at_ns` on.
    pub(super) const fn handle_doubt(&mut self, at_ns: u64) {
        self.stage = Stage::Look { at_ns };
    }

    pub(super) fn handle_tail(&mut self, tail: Option<Mark>, now_ns: u64) -> Result<(), Deposed> {
        let Some(tail) = tail else {
            if self.is_held() {
                self.has_bus_forgotten = true;
                // There is more to do than to leave.
                (self.is_leaving, self.has_tried_to_leave) = (false, false);
            }
            self.stage = Stage::Beat { expected: Offset::START, at_ns: 0 };
            return Ok(());
        };
        if tail.writer == NOBODY && self.has_tried_to_leave {
            self.has_left = true;
            return Ok(());
        }
        if tail.writer == self.writer {
            self.has_bus_forgotten |= tail.number < self.known;
            self.confirm(tail.number, tail.offset, now_ns);
            if self.has_bus_forgotten {
                self.verify();
            }
            return Ok(());
        }
        if self.is_held() {
            return Err(Deposed::Succeeded { writer: tail.writer });
        }
        if tail.writer == NOBODY {
            self.stage = Stage::Beat { expected: tail.offset, at_ns: 0 };
            return Ok(());
        }
        match self.watched {
            None => {
                self.watched = Some(tail.offset);
                let until_ns = now_ns + PATIENCE_BEATS * self.beat_ns;
                self.stage = Stage::Watch { until_ns };
                Ok(())
            }
            Some(seen) if seen != tail.offset => Err(Deposed::Occupied { writer: tail.writer }),
            // It has not moved while it was watched, or a beat of ours did not arrive.
            Some(_) => {
                self.stage = Stage::Beat { expected: tail.offset, at_ns: 0 };
                Ok(())
            }
        }
    }

    const fn confirm(&mut self, number: u64, offset: Offset, now_ns: u64) {
        self.known = number;
        self.beats += 1;
        let is_due = std::mem::replace(&mut self.is_urgent, false) || self.is_leaving;
        let at_ns = if is_due { 0 } else { now_ns + self.beat_ns };
        self.stage = Stage::Beat { expected: offset, at_ns };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT_NS: u64 = 100;

    /// A log of beats, and what a writer makes of it.
    fn run(throne: &mut Throne, log: &mut Vec<Mark>, now_ns: u64) -> Result<(), Deposed> {
        while let Some(ask) = throne.poll(now_ns) {
            let tail = log.last().copied();
            match ask {
                Ask::Tail => throne.handle_tail(tail, now_ns)?,
                Ask::Beat { writer, number, expected } => {
                    let newest = tail.map_or(Offset::START, |mark| mark.offset);
                    if newest == expected {
                        let offset = Offset(newest.0 + 1);
                        log.push(Mark { offset, writer, number });
                        throne.handle_beat(offset, now_ns);
                    } else {
                        throne.handle_doubt(now_ns);
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn a_second_writer_is_refused_while_the_first_lives() {
        let (mut first, mut second) = (Throne::new(1, BEAT_NS), Throne::new(2, BEAT_NS));
        let mut log = Vec::new();
        run(&mut first, &mut log, 0).unwrap();
        assert!(first.is_held());
        run(&mut second, &mut log, 10).unwrap();
        assert!(!second.is_held(), "it watches");
        run(&mut first, &mut log, 100).unwrap();
        let refused = run(&mut second, &mut log, 10 + PATIENCE_BEATS * BEAT_NS);
        assert_eq!(refused, Err(Deposed::Occupied { writer: 1 }));
        run(&mut first, &mut log, 500).unwrap();
    }

    #[test]
    fn a_dead_writer_is_succeeded_and_learns_it_if_it_only_slept() {
        let (mut first, mut second) = (Throne::new(1, BEAT_NS), Throne::new(2, BEAT_NS));
        let mut log = Vec::new();
        run(&mut first, &mut log, 0).unwrap();
        run(&mut second, &mut log, 10).unwrap();
        run(&mut second, &mut log, 10 + PATIENCE_BEATS * BEAT_NS).unwrap();
        assert!(second.is_held());
        assert_eq!(run(&mut first, &mut log, 1_000), Err(Deposed::Succeeded { writer: 2 }));
    }

    #[test]
    fn a_throne_that_was_given_up_is_taken_at_once() {
        let (mut first, mut second) = (Throne::new(1, BEAT_NS), Throne::new(2, BEAT_NS));
        let mut log = Vec::new();
        run(&mut first, &mut log, 0).unwrap();
        first.leave();
        run(&mut first, &mut log, 1).unwrap();
        assert!(first.has_left() && log.last().unwrap().writer == NOBODY);
        run(&mut second, &mut log, 2).unwrap();
        assert!(second.is_held());
    }

    #[test]
    fn a_bus_without_memory_is_noticed_with_the_next_beat() {
        let mut throne = Throne::new(1, BEAT_NS);
        let mut log = Vec::new();
        run(&mut throne, &mut log, 0).unwrap();
        log.clear();
        run(&mut throne, &mut log, BEAT_NS).unwrap();
        assert!(throne.has_bus_forgotten && throne.is_held());
        assert_eq!(log.len(), 1, "it is taken anew");
    }
}
