//! The gateway: the shell around [`hub`], from the feed's ring to clients' sockets.
//!
//! What is here owns sockets, threads, clocks, files and signals. What a client is sent, and when it
//! is conflated, is decided by the [`hub`], which knows none of these. [`boot`] reads top-down as
//! the order in which a process comes up and goes down; start there.

#![forbid(unsafe_code)]

pub mod admin;
pub mod admission;
pub mod auth;
pub mod background;
pub mod boot;
pub mod clock;
pub mod config;
pub mod exchange;
pub mod fleet;
#[doc(hidden)]
pub mod fuzzing;
pub mod history;
mod http;
mod native;
pub mod proxies;
pub mod publish;
pub mod routes;
mod runtime;
mod session;
pub mod shard;
pub mod source;
mod sse;
pub mod telemetry;
mod tls;
pub mod tool;
