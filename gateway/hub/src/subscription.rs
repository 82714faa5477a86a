//! What a connection is subscribed to, and how far each subscription has come.
//!
//! A subscription stores the last number delivered. Everything else, where to go on in the log, is a
//! hint that may be stale: the number decides, cursors and hints only bound the search.

use wire::command::Mode;
use wire::{CHANNEL_COUNT, Channel};

use crate::log::NOWHERE;
use crate::topics::NO_TOPIC;

/// How far one topic of one connection has come: the last number delivered (56 bits: two thousand
/// years of a million a second) and a few marks, in one word, because wildcards keep one for each
/// instrument.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress(u64);

const SEQ_BITS: u32 = 56;

/// The greatest sequence number that the hub accepts.
pub(crate) const SEQ_MAX: u64 = (1 << SEQ_BITS) - 1;

/// What is to be done before, or instead of, delivering the next entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mark {
    /// The base is not bound yet: the present state is to be sent, and bind it.
    Fresh = 1,
    /// The instrument's definition was sent in this epoch.
    Introduced = 1 << 1,
    /// The client named the number: what it missed is announced as such.
    Resumed = 1 << 2,
    /// Numbers start anew: to be announced before anything else.
    Reset = 1 << 3,
    /// Depth: changes were missed, so that only a snapshot helps.
    NeedsBook = 1 << 4,
    /// Depth: and it was the shard that missed them.
    Lapped = 1 << 5,
    /// Depth: a snapshot is in transfer; its number is the last delivered. Together with
    /// `NeedsBook`: it was taken back half-way, another has to begin.
    InTransfer = 1 << 6,
    /// With `Fresh`: the newest number binds, and its state is not sent. Of an instrument that was not in
    /// the stream it was not known when that was asked for.
    Silent = 1 << 7,
}

impl Progress {
    /// Begins with the present state.
    pub(crate) const FRESH: Self = Self::at(0).with(Mark::Fresh);

    /// Begins behind the newest number, once that is known.
    pub(crate) const SILENT: Self = Self::FRESH.with(Mark::Silent);

    /// Goes on after this number.
    pub(crate) const fn at(seq: u64) -> Self {
        Self(seq & SEQ_MAX)
    }

    pub(crate) const fn seq(self) -> u64 {
        self.0 & SEQ_MAX
    }

    #[must_use]
    pub(crate) const fn with_seq(self, seq: u64) -> Self {
        Self(self.0 & !SEQ_MAX | seq & SEQ_MAX)
    }

    /// Whether nothing is to be done but to deliver the next entry.
    pub(crate) const fn is_plain(self) -> bool {
        self.0 >> SEQ_BITS == Mark::Introduced as u64
    }

    pub(crate) const fn has(self, mark: Mark) -> bool {
        self.0 >> SEQ_BITS & mark as u64 != 0
    }

    #[must_use]
    pub(crate) const fn with(self, mark: Mark) -> Self {
        Self(self.0 | (mark as u64) << SEQ_BITS)
    }

    #[must_use]
    pub(crate) const fn without(self, mark: Mark) -> Self {
        Self(self.0 & !((mark as u64) << SEQ_BITS))
    }

    /// After an epoch's end: who had begun goes on with the new epoch's first number.
    #[must_use]
    pub(crate) const fn reset(self) -> Self {
        if self.has(Mark::Silent) {
            Self::SILENT.with(Mark::Reset)
        } else if self.has(Mark::Fresh) {
            Self::FRESH.with(Mark::Reset)
        } else {
            Self::at(0).with(Mark::Reset)
        }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:08b}", self.seq(), self.0 >> SEQ_BITS)
    }
}

/// One exact topic of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) progress: Progress,
    /// Position of some entry of the topic whose number is at most the last delivered one; stale if
    /// it left the log.
    pub(crate) hint: u64,
    pub(crate) topic: u32,
    pub(crate) class: u8,
}

const _: () = assert!(size_of::<Subscription>() <= 24);

impl Subscription {
    /// No subscription, where a place for one is.
    pub(crate) const NONE: Self =
        Self { progress: Progress::at(0), hint: NOWHERE, topic: NO_TOPIC, class: 0 };
}

/// A channel of all instruments.
#[derive(Debug)]
pub(crate) struct Wildcard {
    /// By slot; grows with the instruments.
    pub(crate) progress: Vec<Progress>,
    /// How many instruments, in the order of their definition, were looked at: definitions and
    /// present states precede live data in that order. Set back to 0 to look at all of them again.
    pub(crate) walked: u32,
    /// How many states it was charged with, against `wildcard_states_max`.
    pub(crate) charge: u32,
    /// Which instruments it has: a number in `reach.rs`.
    pub(crate) reach: u32,
    pub(crate) channel: Channel,
    pub(crate) class: u8,
}

/// The most wildcards of a connection: one for each channel.
pub(crate) const WILDCARDS_MAX: usize = CHANNEL_COUNT;

impl Wildcard {
    /// How far the topic of this slot has come. An instrument that was defined after the wildcard
    /// goes on from nothing: everything it ever has is delivered.
    pub(crate) fn progress(&self, slot: u32) -> Progress {
        self.progress.get(slot as usize).copied().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, slot: u32, progress: Progress) {
        let slot = slot as usize;
        if self.progress.len() <= slot {
            self.progress.resize(slot + 1, Progress::default());
        }
        self.progress[slot] = progress;
    }
}

/// How subscriptions are served: all that agree in this share a cursor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    /// Every entry before this position is delivered or accounted for.
    pub(crate) cursor: u64,
    /// With a rate: where the round ends that the cursor is in, or that it has ended.
    pub(crate) round_to: u64,
    /// With a rate: the next round does not begin before this time.
    pub(crate) due_ns: u64,
    /// Between two visits; 0: no limit.
    pub(crate) interval_ns: u32,
    pub(crate) mode: Mode,
}

impl Class {
    pub(crate) const NONE: Self =
        Self { cursor: 0, round_to: 0, due_ns: 0, interval_ns: 0, mode: Mode::Every };

    pub(crate) const fn is_throttled(&self) -> bool {
        self.interval_ns > 0
    }

    /// Whether it has nothing to do before its next round.
    pub(crate) const fn waits(&self, now_ns: u64) -> bool {
        self.due_ns > now_ns && self.cursor >= self.round_to
    }

    /// Whether only the newest counts, however fast the client is.
    pub(crate) fn conflates(&self) -> bool {
        self.mode == Mode::Conflate || self.is_throttled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_marks_do_not_touch_each_other() {
        let progress = Progress::at(SEQ_MAX).with(Mark::Introduced).with(Mark::InTransfer);
        assert_eq!(progress.seq(), SEQ_MAX);
        let progress = progress.with_seq(7).without(Mark::InTransfer);
        assert_eq!(progress, Progress::at(7).with(Mark::Introduced));
        assert!(progress.has(Mark::Introduced) && !progress.has(Mark::Fresh));
        assert_eq!(progress.reset(), Progress::at(0).with(Mark::Reset));
        assert!(Progress::FRESH.reset().has(Mark::Fresh));
        let plain = Progress::at(9).with(Mark::Introduced);
        assert!(plain.is_plain() && !plain.with(Mark::Resumed).is_plain());
        assert!(!Progress::at(9).is_plain());
    }
}
