//! `bench memory`: what a server pays for a connection that only waits.
//!
//! User memory is the growth of the server process's PSS (`smaps_rollup`: private pages, and its part
//! of shared ones) from before the connections to when they have settled. The kernel's share is the
//! growth of slabs and socket buffers of the whole machine, and where the clients are on the same
//! machine it holds both ends: reported beside, never added.

use std::fmt;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use crate::generator::fleet::{Fleet, FleetError, Go};
use crate::generator::load::{self, LoadArgs, LoadError, ProgressLine};
use crate::generator::report::{Expect, Report};
use crate::server::{MachineMemory, Usage, UsageError};

/// Measure a server's memory per connection.
#[derive(Args, Debug)]
pub(crate) struct MemoryArgs {
    /// The server's process id.
    #[arg(long)]
    pub(crate) pid: u32,
    /// Seconds to let things settle before each reading.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) settle: f64,
    /// Connections opened, and counted out, before the first reading: what the server sets up once
    /// (pools, tables' first pages, code pages) is not a connection's.
    #[arg(long, default_value_t = 0)]
    pub(crate) base: u64,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

/// Why memory was not measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MemoryError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Fleet(#[from] FleetError),
}

/// One reading, bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Reading {
    /// The proportional set size of the process and what it started.
    pub(crate) pss: u64,
    /// The machine's slabs: sockets, inodes, files, dentries.
    pub(crate) slab: u64,
    /// The machine's socket buffers.
    pub(crate) tcp: u64,
}

/// What was found.
#[derive(Serialize)]
pub(crate) struct MemoryReport {
    pub(crate) connections: u64,
    pub(crate) before: Reading,
    pub(crate) during: Reading,
    /// When they have gone again.
    pub(crate) after: Reading,
    pub(crate) user_bytes_per_connection: f64,
    /// Both ends of each connection if the clients are on this machine.
    pub(crate) kernel_bytes_per_connection: f64,
    pub(crate) load: Report,
}

/// Opens the connections, reads, closes them.
pub(crate) fn run(args: &MemoryArgs) -> Result<MemoryReport, MemoryError> {
    let settle = load::seconds("settle", args.settle)?;
    let base = if args.base > 0 {
        let few = LoadArgs { connections: args.base, ..args.load.clone() };
        Some(open(&few)?)
    } else {
        None
    };
    std::thread::sleep(settle);
    let before = read(args.pid)?;
    let mut fleet = open(&args.load)?;
    let connections = fleet.progress().open;
    let mut line = ProgressLine::new();
    fleet.pass(Instant::now() + settle, |progress| {
        line.show("settling", args.load.connections, progress);
        Go::On
    })?;
    line.clear();
    let during = read(args.pid)?;
    let reports = fleet.finish()?;
    std::thread::sleep(settle);
    let after = read(args.pid)?;
    if let Some(base) = base {
        base.finish()?;
    }
    let load = Report::new(std::collections::BTreeMap::new(), Expect::Nothing, &reports);
    let kernel = |reading: Reading| reading.slab + reading.tcp;
    Ok(MemoryReport {
        connections,
        user_bytes_per_connection: per(during.pss, before.pss, connections),
        kernel_bytes_per_connection: per(kernel(during), kernel(before), connections),
        before,
        during,
        after,
        load,
    })
}

fn open(args: &LoadArgs) -> Result<Fleet, MemoryError> {
    let mut line = ProgressLine::new();
    let mut fleet = Fleet::launch(&load::plans(args)?)?;
    fleet.ready(|progress| line.show("connecting", args.connections, progress))?;
    line.clear();
    Ok(fleet)
}

#[expect(clippy::cast_precision_loss, reason = "bytes per connection, for people")]
fn per(during: u64, before: u64, connections: u64) -> f64 {
    (during as f64 - before as f64) / connections.max(1) as f64
}

fn read(pid: u32) -> Result<Reading, MemoryError> {
    let machine = MachineMemory::read()?;
    Ok(Reading { pss: Usage::of(pid)?.pss, slab: machine.slab, tcp: machine.tcp })
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        writeln!(f, "connections  {}", self.connections)?;
        for (title, reading) in
            [("before", self.before), ("during", self.during), ("after", self.after)]
        {
            writeln!(
                f,
                "{title:<12} process {} MiB, machine's slabs {} MiB, socket buffers {} MiB",
                mib(reading.pss),
                mib(reading.slab),
                mib(reading.tcp)
            )?;
        }
        writeln!(
            f,
            "each         {:.0} bytes of the process, {:.0} bytes of the kernel (both ends)",
            self.user_bytes_per_connection, self.kernel_bytes_per_connection
        )?;
        for warning in &self.load.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
