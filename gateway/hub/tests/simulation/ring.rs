//! A ring as the hub's shell sees it: it forgets the oldest records and has images beside it. With
//! the shell's part of reading it.

use std::collections::VecDeque;

use tickcast_hub::Hub;
use wire::{InstrumentImage, Kind, Tick};

use crate::feed::Feed;

pub struct Ring {
    records: VecDeque<Tick>,
    base: u64,
    capacity: usize,
    images_max: u64,
    images: Vec<Option<(u64, InstrumentImage)>>,
    checkpointed: u64,
    // The reader.
    position: u64,
    recovering_to: Option<u64>,
    is_within_group: bool,
}

impl Ring {
    pub fn is_within_group(&self) -> bool {
        self.is_within_group
    }

    /// Instruments from this number on have no image.
    pub fn images_max(&self) -> u64 {
        self.images_max
    }

    pub fn new(capacity: usize, images_max: u64) -> Self {
        Self {
            records: VecDeque::new(),
            base: 0,
            capacity,
            images_max,
            images: Vec::new(),
            checkpointed: 0,
            position: 0,
            recovering_to: Some(0),
            is_within_group: false,
        }
    }

    fn head(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    pub fn backlog(&self) -> u64 {
        self.head() - self.position
    }

    /// Publishes a batch, then images if it is time, as the feeder does.
    pub fn publish(&mut self, batch: &mut Vec<Tick>, feed: &mut Feed) {
        let begins = batch
            .iter()
            .any(|tick| tick.kind() != Ok(Kind::Data(wire::Channel::Trade)) && tick.seq == 0);
        self.records.extend(batch.drain(..));
        while self.records.len() > self.capacity {
            self.records.pop_front();
            self.base += 1;
        }
        if begins || self.head() - self.checkpointed >= self.capacity as u64 / 8 {
            self.checkpointed = self.head();
            let head = self.head();
            feed.checkpoint(|slot, image| {
                if slot as u64 >= self.images_max {
                    return;
                }
                if self.images.len() <= slot {
                    self.images.resize(slot + 1, None);
                }
                self.images[slot] = Some((head, image));
            });
        }
    }

    /// Reads up to so many records into the hub, recovering first if they were overwritten.
    pub fn drain(&mut self, hub: &mut Hub, most: u64, now_ns: u64) {
        if self.position < self.base {
            hub.handle_lapped(self.base - self.position, now_ns);
            self.position = self.base;
            self.recovering_to = Some(self.head());
            let mut images: Vec<_> = self.images.iter().flatten().collect();
            images.sort_by_key(|(position, _)| *position);
            for (_, image) in images {
                hub.handle_image(image, now_ns);
            }
            // Records do not say of which epoch they are: begin with the last one that begins one.
            let begin = self.records.iter().rposition(|tick| tick.kind() == Ok(Kind::Epoch));
            self.position += begin.unwrap_or(0) as u64;
        }
        let mut read = 0;
        while self.position < self.head() && read < most {
            let tick = self.records[(self.position - self.base) as usize];
            hub.handle_record(&tick, now_ns);
            self.is_within_group = !tick.ends();
            read += 1;
            self.position += 1;
        }
        if self.recovering_to.is_some_and(|to| self.position >= to) {
            self.recovering_to = None;
            hub.handle_recovered(now_ns);
        }
    }
}
