//! A cluster on paper: many gateways on one bus, simulated, and a model of what they can carry.
//!
//! [`World`] is a deterministic simulation: the writer's outbox, the publishers' sequencers, the readers' assembly
//! and agenda, and the hub are the real ones; the bus between them is a model with latency, bandwidth, cost of
//! processing, buffers that overflow, and faults. Everything follows from a seed; there is no clock, no thread and
//! no I/O. It checks what is delivered against what was accepted ([`truth`]), and measures what breaks
//! first. [`capacity`] is arithmetic: the costs that were measured, multiplied.
//!
//! What it is not: a measurement. Costs come in as figures ([`Costs`]), and come from records.

#![forbid(unsafe_code)]

pub mod capacity;
mod chance;
mod client;
mod costs;
mod feed;
mod gateway;
mod link;
mod percentiles;
mod plan;
mod publishing;
mod server;
mod store;
mod sweep;
pub mod truth;
mod world;

pub use chance::Chance;
pub use costs::{Costs, GatewayCosts, Threading};
pub use percentiles::Percentiles;
pub use plan::{Backoff, Delivery, Fault, Memory, Plan};
pub use sweep::{Dimension, Found, Limit, storm, sweep};
pub use world::{Report, World};
