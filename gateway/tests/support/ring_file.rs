//! A ring in shared memory, as a file of the test's own.

use std::path::{Path, PathBuf};

/// The file, which goes with the test.
#[derive(Debug)]
pub struct RingFile(PathBuf);

impl RingFile {
    /// A name that no other test of this process has makes it a file that no other test has.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(PathBuf::from(format!("/dev/shm/tickcast-test-{}-{name}", std::process::id())))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What `--source` and `--out` call it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("shm:{}", self.0.display())
    }
}

impl Drop for RingFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
