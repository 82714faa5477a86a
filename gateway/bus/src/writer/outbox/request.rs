//! What an outbox asks of the bus, and what the bus may answer.

use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::Catalog;
use crate::entry::Offset;
use crate::stored_image::StoredImage;
use crate::writer::throne::Mark;

/// What is to be asked of the bus.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// The newest entry of this log.
    Tail {
        /// Whose log.
        bucket: u32,
    },
    /// To append, if the newest offset is as expected.
    Append {
        /// Whose log.
        bucket: u32,
        /// The newest offset.
        expected: Offset,
        /// A batch.
        payload: Bytes,
    },
    /// To keep the catalog.
    PutCatalog(Arc<Catalog>),
    /// To keep an image.
    PutImage(Box<StoredImage>),
    /// Tells readers that the writer lives. Not answered.
    Pulse(Bytes),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What the newest entry is, if there is one.
    Tail {
        /// Whose log.
        bucket: u32,
        /// The entry.
        tail: Option<Mark>,
    },
    /// It was appended.
    Appended {
        /// To which log.
        bucket: u32,
        /// Its offset.
        offset: Offset,
    },
    /// It was not: the newest offset is another.
    Conflict {
        /// Of which log.
        bucket: u32,
        /// The newest offset.
        actual: Offset,
    },
    /// A tail or an append whose outcome is not known, or that certainly was not done.
    Doubt {
        /// Of which log.
        bucket: u32,
    },
    /// What became of the catalog.
    CatalogPut {
        /// Whether it is known to be kept.
        is_stored: bool,
    },
    /// What became of an image.
    ImagePut {
        /// Whose.
        instrument: u32,
        /// Whether it is known to be kept.
        is_stored: bool,
    },
}
