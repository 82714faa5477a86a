//! What the gateway says about itself: log lines and metrics.

mod auth;
mod bus;
mod delay;
mod log;
mod metrics;
mod process;

pub use log::{change_level, finish as finish_logging, start as start_logging};
pub use metrics::{Definition, Scrape, definitions, reference};
pub(crate) use process::resident_bytes;
pub use process::{Process, ProcessView, ReadAgain};
