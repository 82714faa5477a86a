//! `bench launch`, hidden: becomes a program under test, pinned and unable to outlive its parent.
//!
//! A process can set its own affinity, its limit on open files and the signal it gets when its parent
//! dies without unsafe code, and all three survive `exec`; between `fork` and `exec` it could not. So
//! the child is this program first, for a moment.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use crate::cpu;

/// A program and how to run it.
#[derive(Args, Debug)]
pub(crate) struct LaunchArgs {
    /// The process that it may not outlive.
    #[arg(long)]
    parent: i32,
    /// Cores it may use.
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

/// Why it cannot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LaunchError {
    #[error("cannot prepare for it: {0}")]
    Prepare(#[from] nix::Error),
    #[error("cannot run on cores {0:?}: {1}")]
    Cores(Vec<usize>, nix::Error),
    #[error("no program")]
    Nothing,
    #[error(transparent)]
    Exec(#[from] std::io::Error),
}

/// Becomes the program; returns only if it cannot.
pub(crate) fn launch(args: &LaunchArgs) -> LaunchError {
    if let Err(error) = prepare(args) {
        return error;
    }
    match args.command.split_first() {
        Some((program, rest)) => Command::new(program).args(rest).exec().into(),
        None => LaunchError::Nothing,
    }
}

fn prepare(args: &LaunchArgs) -> Result<(), LaunchError> {
    // The gentle signal: a server of several processes ends all of them on it.
    prctl::set_pdeathsig(Signal::SIGTERM)?;
    if getppid() != Pid::from_raw(args.parent) {
        return Err(nix::Error::ESRCH.into());
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    if args.cores.is_empty() {
        return Ok(());
    }
    cpu::pin(&args.cores).map_err(|error| LaunchError::Cores(args.cores.clone(), error))
}

/// The words that put a command line behind this program's `launch`.
pub(crate) fn words(cores: &[usize]) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        vec!["launch".into(), "--parent".into(), std::process::id().to_string().into()];
    if !cores.is_empty() {
        let list: Vec<String> = cores.iter().map(ToString::to_string).collect();
        words.extend(["--cores".into(), list.join(",").into()]);
    }
    words.push("--".into());
    words
}
