//! A child process of a run: launched on its cores, its standard error kept, ended with this value.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{ServerError, launch};

/// As much of its standard error as is kept: the end, where the reason stands.
const LOG_BYTES_MAX: usize = 16 << 10;

/// How long anything may take to come up. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks at whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// See the module's documentation.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Process {
    /// Starts `program` on these cores; on all if there are none.
    pub(crate) fn start(
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        cores: &[usize],
    ) -> Result<Self, ServerError> {
        Self::start_with(program, args, cores, &[])
    }

    /// The same, with environment variables.
    pub(crate) fn start_with(
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        cores: &[usize],
        variables: &[(&str, &str)],
    ) -> Result<Self, ServerError> {
        let name = program.display().to_string();
        let failed = |error| ServerError::Spawn { program: name.clone(), error };
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(launch::words(cores)).arg(program).args(args);
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A group of its own: it is ended with all of its children, and an interrupt at the keyboard is
        // this program's to handle.
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let log = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || keep(stderr, &log));
        }
        Ok(Self { name, child, log })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of what it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock().expect("no holder panics");
        String::from_utf8_lossy(&log).trim().to_owned()
    }

    /// Waits until `probe` says yes; an error if the process ends or takes too long.
    pub(crate) fn wait_until(
        &mut self,
        mut probe: impl FnMut() -> bool,
    ) -> Result<(), ServerError> {
        let began = Instant::now();
        while !probe() {
            let program = self.name.clone();
            if !self.is_running() {
                // Its last words may still be on their way through the pipe.
                std::thread::sleep(LOOK_EVERY);
                return Err(ServerError::Ended { program, log: self.log() });
            }
            if began.elapsed() > PATIENCE {
                return Err(ServerError::Late { program, after: PATIENCE, log: self.log() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Kills it and whatever it started, and waits.
    pub(crate) fn end(&mut self) {
        if let (true, Ok(pid)) = (self.is_running(), i32::try_from(self.child.id())) {
            // It may be ending by itself at this moment.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn keep(mut stderr: ChildStderr, log: &Mutex<Vec<u8>>) {
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut chunk) {
        let mut log = log.lock().expect("no holder panics");
        log.extend_from_slice(&chunk[..read]);
        let excess = log.len().saturating_sub(LOG_BYTES_MAX);
        log.drain(..excess);
    }
}
