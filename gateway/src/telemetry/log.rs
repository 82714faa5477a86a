//! Log lines: to standard error, as text for people or one JSON object a line for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What others log at `info` is not for operators, unless they ask for it: the source says the same of
/// its bus, once.
const QUIET: &str = "async_nats=warn";

/// Starts logging for the process; later calls change nothing.
///
/// The filter is known to be good: [`crate::config`] read it.
pub fn start(format: LogFormat, filter: &str) {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{QUIET},{filter}")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error means that somebody else started logging: a test with two gateways in one process.
    let _ = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
    };
}
