//! Progress on a terminal: how fast the feed is, where it is in the ring, how late.
//!
//! A thread of its own looks at [`Progress`] every second; the run only writes numbers there.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bus::BridgeProgress;
use feed_sim::Progress;

const EVERY: Duration = Duration::from_secs(1);

/// Ends the display when dropped, with a last line.
pub(crate) struct Shown {
    /// Dropped first: the display's thread wakes and ends.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Shows progress if standard error is a terminal or if it was asked for.
pub(crate) fn show(
    is_forced: bool,
    progress: Arc<Progress>,
    bridge: Option<Arc<BridgeProgress>>,
) -> Option<Shown> {
    let is_terminal = io::stderr().is_terminal();
    if !is_terminal && !is_forced {
        return None;
    }
    let (end, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut seen = Seen { at: Instant::now(), ticks: 0 };
        while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            write_line(&mut seen, &progress, bridge.as_deref(), is_terminal);
        }
        write_line(&mut seen, &progress, bridge.as_deref(), is_terminal);
        if is_terminal {
            let _ = writeln!(io::stderr());
        }
    });
    Some(Shown { end: Some(end), thread: Some(thread) })
}

struct Seen {
    at: Instant,
    ticks: u64,
}

fn write_line(
    seen: &mut Seen,
    progress: &Progress,
    bridge: Option<&BridgeProgress>,
    is_terminal: bool,
) {
    let ticks = progress.ticks.load(Ordering::Relaxed);
    let elapsed = seen.at.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a display")]
    let rate = (ticks - seen.ticks) as f64 / elapsed.as_secs_f64().max(1e-9);
    #[expect(clippy::cast_precision_loss, reason = "a display")]
    let lag_ms = progress.lag_ns.load(Ordering::Relaxed) as f64 / 1e6;
    let (begin, end) = if is_terminal { ("\r\x1b[K", "") } else { ("", "\n") };
    let bus = bridge.map(on_bus).unwrap_or_default();
    let mut stderr = io::stderr().lock();
    // A terminal that went away is no reason to stop the feed.
    let _ = write!(
        stderr,
        "{begin}{ticks} ticks, {rate:.0}/s, ring at {}, {lag_ms:.1} ms late, at {}, epoch {}{bus}{end}",
        progress.position.load(Ordering::Relaxed),
        clock(progress.feed_ns.load(Ordering::Relaxed)),
        progress.epochs.load(Ordering::Relaxed),
    );
    let _ = stderr.flush();
    *seen = Seen { at: Instant::now(), ticks };
}

fn on_bus(bridge: &BridgeProgress) -> String {
    let [appended, held, dropped] = [&bridge.appended, &bridge.held, &bridge.dropped]
        .map(|count| count.load(Ordering::Relaxed));
    format!("; bus has {appended}, {held} wait, {dropped} dropped")
}

/// Hours, minutes and seconds of the feed's time.
fn clock(feed_ns: u64) -> String {
    let seconds = feed_ns / 1_000_000_000;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
