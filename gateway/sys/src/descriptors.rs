//! Tables of open files: how large one may be, and a table of its own for a thread.
//!
//! The kernel limits open files per *table*, and threads share their process's table only until one of
//! them calls `unshare(CLONE_FILES)`. A shard with its own table has the whole limit for itself, and
//! its file look-ups touch no reference count that another core writes to.

use std::io;
use std::mem::MaybeUninit;

/// Gives the calling thread a copy of the table of open files. From here on a descriptor opened in
/// this thread is unknown to the others and the other way round; what was open before is open in both,
/// and must be closed in both to be gone.
///
/// Threads created later share the table of the thread that creates them.
///
/// # Errors
/// If the kernel refuses (`EPERM` under some containers' seccomp profiles). The table is shared then,
/// as before.
pub fn unshare_files() -> io::Result<()> {
    // SAFETY: no memory is involved. Descriptors stay valid in this thread: the table is copied.
    let status = unsafe { libc::unshare(libc::CLONE_FILES) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn limits() -> io::Result<libc::rlimit> {
    let mut limits = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the pointer is to writable memory of the right type.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limits.as_mut_ptr()) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and has written the whole structure.
    Ok(unsafe { limits.assume_init() })
}

fn clamp(limit: libc::rlim_t) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// How many files a table may have open at once (the soft limit).
///
/// # Errors
/// If the kernel does not say.
pub fn open_files_limit() -> io::Result<usize> {
    Ok(clamp(limits()?.rlim_cur))
}

/// Raises the soft limit on open files to the hard one and returns it.
///
/// # Errors
/// If the kernel refuses.
pub fn raise_open_files_limit() -> io::Result<usize> {
    let mut wanted = limits()?;
    if wanted.rlim_cur < wanted.rlim_max {
        wanted.rlim_cur = wanted.rlim_max;
        // SAFETY: the pointer is to a live, initialised structure.
        let status = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(clamp(wanted.rlim_cur))
}

/// How many files the calling thread's table has open.
///
/// # Errors
/// If `/proc` is not mounted.
pub fn count_open_files() -> io::Result<usize> {
    // `/proc/self` is the process's main thread, whose table may be another. The listing has the
    // descriptor that it is read through in it.
    Ok(std::fs::read_dir("/proc/thread-self/fd")?.count().saturating_sub(1))
}
