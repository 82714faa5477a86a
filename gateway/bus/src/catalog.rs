//! The catalog: what there is on this bus in this epoch, and how it is divided into buckets.
//!
//! A writer stores it before it appends anything of the epoch. It does not change within one: whoever has
//! another catalog than before begins anew.
//!
//! Ids are dense: first what the feed writes, then what clients write. Buckets are so many ids next to each
//! other: the feed's counted from 0, those of clients from [`CLIENTS_BUCKET_FIRST`], so that no log has two
//! kinds of sequencers and a bucket's number says how its log is kept.
//!
//! Bytes, little-endian: format u32, bucket size u32, epoch u64, count u32, of them written by the feed
//! u32; then the [`sparse`] words of each instrument's definition, in the order of ids.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wire::{Instrument, Kind, Tick, TickError};

use crate::limits::{CLIENTS_BUCKET_FIRST, PAYLOAD_BYTES_MAX};
use crate::sparse::{self, SparseError};

/// "TCC" and the version in the low byte.
const FORMAT: u32 = 0x5443_4301;

/// Bytes before the first instrument.
const HEAD_BYTES: usize = 24;

/// The fewest bytes of an instrument: a bitmap, its kind, a symbol, a length.
const INSTRUMENT_BYTES_MIN: usize = 26;

/// The instruments of an epoch, and how many are in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    epoch: u64,
    bucket_size: u32,
    feed_len: u32,
    instruments: Vec<Instrument>,
}

/// Who writes an instrument's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterKind {
    /// A feed: one process that numbers them itself.
    Feed,
    /// Clients of any gateway: numbered by compare-and-append.
    Clients,
}

impl WriterKind {
    /// Who writes the ticks of this bucket, in any catalog.
    #[must_use]
    pub const fn of_bucket(bucket: u32) -> Self {
        if bucket < CLIENTS_BUCKET_FIRST { Self::Feed } else { Self::Clients }
    }
}

/// Why a catalog is none, or cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// It does not begin like one, or has another version.
    #[error("not a catalog of this version")]
    Format,
    /// Its counts and its length disagree.
    #[error("a catalog's counts and its length disagree")]
    Length,
    /// A bucket of no instruments.
    #[error("a bucket has at least one instrument")]
    Bucket,
    /// Ids have holes or are not in order.
    #[error("instrument ids must run from 0 in order: number {position} has id {id}")]
    Id {
        /// Where it stands.
        position: usize,
        /// Its id.
        id: u32,
    },
    /// The words of a definition are none.
    #[error(transparent)]
    Words(#[from] SparseError),
    /// A definition is none.
    #[error(transparent)]
    Definition(#[from] TickError),
    /// More bytes than a bus takes as one value.
    #[error(
        "a catalog of {bytes} bytes; at most 1,000,000 can be stored (some 15,000 instruments)"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

impl Catalog {
    /// A catalog of instruments by id, the first `feed_len` of which are written by the feed and the
    /// rest by clients, `bucket_size` in a bucket.
    ///
    /// # Errors
    /// If ids are not dense from 0, the size is 0, or fewer instruments are there than `feed_len`.
    pub fn new(
        epoch: u64,
        bucket_size: u32,
        instruments: Vec<Instrument>,
        feed_len: u32,
    ) -> Result<Self, CatalogError> {
        if bucket_size == 0 {
            return Err(CatalogError::Bucket);
        }
        for (position, instrument) in instruments.iter().enumerate() {
            if usize::try_from(instrument.id) != Ok(position) {
                return Err(CatalogError::Id { position, id: instrument.id });
            }
        }
        let catalog = Self { epoch, bucket_size, feed_len, instruments };
        if feed_len <= catalog.len() { Ok(catalog) } else { Err(CatalogError::Length) }
    }

    /// The epoch of all numbers.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many instruments a bucket has; the feed's last one and the last one of all may have fewer.
    #[must_use]
    pub const fn bucket_size(&self) -> u32 {
        self.bucket_size
    }

    /// All instruments, by id.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// Who writes the ticks of this instrument.
    #[must_use]
    pub const fn writer_of(&self, instrument: u32) -> WriterKind {
        if instrument < self.feed_len { WriterKind::Feed } else { WriterKind::Clients }
    }

    /// The bucket of this instrument.
    #[must_use]
    pub const fn bucket_of(&self, instrument: u32) -> u32 {
        match self.writer_of(instrument) {
            WriterKind::Feed => instrument / self.bucket_size,
            WriterKind::Clients => {
                CLIENTS_BUCKET_FIRST + (instrument - self.feed_len) / self.bucket_size
            }
        }
    }

    /// The numbers of all buckets, the feed's first.
    pub fn buckets(&self) -> impl Iterator<Item = u32> + use<> {
        let feed = self.feed_len.div_ceil(self.bucket_size);
        let clients = (self.len() - self.feed_len).div_ceil(self.bucket_size);
        (0..feed).chain(CLIENTS_BUCKET_FIRST..CLIENTS_BUCKET_FIRST + clients)
    }

    /// The ids in this bucket; none if it does not exist.
    #[must_use]
    pub fn instruments_of(&self, bucket: u32) -> Range<u32> {
        let (first, end, place) = match WriterKind::of_bucket(bucket) {
            WriterKind::Feed => (0, self.feed_len, bucket),
            WriterKind::Clients => (self.feed_len, self.len(), bucket - CLIENTS_BUCKET_FIRST),
        };
        let begin = place.saturating_mul(self.bucket_size).saturating_add(first).min(end);
        begin..begin.saturating_add(self.bucket_size).min(end)
    }

    fn len(&self) -> u32 {
        u32::try_from(self.instruments.len()).expect("ids are u32 and dense")
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If it is too long to be stored.
    pub fn encode(&self) -> Result<Bytes, CatalogError> {
        let mut out = BytesMut::with_capacity(HEAD_BYTES + 64 * self.instruments.len());
        out.put_u32_le(FORMAT);
        out.put_u32_le(self.bucket_size);
        out.put_u64_le(self.epoch);
        out.put_u32_le(self.len());
        out.put_u32_le(self.feed_len);
        for instrument in &self.instruments {
            sparse::put(&mut out, &Tick::from_definition(instrument, 0).to_words());
        }
        match out.len() {
            0..=PAYLOAD_BYTES_MAX => Ok(out.freeze()),
            bytes => Err(CatalogError::TooLong { bytes }),
        }
    }

    /// What these bytes are.
    ///
    /// # Errors
    /// If they are none, with the first thing that is wrong.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, CatalogError> {
        if bytes.remaining() < HEAD_BYTES || bytes.get_u32_le() != FORMAT {
            return Err(CatalogError::Format);
        }
        let bucket_size = bytes.get_u32_le();
        let epoch = bytes.get_u64_le();
        let count = usize::try_from(bytes.get_u32_le()).map_err(|_| CatalogError::Length)?;
        let feed_len = bytes.get_u32_le();
        if count > bytes.remaining() / INSTRUMENT_BYTES_MIN {
            return Err(CatalogError::Length);
        }
        let mut instruments = Vec::with_capacity(count);
        for _ in 0..count {
            let tick = Tick::from_words(sparse::take(&mut bytes)?);
            match tick.validate()? {
                Kind::Definition => instruments.push(tick.definition()?),
                _ => return Err(CatalogError::Format),
            }
        }
        if bytes.has_remaining() {
            return Err(CatalogError::Length);
        }
        Self::new(epoch, bucket_size, instruments, feed_len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::{Channel, Symbol};

    use super::*;

    fn instruments(count: u32) -> Vec<Instrument> {
        let instrument = |id| Instrument {
            id,
            symbol: Symbol::new(&format!("C{id}")).unwrap(),
            base_len: 0,
            price_exponent: -2,
            quantity_exponent: 0,
            tick_size: 1,
            lot_size: 0,
            channels: Channel::Trade.bit(),
        };
        (0..count).map(instrument).collect()
    }

    fn catalog(bucket_size: u32, count: u32, feed_len: u32) -> Catalog {
        Catalog::new(0xE, bucket_size, instruments(count), feed_len).unwrap()
    }

    #[test]
    fn instruments_of_clients_begin_a_bucket() {
        let catalog = catalog(4, 11, 6);
        let clients = CLIENTS_BUCKET_FIRST;
        assert!(catalog.buckets().eq([0, 1, clients, clients + 1]));
        let ids = |bucket| catalog.instruments_of(bucket);
        assert_eq!([ids(0), ids(1), ids(2)], [0..4, 4..6, 6..6]);
        assert_eq!([ids(clients), ids(clients + 1), ids(u32::MAX)], [6..10, 10..11, 11..11]);
        assert_eq!(catalog.writer_of(5), WriterKind::Feed);
        assert_eq!(catalog.writer_of(6), WriterKind::Clients);
    }

    #[test]
    fn says_what_is_wrong() {
        let bytes = catalog(4, 2, 1).encode().unwrap().to_vec();
        let broken = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            Catalog::decode(&bytes).unwrap_err()
        };
        assert_eq!(broken(&|b| b[0] += 1), CatalogError::Format);
        assert_eq!(broken(&|b| b[4] = 0), CatalogError::Bucket);
        assert_eq!(broken(&|b| b[19] = 9), CatalogError::Length);
        assert_eq!(broken(&|b| b[20] = 3), CatalogError::Length);
        assert_eq!(broken(&|b| b.push(0)), CatalogError::Length);
        let twice = vec![instruments(1)[0]; 2];
        let id = CatalogError::Id { position: 1, id: 0 };
        assert_eq!(Catalog::new(1, 1, twice, 0), Err(id));
        let long = catalog(16, 30_000, 0).encode();
        assert!(matches!(long, Err(CatalogError::TooLong { .. })));
        assert!(catalog(16, 15_000, 15_000).encode().is_ok());
    }

    proptest! {
        #[test]
        fn survives_its_bytes(bucket_size in 1u32..40, count in 0u32..100, feed in 0u32..101) {
            let catalog = catalog(bucket_size, count, feed.min(count));
            let bytes = catalog.encode().unwrap();
            prop_assert_eq!(Catalog::decode(&bytes), Ok(catalog));
        }

        #[test]
        fn every_instrument_is_in_its_bucket(size in 1u32..40, count in 0u32..100, feed in 0u32..101) {
            let catalog = catalog(size, count, feed.min(count));
            let mut all = Vec::new();
            for bucket in catalog.buckets() {
                let ids = catalog.instruments_of(bucket);
                prop_assert!(!ids.is_empty());
                for id in ids {
                    prop_assert_eq!(catalog.bucket_of(id), bucket);
                    prop_assert_eq!(catalog.writer_of(id), WriterKind::of_bucket(bucket));
                    all.push(id);
                }
            }
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_panic(at in 0usize..200, byte: u8, cut in 0usize..200) {
            let mut bytes = catalog(4, 3, 2).encode().unwrap().to_vec();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            let _ = Catalog::decode(&bytes);
        }
    }
}
