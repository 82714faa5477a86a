//! A real shard against raw sockets: bytes in, bytes out, and what is left afterwards.
//!
//! The ring is on the heap and the test is its publisher, so that every tick a client must get is
//! known. Clients are plain `TcpStream`s that build frames themselves, well-formed or not.

#![allow(clippy::cast_possible_truncation, reason = "test data is small")]

mod client;
mod follower;
#[path = "../support/process_view.rs"]
mod process_view;
mod rig;

mod bad_input;
mod batches;
mod closing;
mod delivery;
mod echo;
mod handshake;
mod limits;
mod shards;
mod stalls;
mod timing;
mod tls;
