//! Generated pages are fresh: what stands in `docs/` is what their one definition says.
//!
//! `TICKCAST_REGENERATE=1 cargo test -p gateway --test docs` writes them anew.

use std::path::{Path, PathBuf};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn assert_fresh(name: &str, generated: &str) {
    if std::env::var_os("TICKCAST_REGENERATE").is_some() {
        std::fs::write(page(name), generated).unwrap();
    }
    let written = std::fs::read_to_string(page(name)).unwrap_or_default();
    assert!(
        written == generated,
        "docs/{name} is stale: TICKCAST_REGENERATE=1 cargo test -p gateway --test docs"
    );
}

#[test]
fn the_configuration_reference_is_fresh() {
    assert_fresh("CONFIG.md", &gateway::config::reference());
}

#[test]
fn the_metrics_reference_is_fresh() {
    assert_fresh("METRICS.md", &gateway::telemetry::reference());
}
