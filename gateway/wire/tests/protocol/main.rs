//! The protocol as others see it: golden vectors, an independent decoder, the document.
//!
//! `docs/protocol/vectors/*.json` are shared with the other clients of the protocol. The cases in
//! `cases.rs` are what they are made of; run with `TICKCAST_BLESS=1` to write them, and the generated
//! parts of `docs/protocol/README.md`, anew after a change that is meant.

mod cases;
mod fields;
mod hostile;
mod independent;
mod random;
mod readme;
mod vectors;

use std::path::PathBuf;

/// `docs/protocol` in the repository.
fn protocol_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol")
}

/// Whether to write what is generated instead of comparing it.
fn blesses() -> bool {
    std::env::var_os("TICKCAST_BLESS").is_some_and(|value| value == "1")
}
