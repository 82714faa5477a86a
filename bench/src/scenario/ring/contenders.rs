//! The contenders, each as its own documentation says it is fastest.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, Producer, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};
use ring::{Publisher, Reader, Ring, Shape, Start};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::contender::{BATCH, Digest, Idle, Job, Mark, Pace, Read, Record, Write};

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Contender {
    /// Tickcast's, its writer held back by the slowest reader.
    Ring,
    /// Tickcast's as the gateway uses it: the writer never looks at a reader.
    RingUnpaced,
    /// The disruptor crate, event poller API, records side by side.
    Disruptor,
    /// The same with records at multiples of 128 bytes, as ours are.
    DisruptorAligned,
    /// crossbeam's bounded queue, one per reader.
    ArrayQueue,
    /// crossbeam's bounded channel, one per reader.
    Channel,
    /// tokio's broadcast channel.
    Broadcast,
}

impl Contender {
    pub(super) const ALL: [Self; 7] = [
        Self::Ring,
        Self::RingUnpaced,
        Self::Disruptor,
        Self::DisruptorAligned,
        Self::ArrayQueue,
        Self::Channel,
        Self::Broadcast,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ring => "tickcast ring, paced",
            Self::RingUnpaced => "tickcast ring, unpaced",
            Self::Disruptor => "disruptor",
            Self::DisruptorAligned => "disruptor, aligned",
            Self::ArrayQueue => "crossbeam ArrayQueue",
            Self::Channel => "crossbeam channel",
            Self::Broadcast => "tokio broadcast",
        }
    }

    /// Makes one with room for `capacity` records, and does `job` with it.
    pub(super) fn with<J: Job>(self, capacity: usize, readers: usize, job: J) -> J::Output {
        match self {
            Self::Ring => with_ring(capacity, readers, job),
            Self::RingUnpaced => with_unpaced_ring(capacity, readers, job),
            Self::Disruptor => with_disruptor::<Packed, J>(capacity, readers, job),
            Self::DisruptorAligned => with_disruptor::<Aligned, J>(capacity, readers, job),
            Self::ArrayQueue => {
                let queues: Queues =
                    (0..readers).map(|_| ArrayQueue::new(capacity).into()).collect();
                job.run(queues.clone(), queues)
            }
            Self::Channel => {
                let (senders, receivers): (Vec<_>, Vec<_>) =
                    (0..readers).map(|_| crossbeam_channel::bounded(capacity)).unzip();
                job.run(senders, receivers)
            }
            Self::Broadcast => with_broadcast(capacity, readers, job),
        }
    }
}

struct RingWriter {
    publisher: Publisher,
    pace: Pace,
}

struct RingReader {
    reader: Reader,
    mark: Mark,
}

fn with_ring<J: Job>(capacity: usize, readers: usize, job: J) -> J::Output {
    let shape = Shape { capacity, images: 0, image_words: 0 };
    let (publisher, ring) = Ring::heap(shape, 1);
    let pace = Pace::new(capacity, readers);
    let readers =
        (0..readers).map(|i| RingReader { reader: ring.reader(Start::Oldest), mark: pace.mark(i) });
    let readers = readers.collect();
    job.run(RingWriter { publisher, pace }, readers)
}

fn with_unpaced_ring<J: Job>(capacity: usize, readers: usize, job: J) -> J::Output {
    let shape = Shape { capacity, images: 0, image_words: 0 };
    let (publisher, ring) = Ring::heap(shape, 1);
    job.run(publisher, (0..readers).map(|_| ring.reader(Start::Oldest)).collect())
}

impl Write for Publisher {
    #[inline]
    fn publish(&mut self, record: &Record, _: Idle) {
        Publisher::publish(self, record);
    }

    #[inline]
    fn publish_batch(&mut self, records: &[Record], _: Idle) {
        self.publish_all(records);
    }
}

impl Read for Reader {
    #[inline]
    fn read(&mut self, digest: &mut Digest) -> usize {
        self.read_each(BATCH, |record| digest.take(record)).records
    }
}

impl Write for RingWriter {
    #[inline]
    fn publish(&mut self, record: &Record, idle: Idle) {
        self.pace.wait_for(self.publisher.position() + 1, idle);
        self.publisher.publish(record);
    }

    #[inline]
    fn publish_batch(&mut self, records: &[Record], idle: Idle) {
        self.pace.wait_for(self.publisher.position() + records.len() as u64, idle);
        self.publisher.publish_all(records);
    }
}

impl Read for RingReader {
    #[inline]
    fn read(&mut self, digest: &mut Digest) -> usize {
        let read = self.reader.read_each(BATCH, |record| digest.take(record));
        if read.records > 0 {
            self.mark.advance(read.records);
        }
        read.records
    }
}

/// A record as an event of the disruptor.
trait Event: Send + Sync + 'static {
    fn new() -> Self;
    fn record(&self) -> &Record;
    fn record_mut(&mut self) -> &mut Record;
}

struct Packed(Record);

#[repr(align(128))]
struct Aligned(Record);

macro_rules! event {
    ($name:ident) => {
        impl Event for $name {
            fn new() -> Self {
                Self([0; ring::RECORD_WORDS])
            }

            #[inline]
            fn record(&self) -> &Record {
                &self.0
            }

            #[inline]
            fn record_mut(&mut self) -> &mut Record {
                &mut self.0
            }
        }
    };
}

event!(Packed);
event!(Aligned);

/// One reader has a barrier of its own kind, which spares the writer a loop.
fn with_disruptor<E: Event, J: Job>(capacity: usize, readers: usize, job: J) -> J::Output {
    let builder = build_single_producer(capacity, E::new, BusySpin);
    if readers == 1 {
        let (poller, builder) = builder.new_event_poller();
        let producer: SingleProducer<E, SingleConsumerBarrier> = builder.build();
        return job.run(producer, vec![poller]);
    }
    let mut builder = builder.with_multi_consumer();
    let mut pollers = Vec::new();
    for _ in 0..readers {
        let poller;
        (poller, builder) = builder.new_event_poller();
        pollers.push(poller);
    }
    let producer: SingleProducer<E, MultiConsumerBarrier> = builder.build();
    job.run(producer, pollers)
}

impl<E: Event, C: Send> Write for SingleProducer<E, C>
where
    Self: Producer<E> + Send,
{
    #[inline]
    fn publish(&mut self, record: &Record, idle: Idle) {
        while self.try_publish(|event| *event.record_mut() = *record).is_err() {
            idle.wait();
        }
    }

    #[inline]
    fn publish_batch(&mut self, records: &[Record], idle: Idle) {
        while self
            .try_batch_publish(records.len(), |events| {
                for (event, record) in events.zip(records) {
                    *event.record_mut() = *record;
                }
            })
            .is_err()
        {
            idle.wait();
        }
    }
}

impl<E: Event> Read for EventPoller<E, SingleProducerBarrier> {
    #[inline]
    fn read(&mut self, digest: &mut Digest) -> usize {
        let Ok(mut events) = self.take(BATCH as u64) else { return 0 };
        let mut records = 0;
        for event in &mut events {
            digest.take(event.record());
            records += 1;
        }
        records
    }
}

type Queues = Vec<Arc<ArrayQueue<Record>>>;

impl Write for Queues {
    #[inline]
    fn publish(&mut self, record: &Record, idle: Idle) {
        for queue in self {
            while queue.push(*record).is_err() {
                idle.wait();
            }
        }
    }
}

impl Read for Arc<ArrayQueue<Record>> {
    #[inline]
    fn read(&mut self, digest: &mut Digest) -> usize {
        for records in 0..BATCH {
            let Some(record) = self.pop() else { return records };
            digest.take(&record);
        }
        BATCH
    }
}

impl Write for Vec<crossbeam_channel::Sender<Record>> {
    #[inline]
    fn publish(&mut self, record: &Record, idle: Idle) {
        for sender in self {
            while sender.try_send(*record).is_err() {
                idle.wait();
            }
        }
    }
}

impl Read for crossbeam_channel::Receiver<Record> {
    #[inline]
    fn read(&mut self, digest: &mut Digest) -> usize {
        for records in 0..BATCH {
            let Ok(record) = self.try_recv() else { return records };
            digest.take(&record);
        }
        BATCH
    }
}

struct BroadcastWriter {
    sender: broadcast::Sender<Record>,
    next: u64,
    pace: Pace,
}

struct BroadcastReader {
    receiver: broadcast::Receiver<Record>,
    mark: Mark,
}

fn with_broadcast<J: Job>(capacity: usize, readers: usize, job: J) -> J::Output {
    let (sender, receiver) = broadcast::channel(capacity);
    let pace = Pace::new(capacity, readers);
    let readers = (0..readers)
        .map(|i| BroadcastReader { receiver: receiver.resubscribe(), mark: pace.mark(i) });
    let readers = readers.collect();
    drop(receiver);
    job.run(BroadcastWriter { sender, next: 0, pace }, readers)
}

impl Write for BroadcastWriter {
    #[inline]
    fn publish(&mut self, record: &Record, idle: Idle) {
        self.next += 1;
        self.pace.wait_for(self.next, idle);
        // It fails when no reader is left, and then nobody misses it.
        let _ = self.sender.send(*record);
    }
}

impl Read for BroadcastReader {
    #[inline]
    fn read(&mut self, digest: &mut Digest) -> usize {
        let mut records = 0;
        while records < BATCH {
            // A lag cannot be, and would show as a break in the numbers.
            let Ok(record) = self.receiver.try_recv() else { break };
            digest.take(&record);
            records += 1;
        }
        if records > 0 {
            self.mark.advance(records);
        }
        records
    }
}
