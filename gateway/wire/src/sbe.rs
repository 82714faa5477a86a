//! The binary encoding, `tickcast.v1.sbe`: Simple Binary Encoding 1.0, little-endian.
//!
//! One function per event appends whole messages to a buffer; messages stand back to back in a
//! WebSocket message. [`decode()`] reads them again. The schema for other people's tools is
//! [`SCHEMA_XML`](crate::SCHEMA_XML). Encoders are called by hubs through
//! [`Encoding`](crate::Encoding), once per entry and shard; the decoder by clients.

mod decode;
mod encode;
mod layout;
mod message;
#[cfg(test)]
mod schema;

pub use decode::{DecodeError, Messages, decode};
pub use encode::{
    definition, depth_snapshot, entry, feed_status, gap, heartbeat, merged_depth, partial_depth,
    publish,
};
pub use layout::{HEADER_BYTES, SCHEMA_ID, SCHEMA_VERSION, Template, depth_flags, snapshot_flags};
pub use message::{
    DepthSnapshot, DepthUpdate, EventHead, Gap, GapEntries, Levels, Message, PartialDepth,
};
