//! A cluster under load, and what breaks in it: gateways, feeds, buses, networks. Every client checks every trade,
//! and what it saw is a row of a table.
//!
//! Short by default, for CI. `FAULTS_CLIENTS`, `FAULTS_RATE` (ticks a second) and
//! `FAULTS_OUTAGE` (seconds) are for longer ones, and `FAULTS_TABLE=FILE` appends the rows to a file:
//!
//! ```text
//! FAULTS_CLIENTS=300 FAULTS_RATE=20000 FAULTS_OUTAGE=10 FAULTS_TABLE=table.md \
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
