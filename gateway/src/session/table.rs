//! Where a shard's sessions are: numbered slots, each with the generation of its use.
//!
//! In blocks that never move, so that the table grows without a pause to copy it and without spare
//! room of its own size.

use sys::Token;

/// Slots in a block: 64 × some 100 bytes.
const BLOCK: usize = 64;

/// Values in numbered slots.
#[derive(Debug)]
pub(crate) struct Table<T> {
    blocks: Vec<Box<[Slot<T>]>>,
    free: Vec<u32>,
    used: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { blocks: Vec::new(), free: Vec::new(), used: 0 }
    }

    /// Puts a value into a free slot.
    pub(crate) fn insert(&mut self, value: T) -> Token {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.grow(),
        };
        let entry = self.entry_mut(slot).expect("free slots exist");
        entry.value = Some(value);
        let generation = entry.generation;
        self.used += 1;
        Token { slot, generation }
    }

    /// Takes the value out of a slot; the slot's generation ends.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let entry = self.entry_mut(slot)?;
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        self.used -= 1;
        Some(value)
    }

    /// The value in a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let index = slot as usize;
        self.blocks.get(index / BLOCK)?[index % BLOCK].value.as_ref()
    }

    /// The value in a slot.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.entry_mut(slot)?.value.as_mut()
    }

    /// Whether the token's use of its slot is still going on.
    pub(crate) fn is_current(&self, token: Token) -> bool {
        self.token(token.slot) == Some(token)
    }

    /// The token of a slot's present use.
    pub(crate) fn token(&self, slot: u32) -> Option<Token> {
        let index = slot as usize;
        let entry = &self.blocks.get(index / BLOCK)?[index % BLOCK];
        entry.value.as_ref().map(|_| Token { slot, generation: entry.generation })
    }

    /// How many slots have values.
    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    /// The first used slot from `from` on.
    pub(crate) fn next_used(&self, from: u32) -> Option<u32> {
        let last = u32::try_from(self.blocks.len() * BLOCK).unwrap_or(u32::MAX);
        (from..last).find(|slot| self.get(*slot).is_some())
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Slot<T>> {
        let index = slot as usize;
        Some(&mut self.blocks.get_mut(index / BLOCK)?[index % BLOCK])
    }

    fn grow(&mut self) -> u32 {
        let first = u32::try_from(self.blocks.len() * BLOCK).expect("fewer than 2^32 descriptors");
        let block = (0..BLOCK).map(|_| Slot { generation: 0, value: None });
        self.blocks.push(block.collect());
        let others = first + 1..first + u32::try_from(BLOCK).expect("a small constant");
        // The lowest comes out first.
        self.free.extend(others.rev());
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_used_again_is_another_generation() {
        let mut table = Table::new();
        let first = table.insert("first");
        assert!(table.is_current(first));
        assert_eq!(table.remove(first.slot), Some("first"));
        let second = table.insert("second");
        assert_eq!(second.slot, first.slot);
        assert!(table.is_current(second) && !table.is_current(first));
        assert_eq!(table.remove(99), None);
    }

    #[test]
    fn slots_are_dense_and_walked_in_order() {
        let mut table = Table::new();
        for value in 0..200u32 {
            assert_eq!(table.insert(value).slot, value);
        }
        table.remove(63);
        table.remove(64);
        assert_eq!((table.len(), table.next_used(63), table.next_used(200)), (198, Some(65), None));
    }
}
