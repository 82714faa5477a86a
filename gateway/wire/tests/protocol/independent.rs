//! An SBE decoder from a public registry reads our schema and our vectors.
//!
//! It is the pure-Python package `sbe`, installed once into a virtual environment in the target
//! directory. Without Python, pip or a package index this test fails and says what is missing: a
//! check that skips itself is no check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{blesses, protocol_dir};

const REQUIREMENTS: &str = include_str!("../independent_sbe.requirements.txt");

/// Runs a command; `missing` says what to do if it fails.
fn run(command: &mut Command, missing: &str) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}. {missing}"));
    assert!(
        output.status.success(),
        "{command:?}: {}. {missing}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// The interpreter of an environment that has the requirements, made if it is not there.
fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("independent-sbe");
    let (python, stamp) = (home.join("bin/python"), home.join("requirements.txt"));
    // The stamp is written last: an environment left half-made is made again.
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == REQUIREMENTS) && python.exists() {
        return python;
    }
    run(
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home),
        "This test needs python3 (3.9 or later) with the venv module on the PATH \
         (Debian: apt install python3-venv)",
    );
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/independent_sbe.requirements.txt");
    run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(source),
        "This test needs pip in the virtual environment and a Python package index within reach, \
         once, to install tests/independent_sbe.requirements.txt",
    );
    fs::write(stamp, REQUIREMENTS).unwrap();
    python
}

#[test]
fn an_independent_decoder_reads_our_schema_and_vectors() {
    if blesses() {
        return; // The vectors are being written by another test just now.
    }
    let mut vectors: Vec<PathBuf> = fs::read_dir(protocol_dir().join("vectors"))
        .expect("docs/protocol/vectors is there")
        .map(|entry| entry.unwrap().path())
        .collect();
    vectors.sort();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/independent_sbe.py");
    let output = run(
        Command::new(python())
            .arg(script)
            .arg(protocol_dir().join("tickcast-1.xml"))
            .args(&vectors),
        "The independent decoder does not agree",
    );
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = format!("16 templates in {} vectors agree", vectors.len());
    assert!(said.contains(&expected), "{said}");
}
