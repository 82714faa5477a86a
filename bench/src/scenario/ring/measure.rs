//! The three measurements: throughput through to every reader, the way of one record there and back,
//! and what each end costs without the other.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::contender::{BATCH, Digest, Idle, Job, Read, Record, Write};
use super::contenders::Contender;
use crate::cpu;

/// How the writer hands over records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publishing {
    /// Each by itself.
    Single,
    /// [`BATCH`] in one call.
    Batch,
}

/// The writer has the first of these cores, all readers share the second.
pub(super) type Cores = [usize; 2];

/// Publishes for a while and waits until all readers have everything.
pub(super) struct Throughput {
    pub(super) publishing: Publishing,
    pub(super) idle: Idle,
    pub(super) cores: Cores,
    pub(super) duration: Duration,
}

/// What a throughput run found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) records_per_s: f64,
    /// Records that a reader did not get in their order. Not 0: the contender is not lossless.
    pub(super) broken: u64,
}

impl Job for Throughput {
    type Output = Flow;

    fn run(self, mut writer: impl Write, readers: Vec<impl Read>) -> Flow {
        let start = Barrier::new(readers.len() + 1);
        let end = AtomicU64::new(u64::MAX);
        thread::scope(|scope| {
            let reading: Vec<_> = readers
                .into_iter()
                .map(|reader| {
                    let (start, end) = (&start, &end);
                    let (core, idle) = (self.cores[1], self.idle);
                    scope.spawn(move || {
                        pin(core);
                        start.wait();
                        read_to_end(reader, end, idle)
                    })
                })
                .collect();
            pin(self.cores[0]);
            start.wait();
            let started = Instant::now();
            let published = self.publish(&mut writer, started);
            end.store(published, Ordering::Release);
            let mut broken = 0;
            for reader in reading {
                let digest = reader.join().expect("a reader that only reads");
                broken += digest.broken + published.abs_diff(digest.next);
                std::hint::black_box(digest.sum());
            }
            let seconds = started.elapsed().as_secs_f64();
            Flow { records_per_s: published as f64 / seconds, broken }
        })
    }
}

impl Throughput {
    fn publish(&self, writer: &mut impl Write, started: Instant) -> u64 {
        let mut batch = [[7; ring::RECORD_WORDS]; BATCH];
        let mut next = 0;
        loop {
            for _ in 0..16 {
                match self.publishing {
                    Publishing::Single => {
                        for record in &mut batch {
                            record[0] = next;
                            next += 1;
                            writer.publish(record, self.idle);
                        }
                    }
                    Publishing::Batch => {
                        for record in &mut batch {
                            record[0] = next;
                            next += 1;
                        }
                        writer.publish_batch(&batch, self.idle);
                    }
                }
            }
            // A look at the clock every 16 batches: a hundredth of a nanosecond per record.
            if started.elapsed() >= self.duration {
                return next;
            }
        }
    }
}

fn read_to_end(mut reader: impl Read, end: &AtomicU64, idle: Idle) -> Digest {
    let mut digest = Digest::default();
    loop {
        if reader.read(&mut digest) == 0 {
            if digest.next >= end.load(Ordering::Acquire) {
                return digest;
            }
            idle.wait();
        }
    }
}

/// The way of one record through one instance and back through another, in ns: `pings` of them.
pub(super) fn ping(
    contender: Contender,
    capacity: usize,
    cores: Cores,
    pings: u64,
) -> Histogram<u64> {
    contender.with(capacity, 1, Ping { contender, capacity, cores, pings })
}

struct Ping {
    contender: Contender,
    capacity: usize,
    cores: Cores,
    pings: u64,
}

impl Job for Ping {
    type Output = Histogram<u64>;

    fn run(self, there: impl Write, readers: Vec<impl Read>) -> Histogram<u64> {
        let Self { contender, capacity, cores, pings } = self;
        contender.with(capacity, 1, Pong { there, readers, cores, pings })
    }
}

struct Pong<W, R> {
    there: W,
    readers: Vec<R>,
    cores: Cores,
    pings: u64,
}

impl<W: Write, R: Read> Job for Pong<W, R> {
    type Output = Histogram<u64>;

    fn run(mut self, mut back: impl Write, mut returning: Vec<impl Read>) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).expect("a number of digits that the crate has");
        let mut digest = Digest::default();
        let (mut arriving, mut returning) = (self.readers.remove(0), returning.remove(0));
        let (core, pings) = (self.cores[1], self.pings);
        thread::scope(|scope| {
            scope.spawn(move || {
                pin(core);
                let (mut digest, mut record) = (Digest::default(), [7; ring::RECORD_WORDS]);
                for i in 0..pings {
                    while arriving.read(&mut digest) == 0 {
                        Idle::Spin.wait();
                    }
                    record[0] = i;
                    back.publish(&record, Idle::Spin);
                }
                std::hint::black_box(digest.sum());
            });
            pin(self.cores[0]);
            let mut record: Record = [7; ring::RECORD_WORDS];
            for i in 0..pings {
                record[0] = i;
                let sent = Instant::now();
                self.there.publish(&record, Idle::Spin);
                while returning.read(&mut digest) == 0 {
                    Idle::Spin.wait();
                }
                let ns = u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX);
                histogram.saturating_record(ns);
            }
        });
        assert_eq!(digest.broken, 0, "a ping that comes back is the one that was sent");
        histogram
    }
}

/// What publishing and reading cost on one thread, where nothing travels and nobody waits.
pub(super) struct SameThread {
    pub(super) publishing: Publishing,
    pub(super) core: usize,
    pub(super) duration: Duration,
}

/// Costs on one thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub(super) publish_ns: f64,
    pub(super) read_ns: f64,
}

impl Job for SameThread {
    type Output = Costs;

    fn run(self, mut writer: impl Write, mut readers: Vec<impl Read>) -> Costs {
        pin(self.core);
        let mut reader = readers.remove(0);
        let mut digest = Digest::default();
        let mut batch = [[7; ring::RECORD_WORDS]; BATCH];
        let (mut publishing, mut reading) = (Duration::ZERO, Duration::ZERO);
        let mut next = 0;
        let mut left = CHUNK;
        while publishing + reading < self.duration {
            let start = Instant::now();
            while left > 0 {
                for record in &mut batch {
                    record[0] = next;
                    next += 1;
                }
                match self.publishing {
                    Publishing::Single => {
                        for record in std::hint::black_box(&batch) {
                            writer.publish(record, Idle::Spin);
                        }
                    }
                    Publishing::Batch => {
                        writer.publish_batch(std::hint::black_box(&batch), Idle::Spin);
                    }
                }
                left -= BATCH;
            }
            let published = Instant::now();
            while left < CHUNK {
                left += reader.read(&mut digest);
            }
            reading += published.elapsed();
            publishing += published - start;
        }
        std::hint::black_box(digest.sum());
        assert_eq!((digest.broken, digest.next), (0, next), "all are read in order");
        let per_record = |time: Duration| time.as_nanos() as f64 / next as f64;
        Costs { publish_ns: per_record(publishing), read_ns: per_record(reading) }
    }
}

/// Records between two looks at the clock on one thread: 64 KiB, far inside every second-level cache.
const CHUNK: usize = 8 * BATCH;

fn pin(core: usize) {
    // A machine without that core runs it on what it has; the record says how many there are.
    let _ = cpu::pin(&[core]);
}
