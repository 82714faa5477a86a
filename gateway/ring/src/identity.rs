//! What a ring's file says it is: the first bytes of it.
//!
//! They are written and read with file operations, never through the mapping: a file is checked before
//! it is mapped, and what was checked is kept in this process, where nobody changes it.

use crate::shape::Shape;
use crate::slot::RECORD_WORDS;

/// Bytes of an identity at the start of the file.
pub(crate) const IDENTITY_BYTES: usize = 64;

/// "TICKRING" in a little-endian word; another byte order reads something else and is refused.
const MAGIC: u64 = u64::from_le_bytes(*b"TICKRING");

/// Counted up with every change of layout or protocol of the shared memory.
pub(crate) const LAYOUT_VERSION: u64 = 1;

/// The shape is as found, yet to be checked by [`Shape::layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) shape: Shape,
    pub(crate) epoch: u64,
}

/// Why bytes are no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityError {
    Magic,
    Version(u64),
    RecordWords(u64),
    /// A number does not fit this machine's sizes.
    Number(u64),
}

impl Identity {
    pub(crate) fn encode(&self) -> [u8; IDENTITY_BYTES] {
        let words = [
            MAGIC,
            LAYOUT_VERSION,
            self.shape.capacity as u64,
            RECORD_WORDS as u64,
            self.shape.images as u64,
            self.shape.image_words as u64,
            self.epoch,
            0,
        ];
        let mut bytes = [0; IDENTITY_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Reads an identity; the shape in it is yet to be checked.
    pub(crate) fn decode(bytes: &[u8; IDENTITY_BYTES]) -> Result<Self, IdentityError> {
        let mut words = [0; IDENTITY_BYTES / 8];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes(chunk.try_into().expect("chunks of eight"));
        }
        let [magic, version, capacity, record_words, images, image_words, epoch, _] = words;
        if magic != MAGIC {
            return Err(IdentityError::Magic);
        }
        if version != LAYOUT_VERSION {
            return Err(IdentityError::Version(version));
        }
        if record_words != RECORD_WORDS as u64 {
            return Err(IdentityError::RecordWords(record_words));
        }
        let size = |word: u64| usize::try_from(word).map_err(|_| IdentityError::Number(word));
        let shape = Shape {
            capacity: size(capacity)?,
            images: size(images)?,
            image_words: size(image_words)?,
        };
        Ok(Self { shape, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_bytes_and_nothing_else_is_one() {
        let shape = Shape { capacity: 64, images: 5, image_words: 100 };
        let identity = Identity { shape, epoch: 42 };
        let bytes = identity.encode();
        assert_eq!(Identity::decode(&bytes), Ok(identity));
        let with = |at: usize, value: u8| {
            let mut changed = bytes;
            changed[at] = value;
            Identity::decode(&changed)
        };
        assert_eq!(with(0, b'X'), Err(IdentityError::Magic));
        assert_eq!(with(8, 9), Err(IdentityError::Version(9)));
        assert_eq!(with(24, 16), Err(IdentityError::RecordWords(16)));
    }
}
