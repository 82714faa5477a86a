//! The `gateway` command: runs a gateway, or one of its tools.
//!
//! Exit codes: 0 ended in good order, 1 could not run, 2 wrongly used, 130 ended by a second signal.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use gateway::boot;
use gateway::config::{self, Asked};
use gateway::tool::{self, EXIT_USAGE};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(name) = std::env::args_os().nth(1)
        && let Some(code) = tool::run(&name.to_string_lossy(), std::env::args_os().skip(1))
    {
        return ExitCode::from(code);
    }
    match config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(Asked::Run { config, strangers }) => {
            let again = || config::load_again(std::env::args_os(), std::env::vars_os());
            boot::run(&config, &strangers, Box::new(again))
        }
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
