//! Fuzz targets: what reads bytes that others wrote, each as a function of bytes that panics where a promise is
//! broken.
//!
//! Compiled twice: by cargo-fuzz, which looks for bytes that nobody thought of, for hours and by hand, and by
//! `gateway/tests/fuzzed.rs`, which runs the corpora and mutations of them with every other test.

mod auth_files;
mod bus_values;
mod commands;
mod config;
mod exchange_control;
mod frames;
mod handshake;
mod hub;
mod images;
mod messages;
mod proxy_headers;
mod replay;
mod ring_file;
mod streams;
mod ticks;
mod tokens;

use std::path::PathBuf;

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 16] = [
    ("auth_files", auth_files::run),
    ("bus_values", bus_values::run),
    ("commands", commands::run),
    ("config", config::run),
    ("exchange_control", exchange_control::run),
    ("frames", frames::run),
    ("handshake", handshake::run),
    ("hub", hub::run),
    ("images", images::run),
    ("messages", messages::run),
    ("proxy_headers", proxy_headers::run),
    ("replay", replay::run),
    ("ring_file", ring_file::run),
    ("streams", streams::run),
    ("ticks", ticks::run),
    ("tokens", tokens::run),
];

/// A file of this name with this in it, for what reads files; there is one of each name on a thread.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder");
    }
    let path = FOLDER.with(|folder| folder.path().join(name));
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// Bytes as words; what is left over at the end is no word.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight")))
}
