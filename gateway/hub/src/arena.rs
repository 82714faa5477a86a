//! A ring of bytes in which encoded entries lie until newer ones overwrite them.
//!
//! Positions only ever grow, so that a position says by itself whether its bytes are still there.
//! There is one arena per encoding; who finds its bytes gone encodes again. The memory is reserved
//! at the first write, not before: a shard without JSON clients has no JSON arena.

/// Bytes of one encoding.
#[derive(Debug)]
pub(crate) struct Arena {
    bytes: Vec<u8>,
    /// A power of two.
    capacity: usize,
    /// Where the next bytes go; an index after masking.
    head: u64,
}

impl Arena {
    /// # Panics
    /// If the capacity is not a power of two.
    pub(crate) fn new(capacity: usize) -> Self {
        assert!(capacity.is_power_of_two(), "arena of {capacity} bytes");
        Self { bytes: Vec::new(), capacity, head: 0 }
    }

    fn index(&self, at: u64) -> usize {
        usize::try_from(at & (self.capacity as u64 - 1)).expect("below the capacity")
    }

    /// Copies the bytes in, contiguously, over the oldest ones. `None` if they could never fit.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Option<u64> {
        if bytes.len() > self.capacity {
            return None;
        }
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(self.capacity);
        }
        let room = self.capacity - self.index(self.head);
        if room < bytes.len() {
            // What is left before the end is too short: leave it, start over at the front.
            self.head += room as u64;
        }
        let (at, start) = (self.head, self.index(self.head));
        let end = start + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        self.head += bytes.len() as u64;
        Some(at)
    }

    /// Whether bytes at this position lie at the front: not behind those before them.
    pub(crate) const fn is_front(&self, at: u64) -> bool {
        at & (self.capacity as u64 - 1) == 0
    }

    /// The `len` bytes written at `at`, if nothing has overwritten them.
    pub(crate) fn read(&self, at: u64, len: u32) -> Option<&[u8]> {
        if at >= self.head || self.head - at > self.capacity as u64 {
            return None;
        }
        let start = self.index(at);
        self.bytes.get(start..start + len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_until_the_ring_comes_round() {
        let mut arena = Arena::new(64);
        let first = arena.write(&[1; 40]).unwrap();
        assert_eq!(arena.read(first, 40), Some(&[1; 40][..]));
        // 24 bytes are left before the end: these 30 go to the front, over the first ones.
        let second = arena.write(&[2; 30]).unwrap();
        assert_eq!(arena.read(first, 40), None);
        assert_eq!(arena.read(second, 30), Some(&[2; 30][..]));
        assert_eq!(arena.write(&[3; 65]), None);
    }

    #[test]
    fn every_write_reads_back_and_stale_ones_never_do() {
        let mut arena = Arena::new(256);
        let mut written: Vec<(u64, Vec<u8>)> = Vec::new();
        for round in 0..2000u32 {
            let bytes = vec![u8::try_from(round % 251).unwrap(); (round as usize * 7) % 90 + 1];
            written.push((arena.write(&bytes).unwrap(), bytes));
            for (at, bytes) in written.iter().rev().take(300) {
                let len = u32::try_from(bytes.len()).unwrap();
                if let Some(read) = arena.read(*at, len) {
                    assert_eq!(read, bytes, "round {round}");
                }
            }
            let (at, bytes) = written.last().unwrap();
            assert!(arena.read(*at, u32::try_from(bytes.len()).unwrap()).is_some());
        }
    }
}
