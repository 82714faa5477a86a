//! What the machine can do at best: a loop of sends and nothing else, with the sockets, the bytes and
//! the clients that a gateway would have.
//!
//! [`sender`] is the loop, in a process of its own on the server's core (`bench ceiling-sender`,
//! hidden); this module starts it and takes its report. It speaks just enough WebSocket for the
//! ordinary generator, which therefore checks and measures it like any server. There is no feed: the
//! sender makes each tick itself when it is due, so that nothing but sending is left.

mod crowd;
mod quotes;
mod sender;

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::cpu::CpuUse;
use crate::latency::Latency;

pub(crate) use self::sender::send;

/// In which order connections get what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Each tick goes to all connections before the next one is looked at: one send per tick and
    /// connection. With one connection and one tick at a time, what a wire costs.
    Burst,
    /// Each pass over the connections carries what was due when it began, as servers do that fill a
    /// queue per connection.
    PerPass,
    /// Each connection gets what is due at its turn, as Tickcast's do.
    LateBinding,
}

/// How bytes get to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Via {
    /// A `send` per connection.
    Send,
    /// An `io_uring` that takes a group of sends with one system call.
    IoUring,
}

impl Order {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::PerPass => "per-pass",
            Self::LateBinding => "late-binding",
        }
    }
}

impl Via {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::IoUring => "io_uring",
        }
    }
}

/// The sender's process.
#[derive(Args, Clone, Debug, PartialEq)]
pub(crate) struct SenderArgs {
    /// Connections awaited; sending begins when all have subscribed.
    #[arg(long)]
    pub(crate) connections: u64,
    #[arg(long, value_enum)]
    pub(crate) order: Order,
    #[arg(long, value_enum)]
    pub(crate) via: Via,
    /// Sends that one system call takes, with `io_uring`.
    #[arg(long)]
    pub(crate) group: usize,
    /// Ticks a second.
    #[arg(long)]
    pub(crate) rate: f64,
    /// Ticks at the begin that are sent but not timed.
    #[arg(long)]
    pub(crate) warm_up_ticks: u64,
    #[arg(long)]
    pub(crate) cpu: usize,
    /// Ends after so many seconds whatever happens.
    #[arg(long)]
    pub(crate) seconds: u64,
}

/// What a sender did, said when its clients have gone.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct SenderReport {
    /// Ticks that everybody has got.
    pub(crate) ticks: u64,
    pub(crate) sends: u64,
    /// Sends that a socket refused because it was full; tried again later.
    pub(crate) blocked: u64,
    /// Sends taken in part.
    pub(crate) short: u64,
    /// One pass over all connections: its first send begun until its last returned. In a burst that is
    /// the loop's own time for one tick.
    pub(crate) pass: Latency,
    /// From the time a tick was due until the last send of its pass returned. Of bursts only.
    pub(crate) from_due: Latency,
    /// Sends within the passes timed, and their time in all.
    pub(crate) timed_sends: u64,
    pub(crate) timed_ns: u64,
    pub(crate) cpu: CpuUse,
}

impl SenderReport {
    /// What one send cost, ns; none if nothing was timed.
    pub(crate) fn ns_per_send(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let ns = self.timed_ns as f64 / self.timed_sends as f64;
        (self.timed_sends > 0).then_some(ns)
    }
}

/// Why a sender did not send, or did not say what it did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CeilingError {
    #[error("bare sender: {0}")]
    Io(#[from] io::Error),
    #[error("bare sender: cannot pin to core {0}: {1}")]
    Pin(usize, nix::Error),
    #[error("bare sender: no io_uring on this machine: {0}")]
    IoUring(#[source] io::Error),
    #[error("bare sender: said {0:?} instead of its {1}")]
    Said(String, &'static str),
}

/// A running sender; dropped, it ends.
pub(crate) struct Sender {
    child: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Sender {
    /// Starts it; returns when it accepts connections.
    pub(crate) fn start(args: &SenderArgs) -> Result<Self, CeilingError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("ceiling-sender").args(words(args)).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let Some(output) = child.stdout.take() else {
            return Err(CeilingError::Said(String::new(), "address"));
        };
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut sender = Self { child, output: BufReader::new(output), address: unspecified };
        let line = sender.line()?;
        let address = line.trim().parse();
        sender.address = address.map_err(|_| CeilingError::Said(line, "address"))?;
        Ok(sender)
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Its report. It ends when its clients have gone; until then this waits.
    pub(crate) fn finish(mut self) -> Result<SenderReport, CeilingError> {
        let line = self.line()?;
        serde_json::from_str(&line).map_err(|_| CeilingError::Said(line, "report"))
    }

    fn line(&mut self) -> Result<String, CeilingError> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line of a sender.
fn words(args: &SenderArgs) -> Vec<String> {
    let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map_or_else(String::new, |value| value.get_name().to_owned())
    };
    let SenderArgs { connections, group, rate, warm_up_ticks, cpu, seconds, .. } = args;
    [
        ("connections", connections.to_string()),
        ("order", name(&|| args.order.to_possible_value())),
        ("via", name(&|| args.via.to_possible_value())),
        ("group", group.to_string()),
        ("rate", rate.to_string()),
        ("warm-up-ticks", warm_up_ticks.to_string()),
        ("cpu", cpu.to_string()),
        ("seconds", seconds.to_string()),
    ]
    .map(|(name, value)| format!("--{name}={value}"))
    .into()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SenderArgs,
    }

    #[test]
    fn a_sender_is_told_what_was_meant() {
        for (order, via) in [(Order::Burst, Via::Send), (Order::LateBinding, Via::IoUring)] {
            let args = SenderArgs {
                connections: 5_000,
                order,
                via,
                group: 64,
                rate: 0.5,
                warm_up_ticks: 3,
                cpu: 0,
                seconds: 60,
            };
            let line = Line::parse_from([vec!["sender".to_owned()], words(&args)].concat());
            assert_eq!(line.args, args);
        }
    }
}
