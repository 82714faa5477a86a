//! The spool: what the line holds, oldest first, as blocks of items: one in memory that is being read, one in memory
//! that is being written, and those between in files.
//!
//! A queue that fits into two blocks never touches the disk. Files have no name (`O_TMPFILE`, or unlinked when they
//! are made), so that nothing is left behind however the process ends; one that was read is closed, which gives its space
//! back. It knows no clock and not what items mean.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use zerocopy::IntoBytes as _;

/// Words of a block, unless one item has more: 1 MiB, one write.
const BLOCK_WORDS: usize = 1 << 17;

/// From this length on a file gets no more blocks: what is read already occupies at most this much.
const FILE_BYTES: u64 = 64 << 20;

/// Words before those of an item.
const HEAD_WORDS: usize = 5;

/// What is known of an item without looking into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// When it was put in, by a clock of the caller's; never less than that of the item before.
    pub(super) at_ns: u64,
    /// What it is, for the caller.
    pub(super) code: u64,
    /// The epoch that it belongs to, for the caller.
    pub(super) epoch: u64,
    /// How many records it counts for.
    pub(super) records: u64,
}

/// Why an item was not taken. What is there already stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is full: {held} of {most} bytes are held (delay-spool-max)")]
    Full { held: u64, most: u64 },
    #[error("its folder {}: {error}", folder.display())]
    Disk { folder: PathBuf, error: io::Error },
}

/// Items that cannot be read again.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct Lost {
    /// How many records they counted for.
    pub(super) records: u64,
    pub(super) error: io::Error,
}

/// See the module's header.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    bytes: u64,
    records: u64,
    /// Being read, from [`Spool::at`] on.
    front: Vec<u64>,
    at: usize,
    stored: VecDeque<Stored>,
    /// Being written.
    back: Vec<u64>,
    back_records: u64,
}

/// A file of blocks.
#[derive(Debug)]
struct Stored {
    file: File,
    written: u64,
    read: u64,
    /// Words and records of each block that is not read yet.
    blocks: VecDeque<(usize, u64)>,
}

impl Spool {
    /// An empty one whose files lie in this folder.
    ///
    /// # Errors
    /// If no file can be made there.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        tempfile::tempfile_in(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            bytes_max,
            bytes: 0,
            records: 0,
            front: Vec::new(),
            at: 0,
            stored: VecDeque::new(),
            back: Vec::new(),
            back_records: 0,
        })
    }

    /// Bytes of all items that are held.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records that all items count for.
    pub(super) const fn records(&self) -> u64 {
        self.records
    }

    /// Whether so little room is left that it had better be waited for.
    pub(super) const fn is_nearly_full(&self) -> bool {
        self.bytes > self.bytes_max - self.bytes_max / 16
    }

    /// When the oldest item was put in, if it is in memory.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        self.front.get(self.at).copied()
    }

    /// Puts an item at the end.
    ///
    /// # Errors
    /// If there is no room for it. Nothing has changed then.
    pub(super) fn push(&mut self, head: Head, words: &[u64]) -> Result<(), Refused> {
        let len = HEAD_WORDS + words.len();
        let held = self.bytes + bytes(len);
        if held > self.bytes_max {
            return Err(Refused::Full { held: self.bytes, most: self.bytes_max });
        }
        if !self.back.is_empty() && self.back.len() + len > BLOCK_WORDS {
            self.store().map_err(|error| Refused::Disk { folder: self.folder.clone(), error })?;
        }
        let Head { at_ns, code, epoch, records } = head;
        self.back.extend_from_slice(&[at_ns, code, epoch, records, words.len() as u64]);
        self.back.extend_from_slice(words);
        self.back_records += records;
        self.records += records;
        self.bytes = held;
        Ok(())
    }

    /// The oldest item's head.
    ///
    /// # Errors
    /// If it cannot be read. The items of its block are gone then; behind them it goes on.
    pub(super) fn peek(&mut self) -> Result<Option<Head>, Lost> {
        if self.at == self.front.len() {
            self.load()?;
        }
        let head = self.front[self.at..].first_chunk::<HEAD_WORDS>();
        Ok(head.map(|&[at_ns, code, epoch, records, _]| Head { at_ns, code, epoch, records }))
    }

    /// Takes the item whose head [`Spool::peek`] has given: its words.
    pub(super) fn take(&mut self) -> &[u64] {
        let Some(&[_, _, _, records, words]) = self.front[self.at..].first_chunk::<HEAD_WORDS>()
        else {
            return &[];
        };
        let begin = self.at + HEAD_WORDS;
        let words = usize::try_from(words).unwrap_or(usize::MAX);
        let end = begin.saturating_add(words).min(self.front.len());
        self.bytes -= bytes(end - self.at);
        self.records -= records;
        self.at = end;
        &self.front[begin..end]
    }

    /// Writes the back block behind the others.
    fn store(&mut self) -> io::Result<()> {
        if self.stored.is_empty() && self.at == self.front.len() {
            self.turn();
            return Ok(());
        }
        if self.stored.back().is_none_or(|stored| stored.written >= FILE_BYTES) {
            let file = tempfile::tempfile_in(&self.folder)?;
            self.stored.push_back(Stored { file, written: 0, read: 0, blocks: VecDeque::new() });
        }
        let Some(stored) = self.stored.back_mut() else { return Ok(()) };
        stored.file.write_all_at(self.back.as_bytes(), stored.written)?;
        stored.written += bytes(self.back.len());
        stored.blocks.push_back((self.back.len(), self.back_records));
        self.back.clear();
        self.back_records = 0;
        Ok(())
    }

    /// Makes the oldest block the front one.
    fn load(&mut self) -> Result<(), Lost> {
        while self.stored.front().is_some_and(|stored| stored.blocks.is_empty()) {
            self.stored.pop_front();
        }
        let Some(stored) = self.stored.front_mut() else {
            self.turn();
            return Ok(());
        };
        let (words, records) = stored.blocks.pop_front().unwrap_or_default();
        let offset = stored.read;
        stored.read += bytes(words);
        self.front.resize(words, 0);
        self.at = 0;
        stored.file.read_exact_at(self.front.as_mut_bytes(), offset).map_err(|error| {
            self.front.clear();
            self.bytes -= bytes(words);
            self.records -= records;
            Lost { records, error }
        })
    }

    /// Makes the back block the front one, which was read.
    fn turn(&mut self) {
        std::mem::swap(&mut self.front, &mut self.back);
        self.at = 0;
        self.back.clear();
        self.back_records = 0;
    }
}

const fn bytes(words: usize) -> u64 {
    (words * size_of::<u64>()) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANY: u64 = 1 << 40;

    fn spool(folder: &Path, bytes_max: u64) -> Spool {
        Spool::open(folder, bytes_max).unwrap()
    }

    fn pop(spool: &mut Spool) -> Option<(u64, Vec<u64>)> {
        let head = spool.peek().unwrap()?;
        Some((head.at_ns, spool.take().to_vec()))
    }

    /// An item that counts for one record.
    const fn head(at_ns: u64) -> Head {
        Head { at_ns, code: 7, epoch: 8, records: 1 }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Pop(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let length = prop_oneof![Just(0), 1_usize..40_000, Just(BLOCK_WORDS + 5)];
        let step = prop_oneof![length.prop_map(Step::Push), (0_usize..20).prop_map(Step::Pop)];
        prop::collection::vec(step, 0..150)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_goes_in_comes_out_in_order_and_only_once(steps in steps()) {
            let folder = tempfile::tempdir().unwrap();
            let mut spool = spool(folder.path(), ANY);
            let mut model = VecDeque::new();
            let mut number = 0;
            for step in steps {
                match step {
                    Step::Push(len) => {
                        number += 1;
                        let words = vec![number; len];
                        spool.push(head(number), &words).unwrap();
                        model.push_back((number, words));
                    }
                    Step::Pop(count) => {
                        for _ in 0..count {
                            prop_assert_eq!(pop(&mut spool), model.pop_front());
                        }
                    }
                }
                let held: usize = model.iter().map(|(_, words)| HEAD_WORDS + words.len()).sum();
                prop_assert_eq!(spool.bytes(), bytes(held));
                prop_assert_eq!(spool.records(), model.len() as u64);
                // Two blocks lie in memory; a file goes when it was read.
                let stored: u64 = spool.stored.iter().map(|stored| stored.written).sum();
                prop_assert!(stored <= spool.bytes() + FILE_BYTES + 2 * bytes(BLOCK_WORDS + 16));
            }
            while let Some(next) = pop(&mut spool) {
                prop_assert_eq!(Some(next), model.pop_front());
            }
            prop_assert!(model.is_empty() && spool.bytes() == 0 && spool.stored.is_empty());
            prop_assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "no names");
        }
    }

    #[test]
    fn files_are_closed_once_they_were_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(folder.path(), ANY);
        let words = vec![1; BLOCK_WORDS - HEAD_WORDS];
        for at in 0..200 {
            spool.push(head(at), &words).unwrap();
        }
        let files = spool.stored.len();
        assert!((3..=4).contains(&files), "{files} files of 64 blocks");
        (0..120).for_each(|at| assert_eq!(pop(&mut spool).unwrap().0, at));
        assert!(spool.stored.len() < files);
        (120..200).for_each(|at| assert_eq!(pop(&mut spool).unwrap().0, at));
        assert!(spool.peek().unwrap().is_none() && spool.stored.is_empty());
    }

    #[test]
    fn a_full_one_takes_nothing_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(folder.path(), bytes(3 * (HEAD_WORDS + 10)));
        for at in 0..3 {
            spool.push(head(at), &[at; 10]).unwrap();
        }
        let refused = spool.push(head(3), &[3; 10]).unwrap_err();
        assert!(matches!(refused, Refused::Full { .. }), "{refused}");
        assert_eq!(pop(&mut spool).unwrap(), (0, vec![0; 10]));
        spool.push(head(4), &[4; 10]).unwrap();
        let rest: Vec<u64> = std::iter::from_fn(|| pop(&mut spool)).map(|(at, _)| at).collect();
        assert_eq!(rest, [1, 2, 4]);
    }

    #[test]
    fn a_disk_that_fails_costs_what_it_does_not_give_back_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(&folder.path().join("."), ANY);
        let words = vec![1; BLOCK_WORDS - HEAD_WORDS];
        for at in 0..4 {
            spool.push(head(at), &words).unwrap();
        }
        assert_eq!(pop(&mut spool).unwrap().0, 0);
        // Of blocks 1, 2 and 3 the last is in memory.
        spool.stored[0].file.set_len(bytes(BLOCK_WORDS)).unwrap();
        assert_eq!(pop(&mut spool).unwrap().0, 1);
        let lost = spool.peek().unwrap_err();
        assert_eq!(lost.records, 1);
        assert_eq!(pop(&mut spool).unwrap().0, 3);
        assert_eq!((spool.bytes(), spool.records()), (0, 0));

        // No file can be made where there is no folder.
        drop(folder);
        for at in 0..2 {
            spool.push(head(at), &words).unwrap();
        }
        let refused = spool.push(head(2), &words).unwrap_err();
        assert!(matches!(refused, Refused::Disk { .. }), "{refused}");
        assert_eq!(pop(&mut spool).unwrap().0, 0);
        assert_eq!(pop(&mut spool).unwrap().0, 1);
        assert!(Spool::open(Path::new("/proc/self/none"), ANY).is_err());
    }
}
