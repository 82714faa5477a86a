//! UTF-8 that arrives in pieces.

/// Checks text whose pieces may end in the middle of a character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Utf8Check {
    /// The bytes of a character that is not complete.
    open: [u8; 3],
    open_bytes: u8,
}

/// The text is not UTF-8, whatever may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

impl Utf8Check {
    /// Takes the next piece.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while self.open_bytes > 0 {
            let Some((byte, rest)) = piece.split_first() else { return Ok(()) };
            let open = usize::from(self.open_bytes);
            let mut character = [0; 4];
            character[..open].copy_from_slice(&self.open[..open]);
            character[open] = *byte;
            piece = rest;
            match std::str::from_utf8(&character[..=open]) {
                Ok(_) => self.open_bytes = 0,
                // Four bytes are a character or an error, so an open one has at most three.
                Err(error) if error.error_len().is_none() && open < 3 => {
                    self.open[open] = *byte;
                    self.open_bytes += 1;
                }
                Err(_) => return Err(NotUtf8),
            }
        }
        let Err(error) = simdutf8::compat::from_utf8(piece) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(NotUtf8);
        }
        let tail = &piece[error.valid_up_to()..];
        self.open[..tail.len()].copy_from_slice(tail);
        self.open_bytes = u8::try_from(tail.len()).map_err(|_| NotUtf8)?;
        Ok(())
    }

    /// Whether the text may end here.
    pub(crate) const fn is_complete(&self) -> bool {
        self.open_bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_a_text_anywhere_changes_no_verdict() {
        let texts: [&[u8]; 7] = [
            "plain".as_bytes(),
            "κόσμε 漢字 🙂".as_bytes(),
            &[0xF4, 0x8F, 0xBF, 0xBF],
            &[0xF4, 0x90, 0x80, 0x80],
            &[0xED, 0xA0, 0x80],
            &[0xC0, 0xAF],
            &[0x61, 0xE2, 0x82],
        ];
        for text in texts {
            let expected = std::str::from_utf8(text).is_ok();
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let mut check = Utf8Check::default();
                    let verdict = [&text[..first], &text[first..second], &text[second..]]
                        .into_iter()
                        .try_for_each(|piece| check.push(piece));
                    assert_eq!(verdict.is_ok() && check.is_complete(), expected, "{text:02x?}");
                }
            }
        }
    }
}
