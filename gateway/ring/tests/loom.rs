//! All interleavings, and all values that the memory model lets a load see, of small rings.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p tickcast-ring --release --lib --test loom` (without the flag
//! this file is empty). Under loom a slot keeps two words and rings have two slots.
//!
//! Every ordering that the ring relies on was taken away by hand, one at a time, to see that a model
//! notices:
//!
//! | taken away | what fails |
//! |---|---|
//! | `Release` fence of `Slot::write` | `a_reader_never_takes_a_torn_record`: torn |
//! | first `Acquire` fence of `Slot::read` | the same: torn |
//! | `Release` of the last store of `Slot::write` | the same: torn |
//! | `Acquire` of the first look of `Slot::read` | the same: torn |
//! | `Release` of the odd mark of `Slot::write` | the same: an honest ring is distrusted |
//! | second `Acquire` fence of `Slot::read` | the same: an honest ring is distrusted |
//! | `Release` or `Acquire` of the head | `what_is_read_is_what_was_published`: not there |
//! | `SeqCst` fence of `ParkSlot::prepare` or of `Publisher::wake` | `a_parked_reader_is_woken`: deadlock |
//! | the exchange of `ParkSlot::prepare` a store, or relaxed | `of_two_sleepers_none_is_forgotten`: deadlock |
//! | `AcqRel` of the disarming exchange, or disarming after waking | the same: deadlock |
//! | `Release` or `Acquire` of the futex word | the model in `src/waiter.rs`: deadlock |
//! | `Release` of the end of the stream | `behind_the_end_of_the_stream_everything_is_there` |
//! | either fence, `Release` or `Acquire` of an image | `an_image_is_whole_or_not_there`: torn |

#![cfg(loom)]

use std::sync::Arc;

use loom::sync::Notify;
use loom::thread;
use tickcast_ring::{Parked, RECORD_WORDS, Reader, Record, Ring, Shape, Start, State, Wake};

const SHAPE: Shape = Shape { capacity: 2, images: 1, image_words: 2 };

/// Both of the words that a slot keeps under loom tell the position.
fn record(position: u64) -> Record {
    let mut record = [0; RECORD_WORDS];
    (record[0], record[1]) = (position + 100, position + 200);
    record
}

/// Runs a model with at most so many preemptions: loom's authors find two or three to show nearly all
/// errors, and the time grows exponentially with them.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// Reads once and checks everything that can be said about it. Returns what was passed: read and lost.
fn read_checked(reader: &mut Reader, out: &mut Vec<Record>) -> u64 {
    let before = reader.position();
    let read = reader.read(out, 4);
    for (position, found) in (before + read.lost..).zip(out.iter()) {
        assert_eq!(*found, record(position), "torn or misplaced");
    }
    let passed = read.lost + read.records as u64;
    assert_eq!(reader.position(), before + passed);
    passed
}

#[test]
fn what_is_read_is_what_was_published() {
    check(3, || {
        let (mut publisher, ring) = Ring::heap(SHAPE, 1);
        let publishing = thread::spawn(move || {
            publisher.publish(&record(0));
            publisher.publish(&record(1));
        });
        let mut reader = ring.reader(Start::At(0));
        let mut out = Vec::new();
        let head = ring.head();
        let passed = read_checked(&mut reader, &mut out);
        assert!(passed >= head, "a record below the head was not there");
        assert_eq!(out.len() as u64, passed, "nothing can be lost yet");
        publishing.join().unwrap();
        assert_eq!(passed + read_checked(&mut reader, &mut out), 2);
        assert_eq!(ring.state(), State::Live, "an honest ring was distrusted");
    });
}

#[test]
fn a_reader_never_takes_a_torn_record() {
    check(3, || {
        let (mut publisher, ring) = Ring::heap(SHAPE, 1);
        publisher.publish(&record(0));
        publisher.publish(&record(1));
        let mut reader = ring.reader(Start::At(0));
        let publishing = thread::spawn(move || {
            publisher.publish(&record(2));
            publisher.publish(&record(3));
        });
        let mut out = Vec::new();
        let mut passed = read_checked(&mut reader, &mut out);
        assert_eq!(ring.state(), State::Live, "an honest ring was distrusted");
        publishing.join().unwrap();
        passed += read_checked(&mut reader, &mut out);
        passed += read_checked(&mut reader, &mut out);
        assert_eq!(passed, 4);
        assert_eq!(ring.state(), State::Live, "an honest ring was distrusted");
    });
}

/// The smallest ring whose batches are of more than one record: two.
const SHAPE_OF_BATCHES: Shape = Shape { capacity: 16, ..SHAPE };

#[test]
fn a_waiting_reader_finds_a_batch_whole() {
    check(3, || {
        let (mut publisher, ring) = Ring::heap(SHAPE_OF_BATCHES, 1);
        let publishing = thread::spawn(move || {
            publisher.publish_all(&[record(0), record(1)]);
        });
        let mut reader = ring.reader(Start::At(0));
        let mut out = Vec::new();
        let passed = read_checked(&mut reader, &mut out);
        assert!([0, 2].contains(&passed), "a part of a batch was there");
        publishing.join().unwrap();
        assert_eq!(passed + read_checked(&mut reader, &mut out), 2);
        assert_eq!(ring.state(), State::Live, "an honest ring was distrusted");
    });
}

#[test]
fn a_reader_lapped_by_a_batch_is_told_so() {
    check(2, || {
        let (mut publisher, ring) = Ring::heap(SHAPE_OF_BATCHES, 1);
        let records: Vec<Record> = (0..18).map(record).collect();
        publisher.publish_all(&records[..16]);
        let mut reader = ring.reader(Start::At(1));
        // Position 17 is written into the reader's slot while the head is still 16.
        let publishing = thread::spawn(move || publisher.publish_all(&records[16..]));
        let mut out = Vec::new();
        let passed = read_checked(&mut reader, &mut out);
        assert!(passed > 0, "a record of the first lap, or what came instead");
        publishing.join().unwrap();
        assert_eq!(ring.state(), State::Live, "an honest ring was distrusted");
    });
}

#[test]
fn two_readers_do_not_disturb_each_other() {
    check(2, || {
        let (mut publisher, ring) = Ring::heap(SHAPE, 1);
        publisher.publish(&record(0));
        let readers = [(); 2].map(|()| {
            let mut reader = ring.reader(Start::At(0));
            thread::spawn(move || {
                let mut out = Vec::new();
                read_checked(&mut reader, &mut out);
            })
        });
        publisher.publish(&record(1));
        publisher.publish(&record(2));
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(ring.state(), State::Live);
    });
}

/// Wakes a thread of the model.
struct Bell(Notify);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify();
    }
}

/// Sleeps until there is something to read, and reads it. A missed wake-up is a deadlock.
fn read_one_parking(ring: &Ring, bell: &Arc<Bell>, slot: &tickcast_ring::ParkSlot) {
    let mut reader = ring.reader(Start::At(0));
    let mut out = Vec::new();
    while read_checked(&mut reader, &mut out) == 0 {
        if slot.prepare(&reader) == Parked::Parked {
            bell.0.wait();
            slot.unpark();
        }
    }
}

#[test]
fn a_parked_reader_is_woken() {
    check(4, || {
        let (mut publisher, ring) = Ring::heap(SHAPE, 1);
        let bell = Arc::new(Bell(Notify::new()));
        let slot = ring.register(Arc::clone(&bell) as Arc<dyn Wake>);
        let reading = thread::spawn(move || read_one_parking(&ring, &bell, &slot));
        publisher.publish(&record(0));
        publisher.wake();
        reading.join().unwrap();
    });
}

#[test]
fn of_two_sleepers_none_is_forgotten() {
    check(2, || {
        let (mut publisher, ring) = Ring::heap(SHAPE, 1);
        let sleepers = [(); 2].map(|()| {
            let ring = ring.clone();
            let bell = Arc::new(Bell(Notify::new()));
            let slot = ring.register(Arc::clone(&bell) as Arc<dyn Wake>);
            thread::spawn(move || read_one_parking(&ring, &bell, &slot))
        });
        // Nothing new, but it disarms the bell.
        publisher.wake();
        publisher.publish(&record(0));
        publisher.wake();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
    });
}

#[test]
fn the_end_of_the_stream_wakes_too() {
    check(4, || {
        let (publisher, ring) = Ring::heap(SHAPE, 1);
        let bell = Arc::new(Bell(Notify::new()));
        let slot = ring.register(Arc::clone(&bell) as Arc<dyn Wake>);
        let reading = thread::spawn(move || {
            let reader = ring.reader(Start::Head);
            while ring.state() == State::Live {
                if slot.prepare(&reader) == Parked::Parked {
                    bell.0.wait();
                    slot.unpark();
                }
            }
        });
        publisher.close();
        reading.join().unwrap();
    });
}

#[test]
fn behind_the_end_of_the_stream_everything_is_there() {
    check(3, || {
        let (mut publisher, ring) = Ring::heap(SHAPE, 1);
        let publishing = thread::spawn(move || {
            publisher.publish(&record(0));
            publisher.close();
        });
        let mut reader = ring.reader(Start::At(0));
        if ring.state() == State::Closed {
            assert_eq!(read_checked(&mut reader, &mut Vec::new()), 1);
        }
        publishing.join().unwrap();
    });
}

#[test]
fn an_image_is_whole_or_not_there() {
    check(3, || {
        let (mut publisher, ring) = Ring::heap(SHAPE, 1);
        publisher.write_image(0, &[1, 1]).unwrap();
        let writing = thread::spawn(move || {
            for version in 2..4 {
                publisher.publish(&record(version));
                publisher.write_image(0, &[version, version]).unwrap();
            }
        });
        let mut out = Vec::new();
        // None: the writer was faster, again and again.
        if let Some(position) = ring.read_image(0, &mut out) {
            assert_eq!(out, [position + 1, position + 1], "torn, or of another position");
        }
        writing.join().unwrap();
        assert_eq!(ring.read_image(0, &mut out), Some(2));
        assert_eq!(out, [3, 3]);
    });
}
