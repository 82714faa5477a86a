//! Full disks, and a standard error that nobody reads.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bystanders::Bystanders;
use crate::support::process::{Gateway, free_address, until};
use crate::villain::Villain;

/// A disk of a few pages.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder.path())
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
        assert!(
            mounted.status.success(),
            "FULL DISKS ARE NOT TESTED: it takes the right to mount: {why}"
        );
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let filler = File::create(self.path("filler")).unwrap();
        let mut filler = &filler;
        while std::io::Write::write(&mut filler, &[0; 512]).is_ok_and(|written| written > 0) {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever has a file open there may end later.
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

/// A gateway that logs everything to this file.
fn logging_to(file: &Path) -> Gateway {
    let (listen, admin) = (free_address(), free_address());
    let mut command = Command::new("sh");
    command.args(["-c", r#"log=$0; exec "$@" 2>>"$log""#]).arg(file);
    command.arg(env!("CARGO_BIN_EXE_gateway"));
    command.args(["--listen", &listen.to_string(), "--admin-listen", &admin.to_string()]);
    command.args(["--source", "pulse", "--symbols", "4", "--rate", "1000", "--shards", "1"]);
    command.args(["--lag-age", "1h", "--slow-age", "1h", "--log-level", "trace"]);
    Gateway::over(command, listen, admin)
}

/// Gives the gateway much to write about, until it has lost lines.
fn have_it_log(gateway: &Gateway) {
    let mut nth = 0;
    until("lines to be lost", || {
        for _ in 0..20 {
            nth += 1;
            Villain::connect(nth, gateway.listen).say(b"GET / HTTP/9\r\n\r\n");
        }
        (gateway.metric("tickcast_log_lines_lost_total") > 0.0).then_some(())
    });
}

#[test]
fn a_full_disk_costs_log_lines_and_says_so_when_there_is_room() {
    let disk = Disk::new();
    let log = disk.path("gateway.log");
    let mut gateway = logging_to(&log);
    let bystanders = Bystanders::at(gateway.listen, 2);
    disk.fill();
    have_it_log(&gateway);
    bystanders.catch_up();

    std::fs::remove_file(disk.path("filler")).unwrap();
    // Whoever truncates a log is heard too.
    OpenOptions::new().write(true).truncate(true).open(&log).unwrap();
    let mut nth = 0;
    until("a line that says what was lost", || {
        nth += 1;
        Villain::connect(nth, gateway.listen).say(b"GET / HTTP/9\r\n\r\n");
        let text = std::fs::read(&log).unwrap();
        String::from_utf8_lossy(&text).contains("log lines were lost").then_some(())
    });
    bystanders.noticed_nothing();
    assert_eq!(gateway.process.terminate(), Some(0));
}

#[test]
fn a_standard_error_that_nobody_reads_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Held open from both sides, and never read.
    let held = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut gateway = logging_to(&pipe);
    let bystanders = Bystanders::at(gateway.listen, 2);
    have_it_log(&gateway);
    bystanders.noticed_nothing();
    assert_eq!(gateway.process.terminate(), Some(0));
    drop(held);
}

#[test]
fn a_recording_that_finds_the_disk_full_says_so_and_ends() {
    let disk = Disk::new();
    let gateway = crate::gateway(&["--source", "sim", "--rate", "20000"]);
    for name in ["plain", "packed.gz"] {
        let out = disk.path(name);
        let recorded = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["record", "--url", &format!("ws://{}", gateway.listen)])
            .args(["--streams", "btcusdt@trade,btcusdt@bookTicker,btcusdt@depth@100ms"])
            .args(["--duration", "1m", "--out", out.to_str().unwrap()])
            .output()
            .unwrap();
        let text = String::from_utf8(recorded.stderr).unwrap();
        assert_eq!(recorded.status.code(), Some(1), "{text}");
        assert!(text.contains("cannot write") && text.contains(name), "{text}");
        assert!(text.contains("No space left on device"), "{text}");
        std::fs::remove_file(out).unwrap();
    }
}
