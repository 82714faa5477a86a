//! What a bus must do: the interface between this crate's readers and writers and NATS or Redis.
//!
//! A backend has a connection that it keeps: it connects again by itself, with the waits of
//! [`crate::limits`], subscribes again to what was subscribed, and tells its inbox. Answers to requests
//! come as return values; everything unasked goes to the [`InboxSender`] given at connecting. There is
//! no caching and no knowledge of batches here: payloads are bytes.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::entry::{Entry, Offset, Slice};
use crate::inbox::InboxSender;
use crate::url::{BusUrl, Scheme};

/// A kind of bus. Handles are cheap to clone and share one connection; it ends with the last of them,
/// or with [`Backend::close`]. All futures may be dropped at any time; the request may then still be executed.
///
/// Every request fails with [`BusError::Unreachable`] or [`BusError::TimedOut`] within
/// [`ConnectOptions::request_timeout`] if the bus cannot be reached; it is not repeated by itself.
pub trait Backend: Clone + Send + Sync + 'static {
    /// A handle whose connection is being made, and made again, until it is closed. Returns at once: the
    /// inbox hears of [`crate::inbox::Signal::Connected`] when it stands. The pulse and changes of the
    /// catalog are listened to from then on.
    ///
    /// # Errors
    /// If the URL is of another kind of bus, or what it names cannot be used.
    fn connect(
        url: &BusUrl,
        options: ConnectOptions,
    ) -> impl Future<Output = Result<Self, BusError>> + Send;

    /// Makes the place for logs and values, or changes its limits to these. Writers call it before they
    /// write, and again on [`BusError::Missing`]; readers never. Idempotent.
    ///
    /// # Errors
    /// If the bus refuses, as when a store of other [`Storage`] is there already.
    fn establish(&self, store: &StoreOptions) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Appends to the bucket's log, if its newest offset is still `expected`, and sends the entry to
    /// everybody subscribed. Gives its offset. The check and the appending are one atomic step at the bus.
    /// Where all of the bucket's entries are so old that none is kept, NATS has forgotten the newest offset
    /// and takes any; logs that clients write are kept by count, so that it does not happen to them.
    ///
    /// # Errors
    /// [`AppendError::Conflict`]: somebody else has appended, nothing was done.
    /// [`AppendError::Unknown`]: it may or may not have been done; [`Backend::tail`] tells.
    /// [`AppendError::Refused`]: certainly not done.
    fn append(
        &self,
        bucket: u32,
        expected: Offset,
        payload: Bytes,
    ) -> impl Future<Output = Result<Offset, AppendError>> + Send;

    /// The newest entry of the bucket, if there is one. Never older than what an append that was
    /// answered before has written.
    ///
    /// # Errors
    /// If the bus cannot be asked.
    fn tail(&self, bucket: u32) -> impl Future<Output = Result<Option<Entry>, BusError>> + Send;

    /// The entries behind `after`, from the oldest kept on: as many as fit into `max_bytes` of payload,
    /// but at least one if there is one.
    ///
    /// # Errors
    /// If the bus cannot be asked.
    fn read(
        &self,
        bucket: u32,
        after: Offset,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Slice, BusError>> + Send;

    /// The offset to read after in order to get all that was appended at this time (of the bus's clock, ns
    /// since the Unix epoch) or later. May be too old, never too new; it need not be an entry's.
    ///
    /// # Errors
    /// If the bus cannot be asked.
    fn locate(
        &self,
        bucket: u32,
        unix_ns: u64,
    ) -> impl Future<Output = Result<Offset, BusError>> + Send;

    /// Sends the bucket's entries to the inbox from now on. Whoever subscribes and reads after this has
    /// returned has everything: what the read does not find is sent, some of it twice.
    /// Subscribing twice is as once.
    ///
    /// # Errors
    /// If the handle is closed. If the bus is away the subscription is in force when it is back.
    fn subscribe(&self, bucket: u32) -> impl Future<Output = Result<(), BusError>> + Send;

    /// No longer. Entries on their way may still arrive.
    ///
    /// # Errors
    /// If the handle is closed.
    fn unsubscribe(&self, bucket: u32) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Keeps a value; its key is one of [`keys`]. After [`keys::CATALOG`] was stored, everybody
    /// connected hears of [`crate::inbox::Signal::CatalogChanged`].
    ///
    /// # Errors
    /// If it is not known to be kept.
    fn put_value(
        &self,
        key: &str,
        value: Bytes,
    ) -> impl Future<Output = Result<(), BusError>> + Send;

    /// The values of these keys, each `None` where nothing is kept. Never older than what a put that was
    /// answered before has written.
    ///
    /// # Errors
    /// If the bus cannot be asked. [`BusError::Missing`] is answered with nothing kept.
    fn values(
        &self,
        keys: &[String],
    ) -> impl Future<Output = Result<Vec<Option<Bytes>>, BusError>> + Send;

    /// Tells everybody connected, without keeping it: [`crate::inbox::Signal::Pulse`].
    ///
    /// # Errors
    /// If the handle is closed or the connection is away.
    fn pulse(&self, payload: Bytes) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Sends what is still to be sent and ends the connection, for all clones of the handle.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// The names of values.
pub mod keys {
    /// The [`crate::Catalog`].
    pub const CATALOG: &str = "catalog";

    /// The [`crate::StoredImage`] of an instrument.
    #[must_use]
    pub fn image(instrument: u32) -> String {
        format!("image.{instrument}")
    }
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The connection's name in the bus's own lists.
    pub name: String,
    /// When the outcome of a request counts as unknown.
    pub request_timeout: Duration,
    /// Where everything goes that was not asked for.
    pub inbox: InboxSender,
}

/// Where the bus keeps its logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// In memory: the log ends with the bus's process. (At Redis the server's own settings decide.)
    #[default]
    Memory,
    /// On disk: the log survives the bus's process. (At Redis the server's own settings decide.)
    File,
}

/// How much the bus keeps, and where. Age and bytes are of the logs that feeds write; of those that clients
/// write it keeps [`crate::limits::CLIENTS_BATCHES_KEPT`] each, however old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Memory or disk.
    pub storage: Storage,
    /// How long an entry is kept. Values are kept for ever.
    pub max_age: Duration,
    /// Bytes of all these logs together; beyond it the oldest entries go. At Redis the bound is per bucket, its
    /// share of this.
    pub max_bytes: u64,
    /// Copies at a cluster of NATS; 1 everywhere else.
    pub replicas: u8,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            storage: Storage::Memory,
            max_age: Duration::from_secs(60),
            max_bytes: 512 << 20,
            replicas: 1,
        }
    }
}

/// What a client library says went wrong. It is for people to read: nothing is decided by it.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why the bus did not answer, or not as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The URL names another kind of bus.
    #[error("{0} is not this kind of bus")]
    Scheme(Scheme),
    /// No connection, or it broke.
    #[error("the bus cannot be reached")]
    Unreachable(#[source] Cause),
    /// No answer in time. Something asked for may have been done.
    #[error("the bus did not answer in time")]
    TimedOut,
    /// There is no place for logs and values under this prefix: no writer has made one, or it was lost.
    #[error("nothing has been made at the bus under this prefix")]
    Missing,
    /// The bus answered that it will not.
    #[error("the bus refuses")]
    Refused(#[source] Cause),
    /// The bus's answer cannot be read.
    #[error("the bus gave a malformed answer: {0}")]
    Malformed(&'static str),
    /// The handle was closed.
    #[error("the connection was closed")]
    Closed,
}

/// Why something was not appended, or is not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The bucket's newest offset was another than expected. Nothing was done.
    #[error("the log's newest offset is {actual}")]
    Conflict {
        /// What it was.
        actual: Offset,
    },
    /// It may have been done or not.
    #[error("whether it was appended is not known")]
    Unknown(#[source] BusError),
    /// Certainly nothing was done.
    #[error("not appended")]
    Refused(#[source] BusError),
}
