//! The `feed-sim` command as others meet it: its ring, its signals, its exit codes, its errors.
#![expect(clippy::cast_possible_truncation, reason = "numbers of a test are small")]

mod recorded;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use recorded::{BTC, ETH, recording};
use ring::{OpenError, Ring, State};
use wire::{Channel, InstrumentImage, Kind, Tick};

fn feed_sim() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feed-sim"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running feed, ended with the test.
struct Feed(Child);

impl Feed {
    fn start(ring: &Path, arguments: &[&str]) -> Self {
        let out = format!("shm:{}", ring.display());
        Self(feed_sim().args(["--out", &out]).args(arguments).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end: exit code and what was written to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.0.wait().unwrap();
        let mut stderr = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (status.code(), stderr)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "waited for too long");
        thread::sleep(Duration::from_millis(2));
    }
}

fn open(path: &Path) -> Ring {
    wait_for(|| match Ring::open(path) {
        Ok(ring) => Some(ring),
        Err(OpenError::Io(_)) => None,
        Err(error) => panic!("a ring is whole from its first moment: {error}"),
    })
}

/// A place for a ring; gone with the test.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring");
    (directory, path)
}

fn read_all(ring: &Ring) -> Vec<Tick> {
    let mut reader = ring.reader(ring::Start::Oldest);
    let (mut records, mut ticks) = (Vec::new(), Vec::new());
    while reader.read(&mut records, 4096).records > 0 {
        ticks.extend(records.iter().copied().map(Tick::from_words));
    }
    ticks
}

#[test]
fn the_simulator_runs_without_any_other_flag_and_ends_in_good_order() {
    for signal in ["TERM", "INT"] {
        let (_directory, path) = place();
        let feed = Feed::start(&path, &[]);
        let ring = open(&path);
        wait_for(|| (ring.head() > 1_000).then_some(()));
        assert_eq!(ring.state(), State::Live);
        feed.signal(signal);
        assert_eq!(feed.end(), (Some(0), String::new()), "not a word without a terminal");
        assert_eq!(ring.state(), State::Closed);

        // Images and ring agree to the last tick.
        let mut words = Vec::new();
        assert_eq!(ring.images(), 20);
        let last = read_all(&ring);
        for slot in 0..ring.images() {
            ring.read_image(slot, &mut words).unwrap();
            let image = InstrumentImage::decode(&words).unwrap();
            assert_eq!((image.epoch, image.definition.id), (ring.epoch(), slot as u32));
            assert!(image.definition.has(Channel::Ticker), "derived");
            let quote = |tick: &&Tick| {
                tick.kind() == Ok(Kind::Data(Channel::Quote)) && tick.instrument == slot as u32
            };
            let newest = last.iter().rev().find(quote);
            let kept = image.last.iter().find(quote);
            assert!(newest.is_none() || newest == kept, "{newest:?} {kept:?}");
        }
    }
}

#[test]
fn a_killed_feed_leaves_a_ring_that_its_successor_replaces() {
    let (_directory, path) = place();
    let arguments = ["--source", "pulse", "--symbols", "3", "--rate", "1000"];
    let feed = Feed::start(&path, &arguments);
    let ring = open(&path);
    wait_for(|| (ring.head() > 100).then_some(()));
    feed.signal("KILL");
    assert_eq!(feed.end().0, None);
    assert_eq!(ring.state(), State::Live, "only its heartbeat tells");
    assert!(!ring.is_replaced());
    let beat = ring.heartbeat_ns();

    let _feed = Feed::start(&path, &arguments);
    wait_for(|| ring.is_replaced().then_some(()));
    assert_eq!(ring.heartbeat_ns(), beat);
    let successor = open(&path);
    assert_ne!(successor.epoch(), ring.epoch());
    wait_for(|| (successor.head() > 100).then_some(()));
}

#[test]
fn a_feed_whose_place_is_taken_ends_and_says_so() {
    let (_directory, path) = place();
    let arguments = ["--source", "pulse", "--rate", "100"];
    let first = Feed::start(&path, &arguments);
    let ring = open(&path);
    let _second = Feed::start(&path, &arguments);
    let (code, stderr) = first.end();
    assert_eq!(code, Some(1));
    assert!(stderr.contains("the file was replaced by another feed's"), "{stderr}");
    assert_eq!(ring.state(), State::Closed, "readers of the old one need not wait");
    assert_ne!(open(&path).epoch(), ring.epoch());
}

/// A ring's ticks as both twins must have them: when a tick entered the ring is each one's own.
fn made(ring: &Ring) -> Vec<Tick> {
    let data = |tick: &Tick| matches!(tick.kind(), Ok(Kind::Data(_)));
    let ticks = read_all(ring).into_iter().filter(data);
    ticks.map(|tick| Tick { ts_ring_ns: 0, ..tick }).collect()
}

#[test]
fn simulators_with_the_same_seed_epoch_and_start_make_the_same_numbered_ticks() {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // One starts before the moment, one finds it past and catches up.
    let start = (seconds + 2).to_string();
    let arguments = ["--seed", "9", "--epoch", "77", "--start-at", &start];
    let ((_early, early_path), (_late, late_path)) = (place(), place());
    let early_feed = Feed::start(&early_path, &arguments);
    let early = open(&early_path);
    wait_for(|| (early.head() > 4_000).then_some(()));
    let late_feed = Feed::start(&late_path, &arguments);
    let late = open(&late_path);
    wait_for(|| (early.head().min(late.head()) > 8_000).then_some(()));
    for feed in [early_feed, late_feed] {
        feed.signal("TERM");
        assert_eq!(feed.end(), (Some(0), String::new()));
    }
    assert_eq!((early.epoch(), late.epoch()), (77, 77));
    let (early, late) = (made(&early), made(&late));
    let common = early.len().min(late.len());
    assert!(common > 7_000, "{common}");
    assert!(early[..common] == late[..common], "the same ticks in the same order");
    assert_eq!(early[0].ts_event_ns, (seconds + 2) * 1_000_000_000);
}

#[test]
fn recordings_are_replayed_to_their_end() {
    let (_directory, path) = place();
    let source = format!("replay:{},{}", recording(BTC).display(), recording(ETH).display());
    let feed = Feed::start(
        &path,
        &[
            "--source", &source, "--speed", "max", "--bars", "none", "--ticker", "off", "--derive",
            "none",
        ],
    );
    assert_eq!(feed.end(), (Some(0), String::new()));
    let ring = open(&path);
    assert_eq!(ring.state(), State::Closed);
    let ticks = read_all(&ring);
    assert_eq!(ticks.len() as u64, ring.head(), "the default ring holds both");
    let trades = ticks.iter().filter(|t| t.kind() == Ok(Kind::Data(Channel::Trade))).count();
    assert_eq!(trades, 9_757 + 6_106);
    assert!(ticks.iter().all(|t| t.kind < 3 || t.seq == 0), "nothing is derived");
}

#[test]
fn a_recording_cut_off_is_played_to_there_and_then_said() {
    let whole = fs::read(recording(ETH)).unwrap();
    let mut cut = tempfile::NamedTempFile::new().unwrap();
    cut.write_all(&whole[..whole.len() / 2]).unwrap();
    let (_directory, path) = place();
    let source = format!("replay:{}", cut.path().display());
    let feed = Feed::start(&path, &["--source", &source, "--speed", "max", "--loop"]);
    let (code, stderr) = feed.end();
    assert_eq!(code, Some(1));
    let name = cut.path().display().to_string();
    assert!(
        stderr.starts_with(&format!("feed-sim: the feed ended early: {name}, line ")),
        "{stderr}"
    );
    assert!(stderr.contains("gzip stream is cut off"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
    let ring = open(&path);
    assert_eq!(ring.state(), State::Closed, "in good order nevertheless");
    assert!(ring.head() > 10_000);
}

fn output(arguments: &[&str]) -> Output {
    feed_sim().args(arguments).output().unwrap()
}

#[test]
fn check_says_what_a_recording_is_worth() {
    let (btc, eth) = (recording(BTC), recording(ETH));
    let good = output(&["check", btc.to_str().unwrap(), eth.to_str().unwrap()]);
    let stdout = String::from_utf8(good.stdout).unwrap();
    assert_eq!(good.status.code(), Some(0));
    assert!(stdout.contains("41248 frames in 346.1 s"), "{stdout}");
    assert!(stdout.contains("book against quotes: 3449 of 3449 equal"), "{stdout}");
    assert!(stdout.contains("book against quotes: 3432 of 3432 equal"), "{stdout}");

    // One quantity in a depth event is not what the venue said.
    let lines = recorded::lines(BTC);
    let text: String = lines[..200]
        .iter()
        .map(|(time, frame)| {
            format!(
                "{time} {}\n",
                frame.replacen(
                    "\"b\":[[\"61837.63000000\",\"3",
                    "\"b\":[[\"61837.63000000\",\"9",
                    1
                )
            )
        })
        .collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let bad = output(&["check", file.path().to_str().unwrap(), "/nonexistent"]);
    assert_eq!(bad.status.code(), Some(1));
    let stdout = String::from_utf8(bad.stdout).unwrap();
    assert!(stdout.contains("first difference at update id 500932392"), "{stdout}");
    let stderr = String::from_utf8(bad.stderr).unwrap();
    assert!(stderr.contains("the book differs from the quotes at"), "{stderr}");
    assert!(stderr.contains("/nonexistent: cannot be opened"), "{stderr}");
}

#[test]
fn what_cannot_be_is_refused_with_its_reason_and_code() {
    let (_directory, path) = place();
    let out = format!("shm:{}", path.display());
    let cases: [(&[&str], i32, &str); 9] = [
        (&[], 2, "--out <TARGET>"),
        (&["--out", "mqtt://localhost"], 2, "expected shm:PATH, nats://HOST"),
        (&["--out", "shm:/nonexistent/ring"], 1, "--out shm:/nonexistent/ring: "),
        (&["--out", &out, "--symbols", "0"], 1, "--source sim: a market has 1 to"),
        (&["--out", &out, "--rate", "0.5"], 1, "--rate 0.5: the simulator's rate is a whole"),
        (&["--out", &out, "--source", "pulse", "--rate", "1e12"], 1, "--source pulse: a pulse has"),
        (&["--out", &out, "--source", "replay:/nonexistent"], 1, "/nonexistent: cannot be opened"),
        (&["--out", &out, "--published", "1"], 1, "--published: clients publish through a bus"),
        (&["--out", &out, "--progres"], 2, "--progress"),
    ];
    for (arguments, code, expected) in cases {
        let output = output(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
        assert!(!path.exists(), "{arguments:?}: no ring is made in vain");
    }
}

#[test]
fn progress_is_shown_when_asked_for() {
    let (_directory, path) = place();
    let mut feed = Feed::start(&path, &["--source", "pulse", "--rate", "500", "--progress"]);
    let mut stderr = BufReader::new(feed.0.stderr.take().unwrap()).lines();
    let mut lines = vec![stderr.next().expect("a line while it runs").unwrap()];
    feed.signal("TERM");
    lines.extend(stderr.map(Result::unwrap));
    assert_eq!(feed.0.wait().unwrap().code(), Some(0));
    assert!(lines.len() >= 2, "one at the end: {lines:?}");
    assert!(lines.iter().all(|line| line.contains("/s, ring at ")), "{lines:?}");
}
