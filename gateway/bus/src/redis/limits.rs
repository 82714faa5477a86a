//! Bounds of this backend. What it shares with the other is in [`crate::limits`].

use std::time::Duration;

/// How often every connection is asked for a sign of life. A cut that nobody announces is noticed after
/// this and a request's timeout.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Every so many checks a cluster is asked for its slots too: a reader sends no requests that would be
/// redirected, and a node that lost its slots while it was cut off does not know it.
pub(super) const CHECKS_PER_SHAPE: u32 = 5;

/// Subscriptions in one pipeline: some 10 KB of commands and as much of answers.
pub(super) const SUBSCRIPTIONS_AT_ONCE: usize = 256;

/// The wait before a request that was certainly not executed is sent again, while a slot moves.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Entries asked for first when a log is read. Their size is not known before: at worst they are
/// [`crate::limits::PAYLOAD_BYTES_MAX`] each.
pub(super) const ENTRIES_FIRST: usize = 8;

/// Entries asked for at most, whatever the mean of those before was: a few milliseconds of the server.
pub(super) const ENTRIES_MAX: usize = 1000;

/// Values asked for in one command: images of some 10 KB each hold the server up for a millisecond or two.
pub(super) const VALUES_AT_ONCE: usize = 64;
