//! The fleet: a load's worker processes, as their parent sees them.
//!
//! Workers are this program again, spoken to over pipes ([`crate::generator::plan`]). A fleet that is dropped
//! ends its workers: they end themselves when their input closes, and are killed if they do not.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::generator::plan::{Note, Order, Plan, Progress, WorkerReport};
use crate::generator::tally::Window;
use crate::server::Usage;

/// Files a worker has besides its connections: standard streams, poll set, libraries' own.
const FILES_RESERVED: u64 = 64;

/// Workers report within this, or something is wrong with them.
const REPORT_PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no fleet, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FleetError {
    #[error("cannot start a worker: {0}")]
    Spawn(#[source] std::io::Error),
    #[error("cannot tell a worker its plan: {0}")]
    Plan(#[source] serde_json::Error),
    #[error("worker {0}: {1}")]
    Fatal(usize, String),
    #[error("worker {0} ended without a report")]
    Gone(usize),
    #[error("the workers did not report in time")]
    Silent,
}

struct Member {
    child: Child,
    orders: ChildStdin,
    progress: Progress,
    is_ready: bool,
    has_heard: bool,
    report: Option<WorkerReport>,
}

/// See the module's documentation.
pub(crate) struct Fleet {
    members: Vec<Member>,
    notes: Receiver<(usize, Option<Note>)>,
}

/// How many connections one worker can hold here. Raises the soft limit on open files.
pub(crate) fn connections_per_worker() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    limit.saturating_sub(FILES_RESERVED).max(1)
}

impl Fleet {
    /// Starts a worker for each plan.
    pub(crate) fn launch(plans: &[Plan]) -> Result<Self, FleetError> {
        let (sender, notes) = channel();
        let mut fleet = Self { members: Vec::new(), notes };
        let program = std::env::current_exe().map_err(FleetError::Spawn)?;
        for (index, plan) in plans.iter().enumerate() {
            let mut command = Command::new(&program);
            command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().map_err(FleetError::Spawn)?;
            let (orders, notes) = (child.stdin.take(), child.stdout.take());
            let (Some(orders), Some(notes)) = (orders, notes) else {
                return Err(FleetError::Gone(index));
            };
            let sender = sender.clone();
            std::thread::spawn(move || listen(index, notes, &sender));
            let progress = Progress::default();
            let (is_ready, has_heard, report) = (false, false, None);
            fleet.members.push(Member { child, orders, progress, is_ready, has_heard, report });
            let mut line = serde_json::to_vec(plan).map_err(FleetError::Plan)?;
            line.push(b'\n');
            // A worker that is gone already says so through its notes.
            let _ = fleet.members[index].orders.write_all(&line);
        }
        Ok(fleet)
    }

    /// Waits until every connection is open or has failed. `watch` is called with each progress.
    pub(crate) fn ready(
        &mut self,
        mut watch: impl FnMut(Progress),
    ) -> Result<Progress, FleetError> {
        self.ready_or_enough(|progress| {
            watch(progress);
            Go::On
        })
    }

    /// The same; when `watch` says so, no more are opened.
    pub(crate) fn ready_or_enough(
        &mut self,
        mut watch: impl FnMut(Progress) -> Go,
    ) -> Result<Progress, FleetError> {
        let mut is_enough = false;
        while self.members.iter().any(|member| !member.is_ready) {
            self.hear(Instant::now() + Duration::from_secs(1))?;
            if watch(self.progress()) == Go::Stop && !is_enough {
                is_enough = true;
                self.order(Order::Enough)?;
            }
        }
        Ok(self.progress())
    }

    /// Memory and CPU time of the workers together.
    pub(crate) fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for member in &self.members {
            // One that has ended has none.
            sum.add(Usage::of_one(member.child.id()).unwrap_or_default());
        }
        sum
    }

    /// Lets time pass until `end`, or until `watch` says that it is enough.
    pub(crate) fn pass(
        &mut self,
        end: Instant,
        mut watch: impl FnMut(Progress) -> Go,
    ) -> Result<(), FleetError> {
        while Instant::now() < end {
            self.hear(end)?;
            if watch(self.progress()) == Go::Stop {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn order(&mut self, order: Order) -> Result<(), FleetError> {
        let mut line = serde_json::to_vec(&order).map_err(FleetError::Plan)?;
        line.push(b'\n');
        for (index, member) in self.members.iter_mut().enumerate() {
            member.orders.write_all(&line).map_err(|_| FleetError::Gone(index))?;
        }
        Ok(())
    }

    /// Says what is to be measured, and waits until all have heard it.
    pub(crate) fn measure(&mut self, window: Window) -> Result<(), FleetError> {
        for member in &mut self.members {
            member.has_heard = false;
        }
        self.order(Order::Measure(window))?;
        while self.members.iter().any(|member| !member.has_heard) {
            self.hear(Instant::now() + Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Ends the workers and takes their reports.
    pub(crate) fn finish(mut self) -> Result<Vec<WorkerReport>, FleetError> {
        self.order(Order::Finish)?;
        let end = Instant::now() + REPORT_PATIENCE;
        while self.members.iter().any(|member| member.report.is_none()) {
            if Instant::now() >= end {
                return Err(FleetError::Silent);
            }
            self.hear(end)?;
        }
        Ok(self.members.iter_mut().filter_map(|member| member.report.take()).collect())
    }

    /// The sum of what all said last.
    pub(crate) fn progress(&self) -> Progress {
        let mut sum = Progress::default();
        for Member { progress, .. } in &self.members {
            sum.started += progress.started;
            sum.open += progress.open;
            sum.receiving += progress.receiving;
            sum.failed += progress.failed;
            sum.closed += progress.closed;
            sum.messages += progress.messages;
            sum.in_window += progress.in_window;
            sum.bytes += progress.bytes;
        }
        sum
    }

    /// Takes one note, or none by `end`.
    fn hear(&mut self, end: Instant) -> Result<(), FleetError> {
        let wait = end.saturating_duration_since(Instant::now());
        let (index, note) = match self.notes.recv_timeout(wait) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(FleetError::Gone(0)),
        };
        let member = &mut self.members[index];
        match note {
            Some(Note::Progress(progress)) => member.progress = progress,
            Some(Note::Ready(progress)) => {
                member.progress = progress;
                member.is_ready = true;
            }
            Some(Note::Heard) => member.has_heard = true,
            Some(Note::Report(report)) => member.report = Some(*report),
            Some(Note::Fatal(reason)) => return Err(FleetError::Fatal(index, reason)),
            None if member.report.is_some() => {}
            None => return Err(FleetError::Gone(index)),
        }
        Ok(())
    }
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Stop,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for member in &mut self.members {
            // One that has reported is ending by itself; the kill finds it or not, either is right.
            if member.report.is_none() {
                let _ = member.child.kill();
            }
            let _ = member.child.wait();
        }
    }
}

/// Passes a worker's notes on; none when its output ends.
fn listen(index: usize, output: ChildStdout, notes: &Sender<(usize, Option<Note>)>) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { break };
        let note = serde_json::from_str(&line)
            .unwrap_or_else(|error| Note::Fatal(format!("said what it should not: {error}")));
        if notes.send((index, Some(note))).is_err() {
            return;
        }
    }
    // The fleet may have been dropped meanwhile.
    let _ = notes.send((index, None));
}
