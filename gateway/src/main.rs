//! The `gateway` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use gateway::config::{self, Asked};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The user's to mend: the command line, the environment or the configuration file.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    match config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(Asked::Run { config, .. }) => {
            println!("listen = {}", config.listen);
            ExitCode::SUCCESS
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
