//! Gateways behind real proxies: nginx and HAProxy with the configurations of `deploy/`, TLS at the proxy and
//! through it, two real gateways behind them.
//!
//! The files are used as they are; a test replaces addresses, paths, sizes and times in them, and fails if one
//! of those is not there any more. nginx and haproxy have to be installed (`.ci/test tools` does it).

#[path = "../support/mod.rs"]
mod support;

mod balancer;
mod cluster;
#[expect(dead_code, reason = "the tests of faults use more of it")]
mod crowd;
mod passing;
#[path = "../publishing/publisher.rs"]
#[expect(dead_code, reason = "publish.rs uses more of it")]
mod publisher;
mod silence;
mod spreading;
#[expect(dead_code, reason = "the tests of faults use more of it")]
mod tape;
mod visitor;
