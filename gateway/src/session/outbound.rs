//! What a client has been promised and the kernel has not taken: the rest of a frame that was sent in
//! part, and small frames behind it (replies, pongs, a close).
//!
//! Market data never waits here: its place is the log. An idle connection has nothing here, and
//! nothing allocated.

/// Bytes to be sent before anything else, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    kept: Option<Box<Kept>>,
}

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbound {
    /// Keeps bytes behind those that are there.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.kept.as_mut() {
            Some(kept) => {
                kept.bytes.drain(..kept.sent);
                kept.sent = 0;
                kept.bytes.extend_from_slice(bytes);
            }
            None => self.kept = Some(Box::new(Kept { bytes: bytes.to_vec(), sent: 0 })),
        }
    }

    /// What is to be sent next.
    pub(crate) fn pending(&self) -> &[u8] {
        self.kept.as_ref().map_or(&[], |kept| &kept.bytes[kept.sent..])
    }

    /// Forgets bytes that have been sent; with the last of them, the memory.
    pub(crate) fn advance(&mut self, sent: usize) {
        if let Some(kept) = self.kept.as_mut() {
            kept.sent += sent;
            if kept.sent >= kept.bytes.len() {
                self.kept = None;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_none()
    }

    /// Memory that is held.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| size_of::<Kept>() + kept.bytes.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_memory_with_the_last_of_them() {
        let mut outbound = Outbound::default();
        outbound.push(b"rest of a frame");
        outbound.advance(5);
        outbound.push(b", then a pong");
        assert_eq!(outbound.pending(), b"of a frame, then a pong");
        outbound.advance(23);
        assert!(outbound.is_empty());
        assert_eq!((outbound.pending(), outbound.kept_bytes()), (&b""[..], 0));
    }
}
