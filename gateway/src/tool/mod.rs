//! The tools in the `gateway` binary: what it does when its first argument is a name instead of a flag.
//!
//! Each has its command line, ends with an exit code of this file, and never starts a gateway.

mod ask;
mod record;
mod tail;

use std::ffi::OsString;

use clap::Parser;

/// Ended in good order: what was asked for is done, or a reader has enough.
const EXIT_DONE: u8 = 0;
/// Could not run, or not go on, or the answer was not a good one.
const EXIT_FAILED: u8 = 1;
/// Wrongly used: an unknown flag, a bad topic.
pub const EXIT_USAGE: u8 = 2;

/// Runs the tool of this name with the command line from its name on. The answer is the exit code; `None`: there is
/// no such tool.
#[must_use]
pub fn run(name: &str, args: impl IntoIterator<Item = OsString>) -> Option<u8> {
    let ended = match name {
        "ask" => arguments(args).map(|arguments| ask::run(&arguments)),
        "record" => arguments(args).map(|arguments| record::run(&arguments)),
        "tail" => arguments(args).map(|arguments| tail::run(&arguments)),
        _ => return None,
    };
    Some(ended.unwrap_or_else(|code| code))
}

/// Reads a command line. What is wrong with it, or the help that was asked for, is printed, and the error is the
/// exit code.
fn arguments<A: Parser>(args: impl IntoIterator<Item = OsString>) -> Result<A, u8> {
    A::try_parse_from(args).map_err(|error| {
        // Nothing can be done about a closed terminal.
        let _ = error.print();
        if error.use_stderr() { EXIT_USAGE } else { EXIT_DONE }
    })
}
