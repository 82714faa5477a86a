//! A ring's file is cut while it is mapped: an access behind its new end would end the process.
//!
//! That these tests end at all is half of what they show.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use tickcast_ring::{ImageTooLarge, OpenError, Parked, Ring, Shape, Start, State, Wake};

use crate::role::{HANDLED, Role, start};
use crate::{PATIENCE, SHAPE, place, record};

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

fn cut(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_reader_of_a_cut_ring_reads_nothing_and_says_so() {
    for bytes in [0, 1, 4096, 40_000] {
        let (_directory, path) = place();
        let (mut publisher, _) = Ring::create(&path, SHAPE, 1).unwrap();
        let ring = Ring::open(&path).unwrap();
        let other = Ring::open(&path).unwrap();
        for position in 0..1000 {
            publisher.publish(&record(position));
        }
        publisher.write_image(1, &[1; 100]).unwrap();
        cut(&path, bytes);

        let mut reader = ring.reader(Start::At(0));
        let mut out = Vec::new();
        let mut read = 0;
        loop {
            let now = reader.read(&mut out, 100);
            assert_eq!(now.lost, 0);
            for (position, found) in (read..).zip(&out) {
                assert_eq!(*found, record(position), "zeroes taken for a record");
            }
            read += now.records as u64;
            if now.records == 0 {
                break;
            }
        }
        assert!(read <= bytes / 128, "more than was left");
        // Cut in the middle of a page, the slot there reads as never written: who goes to sleep over
        // it is told.
        if ring.state() == State::Live {
            let slot = ring.register(Arc::new(Unpark(thread::current())));
            assert_eq!(slot.prepare(&reader), Parked::DataReady);
        }
        assert_eq!(ring.state(), State::Poisoned);
        assert_eq!((ring.epoch(), ring.capacity()), (1, SHAPE.capacity), "kept, not read again");
        assert_eq!(ring.read_image(1, &mut Vec::new()), None);
        // Running into the end has made all of it zeroes.
        assert_eq!((ring.head(), reader.lag(), ring.oldest()), (0, 0, 0));

        // The publisher's mapping is another one; it too must live on, and so must others.
        for position in 1000..3000 {
            publisher.publish(&record(position));
        }
        publisher.wake();
        publisher.heartbeat(1);
        publisher.write_image(1, &[1; 100]).unwrap();
        publisher.close();
        assert_eq!(other.read_image(1, &mut Vec::new()), None);
        assert_eq!(other.state(), State::Poisoned);
        let found = bytes;
        let error = Ring::open(&path).unwrap_err();
        match error {
            OpenError::TooShort(length) => assert!(length == found && found < 4096),
            OpenError::Size { found: length, .. } => assert_eq!(length, found),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_cut_that_nobody_runs_into_is_noticed_by_looking() {
    let (_directory, path) = place();
    let (_publisher, _) = Ring::create(&path, SHAPE, 1).unwrap();
    let ring = Ring::open(&path).unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    cut(&path, length - 1);
    assert_eq!(ring.state(), State::Live);
    assert!(!ring.is_replaced());
    assert_eq!(ring.state(), State::Poisoned);
}

#[test]
fn an_image_cut_in_the_middle_of_a_page_is_none() {
    // From the cut to the end of its page everything reads as zero, without a signal.
    let (_directory, path) = place();
    let (mut publisher, ring) = Ring::create(&path, SHAPE, 1).unwrap();
    publisher.write_image(0, &[1; 100]).unwrap();
    let images = std::fs::metadata(&path).unwrap().len() - 2 * 208 * 8;
    let mut words = Vec::new();
    for cut_words in [104, 103, 102, 60, 4, 3, 2, 1, 0] {
        cut(&path, images + 8 * cut_words);
        let is_whole = cut_words == 104;
        assert_eq!(ring.read_image(0, &mut words), is_whole.then_some(0));
        assert_eq!(words.len(), if is_whole { 100 } else { 0 });
    }
}

#[test]
fn an_image_without_room_for_its_pages_is_refused_and_the_stream_goes_on() {
    // A full file system and a cut file answer alike: the page cannot be had.
    let (_directory, path) = place();
    let shape = Shape { capacity: 8, images: 2, image_words: 10_000 };
    let (mut publisher, ring) = Ring::create(&path, shape, 1).unwrap();
    publisher.write_image(0, &[1; 100]).unwrap();
    let images = 4096 + 8 * 128;
    cut(&path, images + 2 * 10_016 * 8);
    assert_eq!(publisher.write_image(1, &[1; 2000]), Err(ImageTooLarge::Memory { words: 2000 }));
    publisher.publish(&record(0));
    publisher.write_image(0, &[2; 5000]).unwrap();
    let mut words = Vec::new();
    assert_eq!(ring.read_image(0, &mut words), Some(1));
    assert_eq!(words, [2; 5000]);
    assert_eq!(ring.reader(Start::Oldest).read(&mut Vec::new(), 9).records, 1);
    assert_eq!(ring.state(), State::Live);
}

#[test]
fn many_threads_run_into_the_end_at_once() {
    let (_directory, path) = place();
    let (mut publisher, _) = Ring::create(&path, SHAPE, 1).unwrap();
    let ring = Ring::open(&path).unwrap();
    for position in 0..1000 {
        publisher.publish(&record(position));
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut out = Vec::new();
                let mut words = Vec::new();
                while ring.state() == State::Live {
                    let mut reader = ring.reader(Start::At(0));
                    while reader.read(&mut out, 64).records > 0 {
                        let first = reader.position() - out.len() as u64;
                        for (position, found) in (first..).zip(&out) {
                            assert_eq!(*found, record(position), "zeroes taken for a record");
                        }
                    }
                    assert_eq!(ring.read_image(0, &mut words), None);
                }
            });
        }
        scope.spawn(|| {
            thread::sleep(std::time::Duration::from_millis(30));
            cut(&path, 4096);
        });
    });
    assert_eq!(ring.state(), State::Poisoned);
}

#[test]
fn a_parked_reader_is_woken_to_see_the_cut() {
    let (_directory, path) = place();
    let (_publisher, _) = Ring::create(&path, SHAPE, 1).unwrap();
    let ring = Ring::open(&path).unwrap();
    let _waiter = ring.spawn_waiter().unwrap();
    let reader = ring.reader(Start::Head);
    let slot = ring.register(Arc::new(Unpark(thread::current())));
    assert_eq!(slot.prepare(&reader), Parked::Parked);
    cut(&path, 0);
    let before = std::time::Instant::now();
    while ring.state() == State::Live {
        thread::park_timeout(PATIENCE);
        assert!(before.elapsed() < PATIENCE, "not woken");
    }
    assert_eq!(slot.prepare(&reader), Parked::DataReady);
    assert_eq!(slot.prepare(&reader), Parked::Parked);
}

#[test]
fn bus_errors_of_others_go_where_they_went() {
    let (_directory, path) = place();
    let (_publisher, _) = Ring::create(&path, SHAPE, 1).unwrap();
    let status = start(Role::ForeignBusError, &path, 1).end();
    assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
    let status = start(Role::ForeignBusErrorHandled, &path, 1).end();
    assert_eq!(status.code(), Some(HANDLED), "{status}");
}

#[test]
fn more_rings_than_can_be_guarded_are_refused() {
    let (_directory, path) = place();
    let (_publisher, _) = Ring::create(&path, SHAPE, 1).unwrap();
    assert!(start(Role::ManyRings, &path, 1).end().success());
}
