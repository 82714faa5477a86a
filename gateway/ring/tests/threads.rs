//! Threads on one ring, at full speed: whatever happens, every record is whole, and records read plus
//! records lost are all records.

#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tickcast_ring::{
    ParkSlot, Parked, Publisher, RECORD_WORDS, Reader, Record, Ring, Shape, Start, State, Wake,
};

const RECORDS: u64 = 400_000;

const fn shape(capacity: usize) -> Shape {
    Shape { capacity, images: 4, image_words: 64 }
}

/// A record from whose every word its position can be told.
fn record(position: u64) -> Record {
    std::array::from_fn(|word| position.wrapping_mul(31) ^ (word as u64) << 56)
}

/// What one reader counted.
#[derive(Debug, Default)]
struct Tally {
    read: u64,
    lost: u64,
    laps: u64,
}

impl Tally {
    fn take(&mut self, reader: &mut Reader, out: &mut Vec<Record>, max: usize) -> usize {
        let before = reader.position();
        let read = reader.read(out, max);
        assert_eq!(read.records, out.len());
        let first = before + read.lost;
        for (position, found) in (first..).zip(out.iter()) {
            assert_eq!(*found, record(position), "a torn or misplaced record");
        }
        assert_eq!(reader.position(), first + read.records as u64);
        self.read += read.records as u64;
        self.lost += read.lost;
        self.laps += u64::from(read.lost > 0);
        read.records
    }
}

fn publish_all(mut publisher: Publisher) {
    for position in 0..RECORDS {
        assert_eq!(publisher.publish(&record(position)), position);
        if position % 64 == 63 {
            publisher.wake();
        }
        // Readers must get a turn on a machine of one processor too.
        if position % 10_000 == 0 {
            thread::yield_now();
        }
    }
    publisher.close();
}

fn read_all(ring: &Ring, max: usize) -> Tally {
    let mut reader = ring.reader(Start::Oldest);
    let mut tally = Tally { lost: reader.position(), ..Tally::default() };
    let mut out = Vec::new();
    loop {
        // The state first: after `Closed` everything is there to be read.
        let state = ring.state();
        if tally.take(&mut reader, &mut out, max) == 0 {
            match state {
                State::Closed => return tally,
                State::Live => thread::yield_now(),
                State::Poisoned => panic!("an honest ring was distrusted"),
            }
        }
    }
}

#[test]
fn every_record_is_read_or_counted_as_lost() {
    for capacity in [2, 4, 64, 4096] {
        let (publisher, ring) = Ring::heap(shape(capacity), 1);
        let tallies: Vec<Tally> = thread::scope(|scope| {
            let readers = [1, 7, 256].map(|max| {
                let ring = ring.clone();
                scope.spawn(move || read_all(&ring, max))
            });
            scope.spawn(|| publish_all(publisher));
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        for tally in tallies {
            assert_eq!(tally.read + tally.lost, RECORDS, "capacity {capacity}: {tally:?}");
            assert!(tally.laps <= tally.lost);
        }
    }
}

#[test]
fn batches_are_read_or_counted_as_single_records_are() {
    for capacity in [2, 16, 64, 4096] {
        let (mut publisher, ring) = Ring::heap(shape(capacity), 1);
        let tallies: Vec<Tally> = thread::scope(|scope| {
            let readers = [1, 7, 256].map(|max| {
                let ring = ring.clone();
                scope.spawn(move || read_all(&ring, max))
            });
            scope.spawn(move || {
                let mut batch = Vec::new();
                while publisher.position() < RECORDS {
                    let first = publisher.position();
                    // From nothing to more than the largest of the rings keeps back, and all between.
                    let records = (first * 7 + 13) % 700;
                    batch.clear();
                    batch.extend((first..RECORDS.min(first + records)).map(record));
                    publisher.publish_all(&batch);
                    assert_eq!(publisher.position(), first + batch.len() as u64);
                    publisher.wake();
                }
                publisher.close();
            });
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        for tally in tallies {
            assert_eq!(tally.read + tally.lost, RECORDS, "capacity {capacity}: {tally:?}");
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

/// Reads until the ring is closed, asleep whenever there is nothing to read.
fn read_all_parking(ring: &Ring, asleep: &AtomicU64) -> (Tally, u64) {
    let mut reader = ring.reader(Start::At(0));
    let slot: ParkSlot = ring.register(Arc::new(Unpark(thread::current())));
    let mut tally = Tally::default();
    let mut out = Vec::new();
    let mut sleeps = 0;
    loop {
        let state = ring.state();
        if tally.take(&mut reader, &mut out, 64) > 0 {
            continue;
        }
        if state != State::Live {
            assert_eq!(state, State::Closed);
            return (tally, sleeps);
        }
        if slot.prepare(&reader) == Parked::Parked {
            asleep.fetch_add(u64::from(sleeps == 0), Ordering::Relaxed);
            // Without a time-out: a wake-up that is missed hangs the test.
            thread::park();
            slot.unpark();
            sleeps += 1;
        }
    }
}

#[test]
fn parked_readers_miss_nothing() {
    let (publisher, ring) = Ring::heap(shape(1024), 1);
    let asleep = AtomicU64::new(0);
    thread::scope(|scope| {
        let readers = [(); 3].map(|()| scope.spawn(|| read_all_parking(&ring, &asleep)));
        scope.spawn(|| {
            let mut publisher = publisher;
            for position in 0..20_000 {
                // In the middle there is nothing to read until all sleep.
                while position == 10_000 && asleep.load(Ordering::Relaxed) < 3 {
                    thread::yield_now();
                }
                publisher.publish(&record(position));
                publisher.wake();
                if position % 16 == 0 {
                    thread::yield_now();
                }
            }
            publisher.close();
        });
        for reader in readers {
            let (tally, sleeps) = reader.join().unwrap();
            assert_eq!(tally.read + tally.lost, 20_000);
            assert!(sleeps > 0, "never slept: nothing was tried");
        }
    });
}

#[test]
fn a_sleeper_is_told_once_that_the_ring_was_closed() {
    let (publisher, ring) = Ring::heap(shape(8), 1);
    let reader = ring.reader(Start::Head);
    let slot = ring.register(Arc::new(Unpark(thread::current())));
    assert_eq!(slot.prepare(&reader), Parked::Parked);
    publisher.close();
    thread::park_timeout(Duration::from_secs(10));
    assert_eq!(ring.state(), State::Closed);
    assert_eq!(slot.prepare(&reader), Parked::DataReady);
    // A shard lives on without a feed: it must be able to sleep.
    assert_eq!(slot.prepare(&reader), Parked::Parked);
}

#[test]
fn only_parked_slots_are_woken_and_only_once() {
    struct Count(AtomicU64);
    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (mut publisher, ring) = Ring::heap(shape(8), 1);
    let reader = ring.reader(Start::Head);
    let [first, second] = [(); 2].map(|()| Arc::new(Count(AtomicU64::new(0))));
    let parked = ring.register(Arc::clone(&first) as Arc<dyn Wake>);
    let awake = ring.register(Arc::clone(&second) as Arc<dyn Wake>);
    let counts = || [&first, &second].map(|count| count.0.load(Ordering::Relaxed));
    assert_eq!(parked.prepare(&reader), Parked::Parked);
    assert_eq!(awake.prepare(&reader), Parked::Parked);
    awake.unpark();
    publisher.wake();
    publisher.wake();
    assert_eq!(counts(), [1, 0]);
    publisher.publish(&record(0));
    assert_eq!(parked.prepare(&reader), Parked::DataReady);
    publisher.wake();
    assert_eq!(counts(), [1, 0]);
    // A slot that is given up is not woken, and its waker is let go.
    let late = ring.reader(Start::Head);
    assert_eq!(awake.prepare(&late), Parked::Parked);
    drop(awake);
    assert_eq!(Arc::strong_count(&second), 1);
    publisher.wake();
    assert_eq!(counts(), [1, 0]);
}

#[test]
fn a_lapped_reader_is_told_the_exact_loss_and_put_back_with_a_head_start() {
    let (mut publisher, ring) = Ring::heap(shape(64), 1);
    let mut reader = ring.reader(Start::At(0));
    for position in 0..1000 {
        publisher.publish(&record(position));
    }
    assert_eq!((ring.head(), ring.oldest(), reader.lag()), (1000, 1000 - 56, 1000));
    let mut out = Vec::new();
    let read = reader.read(&mut out, 10);
    assert_eq!((read.records, read.lost), (10, 1000 - 56));
    assert_eq!(out[0], record(1000 - 56));
    // Eight more do not lap it.
    for position in 1000..1008 {
        publisher.publish(&record(position));
    }
    assert_eq!(reader.read(&mut out, 1000).lost, 0);
    assert_eq!((reader.position(), reader.lag()), (1008, 0));
}

#[test]
fn a_loss_in_the_middle_of_a_batch_is_told_with_the_next() {
    let (mut publisher, ring) = Ring::heap(shape(8), 1);
    let mut reader = ring.reader(Start::At(0));
    for position in 0..9 {
        publisher.publish(&record(position));
    }
    // Position 0 is overwritten, 1 to 8 are there: start at 7 and lap only what comes after.
    let mut out = Vec::new();
    reader.seek(7);
    let read = reader.read(&mut out, 2);
    assert_eq!((read.records, read.lost), (2, 0));
    reader.seek(0);
    let read = reader.read(&mut out, 1);
    assert_eq!((read.records, read.lost), (1, 2));
}

#[test]
fn a_loss_is_told_before_what_comes_behind_it() {
    let (mut publisher, ring) = Ring::heap(shape(8), 1);
    let mut reader = ring.reader(Start::At(0));
    let records: Vec<Record> = (0..12).map(record).collect();
    publisher.publish_all(&records);
    let mut found = Vec::new();
    let lapped = reader.read_each(100, |record| found.push(*record));
    assert_eq!((lapped.records, lapped.lost, found.len()), (0, 5, 0));
    let read = reader.read_each(2, |record| found.push(*record));
    assert_eq!((read.records, read.lost), (2, 0));
    let read = reader.read_each(usize::MAX, |record| found.push(*record));
    assert_eq!((read.records, read.lost, reader.lag()), (5, 0, 0));
    assert_eq!(found, records[5..]);
}

#[test]
fn positions_out_of_reach_are_waited_for_and_nothing_else() {
    let (mut publisher, ring) = Ring::heap(shape(8), 1);
    let mut out = Vec::new();
    for start in [5, 1 << 40, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        let mut reader = ring.reader(Start::At(start));
        let read = reader.read(&mut out, 10);
        assert_eq!((read.records, read.lost, reader.lag()), (0, 0, 0));
    }
    let mut reader = ring.reader(Start::At(2));
    for position in 0..4 {
        publisher.publish(&record(position));
    }
    assert_eq!(reader.read(&mut out, 10).records, 2);
    assert_eq!(out, [record(2), record(3)]);
    assert_eq!(ring.state(), State::Live);
}

#[test]
fn images_are_whole_under_a_writer_that_never_stops() {
    let (mut publisher, ring) = Ring::heap(shape(64), 1);
    let done = AtomicBool::new(false);
    let found = [(); 2].map(|()| AtomicU64::new(0));
    thread::scope(|scope| {
        for found in &found {
            let (ring, done) = (&ring, &done);
            scope.spawn(move || {
                let (mut out, mut newest) = (Vec::new(), 0);
                while !done.load(Ordering::Relaxed) {
                    let Some(position) = ring.read_image(2, &mut out) else {
                        continue;
                    };
                    assert!(position >= newest, "an image went back");
                    assert_eq!(out, vec![position; usize::try_from(position % 65).unwrap()]);
                    newest = position;
                    found.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let start = Instant::now();
        let have_all = || found.iter().all(|found| found.load(Ordering::Relaxed) > 100);
        while start.elapsed() < Duration::from_millis(300)
            || !have_all() && start.elapsed() < Duration::from_mins(1)
        {
            let position = publisher.publish(&[0; RECORD_WORDS]) + 1;
            let words = vec![position; usize::try_from(position % 65).unwrap()];
            publisher.write_image(2, &words).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(have_all(), "no image is found");
    });
    assert_eq!(ring.images(), 4);
    assert_eq!(ring.read_image(0, &mut Vec::new()), None);
    assert_eq!(ring.read_image(4, &mut Vec::new()), None);
}
