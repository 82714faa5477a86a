//! The process as the system sees it: age, memory, open files.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::log;

/// What the process knows of itself.
#[derive(Debug)]
pub struct Process {
    started: Instant,
    started_at: SystemTime,
    /// Certificates read again, and attempts that failed.
    certificate_reloads: AtomicU64,
    certificate_failures: AtomicU64,
    /// When the certificate in use expires, seconds since the Unix epoch; 0: there is none.
    certificate_expires_at_s: AtomicI64,
    /// Configurations read again, and attempts that failed.
    config_reloads: AtomicU64,
    config_failures: AtomicU64,
}

/// What is read again while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAgain {
    /// The configuration.
    Config,
    /// The certificate.
    Certificate,
}

/// A copy of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessView {
    /// When the process started, seconds since the Unix epoch.
    pub started_at_s: f64,
    /// Resident memory, bytes; 0 where the system does not say.
    pub resident_bytes: u64,
    /// Open files of the main thread's table; shards may have their own.
    pub open_files: u64,
    /// The limit on open files, for each table.
    pub open_files_limit: u64,
    /// Certificates read again.
    pub certificate_reloads: u64,
    /// Certificates that could not be read again.
    pub certificate_failures: u64,
    /// When the certificate in use expires, seconds since the Unix epoch; 0: there is none.
    pub certificate_expires_at_s: i64,
    /// Configurations read again.
    pub config_reloads: u64,
    /// Configurations that were refused, or could not be read again.
    pub config_failures: u64,
    /// Log lines that were not written.
    pub log_lines_lost: u64,
}

impl Process {
    /// The process, as of now.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            started_at: SystemTime::now(),
            certificate_reloads: AtomicU64::new(0),
            certificate_failures: AtomicU64::new(0),
            certificate_expires_at_s: AtomicI64::new(0),
            config_reloads: AtomicU64::new(0),
            config_failures: AtomicU64::new(0),
        })
    }

    /// Since when it runs.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts an attempt to read something again.
    pub fn count_reload<T, E>(&self, what: ReadAgain, result: &Result<T, E>) {
        let counter = match (what, result) {
            (ReadAgain::Config, Ok(_)) => &self.config_reloads,
            (ReadAgain::Config, Err(_)) => &self.config_failures,
            (ReadAgain::Certificate, Ok(_)) => &self.certificate_reloads,
            (ReadAgain::Certificate, Err(_)) => &self.certificate_failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes when the certificate in use expires, seconds since the Unix epoch.
    pub fn note_expiry(&self, at_s: i64) {
        self.certificate_expires_at_s.store(at_s, Ordering::Relaxed);
    }

    /// Looks at the system.
    #[must_use]
    pub fn view(&self) -> ProcessView {
        let count = |count: std::io::Result<usize>| {
            u64::try_from(count.unwrap_or_default()).unwrap_or(u64::MAX)
        };
        ProcessView {
            started_at_s: self
                .started_at
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64(),
            resident_bytes: resident_bytes().unwrap_or_default(),
            open_files: count(sys::count_open_files()),
            open_files_limit: count(sys::open_files_limit()),
            certificate_reloads: self.certificate_reloads.load(Ordering::Relaxed),
            certificate_failures: self.certificate_failures.load(Ordering::Relaxed),
            certificate_expires_at_s: self.certificate_expires_at_s.load(Ordering::Relaxed),
            config_reloads: self.config_reloads.load(Ordering::Relaxed),
            config_failures: self.config_failures.load(Ordering::Relaxed),
            log_lines_lost: log::lines_lost(),
        }
    }
}

/// `VmRSS` of `/proc/self/status`, which is in KiB whatever the page size.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_memory_and_files() {
        let view = Process::new().view();
        assert!(view.resident_bytes > 1 << 20);
        assert!(view.open_files > 2);
        assert!(view.open_files_limit > view.open_files);
    }
}
