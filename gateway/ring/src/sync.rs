//! The atomics everything here is made of: the standard library's, or loom's under `--cfg loom`.
//!
//! Every atomic that a model in `tests/loom.rs` must see comes from here. Those that only concern
//! system calls (signal handler, stop flags) are the standard library's in both cases.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
