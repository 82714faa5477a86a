//! A feed's life as its readers see it: begins, publishes, is killed, begins again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tickcast_ring::{
    CreateError, ParkSlot, Parked, Reader, Record, Ring, Shape, ShapeError, Start, State, Wake,
};

use crate::role::{GO, Role, start};
use crate::{PATIENCE, SHAPE, image, place, record, until};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

fn register(ring: &Ring) -> ParkSlot {
    ring.register(Arc::new(Unpark(thread::current())))
}

/// Reads a batch and checks each record; returns how many positions were passed.
fn read_checked(reader: &mut Reader, out: &mut Vec<Record>) -> u64 {
    let before = reader.position();
    let read = reader.read(out, 256);
    for (position, found) in (before + read.lost..).zip(out.iter()) {
        assert_eq!(*found, record(position), "torn or misplaced");
    }
    reader.position() - before
}

fn open_when_there(path: &std::path::Path, epoch: u64) -> Ring {
    let mut found = None;
    until("the feed makes its ring", || {
        found = Ring::open(path).ok().filter(|ring| ring.epoch() == epoch);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_feed_killed_in_mid_stream_leaves_whole_records_and_its_successor_is_seen() {
    let (_directory, path) = place();
    let mut feed = start(Role::Feed, &path, 1);
    let ring = open_when_there(&path, 1);
    let mut reader = ring.reader(Start::Oldest);
    let mut out = Vec::new();
    until("20,000 records", || {
        while read_checked(&mut reader, &mut out) > 0 {}
        reader.position() > 20_000
    });
    assert!(ring.heartbeat_ns() > 0);
    feed.kill();

    while read_checked(&mut reader, &mut out) > 0 {}
    // Killed between a slot and the head it may leave one record more than the head says.
    assert!(reader.position() - ring.head() <= 1);
    let (heartbeat_ns, head) = (ring.heartbeat_ns(), ring.head());
    let position = ring.read_image(1, &mut Vec::new()).expect("an image");
    assert!(position <= head + 1);
    thread::sleep(Duration::from_millis(20));
    assert_eq!((ring.heartbeat_ns(), ring.head()), (heartbeat_ns, head), "it is dead");
    assert_eq!(ring.state(), State::Live, "nobody closed it");
    assert!(!ring.is_replaced());

    let _feed = start(Role::Feed, &path, 2);
    until("the old ring is replaced", || ring.is_replaced());
    assert_eq!((ring.epoch(), ring.head(), ring.state()), (1, head, State::Live));
    let successor = open_when_there(&path, 2);
    let mut reader = successor.reader(Start::Oldest);
    until("1,000 records of the successor", || {
        while read_checked(&mut reader, &mut out) > 0 {}
        reader.position() > 1000
    });
    assert!(!successor.is_replaced());
}

#[test]
fn images_of_a_running_and_of_a_killed_feed_are_whole() {
    let (_directory, path) = place();
    for epoch in 1..6 {
        let mut feed = start(Role::Feed, &path, epoch);
        let ring = open_when_there(&path, epoch);
        let mut words = Vec::new();
        let mut seen = 0;
        until("images", || {
            if let Some(position) = ring.read_image(1, &mut words) {
                assert_eq!(words, image(position));
                seen += 1;
            }
            seen > 20
        });
        feed.kill();
        let position = ring.read_image(1, &mut words).expect("the last, or the one before");
        assert_eq!(words, image(position));
        assert_eq!(ring.read_image(0, &mut words), None, "nobody wrote that one");
    }
}

#[test]
fn a_waiter_wakes_the_parked_readers_of_its_process() {
    let (_directory, path) = place();
    let feed = start(Role::ShortFeed, &path, 1);
    let ring = open_when_there(&path, 1);
    let waiter = ring.spawn_waiter().unwrap();
    let asleep = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reader = ring.reader(Start::At(0));
                let slot = register(&ring);
                let mut out = Vec::new();
                let (mut passed, mut sleeps) = (0, 0);
                loop {
                    let state = ring.state();
                    let read = read_checked(&mut reader, &mut out);
                    passed += read;
                    if read == 0 && state == State::Closed {
                        break;
                    }
                    if read == 0 && slot.prepare(&reader) == Parked::Parked {
                        asleep.fetch_add(u64::from(sleeps == 0), Ordering::Relaxed);
                        let before = Instant::now();
                        thread::park_timeout(2 * PATIENCE);
                        assert!(before.elapsed() < 2 * PATIENCE, "not woken");
                        sleeps += 1;
                    }
                }
                assert_eq!(passed, 1000);
                assert!(sleeps > 0, "never slept: nothing was tried");
            });
        }
        until("both sleep", || asleep.load(Ordering::Relaxed) == 2);
        fs::write(path.with_extension(GO), "").unwrap();
    });
    let before = Instant::now();
    drop(waiter);
    assert!(before.elapsed() < PATIENCE, "the waiter does not stop");
    assert!(feed.end().success());
}

#[test]
fn records_of_a_feed_that_wakes_nobody_are_found_in_time() {
    let (_directory, path) = place();
    let _feed = start(Role::MuteFeed, &path, 1);
    let ring = open_when_there(&path, 1);
    let _waiter = ring.spawn_waiter().unwrap();
    let mut reader = ring.reader(Start::Head);
    let slot = register(&ring);
    let mut out = Vec::new();
    let before = Instant::now();
    let mut passed = 0;
    while passed < 3 {
        passed += read_checked(&mut reader, &mut out);
        if slot.prepare(&reader) == Parked::Parked {
            thread::park_timeout(PATIENCE);
        }
        assert!(before.elapsed() < PATIENCE, "not woken");
    }
}

#[test]
fn a_publisher_in_this_process_wakes_without_a_waiter() {
    let (_directory, path) = place();
    let (mut publisher, ring) = Ring::create(&path, SHAPE, 1).unwrap();
    let mut reader = ring.reader(Start::Head);
    let slot = register(&ring);
    assert_eq!(slot.prepare(&reader), Parked::Parked);
    thread::scope(|scope| {
        scope.spawn(|| {
            publisher.publish(&record(0));
            publisher.wake();
        });
        thread::park_timeout(PATIENCE);
    });
    assert_eq!(reader.read(&mut Vec::new(), 1).records, 1);
}

#[test]
fn a_ring_is_made_whole_private_and_sparse() {
    let (directory, path) = place();
    let shape = Shape { capacity: 64, images: 1000, image_words: 100_000 };
    let (mut publisher, ring) = Ring::create(&path, shape, 77).unwrap();
    assert_eq!((ring.epoch(), ring.capacity(), ring.images()), (77, 64, 1000));
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o600);
    assert!(metadata.len() > 1_000_000_000);
    publisher.write_image(999, &[5; 1000]).unwrap();
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < 200_000, "not sparse");

    let opened = Ring::open(&path).unwrap();
    let mut words = Vec::new();
    assert_eq!(opened.read_image(999, &mut words), Some(0));
    assert_eq!(words, [5; 1000]);
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "something was left behind: {names:?}");
}

#[test]
fn a_ring_that_cannot_be_made_leaves_what_was_there() {
    let (directory, path) = place();
    let (_publisher, ring) = Ring::create(&path, SHAPE, 1).unwrap();
    let shape = Shape { capacity: 3, ..SHAPE };
    let error = Ring::create(&path, shape, 2).unwrap_err();
    assert_eq!(error, CreateError::Shape(ShapeError::Capacity(3)));
    assert!(!ring.is_replaced());
    assert_eq!(Ring::create(std::path::Path::new("/"), SHAPE, 1).unwrap_err(), CreateError::Name);
    // A directory stands where the ring should be: the renaming fails, after everything else.
    let taken = directory.path().join("taken");
    fs::create_dir(&taken).unwrap();
    assert!(matches!(Ring::create(&taken, SHAPE, 1), Err(CreateError::Io(_))));
    assert!(fs::metadata(&taken).unwrap().is_dir());
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "something was left behind: {names:?}");
}

#[test]
fn a_ring_without_its_file_counts_as_replaced() {
    let (_directory, path) = place();
    let (mut publisher, ring) = Ring::create(&path, SHAPE, 1).unwrap();
    assert!(!ring.is_replaced());
    fs::remove_file(&path).unwrap();
    assert!(ring.is_replaced());
    // Those who have it go on.
    publisher.publish(&record(0));
    assert_eq!(ring.reader(Start::Oldest).read(&mut Vec::new(), 9).records, 1);
    assert_eq!(ring.state(), State::Live);
    // A heap ring has no file to lose.
    assert!(!Ring::heap(SHAPE, 1).1.is_replaced());
}
