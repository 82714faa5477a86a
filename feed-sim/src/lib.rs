//! A venue in a box: feeds, and what publishes them into a ring.
//!
//! A [`Feed`] makes ticks: a seeded market, an evenly paced pulse, or recordings replayed.

#![forbid(unsafe_code)]

mod feed;

pub use feed::{Feed, Next};
