//! Which core a thread runs on.

use std::io;
use std::mem::MaybeUninit;

/// Binds the calling thread to one core. Threads that it creates later inherit the binding.
///
/// # Errors
/// If the core does not exist or this process may not use it (`EINVAL`).
pub fn pin_to_core(core: usize) -> io::Result<()> {
    let bits = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    if core >= bits {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: `cpu_set_t` is a plain array of words, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `core` is below CPU_SETSIZE, so the bit lies inside the set.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: pid 0 is the calling thread; the pointer and size describe a live `cpu_set_t`.
    let status = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The cores that the calling thread may run on, ascending. Containers often allow only some.
///
/// # Errors
/// If the kernel does not say (a machine with more cores than `cpu_set_t` has bits).
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    // SAFETY: as in `pin_to_core`.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: pid 0 is the calling thread; the pointer and size describe a live, writable set.
    let status = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    let bits = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: every index is below CPU_SETSIZE.
    Ok((0..bits).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_bound_to_a_core_may_use_only_that_one() {
        let core = *allowed_cores().unwrap().last().unwrap();
        std::thread::spawn(move || {
            pin_to_core(core).unwrap();
            assert_eq!(allowed_cores().unwrap(), [core]);
        })
        .join()
        .unwrap();
        assert!(pin_to_core(usize::MAX).is_err());
    }
}
