//! Bounds of this crate, with their derivation. What callers choose is in their options.

use std::time::Duration;

/// The most bytes of one payload. NATS takes 1 MiB by default, headers included; the largest group of
/// depth (16,384 levels, 4,096 ticks, at most 122 bytes each) needs 500 KB and is never split.
pub const PAYLOAD_BYTES_MAX: usize = 1_000_000;

/// The most ticks of one batch: as many as fit if each had a single word that is not zero. Decoding
/// allocates by the bytes that are there, so this is no promise of memory.
pub const BATCH_TICKS_MAX: usize = PAYLOAD_BYTES_MAX / 10;

/// The first bucket of instruments that clients write; below it are the feed's. A bucket's number thus
/// says how long its log is kept.
pub const CLIENTS_BUCKET_FIRST: u32 = 1 << 31;

/// How many batches are kept of each bucket that clients write, by count and not by age: the newest must
/// never go, as the next number is read from it and from the images, which their writers renew at latest
/// after a quarter of this. At 16 ticks of 74 bytes each it is 5 MB a bucket.
pub const CLIENTS_BATCHES_KEPT: u32 = 4_096;

/// The longest prefix, in bytes: it is part of every subject and key.
pub const PREFIX_BYTES_MAX: usize = 32;

/// The first wait before connecting again; each further one doubles, up to [`BACKOFF_MAX`]. The wait is
/// drawn between zero and that (full jitter), so that a bus that comes back is not stormed by all nodes at once.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The longest wait before connecting again: what a short restart of the bus costs at most, on top.
pub const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// How long a request may take before its outcome counts as unknown.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests that a reader has open at once: enough to hide round trips when hundreds of buckets begin to be
/// wanted together.
pub const REQUESTS_AT_ONCE: usize = 16;

/// Bytes of payload that a reader asks of a log at once; all requests together may bring 8 MiB, and the events
/// of one are taken before the next is asked for.
pub const SLICE_BYTES: usize = 512 << 10;
