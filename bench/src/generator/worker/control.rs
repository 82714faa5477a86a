//! The worker's line to its parent: standard input and output.

use std::io::{self, BufRead, Read, Stdin, Write};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};

use super::WorkerError;
use crate::generator::plan::{Note, Order, Plan};

/// See the module's documentation.
pub(super) struct Control {
    input: Stdin,
    /// An order whose line is not whole yet.
    pending: Vec<u8>,
}

impl Control {
    pub(super) fn new() -> Self {
        Self { input: io::stdin(), pending: Vec::new() }
    }

    /// Waits for the plan: the first line. The parent sends orders only when it has heard a note, so
    /// the buffered reader takes nothing beyond it.
    pub(super) fn plan(&mut self) -> Result<Plan, WorkerError> {
        let mut line = String::new();
        self.input.lock().read_line(&mut line)?;
        serde_json::from_str(&line).map_err(WorkerError::Plan)
    }

    pub(super) fn register(&self, poll: &Poll, token: Token) -> io::Result<()> {
        let fd = self.input.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)
    }

    /// The order that the input is ready with; none when the parent is gone.
    ///
    /// Orders are short and seldom: one read, which the event says will not block, brings one.
    pub(super) fn order(&mut self) -> Option<Order> {
        let mut chunk = [0; 512];
        match self.input.lock().read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(read) => self.pending.extend_from_slice(&chunk[..read]),
        }
        while !self.pending.ends_with(b"\n") {
            match self.input.lock().read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.pending.extend_from_slice(&chunk[..read]),
            }
        }
        // If the parent was faster than this worker, its last word counts.
        let mut lines = self.pending.trim_ascii().rsplit(|byte| *byte == b'\n');
        let order = lines.next().and_then(|line| serde_json::from_slice(line).ok());
        self.pending.clear();
        order
    }

    /// Tells the parent. If it is gone, the end of the input says so soon.
    pub(super) fn say(&mut self, note: &Note) {
        let mut out = io::stdout().lock();
        if serde_json::to_writer(&mut out, note).is_ok() {
            let _ = out.write_all(b"\n").and_then(|()| out.flush());
        }
    }
}
