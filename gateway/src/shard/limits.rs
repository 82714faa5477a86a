//! The fixed bounds of a shard, each with its reason, what happens there, and the counter that shows
//! it. What operators may set is in [`settings`](super::settings); the hub's limits are the hub's.

use std::time::Duration;

/// Records read from the ring before connections are visited again. At some 100 ns each in the hub a
/// full batch is a tenth of a millisecond: less than a group of 64 visits (64 × 5 µs). The rest stays
/// in the ring. `ring_records`.
pub(crate) const RECORDS_PER_DRAIN: usize = 1024;

/// Groups of visits in one turn, before sockets that have something to say are looked at: 8 × 64
/// visits are 2.5 ms. The others stay dirty. `turns`, and the histogram of turns.
pub(crate) const GROUPS_PER_TURN: usize = 8;

/// Reports of the poll set taken at once. The others come in the next turn. 12 KiB of events.
pub(crate) const EVENTS_PER_TURN: usize = 1024;

/// Handshakes taken over in one turn: each costs a subscription's work soon after.
pub(crate) const ARRIVALS_PER_TURN: usize = 32;

/// Bytes read from one connection in one turn: a flooding client is requeued, not drained. Also the
/// size of the shard's one read buffer. `reads_requeued`.
pub(crate) const READ_BYTES_PER_TURN: usize = 16 * 1024;

/// Answers that a client has not taken before it is not read any more. One batch of answers may go
/// beyond: those to one read, which are bounded by the commands' own limits. `reads_paused`.
pub(crate) const OUTBOUND_BYTES_MAX: usize = 16 * 1024;

/// The longest frame that is sent without asking first whether the socket has room. A socket that says
/// it has takes a whole visit; one that is not asked may take a part, and the rest must be kept: at
/// 2 KiB, a thousand readers that stop cost 2 MiB. Asking costs a twentieth of sending so much.
/// `sends_short`.
pub(crate) const UNCHECKED_SEND_BYTES_MAX: usize = 2048;

/// The longest message of `/v1/echo`: what conformance suites send.
pub(crate) const ECHO_BYTES_MAX: usize = 64 << 20;

/// What a message that is no command costs beyond its token: a client that errs all the time is
/// closed after 2 × rate / 5 of them. `commands_malformed`, `closed_flood`.
pub(crate) const MALFORMED_COST: u32 = 4;

/// How long before its credential expires a client is told, ms, and which part of the credential's life at
/// most: time to get another one, and not at once where they live for seconds.
pub(crate) const EXPIRY_NOTICE_MS: u64 = 60_000;
pub(crate) const EXPIRY_NOTICE_PART: u64 = 5;

/// One visit in so many is timed: reading the clock costs 1 % of a visit.
pub(crate) const VISITS_PER_SAMPLE: u32 = 16;

/// Connections whose handshake or HTTP request is under way. Each costs a task of some 20 KiB. There:
/// accepting waits while the oldest is younger than [`HANDSHAKE_PATIENCE`], `accept_paced`; then the oldest
/// is closed for the newest, so that whoever holds handshakes open displaces himself first,
/// `handshakes_evicted`.
pub(crate) const HANDSHAKES_MAX: usize = 1024;

/// How long a handshake has its place for itself when there are as many as there may be: several round trips
/// around the world. Those who only hold places are displaced at `HANDSHAKES_MAX` in this time.
pub(crate) const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(500);

/// Of the slowest connections, how many are closed at once where memory is short. `closed_overloaded`.
pub(crate) const SHED_SLOWEST: usize = 256;

/// Where none of them is slow, one in so many of all is.
pub(crate) const SHED_PART: usize = 64;

/// Connections accepted between two turns. Accepting one, reading its request and answering it takes some 100 µs of the
/// core: ticks wait for two milliseconds of it. The others wait in the kernel.
pub(crate) const ACCEPTS_PER_TURN: usize = 16;

/// TLS handshakes begun between two turns. The signature in one takes from 0.1 ms of the core (ECDSA)
/// to 1 ms (RSA), which ticks wait for. The others wait for their turn, within their time-out.
pub(crate) const TLS_HANDSHAKES_PER_TURN: usize = 4;

/// How long requests are worked on between two turns, credentials included, which ticks wait for: a fifth of the
/// visits of a turn. One that has begun is finished. The others wait for their turn; `requests_paced`.
pub(crate) const REQUESTS_NS_PER_TURN: u64 = 500_000;

/// How long messages of clients are acted upon in one turn, which ticks wait for: commands, for the most part. What one
/// read brought is finished: a command of a thousand topics takes half a millisecond to one. Who has said something
/// and was not read is read in a later turn, before those who say something then. What sessions bring with them when
/// they begin has as much. `reads_paced`.
pub(crate) const MESSAGES_NS_PER_TURN: u64 = 500_000;

/// How long credentials that clients show in their first messages are looked at in one turn. The other
/// clients that have yet to show theirs are read in the next. `reads_requeued`.
pub(crate) const CREDENTIALS_NS_PER_TURN: u64 = 500_000;

/// How many wrong credentials a client may show before its first right one; then it is closed. One that has taken
/// the wrong of two, and a slip, are forgiven. `closed_not_entitled`.
pub(crate) const CREDENTIAL_TRIES_MAX: u8 = 3;

/// The most bytes of a request's head, and of a connection's HTTP buffers: the exchange's clients name
/// up to 1,024 streams in theirs, which is 25 KB. There: 431 or 400, `http_errors`.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// The longest life of a connection that never upgrades: pages and snapshots are small.
/// `handshakes_timed_out`.
pub(crate) const HTTP_LIFE_MAX: Duration = Duration::from_mins(1);

/// Connections that the kernel completes before we accept them; beyond, clients retry their SYN. The
/// system's `somaxconn` caps it.
pub(crate) const BACKLOG: i32 = 4096;

/// How long a stream that goes on where an earlier one ended waits before it does: the client may come
/// from a shard that was a turn ahead of this one, and numbers of the future are refused.
pub(crate) const RESUME_PAUSE: Duration = Duration::from_millis(5);

/// How long accepting rests when there are no descriptors: trying again at once would spin.
/// `accept_paused`.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Descriptors that connections leave for everything else that a shard opens: the listener when it
/// reopens, logs, certificates, files of a page.
pub(crate) const DESCRIPTORS_RESERVED: usize = 64;

/// A full shard listens again when one connection in so many has gone, so that a listener does not
/// open and close with every connection.
pub(crate) const ROOM_TO_REOPEN: usize = 128;

/// The longest sleep. Everything that ends one earlier has its own wake-up; this bounds what a
/// forgotten one would cost.
pub(crate) const PARK_MAX: Duration = Duration::from_secs(1);

/// How long a traced tick is followed once it was read: clients that have not had it then are counted as such.
pub(crate) const FOLLOW_MAX: Duration = Duration::from_secs(2);

/// Steps of a drain: sessions are closed in batches so often.
pub(crate) const DRAIN_STEP: Duration = Duration::from_millis(20);
