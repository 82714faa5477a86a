//! The real binary under a service manager, whose part is played by a real datagram socket: what it is
//! told at the start, while it lives, when files are read again, when a shard hangs, and at the end.

mod support;

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::{Duration, Instant};

use support::process::{Gateway, PATIENCE, free_address};
use tempfile::TempDir;

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(path: &std::path::Path) -> Self {
        Self::over(UnixDatagram::bind(path).unwrap())
    }

    fn over(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// The next word.
    fn hear(&self) -> String {
        let mut heard = [0; 4096];
        let bytes = self.socket.recv(&mut heard).expect("the gateway says something");
        String::from_utf8(heard[..bytes].to_vec()).unwrap()
    }

    /// The next word that is no sign of life.
    fn hear_news(&self) -> String {
        loop {
            let word = self.hear();
            if word != "WATCHDOG=1" {
                return word;
            }
        }
    }
}

/// A gateway with these variables, up or not.
fn gateway(variables: &[(&str, &str)]) -> Gateway {
    let (listen, admin) = (free_address(), free_address());
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args(["--listen", &listen.to_string(), "--admin-listen", &admin.to_string()]);
    command.args(["--source", "pulse", "--shards", "2", "--drain-window", "1s"]);
    command.env_remove("WATCHDOG_USEC").envs(variables.iter().copied());
    Gateway::over(command, listen, admin)
}

fn signal(gateway: &Gateway, name: &str) {
    let sent = Command::new("kill").args([name, &gateway.process.pid().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn the_manager_hears_when_clients_are_served_and_when_the_end_begins() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let mut gateway = gateway(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert_eq!(manager.hear(), "READY=1\nSTATUS=serving");
    // Clients are accepted from then on.
    std::net::TcpStream::connect(gateway.listen).unwrap();
    signal(&gateway, "-HUP");
    assert_eq!(manager.hear(), "RELOADING=1\nSTATUS=reading the configuration again");
    assert_eq!(manager.hear(), "READY=1\nSTATUS=serving");
    signal(&gateway, "-TERM");
    let end = manager.hear();
    assert!(end.starts_with("STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC="), "{end}");
    assert_eq!(gateway.process.wait(), Some(0));
}

#[test]
fn signs_of_life_come_at_half_of_the_managers_patience_until_the_end() {
    let name = format!("tickcast-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::over(UnixDatagram::bind_addr(&address).unwrap());
    let path = format!("@{name}");
    let variables = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "400000")];
    let began = Instant::now();
    let mut gateway = gateway(&variables);
    assert_eq!(manager.hear_news(), "READY=1\nSTATUS=serving");
    for _ in 0..10 {
        assert_eq!(manager.hear(), "WATCHDOG=1");
    }
    // Ten signs are nine pauses of 200 ms, however late the test looks at them.
    assert!(began.elapsed() > Duration::from_millis(1_800), "{:?}", began.elapsed());
    signal(&gateway, "-TERM");
    assert!(manager.hear_news().starts_with("STOPPING=1\n"));
    assert_eq!(gateway.process.wait(), Some(0));
}

#[test]
fn a_watchdog_that_is_for_another_process_hears_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let mut gateway = gateway(&[
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "20000"),
        ("WATCHDOG_PID", "1"),
    ]);
    assert_eq!(manager.hear(), "READY=1\nSTATUS=serving");
    std::thread::sleep(Duration::from_millis(200));
    signal(&gateway, "-TERM");
    assert!(manager.hear().starts_with("STOPPING=1\n"));
    assert_eq!(gateway.process.wait(), Some(0));
}

#[test]
fn a_manager_that_is_not_there_keeps_nobody_from_serving() {
    let mut gateway = gateway(&[("NOTIFY_SOCKET", "/nonexistent/notify")]);
    gateway.process.wait_for_log("the service manager cannot be told anything");
    assert_eq!(gateway.process.terminate(), Some(0));
}
