//! A lane: what is on its way to one bucket's log.
//!
//! At most one append is in flight. Ticks that come meanwhile are held and form the next batch. Held ticks
//! are always whole groups.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use wire::{Channel, Kind, Tick};

use crate::batch::Batch;
use crate::entry::Offset;

/// How large batches become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Encoded bytes of ticks after which a batch takes no further group.
    pub bytes: usize,
    /// Ticks after which it takes no further group.
    pub ticks: usize,
    /// How old the oldest tick is when a batch is sent though it is not full, ns.
    pub age_ns: u64,
}

/// A batch that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) number: u64,
    pub(super) expected: Offset,
    pub(super) payload: Bytes,
    pub(super) ticks: Vec<Tick>,
}

/// What is going on in a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing.
    #[default]
    Idle,
    /// The log's newest offset was asked for; nothing was sent yet.
    Asking,
    /// The batch is to be sent (again).
    Send(Sent),
    /// The batch is in flight.
    Sending(Sent),
    /// What became of the batch is to be found out, from this time on.
    Doubt(Sent, u64),
    /// It is being found out.
    Probing(Sent),
    /// The log is not as this writer left it: what comes next depends on who holds the throne, which is
    /// known with this beat.
    Contested { sent: Sent, newest: Offset, beat: u64 },
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) stage: Stage,
    /// The log's newest offset, as far as known.
    pub(super) newest: Option<Offset>,
    /// What the bus said the newest offset was, when that was not as expected.
    pub(super) hint: Option<Offset>,
    /// Bytes appended since the bucket's images were renewed.
    pub(super) bytes_since_images: u64,
    /// When the first of them were appended.
    pub(super) since_images_ns: u64,
    held: VecDeque<Tick>,
    /// When the oldest held tick came.
    since_ns: u64,
    /// Number of the last batch.
    number: u64,
    /// Instruments of which depth groups were dropped: their books are to be replaced.
    owed: Vec<u32>,
}

impl Lane {
    /// Takes a whole group.
    pub(super) fn push(&mut self, group: &[Tick], now_ns: u64) {
        if self.held.is_empty() {
            self.since_ns = now_ns;
        }
        self.held.extend(group);
    }

    /// Notes that the book of this instrument is to be replaced.
    pub(super) fn owe(&mut self, instrument: u32, now_ns: u64) {
        if self.held.is_empty() && self.owed.is_empty() {
            self.since_ns = now_ns;
        }
        if !self.owed.contains(&instrument) {
            self.owed.push(instrument);
        }
    }

    /// Whether there is something to send.
    pub(super) fn has_ticks(&self) -> bool {
        !self.held.is_empty() || !self.owed.is_empty()
    }

    /// How many ticks wait to be sent.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing waits and nothing is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.stage == Stage::Idle && !self.has_ticks()
    }

    /// When a batch is to be sent, full or not.
    pub(super) fn due_ns(&self, limits: &BatchLimits) -> u64 {
        if self.held.len() >= limits.ticks {
            0
        } else {
            self.since_ns.saturating_add(limits.age_ns)
        }
    }

    /// The instruments whose books are to be replaced before more is sent.
    pub(super) fn take_owed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.owed)
    }

    /// Puts a replacement of the instrument's book in front of all that is held, in place of the
    /// instrument's groups there: the replacement has what they say. Returns how many ticks these were.
    pub(super) fn replace_book(&mut self, instrument: u32, replacement: &[Tick]) -> usize {
        let before = self.held.len();
        self.held.retain(|tick| !(tick.instrument == instrument && is_depth(tick)));
        let dropped = before - self.held.len();
        for tick in replacement.iter().rev() {
            self.held.push_front(*tick);
        }
        dropped
    }

    /// The next batch's ticks: whole groups up to the limits, at least one. Its expected offset must be
    /// known.
    pub(super) fn take_batch(&mut self, limits: &BatchLimits) -> (u64, Vec<Tick>) {
        let (mut count, mut bytes, mut whole) = (0, 0, 0);
        for tick in &self.held {
            bytes += Batch::tick_bytes(tick);
            count += 1;
            if whole > 0 && (bytes > limits.bytes || count > limits.ticks) {
                break;
            }
            if tick.ends() {
                whole = count;
            }
        }
        let ticks: Vec<Tick> = self.held.drain(..whole).collect();
        self.number += 1;
        (self.number, ticks)
    }

    /// Drops what is held but for the newest tick of every topic without a book: so readers soon have the
    /// values that are true, and see by the numbers how many they did not get. Returns how many ticks
    /// were dropped.
    pub(super) fn shed(&mut self) -> usize {
        let before = self.held.len();
        let mut topics = HashSet::new();
        let mut kept = VecDeque::new();
        for tick in self.held.drain(..).rev() {
            if is_depth(&tick) {
                if !self.owed.contains(&tick.instrument) {
                    self.owed.push(tick.instrument);
                }
            } else if topics.insert((tick.instrument, tick.kind)) {
                kept.push_front(tick);
            }
        }
        self.held = kept;
        before - self.held.len()
    }

    /// Drops everything that is held.
    pub(super) fn clear(&mut self) -> usize {
        self.owed.clear();
        self.held.drain(..).len()
    }
}

fn is_depth(tick: &Tick) -> bool {
    tick.kind() == Ok(Kind::Data(Channel::Depth))
}
