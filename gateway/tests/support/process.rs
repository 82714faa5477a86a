//! Real processes under test: gateways and feeds on free ports, ended with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::recordings;

/// How long anything may take to come up before the test gives up. Generous: machines are shared.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `probe` says yes.
///
/// # Panics
/// After [`PATIENCE`], naming what was waited for.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port that nothing listens on, given out once by this process and by no other that runs. They lie below those that
/// the system gives to whoever connects or asks for any: it would give away a port that was free a moment ago.
#[must_use]
pub fn free_address() -> SocketAddr {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes begin at different places.
    let start = std::process::id().wrapping_mul(97);
    loop {
        let nth = start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + nth % COUNT).expect("below 32,000");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        // Whom another process has given it to may not listen there yet.
        let name = UnixAddress::from_abstract_name(format!("tickcast-test-port-{port}"));
        let claim = UnixDatagram::bind_addr(&name.expect("a short name"));
        if let Ok(claim) = claim
            && TcpListener::bind(address).is_ok()
        {
            // It holds for as long as this process runs.
            std::mem::forget(claim);
            return address;
        }
    }
}

/// A child process whose standard error is kept, and which is killed when this is dropped.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    logging: JoinHandle<()>,
}

impl Process {
    /// Starts a command.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stderr = child.stderr.take().expect("piped above");
        let log = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&log);
        let logging = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = sink.lock().expect("no holder panics");
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, logging }
    }

    /// What the process has written to standard error, as far as it was read: what it has just written may still be
    /// on its way, unless the process has ended.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("no holder panics").clone()
    }

    /// Waits until it has logged these words.
    pub fn wait_for_log(&self, words: &str) {
        until(&format!("`{words}` in the log:\n{}", self.log()), || {
            self.log().contains(words).then_some(())
        });
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, as an operator would, and waits for its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.wait()
    }

    /// Has it do nothing until [`Process::go_on`].
    pub fn stall(&self) {
        self.signal("-STOP");
        // A thread that runs goes on until the kernel looks at it again.
        let tasks = format!("/proc/{}/task", self.pid());
        until("all threads to stop", || {
            let tasks = std::fs::read_dir(&tasks).ok()?;
            let is_stopped = |task: std::fs::DirEntry| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                // The name, which may have anything in it, is in parentheses.
                stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
            };
            tasks.flatten().all(is_stopped).then_some(())
        });
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Sends it this signal.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args([name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot signal {pid}");
    }

    /// Waits for its end, and for all that it has logged.
    pub fn wait(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let code = until("the process to end", || child.try_wait().expect("our own child")).code();
        until("the end of its log", || self.logging.is_finished().then_some(()));
        code
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- standard error of process {} ---\n{}", self.pid(), self.log());
        }
    }
}

/// A gateway.
pub struct Gateway {
    /// The process.
    pub process: Process,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where operators connect.
    pub admin: SocketAddr,
}

impl Gateway {
    /// Starts a gateway with these arguments on free ports and waits until it is ready.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let mut gateway = Self::spawn(free_address(), arguments);
        gateway.wait_until("/readyz");
        gateway
    }

    /// Starts a gateway with one shard that replays a recording as soon as somebody subscribes. It merges nothing:
    /// a slow test machine must not keep it from sending what is to be compared one by one.
    #[must_use]
    pub fn replaying(file: &str, speed: &str) -> Self {
        let source = format!("replay:{}", recordings().join(file).display());
        let mut arguments = vec!["--source", &source, "--speed", speed, "--shards", "1"];
        arguments.extend(["--replay-start", "first-subscriber"]);
        arguments.extend(["--lag-age", "1h", "--slow-age", "1h"]);
        Self::start(&arguments)
    }

    /// Starts a gateway at this address and waits until it serves operators, ready or not.
    #[must_use]
    pub fn spawn(listen: SocketAddr, arguments: &[&str]) -> Self {
        // Nobody listens at `listen` yet, so that it may be found free once more.
        let mut admin = free_address();
        while admin == listen {
            admin = free_address();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
        command.args(["--listen", &listen.to_string(), "--admin-listen", &admin.to_string()]);
        command.args(arguments);
        Self::over(command, listen, admin)
    }

    /// Starts a gateway by this command, which has it listen at these addresses, and waits until it
    /// serves operators.
    #[must_use]
    pub fn over(command: Command, listen: SocketAddr, admin: SocketAddr) -> Self {
        let mut gateway = Self { process: Process::spawn(command), listen, admin };
        gateway.wait_until("/healthz");
        gateway
    }

    fn wait_until(&mut self, path: &str) {
        until(&format!("200 from {path}"), || {
            assert!(self.process.is_running(), "the gateway ended:\n{}", self.process.log());
            get(self.admin, path).filter(|(status, _)| *status == 200)
        });
    }

    /// The value of one metric, summed over its labels; 0 if it is not there.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        self.samples(name).iter().sum()
    }

    /// The values of one metric, by label. A scrape does not wait long for a shard that does not turn, as on a busy
    /// machine: only one that all of them have answered counts.
    #[must_use]
    pub fn samples(&self, name: &str) -> Vec<f64> {
        until("a scrape that all shards answer", || {
            let (_, text) = get(self.admin, "/metrics")?;
            let whole =
                values(&text, "tickcast_shards") == values(&text, "tickcast_shards_answering");
            whole.then(|| values(&text, name))
        })
    }

    /// Waits until every shard has had ticks: the feed has said what there is, and what is unknown now stays so.
    pub fn wait_for_ticks(&self) {
        until("ticks at every shard", || {
            let entries = self.samples("tickcast_entries_total");
            (!entries.is_empty() && entries.iter().all(|entries| *entries > 0.0)).then_some(())
        });
    }
}

/// The values of one metric in a scrape, by label.
fn values(scrape: &str, name: &str) -> Vec<f64> {
    let samples = scrape
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

/// A plain HTTP GET: status and body, if anything answers.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    get_with(address, path, "").map(|(status, _, body)| (status, body))
}

/// The same with these lines in the request's head, and the head of the answer.
#[must_use]
pub fn get_with(address: SocketAddr, path: &str, headers: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n")
        .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, head.to_owned(), body.to_owned()))
}

/// Starts a `feed-sim` with these arguments.
#[must_use]
pub fn feed_sim(arguments: &[&str]) -> Process {
    feed_sim_with(arguments, &[])
}

/// The same with these variables in its environment.
#[must_use]
pub fn feed_sim_with(arguments: &[&str], variables: &[(&str, &str)]) -> Process {
    let mut command = Command::new(feed_sim_binary());
    command.args(arguments).envs(variables.iter().copied());
    Process::spawn(command)
}

/// The `feed-sim` that stands beside the gateway under test; built first if need be, because cargo
/// builds the binaries of other packages only when asked.
fn feed_sim_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let gateway = Path::new(env!("CARGO_BIN_EXE_gateway"));
        let folder = gateway.parent().expect("a binary lies in a folder");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "feed-sim", "--bin", "feed-sim"]);
        if folder.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        build.arg("--target-dir").arg(folder.parent().expect("a profile lies in a target folder"));
        let built = build.status().expect("cargo runs");
        assert!(built.success(), "feed-sim does not build");
        folder.join("feed-sim")
    })
}
