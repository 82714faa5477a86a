//! Mutations of a corpus from a seed: bytes that are changed, left out, doubled, exchanged, and joined with those of
//! another input.

use crate::random::Random;

/// No input grows beyond this.
const BYTES_MAX: usize = 4096;

/// Numbers at which code changes its mind.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// See the module's header.
pub(crate) struct Mutation<'a> {
    random: Random,
    corpus: &'a [(String, Vec<u8>)],
    bytes: Vec<u8>,
}

impl<'a> Mutation<'a> {
    pub(crate) fn new(seed: u64, corpus: &'a [(String, Vec<u8>)]) -> Self {
        Self { random: Random::new(seed), corpus, bytes: Vec::new() }
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> &[u8] {
        // Several in a row on the same input, then another.
        if self.bytes.is_empty() || self.random.chance(25) {
            self.bytes.clone_from(&self.random.pick(self.corpus).1);
        }
        for _ in 0..self.random.range(1, 4) {
            self.step();
        }
        self.bytes.truncate(BYTES_MAX);
        &self.bytes
    }

    fn step(&mut self) {
        let Self { random, corpus, bytes } = self;
        let from = place(random, bytes.len());
        let to = from + place(random, (bytes.len() - from).min(64));
        match random.below(8) {
            0 if from < bytes.len() => bytes[from] ^= 1 << random.below(8),
            1 if from < bytes.len() => bytes[from] = random.next().to_le_bytes()[0],
            2 => drop(bytes.drain(from..to)),
            3 => {
                let doubled = bytes[from..to].to_vec();
                bytes.splice(from..from, doubled);
            }
            4 => {
                let edge = random.pick(&EDGES).to_le_bytes();
                let length = 1 << random.below(4);
                let end = (from + length).min(bytes.len());
                bytes.splice(from..end, edge[..length].iter().copied());
            }
            5 => {
                let other = &random.pick(corpus).1;
                let begin = place(random, other.len());
                let end = begin + place(random, (other.len() - begin).min(256));
                bytes.splice(from..to, other[begin..end].iter().copied());
            }
            6 => bytes.insert(from, random.next().to_le_bytes()[0]),
            _ => bytes.truncate(from.max(1)),
        }
    }
}

/// A place in something of this length, its end included.
fn place(random: &mut Random, length: usize) -> usize {
    usize::try_from(random.below(length as u64 + 1)).expect("less than a length")
}
