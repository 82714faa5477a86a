//! What the bus answered, and what follows.

use std::cmp::Reverse;

use super::{Announcement, Answer, Outbox, RETRY_NS, number};
use crate::entry::Offset;
use crate::writer::lane::{Sent, Stage};
use crate::writer::throne::{Deposed, Mark, THRONE_BUCKET};

impl Outbox {
    /// Takes an answer.
    ///
    /// # Errors
    /// If it shows that somebody else writes this stream: nothing is to be asked any more.
    pub fn handle(&mut self, answer: Answer, now_ns: u64) -> Result<(), Deposed> {
        match answer {
            Answer::Tail { bucket: THRONE_BUCKET, tail } => {
                self.throne.handle_tail(tail, now_ns)?;
                self.rouse_contested();
            }
            Answer::Appended { bucket: THRONE_BUCKET, offset } => {
                self.throne.handle_beat(offset, now_ns);
                self.rouse_contested();
            }
            Answer::Conflict { bucket: THRONE_BUCKET, .. } => self.throne.handle_doubt(now_ns),
            Answer::Doubt { bucket: THRONE_BUCKET } => {
                self.throne.handle_doubt(now_ns + RETRY_NS);
            }
            Answer::Tail { bucket, tail } => self.handle_tail(bucket, tail, now_ns),
            Answer::Appended { bucket, offset } => self.handle_appended(bucket, offset, now_ns),
            Answer::Conflict { bucket, actual } => {
                self.counters.conflicts += 1;
                if let Some(lane) = self.current_mut().get_mut(bucket as usize) {
                    lane.hint = Some(actual);
                }
                self.handle_doubt(bucket, now_ns);
            }
            Answer::Doubt { bucket } => {
                self.counters.doubts += 1;
                self.handle_doubt(bucket, now_ns + RETRY_NS);
            }
            Answer::CatalogPut { is_stored } => self.handle_catalog(is_stored, now_ns),
            Answer::ImagePut { instrument, is_stored } => {
                self.counters.images += u64::from(is_stored);
                let now = (now_ns, self.counters.appended_bytes);
                self.renewal.handle_put(instrument, is_stored, now);
            }
        }
        Ok(())
    }

    fn handle_catalog(&mut self, is_stored: bool, now_ns: u64) {
        let Announcement::Storing { is_stale } = self.announcement else { return };
        if is_stored {
            self.counters.catalogs += 1;
        }
        if !is_stored || is_stale {
            let at_ns = if is_stored { now_ns } else { now_ns + RETRY_NS };
            self.announcement = Announcement::Due { at_ns };
            return;
        }
        self.announcement = Announcement::Made;
        self.begin_epoch();
        self.ready.extend((0..self.lanes.len()).map(number));
    }

    fn handle_tail(&mut self, bucket: u32, tail: Option<Mark>, now_ns: u64) {
        self.sending -= 1;
        let writer = self.writer;
        let Some(lane) = self.current_mut().get_mut(bucket as usize) else { return };
        match std::mem::take(&mut lane.stage) {
            Stage::Asking => {
                lane.newest = Some(tail.map_or(Offset::START, |mark| mark.offset));
                self.ready.push_back(bucket);
            }
            Stage::Probing(sent) => {
                let is_ours = |mark: &Mark| mark.writer == writer && mark.number == sent.number;
                if let Some(mark) = tail.filter(is_ours) {
                    return self.acknowledge(bucket, &sent, mark.offset, now_ns);
                }
                let hint = lane.hint.take();
                let newest = tail.map_or(hint.unwrap_or(Offset::START), |mark| mark.offset);
                if newest == sent.expected {
                    lane.stage = Stage::Send(sent);
                    self.ready.push_back(bucket);
                    return;
                }
                let beat = self.throne.verify();
                self.current_mut()[bucket as usize].stage = Stage::Contested { sent, newest, beat };
                self.contested.push((bucket, beat));
            }
            other => lane.stage = other,
        }
    }

    fn handle_appended(&mut self, bucket: u32, offset: Offset, now_ns: u64) {
        self.sending -= 1;
        let Some(lane) = self.current_mut().get_mut(bucket as usize) else { return };
        match std::mem::take(&mut lane.stage) {
            Stage::Sending(sent) => self.acknowledge(bucket, &sent, offset, now_ns),
            other => lane.stage = other,
        }
    }

    /// What became of a lane's request is not known: the tail tells, from `at_ns` on.
    fn handle_doubt(&mut self, bucket: u32, at_ns: u64) {
        self.sending -= 1;
        let Some(lane) = self.current_mut().get_mut(bucket as usize) else { return };
        lane.stage = match std::mem::take(&mut lane.stage) {
            Stage::Sending(sent) | Stage::Probing(sent) => Stage::Doubt(sent, at_ns),
            Stage::Asking => Stage::Idle,
            other => other,
        };
        self.timers.push(Reverse((at_ns, bucket)));
    }

    fn acknowledge(&mut self, bucket: u32, sent: &Sent, offset: Offset, now_ns: u64) {
        let bytes = sent.payload.len() as u64;
        let lane = &mut self.current_mut()[bucket as usize];
        lane.stage = Stage::Idle;
        lane.newest = Some(offset);
        lane.hint = None;
        if lane.bytes_since_images == 0 {
            lane.since_images_ns = now_ns;
        }
        lane.bytes_since_images += bytes;
        if lane.has_ticks() {
            self.ready.push_back(bucket);
        }
        self.held -= sent.ticks.len();
        self.counters.appended += sent.ticks.len() as u64;
        self.counters.batches += 1;
        self.counters.appended_bytes += bytes;
        for group in sent.ticks.chunk_by(|tick, _| !tick.ends()) {
            self.logged.enter(group);
            self.renewal.touch(group[0].instrument, now_ns, self.counters.appended_bytes);
        }
        self.renew_images(bucket, now_ns);
    }

    /// Renews a bucket's images if much was appended since they were, or the first of that long ago. Quiet
    /// instruments are no exception, also those that have nothing to say yet: a reader reads the log from the
    /// oldest image on, and all of it while one is missing.
    fn renew_images(&mut self, bucket: u32, now_ns: u64) {
        let limits = &self.limits;
        let Some(catalog) = self.catalog.as_ref().filter(|_| self.old.is_empty()) else { return };
        // At Redis each bucket has its share of what is kept.
        let share = (limits.image_bytes / self.lanes.len().max(1) as u64).max(1);
        let lane = &self.lanes[bucket as usize];
        let since = lane.bytes_since_images;
        let is_old = now_ns.saturating_sub(lane.since_images_ns) >= limits.image_age_ns;
        if !is_old && since < limits.bucket_image_bytes.min(share) {
            return;
        }
        let instruments = catalog.instruments_of(bucket);
        let images = instruments.clone().map(|id| u64::from(self.image_bytes[id as usize]));
        // Images cost the bus no more than a quarter of what batches do.
        let worthwhile = limits.bucket_image_bytes.max(4 * images.sum::<u64>());
        if is_old || since >= worthwhile.min(share) {
            self.lanes[bucket as usize].bytes_since_images = 0;
            self.renewal.renew(instruments, now_ns, self.counters.appended_bytes);
        }
    }

    fn rouse_contested(&mut self) {
        let throne = &self.throne;
        let confirmed = self.contested.extract_if(.., |(_, beat)| throne.has_confirmed(*beat));
        self.ready.extend(confirmed.map(|(bucket, _)| bucket));
    }
}
