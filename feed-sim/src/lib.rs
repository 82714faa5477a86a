//! A venue in a box: feeds, and what publishes them into a ring.
//!
//! A [`Feed`] makes ticks: a seeded market, an evenly paced [`pulse`], or recordings in [`replay`].

#![forbid(unsafe_code)]

mod feed;
pub mod pulse;
pub mod replay;

pub use feed::{Feed, FeedError, Next};
