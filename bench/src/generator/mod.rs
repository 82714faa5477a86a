//! The load generator: so many subscribed connections, in worker processes, checked and timed.
//!
//! [`load`] is the parent: it launches a [`fleet`] of [`worker`]s by their [`plan`]s, opens the measured
//! window and merges what they say into one [`report`]. Inside a worker a [`connection`] reads frames,
//! as its server's [`dialect`] has them, [`market`] finds the ticks in them, the [`ledger`] checks their
//! numbers and the [`tally`] counts.

pub(crate) mod connection;
pub(crate) mod dialect;
pub(crate) mod fleet;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod market;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod tally;
pub(crate) mod target;
pub(crate) mod template;
pub(crate) mod tls;
pub(crate) mod upgrade;
pub(crate) mod worker;
