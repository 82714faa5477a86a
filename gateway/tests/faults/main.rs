//! A cluster under load, and what breaks in it: gateways, feeds, buses, networks. Every client checks every trade,
//! and what it saw is a row of a table.
//!
//! Short by default, for CI. `TICKCAST_FAULTS=long` has ten times the load and the outages of
//! `bench/record/2026-11-cluster`, and wants a release build; `TICKCAST_FAULTS_TABLE=FILE` appends the rows to a file:
//!
//! ```text
//! TICKCAST_FAULTS=long TICKCAST_FAULTS_TABLE=table.md \
//!     cargo test --release -p gateway --test faults -- --test-threads 1
//! ```
//!
//! nginx, nats-server and redis-server have to be installed (`.ci/test tools` does it), and the cut network needs the right
//! to make network namespaces.

#[path = "../support/mod.rs"]
mod support;

#[expect(dead_code, reason = "the tests of proxies use more of it")]
#[path = "../proxies/balancer.rs"]
mod balancer;
#[expect(dead_code, reason = "the tests of proxies use more of it")]
#[path = "../proxies/crowd.rs"]
mod crowd;
#[expect(dead_code, reason = "the tests of proxies use more of it")]
#[path = "../proxies/tape.rs"]
mod tape;

mod buses;
mod feeds;
mod gateways;
mod network;
mod scene;
mod table;
mod traffic;
