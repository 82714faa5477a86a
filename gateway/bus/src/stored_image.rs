//! The image of an instrument as the bus keeps it: the state, and from where on the log adds to it.
//!
//! Bytes, little-endian: format u64, offset u64, then the words of [`wire::InstrumentImage`].

use bytes::{BufMut, Bytes, BytesMut};
use wire::{ImageError, InstrumentImage};

use crate::entry::Offset;

/// First word; the low byte is the format's version.
const FORMAT: u64 = 0x5449_434B_4255_5301;

/// An image and its place in the log of the instrument's bucket.
///
/// Whoever stores one keeps to this: everything in the image has been appended to the log, and
/// acknowledged, before the image is stored. A reader that reads images first and the log's end after it
/// then never sees an image that is ahead of the log, and no tick after that end is in the image already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// The image certainly has everything up to here; it may have more, which its numbers tell.
    pub offset: Offset,
    /// Last values and book.
    pub image: InstrumentImage,
}

/// Why bytes are not a stored image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredImageError {
    /// It does not begin like one, has another version, or is no sequence of words.
    #[error("not a stored image of this version")]
    Format,
    /// The image in it is none.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl StoredImage {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut words = Vec::new();
        self.image.encode(&mut words);
        let mut out = BytesMut::with_capacity(8 * (2 + words.len()));
        out.put_u64_le(FORMAT);
        out.put_u64_le(self.offset.0);
        for word in words {
            out.put_u64_le(word);
        }
        out.freeze()
    }

    /// What these bytes are.
    ///
    /// # Errors
    /// If they are none, with the first thing that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoredImageError> {
        let (chunks, []) = bytes.as_chunks::<8>() else { return Err(StoredImageError::Format) };
        let words: Vec<u64> = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
        match words.as_slice() {
            [FORMAT, offset, image @ ..] => {
                Ok(Self { offset: Offset(*offset), image: InstrumentImage::decode(image)? })
            }
            _ => Err(StoredImageError::Format),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::{Instrument, Symbol};

    use super::*;

    fn stored() -> StoredImage {
        let definition = Instrument {
            id: 3,
            symbol: Symbol::new("BTCUSDT").unwrap(),
            base_len: 3,
            price_exponent: -2,
            quantity_exponent: -5,
            tick_size: 1,
            lot_size: 1,
            channels: wire::Channel::Depth.bit(),
        };
        StoredImage {
            offset: Offset(77),
            image: InstrumentImage {
                epoch: 5,
                definition,
                presence: wire::Presence::Attached,
                last: Vec::new(),
                depth_seq: 9,
                update_id: 10,
                ts_event_ns: 11,
                bids: vec![(99, 1)],
                asks: vec![(101, 2)],
            },
        }
    }

    #[test]
    fn survives_its_bytes() {
        assert_eq!(StoredImage::decode(&stored().encode()), Ok(stored()));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in 0usize..200, byte: u8, cut in 0usize..300) {
            let mut bytes = stored().encode().to_vec();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            let _ = StoredImage::decode(&bytes);
        }
    }
}
