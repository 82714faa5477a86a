//! Files of a run: a folder in memory that is gone when the run is, however it ends.
//!
//! Rings must lie in memory, so the folder does. It bears this process's id: an interrupt removes what
//! the process has, and the next run removes what a killed one left.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::ServerError;

const PARENT: &str = "/dev/shm";
const PREFIX: &str = "tickcast-bench-";

/// Exit code after a signal: what shells report for an interrupt.
const INTERRUPTED: i32 = 130;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Self, ServerError> {
        remove(|owner| !Path::new("/proc").join(owner.to_string()).exists());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(PARENT).join(format!("{PREFIX}{}-{number}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(ServerError::Io { what: path.display().to_string(), error }),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, ServerError> {
        let path = self.path(name);
        match std::fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(error) => Err(ServerError::Io { what: path.display().to_string(), error }),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If somebody else removed it, that is as well.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes the folders of owners that `is_to_go` names.
fn remove(is_to_go: impl Fn(u32) -> bool) {
    for entry in std::fs::read_dir(PARENT).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let owner = owner.and_then(|rest| rest.split_once('-')?.0.parse().ok());
        if owner.is_some_and(&is_to_go) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Ends this process on an interrupt, its folders removed. Its children end because it does.
pub(crate) fn remove_on_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            remove(|owner| owner == std::process::id());
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_with_their_folder() {
        let scratch = Scratch::new().unwrap();
        let file = scratch.write("ring", "ticks").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "ticks");
        // Another one's start takes nothing away from a process that lives.
        drop(Scratch::new().unwrap());
        assert!(file.exists());
        drop(scratch);
        assert!(!file.exists());
    }

    #[test]
    fn what_a_dead_process_left_is_removed() {
        // Above what Linux gives as a process id.
        let left = Path::new(PARENT).join(format!("{PREFIX}{}-0", 1 << 23));
        std::fs::create_dir_all(&left).unwrap();
        drop(Scratch::new().unwrap());
        assert!(!left.exists());
    }
}
