//! What the gateway says about itself: log lines and metrics.

mod log;

pub use log::start as start_logging;
