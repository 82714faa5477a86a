//! The publisher: a process that offers quotes to a peer at a fixed schedule, as a feed would.
//!
//! Open loop: tick `i` is due at the start plus `i / rate` seconds and bears that time, whenever it is
//! sent. What is due and not sent yet goes out at once, in one write, because that is what suits the
//! peers best. It runs on the client's core, like the feed of Tickcast does, so that a server's core
//! pays for taking ticks in and for nothing else. [`pace`] is the loop, [`protocol`] what the bytes
//! between quotes look like. The parent's side is [`Publisher`]; `server` is the caller.

mod pace;
mod protocol;

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cpu::{self, CpuUse};
use crate::latency::Percentiles;

pub(crate) use self::protocol::Protocol;

/// What is offered, and to whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct PublisherArgs {
    #[arg(long, value_enum)]
    pub(crate) protocol: Protocol,
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// S0.quote, S1.quote and so on, in turn.
    #[arg(long)]
    pub(crate) topics: u32,
    /// Ticks a second over all topics.
    #[arg(long)]
    pub(crate) rate: f64,
    /// Core to run on; any if not given.
    #[arg(long)]
    pub(crate) core: Option<usize>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct PublisherReport {
    /// Handed to the kernel.
    pub(crate) ticks: u64,
    /// From when a tick was due until the kernel had it: the publisher's share of the latency.
    pub(crate) late: Percentiles,
    pub(crate) cpu: CpuUse,
    pub(crate) wall_ns: u64,
}

/// Why nothing is published, or no more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PublisherError {
    #[error("--topics must be at least 1 and --rate a number above 0")]
    Offer,
    #[error("publisher: {0}")]
    Io(#[from] io::Error),
    #[error("publisher: cannot pin to core {0}: {1}")]
    Pin(usize, nix::Error),
    #[error("publisher: {0}")]
    Poll(#[from] nix::Error),
    #[error("publisher: the server answered {0}")]
    Answer(String),
    #[error("publisher: the server ended the connection after {0} ticks")]
    Ended(u64),
    #[error("the publisher ended without a report")]
    Silent,
}

/// The publisher's process, as its parent sees it; it ends with this.
pub(crate) struct Publisher {
    child: Child,
    /// Closing it is the order to end.
    orders: Option<ChildStdin>,
    notes: BufReader<ChildStdout>,
}

/// What the process says once it is connected, before its report.
const READY: &str = "ready";

impl Publisher {
    /// Starts one; returns when it is connected, and its first tick is due.
    pub(crate) fn start(args: &PublisherArgs) -> Result<Self, PublisherError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("publisher");
        command.args(["--protocol", args.protocol.name()]);
        command.args(["--address", &args.address.to_string()]);
        command.args(["--topics", &args.topics.to_string()]);
        command.args(["--rate", &args.rate.to_string()]);
        if let Some(core) = args.core {
            command.args(["--core", &core.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let notes = BufReader::new(child.stdout.take().ok_or(PublisherError::Silent)?);
        let mut publisher = Self { child, orders, notes };
        match publisher.note()?.as_str() {
            READY => Ok(publisher),
            _ => Err(PublisherError::Silent),
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and says what it did.
    pub(crate) fn stop(mut self) -> Result<PublisherReport, PublisherError> {
        self.orders = None;
        serde_json::from_str(&self.note()?).map_err(|_| PublisherError::Silent)
    }

    fn note(&mut self) -> Result<String, PublisherError> {
        let mut line = String::new();
        if self.notes.read_line(&mut line)? == 0 {
            return Err(PublisherError::Silent);
        }
        Ok(line.trim().to_owned())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // It ends by itself when it has no orders any more; a server that reads nothing may hold it up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The publisher's process: publishes until its input ends.
pub(crate) fn run(args: &PublisherArgs) -> Result<(), PublisherError> {
    if args.topics == 0 || !(args.rate.is_finite() && args.rate > 0.0) {
        return Err(PublisherError::Offer);
    }
    if let Some(core) = args.core {
        cpu::pin(&[core]).map_err(|error| PublisherError::Pin(core, error))?;
    }
    let connection = protocol::Connection::open(args.protocol, args.address)?;
    println!("{READY}");
    let report = pace::publish(connection, args)?;
    println!("{}", serde_json::to_string(&report).map_err(io::Error::from)?);
    Ok(())
}
