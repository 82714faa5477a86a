//! Each peer in a small scenario of its own: every tick arrives at every subscriber, in order, by one
//! topic and by several. A peer that is not installed fails its test and says how to get it.
//!
//! The servers are the real ones, started by the real `bench run`; what counts is its record.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Everything on one core: a machine may have no more. The drain is how late the last tick may be
/// before this calls it lost; it ends with that tick.
const SCENARIO: &str = r#"
kind = "fanout"
title = "A peer delivers"
why = "A comparison with a server that loses ticks would be none."

[load]
connections = 20
rate = 200
warm-up = 0.5
duration = 1
drain = 60
server-cores = [0]
client-core = 0

[[variant]]
name = "one topic"

[[variant]]
name = "ten topics of twenty each"
topics = 20
per-connection = 10
"#;

fn delivers(server: &str) {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("peer.toml");
    std::fs::write(&scenario, SCENARIO).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["run", "--rounds", "1", "--server", server, "--out"])
        .arg(folder.path())
        .arg(&scenario)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let record = std::fs::read(folder.path().join("peer.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    let runs = record["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2, "{said}");
    for run in runs {
        assert_eq!(run["server"], server);
        // Too few, missing, doubled, reordered, closed: each is a line here.
        assert_eq!(run["failures"], Value::Array(Vec::new()), "{said}");
        let count = run["report"]["latency"]["count"].as_u64().unwrap();
        // Deliveries in the second, and one more or less for each subscription at the window's edges.
        let (due, edges) =
            if run["variant"] == "one topic" { (20 * 200, 20) } else { (20 * 10 * 10, 20 * 10) };
        assert!(count.abs_diff(due) <= edges, "{count} of {due}: {said}");
        assert!(run["extra"]["publisher_late_max_ns"].as_f64().unwrap() > 0.0);
        assert!(run["server_usage"]["cpu_ns"].as_u64().unwrap() > 0);
    }
}

/// Whether a process runs whose command line says this.
fn is_running(part: &str) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| String::from_utf8_lossy(&line).contains(part))
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Servers are free to become another user, and mosquitto does: the kernel then forgets to end them with
/// their parent.
#[test]
fn an_interrupt_ends_the_server_whoever_it_is() {
    for server in ["mosquitto", "nchan", "nats"] {
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("peer.toml");
        std::fs::write(&scenario, SCENARIO.replace("duration = 1\n", "duration = 60\n")).unwrap();
        let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(["run", "--rounds", "1", "--server", server, "--out"])
            .arg(folder.path())
            .arg(&scenario)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Its configuration is in this folder.
        let configured = format!("tickcast-bench-{}-", bench.id());
        wait_until(&format!("{server} starts"), || is_running(&configured));
        // Time to become somebody else; none of them says when it has.
        thread::sleep(Duration::from_millis(500));
        kill(Pid::from_raw(i32::try_from(bench.id()).unwrap()), Signal::SIGINT).unwrap();
        assert_eq!(bench.wait().unwrap().code(), Some(130), "{server}");
        wait_until(&format!("{server} ends with it"), || !is_running(&configured));
    }
}

#[test]
fn bun_delivers() {
    delivers("bun");
}

#[test]
fn nats_delivers() {
    delivers("nats");
}

#[test]
fn nchan_delivers() {
    delivers("nchan");
}

#[test]
fn mosquitto_delivers() {
    delivers("mosquitto");
}

#[test]
fn node_ws_delivers() {
    delivers("node-ws");
}

#[test]
fn tokio_broadcast_delivers() {
    delivers("tokio-broadcast");
}
