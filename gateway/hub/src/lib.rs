//! The deterministic heart of one shard.
//!
//! A hub takes ticks, images and commands in, and says what each connection is to be sent. It knows
//! no socket, no clock, no thread, and never waits: time is an argument, and a shell around it does
//! all input and output. The same inputs in the same order give the same bytes.
//!
//! The one idea: there is one log of recent entries, and a connection is a cursor into it. Snapshot,
//! live, slow, conflated, throttled and resumed are one mechanism; nothing is queued per connection.
//!
//! Start reading at [`Hub`]; `visit/` is where connections are served, `intake.rs` where ticks come
//! in, `log.rs` what lies between.

#![forbid(unsafe_code)]

mod arena;
mod bits;
mod book;
mod care;
mod commands;
mod connection;
mod counters;
mod entitle;
mod format;
mod framed;
mod grant;
mod grants;
mod hub;
mod instruments;
mod intake;
mod interest;
mod ladder;
mod limits;
mod log;
mod market;
mod newest;
mod pace;
mod pages;
mod peers;
mod position;
mod presence;
mod reach;
mod resume;
mod streams;
mod subscribers;
mod subscription;
mod timed;
mod topics;
mod transfers;
mod views;
mod visit;

pub use connection::ConnId;
pub use counters::Counters;
pub use format::Format;
pub use grant::{Grant, RULES_MAX, Rule, RuleError, Rules};
pub use hub::{ConnectError, Hub};
pub use interest::{Interest, Scope};
pub use limits::{CONNECTION_BYTES_MAX, Limits, LimitsError};
pub use newest::BestLevels;
pub use pages::Pages;
pub use streams::{Envelope, StreamAdded, StreamError};
pub use views::ConnView;
pub use visit::Visit;
