//! The feeder: the ring's one writer. It turns batches of a feed into numbered, stamped records.
//!
//! It owns the publisher and everything that is one per stream: the epoch, the numbers of all topics,
//! the last values and books, the recovery images made of them, the heartbeat. It has no clock and
//! no thread: [`crate::run`] calls it with the time.
//!
//! Order in the ring: an epoch record, a definition of every instrument, then data; the same again
//! for every further epoch. A depth group lies in the ring without anything between its records.
//!
//! # Recovery images
//! Everything about one instrument is in the slot of its id, as [`wire::InstrumentImage`]. Every
//! instrument has an image from the begin of the epoch on. An image is renewed before a quarter of
//! the ring's capacity has been published since its first missing record, so that image and ring
//! together always have everything. A book with more levels than the image has room for loses its
//! worst ones, both sides alike, in the image only; [`Counters::levels_cut`] counts them.
//!
//! # What is refused
//! A batch with a tick of an undefined topic, of a topic that hubs derive (`depth5|10|20`), a control
//! record, a depth group that does not begin and end as it should, or one longer than
//! [`wire::GROUP_LEVELS_MAX`] levels or a quarter of the ring: groups are never split, as half a group
//! is a crossed book. What precedes it in the batch is published. It is a fault of the feed and ends
//! the run.

//!
//! # Ticks that have numbers already
//! A stream that was numbered elsewhere is passed on with [`Feeder::begin_epoch_as`] and the methods in
//! `feeder/relay.rs`.

mod checkpoints;
mod ledger;
mod relay;

use ring::{Publisher, Shape};
use wire::{
    Channel, GROUP_LEVELS_MAX, Instrument, InstrumentImage, Kind, LEVELS_PER_TICK, Presence,
    Symbol, Tick,
};

use checkpoints::Checkpoints;
use ledger::Ledger;

/// How often the feeder says that it lives, if nothing else does. Readers suspect it after a few.
pub const HEARTBEAT_NS: u64 = 100_000_000;

/// Publishes a feed's ticks into a ring.
#[derive(Debug)]
pub struct Feeder {
    publisher: Publisher,
    shape: Shape,
    /// The epoch that was begun last; 0: none yet.
    epoch: u64,
    ledger: Ledger,
    checkpoints: Checkpoints,
    /// Reused for every checkpoint.
    image: InstrumentImage,
    words: Vec<u64>,
    heartbeat_at_ns: u64,
    counters: Counters,
}

/// What a feeder has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ticks of market data published.
    pub ticks: u64,
    /// Epochs begun.
    pub epochs: u64,
    /// Recovery images written.
    pub images: u64,
    /// Price levels that had no room in an image, summed over images.
    pub levels_cut: u64,
    /// Relayed ticks dropped because their number was relayed already.
    pub repeated: u64,
    /// Relayed ticks and images dropped because they cannot be: of no topic, without a number, malformed.
    pub refused: u64,
}

/// Why the feeder refuses instruments or a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeederError {
    /// Ids must be dense and in order.
    #[error("instrument ids must run from 0 in order: number {position} has id {id}")]
    Id {
        /// Where it stands among the instruments.
        position: usize,
        /// Its id.
        id: u32,
    },
    /// More instruments than recovery images.
    #[error("the ring has {images} recovery images, too few for {instruments} instruments")]
    Images {
        /// Slots of the ring.
        images: usize,
        /// Instruments of the feed.
        instruments: usize,
    },
    /// An image would not even hold the last values.
    #[error("the ring's recovery images have {room} words; {symbol} needs at least {needed}")]
    ImageRoom {
        /// The instrument.
        symbol: Symbol,
        /// Words it needs, without any book.
        needed: usize,
        /// Words there are.
        room: usize,
    },
    /// Data for a topic that the instrument did not advertise, or that hubs derive.
    #[error("a tick of kind {kind:#04x} of instrument {instrument}: there is no such topic")]
    Topic {
        /// The tick's instrument.
        instrument: u32,
        /// The tick's kind, as its code.
        kind: u8,
    },
    /// A depth group without begin, without end, or with something else inside.
    #[error("a depth group of instrument {0} does not begin and end as it should")]
    Framing(u32),
    /// A depth group longer than allowed.
    #[error(
        "a depth group of instrument {instrument} has {ticks} ticks; at most {most} are allowed"
    )]
    GroupTooLong {
        /// The group's instrument.
        instrument: u32,
        /// Its length.
        ticks: usize,
        /// The longest possible.
        most: usize,
    },
}

/// The ring that suits these instruments: `capacity` records, and in each recovery image room for
/// `levels` price levels, both sides together.
#[must_use]
pub fn shape(instruments: &[Instrument], capacity: usize, levels: usize) -> Shape {
    let words = |instrument: &Instrument| {
        let levels = if instrument.has(Channel::Depth) { levels } else { 0 };
        ledger::image_words(instrument, levels)
    };
    let image_words = instruments.iter().map(words).max().unwrap_or(0);
    Shape { capacity, images: instruments.len(), image_words }
}

/// Price levels that recovery images of so many instruments should have room for: as many as 256 MiB
/// hold, two copies of 16 bytes a level, but never fewer than the deepest partial book needs twice over,
/// and no more than the venue's largest snapshot, 5,000 a side.
#[must_use]
pub fn image_levels(instruments: usize) -> usize {
    const BYTES: usize = 256 << 20;
    const LEVEL_BYTES: usize = 2 * 16;
    (BYTES / LEVEL_BYTES / instruments.max(1)).clamp(80, 10_000)
}

impl Feeder {
    /// A feeder for a ring that was just made with this shape. The stream's first epoch is the ring's.
    #[must_use]
    pub fn new(publisher: Publisher, shape: Shape) -> Self {
        let nothing = Instrument {
            id: 0,
            symbol: Symbol::new("X").expect("a letter"),
            base_len: 0,
            price_exponent: 0,
            quantity_exponent: 0,
            tick_size: 0,
            lot_size: 0,
            channels: 0,
        };
        Self {
            publisher,
            shape,
            epoch: 0,
            ledger: Ledger::default(),
            checkpoints: Checkpoints::new(shape.capacity),
            image: InstrumentImage {
                epoch: 0,
                definition: nothing,
                presence: Presence::Attached,
                last: Vec::new(),
                depth_seq: 0,
                update_id: 0,
                ts_event_ns: 0,
                bids: Vec::new(),
                asks: Vec::new(),
            },
            words: Vec::new(),
            heartbeat_at_ns: 0,
            counters: Counters::default(),
        }
    }

    /// Begins an epoch with these instruments: the ring's own the first time, then one that follows
    /// from the one before. All numbers start again; readers are woken.
    ///
    /// # Errors
    /// If the ring's shape does not suit the instruments, or their ids are not dense. Nothing is
    /// published then.
    pub fn begin_epoch(
        &mut self,
        instruments: &[Instrument],
        now_ns: u64,
    ) -> Result<u64, FeederError> {
        let epoch = match self.epoch {
            0 => self.publisher.epoch().max(1),
            epoch => next_epoch(epoch),
        };
        self.begin_epoch_as(epoch, instruments, Presence::Attached, now_ns)?;
        Ok(epoch)
    }

    /// Begins the epoch of this name with these instruments, of all of which the stream has the data, or
    /// of none yet. Otherwise as [`Feeder::begin_epoch`].
    ///
    /// # Errors
    /// As [`Feeder::begin_epoch`].
    pub fn begin_epoch_as(
        &mut self,
        epoch: u64,
        instruments: &[Instrument],
        presence: Presence,
        now_ns: u64,
    ) -> Result<(), FeederError> {
        self.check_instruments(instruments)?;
        self.epoch = epoch;
        self.ledger.begin(instruments, presence);
        self.checkpoints.begin(instruments.len());
        self.image.epoch = self.epoch;
        self.counters.epochs += 1;
        self.publish_control(Tick::from_epoch(self.epoch, now_ns), now_ns);
        for instrument in instruments {
            let definition = Tick::from_definition(instrument, now_ns).with_presence(presence);
            self.publish_control(definition, now_ns);
        }
        for instrument in instruments {
            self.write_image(instrument.id);
        }
        self.publisher.wake();
        self.heartbeat(now_ns);
        Ok(())
    }

    /// Publishes a batch, of any length, and wakes readers. `now_ns` becomes the `ts_ring_ns` of all its ticks.
    ///
    /// # Errors
    /// If the feed has made a batch that cannot be; what precedes the fault is published.
    pub fn publish(&mut self, batch: &[Tick], now_ns: u64) -> Result<(), FeederError> {
        let result = self.publish_all(batch, now_ns);
        self.publisher.wake();
        self.checkpoint();
        self.heartbeat(now_ns);
        result
    }

    /// Passes over the numbers of so many entries of a topic that were lost on their way to the feed: hubs
    /// announce them as a gap when the next one comes. Not for depth, whose books tell.
    pub fn skip(&mut self, instrument: u32, channel: Channel, count: u64) {
        if self.ledger.skip(instrument, channel, count).is_none() {
            self.counters.refused += 1;
        }
    }

    /// Says that the feeder lives, if it is time to. To be called at least every [`HEARTBEAT_NS`].
    pub fn heartbeat(&mut self, now_ns: u64) {
        // A clock that was set back must not silence the feeder until it has caught up.
        let was_set_back = self.heartbeat_at_ns > now_ns.saturating_add(HEARTBEAT_NS);
        if now_ns >= self.heartbeat_at_ns || was_set_back {
            self.publisher.heartbeat(now_ns);
            self.heartbeat_at_ns = now_ns + HEARTBEAT_NS;
        }
    }

    /// Ends the stream in good order, with all images up to date: readers find the ring closed.
    pub fn close(mut self) {
        while let Some(instrument) = self.checkpoints.next_dirty() {
            self.write_image(instrument);
        }
        self.publisher.close();
    }

    /// The current epoch; 0: none was begun.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The next position in the ring.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.publisher.position()
    }

    /// The ring's shape.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// What the feeder has done so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn check_instruments(&self, instruments: &[Instrument]) -> Result<(), FeederError> {
        let (images, room) = (self.shape.images, self.shape.image_words);
        if instruments.len() > images {
            return Err(FeederError::Images { images, instruments: instruments.len() });
        }
        for (position, instrument) in instruments.iter().enumerate() {
            if instrument.id as usize != position {
                return Err(FeederError::Id { position, id: instrument.id });
            }
            let needed = ledger::image_words(instrument, 0);
            if needed > room {
                return Err(FeederError::ImageRoom { symbol: instrument.symbol, needed, room });
            }
        }
        Ok(())
    }

    fn publish_control(&mut self, mut tick: Tick, now_ns: u64) {
        tick.ts_ring_ns = now_ns;
        self.publisher.publish(&tick.to_words());
    }

    fn publish_all(&mut self, batch: &[Tick], now_ns: u64) -> Result<(), FeederError> {
        // A batch may be longer than the ring, as when a market introduces thousands of books: images
        // do not wait for its end.
        let stride = (self.shape.capacity / 16) as u64;
        let mut checkpoint_at = self.publisher.position() + stride;
        let mut rest = batch;
        while let Some((first, behind)) = rest.split_first() {
            match first.kind() {
                Ok(Kind::Data(Channel::Depth)) => {
                    let group = self.split_group(rest)?;
                    self.publish_group(group, now_ns)?;
                    rest = &rest[group.len()..];
                }
                Ok(Kind::Data(channel)) => {
                    self.publish_one(*first, channel, now_ns)?;
                    rest = behind;
                }
                Ok(Kind::Definition | Kind::Epoch | Kind::Presence) | Err(_) => {
                    return Err(no_topic(first));
                }
            }
            if self.publisher.position() >= checkpoint_at {
                checkpoint_at = self.publisher.position() + stride;
                self.publisher.wake();
                self.checkpoint();
            }
        }
        Ok(())
    }

    #[inline]
    fn publish_one(
        &mut self,
        mut tick: Tick,
        channel: Channel,
        now_ns: u64,
    ) -> Result<(), FeederError> {
        tick.ts_ring_ns = now_ns;
        self.ledger.enter(&mut tick, channel).ok_or_else(|| no_topic(&tick))?;
        self.publish_data(&tick);
        Ok(())
    }

    fn publish_group(&mut self, group: &[Tick], now_ns: u64) -> Result<(), FeederError> {
        let instrument = group[0].instrument;
        let seq = self.ledger.begin_group(instrument).ok_or_else(|| no_topic(&group[0]))?;
        for tick in group {
            let tick = Tick { seq, ts_ring_ns: now_ns, ..*tick };
            self.ledger.apply(&tick);
            self.publish_data(&tick);
        }
        Ok(())
    }

    #[inline]
    fn publish_data(&mut self, tick: &Tick) {
        let position = self.publisher.publish(&tick.to_words());
        self.checkpoints.touch(tick.instrument, position);
        self.checkpoints.earn(1);
        self.counters.ticks += 1;
    }

    /// The depth group that these ticks begin with.
    fn split_group<'a>(&self, ticks: &'a [Tick]) -> Result<&'a [Tick], FeederError> {
        let instrument = ticks[0].instrument;
        let most = (GROUP_LEVELS_MAX / LEVELS_PER_TICK).min(self.shape.capacity / 4).max(1);
        let end = ticks.iter().position(Tick::ends).ok_or(FeederError::Framing(instrument))?;
        let group = &ticks[..=end];
        let belongs = |tick: &Tick| tick.instrument == instrument && tick.kind == ticks[0].kind;
        if !group[0].begins() || group[1..].iter().any(Tick::begins) || !group.iter().all(belongs) {
            return Err(FeederError::Framing(instrument));
        }
        if group.len() > most {
            return Err(FeederError::GroupTooLong { instrument, ticks: group.len(), most });
        }
        Ok(group)
    }

    /// Writes the images that are due. Between groups only: an image holds whole groups.
    fn checkpoint(&mut self) {
        while let Some(instrument) = self.checkpoints.next_due(self.publisher.position()) {
            self.write_image(instrument);
        }
    }

    fn write_image(&mut self, instrument: u32) {
        let room = self.shape.image_words;
        let cut = self.ledger.image(instrument, room, &mut self.image);
        self.image.encode(&mut self.words);
        self.publisher
            .write_image(instrument as usize, &self.words)
            .expect("the epoch began with a check of slots and room");
        self.counters.images += 1;
        self.counters.levels_cut += cut as u64;
    }
}

/// An epoch for a new stream: not 0, and not one that a stream before or elsewhere had.
#[must_use]
pub fn fresh_epoch(now_ns: u64) -> u64 {
    next_epoch(now_ns ^ u64::from(std::process::id()) << 40)
}

/// The epoch after this one: a step of SplitMix64 (Steele, Lea, Flood 2014), which is a bijection, so
/// that a stream repeats none of its own.
fn next_epoch(epoch: u64) -> u64 {
    let mut z = epoch.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)).max(1)
}

fn no_topic(tick: &Tick) -> FeederError {
    FeederError::Topic { instrument: tick.instrument, kind: tick.kind }
}
