//! A wall clock that jumps. Only the gateway's: libfaketime stands between it and the system's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bystanders::Bystanders;
use crate::support::process::{Gateway, free_address, get, until};

/// The library, wherever this architecture has it.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map_while(Result::ok);
    let paths = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let found = paths.into_iter().find(|path| path.is_file());
    found.expect("JUMPS OF THE CLOCK ARE NOT TESTED: they take libfaketime (Debian: faketime)")
}

fn jump(file: &Path, offset: &str) {
    // Replaced as a whole: it is read all the time.
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{offset}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[test]
fn jumps_of_the_wall_clock_end_no_connection_and_lose_no_tick() {
    let folder = tempfile::tempdir().unwrap();
    let offset = folder.path().join("offset");
    jump(&offset, "+0");
    let (listen, admin) = (free_address(), free_address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args(["--listen", &listen.to_string(), "--admin-listen", &admin.to_string()]);
    command.args(["--source", "sim", "--symbols", "4", "--rate", "2000", "--shards", "1"]);
    command.args(["--lag-age", "1h", "--slow-age", "1h", "--heartbeat", "500ms"]);
    // Times that a jump would use up, if anything were timed by the wall clock.
    command.args(["--ping-interval", "10s", "--pong-timeout", "1m", "--idle-timeout", "1m"]);
    command.env("LD_PRELOAD", faketime());
    command.env("FAKETIME_TIMESTAMP_FILE", &offset).env("FAKETIME_NO_CACHE", "1");
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    let mut gateway = Gateway::over(command, listen, admin);
    until("a live feed", || get(admin, "/readyz").filter(|(status, _)| *status == 200));
    let bystanders = Bystanders::at(listen, 3);
    let wall = || -> f64 {
        let (status, body) = get(listen, "/api/v3/time").unwrap();
        assert_eq!(status, 200);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        body["serverTime"].as_f64().unwrap() / 1e3
    };
    let before = wall();
    for (to, seconds) in [("+7200", 7200.0), ("-86400", -86_400.0), ("+0", 0.0)] {
        jump(&offset, to);
        std::thread::sleep(Duration::from_millis(1500));
        let jumped = wall() - before - seconds;
        assert!((0.0..1_800.0).contains(&jumped), "{to}: the gateway's clock is off by {jumped} s");
        bystanders.catch_up();
        until(&format!("readiness after {to}"), || {
            get(admin, "/readyz").filter(|(status, _)| *status == 200)
        });
    }
    bystanders.noticed_nothing();
    assert_eq!(gateway.metric("tickcast_ring_lapped_total"), 0.0);
    assert_eq!(gateway.process.terminate(), Some(0));
}
