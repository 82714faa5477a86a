//! What a record costs: publishing and reading it, on one thread and between two.
//!
//! `cargo bench -p tickcast-ring`. All figures are per record. The cross-thread ones have a reader that
//! looks without sleeping, so that slots travel from one processor's cache to the other's.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickcast_ring::{Publisher, RECORD_WORDS, Record, Ring, Shape, Start};

const SHAPE: Shape = Shape { capacity: 1 << 16, images: 1, image_words: 1024 };
const BATCH: usize = 256;
const RECORD: Record = [7; RECORD_WORDS];

fn same_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("same thread");
    group.throughput(Throughput::Elements(1));
    let (mut publisher, ring) = Ring::heap(SHAPE, 1);
    group.bench_function("publish", |bencher| {
        bencher.iter(|| publisher.publish(black_box(&RECORD)));
    });
    group.bench_function("wake with nobody parked", |bencher| bencher.iter(|| publisher.wake()));
    group.bench_function("read in batches of 256", |bencher| {
        let mut out = Vec::with_capacity(BATCH);
        let mut reader = ring.reader(Start::Oldest);
        bencher.iter_custom(|records| {
            let start = Instant::now();
            let mut left = records;
            while left > 0 {
                let read = reader.read(&mut out, BATCH).records as u64;
                black_box(&out);
                left = left.saturating_sub(read);
                if read == 0 {
                    reader.seek(ring.oldest());
                }
            }
            start.elapsed()
        });
    });
    let words = vec![1; 1024];
    let mut out = Vec::new();
    group.bench_function("write an image of 1,024 words", |bencher| {
        bencher.iter(|| publisher.write_image(0, black_box(&words)));
    });
    group.bench_function("read an image of 1,024 words", |bencher| {
        bencher.iter(|| ring.read_image(0, black_box(&mut out)));
    });
    group.finish();
}

/// Runs `work` on a publisher while another thread reads all it can.
fn with_reader(publisher: &mut Publisher, ring: &Ring, work: impl FnOnce(&mut Publisher)) {
    let done = AtomicBool::new(false);
    let mut reader = ring.reader(Start::Head);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut out = Vec::with_capacity(BATCH);
            while !done.load(Ordering::Relaxed) {
                if reader.read(&mut out, BATCH).records == 0 {
                    thread::yield_now();
                }
            }
        });
        work(publisher);
        done.store(true, Ordering::Relaxed);
    });
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("two threads");
    group.throughput(Throughput::Elements(1));
    let (mut publisher, ring) = Ring::heap(SHAPE, 1);
    group.bench_function("publish beside one reader", |bencher| {
        bencher.iter_custom(|records| {
            let mut elapsed = Duration::ZERO;
            with_reader(&mut publisher, &ring, |publisher| {
                let start = Instant::now();
                for _ in 0..records {
                    publisher.publish(black_box(&RECORD));
                }
                elapsed = start.elapsed();
            });
            elapsed
        });
    });
    group.bench_function("publish and read, to the last record", |bencher| {
        bencher.iter_custom(|records| publish_and_read(&mut publisher, &ring, records));
    });
    group.finish();
}

/// Publishes as fast as one reader reads, half a ring ahead at most, and times until it has all.
fn publish_and_read(publisher: &mut Publisher, ring: &Ring, records: u64) -> Duration {
    let first = publisher.position();
    let read_to = std::sync::atomic::AtomicU64::new(first);
    let mut reader = ring.reader(Start::Head);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut out = Vec::with_capacity(BATCH);
            while reader.position() < first + records {
                let read = reader.read(&mut out, BATCH);
                assert_eq!(read.lost, 0);
                if read.records == 0 {
                    thread::yield_now();
                }
                black_box(&out);
                read_to.store(reader.position(), Ordering::Relaxed);
            }
        });
        for position in first..first + records {
            while position - read_to.load(Ordering::Relaxed) > SHAPE.capacity as u64 / 2 {
                thread::yield_now();
            }
            publisher.publish(black_box(&RECORD));
        }
    });
    start.elapsed()
}

criterion_group!(benches, same_thread, two_threads);
criterion_main!(benches);
