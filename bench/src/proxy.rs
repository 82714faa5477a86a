//! `bench proxy`: a long way between client and server, in a process of its own: delay, rate, window.
//!
//! What it shows and what it does not is said of [`cable`], which does it; here are its command line and its
//! process.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cable::{Forwarder, Shape};
use clap::Args;

use crate::cpu;
use crate::server::launch_words;

/// Put a long way between clients and a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProxyArgs {
    /// Where clients connect.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// The server.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Delay of one way, in ms.
    #[arg(long, default_value_t = 50.0)]
    pub(crate) delay: f64,
    /// Bytes a second of the slowest link, each way; not limited if not given.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Bytes that may be unacknowledged, each way: the smallest of the sender's buffer, its congestion
    /// window and the receiver's window. The default is the most that Linux lets a send buffer grow to
    /// by itself.
    #[arg(long, default_value_t = 4 << 20)]
    pub(crate) window: usize,
    /// Bytes that may wait in front of the slowest link.
    #[arg(long, default_value_t = 64 << 10)]
    pub(crate) queue: usize,
    /// Core to pin to.
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    /// Ends after so many seconds.
    #[arg(long, default_value_t = 3600)]
    pub(crate) seconds: u64,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProxyError {
    #[error("proxy: {0}")]
    Io(#[from] io::Error),
    #[error("proxy: cannot pin to core {0}: {1}")]
    Pin(usize, nix::Error),
    #[error("proxy: --{0} must be a number above 0")]
    Senseless(&'static str),
    #[error("proxy: said {0:?} instead of its address")]
    Said(String),
}

/// Runs until the time is over, or the parent's end of standard output is closed. The first line
/// written says where it listens.
pub(crate) fn run(args: &ProxyArgs) -> Result<(), ProxyError> {
    let shape = shape(args)?;
    if let Some(core) = args.cpu {
        cpu::pin(&[core]).map_err(|error| ProxyError::Pin(core, error))?;
    }
    let mut forwarder = Forwarder::fixed(args.listen, args.to, shape)?;
    println!("{}", forwarder.address()?);
    io::stdout().flush()?;
    Ok(forwarder.run(Duration::from_secs(args.seconds))?)
}

fn shape(args: &ProxyArgs) -> Result<Shape, ProxyError> {
    let delay = Duration::try_from_secs_f64(args.delay / 1e3);
    let delay = delay.map_err(|_| ProxyError::Senseless("delay"))?;
    if args.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
        return Err(ProxyError::Senseless("rate"));
    }
    if args.window == 0 {
        return Err(ProxyError::Senseless("window"));
    }
    if args.queue == 0 {
        return Err(ProxyError::Senseless("queue"));
    }
    Ok(Shape {
        delay_ns: u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX),
        rate: args.rate,
        window_bytes: args.window,
        queue_bytes: args.queue,
        ..Shape::default()
    })
}

/// A proxy in a process of its own; dropped, it ends.
pub(crate) struct Proxying {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Proxying {
    /// Starts it; returns when it accepts connections.
    pub(crate) fn start(args: &ProxyArgs) -> Result<Self, ProxyError> {
        shape(args)?;
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        // It listens to nobody but its clients, and must not outlive an interrupted run all the same.
        command.args(launch_words(&[])).arg(&program).arg("proxy").stdout(Stdio::piped());
        for (name, value) in [
            ("listen", Some(args.listen.to_string())),
            ("to", Some(args.to.to_string())),
            ("delay", Some(args.delay.to_string())),
            ("rate", args.rate.map(|rate| rate.to_string())),
            ("window", Some(args.window.to_string())),
            ("queue", Some(args.queue.to_string())),
            ("cpu", args.cpu.map(|cpu| cpu.to_string())),
            ("seconds", Some(args.seconds.to_string())),
        ] {
            if let Some(value) = value {
                command.arg(format!("--{name}={value}"));
            }
        }
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut proxying = Self { child, address: unspecified };
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        proxying.address = line.trim().parse().map_err(|_| ProxyError::Said(line))?;
        Ok(proxying)
    }
}

impl Drop for Proxying {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_ways_are_refused() {
        let args = |delay, rate, window| ProxyArgs {
            listen: "127.0.0.1:0".parse().unwrap(),
            to: "127.0.0.1:1".parse().unwrap(),
            delay,
            rate,
            window,
            queue: 1,
            cpu: None,
            seconds: 1,
        };
        assert!(shape(&args(50.0, Some(1.0), 1)).is_ok());
        for (delay, rate, window) in
            [(-1.0, None, 1), (f64::NAN, None, 1), (1.0, Some(0.0), 1), (1.0, None, 0)]
        {
            assert!(matches!(shape(&args(delay, rate, window)), Err(ProxyError::Senseless(_))));
        }
    }
}
