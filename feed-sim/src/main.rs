//! The `feed-sim` command: a feed as a process of its own, and what there is to know about feeds.
//!
//! Exit codes: 0, it did what was asked, or was told to stop; 1, it could not; 2, it was asked
//! something senseless.

#![forbid(unsafe_code)]

mod args;
mod check;
mod onto_bus;
mod onto_gateway;
mod progress;
mod run;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use feed_sim::statistics::{self, StatisticsError};

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => run::run(&cli.run).map_err(Failure::Run),
        Some(Command::Run(args)) => run::run(&args).map_err(Failure::Run),
        Some(Command::Check(args)) => check::run(&args).map_err(Failure::Check),
        Some(Command::Stats(args)) => {
            statistics::run(&args, &mut io::stdout().lock()).map_err(Failure::Statistics)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("feed-sim: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Why the command did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Run(run::RunError),
    #[error(transparent)]
    Check(check::CheckError),
    #[error(transparent)]
    Statistics(StatisticsError),
}
