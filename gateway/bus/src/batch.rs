//! The batch: ticks of one bucket that are appended to its log at once.
//!
//! Bytes, little-endian: format u32, count u32, writer u64, number u64, epoch u64, sent u64; then for
//! each tick its [`sparse`] words. It comes from a bus: decoding trusts nothing and allocates no more than the
//! bytes account for.
//!
//! A depth group is in one batch, whole: a lost batch never leaves half an event.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wire::{Kind, TICK_WORDS, Tick, TickError};

use crate::limits::BATCH_TICKS_MAX;
use crate::sparse::{self, SparseError};

/// "TCB" and the version in the low byte.
const FORMAT: u32 = 0x5443_4201;

/// Bytes before the first tick.
const HEAD_BYTES: usize = 40;

/// The most bytes a tick can take.
const TICK_BYTES_MAX: usize = 2 + 8 * TICK_WORDS;

/// Ticks of one bucket, in order, already numbered. Without ticks it is a pulse: a writer lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who appended it: drawn at random by every writer, so that it knows its own again.
    pub writer: u64,
    /// The writer's count of its batches for this bucket.
    pub number: u64,
    /// The epoch of the ticks' numbers.
    pub epoch: u64,
    /// When it was first sent, by the writer's clock, ns since the Unix epoch.
    pub sent_ns: u64,
    /// Market data only.
    pub ticks: Vec<Tick>,
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// It does not begin like one, or has another version.
    #[error("not a batch of this version")]
    Format,
    /// It ends in the middle of a tick, goes on after the last, or has too many.
    #[error("a batch's count and its length disagree")]
    Length,
    /// A tick's words are none.
    #[error(transparent)]
    Words(#[from] SparseError),
    /// A tick is not valid.
    #[error(transparent)]
    Tick(#[from] TickError),
    /// A tick that is no market data.
    #[error("a batch has market data only")]
    Control,
    /// It begins or ends within a depth group.
    #[error("a batch does not begin and end between depth groups")]
    Split,
}

impl Batch {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(Self::bytes_max(self.ticks.len()));
        out.put_u32_le(FORMAT);
        out.put_u32_le(u32::try_from(self.ticks.len()).expect("far fewer ticks than 2^32"));
        for word in [self.writer, self.number, self.epoch, self.sent_ns] {
            out.put_u64_le(word);
        }
        for tick in &self.ticks {
            sparse::put(&mut out, &tick.to_words());
        }
        out.freeze()
    }

    /// How many bytes a tick takes in a batch.
    #[must_use]
    pub fn tick_bytes(tick: &Tick) -> usize {
        sparse::len(&tick.to_words())
    }

    /// The most bytes that a batch of so many ticks can take: for who fills one up to a bound.
    #[must_use]
    pub const fn bytes_max(ticks: usize) -> usize {
        HEAD_BYTES + ticks * TICK_BYTES_MAX
    }

    /// What these bytes are.
    ///
    /// # Errors
    /// If they are none, with the first thing that is wrong.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.remaining() < HEAD_BYTES {
            return Err(BatchError::Format);
        }
        if bytes.get_u32_le() != FORMAT {
            return Err(BatchError::Format);
        }
        let count = usize::try_from(bytes.get_u32_le()).map_err(|_| BatchError::Length)?;
        let [writer, number, epoch, sent_ns] = std::array::from_fn(|_| bytes.get_u64_le());
        // A tick has at least its bitmap and a time.
        if count > BATCH_TICKS_MAX || count * 10 > bytes.remaining() {
            return Err(BatchError::Length);
        }
        let mut ticks = Vec::with_capacity(count);
        for _ in 0..count {
            let tick = Tick::from_words(sparse::take(&mut bytes)?);
            match tick.validate()? {
                Kind::Data(_) => ticks.push(tick),
                _ => return Err(BatchError::Control),
            }
        }
        if bytes.has_remaining() {
            return Err(BatchError::Length);
        }
        let whole = |tick: Option<&Tick>, end: fn(&Tick) -> bool| tick.is_none_or(end);
        if whole(ticks.first(), Tick::begins) && whole(ticks.last(), Tick::ends) {
            Ok(Self { writer, number, epoch, sent_ns, ticks })
        } else {
            Err(BatchError::Split)
        }
    }

    /// Writer and number, without decoding the rest: how a writer finds out whether the newest batch is
    /// its own.
    ///
    /// # Errors
    /// If the bytes do not begin like a batch.
    pub fn decode_origin(mut bytes: &[u8]) -> Result<(u64, u64), BatchError> {
        if bytes.remaining() < HEAD_BYTES || bytes.get_u32_le() != FORMAT {
            return Err(BatchError::Format);
        }
        bytes.advance(4);
        Ok((bytes.get_u64_le(), bytes.get_u64_le()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::{Channel, Level, Quote, Side, Trade};

    use super::*;

    fn quote(seq: u64) -> Tick {
        let quote = Quote {
            bid_price: 99,
            bid_quantity: 1,
            ask_price: 101,
            ask_quantity: 2,
            update_id: 40,
        };
        Tick { seq, ts_ring_ns: 6, ..Tick::from_quote(7, 5, &quote) }
    }

    fn batch() -> Batch {
        let trade =
            Trade { price: -1, quantity: 3, trade_id: 4, ts_trade_ns: 5, buyer_is_maker: true };
        let mut ticks = vec![quote(1), Tick { seq: 1, ..Tick::from_trade(8, 5, &trade) }];
        let level = Level { side: Side::Ask, price: 102, quantity: 0 };
        Tick::push_depth(&mut ticks, 7, 9, 41..=42, &[level; 6]);
        Batch { writer: 0x0102, number: 3, epoch: 4, sent_ns: 1_000, ticks }
    }

    /// The bytes are a contract between versions of this program that share a bus.
    #[test]
    fn has_these_bytes() {
        let small = Batch { ticks: vec![quote(1)], ..batch() };
        let hex: String = small.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let word = |value: u64| -> String {
            value.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let head = ["01424354".to_owned(), "01000000".to_owned(), word(0x0102), word(3), word(4)];
        // Quote is channel 1; begin and end are flags 3.
        let tick = [5, 6, 1, 0x0000_0301_0000_0007, 99, 1, 101, 2, 40].map(word);
        assert_eq!(hex, head.concat() + &word(1_000) + "ff01" + &tick.concat());
        assert_eq!(small.encode().len(), HEAD_BYTES + 74);
    }

    #[test]
    fn survives_its_bytes() {
        let bytes = batch().encode();
        assert_eq!(Batch::decode(&bytes), Ok(batch()));
        assert_eq!(Batch::decode_origin(&bytes), Ok((0x0102, 3)));
        let pulse = Batch { ticks: Vec::new(), ..batch() };
        assert_eq!(Batch::decode(&pulse.encode()), Ok(pulse));
    }

    #[test]
    fn says_what_is_wrong() {
        let bytes = Batch { ticks: vec![quote(1)], ..batch() }.encode().to_vec();
        let broken = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            Batch::decode(&bytes).unwrap_err()
        };
        assert_eq!(broken(&|b| b.truncate(39)), BatchError::Format);
        assert_eq!(broken(&|b| b[0] += 1), BatchError::Format);
        assert_eq!(broken(&|b| b[4] = 2), BatchError::Words(SparseError::Truncated));
        assert_eq!(broken(&|b| b[7] = 255), BatchError::Length);
        assert_eq!(broken(&|b| b.push(0)), BatchError::Length);
        assert_eq!(broken(&|b| b.truncate(100)), BatchError::Words(SparseError::Truncated));
        assert_eq!(broken(&|b| b[41] |= 0x80), BatchError::Words(SparseError::Bitmap));
        assert_eq!(broken(&|b| b[42] = 0), BatchError::Words(SparseError::Bitmap));
        let with = |tick: Tick| Batch::decode(&Batch { ticks: vec![tick], ..batch() }.encode());
        assert_eq!(with(Tick::from_epoch(1, 2)), Err(BatchError::Control));
        let unknown = Tick { kind: 200, ..quote(1) };
        assert_eq!(with(unknown), Err(BatchError::Tick(TickError::Kind(200))));
        let half = Tick { flags: wire::flags::BEGIN, ..quote(1) };
        assert_eq!(with(half), Err(BatchError::Split));
    }

    prop_compose! {
        fn any_tick()(
            mut words in prop::array::uniform15(prop_oneof![Just(0u64), any::<u64>()]),
            ts in 1u64..,
            channel in 0usize..5,
        ) -> Tick {
            words[0] = ts;
            let mut tick = Tick::from_words(words);
            let channels = [Channel::Trade, Channel::Quote, Channel::Depth, Channel::Ticker,
                Channel::from_code(9).unwrap()];
            tick.kind = channels[channel].code();
            tick.flags |= 3;
            tick.levels %= 5;
            tick
        }
    }

    proptest! {
        #[test]
        fn any_survives(ticks in prop::collection::vec(any_tick(), 0..40), writer: u64) {
            let batch = Batch { ticks, writer, ..batch() };
            let bytes = batch.encode();
            prop_assert!(bytes.len() <= Batch::bytes_max(batch.ticks.len()));
            prop_assert_eq!(Batch::decode(&bytes), Ok(batch));
        }

        #[test]
        fn no_bytes_panic(at in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut bytes = batch().encode().to_vec();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            let _ = Batch::decode(&bytes);
        }
    }
}
