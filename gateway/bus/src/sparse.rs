//! Ticks' words with the zeros left out: most words of most ticks are zero.
//!
//! A u16 in which bit i is set if word i is not zero, then those words, little-endian. A quote is
//! 74 bytes instead of 120, a definition some 60.

use bytes::{Buf, BufMut, BytesMut};
use wire::TICK_WORDS;

/// Why bytes are not a tick's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SparseError {
    /// They end in the middle.
    #[error("a tick ends in the middle")]
    Truncated,
    /// A word announced as not zero is zero, or there are more words than a tick has.
    #[error("a tick's words are not as its bitmap says")]
    Bitmap,
}

/// Appends the words that are not zero, and which they are.
pub(crate) fn put(out: &mut BytesMut, words: &[u64; TICK_WORDS]) {
    let mut bitmap = 0u16;
    for (i, word) in words.iter().enumerate() {
        bitmap |= u16::from(*word != 0) << i;
    }
    out.put_u16_le(bitmap);
    for word in words.iter().filter(|word| **word != 0) {
        out.put_u64_le(*word);
    }
}

/// How many bytes these words take.
pub(crate) fn len(words: &[u64; TICK_WORDS]) -> usize {
    2 + 8 * words.iter().filter(|word| **word != 0).count()
}

/// Takes them from the front. There is one way to write a tick: any other is refused.
pub(crate) fn take(bytes: &mut &[u8]) -> Result<[u64; TICK_WORDS], SparseError> {
    let bitmap = bytes.try_get_u16_le().map_err(|_| SparseError::Truncated)?;
    if bitmap >> TICK_WORDS != 0 {
        return Err(SparseError::Bitmap);
    }
    let mut words = [0; TICK_WORDS];
    for (i, word) in words.iter_mut().enumerate() {
        if bitmap >> i & 1 == 1 {
            *word = bytes.try_get_u64_le().map_err(|_| SparseError::Truncated)?;
            if *word == 0 {
                return Err(SparseError::Bitmap);
            }
        }
    }
    Ok(words)
}
