//! A venue in a box: feeds, and what publishes them into a ring.
//!
//! A [`Feed`] makes ticks: a seeded market, an evenly paced [`pulse`], or recordings in [`replay`]. A
//! [`Feeder`] numbers them and publishes them with their recovery images. [`run`] joins the two in real
//! time:
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use feed_sim::{Feed, Feeder, Pacing, Speed, pulse::Pulse};
//!
//! let mut pulse = Pulse::new(10, 1000.0)?;
//! let shape = feed_sim::shape(pulse.instruments(), 1 << 16, 0);
//! let (publisher, ring) = ring::Ring::heap(shape, feed_sim::fresh_epoch(1));
//! let mut feeder = Feeder::new(publisher, shape);
//! let stop = AtomicBool::new(true);
//! feed_sim::run(&mut pulse, &mut feeder, &Pacing::default(), &stop);
//! assert_eq!(ring.head(), 1 + 10, "the epoch and ten definitions");
//! # Ok::<(), feed_sim::pulse::PulseError>(())
//! ```

#![forbid(unsafe_code)]

pub mod derive;
mod feed;
mod feeder;
pub mod market;
mod pacing;
pub mod pulse;
pub mod replay;
pub mod statistics;

pub use feed::{Feed, FeedError, Next};
pub use feeder::{Counters, Feeder, FeederError, HEARTBEAT_NS, fresh_epoch, image_levels, shape};
pub use pacing::{
    Backpressure, Gate, Outcome, Pacing, Progress, Readers, Speed, Start, Wait, realtime_ns, run,
};
