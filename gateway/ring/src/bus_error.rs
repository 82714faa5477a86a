//! What happens when somebody cuts a mapped file: the next access behind its new end raises SIGBUS,
//! which would end the process.
//!
//! Mappings are registered in a table that a signal handler can read. Its handler lays anonymous zero
//! pages over the whole mapping, marks it poisoned and returns: the access is repeated and reads zero,
//! which no slot, image or header takes for something whole. Any other SIGBUS goes to the handler that
//! was there before.
//!
//! The handler only loads and stores atomics and calls mmap, sigaction and raise, which are single system
//! calls. It is installed once and never removed; a handler installed after it must pass on
//! what is not its own, as this one does.

use std::ptr::{NonNull, null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

/// Mappings of this process at one time: the ring of a source, its successor, and room. An entry is 32
/// bytes. A mapping beyond is refused with an error.
const MAPPINGS_MAX: usize = 64;

static TABLE: [Entry; MAPPINGS_MAX] = [const { Entry::new() }; MAPPINGS_MAX];

/// The handler that was there before, and the answer whether ours is there.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static INSTALLED: OnceLock<bool> = OnceLock::new();

/// A line of the table. `start` is 0 while it stands for no mapping, and is written last.
struct Entry {
    claimed: AtomicBool,
    start: AtomicUsize,
    bytes: AtomicUsize,
    poisoned: AtomicBool,
}

/// A mapping's line in the table.
#[derive(Debug)]
pub(crate) struct Registration {
    index: usize,
}

impl Entry {
    const fn new() -> Self {
        Self {
            claimed: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Whether the address lies in this entry's mapping, and where that is.
    fn holds(&self, address: usize) -> Option<(usize, usize)> {
        let start = self.start.load(Ordering::Acquire);
        let bytes = self.bytes.load(Ordering::Acquire);
        let is_stable = self.start.load(Ordering::Acquire) == start;
        let holds = start != 0 && is_stable && address.wrapping_sub(start) < bytes;
        holds.then_some((start, bytes))
    }
}

impl Registration {
    /// Registers a mapping before its first access. None: no free line, or no handler.
    pub(crate) fn new(base: NonNull<u8>, bytes: usize) -> Option<Self> {
        if !*INSTALLED.get_or_init(install) {
            return None;
        }
        let free = |entry: &Entry| {
            let claim =
                entry.claimed.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            claim.is_ok()
        };
        let index = TABLE.iter().position(free)?;
        let entry = &TABLE[index];
        entry.poisoned.store(false, Ordering::Relaxed);
        entry.bytes.store(bytes, Ordering::Relaxed);
        // Release: the handler takes an entry whose start it sees.
        entry.start.store(base.as_ptr().addr(), Ordering::Release);
        Some(Self { index })
    }

    /// Whether the mapping has been replaced by zeroes.
    #[inline]
    pub(crate) fn is_poisoned(&self) -> bool {
        // Acquire: the handler sets it before it changes the mapping.
        TABLE[self.index].poisoned.load(Ordering::Acquire)
    }

    /// Marks the mapping as cut although no access has failed yet.
    pub(crate) fn poison(&self) {
        TABLE[self.index].poisoned.store(true, Ordering::Release);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let entry = &TABLE[self.index];
        entry.start.store(0, Ordering::Release);
        entry.bytes.store(0, Ordering::Release);
        entry.claimed.store(false, Ordering::Release);
    }
}

/// Puts our handler in front of the one that is there.
fn install() -> bool {
    // SAFETY: sigaction with valid structures; all zeroes are a valid sigaction. The previous handler
    // is stored before ours can run. `handle` has the signature that SA_SIGINFO asks for.
    unsafe {
        let mut previous: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, null(), &raw mut previous) != 0 {
            return false;
        }
        PREVIOUS.get_or_init(|| previous);
        let mut ours: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = handle;
        ours.sa_sigaction = handler as usize;
        // On the alternate stack where a thread has one, as the standard library's threads do.
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut ours.sa_mask);
        libc::sigaction(libc::SIGBUS, &raw const ours, null_mut()) == 0
    }
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a valid `info` to a SA_SIGINFO handler; si_addr is meaningful for
    // BUS_ADRERR, the code of an access behind a file's end. errno is this thread's own.
    unsafe {
        let errno = *libc::__errno_location();
        let mended = (*info).si_code == libc::BUS_ADRERR && mend((*info).si_addr().addr());
        *libc::__errno_location() = errno;
        if !mended {
            forward(signal, info, context);
        }
    }
}

/// Lays zeroes over the mapping that holds the address. False: there is none, or no memory for it.
fn mend(address: usize) -> bool {
    let Some((entry, (start, bytes))) =
        TABLE.iter().find_map(|entry| entry.holds(address).map(|range| (entry, range)))
    else {
        return false;
    };
    // Before the change: who reads a zero of the new pages must then see this mark.
    entry.poisoned.store(true, Ordering::SeqCst);
    // SAFETY: the range is a mapping of ours, and the faulting thread uses it, so it is not being
    // given up. Zeroes are valid for everything in it.
    let pages = unsafe {
        libc::mmap(
            std::ptr::with_exposed_provenance_mut(start),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    pages != libc::MAP_FAILED
}

/// Passes the signal on as if this handler were not here.
///
/// # Safety
/// The arguments are those of a signal handler that is running.
unsafe fn forward(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    type Plain = extern "C" fn(c_int);
    type WithInfo = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
    let previous = PREVIOUS.get();
    let handler = previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction);
    // SAFETY: as the caller promises; a handler that is neither of the two constants is a function
    // of the type that its flags say. A raised signal is delivered when this handler returns.
    unsafe {
        let sent_by_process = (*info).si_code <= 0;
        if handler == libc::SIG_IGN && sent_by_process {
            return;
        }
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            let mut default: libc::sigaction = std::mem::zeroed();
            default.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(signal, &raw const default, null_mut());
            libc::raise(signal);
        } else if previous.is_some_and(|previous| previous.sa_flags & libc::SA_SIGINFO != 0) {
            std::mem::transmute::<usize, WithInfo>(handler)(signal, info, context);
        } else {
            std::mem::transmute::<usize, Plain>(handler)(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_mapping_only() {
        let base = NonNull::new(std::ptr::without_provenance_mut(0x7000_0000_0000)).unwrap();
        let registration = Registration::new(base, 4096).unwrap();
        let entry = &TABLE[registration.index];
        assert_eq!(entry.holds(0x7000_0000_0000), Some((0x7000_0000_0000, 4096)));
        assert!(entry.holds(0x7000_0000_0fff).is_some());
        assert!(entry.holds(0x7000_0000_1000).is_none());
        assert!(entry.holds(0x6fff_ffff_ffff).is_none());
        assert!(!registration.is_poisoned());
        drop(registration);
        assert!(TABLE.iter().all(|entry| entry.holds(0x7000_0000_0000).is_none()));
    }
}
