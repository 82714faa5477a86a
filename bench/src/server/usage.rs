//! What a server uses: CPU time and memory of a process with all its descendants, from `/proc`.
//!
//! CPU time is read from the clock of the process, which counts ns and remembers threads that ended;
//! `/proc/PID/stat` counts hundredths of a second, and `schedstat` forgets.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::clock::process_cpu_ns;

/// A reading, or sums of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    /// Proportional set size, bytes: shared pages are divided among those who share them.
    pub(crate) pss: u64,
    pub(crate) rss: u64,
    pub(crate) threads: u64,
    pub(crate) processes: u64,
}

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UsageError {
    #[error("process {0} is gone")]
    Gone(u32),
    #[error("/proc/{pid}/{file}: {error}")]
    Read { pid: u32, file: &'static str, error: std::io::Error },
    #[error("{file} does not say {what}")]
    Form { file: String, what: &'static str },
}

impl Usage {
    /// Of a process and all that descend from it.
    pub(crate) fn of(pid: u32) -> Result<Self, UsageError> {
        let mut sum = Self::default();
        for pid in descendants(pid) {
            match Self::of_one(pid) {
                Ok(usage) => sum.add(usage),
                // A helper process may end between the two looks; the server itself may not.
                Err(error) if sum.processes == 0 => return Err(error),
                Err(_) => {}
            }
        }
        Ok(sum)
    }

    /// Of one process.
    pub(crate) fn of_one(pid: u32) -> Result<Self, UsageError> {
        let tasks =
            std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| UsageError::Gone(pid))?;
        let threads = tasks.flatten().map(|_| 1).sum();
        let cpu_ns = process_cpu_ns(pid).ok_or(UsageError::Gone(pid))?;
        let mut usage = Self { processes: 1, threads, cpu_ns, ..Self::default() };
        let read = |file: &'static str| {
            std::fs::read_to_string(format!("/proc/{pid}/{file}"))
                .map_err(|error| UsageError::Read { pid, file, error })
        };
        let rollup = read("smaps_rollup")?;
        let kib = |name| {
            number(&rollup, name, 1).ok_or_else(|| UsageError::Form {
                file: format!("/proc/{pid}/smaps_rollup"),
                what: name,
            })
        };
        usage.pss = kib("Pss:")? << 10;
        usage.rss = kib("Rss:")? << 10;
        Ok(usage)
    }

    /// CPU time since an earlier reading.
    pub(crate) const fn cpu_since(&self, earlier: &Self) -> u64 {
        self.cpu_ns.saturating_sub(earlier.cpu_ns)
    }

    pub(crate) const fn add(&mut self, other: Self) {
        self.cpu_ns += other.cpu_ns;
        self.pss += other.pss;
        self.rss += other.rss;
        self.threads += other.threads;
        self.processes += other.processes;
    }
}

/// The process first, then its descendants.
fn descendants(root: u32) -> Vec<u32> {
    let mut children = BTreeMap::<u32, BTreeSet<u32>>::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in parentheses may contain anything, parentheses too.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|word| word.parse().ok()) {
            children.entry(parent).or_default().insert(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// The machine's memory as far as sockets and their owners take it, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineMemory {
    pub(crate) available: u64,
    /// Slabs: sockets, inodes, files, dentries.
    pub(crate) slab: u64,
    /// Buffers of TCP sockets.
    pub(crate) tcp: u64,
    /// TCP sockets in use.
    pub(crate) tcp_sockets: u64,
}

impl MachineMemory {
    pub(crate) fn read() -> Result<Self, UsageError> {
        let meminfo = text("/proc/meminfo")?;
        let sockstat = text("/proc/net/sockstat")?;
        let of = |text: &str, file: &str, name, column| {
            number(text, name, column)
                .ok_or_else(|| UsageError::Form { file: file.to_owned(), what: name })
        };
        Ok(Self {
            available: of(&meminfo, "/proc/meminfo", "MemAvailable:", 1)? << 10,
            slab: of(&meminfo, "/proc/meminfo", "Slab:", 1)? << 10,
            // `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1`: the last is in pages.
            tcp: of(&sockstat, "/proc/net/sockstat", "TCP:", 10)? << 12,
            tcp_sockets: of(&sockstat, "/proc/net/sockstat", "TCP:", 2)?,
        })
    }
}

fn text(path: &str) -> Result<String, UsageError> {
    std::fs::read_to_string(path)
        .map_err(|_| UsageError::Form { file: path.to_owned(), what: "anything" })
}

/// The number that is the `column`th word of the line that begins with `name`.
fn number(text: &str, name: &str, column: usize) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// Another process, because this one runs other tests at the same time, whose threads and memory come and go.
    #[test]
    fn memory_and_cpu_time_of_a_process_are_what_it_takes() {
        const KEPT: usize = 32 << 20;
        let mut tail = Command::new("tail")
            .args(["-c", &KEPT.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let before = Usage::of(tail.id()).unwrap();
        // It keeps what it may have to print, until its input ends; the pipe is behind it by 64 KiB at most.
        let mut input = tail.stdin.take().unwrap();
        input.write_all(&vec![1; KEPT]).unwrap();
        let during = Usage::of(tail.id()).unwrap();
        drop(input);
        tail.wait().unwrap();
        assert!(during.pss - before.pss > 31 << 20, "{before:?} {during:?}");
        assert!(during.rss >= during.pss, "{during:?}");
        assert!(during.cpu_since(&before) > 1_000_000, "{before:?} {during:?}");
        assert_eq!((during.threads, during.processes), (1, 1));
    }

    #[test]
    fn descendants_count_too() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let usage = Usage::of(std::process::id()).unwrap();
        let found = descendants(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&child.id()) && usage.processes > 1, "{found:?}");
        assert!(matches!(Usage::of(child.id()), Err(UsageError::Gone(_))));
    }

    #[test]
    fn the_machine_says_what_memory_it_has() {
        let memory = MachineMemory::read().unwrap();
        assert!(memory.available > 0 && memory.slab > 0, "{memory:?}");
    }
}
