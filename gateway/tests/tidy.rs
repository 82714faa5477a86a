//! Style as a test: what reviewers would otherwise have to say again and again.
//!
//! Reads the working tree's sources as text; it knows no Rust beyond a line. Each check lists every
//! offender at once, with its line.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where a reader gets lost.
const LINES_MAX: usize = 600;

/// Files over [`LINES_MAX`], with the length they may not exceed any more. It only ever shrinks.
const LONG_FILES: [(&str, usize); 0] = [];

/// Which of our crates each of our crates may use; `gateway` itself may use all.
const DIRECTIONS: [(&str, &[&str]); 10] = [
    ("gateway/wire", &[]),
    ("gateway/ring", &[]),
    ("gateway/sys", &[]),
    ("gateway/hub", &["wire"]),
    ("gateway/bus", &["wire", "ring"]),
    ("gateway/client", &["wire"]),
    ("feed-sim", &["wire", "ring", "bus", "client"]),
    ("bench/cluster-sim", &["wire", "ring", "hub", "bus", "feed-sim"]),
    ("bench/cable", &[]),
    ("bench", &["wire", "ring", "sys", "bus", "cable"]),
];

/// Our crates, by the names that manifests use.
const OURS: [&str; 11] = [
    "wire",
    "ring",
    "sys",
    "hub",
    "bus",
    "client",
    "feed-sim",
    "cluster-sim",
    "cable",
    "gateway",
    "bench",
];

/// The crates that may contain unsafe code: atomics over shared memory, and system calls.
const UNSAFE_CRATES: [&str; 2] = ["gateway/ring", "gateway/sys"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A source file: its path from the root, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Production code, as opposed to tests, fuzzers, benchmarks and examples.
    fn is_production(&self) -> bool {
        let other = ["/tests/", "/fuzz/", "/benches/", "/examples/"];
        !other.iter().any(|part| self.path.contains(part))
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }
}

/// Every text file of the tree that people write, but not what builds or tools put there.
fn files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap_or_default();
            if path.is_dir() {
                if !matches!(name, ".git" | "target" | "node_modules" | "dist" | "record") {
                    folders.push(path);
                }
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            files.push(File { path, text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn sources() -> Vec<File> {
    files().into_iter().filter(|file| file.extension() == "rs").collect()
}

fn assert_none(offenders: &[String], rule: &str) {
    let mut list = String::new();
    for offender in offenders {
        // Writing to a String cannot fail.
        let _ = write!(list, "\n  {offender}");
    }
    assert!(offenders.is_empty(), "{rule}:{list}");
}

#[test]
fn the_walk_sees_the_whole_tree() {
    let paths: Vec<String> = sources().into_iter().map(|file| file.path).collect();
    let elsewhere = ["feed-sim", "cluster-sim", "cable", "gateway", "bench"];
    let crates = OURS.iter().filter(|name| !elsewhere.contains(name));
    for name in crates {
        assert!(paths.contains(&format!("gateway/{name}/src/lib.rs")), "{name} is missing");
    }
    assert!(paths.contains(&"feed-sim/src/lib.rs".to_owned()));
}

#[test]
fn files_are_short_enough_to_be_read() {
    let mut offenders = Vec::new();
    for file in files() {
        if !matches!(file.extension(), "rs" | "ts" | "js") {
            continue;
        }
        let lines = file.text.lines().count();
        let allowed = LONG_FILES.iter().find(|(path, _)| *path == file.path);
        let limit = allowed.map_or(LINES_MAX, |(_, limit)| *limit);
        if lines > limit {
            offenders.push(format!("{}: {lines} lines, at most {limit}", file.path));
        }
    }
    assert_none(&offenders, "a file is one noun; split it");
}

#[test]
fn the_ratchet_has_no_slack() {
    for (path, limit) in LONG_FILES {
        let lines = std::fs::read_to_string(root().join(path)).unwrap().lines().count();
        assert!(lines == limit && limit > LINES_MAX, "{path}: {lines} lines, listed as {limit}");
    }
}

#[test]
fn every_module_begins_with_what_it_is() {
    let bare = sources().into_iter().filter(|file| !file.text.starts_with("//! "));
    let offenders: Vec<String> = bare.map(|file| file.path).collect();
    assert_none(&offenders, "a module begins with a `//!` header: what it is, what it is not");
}

#[test]
fn nothing_is_left_for_later() {
    // Written in halves, so that this file does not find itself.
    let markers = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ign", "ore"),
        concat!("(to be ", "written)"),
    ];
    let mut offenders = Vec::new();
    for file in files() {
        if !matches!(file.extension(), "rs" | "ts" | "js" | "css" | "html" | "sh" | "toml" | "md") {
            continue;
        }
        for (number, line) in file.numbered() {
            if let Some(marker) = markers.iter().find(|marker| line.contains(**marker)) {
                offenders.push(format!("{}:{number}: {marker}", file.path));
            }
        }
    }
    assert_none(&offenders, "what is not done is an issue, not a comment");
}

#[test]
fn modules_are_named_for_what_they_are() {
    let vague = ["utils", "util", "common", "helpers", "helper", "manager", "misc"];
    let offenders: Vec<String> = sources()
        .into_iter()
        .map(|file| file.path)
        .filter(|path| path.trim_end_matches(".rs").split('/').any(|part| vague.contains(&part)))
        .collect();
    assert_none(&offenders, "a file is named for its noun");
}

#[test]
fn dependencies_run_one_way() {
    let mut offenders = Vec::new();
    for (folder, allowed) in DIRECTIONS {
        let text = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(toml::Value::Table(table)) = manifest.get(section) else { continue };
            let ours = table.keys().filter(|name| OURS.contains(&name.as_str()));
            for name in ours.filter(|name| !allowed.contains(&name.as_str())) {
                offenders.push(format!("{folder} [{section}] {name}, allowed: {allowed:?}"));
            }
        }
    }
    assert_none(&offenders, "crates depend in one direction (docs/ARCHITECTURE.md)");
}

#[test]
fn the_hub_knows_no_socket_clock_thread_or_await() {
    let foreign = [
        "std::net",
        "std::time",
        "std::thread",
        "std::sync",
        "std::fs",
        "std::io",
        "Instant",
        ".await",
        "async fn",
    ];
    let mut offenders = Vec::new();
    for file in sources() {
        if !file.path.starts_with("gateway/hub/src/") {
            continue;
        }
        for (number, line) in file.numbered() {
            // What shards share and nobody changes needs no lock.
            let code = line.split("//").next().unwrap_or_default().replace("std::sync::Arc;", "");
            if let Some(word) = foreign.iter().find(|word| has_word(&code, word)) {
                offenders.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    assert_none(&offenders, "the hub is deterministic: time is an argument, I/O is the shell's");
}

/// Whether the text has this, and not as the beginning of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let next = text[at + word.len()..].chars().next();
        !next.is_some_and(|next| next.is_alphanumeric() || next == '_')
    })
}

#[test]
fn unsafe_code_is_where_it_must_be_and_nowhere_else() {
    let mut offenders = Vec::new();
    for file in sources() {
        if UNSAFE_CRATES.iter().any(|name| file.path.starts_with(&format!("{name}/"))) {
            continue;
        }
        let is_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
        if is_root && !file.text.contains("#![forbid(unsafe_code)]") {
            offenders.push(format!("{} does not forbid unsafe code", file.path));
        }
        if !file.is_production() {
            continue;
        }
        for (number, line) in file.numbered() {
            let code = line.split("//").next().unwrap_or_default();
            let block = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"];
            if block.iter().any(|word| code.contains(word)) {
                offenders.push(format!("{}:{number}", file.path));
            }
        }
    }
    assert_none(&offenders, "unsafe code lives in ring and sys");
}

#[test]
fn every_counter_is_counted_somewhere() {
    let sources = sources();
    let text_without = |folder: &str, table: &str| -> String {
        let others =
            sources.iter().filter(|file| file.path.starts_with(folder) && file.path != table);
        others.map(|file| file.text.as_str()).collect()
    };
    let mut offenders = Vec::new();
    let shell = text_without("gateway/src/", "gateway/src/shard/counters.rs");
    for counter in gateway::shard::counters::Counter::ALL {
        let name = format!("Counter::{counter:?}");
        if !has_word(&shell, &name) {
            offenders.push(name);
        }
    }
    let hub = text_without("gateway/hub/src/", "gateway/hub/src/counters.rs");
    for (name, _, _) in hub::Counters::default().each() {
        if !has_word(&hub, &format!(".{name}")) {
            offenders.push(format!("hub {name}"));
        }
    }
    assert_none(&offenders, "a counter that nobody counts shows a reassuring zero");
}

#[test]
fn every_configuration_key_has_an_effect() {
    let sources = sources();
    let text: String = sources
        .iter()
        .filter(|file| file.path.starts_with("gateway/src/"))
        .filter(|file| !file.path.starts_with("gateway/src/config/"))
        .map(|file| file.text.as_str())
        .collect();
    // `bus` has one value so far, which does nothing; `loop` is a word of the language.
    let silent = ["bus"];
    let keys = gateway::config::KEYS.iter().map(|key| key.name.replace('-', "_"));
    let offenders: Vec<String> = keys
        .filter(|key| !silent.contains(&key.as_str()))
        .map(|key| if key == "loop" { "replay_loop".to_owned() } else { key })
        .filter(|key| !has_word(&text, &format!("config.{key}")))
        .collect();
    assert_none(&offenders, "a key without an effect misleads");
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    // Written in halves, so that this file does not find itself.
    let places = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/."),
        concat!("/home", "/"),
        concat!("/tmp/", "t-"),
    ];
    let mut offenders = Vec::new();
    for file in files() {
        for (number, line) in file.numbered() {
            if let Some(place) = places.iter().find(|place| line.contains(**place)) {
                offenders.push(format!("{}:{number}: {place}", file.path));
            }
        }
    }
    assert_none(&offenders, "paths of a developer's machine do not belong in the tree");
}
