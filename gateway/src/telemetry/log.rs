//! Log lines: to standard error, as text for people or one JSON object a line for machines.
//!
//! Whoever logs never waits: lines go to a thread, which writes them. A pipe that nobody reads or a disk that is
//! full costs lines, which are counted and told, and never a tick.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

use crate::config::LogFormat;

/// What others log at `info` is not for operators, unless they ask for it: the source says the same of
/// its bus, once.
const QUIET: &str = "async_nats=warn";

/// Lines that wait to be written. A burst of a thousand is written in a millisecond; they are 200 bytes each.
/// There: further ones are lost, `log_lines_lost`.
const LINES_MAX: usize = 4096;

/// How long the end of the process waits for lines that nobody may ever read.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// Lines that were not written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// The way to the thread that writes.
static QUEUE: OnceLock<SyncSender<Line>> = OnceLock::new();

/// The way to the filter.
static FILTER: OnceLock<Box<dyn Fn(EnvFilter) -> bool + Send + Sync>> = OnceLock::new();

/// What the writing thread is told.
enum Line {
    Text(Vec<u8>),
    /// Everything before it has been written, or lost.
    Mark(SyncSender<()>),
}

/// Starts logging for the process; later calls change nothing.
///
/// The filter is known to be good: [`crate::config`] read it.
pub fn start(format: LogFormat, filter: &str) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter_of(filter))
        .with_writer(|| Queue)
        // It would write of failed writes to the very place that takes none, and panic over that.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    // An error means that somebody else started logging: a test with two gateways in one process.
    let _ = match format {
        LogFormat::Text => {
            let lines = lines.with_target(false).with_filter_reloading();
            keep(lines.reload_handle());
            lines.try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            let lines = lines.with_filter_reloading();
            keep(lines.reload_handle());
            lines.try_init()
        }
    };
}

fn filter_of(filter: &str) -> EnvFilter {
    EnvFilter::new(format!("{QUIET},{filter}"))
}

/// Keeps the way to the filter, whoever the lines are written for.
fn keep<S: 'static>(handle: Handle<EnvFilter, S>) {
    // What was started first is in use.
    let _ = FILTER.set(Box::new(move |filter| handle.reload(filter).is_ok()));
}

/// Goes by this filter from now on; whether that could be.
///
/// The filter is known to be good: [`crate::config`] read it.
pub fn change_level(filter: &str) -> bool {
    FILTER.get().is_some_and(|change| change(filter_of(filter)))
}

/// Waits until what was logged so far has been written, but not for long.
pub fn finish() {
    let Some(queue) = QUEUE.get() else { return };
    let (mark, passed) = sync_channel(1);
    if queue.try_send(Line::Mark(mark)).is_ok() {
        let _ = passed.recv_timeout(FINISH_MAX);
    }
}

/// How many lines were not written, because nobody read them or there was no room for them.
pub(super) fn lines_lost() -> u64 {
    // Relaxed: a count that says nothing of other memory.
    LOST.load(Ordering::Relaxed)
}

/// Takes lines; each comes in one call.
struct Queue;

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let queue = QUEUE.get_or_init(|| {
            let (queue, lines) = sync_channel(LINES_MAX);
            // Without a thread every line is lost, and counted.
            let _ = std::thread::Builder::new().name("log".to_owned()).spawn(|| write(lines));
            queue
        });
        if queue.try_send(Line::Text(line.to_vec())).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines, and tells of those that were lost as soon as one gets through.
fn write(lines: Receiver<Line>) {
    let mut told = 0;
    for line in lines {
        match line {
            Line::Text(text) if io::stderr().write_all(&text).is_err() => {
                LOST.fetch_add(1, Ordering::Relaxed);
            }
            Line::Text(_) => {
                let lost = lines_lost();
                if lost > told {
                    tracing::warn!(lines = lost - told, "log lines were lost: nobody took them");
                    told = lost;
                }
            }
            // Who waits may have given up.
            Line::Mark(mark) => drop(mark.try_send(())),
        }
    }
}
