//! The way in: reads the rings that the source attaches, as a shard would, and puts what they bring into the spool.
//!
//! Each item has the time at which it was read, and nothing is read before it is there: what comes out a delay
//! later is at least that old. When the spool takes nothing, nothing is read; what the ring then overwrites is counted as
//! lost, and the images of all instruments follow, so that books are whole again behind the gap.

use std::sync::Arc;

use ring::{Reader, Record, Ring, Start};
use wire::{FeedState, InstrumentImage, Kind, Presence, Tick};

use super::item::Item;
use super::spool::{Head, Refused, Spool};
use crate::clock::monotonic_ns;
use crate::source::roll::Roll;
use crate::source::status::FeedStatus;

/// Records of one item at most.
pub(super) const BATCH: usize = 1024;

/// See the module's header.
pub(super) struct Intake {
    status: Arc<FeedStatus>,
    roll: Roll,
    /// `None` before there is any ring.
    tape: Option<Tape>,
    /// What the line was told of the feed last.
    told: FeedState,
    records: Vec<Record>,
    words: Vec<u64>,
    lost: u64,
}

/// The ring that is read, and how far.
struct Tape {
    ring: Ring,
    reader: Reader,
    /// 0: none yet.
    epoch: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The images of this epoch, or of any, are waited for.
    Waiting(Option<u64>),
    /// What images know is present when the reader is here.
    Catching(u64),
    Following,
}

impl Intake {
    /// Reads what the source behind this status attaches.
    pub(super) fn new(status: Arc<FeedStatus>) -> Self {
        Self {
            status,
            roll: Roll::default(),
            tape: None,
            told: FeedState::Live,
            records: Vec::with_capacity(BATCH),
            words: Vec::new(),
            lost: 0,
        }
    }

    /// Records that were overwritten before they were read, since this was asked last.
    pub(super) const fn take_lost(&mut self) -> u64 {
        std::mem::replace(&mut self.lost, 0)
    }

    /// Has what all instruments are like follow once more: something of the stream was lost behind.
    pub(super) const fn begin_again(&mut self) {
        if let Some(tape) = &mut self.tape
            && matches!(tape.stage, Stage::Catching(_) | Stage::Following)
        {
            tape.stage = Stage::Waiting(None);
        }
    }

    /// Looks for another ring or epoch, and what became of the feed. `is_over`: whoever ran the source has ended.
    pub(super) fn look(&mut self, is_over: bool, spool: &mut Spool) -> Result<(), Refused> {
        if let Some((ring, images)) = self.roll.newer(&self.status) {
            let reader = ring.reader(Start::Oldest);
            self.tape = Some(Tape { ring, reader, epoch: 0, stage: Stage::Waiting(None) });
            self.begin(&images, spool)?;
        }
        let Some(tape) = &self.tape else { return Ok(()) };
        if let Stage::Waiting(epoch) = tape.stage {
            let Some(images) = self.roll.images(&tape.ring, epoch) else { return Ok(()) };
            self.begin(&images, spool)?;
        }
        self.look_at_feed(is_over, spool)
    }

    fn look_at_feed(&mut self, is_over: bool, spool: &mut Spool) -> Result<(), Refused> {
        let state = match self.status.view().state {
            Some(FeedState::Live | FeedState::Restarted) if is_over => FeedState::Silent,
            Some(FeedState::Live | FeedState::Restarted) | None => FeedState::Live,
            Some(other) => other,
        };
        let Some(tape) = &self.tape else { return Ok(()) };
        // Clients hear of the end after the last tick, not before.
        let is_behind = tape.stage != Stage::Following || tape.reader.lag() > 0;
        if state == self.told || state == FeedState::Stopped && is_behind {
            return Ok(());
        }
        spool.push(head(Item::Feed(state), tape.epoch), &[])?;
        self.told = state;
        Ok(())
    }

    /// Begins with these images: everything that came before is in them, or lies in the ring behind the reader.
    fn begin(&mut self, images: &[InstrumentImage], spool: &mut Spool) -> Result<(), Refused> {
        let Self { tape: Some(tape), words, .. } = self else { return Ok(()) };
        let epoch = images[0].epoch;
        let known_to = tape.ring.head();
        words.clear();
        for image in images {
            let definition = Tick::from_definition(&image.definition, 0);
            words.extend(definition.with_presence(image.presence).to_words());
        }
        spool.push(head(Item::Begin, epoch), words)?;
        for image in images {
            image.encode(words);
            spool.push(head(Item::Image, epoch), words)?;
        }
        if epoch != tape.epoch {
            tape.epoch = epoch;
            self.told = FeedState::Live;
        }
        tape.pass_other_epochs(known_to);
        tape.stage = Stage::Catching(known_to);
        Ok(())
    }

    /// Puts one batch of what has come into the spool; how many records that was.
    pub(super) fn read(&mut self, spool: &mut Spool) -> Result<usize, Refused> {
        let Some(tape) = &mut self.tape else { return Ok(0) };
        if matches!(tape.stage, Stage::Waiting(_)) {
            return Ok(0);
        }
        let read = tape.reader.read(&mut self.records, BATCH);
        let begin = tape.reader.position() - self.records.len() as u64;
        if read.lost > 0 {
            tracing::error!(
                lost = read.lost,
                "the delay line was lapped; clients are told of gaps"
            );
            self.lost += read.lost;
            tape.reader.seek(begin);
            tape.stage = Stage::Waiting(None);
            return Ok(0);
        }
        let put = self.put(spool);
        let Some(tape) = &mut self.tape else { return put };
        match &put {
            Ok(records) => {
                tape.reader.seek(begin + *records as u64);
                if let Stage::Catching(known_to) = tape.stage
                    && tape.reader.position() >= known_to
                {
                    spool.push(head(Item::Present, tape.epoch), &[])?;
                    tape.stage = Stage::Following;
                }
                self.turn_to_next_epoch();
            }
            // It comes again.
            Err(_) => tape.reader.seek(begin),
        }
        put
    }

    /// Puts the records of this epoch that were read, and before them what images know of instruments that come
    /// into the stream with them.
    fn put(&mut self, spool: &mut Spool) -> Result<usize, Refused> {
        let Self { tape: Some(tape), records, words, .. } = self else { return Ok(0) };
        let ends = |words: &Record| begins_other(words, tape.epoch);
        let count = records.iter().position(ends).unwrap_or(records.len());
        if count == 0 {
            return Ok(0);
        }
        for record in &records[..count] {
            let tick = Tick::from_words(*record);
            if tick.kind() == Ok(Kind::Presence) && tick.presence() == Presence::Attached {
                let slot = usize::try_from(tick.instrument).unwrap_or(usize::MAX);
                if slot < tape.ring.images() && tape.ring.read_image(slot, words).is_some() {
                    spool.push(head(Item::Image, tape.epoch), words)?;
                }
            }
        }
        let head = Head { records: count as u64, ..head(Item::Records, tape.epoch) };
        spool.push(head, records[..count].as_flattened())?;
        Ok(count)
    }

    /// Waits for the images of the next epoch, if its begin is what comes next.
    fn turn_to_next_epoch(&mut self) {
        let Some(tape) = &mut self.tape else { return };
        let next = self.records.iter().find(|words| begins_other(words, tape.epoch));
        if let Some(words) = next {
            let epoch = Tick::from_words(*words).epoch();
            tape.reader.seek(tape.reader.position() + 1);
            tape.stage = Stage::Waiting(Some(epoch));
        }
    }
}

impl Tape {
    /// Goes behind the last begin of the present epoch, if that is still in the ring: what lies before is of others.
    fn pass_other_epochs(&mut self, head: u64) {
        let mut reader = self.reader.clone();
        let mut position = reader.position();
        while position < head {
            let (mut at, epoch) = (position, self.epoch);
            let mut behind = None;
            let read = reader.read_each(BATCH, |words| {
                at += 1;
                let tick = Tick::from_words(*words);
                if tick.kind() == Ok(Kind::Epoch) && tick.epoch() == epoch {
                    behind = Some(at);
                }
            });
            if read.records == 0 || read.lost > 0 {
                return;
            }
            if let Some(behind) = behind {
                self.reader.seek(behind);
            }
            position = reader.position();
        }
    }
}

fn begins_other(words: &Record, epoch: u64) -> bool {
    let tick = Tick::from_words(*words);
    tick.kind() == Ok(Kind::Epoch) && tick.epoch() != epoch
}

/// An item of now.
fn head(item: Item, epoch: u64) -> Head {
    Head { at_ns: monotonic_ns(), code: item.code(), epoch, records: 0 }
}
