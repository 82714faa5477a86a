//! The kernel, as far as Tickcast needs more of it than the standard library offers: socket options,
//! one poll set per shard, batched sends, eventfds, descriptor tables, affinity, limits, memory.
//!
//! With `ring` the only crate that may contain `unsafe`; each block says why it is sound. Nothing here
//! knows a session, a tick or a protocol. Linux only.

mod affinity;
mod descriptors;
mod event_fd;
mod memory;
mod poll_set;
mod readiness;
mod send_batch;
mod socket;

pub use affinity::{allowed_cores, pin_to_core};
pub use descriptors::{count_open_files, open_files_limit, raise_open_files_limit, unshare_files};
pub use event_fd::EventFd;
pub use memory::{avoid_huge_pages, give_back};
pub use poll_set::{PollSet, Readable, Ready, Token};
pub use readiness::{Readiness, Watchable};
pub use send_batch::SendBatch;
pub use socket::{
    SocketOptions, configure, is_writable, listen, peer_address, receive, reset_on_close, send,
    unsent_bytes,
};
