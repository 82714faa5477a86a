//! Rings between processes: feeds that are killed, files that are replaced, cut, garbled.
//!
//! Other processes are this test binary again, started by [`role::start`] with a role to play in its
//! environment.

#![cfg(not(loom))]

mod cut;
mod garbage;
mod lives;
mod role;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tickcast_ring::{Record, Shape};

const SHAPE: Shape = Shape { capacity: 1024, images: 2, image_words: 100 };

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place for a ring that goes away with the directory; in shared memory, where rings live.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = directory.path().join("ring");
    (directory, path)
}

/// A record from whose every word its position can be told.
fn record(position: u64) -> Record {
    std::array::from_fn(|word| position.wrapping_mul(31) ^ (word as u64) << 56)
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The words of an image that can be recognised as whole.
fn image(position: u64) -> Vec<u64> {
    vec![position; usize::try_from(position % 101).unwrap()]
}
