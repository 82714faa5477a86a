//! A broadcast ring: one publisher, any number of readers, in one process or in several.
//!
//! The publisher never waits. Every reader sees every record in order, or is told exactly how many
//! it lost. Records are [`RECORD_WORDS`] words whose meaning this crate does not know; beside them the
//! ring holds *recovery images*, one per slot, from which a reader that joins late or was lapped
//! starts again.
//!
//! ```
//! use ring::{Ring, Shape, Start};
//! # use tickcast_ring as ring;
//!
//! let shape = Shape { capacity: 1024, images: 0, image_words: 0 };
//! let (mut publisher, ring) = Ring::heap(shape, 7);
//! let mut reader = ring.reader(Start::Oldest);
//! publisher.publish(&[1; 15]);
//! publisher.wake();
//!
//! let mut records = Vec::new();
//! let read = reader.read(&mut records, 64);
//! assert_eq!((read.records, read.lost, records[0][0]), (1, 0, 1));
//! ```
//!
//! # Notes for callers
//! - [`Reader::read`] and [`Ring::read_image`] replace what is in `out`; they do not append.
//!   [`Reader::read_each`] needs no buffer, and is the fastest way to read.
//! - [`Ring::oldest`] keeps an eighth of the ring's distance from being overwritten, as does the place
//!   a lapped reader is moved to.
//! - [`Ring::spawn_waiter`] can fail, as threads can; on a heap ring it does nothing.
//! - [`ImageTooLarge`] says whether words or slot number are beyond the shape.
//! - After [`State::Closed`] there may still be records: take the state first, then read until nothing
//!   comes. [`ParkSlot::prepare`] answers `DataReady` once for each change of state.
//! - Whether a feed is silent is the caller's judgement, by its clock and [`Ring::heartbeat_ns`].
//!
//! # Where the ring lives
//! On the heap, for threads, or in a mapped file, for processes. A file is made under a temporary name
//! and renamed when it is complete; it is never truncated, so a name always stands for a whole ring. A
//! publisher that starts again makes another file with another epoch, and readers of the old one see
//! [`Ring::is_replaced`]. A publisher that died is told from an idle one by its heartbeat.
//!
//! # Whom it trusts
//! Another process may write anything into the file, or cut it. Everything read from a mapping is
//! checked before it is used, and an access behind the new end of a cut file becomes
//! [`State::Poisoned`] instead of the end of this process. What a ring cannot defend against is a
//! forger with write access who keeps its rules: the file's mode is 0600.
//!
//! # Memory ordering, in one place
//! - *Slot*: a seqlock per slot (`slot.rs`). Two fences keep words and sequence together.
//! - *Parking*: publisher and reader each write, fence (`SeqCst`), then read what the other wrote
//!   (`park.rs`). At least one of them sees the other.
//! - *Image*: two seqlocked buffers in turn (`images.rs`), so that one of them is always whole.
//!
//! `tests/loom.rs` checks each of them over all interleavings and says what fails without each fence.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("positions index memory: only 64-bit targets are supported");

#[cfg(not(loom))]
mod bus_error;
mod futex;
mod header;
#[cfg(not(loom))]
mod identity;
mod images;
#[cfg(not(loom))]
mod mapping;
mod memory;
mod park;
mod publisher;
mod reader;
mod ring;
mod shape;
mod slot;
mod sync;
mod waiter;
mod words;

pub use images::ImageTooLarge;
#[cfg(not(loom))]
pub use mapping::{CreateError, OpenError};
pub use park::{ParkSlot, Parked, Wake};
pub use publisher::Publisher;
pub use reader::{Read, Reader, Start};
pub use ring::{Ring, State};
pub use shape::{Shape, ShapeError};
pub use slot::{RECORD_WORDS, Record};
pub use waiter::WaiterHandle;
