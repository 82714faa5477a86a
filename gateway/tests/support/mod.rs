//! What the tests of the whole product share: real processes, and a plain subscriber that decodes
//! what it gets.
//!
//! The subscriber is deliberately not the client library: a test of the wire must not lean on code
//! that could make the same mistake as the gateway.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
#![allow(clippy::cast_possible_truncation, clippy::missing_panics_doc)]

pub mod bus_feed;
pub mod bus_server;
pub mod certificate;
pub mod credentials;
pub mod event_source;
pub mod ledger;
pub mod process;
pub mod process_view;
pub mod ring_file;
pub mod scripted_gateway;
pub mod subscriber;
pub mod view;

use std::path::PathBuf;

/// The folder of recorded market data, which lies beside the project and is not part of it.
///
/// # Panics
/// If it is not there: the tests on real data cannot be skipped silently.
#[must_use]
pub fn recordings() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("TICKCAST_DATA").map_or(beside, PathBuf::from);
    assert!(
        folder.join("spot_btcusdt_20240808.gz").is_file(),
        "recorded data is missing: {} has no spot_btcusdt_20240808.gz (set TICKCAST_DATA)",
        folder.display()
    );
    folder
}
