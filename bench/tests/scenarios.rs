//! Scenarios run for real: this crate's program starts a gateway and a feed, puts a small load on them
//! and keeps a record. Figures are not judged here, machines differ; that everything arrived is.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// The program under test; what it starts is built beside it, once.
fn bench() -> &'static Path {
    static BENCH: OnceLock<PathBuf> = OnceLock::new();
    BENCH.get_or_init(|| {
        let bench = PathBuf::from(env!("CARGO_BIN_EXE_bench"));
        let profile = bench.parent().expect("a program is in a folder");
        let target = profile.parent().expect("a profile's folder is in the target folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "-p", "gateway", "-p", "feed-sim", "--target-dir"]).arg(target);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let built = build.output().expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        bench
    })
}

/// Runs a scenario; the output and the record, if there is one.
fn run(scenario: &str) -> (Output, Option<Value>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("small.toml");
    std::fs::write(&file, scenario).expect("the folder can be written to");
    let mut command = Command::new(bench());
    let out = folder.path().join("records");
    command.arg("run").arg(&file).arg("--out").arg(&out);
    let output = command.output().expect("bench runs");
    let record = std::fs::read_to_string(out.join("small.json")).ok();
    (output, record.map(|text| serde_json::from_str(&text).expect("a record is JSON")))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Few and slow enough for any machine, on one core; stragglers have time.
const LOAD: &str = "[load]\nconnections = 20\ntopics = 8\nper-connection = 4\nrate = 200\nduration = 1\n\
                    warm-up = 0.5\ndrain = 60\nserver-cores = [0]\nclient-core = 0\n";

#[test]
fn a_small_fanout_delivers_everything() {
    let scenario = format!("kind = 'fanout'\ntitle = 'small'\nwhy = 'a test'\nrounds = 2\n{LOAD}");
    let (output, record) = run(&scenario);
    assert!(output.status.success(), "{}", text(&output));
    let record = record.expect("a record");
    assert_eq!(record["scenario"]["name"], "small");
    let runs = record["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert_eq!(run["failures"], serde_json::json!([]));
        assert_eq!(run["offered"]["deliveries_per_s"], 2_000.0);
        let report = &run["report"];
        let came = report["traffic"]["messages_in_window"].as_u64().expect("a count");
        assert!((1_920..=2_080).contains(&came), "{came} of 2,000 but for the window's edges");
        assert_eq!(report["accounting"]["missing"], 0);
        assert!(run["server_usage"]["cpu_ns"].as_u64() > Some(0));
        assert!(run["server_usage"]["pss_after"].as_u64() > Some(0));
    }
    let figures = &record["summary"][0]["figures"];
    assert!(figures["p50_ns"]["median"].as_f64() > Some(0.0), "{figures}");
}

#[test]
fn what_did_not_come_is_a_failure_that_the_exit_code_tells() {
    let scenario = format!(
        "kind = 'fanout'\ntitle = 'full'\nwhy = 'a test'\nrounds = 1\n{LOAD}args.tickcast = \
         ['--connections-max', '5']\n"
    );
    let (output, record) = run(&scenario.replace("drain = 60", "drain = 0"));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let record = record.expect("what failed is kept too");
    let failures = record["runs"][0]["failures"].to_string();
    assert!(failures.contains("of 20 connections opened"), "{failures}");
}

#[test]
fn everybody_comes_back_from_a_storm() {
    let scenario = format!(
        "kind = 'storm'\ntitle = 'small'\nwhy = 'a test'\nrounds = 1\npatience = 60\n\
         breaks = ['connections', 'server']\n{LOAD}"
    );
    let (output, record) = run(&scenario);
    assert!(output.status.success(), "{}", text(&output));
    let record = record.expect("a record");
    for run in record["runs"].as_array().expect("runs") {
        assert_eq!(run["failures"], serde_json::json!([]));
        assert!(run["extra"]["all_receiving_ms"].as_f64() >= run["extra"]["all_open_ms"].as_f64());
        assert!(run["report"]["connections"]["reconnects"].as_u64() >= Some(20), "{run}");
    }
}

#[test]
fn a_bare_sender_and_a_gateway_deliver_the_same() {
    let scenario = "kind = 'ceiling'\ntitle = 'small'\nwhy = 'a test'\nrounds = 1\n\
         orders = ['burst', 'per-pass', 'late-binding']\n[[beside]]\nserver = 'tickcast'\n\
         [load]\nduration = 1\nwarm-up = 0.5\ndrain = 60\nserver-cores = [0]\nclient-core = 0\n\
         [[point]]\nconnections = 20\nrate = 100\n";
    let (output, record) = run(scenario);
    assert!(output.status.success(), "{}", text(&output));
    let record = record.expect("a record");
    let runs = record["runs"].as_array().expect("runs");
    let servers: Vec<&str> = runs.iter().filter_map(|run| run["server"].as_str()).collect();
    let bare = ["bare burst send", "bare per-pass send", "bare late-binding send"];
    assert_eq!(servers, [&bare[..], &["tickcast"]].concat());
    for run in runs {
        assert_eq!(run["failures"], serde_json::json!([]));
        assert!(run["extra"]["last_arrival_p50_ns"].as_f64() > Some(0.0), "{run}");
    }
    assert!(runs[0]["extra"]["ns_per_send"].as_f64() > Some(0.0));
    assert_eq!(record["tables"][0]["rows"].as_array().map(Vec::len), Some(4));
}

#[test]
fn stages_add_up_to_no_more_than_the_whole() {
    let scenario = format!(
        "kind = 'latency'\ntitle = 'small'\nwhy = 'a test'\nrounds = 1\n\
         [[case]]\nname = 'a few'\n{}",
        LOAD.replace("[load]", "[case.load]")
    );
    let (output, record) = run(&scenario);
    assert!(output.status.success(), "{}", text(&output));
    let record = record.expect("a record");
    let rows = record["tables"][0]["rows"].as_array().expect("rows");
    let stages: Vec<&str> = rows.iter().filter_map(|row| row[1].as_str()).collect();
    for stage in ["due → ring", "ring → shard", "shard → sent", "due → client"] {
        assert!(stages.contains(&stage), "{stages:?}");
    }
    // Every stage was measured: a figure, not a dash.
    let is_figure = |row: &Value| row[7].as_str().is_some_and(|text| text != "–");
    assert!(rows.iter().all(is_figure), "{rows:?}");
    assert_eq!(record["series"][0]["lines"].as_array().map(Vec::len), Some(4));
}

#[test]
fn a_client_behind_a_long_way_gets_everything_later() {
    let scenario = format!(
        "kind = 'wan'\ntitle = 'small'\nwhy = 'a test'\nrounds = 1\n{LOAD}\
         [[way]]\nname = 'near'\n[[way]]\nname = 'far'\ndelay-ms = 100\n"
    );
    let (output, record) = run(&scenario);
    assert!(output.status.success(), "{}", text(&output));
    let record = record.expect("a record");
    let runs = record["runs"].as_array().expect("runs");
    assert_eq!(runs.iter().map(|run| run["failures"].to_string()).collect::<String>(), "[][]");
    let fastest = |run: &Value| run["report"]["latency"]["min_ns"].as_f64().expect("a latency");
    assert!(fastest(&runs[1]) >= 99e6, "{}", fastest(&runs[1]));
}

#[test]
fn a_mistake_in_a_file_is_named_before_anything_starts() {
    let (output, record) = run("kind = 'fanout'\ntitle = ''\nwhy = ''\n[load]\nrate = 1\n");
    assert_eq!((output.status.code(), record), (Some(1), None));
    assert!(text(&output).contains("small: missing field `connections`"), "{}", text(&output));
}

#[test]
fn each_way_to_get_quotes_gets_them() {
    let scenario = "kind = 'transports'\ntitle = 'small'\nwhy = 'a test'\nservers = ['tickcast']\n\
                    rounds = 1\nclients = 6\nsymbols = 4\nper-client = 2\nduration = 6\n\
                    server-cores = [0]\nclient-core = 0\n[[offer]]\nname = 'some'\nrate = 5\n";
    let (output, record) = run(scenario);
    assert!(output.status.success(), "{}", text(&output));
    let record = record.expect("a record");
    let runs = record["runs"].as_array().expect("runs");
    let ways: Vec<&str> = runs.iter().filter_map(|run| run["variant"].as_str()).collect();
    let expected = ["polling", "event stream", "WebSocket, JSON", "WebSocket, SBE"];
    assert_eq!(ways, expected.map(|way| format!("some, {way}")));
    for run in runs {
        assert_eq!(run["failures"], serde_json::json!([]), "{}", run["variant"]);
        // Of polling that is how many were newest when it asked; the others' share is judged above.
        let share = run["extra"]["seen_share"].as_f64().expect("a figure");
        assert!(share > 0.0, "{run}");
    }
    assert_eq!(record["tables"][0]["rows"].as_array().map(Vec::len), Some(4));
}

#[test]
fn hostile_connections_are_sent_to_both_and_what_they_took_is_given_back() {
    let hostile = "[hostile]\nkinds = ['frames']\nconnections = 40\nrate = 80\n";
    let head = "kind = 'hostile'\ntitle = 'small'\nwhy = 'a test'\nrounds = 1\n";
    // They begin while the window lasts: where they did not get to that it is made longer.
    let is_whole = |run: &Value, sessions: f64| {
        let count = |name: &str| run["extra"][name].as_f64();
        count("hostile_begun") == Some(40.0) && count("hostile_sessions") == Some(sessions)
    };
    let record = ["1", "4", "8"].into_iter().find_map(|duration| {
        let load = LOAD.replace("duration = 1\n", &format!("duration = {duration}\n"));
        let (output, record) = run(&format!("{head}{load}{hostile}"));
        assert!(output.status.success(), "{}", text(&output));
        let record = record.expect("a record");
        let runs = record["runs"].as_array().expect("runs");
        let is_whole = runs.iter().zip([0.0, 40.0]).all(|(run, sessions)| is_whole(run, sessions));
        (is_whole || duration == "8").then_some(record)
    });
    let record = record.expect("the last one");
    let runs = record["runs"].as_array().expect("runs");
    let variants: Vec<_> = runs.iter().filter_map(|run| run["variant"].as_str()).collect();
    assert_eq!(variants, ["frames at accept-only", "frames at server"]);
    for (run, sessions) in runs.iter().zip([0.0, 40.0]) {
        assert_eq!(run["failures"], serde_json::json!([]));
        assert_eq!(
            (&run["extra"]["hostile_begun"], &run["extra"]["hostile_refused"]),
            (&40.0.into(), &0.0.into())
        );
        assert_eq!(run["extra"]["hostile_sessions"], sessions, "{run}");
        assert!(run["extra"]["released_after_ms"].as_f64().is_some(), "{run}");
    }
}
