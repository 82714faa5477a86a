//! Files that are no rings, and rings into which somebody writes whatever comes to mind.
//!
//! The rule: never a panic, an endless loop or a look outside of the mapping; and what is given out as
//! a record or an image is no larger than asked for.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tickcast_ring::{OpenError, Parked, Publisher, Ring, Shape, ShapeError, Start, State, Wake};

use crate::{SHAPE, place, record};

const SMALL: Shape = Shape { capacity: 8, images: 2, image_words: 5 };

fn write_word(path: &Path, offset: u64, word: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&word.to_ne_bytes(), offset).unwrap();
}

fn open_error(path: &Path) -> OpenError {
    Ring::open(path).expect_err("it is not a ring")
}

#[test]
fn each_thing_that_can_be_wrong_with_a_file_has_its_error() {
    let (directory, path) = place();
    assert_eq!(open_error(&path), OpenError::Io(ErrorKind::NotFound));
    assert_eq!(open_error(directory.path()), OpenError::NotAFile);
    fs::write(&path, "TICKRING").unwrap();
    assert_eq!(open_error(&path), OpenError::TooShort(8));
    fs::write(&path, vec![0; 100_000]).unwrap();
    assert_eq!(open_error(&path), OpenError::Magic);

    let with = |offset, word| {
        drop(Ring::create(&path, SHAPE, 1).unwrap());
        write_word(&path, offset, word);
        open_error(&path)
    };
    let expected = fs::metadata(&path).map(|_| 4096 + 1024 * 128 + 2 * 208 * 8).unwrap();
    assert_eq!(with(0, 1), OpenError::Magic);
    assert_eq!(with(8, 2), OpenError::Version(2));
    assert_eq!(with(16, 1000), OpenError::Shape(ShapeError::Capacity(1000)));
    assert_eq!(
        with(16, 2048),
        OpenError::Size { expected: expected + 1024 * 128, found: expected }
    );
    assert_eq!(with(24, 14), OpenError::RecordWords(14));
    assert_eq!(with(32, 1 << 60), OpenError::Shape(ShapeError::Images(1 << 60)));
    assert_eq!(with(40, u64::MAX), OpenError::Shape(ShapeError::ImageWords(usize::MAX)));

    let (_publisher, _) = Ring::create(&path, SHAPE, 1).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for found in [expected - 1, expected + 1] {
        file.set_len(found).unwrap();
        assert_eq!(open_error(&path), OpenError::Size { expected, found });
    }
    file.set_len(expected).unwrap();
    assert_eq!(Ring::open(&path).unwrap().epoch(), 1);
}

#[test]
fn a_fifo_is_refused_and_does_not_make_us_wait() {
    let (_directory, path) = place();
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the name ends with a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert_eq!(open_error(&path), OpenError::NotAFile);
}

#[test]
fn a_slot_that_jumps_ahead_of_the_head_poisons_the_ring() {
    let (_directory, path) = place();
    let (mut publisher, _) = Ring::create(&path, SMALL, 1).unwrap();
    publisher.publish(&record(0));
    let ring = Ring::open(&path).unwrap();
    let mut reader = ring.reader(Start::At(0));
    write_word(&path, 4096 + 120, 2 * 8_000_000 + 2);
    let read = reader.read(&mut Vec::new(), 10);
    assert_eq!((read.records, read.lost, reader.position()), (0, 0, 0));
    assert_eq!(ring.state(), State::Poisoned);
}

#[test]
fn a_head_without_its_records_poisons_the_ring_instead_of_keeping_a_reader_awake() {
    let (_directory, path) = place();
    let (mut publisher, _) = Ring::create(&path, SMALL, 1).unwrap();
    publisher.publish(&record(0));
    let ring = Ring::open(&path).unwrap();
    let reader = ring.reader(Start::Head);
    let slot = ring.register(Arc::new(Nobody));
    assert_eq!(slot.prepare(&reader), Parked::Parked);
    write_word(&path, 128, u64::MAX);
    assert_eq!(slot.prepare(&reader), Parked::DataReady);
    assert_eq!(ring.state(), State::Poisoned);
    assert_eq!(slot.prepare(&reader), Parked::Parked);
}

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

/// Does everything that can be done with a ring.
fn use_everything(publisher: Option<&mut Publisher>, ring: &Ring) {
    let slot = ring.register(Arc::new(Nobody));
    let mut out = Vec::new();
    for start in [Start::Oldest, Start::Head, Start::At(0), Start::At(3), Start::At(u64::MAX)] {
        let mut reader = ring.reader(start);
        for _ in 0..20 {
            let before = reader.position();
            let read = reader.read(&mut out, 5);
            assert!(read.records == out.len() && read.records <= 5);
            assert_eq!(reader.position(), before + read.lost + read.records as u64);
            let _ = (reader.lag(), slot.prepare(&reader), ring.oldest(), ring.head());
        }
        reader.seek(ring.oldest());
    }
    let mut words = Vec::new();
    for image in 0..=ring.images().min(3) {
        ring.read_image(image, &mut words);
        assert!(words.len() <= 10_000);
    }
    let _ = (ring.state(), ring.heartbeat_ns(), ring.is_replaced());
    if let Some(publisher) = publisher {
        let position = publisher.position();
        assert_eq!(publisher.publish(&record(position)), position);
        publisher.write_image(1, &[1, 2, 3]).unwrap();
        publisher.wake();
    }
}

/// Words that are more likely to hurt than random ones.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..40_u64,
        (0..64_u32).prop_map(|bit| 1 << bit),
        (0..40_u64).prop_map(|less| u64::MAX - less),
        (0..64_u32, 0..9_u64).prop_map(|(bit, less)| (1_u64 << bit).wrapping_sub(less)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_garbled_identity_is_refused_or_harmless(
        words in prop::collection::vec((0..8_u64, word()), 1..4),
        length in prop::option::of(0..20_000_u64),
    ) {
        let (_directory, path) = place();
        let (_publisher, _) = Ring::create(&path, SMALL, 1).unwrap();
        for (index, word) in words {
            write_word(&path, 8 * index, word);
        }
        if let Some(length) = length {
            OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        }
        if let Ok(ring) = Ring::open(&path) {
            prop_assert!(ring.capacity() <= 256, "larger than its file");
            use_everything(None, &ring);
        }
    }

    #[test]
    fn a_file_of_any_bytes_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..10_000)) {
        let (_directory, path) = place();
        fs::write(&path, bytes).unwrap();
        prop_assert!(Ring::open(&path).is_err());
    }

    #[test]
    fn garbage_in_a_mapped_ring_is_harmless(
        published in 0..30_u64,
        words in prop::collection::vec((0..900_u64, word()), 1..20),
        heads in prop::collection::vec(word(), 0..3),
    ) {
        let (_directory, path) = place();
        let (mut publisher, _) = Ring::create(&path, SMALL, 1).unwrap();
        let ring = Ring::open(&path).unwrap();
        for position in 0..published {
            publisher.publish(&record(position));
            publisher.write_image(0, &[position; 3]).unwrap();
        }
        let file: File = OpenOptions::new().write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        for (index, word) in words {
            let offset = 8 * index % length;
            file.write_all_at(&word.to_ne_bytes(), offset).unwrap();
        }
        use_everything(Some(&mut publisher), &ring);
        for head in heads {
            file.write_all_at(&head.to_ne_bytes(), 128).unwrap();
            use_everything(Some(&mut publisher), &ring);
        }
        prop_assert_eq!(ring.capacity(), SMALL.capacity);
        prop_assert_eq!(ring.epoch(), 1);
    }
}
