//! The recovery image: everything a shard that starts late or was lapped needs of one instrument.
//!
//! Feeds write images into the ring's recovery area, slot by instrument id; shards read them. An
//! image is a sequence of words like the ticks in it. It comes from shared memory: decoding trusts
//! nothing and allocates no more than the words that are really there account for.
//!
//! Words: format, epoch, counts (ticks, bids, asks), depth seq, update id, event time, then the
//! definition as a tick, the last ticks, and two words for each level of bids and asks, best first.

use crate::instrument::Instrument;
use crate::tick::{Kind, Presence, TICK_WORDS, Tick, TickError};
use crate::topic::{CHANNEL_COUNT, Channel};

/// First word of every image; the low byte is the format's version.
const FORMAT: u64 = 0x5449_434B_494D_4701;

/// Words before the definition.
const HEAD_WORDS: usize = 8;

/// The last values and the book of one instrument at one position of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentImage {
    /// The epoch of all sequence numbers in it.
    pub epoch: u64,
    /// What the instrument is.
    pub definition: Instrument,
    /// Whether the stream has its data.
    pub presence: Presence,
    /// The newest tick of every channel but depth, with its sequence number.
    pub last: Vec<Tick>,
    /// Number of the last depth group that is in the book; 0: none.
    pub depth_seq: u64,
    /// The venue's last update id that is in the book.
    pub update_id: u64,
    /// When the book changed last, by the venue's clock.
    pub ts_event_ns: u64,
    /// Price and quantity mantissas, best first.
    pub bids: Vec<(i64, i64)>,
    /// Price and quantity mantissas, best first.
    pub asks: Vec<(i64, i64)>,
}

/// Why words are not an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It does not begin like one, or has another version.
    #[error("not an instrument image of this version")]
    Format,
    /// Its counts and its length disagree.
    #[error("an image of {expected} words has {found}")]
    Length {
        /// By its counts.
        expected: u64,
        /// In fact.
        found: u64,
    },
    /// The definition, or one of the last ticks, is not valid.
    #[error(transparent)]
    Tick(#[from] TickError),
    /// A tick that does not belong: of another instrument, depth, or no market data.
    #[error("an image has a tick that does not belong to it")]
    Foreign,
    /// A side of the book is not sorted best first, or has a quantity that is not above zero.
    #[error("the book of an image is not sorted")]
    Unsorted,
}

impl InstrumentImage {
    /// Replaces `out` by the image's words.
    pub fn encode(&self, out: &mut Vec<u64>) {
        out.clear();
        let count = |len: usize| u64::try_from(len).expect("usize has at most 64 bits");
        let definition = Tick::from_definition(&self.definition, 0).with_presence(self.presence);
        out.extend_from_slice(&[
            FORMAT,
            self.epoch,
            count(self.last.len()),
            count(self.bids.len()),
            count(self.asks.len()),
            self.depth_seq,
            self.update_id,
            self.ts_event_ns,
        ]);
        out.extend_from_slice(&definition.to_words());
        for tick in &self.last {
            out.extend_from_slice(&tick.to_words());
        }
        for &(price, quantity) in self.bids.iter().chain(&self.asks) {
            out.extend_from_slice(&[price.cast_unsigned(), quantity.cast_unsigned()]);
        }
    }

    /// How many words an image with so many last ticks and levels has.
    #[must_use]
    pub const fn words(last: usize, levels: usize) -> usize {
        HEAD_WORDS + TICK_WORDS * (1 + last) + 2 * levels
    }

    /// The image that these words are.
    ///
    /// # Errors
    /// If they are none, with the first thing that is wrong.
    pub fn decode(words: &[u64]) -> Result<Self, ImageError> {
        let (head, rest) = words.split_first_chunk::<HEAD_WORDS>().ok_or(ImageError::Format)?;
        let [format, epoch, last_len, bids_len, asks_len, depth_seq, update_id, ts_event_ns] =
            *head;
        if format != FORMAT {
            return Err(ImageError::Format);
        }
        let (last_len, bids_len, asks_len) =
            check_length(words.len(), last_len, bids_len, asks_len)?;
        let (definition, rest) = rest.split_at(TICK_WORDS);
        let (ticks, levels) = rest.split_at(last_len * TICK_WORDS);
        let (bids, asks) = levels.split_at(bids_len * 2);
        debug_assert_eq!(asks.len(), asks_len * 2);

        let definition = tick(definition);
        if definition.validate()? != Kind::Definition {
            return Err(ImageError::Foreign);
        }
        let presence = definition.presence();
        let definition = definition.definition()?;
        let last = ticks
            .chunks_exact(TICK_WORDS)
            .map(|words| {
                let tick = tick(words);
                match tick.validate()? {
                    Kind::Data(channel)
                        if channel != Channel::Depth && tick.instrument == definition.id =>
                    {
                        Ok(tick)
                    }
                    _ => Err(ImageError::Foreign),
                }
            })
            .collect::<Result<_, ImageError>>()?;
        let image = Self {
            epoch,
            definition,
            presence,
            last,
            depth_seq,
            update_id,
            ts_event_ns,
            bids: pairs(bids),
            asks: pairs(asks),
        };
        let bids_fall = image.bids.windows(2).all(|pair| pair[0].0 > pair[1].0);
        let asks_rise = image.asks.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let positive = image.bids.iter().chain(&image.asks).all(|level| level.1 > 0);
        if bids_fall && asks_rise && positive { Ok(image) } else { Err(ImageError::Unsorted) }
    }
}

/// The counts as lengths, if together they are the image's length.
fn check_length(
    words: usize,
    last: u64,
    bids: u64,
    asks: u64,
) -> Result<(usize, usize, usize), ImageError> {
    let found = u64::try_from(words).unwrap_or(u64::MAX);
    let fixed = u64::try_from(HEAD_WORDS + TICK_WORDS).unwrap_or(u64::MAX);
    let ticks = last.saturating_mul(u64::try_from(TICK_WORDS).unwrap_or(u64::MAX));
    let expected = fixed
        .saturating_add(ticks)
        .saturating_add(bids.saturating_mul(2))
        .saturating_add(asks.saturating_mul(2));
    let too_many = last > u64::try_from(CHANNEL_COUNT).unwrap_or(u64::MAX);
    match (usize::try_from(last), usize::try_from(bids), usize::try_from(asks)) {
        (Ok(last), Ok(bids), Ok(asks)) if expected == found && !too_many => Ok((last, bids, asks)),
        _ => Err(ImageError::Length { expected, found }),
    }
}

fn tick(words: &[u64]) -> Tick {
    let mut fixed = [0; TICK_WORDS];
    fixed.copy_from_slice(words);
    Tick::from_words(fixed)
}

fn pairs(words: &[u64]) -> Vec<(i64, i64)> {
    words.chunks_exact(2).map(|pair| (pair[0].cast_signed(), pair[1].cast_signed())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::body::{Quote, TradingStatus};
    use crate::instrument::Symbol;

    fn image() -> InstrumentImage {
        let definition = Instrument {
            id: 7,
            symbol: Symbol::new("BTCUSDT").unwrap(),
            base_len: 3,
            price_exponent: -2,
            quantity_exponent: -5,
            tick_size: 1,
            lot_size: 1,
            channels: Channel::Quote.bit() | Channel::Depth.bit() | Channel::Status.bit(),
        };
        let quote = Quote {
            bid_price: 99,
            bid_quantity: 1,
            ask_price: 101,
            ask_quantity: 2,
            update_id: 40,
        };
        let mut last =
            vec![Tick::from_quote(7, 5, &quote), Tick::from_status(7, 6, TradingStatus::Trading)];
        last[0].seq = 12;
        last[1].seq = 1;
        InstrumentImage {
            epoch: 0xABCD,
            definition,
            presence: Presence::Detached,
            last,
            depth_seq: 3,
            update_id: 41,
            ts_event_ns: 9,
            bids: vec![(99, 1), (98, 4)],
            asks: vec![(101, 2)],
        }
    }

    #[test]
    fn survives_its_words() {
        let mut words = vec![1, 2, 3];
        image().encode(&mut words);
        assert_eq!(words.len(), InstrumentImage::words(2, 3));
        assert_eq!(InstrumentImage::decode(&words), Ok(image()));
    }

    #[test]
    fn says_what_is_wrong() {
        let mut words = Vec::new();
        image().encode(&mut words);
        let broken = |change: &dyn Fn(&mut Vec<u64>)| {
            let mut words = words.clone();
            change(&mut words);
            InstrumentImage::decode(&words).unwrap_err()
        };
        assert_eq!(broken(&|w| w.clear()), ImageError::Format);
        assert_eq!(broken(&|w| w[0] += 1), ImageError::Format);
        assert_eq!(broken(&|w| w.truncate(58)), ImageError::Length { expected: 59, found: 58 });
        assert!(matches!(broken(&|w| w[2] = u64::MAX), ImageError::Length { .. }));
        assert_eq!(broken(&|w| *w.last_mut().unwrap() = 0), ImageError::Unsorted);
        assert_eq!(broken(&|w| w.swap(53, 55)), ImageError::Unsorted);
        // The first of the last ticks is of another instrument.
        assert_eq!(broken(&|w| w[8 + 15 + 3] += 1), ImageError::Foreign);
    }

    proptest! {
        #[test]
        fn no_words_panic(at in 0usize..59, word: u64, cut in 0usize..60) {
            let mut words = Vec::new();
            image().encode(&mut words);
            words[at] = word;
            words.truncate(cut);
            let _ = InstrumentImage::decode(&words);
        }
    }
}
