//! Every fuzz target on its corpus, and on mutations of it, which are the same each time.
//!
//! This is what runs with all other tests. The search for what nobody thought of is cargo-fuzz's, by hand and for
//! hours (docs/TESTING.md); what that finds goes into a corpus, and is run here from then on. `FUZZ_RUNS` multiplies
//! the mutations. `TICKCAST_BLESS=1` writes the seeds again that are made by our own encoders.

#[path = "../../hub/tests/simulation/random.rs"]
#[allow(dead_code, unreachable_pub, clippy::cast_possible_truncation, reason = "shared by tests")]
mod random;
#[path = "../../fuzz/targets/mod.rs"]
#[allow(unreachable_pub, reason = "cargo-fuzz builds them, too")]
mod targets;

mod mutation;
mod seeds;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mutation::Mutation;
use targets::TARGETS;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpora")
}

/// The corpus of a target, by file name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpora().join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut corpus: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
        })
        .collect();
    // Folders have no order, and mutations are to be the same each time.
    corpus.sort();
    corpus
}

/// Runs a target; what it does not bear is printed, so that it can become part of the corpus.
fn bear(name: &str, run: fn(&[u8]), what: &str, bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(bytes))) {
        eprintln!("{name} does not bear {what}: {}", bytes.escape_ascii());
        std::panic::resume_unwind(panic);
    }
}

/// How many mutations a target gets: all of them together take some seconds without optimisation.
fn runs(name: &str) -> u64 {
    let times = std::env::var("FUZZ_RUNS").map_or(1, |times| times.parse().expect("a number"));
    let runs = match name {
        // Files are written, connections served.
        "ring_file" | "replay" | "config" | "auth_files" | "handshake" => 1_500,
        "hub" => 1_500,
        _ => 20_000,
    };
    runs * times
}

#[test]
fn corpora_and_their_mutations_are_borne() {
    // One after the other on threads of their own: those that take long do not wait for each other.
    std::thread::scope(|scope| {
        for (name, run) in TARGETS {
            scope.spawn(move || {
                let corpus = corpus(name);
                assert!(!corpus.is_empty(), "{name} has no corpus");
                for (file, bytes) in &corpus {
                    bear(name, run, file, bytes);
                }
                let mut mutation = Mutation::new(0x5eed, &corpus);
                for _ in 0..runs(name) {
                    bear(name, run, "a mutation", mutation.next());
                }
            });
        }
    });
}

#[test]
fn corpora_are_small_and_of_targets_that_exist() {
    const BYTES_MAX: usize = 16 << 10;
    for entry in fs::read_dir(corpora()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "there is no target {name}");
        let bytes: usize = corpus(&name).iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= BYTES_MAX, "{name}: {bytes} bytes, at most {BYTES_MAX}");
    }
    let manifest = fs::read_to_string(corpora().join("../Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "cargo-fuzz does not build {name}"
        );
    }
}

#[test]
fn seeds_of_our_own_encoders_are_fresh() {
    for (target, name, bytes) in seeds::made() {
        let path = corpora().join(target).join(format!("made-{name}"));
        if std::env::var_os("TICKCAST_BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let written = fs::read(&path).unwrap_or_default();
        assert!(written == bytes, "{} is stale: TICKCAST_BLESS=1", path.display());
    }
}
