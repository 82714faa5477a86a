//! The runtime of a thread beside the shards that they wake: a source, the publishing thread.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// A runtime for one such thread, to be made on boot's thread, before the shards are started.
///
/// What a runtime is woken by is a descriptor. Shards split off their tables of open files when they start,
/// so that one made later, or on a thread of its own, is not in theirs, and they would wake nobody.
///
/// # Errors
/// If the system has no descriptors for it.
pub(crate) fn woken_by_shards() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
