//! One stream for many nodes, over a bus that is already there: NATS with JetStream, or Redis.
//!
//! The bus keeps one ordered log of [`Batch`]es for each *bucket* of instruments, and a few values: the
//! [`Catalog`], which says what the buckets are, and a [`StoredImage`] of each instrument. Appending is
//! compare-and-append ([`Backend::append`]), so a log has one order whoever writes. What this crate is
//! not: it knows no client, no hub, no configuration; gateways, feeds and benchmarks use it.
//!
//! | | |
//! |---|---|
//! | [`BusUrl`] | which bus, and under which prefix |
//! | [`Catalog`], [`Batch`], [`StoredImage`] | what is kept there, and its bytes |
//! | [`Backend`] | what a bus must do; one implementation for each |
//! | [`Writer`] | a feed's ticks into logs, once and in order |
//! | [`Bridge`] | a ring, read into a writer |
//! | [`Publisher`] | numbers and appends what clients publish |
//! | [`Inbox`](inbox) | what a bus sends unasked, in one bounded queue |
//! | [`Reader`], [`Event`] | one node's view of the buckets it wants, without holes |
//! | [`assembly`], [`agenda`] | the reader's core: a state machine without I/O, and the pace of its requests |
//! | [`outbox`], [`sequencer`] | the writer's and the publisher's core, likewise |

#![forbid(unsafe_code)]

pub mod agenda;
pub mod assembly;
mod backend;
mod backoff;
mod batch;
mod bridge;
mod catalog;
mod entry;
mod event;
pub mod inbox;
pub mod limits;
mod nats;
mod publisher;
mod reader;
mod redis;
mod sparse;
mod stored_image;
mod url;
mod writer;

pub use self::redis::Redis;
pub use assembly::Counters;
pub use backend::{
    AppendError, Backend, BusError, Cause, ConnectOptions, Storage, StoreOptions, keys,
};
pub use backoff::backoff;
pub use batch::{Batch, BatchError};
pub use bridge::{Bridge, BridgeError, BridgeOptions, BridgeProgress, Overflow};
pub use catalog::{Catalog, CatalogError, WriterKind};
pub use entry::{Entry, Offset, Slice};
pub use event::Event;
pub use nats::Nats;
pub use publisher::sequencer;
pub use publisher::{PublishError, Published, Publisher, PublisherCounters, PublisherOptions};
pub use reader::{Reader, ReaderOptions};
pub use sparse::SparseError;
pub use stored_image::{StoredImage, StoredImageError};
pub use url::{BusUrl, Host, Scheme, Topology, UrlError};
pub use writer::outbox;
pub use writer::{THRONE_BUCKET, Writer, WriterCounters, WriterError, WriterOptions};
