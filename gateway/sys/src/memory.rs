//! The process's memory: given back to the kernel, and in pages of ordinary size.
//!
//! mimalloc keeps pages that were freed for a second, and looks at the clock only when something is
//! freed: what a burst leaves behind stays with a thread that goes quiet after it. The C library's
//! allocator, which cryptography uses, keeps what it has.

use std::io;

/// Keeps the kernel from backing memory with huge pages unasked, where it would (`always` in
/// `/sys/kernel/mm/transparent_hugepage/enabled`). A thread that needs some kilobytes in a new place
/// gets 2 MiB for them then: 9 MB for each shard, measured. Memory that asks for huge pages with
/// `madvise` still gets them where the kernel can tell the two apart (Linux 6.18); older kernels give
/// none to this process.
///
/// # Errors
/// If the kernel knows neither way.
pub fn avoid_huge_pages() -> io::Result<()> {
    /// `PR_THP_DISABLE_EXCEPT_ADVISED` of `linux/prctl.h`.
    const EXCEPT_ADVISED: libc::c_ulong = 1 << 1;
    let disable = |flags: libc::c_ulong| {
        let unused: libc::c_ulong = 0;
        // SAFETY: sets a flag of the process; no memory is passed, and none changes.
        unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1 as libc::c_ulong, flags, unused, unused) }
    };
    if disable(EXCEPT_ADVISED) == 0 || disable(0) == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Returns to the kernel what the calling thread has freed and what the allocator keeps for everybody.
/// Walks all of it: not for the way of a tick.
pub fn give_back() {
    // SAFETY: the allocator may be asked this at any time, from any thread, whether or not it is the
    // process's allocator; nothing that is in use is touched.
    unsafe { libmimalloc_sys::mi_collect(true) };
    #[cfg(target_env = "gnu")]
    // SAFETY: takes the allocator's own locks and gives back pages that hold nothing in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_avoided_where_there_are_any() {
        avoid_huge_pages().unwrap();
        let none: libc::c_ulong = 0;
        // SAFETY: asks for a flag of the process.
        let disabled = unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, none, none, none, none) };
        assert!(disabled > 0, "{disabled}");
    }

    #[test]
    fn what_is_in_use_stays() {
        let kept = vec![7u8; 1 << 20];
        drop(vec![1u8; 1 << 20]);
        give_back();
        assert!(kept.iter().all(|byte| *byte == 7));
    }
}
