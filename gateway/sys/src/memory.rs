//! The allocator's memory, given back to the kernel.
//!
//! mimalloc keeps pages that were freed for a second, and looks at the clock only when something is
//! freed: what a burst leaves behind stays with a thread that goes quiet after it. The C library's
//! allocator, which cryptography uses, keeps what it has.

/// Returns to the kernel what the calling thread has freed and what the allocator keeps for everybody.
/// Costs from 0.1 ms to some ms, by how much there is: not for the way of a tick.
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
    fn what_is_in_use_stays() {
        let kept = vec![7u8; 1 << 20];
        drop(vec![1u8; 1 << 20]);
        give_back();
        assert!(kept.iter().all(|byte| *byte == 7));
    }
}
