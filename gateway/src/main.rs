//! The `gateway` command: runs a gateway, or one of its tools.
//!
//! Exit codes: 0 ended in good order, 1 could not run, 2 wrongly used, 130 ended by a second signal.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use gateway::ask;
use gateway::boot;
use gateway::config::{self, Asked};
use gateway::record;
use gateway::tail;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The user's to mend: the command line, the environment or the configuration file.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let tool = std::env::args_os().nth(1);
    match tool.as_ref().and_then(|argument| argument.to_str()) {
        Some("tail") => return ExitCode::from(tail::run(std::env::args_os().skip(1))),
        Some("record") => return ExitCode::from(record::run(std::env::args_os().skip(1))),
        Some("ask") => return ExitCode::from(ask::run(std::env::args_os().skip(1))),
        _ => {}
    }
    match config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(Asked::Run { config, strangers }) => boot::run(&config, &strangers),
        Ok(Asked::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}
