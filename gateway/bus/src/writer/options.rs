//! What a writer's owner chooses.

use std::time::Duration;

use crate::backend::StoreOptions;
use crate::limits;

/// How a writer writes.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// The connection's name in the bus's own lists.
    pub name: String,
    /// A batch takes no further tick beyond so many encoded bytes; a depth group is never split.
    pub batch_bytes: usize,
    /// A batch takes no further tick beyond so many.
    pub batch_ticks: usize,
    /// A batch is sent when its oldest tick has waited so long, full or not. While another batch of its
    /// bucket is in flight it waits for that one, and grows.
    pub batch_age: Duration,
    /// How many bytes of ticks may wait for the bus, 120 each. Beyond it some are dropped and counted; of
    /// every topic the newest is kept.
    pub held_bytes: usize,
    /// How often the writer says that it lives. One that finds another's stream waits for three of these
    /// before it takes it.
    pub beat: Duration,
    /// A bucket's images are renewed when so many bytes of it were appended, or four times as many as
    /// they take themselves: a reader that joins reads no more than that behind them.
    pub bucket_image_bytes: u64,
    /// All images of a bucket, of its quiet instruments too, are renewed at latest when this part of what the
    /// bus keeps, one in so many, was appended behind them, by time or by bytes: a reader that joins reads the
    /// log from the oldest of them on.
    pub image_part: u32,
    /// How long to wait for the first connection.
    pub connect_timeout: Duration,
    /// When the outcome of a request counts as unknown, and is asked for.
    pub request_timeout: Duration,
    /// Where the bus keeps the logs, and how much of them.
    pub store: StoreOptions,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            name: "tickcast-writer".to_owned(),
            batch_bytes: 64 << 10,
            batch_ticks: 4_096,
            batch_age: Duration::from_millis(1),
            held_bytes: 128 << 20,
            beat: Duration::from_secs(1),
            bucket_image_bytes: 1 << 20,
            // An image is there long before its log is not.
            image_part: 4,
            connect_timeout: Duration::from_secs(10),
            request_timeout: limits::REQUEST_TIMEOUT,
            store: StoreOptions::default(),
        }
    }
}
